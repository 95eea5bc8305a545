//! One request: its rule, its group, its target, its response.
//!
//!     head --> hygiene, limits --> router --> forward --> session --> lease --> relay --> response
//!                    |                |          ^                      `--stale--'  |
//!                    `--refused--.    |          `-----------------------------------'
//!                                 `---+--> redirect, fixed response, error page
//!
//! Before: l7/http1/connection.rs. Next: l7/http1/relay.rs.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use quanta::Instant;

use super::connection::{Connection, Lingers};
use super::heads;
use super::relay::{End, Fit, Relay};
use crate::config::{HttpGroup, HttpVersion};
use crate::l4::{self, Side};
use crate::l7::admission;
use crate::l7::framing::{Body, BodyLength, Form, RequestHead, ResponseHead, Verdict};
use crate::l7::outgoing::Outgoing;
use crate::l7::record::{Record, Taken};
use crate::l7::replies::{self, Setting};
use crate::l7::router::{Decision, FixedResponse, Forward, Rewriter, Subject};
use crate::l7::sessions::{self, Session};
use crate::l7::why::Why;
use crate::l7::world::{Lease, Ordered, Terms, Wanted, Wish, World};
use crate::ring::Stream;

/// A request and its response. Reused from request to request, so that none allocates (a test counts).
pub struct Exchange {
    /// The request's head.
    pub request: RequestHead,
    /// The head of the target's response.
    pub response: ResponseHead,
    /// For counters and log.
    pub record: Record,
    pub(super) to_target: Outgoing,
    pub(super) to_client: Outgoing,
    /// Where the request's body ends, and how much of it came.
    pub(super) upload: Body,
    pub(super) body_bytes: u64,
    /// Where the response's body ends, and how it goes to the client.
    pub(super) download: Body,
    pub(super) download_form: Form,
    pub(super) response_timeout: Duration,
    /// The request's place in sessions.
    pub(super) session: Session,
    /// What hygiene says of it.
    pub(super) verdict: Verdict,
    /// Finished lines that a head gets.
    pub(super) lines: Vec<u8>,
    pub(super) scratch: Vec<u8>,
    /// Where a rule redirected the client to.
    pub redirect_url: Vec<u8>,
    /// Path and query after a rewrite; empty without one.
    pub path: Vec<u8>,
    /// `Host` after a rewrite; empty without one.
    pub host: Vec<u8>,
    /// `X-Amzn-Trace-Id` as the target got it.
    pub trace_id: Vec<u8>,
}

/// A response of the balancer's own.
#[derive(Debug, Clone, Copy)]
enum Reply<'r> {
    /// What went wrong, by its status.
    Error(u16),
    /// To `Exchange::redirect_url`.
    Redirect(u16),
    Fixed(&'r FixedResponse),
}

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Next,
    Close(Lingers),
    Break(Why),
}

impl Exchange {
    /// An unused one.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Exchange {
            request: RequestHead::new(),
            response: ResponseHead::new(),
            record: Record::new(now),
            to_target: Outgoing::default(),
            to_client: Outgoing::default(),
            upload: Body::new(BodyLength::None),
            body_bytes: 0,
            download: Body::new(BodyLength::None),
            download_form: Form::AsReceived,
            response_timeout: Duration::ZERO,
            session: Session::default(),
            verdict: Verdict::Serve,
            lines: Vec::new(),
            scratch: Vec::new(),
            redirect_url: Vec::new(),
            path: Vec::new(),
            host: Vec::new(),
            trace_id: Vec::new(),
        }
    }

    /// Gives back all that is worth more than an unused one may hold: buffers, a head's memory, the snapshot it went by.
    pub(super) fn release(&mut self) {
        self.request.clear();
        self.response.clear();
        self.record.terms = None;
        self.session.clear();
        self.to_target.clear();
        self.to_client.clear();
        let kept = [&mut self.lines, &mut self.scratch, &mut self.redirect_url];
        for bytes in kept.into_iter().chain([&mut self.path, &mut self.host, &mut self.trace_id]) {
            bytes.clear();
            bytes.shrink_to(BYTES_KEPT);
        }
    }

    /// Of one that is as `new` or `release` left it.
    pub(super) fn restart(&mut self, number: u32, now: Instant, unix: Duration) {
        self.record.restart(number, now, unix);
        self.upload = Body::new(BodyLength::None);
        self.body_bytes = 0;
        self.verdict = Verdict::Serve;
    }
}

