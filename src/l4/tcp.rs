//! The TCP relay: both directions at once, each ended by its own side, a reset handed on as a reset.
//!
//!     client --recv--> moved --> send--> target      Open --end--> the other side's sending is shut down (half-close)
//!     client <--send-- moved <-- recv<-- target        `--error--> both directions stop; the caller resets the other side
//!
//! A direction holds at most one buffer in hand and those of the two sockets' queues (`SEND_QUEUE_MAX`,
//! `RECEIVE_QUEUE_MAX`): a slow reader stops its sender and costs no more memory.
//! Before: shard/connect.rs. Next: shard/close.rs.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;

use crate::ring::Stream;

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
/// # Errors
/// A side failed. Neither stream is closed or reset: that is the caller's.
pub async fn relay(client: &impl Stream, target: &impl Stream, moved: impl Fn(Side, usize)) -> Result<(), Fault> {
    let one_done = Cell::new(false);
    let mut from_client = pin!(direction(client, Side::Client, target, Side::Target, &moved, &one_done));
    let mut from_target = pin!(direction(target, Side::Target, client, Side::Client, &moved, &one_done));
    let (mut client_done, mut target_done) = (false, false);
    std::future::poll_fn(|context| {
        if !client_done && let Poll::Ready(end) = from_client.as_mut().poll(context) {
            client_done = true;
            end?;
        }
        if !target_done && let Poll::Ready(end) = from_target.as_mut().poll(context) {
            target_done = true;
            end?;
        }
        if client_done && target_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

async fn direction(
    from: &impl Stream,
    from_side: Side,
    to: &impl Stream,
    to_side: Side,
    moved: &impl Fn(Side, usize),
    other_done: &Cell<bool>,
) -> Result<(), Fault> {
    while let Some(buf) = from.recv().await.map_err(|error| Fault { side: from_side, error })? {
        moved(from_side, buf.len());
        to.send(buf).await.map_err(|error| Fault { side: to_side, error })?;
    }
    // The last direction need not say that it ended: the close that follows at once does.
    let ended = if other_done.get() { to.flush().await } else { to.shutdown().await };
    other_done.set(true);
    ended.map_err(|error| Fault { side: to_side, error })
}
