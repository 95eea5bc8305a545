//! An eventfd on which the ring keeps a read posted: how another thread wakes a shard that sleeps in its ring.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use io_uring::{opcode, types};

use super::driver::{Core, Ring, as_slot};
use super::options::new_eventfd;
use super::socket::Waiter;
use super::token::{self, Kind};

pub(super) struct EventSlot {
    pub(super) generation: u32,
    fd: Arc<OwnedFd>,
    pub(super) armed: bool,
    released: bool,
    fired: bool,
    /// Where the kernel writes the count; boxed so that it stays in place when the slab moves.
    count: Box<u64>,
    waiter: Waiter,
}

/// The shard's end.
pub struct Event {
    ring: Ring,
    slot: u32,
}

/// The other threads' end.
#[derive(Debug, Clone)]
pub struct Bell(Arc<OwnedFd>);

impl Bell {
    /// A bell that no shard listens to yet.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        new_eventfd().map(|fd| Bell(Arc::new(fd)))
    }

    /// Wakes the shard. Ringing twice before it looks wakes it once.
    pub fn ring(&self) {
        super::options::add_to_eventfd(self.0.as_fd());
    }
}

impl Event {
    /// Listens to `bell` on this shard.
    #[must_use]
    pub fn new(ring: &Ring, bell: &Bell) -> Self {
        let mut core = ring.shared.core.borrow_mut();
        let generation = core.next_generation();
        let slot = core.events.insert(EventSlot {
            generation,
            fd: Arc::clone(&bell.0),
            armed: false,
            released: false,
            fired: false,
            count: Box::new(0),
            waiter: Waiter::default(),
        });
        drop(core);
        Event { ring: ring.clone(), slot: as_slot(slot) }
    }

    /// Waits until the bell was rung since the last call.
    pub async fn wait(&self) {
        std::future::poll_fn(|context| self.ring.shared.core.borrow_mut().poll_event(self.slot, context)).await;
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.ring.shared.core.borrow_mut().release_event(self.slot);
    }
}

impl Core {
    fn poll_event(&mut self, slot: u32, context: &Context<'_>) -> Poll<()> {
        let event = &mut self.events[slot as usize];
        if std::mem::take(&mut event.fired) {
            return Poll::Ready(());
        }
        event.waiter.wait(context);
        if !event.armed {
            event.armed = true;
            let fd = types::Fd(event.fd.as_raw_fd());
            let count: *mut u64 = &raw mut *event.count;
            let entry = opcode::Read::new(fd, count.cast(), 8).build();
            let user_data = token::encode(Kind::Event, event.generation, slot);
            self.push(entry.user_data(user_data));
        }
        Poll::Pending
    }

    pub(super) fn complete_event(&mut self, slot: u32, result: i32) {
        let event = &mut self.events[slot as usize];
        event.armed = false;
        event.fired |= result >= 0;
        event.waiter.wake();
        if event.released {
            self.events.remove(slot as usize);
        }
    }

    pub(super) fn release_event(&mut self, slot: u32) {
        let event = &mut self.events[slot as usize];
        event.released = true;
        if !event.armed {
            self.events.remove(slot as usize);
            return;
        }
        let generation = event.generation;
        self.cancel(Kind::Event, generation, slot);
    }
}
