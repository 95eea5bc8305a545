//! TCP on the ring: the handle that protocol code holds.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd};

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
    async fn recv(&self) -> io::Result<Option<Buf>> {
        std::future::poll_fn(|context| self.ring.shared.core.borrow_mut().poll_receive(self.slot, context)).await
    }

    async fn send(&self, buf: Buf) -> io::Result<()> {
        let mut buf = Some(buf);
        std::future::poll_fn(|context| self.ring.shared.core.borrow_mut().poll_send(self.slot, &mut buf, context)).await
    }

    async fn flush(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.ring.shared.core.borrow_mut().poll_flush(self.slot, context)).await
    }

    async fn shutdown(&self) -> io::Result<()> {
        self.flush().await?;
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
