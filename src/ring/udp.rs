//! UDP on the ring: the handle that protocol code holds.
//!
//! A datagram is a `Buf` and an address. It is whole or it is not there: what was longer than a buffer is dropped and counted,
//! for nobody can use the front of it. Nothing ends a UDP socket: errors come out of a call once, and it goes on.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use super::buffers::Buf;
use super::driver::Ring;
use super::options;

/// A UDP socket of this shard, bound or connected. Dropping it closes it, whatever is in flight.
pub struct UdpSocket {
    ring: Ring,
    slot: u32,
}

/// What a UDP socket has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UdpCounts {
    /// Datagrams that the kernel took for sending.
    pub sent: u64,
    /// Datagrams that it did not take.
    pub send_errors: u64,
    /// Datagrams received and dropped because they were longer than `DATAGRAM_BYTES_MAX`.
    pub truncated: u64,
    /// Datagrams received and dropped: beyond the queue while the shard was short of buffers, or without an IP address.
    pub dropped: u64,
}

impl UdpSocket {
    /// Takes over a socket, bound or connected (`options::udp_bound`, `options::udp_connected`). It must be in blocking mode: the
    /// ring waits for it.
    #[must_use]
    pub fn new(ring: &Ring, socket: OwnedFd) -> Self {
        let slot = ring.shared.core.borrow_mut().adopt_udp(socket);
        UdpSocket { ring: ring.clone(), slot }
    }

    /// The next datagram and who sent it. An empty one is a datagram, not an end. One task receives at a time: a second one's waker
    /// takes the place of the first's. Giving up loses nothing.
    ///
    /// An error is one of the socket (`ECONNREFUSED` when the other side has no such port), or one of an earlier send; the
    /// next call receives again.
    pub fn poll_recv_from(&self, context: &mut Context<'_>) -> Poll<io::Result<(Buf, SocketAddr)>> {
        self.ring.shared.core.borrow_mut().poll_receive_datagram(self.slot, context)
    }

    /// See `poll_recv_from`.
    ///
    /// # Errors
    /// As there.
    pub async fn recv_from(&self) -> io::Result<(Buf, SocketAddr)> {
        poll_fn(|context| self.poll_recv_from(context)).await
    }

    /// Queues `buf` as one datagram to `target`, or with `None` to the address that the socket is connected to; waits while
    /// `DATAGRAMS_IN_FLIGHT_MAX` are on their way. Takes the buffer out of `buf` when it is queued. Any number of tasks may send.
    ///
    /// Two datagrams may leave in another order than they were queued in: the second when the socket has room again, before the
    /// first is tried again. When the socket is dropped, what was queued still goes out unless the socket has no room for it.
    ///
    /// An error is that of an earlier send, which comes out here or of a receive, once. `buf` is then as it was.
    pub fn poll_send_to(
        &self,
        buf: &mut Option<Buf>,
        target: Option<SocketAddr>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.ring.shared.core.borrow_mut().poll_send_datagram(self.slot, buf, target, context)
    }

    /// See `poll_send_to`. On an error `buf` is given up.
    ///
    /// # Errors
    /// As there.
    pub async fn send_to(&self, buf: Buf, target: Option<SocketAddr>) -> io::Result<()> {
        let mut buf = Some(buf);
        poll_fn(|context| self.poll_send_to(&mut buf, target, context)).await
    }

    /// What it has done.
    #[must_use]
    pub fn counts(&self) -> UdpCounts {
        self.ring.shared.core.borrow().udp.counts_of(self.slot)
    }

    /// Datagrams that the kernel dropped before we saw them, for want of room in the socket most of all. Wraps at 2^32. A system call.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn kernel_drops(&self) -> io::Result<u32> {
        options::kernel_drops(self.as_raw_fd())
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.ring.shared.core.borrow_mut().release_udp(self.slot);
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.shared.core.borrow().udp.fd_of(self.slot)
    }
}
