//! What must hold when a connection is over, whatever happened.

use std::time::Duration;

use weir::config::{Http, HttpGroup, HttpVersion};
use weir::l7::{Closed, Why};
use weir::ring::sim::Seen;

use crate::client::{Bad, Client, Final, Request};
use crate::pace::Manners;
use crate::target::{Answer, Book};
use crate::wire::Framing;
use crate::world::{Done, SimWorld};

/// All that is known at the end.
pub struct Ended<'e> {
    pub closed: Closed,
    pub manners: Manners,
    pub world: &'e SimWorld,
    pub http: &'e Http,
    pub group: &'e HttpGroup,
    pub client: &'e Client,
    pub book: &'e Book,
    pub connects_failed: usize,
}

impl Ended<'_> {
    pub fn check(&self) {
        self.targets_got_what_was_sent();
        let done = &*self.world.done.borrow();
        for (index, done) in done.iter().enumerate() {
            assert_eq!(done.number as usize, index + 1, "each exchange is told of once, in order: {done:?}");
            assert!(self.is_plausible(index, done), "{done:?} after {:?}", self.client.requests.get(index));
        }
        self.client_got_what_was_answered(done);
        self.bytes_add_up(done);
        if self.manners == Manners::Gentle {
            self.all_came_through(done);
        }
    }

    fn targets_got_what_was_sent(&self) {
        let requests = &self.client.requests;
        let last = requests.iter().position(ends_connection).unwrap_or(requests.len());
        let done = self.world.done.borrow();
        for (index, request) in requests.iter().enumerate() {
            let received: Vec<_> = self.book.received.iter().filter(|received| received.request == index).collect();
            let tries = done.get(index).map_or(0, |done| done.targets);
            assert!(received.len() <= tries, "request {index}: {} heads for {tries} tries", received.len());
            assert!(index <= last || tries == 0, "request {index} was served, and {last} was the connection's last");
            let may_repeat =
                matches!(request.method, "GET" | "HEAD" | "PUT" | "DELETE") && request.framing == Framing::None;
            assert!(may_repeat || tries <= 1, "request {index} was sent {tries} times: {request:?}");
            for received in received {
                assert!(request.body.starts_with(&received.body), "request {index} has another body at its target");
                if received.complete {
                    assert_eq!(received.body.len(), request.body.len(), "request {index} looks complete, and is not");
                    assert!(request.bad != Some(Bad::Chunks), "broken chunks look whole");
                }
            }
        }
    }

    /// Whether what is told of an exchange can be.
    fn is_plausible(&self, index: usize, done: &Done) -> bool {
        let Some(request) = self.client.requests.get(index) else { return false };
        let is_late = |quiet: Duration, limit: Duration| quiet >= limit;
        let Some(why) = done.why else {
            let listener_gone = !done.has_terms && done.status == 0 && self.world.listener_gone.get();
            return listener_gone || done.target_status == Some(done.status);
        };
        let told = [why.status(), done.target_status.unwrap_or(0)].contains(&done.status);
        // An own reply may be cut off in its turn.
        let cut = matches!(why, Why::SendTimeout | Why::Drained | Why::Deregistered) && done.target_status.is_none();
        (told || cut)
            && match why {
                Why::ClientGone => self.client.was_reset || self.client.finished,
                Why::HeaderTimeout => is_late(done.head_took, self.http.header_timeout),
                Why::BodyTimeout => is_late(done.client_quiet, self.http.body_timeout),
                Why::SendTimeout => is_late(done.reader_quiet, self.http.send_timeout),
                Why::ResponseTimeout => is_late(done.target_quiet, self.group.response_timeout),
                Why::TargetClosed => self.book.ended > 0,
                Why::BadResponse => {
                    self.book.tainted > 0
                        || self.book.answers.iter().any(|answer| answer.bad && answer.request == index)
                }
                Why::ConnectFailed | Why::ConnectTimeout => self.connects_failed > 0,
                Why::NoTarget => self.world.targets.is_empty(),
                Why::Drained | Why::Deregistered => self.world.ordered.get().is_some(),
                Why::BadRequest | Why::UriTooLong | Why::HeadersTooLarge | Why::NotImplemented => {
                    matches!(request.bad, Some(Bad::Head | Bad::Chunks))
                }
                Why::VersionNotSupported => request.bad == Some(Bad::Head),
                Why::MethodNotAllowed => request.bad == Some(Bad::Method),
                Why::BodyTooLarge => {
                    self.http.body_bytes_max.is_some_and(|most| request.body.len() as u64 > most.get())
                }
                Why::VersionMismatch => self.group.version == HttpVersion::V1_0 && request.framing == Framing::Chunked,
                Why::ForwardedTooLong | Why::IdleTimeout | Why::Loopback | Why::RewriteFailed | Why::Host => false,
            }
    }

    fn client_got_what_was_answered(&self, done: &[Done]) {
        let finals = &self.client.finals;
        assert!(finals.len() <= done.len(), "{} responses of {} exchanges", finals.len(), done.len());
        for (index, (seen, done)) in finals.iter().zip(done).enumerate() {
            let status = seen.message.status();
            assert!(status == done.status || done.status == 460, "the client saw {status}: {done:?}");
            self.check_interims(index, seen);
            match seen.message.value("x-answer") {
                Some(answer) => {
                    let answer = &self.book.answers[answer.parse::<usize>().expect("a number")];
                    self.check_answer(index, seen, answer);
                }
                None if self.book.tainted > 0 => {}
                None => check_own(&self.client.requests[index], seen, done),
            }
            assert!(seen.message.complete || index + 1 == finals.len(), "more follows response {index}, which is cut");
        }
        if self.closed == Closed::Completed && !self.is_more_than_announced() {
            let whole = finals.iter().filter(|seen| seen.message.complete).count();
            let well = done.iter().filter(|done| done.why.is_none() && done.has_terms).count();
            assert!(
                whole >= well,
                "the client saw {whole} whole responses, {well} are counted: {}",
                self.client.describe()
            );
        }
    }

    /// The client sent more behind the request that was to be its last: no wonder if it is reset.
    fn is_more_than_announced(&self) -> bool {
        self.client.requests.iter().rev().skip(1).any(ends_connection)
    }

    fn check_interims(&self, index: usize, seen: &Final) {
        assert!(seen.interims.is_empty() || self.client.requests[index].is_1_1, "1.0 knows no interim responses");
        for interim in &seen.interims {
            let Some(of) = interim.value("x-request") else {
                let is_ours = self.group.version == HttpVersion::V1_0 && self.client.requests[index].expects;
                assert!(is_ours && interim.status() == 100, "{interim:?} comes from nowhere");
                continue;
            };
            let of: usize = of.parse().expect("an interim of a script");
            assert!(of == index || self.book.tainted > 0, "an interim response of another request");
        }
    }

    fn check_answer(&self, index: usize, seen: &Final, answer: &Answer) {
        let message = &seen.message;
        if answer.request != index {
            assert!(self.book.tainted > 0, "request {index} got the answer of {answer:?}");
            return;
        }
        assert_eq!(message.status(), answer.status);
        let bad_body = answer.bad;
        assert!(bad_body || answer.body.starts_with(&message.body), "request {index}: another body than was answered");
        if !message.complete {
            return;
        }
        assert!(!bad_body, "what cannot be read looks complete: {answer:?}");
        if answer.until_close {
            assert!(answer.finished, "looks complete, and its end never came: {answer:?}");
            assert_eq!(message.body.len(), answer.sent_body.min(answer.body.len()), "{answer:?}");
        } else {
            assert!(answer.sent, "looks complete, and was not sent: {answer:?}");
            assert_eq!(message.body.len(), answer.body.len(), "{answer:?}");
        }
    }

    fn bytes_add_up(&self, done: &[Done]) {
        let counted: u64 = done.iter().map(|done| done.sent_bytes).sum();
        let (sent, got) = (self.world.watch.sent.get(), self.client.far.delivered().len() as u64);
        assert!(counted >= sent && sent >= got, "{counted} bytes counted, {sent} sent, {got} delivered");
        if self.closed == Closed::Completed {
            assert_eq!((counted, got), (sent, sent), "all that was sent is counted, and was delivered");
        }
    }

    /// With nobody at fault each request has its target's answer, up to one that ends the connection.
    fn all_came_through(&self, done: &[Done]) {
        let (finals, requests) = (&self.client.finals, &self.client.requests);
        for done in done {
            let refused = self.group.version == HttpVersion::V1_0 && done.why == Some(Why::VersionMismatch);
            assert!(done.why.is_none() || refused, "{done:?}");
        }
        assert!(finals.iter().all(|seen| seen.message.complete), "a response is cut");
        let over = self.world.ordered.get().is_some() || finals.last().is_some_and(|last| last.message.closes());
        let missing = finals.len() < requests.len();
        assert!(!missing || over, "{} of {} responses, {:?}", finals.len(), requests.len(), self.closed);
        assert_eq!(self.closed, Closed::Completed);
        assert_eq!(self.client.far.sees(), if self.unread() { Seen::Reset } else { Seen::End });
    }

    /// The client had sent more than was read: its close is a reset.
    fn unread(&self) -> bool {
        self.client.far.sees() == Seen::Reset && self.client.finals.len() < self.client.requests.len()
    }
}

/// No request after this one is read.
fn ends_connection(request: &Request) -> bool {
    request.closes || matches!(request.bad, Some(Bad::Head | Bad::Chunks | Bad::Ambiguous))
}

/// A response of the balancer's own.
fn check_own(request: &Request, seen: &Final, done: &Done) {
    let status = seen.message.status();
    assert!(done.why.is_some(), "{seen:?} comes from nowhere: {done:?}");
    assert!(done.target_status.is_none(), "{seen:?} in place of a response that had come: {done:?}");
    if seen.message.complete && request.method != "HEAD" {
        let page = String::from_utf8_lossy(&seen.message.body).into_owned();
        assert!(page.starts_with(&status.to_string()) && page.ends_with('\n'), "not a page of {status}: {page:?}");
    }
}
