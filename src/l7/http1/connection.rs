//! One client's HTTP/1 connection: request after request, until either side has enough.
//!
//!     idle --first byte--> head --complete--> exchange --response out--> idle            (kept alive)
//!       |                    |                   |`--last response--> lingering --> closed
//!       |                    `--refused, late----'`--101--> relayed as L4 until both have ended
//!       `--idle timeout, drain, the client's end--> closed
//!
//! An idle connection holds no buffer and no exchange: a stream, one deadline, and this state.
//! Before: shard/accept.rs. Next: l7/http1/exchange.rs for a request, shard/close.rs at the end.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use quanta::Instant;

use super::exchange::{After, Exchange};
use crate::l7::deadline::Deadline;
use crate::l7::framing::{BodyLength, Form};
use crate::l7::why::Why;
use crate::l7::world::{Ordered, World};
use crate::ring::{Buf, Stream};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// In order: by either side after a whole response, or before any request.
    Completed,
    /// Nothing came for the idle timeout.
    Idle,
    /// In the middle of something: the client is to see a reset.
    Broken(Why),
}

pub(super) struct Connection<'c, W: World> {
    pub(super) world: &'c W,
    pub(super) client: &'c W::Stream,
    /// Received and not yet looked at.
    pub(super) input: Option<Buf>,
    pub(super) deadline: Deadline<W>,
    requests: u32,
}

/// Serves `client` to its end. Everything is out when it ends `Completed`: the stream may be closed.
pub async fn serve<W: World>(world: &W, client: &W::Stream) -> Closed {
    let mut connection = Connection { world, client, input: None, deadline: Deadline::new(), requests: 0 };
    loop {
        let (mut exchange, refused) = match connection.next_head().await {
            Head::Complete(exchange) => (exchange, None),
            Head::Refused(exchange, why) => (exchange, Some(why)),
            Head::Over(closed) => return connection.over(closed).await,
        };
        let after = connection.answer(&mut exchange, refused).await;
        exchange.record.ended_at = world.now();
        world.finished(&exchange);
        connection.give_back(exchange);
        match after {
            After::Next => {}
            After::Close(lingers) => return connection.close(lingers).await,
            After::Break(why) => return Closed::Broken(why),
        }
    }
}

/// What came instead of silence.
enum Head {
    Complete(Box<Exchange>),
    Refused(Box<Exchange>, Why),
    Over(Closed),
}

/// Whether bytes of the client may still be on their way when its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lingers {
    /// It has sent all it had to.
    No,
    /// A close with bytes unread is a reset, which could overtake the response (RFC 9112 9.6).
    Yes,
}