impl<W: World> Connection<'_, W> {
    /// Answers the request in `exchange`, whose head is complete or `refused`.
    pub(super) async fn answer(&mut self, exchange: &mut Exchange, refused: Option<Why>) -> After {
        let Some(terms) = self.world.begin() else {
            return After::Close(Lingers::Yes);
        };
        exchange.record.terms = Some(Rc::clone(&terms));
        if let Some(why) = refused {
            return self.fail(exchange, &terms, why).await;
        }
        exchange.upload = Body::new(exchange.request.body());
        if let Err(why) = admit(exchange, &terms) {
            return self.fail(exchange, &terms, why).await;
        }
        let Exchange { request, record, .. } = &mut *exchange;
        let found = terms.router.find(&Subject::of(request, self.world.ends().client.ip()));
        record.rule = found.priority;
        match found.decision {
            Decision::Forward(forward, rewriter) => self.forward(exchange, &terms, forward, rewriter).await,
            Decision::Redirect(redirect) => {
                record.action = Taken::Redirect;
                if let Err(why) = heads::write_location(exchange, redirect, self.world.ends().local) {
                    return self.fail(exchange, &terms, why).await;
                }
                self.reply(exchange, &terms, Reply::Redirect(redirect.status)).await
            }
            Decision::FixedResponse(fixed) => {
                record.action = Taken::FixedResponse;
                self.reply(exchange, &terms, Reply::Fixed(fixed)).await
            }
        }
    }

    async fn forward(
        &mut self,
        exchange: &mut Exchange,
        terms: &Rc<Terms>,
        forward: &Forward,
        rewriter: Option<&Rewriter>,
    ) -> After {
        exchange.record.action = Taken::Forward;
        let now = self.world.unix_time().as_secs();
        let index =
            sessions::choose_group(&exchange.request, terms, exchange.record.rule, forward, now, self.world.roll());
        let Some((group, http)) = terms.group(index) else {
            return self.fail(exchange, terms, Why::Host).await;
        };
        exchange.record.group = Some(index);
        exchange.session.stays_with_group(forward);
        exchange.response_timeout = http.response_timeout;
        if let Err(why) = admission::fits(&exchange.request, http) {
            return self.fail(exchange, terms, why).await;
        }
        exchange.session.find_target(&exchange.request, terms, group, http, now);
        let mut attempts = W::Attempts::default();
        let mut connection = Wanted::Any;
        loop {
            if let Err(why) = heads::write_request(exchange, self.world, terms, http, rewriter) {
                return self.fail(exchange, terms, why).await;
            }
            let wish = Wish {
                group: index,
                client: self.world.ends().client.ip(),
                sticky: exchange.session.target(),
                connection,
            };
            let leased = self.lease(&wish, &mut attempts).await;
            exchange.record.missed.clear();
            self.world.missed(&attempts, &mut exchange.record.missed);
            let lease = match leased {
                Ok(lease) => lease,
                Err(why) => return self.missed(exchange, terms, why).await,
            };
            exchange.record.leased_at = Some(self.world.now());
            exchange.record.targets.push(lease.address());
            exchange.response.clear();
            lease.moved(Side::Client, exchange.to_target.bytes().len());
            self.ask_for_body(exchange, http);
            match self.relay(exchange, terms, &lease).await {
                End::Complete(fit) => {
                    if fit.target {
                        lease.keep();
                    }
                    return self.completed(exchange, fit);
                }
                End::Upgraded => return self.upgraded(exchange, terms, &lease).await,
                End::Stale => connection = Wanted::New,
                End::Failed(why) => {
                    lease.stream().abort();
                    drop(lease);
                    return self.fail(exchange, terms, why).await;
                }
                End::Broken(why) => {
                    lease.stream().abort();
                    return broken(exchange, why);
                }
            }
        }
    }

    /// A connection to a target, unless the client goes meanwhile.
    async fn lease(&mut self, wish: &Wish<'_>, attempts: &mut W::Attempts) -> Result<W::Lease, Why> {
        let mut leased = pin!(self.world.lease(wish, attempts));
        poll_fn(|context| {
            if let Poll::Ready(leased) = leased.as_mut().poll(context) {
                return Poll::Ready(leased);
            }
            if self.input.is_none() {
                match self.client.poll_recv(context) {
                    Poll::Ready(Ok(Some(buf))) => self.input = Some(buf),
                    Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(Err(Why::ClientGone)),
                    Poll::Pending => {}
                }
            } else if self.client.poll_failed(context).is_ready() {
                return Poll::Ready(Err(Why::ClientGone));
            }
            match self.world.poll_ordered(context) {
                Poll::Ready(Ordered::Now(why)) => Poll::Ready(Err(why)),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// A target that is spoken to in 1.0 knows nothing of 100: the client is told to go on by us (RFC 9110 10.1.1).
    fn ask_for_body(&self, exchange: &mut Exchange, http: &HttpGroup) {
        let waits = exchange.request.expects_continue() && !exchange.upload.is_done() && self.input.is_none();
        if waits && http.version == HttpVersion::V1_0 {
            exchange.to_client.bytes().extend_from_slice(replies::CONTINUE);
            exchange.record.sent_bytes += replies::CONTINUE.len() as u64;
        }
    }

    async fn relay(&mut self, exchange: &mut Exchange, terms: &Terms, lease: &W::Lease) -> End {
        let ends = (self.client, &mut self.input);
        let mut relay = Relay::new(self.world, ends, lease, terms, exchange, &mut self.deadline);
        poll_fn(|context| relay.poll(context)).await
    }

    fn completed(&self, exchange: &Exchange, fit: Fit) -> After {
        if fit.client { After::Next } else { After::Close(self.lingers(exchange)) }
    }

    /// A client that did not ask for the end itself may have sent its next request by now.
    fn lingers(&self, exchange: &Exchange) -> Lingers {
        let sent_all = exchange.upload.is_done() && self.input.is_none() && !exchange.request.wants_keep_alive();
        if sent_all { Lingers::No } else { Lingers::Yes }
    }

    async fn missed(&mut self, exchange: &mut Exchange, terms: &Terms, why: Why) -> After {
        if why == Why::ClientGone {
            return broken(exchange, why);
        }
        self.fail(exchange, terms, why).await
    }

    /// Tells the client what went wrong.
    async fn fail(&mut self, exchange: &mut Exchange, terms: &Terms, why: Why) -> After {
        exchange.record.why = Some(why);
        let reply = Reply::Error(why.status());
        // Where the request's end is in doubt, or its connection was too slow, nothing more of it is read.
        let ends = matches!(why.status(), 400 | 408 | 413 | 414 | 431 | 501 | 505)
            || matches!(why, Why::Drained | Why::Deregistered);
        if !ends {
            return self.reply(exchange, terms, reply).await;
        }
        self.write_reply(exchange, terms, reply, After::Close(Lingers::Yes));
        match self.flush(exchange, terms.http.send_timeout).await {
            Ok(()) => After::Close(Lingers::Yes),
            Err(why) => After::Break(why),
        }
    }

    /// Sends a response of the balancer's own, and goes on if the request allows. The response goes ahead of the rest of the
    /// request's body: it does not depend on it, and a slow body would hold it up.
    async fn reply(&mut self, exchange: &mut Exchange, terms: &Terms, reply: Reply<'_>) -> After {
        let stays = exchange.request.wants_keep_alive() && !self.world.is_finishing();
        let stays = stays && exchange.verdict == Verdict::Serve && self.may_skip_body(exchange);
        let after = if stays { After::Next } else { After::Close(self.lingers(exchange)) };
        self.write_reply(exchange, terms, reply, after);
        match self.flush(exchange, terms.http.send_timeout).await {
            Ok(()) if stays && !self.skip_body(exchange, terms.http.body_timeout).await => After::Close(Lingers::Yes),
            Ok(()) => after,
            Err(why) => broken(exchange, why),
        }
    }

    fn write_reply(&self, exchange: &mut Exchange, terms: &Terms, reply: Reply<'_>, after: After) {
        let Exchange { request, to_client, record, redirect_url, .. } = &mut *exchange;
        let setting = Setting {
            connection: heads::client_connection(request, after == After::Next),
            body: if request.is_head() { replies::Body::Withheld } else { replies::Body::Sent },
            server: terms.http.server_header.as_deref(),
            date: &self.world.date(),
        };
        // Behind interim responses that are not out yet: half of one may be.
        let out = to_client.bytes();
        let before = out.len();
        record.status = match reply {
            Reply::Error(status) => {
                replies::error(status, &terms.http.error_pages, &setting, out);
                status
            }
            Reply::Redirect(status) => {
                replies::redirect(status, redirect_url, &setting, out);
                status
            }
            Reply::Fixed(fixed) => {
                replies::fixed(fixed, &setting, out);
                fixed.status
            }
        };
        record.sent_bytes += (out.len() - before) as u64;
    }

    /// Everything that was written for the target is queued with its stream.
    async fn flush_to(&mut self, lease: &W::Lease, exchange: &mut Exchange) -> Result<(), Why> {
        let at = self.world.now() + exchange.response_timeout;
        poll_fn(|context| {
            if let Poll::Ready(sent) = exchange.to_target.poll(self.world.pool(), lease.stream(), context) {
                return Poll::Ready(sent.map_err(|_| Why::TargetClosed));
            }
            if let Poll::Ready(Ordered::Now(why)) = self.world.poll_ordered(context) {
                return Poll::Ready(Err(why));
            }
            self.deadline.poll(self.world, at, context).map(|()| Err(Why::ResponseTimeout))
        })
        .await
    }

    /// The rest is the two sides' own business (requirement P3): relayed as L4 does, with the idle timeout.
    async fn upgraded(&mut self, exchange: &mut Exchange, terms: &Terms, lease: &W::Lease) -> After {
        exchange.record.upgraded = true;
        if let Err(why) = self.flush(exchange, terms.http.send_timeout).await {
            return broken(exchange, why);
        }
        if let Some(buf) = self.input.take() {
            exchange.record.client_bytes += buf.len() as u64;
            lease.moved(Side::Client, buf.len());
            exchange.to_target.pass(buf);
            if let Err(why) = self.flush_to(lease, exchange).await {
                lease.stream().abort();
                return broken(exchange, why);
            }
        }
        let moved_at = Cell::new(self.world.now());
        let bytes = [Cell::new(0), Cell::new(0)];
        let moved = |from: Side, count: usize| {
            moved_at.set(self.world.now());
            bytes[from as usize].set(bytes[from as usize].get() + count as u64);
            lease.moved(from, count);
        };
        let idle = terms.listener.idle_timeout;
        let ended = {
            // Boxed: an upgraded connection lives long, all others should not carry its state.
            let mut relayed = Box::pin(l4::relay(self.client, lease.stream(), moved));
            poll_fn(|context| {
                if let Poll::Ready(ended) = relayed.as_mut().poll(context) {
                    return Poll::Ready(ended.map_err(|fault| match fault.side {
                        Side::Client => Why::ClientGone,
                        Side::Target => Why::TargetClosed,
                    }));
                }
                if let Poll::Ready(Ordered::Now(why)) = self.world.poll_ordered(context) {
                    return Poll::Ready(Err(why));
                }
                self.deadline.poll(self.world, moved_at.get() + idle, context).map(|()| Err(Why::IdleTimeout))
            })
            .await
        };
        exchange.record.client_bytes += bytes[Side::Client as usize].get();
        exchange.record.sent_bytes += bytes[Side::Target as usize].get();
        match ended {
            Ok(()) => After::Close(Lingers::No),
            Err(why) => {
                lease.stream().abort();
                exchange.record.why = Some(why);
                After::Break(why)
            }
        }
    }
}

/// What is refused whatever the rules say.
fn admit(exchange: &mut Exchange, terms: &Terms) -> Result<(), Why> {
    let Exchange { request, record, verdict, .. } = exchange;
    record.finding = request.finding();
    *verdict = record.finding.verdict(terms.http.hygiene);
    admission::admit(request, *verdict, &terms.http)
}

/// The client's connection is to be reset: its response is cut short, or there is nobody to respond to.
fn broken(exchange: &mut Exchange, why: Why) -> After {
    exchange.record.why = Some(why);
    if why == Why::ClientGone {
        exchange.record.status = why.status();
    }
    After::Break(why)
}

/// Capacity that each piece of a head keeps from request to request: they are shorter, nearly always.
const BYTES_KEPT: usize = 2048;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{self, Mode};

    #[test]
    fn an_unused_exchange_keeps_neither_long_heads_nor_the_snapshot_that_it_went_by() {
        let text = "[[listener]]\nname = \"web\"\nprotocol = \"http\"\naddress = \"192.0.2.1:80\"\n\
                    default_action = { fixed_response = { status = 200 } }\n";
        let snapshot = Arc::new(config::parse("test", text, Mode::Demo).expect("a good config"));
        let terms = Terms::new(&snapshot, &snapshot.listeners[0], None).expect("http");
        let mut exchange = Exchange::new(Instant::now());
        exchange.record.terms = Some(Rc::new(terms));
        exchange.lines.resize(64 << 10, b'x');
        exchange.scratch.resize(64 << 10, b'x');
        exchange.release();
        assert_eq!(Arc::strong_count(&snapshot), 1);
        assert!(exchange.lines.capacity() <= BYTES_KEPT && exchange.scratch.capacity() <= BYTES_KEPT);
    }
}
