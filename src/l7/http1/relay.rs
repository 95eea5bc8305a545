//! One request to a target and its response back: both ways at once, with backpressure.
//!
//!     client --recv--> upload: Body::relay --> to_target --send--> target
//!     client <--send-- to_client <-- download: head, then Body::relay <--recv-- target
//!
//!     Upload:    Open --last byte is queued--> Sent             Download:  Head --final response--> Body --last byte--> Done
//!                 `--the target reads no more--> Abandoned                  `--101--> Upgrade
//!
//! It is over when the response is out and the request is, too, or never will be: a target may answer early, and whether the
//! rest of the body is still wanted is what its response says of the connection (RFC 9112 9.3, 9.6). Until the response's
//! head is with the client any failure can still be answered; after that the client's connection is broken, so that a
//! truncated response never looks complete.
//!
//! Always: no byte past a message's end is taken from the client (it stays in `input`) or accepted from a target (the
//! connection is then not used again).

use std::task::{Context, Poll};
use std::time::Duration;

use quanta::Instant;

use super::exchange::Exchange;
use super::heads;
use crate::l4::Side;
use crate::l7::deadline::Deadline;
use crate::l7::framing::{Body, BodyLength, Form, Forward, Version};
use crate::l7::why::{Why, is_ours};
use crate::l7::world::{Lease, Ordered, Terms, World};
use crate::ring::{Buf, Stream};

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The response is out.
    Complete(Fit),
    /// The target switched protocols; the head that says so is out.
    Upgraded,
    /// Not a byte came back on a connection that had been idle: another target, or the same, may be tried.
    Stale,
    /// Nothing of a response has gone to the client.
    Failed(Why),
    /// In the middle of the response, or without a client.
    Broken(Why),
}

/// Which connections can serve another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) client: bool,
    pub(super) target: bool,
}

impl Fit {
    const NEITHER: Fit = Fit { client: false, target: false };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    Open,
    Sent,
    Abandoned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Download {
    Head,
    Body,
    Done,
}

/// Who is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The client's body.
    Body,
    /// The target: its response, or that it reads.
    Target,
    /// The client: that it reads.
    Reader,
}

/// A request on its way. See the module's header.
pub(super) struct Relay<'r, W: World> {
    world: &'r W,
    client: &'r W::Stream,
    lease: &'r W::Lease,
    terms: &'r Terms,
    exchange: &'r mut Exchange,
    input: &'r mut Option<Buf>,
    deadline: &'r mut Deadline<W>,
    state: State,
}

struct State {
    upload: Upload,
    download: Download,
    /// A head came from the target, be it a 1xx.
    heard: bool,
    /// Something of the response has been queued for the client: 1xx do not count.
    answering: bool,
    fit: Fit,
    /// Who is waited for, and since when, or since something last moved.
    waiting: Waiting,
    moved_at: Instant,
    /// Bytes that were not taken yet, at the last look.
    left: usize,
}

impl State {
    fn failed(&self, why: Why) -> End {
        if self.answering { End::Broken(why) } else { End::Failed(why) }
    }
}

impl<'r, W: World> Relay<'r, W> {
    /// The request's head is in `exchange.to_target` already.
    pub(super) fn new(
        world: &'r W,
        (client, input): (&'r W::Stream, &'r mut Option<Buf>),
        lease: &'r W::Lease,
        terms: &'r Terms,
        exchange: &'r mut Exchange,
        deadline: &'r mut Deadline<W>,
    ) -> Self {
        let state = State {
            upload: Upload::Open,
            download: Download::Head,
            heard: false,
            answering: false,
            fit: Fit::NEITHER,
            waiting: Waiting::Target,
            moved_at: world.now(),
            left: 0,
        };
        Relay { world, client, lease, terms, exchange, input, deadline, state }
    }

