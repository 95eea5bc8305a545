//! TCP on the ring: the handle that protocol code holds.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::task::{Context, Poll};

use super::buffers::Buf;
use super::driver::{Ring, adopt};
use super::options;
use super::stream::Stream;

/// A connected socket of this shard. Dropping it closes it, whatever is in flight.
pub struct TcpStream {
    ring: Ring,
    slot: u32,
}

impl TcpStream {
    /// Takes over a connected socket, one that was accepted say. It must be in blocking mode: the ring waits for it.
    #[must_use]
    pub fn new(ring: &Ring, socket: OwnedFd) -> Self {
        let slot = ring.shared.core.borrow_mut().adopt_socket(socket);
        TcpStream { ring: ring.clone(), slot }
    }

    /// Connects `socket` (blocking mode, not yet connected) to `address`. Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// What the kernel answers.
    pub async fn connect(ring: &Ring, socket: socket2::Socket, address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::new(ring, adopt(socket.into_raw_fd()));
        ring.shared.core.borrow_mut().start_connect(stream.slot, address.into());
        std::future::poll_fn(|context| ring.shared.core.borrow_mut().poll_connect(stream.slot, context)).await?;
        Ok(stream)
    }
}

impl Stream for TcpStream {
    fn poll_recv(&self, context: &mut Context<'_>) -> Poll<io::Result<Option<Buf>>> {
        self.ring.shared.core.borrow_mut().poll_receive(self.slot, context)
    }

    fn poll_failed(&self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.ring.shared.core.borrow_mut().poll_failed(self.slot, context)
    }

    fn poll_send(&self, buf: &mut Option<Buf>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ring.shared.core.borrow_mut().poll_send(self.slot, buf, context)
    }

    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ring.shared.core.borrow_mut().poll_flush(self.slot, context)
    }

    fn finish_sending(&self) -> io::Result<()> {
        // Not an operation of the ring: the kernel would hand that to a worker thread (IORING_OP_SHUTDOWN always blocks).
        options::finish_sending(self.ring.shared.core.borrow().fd_of(self.slot))
    }

    fn abort(&self) {
        options::reset_on_close(self.ring.shared.core.borrow().fd_of(self.slot));
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.ring.shared.core.borrow_mut().release_socket(self.slot);
    }
}
