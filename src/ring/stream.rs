//! What protocol code sees of a connection: the kernel's (`TcpStream`) or the simulation's (`sim::SimStream`).

use std::future::Future;
use std::io;

use super::buffers::Buf;

/// A connection's bytes, both ways. One task receives and one sends at a time; they may be two.
pub trait Stream {
    /// The next bytes; `None` when the other side has finished sending.
    fn recv(&self) -> impl Future<Output = io::Result<Option<Buf>>>;

    /// Queues `buf` for sending, all of it and in order; waits while too much is unsent. An error of an earlier send comes
    /// out here.
    fn send(&self, buf: Buf) -> impl Future<Output = io::Result<()>>;

    /// Waits until all that was queued is out: what is still queued when a stream is dropped is lost.
    fn flush(&self) -> impl Future<Output = io::Result<()>>;

    /// Finishes sending: all that was queued goes out, then the other side sees the end.
    fn shutdown(&self) -> impl Future<Output = io::Result<()>>;

    /// The connection is to end by a reset, not by an orderly close.
    fn abort(&self);
}