    /// To be polled to its end, or dropped with the connections broken.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        if self.state.upload == Upload::Open
            && let Poll::Ready(Err(end)) = self.poll_upload(context)
        {
            return Poll::Ready(end);
        }
        if self.state.download != Download::Done
            && let Poll::Ready(Err(end)) = self.poll_download(context)
        {
            return Poll::Ready(end);
        }
        if self.is_answered() {
            match self.state.upload {
                Upload::Sent => return Poll::Ready(End::Complete(self.state.fit)),
                // The target wants no more of it.
                Upload::Abandoned => return Poll::Ready(End::Complete(Fit::NEITHER)),
                Upload::Open if !self.state.fit.target => return Poll::Ready(End::Complete(Fit::NEITHER)),
                Upload::Open => {}
            }
        }
        if let Poll::Ready(end) = self.poll_client_gone(context) {
            return Poll::Ready(end);
        }
        if let Poll::Ready(Ordered::Now(why)) = self.world.poll_ordered(context) {
            return Poll::Ready(self.state.failed(why));
        }
        let waiting = self.waiting();
        let left = self.exchange.to_client.left() + self.exchange.to_target.left();
        if (waiting, left) != (self.state.waiting, self.state.left) {
            // What one of them took his time for does not count against another, and a part of a long head is something.
            (self.state.waiting, self.state.left) = (waiting, left);
            self.state.moved_at = self.world.now();
        }
        let at = self.state.moved_at + self.limit(waiting);
        self.deadline.poll(self.world, at, context).map(|()| self.timed_out(waiting))
    }

    /// The whole response is queued with the client's stream.
    fn is_answered(&self) -> bool {
        self.state.download == Download::Done && self.exchange.to_client.is_empty()
    }

    /// The client ended. It may, with its response in hand, though not all of its body was sent (RFC 9112 9.5).
    fn client_gone(&self) -> End {
        if self.is_answered() { End::Complete(Fit::NEITHER) } else { End::Broken(Why::ClientGone) }
    }

    fn waiting(&self) -> Waiting {
        let target_has_it_all = self.state.upload == Upload::Open && self.exchange.to_target.is_empty();
        if !self.exchange.to_client.is_empty() {
            Waiting::Reader
        } else if target_has_it_all && !self.waits_for_100() {
            Waiting::Body
        } else {
            Waiting::Target
        }
    }

    /// The client sends nothing before it is told to.
    fn waits_for_100(&self) -> bool {
        let Exchange { request, record, body_bytes, .. } = &*self.exchange;
        request.expects_continue() && record.sent_bytes == 0 && *body_bytes == 0
    }

    fn limit(&self, waiting: Waiting) -> Duration {
        match waiting {
            Waiting::Body => self.terms.http.body_timeout,
            Waiting::Target => self.exchange.response_timeout,
            Waiting::Reader => self.terms.http.send_timeout,
        }
    }

    #[cold]
    fn timed_out(&self, waiting: Waiting) -> End {
        match waiting {
            // The rest of the body does not come, or is not taken.
            Waiting::Body | Waiting::Target if self.is_answered() => End::Complete(Fit::NEITHER),
            Waiting::Body => self.state.failed(Why::BodyTimeout),
            Waiting::Target => self.state.failed(Why::ResponseTimeout),
            Waiting::Reader => End::Broken(Why::SendTimeout),
        }
    }

    /// `Ok` when the request is out, or the target takes no more.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            // What is here already leaves with the head, in one send where it fits.
            if !self.exchange.upload.is_done()
                && self.exchange.to_target.can_pass()
                && let Some(buf) = self.input.take()
                && let Err(why) = self.pass_body(buf)
            {
                return Poll::Ready(Err(self.state.failed(why)));
            }
            match self.exchange.to_target.poll(self.world.pool(), self.lease.stream(), context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if is_ours(&error) => return Poll::Ready(Err(self.state.failed(Why::Host))),
                Poll::Ready(Err(_)) => {
                    // It may have answered before it closed.
                    self.state.upload = Upload::Abandoned;
                    self.exchange.to_target.clear();
                    return Poll::Ready(Ok(()));
                }
            }
            if self.exchange.upload.is_done() {
                self.state.upload = Upload::Sent;
                self.state.moved_at = self.world.now();
                return Poll::Ready(Ok(()));
            }
            match self.client.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(buf))) => *self.input = Some(buf),
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(Err(self.client_gone())),
            }
            self.state.moved_at = self.world.now();
        }
    }

    /// A piece of the request's body; what is behind its end stays in `input`.
    fn pass_body(&mut self, mut buf: Buf) -> Result<(), Why> {
        let Exchange { upload, to_target, record, .. } = &mut *self.exchange;
        let relayed = upload.relay(&buf, Form::AsReceived, to_target.bytes()).map_err(|_| Why::BadRequest)?;
        record.client_bytes += relayed.taken as u64;
        self.lease.moved(Side::Client, relayed.taken);
        self.exchange.body_bytes += relayed.payload as u64;
        if self.terms.http.body_bytes_max.is_some_and(|most| self.exchange.body_bytes > most.get()) {
            return Err(Why::BodyTooLarge);
        }
        if relayed.taken < buf.len() {
            *self.input = Some(buf.split_off(relayed.taken).ok_or(Why::Host)?);
        }
        match relayed.forward {
            Forward::AsIs => self.exchange.to_target.pass(buf),
            Forward::Rewritten => {}
        }
        Ok(())
    }

    /// `Ok` when the response is out.
    fn poll_download(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            match self.exchange.to_client.poll(self.world.pool(), self.client, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Broken(Why::of_client_error(&error)))),
            }
            if self.state.download == Download::Body && self.exchange.download.is_done() {
                self.state.download = Download::Done;
                return Poll::Ready(Ok(()));
            }
            let received = match self.lease.stream().poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(received) => received,
            };
            self.state.moved_at = self.world.now();
            let taken = match received {
                Ok(Some(buf)) => self.take(buf),
                Ok(None) => self.target_ended(),
                Err(error) if is_ours(&error) => Err(self.state.failed(Why::Host)),
                Err(_) => Err(self.target_failed()),
            };
            if let Err(end) = taken {
                return Poll::Ready(Err(end));
            }
        }
    }

    /// Bytes of the target.
    fn take(&mut self, mut buf: Buf) -> Result<(), End> {
        self.lease.moved(Side::Target, buf.len());
        while self.state.download == Download::Head {
            let read = self.exchange.response.read(&buf).map_err(|_| self.state.failed(Why::BadResponse))?;
            buf.advance(read.taken);
            if !read.complete {
                return Ok(());
            }
            self.head_came(&mut buf)?;
        }
        if buf.is_empty() { Ok(()) } else { self.pass_response(buf) }
    }

    /// A head of the target: interim, final, or the end of HTTP.
    fn head_came(&mut self, buf: &mut Buf) -> Result<(), End> {
        let status = self.exchange.response.status();
        self.state.heard = true;
        match status {
            101 => Err(self.switch(buf)),
            100..=199 => {
                if self.exchange.request.version() == Version::Http11 {
                    heads::write_interim(self.exchange);
                }
                self.exchange.response.clear();
                Ok(())
            }
            _ => {
                let upload_over = self.state.upload == Upload::Sent;
                self.state.fit = heads::write_response(self.exchange, self.world, self.terms, self.lease, upload_over);
                self.state.answering = true;
                self.state.download = Download::Body;
                self.lease.answered(status);
                Ok(())
            }
        }
    }

    /// 101: the caller relays from here on. Only where it was asked for, and says to what (RFC 9110 15.2.2).
    fn switch(&mut self, buf: &mut Buf) -> End {
        let Exchange { request, response, .. } = &*self.exchange;
        let is_agreed = request.upgrade().is_some() && response.upgrade().is_some();
        if !is_agreed || self.state.upload != Upload::Sent {
            return self.state.failed(Why::BadResponse);
        }
        let rest = if buf.is_empty() { None } else { buf.split_off(0) };
        if rest.is_none() && !buf.is_empty() {
            return self.state.failed(Why::Host);
        }
        heads::write_switch(self.exchange, self.world);
        self.lease.answered(101);
        if let Some(rest) = rest {
            self.exchange.to_client.pass(rest);
        }
        End::Upgraded
    }

    fn pass_response(&mut self, mut buf: Buf) -> Result<(), End> {
        let Exchange { download, download_form, to_client, record, .. } = &mut *self.exchange;
        let written = to_client.bytes().len();
        let relayed =
            download.relay(&buf, *download_form, to_client.bytes()).map_err(|_| End::Broken(Why::BadResponse))?;
        if relayed.taken < buf.len() {
            // More than the response: whose would it be?
            self.state.fit.target = false;
            buf.truncate(relayed.taken);
        }
        match relayed.forward {
            Forward::AsIs => {
                record.sent_bytes += relayed.taken as u64;
                if !buf.is_empty() {
                    to_client.pass(buf);
                }
            }
            Forward::Rewritten => record.sent_bytes += (to_client.bytes().len() - written) as u64,
        }
        Ok(())
    }

    /// The target finished sending.
    #[cold]
    fn target_ended(&mut self) -> Result<(), End> {
        self.state.fit.target = false;
        if self.state.download == Download::Head {
            return Err(self.target_failed());
        }
        self.exchange.download.ended().map_err(|_| End::Broken(Why::TargetClosed))?;
        if self.exchange.download_form == Form::Chunked {
            self.exchange.to_client.bytes().extend_from_slice(Body::LAST_CHUNK);
            self.exchange.record.sent_bytes += Body::LAST_CHUNK.len() as u64;
        }
        Ok(())
    }

    /// The target's connection is lost, or as good as lost.
    #[cold]
    fn target_failed(&mut self) -> End {
        let nothing_came = !self.state.heard && !self.exchange.response.is_started();
        let safe = self.exchange.request.is_idempotent() && self.exchange.request.body() == BodyLength::None;
        if nothing_came && safe && self.lease.is_reused() {
            return End::Stale;
        }
        self.state.failed(Why::TargetClosed)
    }

    /// While the client is not received from, its end would go unseen. Bytes that come now are its next request.
    fn poll_client_gone(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let gone = Poll::Ready(self.client_gone());
        if self.state.upload == Upload::Open && self.exchange.to_target.is_empty() {
            return Poll::Pending;
        }
        if self.state.upload == Upload::Sent && self.input.is_none() {
            match self.client.poll_recv(context) {
                Poll::Ready(Ok(Some(buf))) => *self.input = Some(buf),
                Poll::Ready(Ok(None) | Err(_)) => return gone,
                Poll::Pending => return Poll::Pending,
            }
        }
        match self.client.poll_failed(context) {
            Poll::Ready(_) => gone,
            Poll::Pending => Poll::Pending,
        }
    }
}
