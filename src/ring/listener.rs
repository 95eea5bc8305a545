//! A listener's slot: one multishot accept that serves many connections, and the sockets nobody has taken yet.
//!
//! The kernel ends the multishot when it cannot accept (no descriptor left, say): the error goes to the caller of
//! `accept`, and the next call arms it again, else the listener falls silent.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use io_uring::{cqueue, opcode, types};

use super::driver::{Core, Ring, adopt, as_slot};
use super::options;
use super::socket::Waiter;
use super::token::{self, Kind};

pub(super) struct ListenerSlot {
    pub(super) generation: u32,
    fd: RawFd,
    pub(super) armed: bool,
    cancelling: bool,
    released: bool,
    accepted: VecDeque<OwnedFd>,
    error: Option<i32>,
    waiter: Waiter,
}

/// Usual size of a backlog (`net.core.somaxconn`).
const BACKLOG_MAX: usize = 4096;

/// A listening socket of this shard. Dropping it closes it and what was accepted but not taken.
pub struct TcpListener {
    ring: Ring,
    slot: u32,
}

impl TcpListener {
    /// Takes over a socket that listens already (`options::listen`).
    #[must_use]
    pub fn new(ring: &Ring, socket: OwnedFd) -> Self {
        use std::os::fd::IntoRawFd;
        let mut core = ring.shared.core.borrow_mut();
        let generation = core.next_generation();
        let slot = core.listeners.insert(ListenerSlot {
            generation,
            fd: socket.into_raw_fd(),
            armed: false,
            cancelling: false,
            released: false,
            accepted: VecDeque::new(),
            error: None,
            waiter: Waiter::default(),
        });
        drop(core);
        TcpListener { ring: ring.clone(), slot: as_slot(slot) }
    }

    /// The next connection. One task waits at a time: a second one's waker takes the place of the first's.
    ///
    /// # Errors
    /// What the kernel answers, `EMFILE` say. Nothing is lost: the connections wait in the backlog, and the next call
    /// accepts again.
    pub async fn accept(&self) -> io::Result<OwnedFd> {
        std::future::poll_fn(|context| self.ring.shared.core.borrow_mut().poll_accept(self.slot, context)).await
    }

    /// Puts a filter (classic BPF) in the place of the one that the socket has; an empty one leaves it without.
    ///
    /// # Errors
    /// The kernel refuses it: it has no memory for it (`net.core.optmem_max`), say. Then the socket has no filter.
    pub fn set_filter(&self, filter: &[libc::sock_filter]) -> io::Result<()> {
        options::set_filter(self.as_raw_fd(), filter)
    }

    /// Packets that the kernel has dropped for this socket: its filter did, or the backlog was full. Counts modulo
    /// 2^32.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn kernel_drops(&self) -> io::Result<u32> {
        options::kernel_drops(self.as_raw_fd())
    }

    /// Stops accepting and closes the socket. Returns the connections that were complete by then, which must be served:
    /// their clients have been told that they are connected.
    pub async fn close(self) -> Vec<OwnedFd> {
        std::future::poll_fn(|context| self.ring.shared.core.borrow_mut().poll_disarm(self.slot, context)).await;
        let core = &mut *self.ring.shared.core.borrow_mut();
        let listener = &mut core.listeners[self.slot as usize];
        let mut accepted: Vec<OwnedFd> = listener.accepted.drain(..).collect();
        // Clients may go on connecting until the socket is closed below: one backlog's worth is what there was.
        accepted.extend(std::iter::from_fn(|| options::accept_now(listener.fd)).take(BACKLOG_MAX));
        accepted
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.ring.shared.core.borrow_mut().release_listener(self.slot);
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.shared.core.borrow().listeners[self.slot as usize].fd
    }
}

impl Core {
    fn poll_accept(&mut self, slot: u32, context: &Context<'_>) -> Poll<io::Result<OwnedFd>> {
        let listener = &mut self.listeners[slot as usize];
        if let Some(socket) = listener.accepted.pop_front() {
            return Poll::Ready(Ok(socket));
        }
        if let Some(errno) = listener.error.take() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        listener.waiter.wait(context);
        if !listener.armed {
            listener.armed = true;
            let entry = opcode::AcceptMulti::new(types::Fd(listener.fd)).flags(libc::SOCK_CLOEXEC).build();
            let user_data = token::encode(Kind::Accept, listener.generation, slot);
            self.push(entry.user_data(user_data));
        }
        Poll::Pending
    }

    /// Ready when the kernel accepts no more for us.
    fn poll_disarm(&mut self, slot: u32, context: &Context<'_>) -> Poll<()> {
        let listener = &mut self.listeners[slot as usize];
        if !listener.armed {
            return Poll::Ready(());
        }
        listener.waiter.wait(context);
        if !std::mem::replace(&mut listener.cancelling, true) {
            let generation = listener.generation;
            self.cancel(Kind::Accept, generation, slot);
        }
        Poll::Pending
    }

    pub(super) fn complete_accept(&mut self, slot: u32, result: i32, flags: u32) {
        let listener = &mut self.listeners[slot as usize];
        if !cqueue::more(flags) {
            listener.armed = false;
            listener.cancelling = false;
        }
        if result >= 0 {
            // A released listener drops it, which closes it.
            listener.accepted.push_back(adopt(result));
        } else if -result != libc::ECANCELED {
            listener.error = Some(-result);
        }
        listener.waiter.wake();
        self.finish_listener(slot);
    }

    fn release_listener(&mut self, slot: u32) {
        let listener = &mut self.listeners[slot as usize];
        listener.released = true;
        let generation = listener.generation;
        if listener.armed && !std::mem::replace(&mut listener.cancelling, true) {
            self.cancel(Kind::Accept, generation, slot);
        }
        self.finish_listener(slot);
    }

    fn finish_listener(&mut self, slot: u32) {
        let listener = &self.listeners[slot as usize];
        if listener.released && !listener.armed {
            let listener = self.listeners.remove(slot as usize);
            drop(adopt(listener.fd));
        }
    }
}
