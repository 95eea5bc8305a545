//! The TCP relay: both directions at once, each ended by its own side, a reset handed on as a reset.
//!
//!     client --recv--> moved --> send--> target      Open --end--> the other side's sending is shut down (half-close)
//!     client <--send-- moved <-- recv<-- target        `--error--> both directions stop; the caller resets the other side
//!
//! A direction holds one buffer in hand and those of the two sockets' queues (`SEND_QUEUE_MAX`, `RECEIVE_QUEUE_MAX`); a first
//! burst may exceed the latter by what the kernel receives before the cancel of a multishot gets through (some 100 buffers
//! were seen). A slow reader stops its sender.
//! Before: shard/connect.rs. Next: shard/close.rs.

use std::io;
use std::task::{Context, Poll, ready};

use crate::ring::{Buf, Stream};

/// One of the two sides of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who connected to us.
    Client,
    /// Whom we connected to.
    Target,
}

/// A connection that did not end by both sides finishing.
#[derive(Debug)]
pub struct Fault {
    /// Whose socket failed.
    pub side: Side,
    /// How.
    pub error: io::Error,
}

/// Relays until both sides have finished sending, or one fails. `moved(from, bytes)` sees every piece as it passes.
///
/// Everything is out when it ends well: the streams may be closed at once.
///
/// # Errors
/// A side failed. Neither stream is closed or reset: that is the caller's.
pub async fn relay(client: &impl Stream, target: &impl Stream, moved: impl Fn(Side, usize)) -> Result<(), Fault> {
    let mut from_client = Direction::Open(None);
    let mut from_target = Direction::Open(None);
    std::future::poll_fn(|context| {
        let done = from_target.is_done();
        let client_ended = from_client.poll((client, Side::Client), (target, Side::Target), &moved, done, context)?;
        let done = from_client.is_done();
        let target_ended = from_target.poll((target, Side::Target), (client, Side::Client), &moved, done, context)?;
        if client_ended.is_ready() && target_ended.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction of a relay: a few bytes, as there are two for each connection.
enum Direction {
    /// Bytes pass. One buffer is in hand while the other side's queue is full.
    Open(Option<Buf>),
    /// The sender has finished; what it sent is on its way out.
    Ending,
    /// The receiver knows that it was all.
    Done,
}

impl Direction {
    fn is_done(&self) -> bool {
        matches!(self, Direction::Done)
    }

    fn poll(
        &mut self,
        (from, from_side): (&impl Stream, Side),
        (to, to_side): (&impl Stream, Side),
        moved: &impl Fn(Side, usize),
        other_done: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        let failed = |side| move |error| Fault { side, error };
        loop {
            match self {
                Direction::Open(held) => {
                    if held.is_some() && to.poll_send(held, context).map_err(failed(to_side))?.is_pending() {
                        return from.poll_failed(context).map(failed(from_side)).map(Err);
                    }
                    match ready!(from.poll_recv(context)).map_err(failed(from_side))? {
                        Some(buf) => {
                            moved(from_side, buf.len());
                            *held = Some(buf);
                        }
                        None => *self = Direction::Ending,
                    }
                }
                Direction::Ending => {
                    if to.poll_flush(context).map_err(failed(to_side))?.is_pending() {
                        return from.poll_failed(context).map(failed(from_side)).map(Err);
                    }
                    // The last direction need not say that it ended: the close that follows at once does.
                    if !other_done {
                        to.finish_sending().map_err(failed(to_side))?;
                    }
                    *self = Direction::Done;
                }
                Direction::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}