impl<W: World> Connection<'_, W> {
    async fn next_head(&mut self) -> Head {
        let quiet_since = self.world.now();
        let mut exchange = None;
        poll_fn(|context| self.poll_head(&mut exchange, quiet_since, context)).await
    }

    fn poll_head(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        quiet_since: Instant,
        context: &mut Context<'_>,
    ) -> Poll<Head> {
        loop {
            let buf = match &mut self.input {
                Some(buf) => buf,
                None => match self.client.poll_recv(context) {
                    Poll::Ready(Ok(Some(buf))) => self.input.insert(buf),
                    Poll::Ready(Ok(None)) => return Poll::Ready(self.no_head(exchange.take(), Closed::Completed)),
                    Poll::Ready(Err(_)) => {
                        return Poll::Ready(self.no_head(exchange.take(), Closed::Broken(Why::ClientGone)));
                    }
                    Poll::Pending => return self.poll_silence(exchange, quiet_since, context),
                },
            };
            let begun = exchange.get_or_insert_with(|| {
                self.requests += 1;
                let mut exchange = self.world.exchange();
                exchange.restart(self.requests, self.world.now(), self.world.unix_time());
                exchange
            });
            match begun.request.read(buf) {
                Ok(read) => {
                    begun.record.client_bytes += read.taken as u64;
                    buf.advance(read.taken);
                    if buf.is_empty() {
                        self.input = None;
                    }
                    if read.complete {
                        begun.record.head_at = Some(self.world.now());
                        return Poll::Ready(exchange.take().map_or(Head::Over(Closed::Completed), Head::Complete));
                    }
                }
                Err(refused) => {
                    begun.record.client_bytes += buf.len() as u64;
                    begun.record.finding = refused.finding;
                    let refused = |exchange| Head::Refused(exchange, Why::of_status(refused.status));
                    return Poll::Ready(exchange.take().map_or(Head::Over(Closed::Completed), refused));
                }
            }
        }
    }

    /// Nothing came: may it go on like this?
    fn poll_silence(
        &mut self,
        exchange: &mut Option<Box<Exchange>>,
        quiet_since: Instant,
        context: &mut Context<'_>,
    ) -> Poll<Head> {
        let ordered = self.world.poll_ordered(context);
        let patience = self.world.patience();
        let Some(begun) = exchange.take_if(|exchange| exchange.request.is_started()) else {
            // Empty lines behind a body (RFC 9112 2.2) begin no request, and take no time of its head's.
            if let Some(unused) = exchange.take_if(|exchange| exchange.request.is_blank()) {
                self.requests -= 1;
                self.give_back(unused);
            }
            if let Poll::Ready(ordered) = ordered {
                let closed = match ordered {
                    Ordered::Finish => Closed::Completed,
                    Ordered::Now(why) => Closed::Broken(why),
                };
                return Poll::Ready(self.no_head(exchange.take(), closed));
            }
            let idle = self.deadline.poll(self.world, quiet_since + patience.idle, context);
            return idle.map(|()| self.no_head(exchange.take(), Closed::Idle));
        };
        if let Poll::Ready(Ordered::Now(why)) = ordered {
            return Poll::Ready(self.no_head(Some(begun), Closed::Broken(why)));
        }
        let late = self.deadline.poll(self.world, begun.record.started_at + patience.header, context);
        if late.is_ready() {
            return Poll::Ready(Head::Refused(begun, Why::HeaderTimeout));
        }
        *exchange = Some(begun);
        Poll::Pending
    }

    /// The connection ended before a head was complete. Of a head that had begun the log is told.
    fn no_head(&self, exchange: Option<Box<Exchange>>, closed: Closed) -> Head {
        let Some(mut exchange) = exchange else { return Head::Over(closed) };
        let begun = exchange.request.is_started();
        let why = if let Closed::Broken(why) = closed { why } else { Why::ClientGone };
        if begun {
            exchange.record.terms = self.world.begin();
            exchange.record.why = Some(why);
            // Of other reasons than its own the client is not told.
            exchange.record.status = if why == Why::ClientGone { why.status() } else { 0 };
            exchange.record.ended_at = self.world.now();
            self.world.finished(&exchange);
        }
        self.give_back(exchange);
        Head::Over(if begun { Closed::Broken(why) } else { closed })
    }

    fn give_back(&self, mut exchange: Box<Exchange>) {
        exchange.release();
        self.world.recycle(exchange);
    }

    /// Everything that was written for the client is queued with its stream.
    pub(super) async fn flush(&mut self, exchange: &mut Exchange, limit: Duration) -> Result<(), Why> {
        let at = self.world.now() + limit;
        poll_fn(|context| {
            if let Poll::Ready(sent) = exchange.to_client.poll(self.world.pool(), self.client, context) {
                return Poll::Ready(sent.map_err(|error| Why::of_client_error(&error)));
            }
            if let Poll::Ready(Ordered::Now(why)) = self.world.poll_ordered(context) {
                return Poll::Ready(Err(why));
            }
            self.deadline.poll(self.world, at, context).map(|()| Err(Why::SendTimeout))
        })
        .await
    }

    /// Whether it is worth it to read what is left of the request's body, so that the connection can be used again: not where it
    /// is long, or the client waits to be asked for it.
    pub(super) fn may_skip_body(&self, exchange: &Exchange) -> bool {
        let too_long = matches!(exchange.request.body(), BodyLength::Length(length) if length > SKIP_BYTES_MAX);
        let is_waiting = exchange.request.expects_continue() && self.input.is_none();
        exchange.upload.is_done() || !too_long && !is_waiting
    }

    /// Reads what is left of the request's body. False where it is long, slow or broken after all.
    pub(super) async fn skip_body(&mut self, exchange: &mut Exchange, limit: Duration) -> bool {
        let mut skipped = 0;
        while !exchange.upload.is_done() && skipped <= SKIP_BYTES_MAX {
            let Some(mut buf) = self.more(limit).await else { return false };
            exchange.scratch.clear();
            let Ok(relayed) = exchange.upload.relay(&buf, Form::AsReceived, &mut exchange.scratch) else {
                return false;
            };
            skipped += relayed.taken as u64;
            exchange.record.client_bytes += relayed.taken as u64;
            buf.advance(relayed.taken);
            self.input = Some(buf).filter(|buf| !buf.is_empty());
        }
        exchange.upload.is_done()
    }

    /// The client's next bytes, unless it ends, or is silent for too long.
    async fn more(&mut self, limit: Duration) -> Option<Buf> {
        if let Some(buf) = self.input.take() {
            return Some(buf);
        }
        let at = self.world.now() + limit;
        poll_fn(|context| {
            if let Poll::Ready(received) = self.client.poll_recv(context) {
                return Poll::Ready(received.ok().flatten());
            }
            if let Poll::Ready(Ordered::Now(_)) = self.world.poll_ordered(context) {
                return Poll::Ready(None);
            }
            self.deadline.poll(self.world, at, context).map(|()| None)
        })
        .await
    }

    /// No request follows. What was queued for the client may not be out.
    async fn over(&mut self, closed: Closed) -> Closed {
        match closed {
            Closed::Completed => self.close(Lingers::No).await,
            Closed::Idle if !self.is_out().await => Closed::Broken(Why::SendTimeout),
            Closed::Idle | Closed::Broken(_) => closed,
        }
    }

    async fn is_out(&self) -> bool {
        poll_fn(|context| Poll::Ready(self.client.poll_flush(context).is_ready())).await
    }

    /// The last response is queued: out with it, and then the end. An order to end changes nothing any more.
    async fn close(&mut self, lingers: Lingers) -> Closed {
        let at = self.world.now() + CLOSE_LIMIT;
        let out = poll_fn(|context| {
            if let Poll::Ready(out) = self.client.poll_flush(context) {
                return Poll::Ready(out.is_ok());
            }
            self.deadline.poll(self.world, at, context).map(|()| false)
        });
        if !out.await {
            return Closed::Broken(Why::ClientGone);
        }
        if lingers == Lingers::Yes && self.client.finish_sending().is_ok() {
            let mut bytes = 0;
            let until = self.world.now() + LINGER;
            while bytes < SKIP_BYTES_MAX && self.world.now() < until {
                match self.more(LINGER).await {
                    Some(buf) => bytes += buf.len() as u64,
                    None => break,
                }
            }
        }
        Closed::Completed
    }
}

/// Longest rest of a body that is read only to keep the connection. Ours: what a connection costs is less than that.
const SKIP_BYTES_MAX: u64 = 256 << 10;
/// A client that does not take its last response for so long has lost it. ALB's and nginx's 60 s.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);
/// How long a closed connection is read from, so that what the client still sends does not turn the close into a reset.
/// nginx waits 5 s for each piece (`lingering_timeout`).
const LINGER: Duration = Duration::from_secs(5);
