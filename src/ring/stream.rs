//! What protocol code sees of a connection: the kernel's (`TcpStream`) or the simulation's (`sim::SimStream`).
//!
//! The required methods poll, so that code on the hot path keeps a few bytes of state where nested futures would keep
//! hundreds (l4 relays with them: an idle connection fell from 1,374 to 1,092 bytes). The provided ones await.

use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll};

use super::buffers::Buf;

/// A connection's bytes, both ways. One task receives and one sends at a time; they may be two.
pub trait Stream {
    /// The next bytes; `None` when the other side has finished sending.
    fn poll_recv(&self, context: &mut Context<'_>) -> Poll<io::Result<Option<Buf>>>;

    /// Ready with the error once the connection has failed. To be asked instead of `poll_recv` while the received bytes cannot be
    /// passed on: a reset would go unseen, and the connection would keep its buffers, for as long as that lasts.
    fn poll_failed(&self, context: &mut Context<'_>) -> Poll<io::Error>;

    /// Queues `buf` for sending, all of it and in order; waits while too much is unsent. Takes the buffer out of `buf` when it
    /// is queued. An error of an earlier send comes out here.
    fn poll_send(&self, buf: &mut Option<Buf>, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits until all that was queued is out: what is still queued when a stream is dropped is lost.
    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The other side sees the end, after what was flushed.
    ///
    /// # Errors
    /// The connection is gone.
    fn finish_sending(&self) -> io::Result<()>;

    /// The connection is to end by a reset, not by an orderly close.
    fn abort(&self);

    /// See `poll_recv`.
    fn recv(&self) -> impl Future<Output = io::Result<Option<Buf>>> {
        poll_fn(|context| self.poll_recv(context))
    }

    /// See `poll_send`.
    fn send(&self, buf: Buf) -> impl Future<Output = io::Result<()>> {
        let mut buf = Some(buf);
        poll_fn(move |context| self.poll_send(&mut buf, context))
    }

    /// Finishes sending: all that was queued goes out, then the other side sees the end.
    fn shutdown(&self) -> impl Future<Output = io::Result<()>> {
        poll_fn(|context| match self.poll_flush(context) {
            Poll::Ready(Ok(())) => Poll::Ready(self.finish_sending()),
            other => other,
        })
    }
}
