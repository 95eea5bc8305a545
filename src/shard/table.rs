//! The connection table: who is connected through which listener to which target, and how each is told to end.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use quanta::Instant;
use slab::Slab;

use super::close::CloseReason;
use super::group::TargetState;
use super::listening::Listening;
use super::microseconds;
use crate::l4::Side;
use crate::ring::Ring;

/// One client's connection, from accept to close.
pub(super) struct Connection {
    /// Counts from 1 on each shard; what the access log calls it.
    pub(super) number: u64,
    pub(super) client: SocketAddr,
    pub(super) listener: Rc<Listening>,
    pub(super) accepted_at: Instant,
    /// When bytes last passed.
    pub(super) active_at: Cell<Instant>,
    /// Set once connected.
    pub(super) target: RefCell<Option<Rc<TargetState>>>,
    /// Targets that were tried before in vain.
    pub(super) missed: Cell<Vec<SocketAddr>>,
    /// Since accept, when the first target was tried; then what a connection took.
    pub(super) queue_us: Cell<Option<u64>>,
    pub(super) connect_us: Cell<Option<u64>>,
    /// Since accept, when the target first sent something.
    pub(super) first_byte_us: Cell<Option<u64>>,
    pub(super) client_bytes: Cell<u64>,
    pub(super) target_bytes: Cell<u64>,
    ordered_end: Cell<Option<CloseReason>>,
    waker: Cell<Option<Waker>>,
}

impl Connection {
    pub(super) fn new(number: u64, client: SocketAddr, listener: Rc<Listening>, now: Instant) -> Rc<Self> {
        Rc::new(Connection {
            number,
            client,
            listener,
            accepted_at: now,
            active_at: Cell::new(now),
            target: RefCell::new(None),
            missed: Cell::default(),
            queue_us: Cell::new(None),
            connect_us: Cell::new(None),
            first_byte_us: Cell::new(None),
            client_bytes: Cell::new(0),
            target_bytes: Cell::new(0),
            ordered_end: Cell::new(None),
            waker: Cell::new(None),
        })
    }

    /// `bytes` came from one side and go to the other.
    pub(super) fn moved(&self, now: Instant, from: Side, bytes: usize) {
        self.active_at.set(now);
        let bytes = bytes as u64;
        let counts = &mut *self.listener.counts.borrow_mut();
        let target = self.target.borrow();
        match from {
            Side::Client => {
                counts.client_bytes += bytes;
                self.client_bytes.set(self.client_bytes.get() + bytes);
            }
            Side::Target => {
                counts.target_bytes += bytes;
                self.target_bytes.set(self.target_bytes.get() + bytes);
            }
        }
        if let Some(target) = &*target {
            target.moved(from, bytes);
        }
        if from == Side::Target && self.first_byte_us.get().is_none() {
            let after_us = microseconds(now - self.accepted_at);
            self.first_byte_us.set(Some(after_us));
            self.listener.target_answered(after_us);
        }
    }

    /// A target was tried in vain.
    pub(super) fn missed(&self, target: SocketAddr) {
        let mut missed = self.missed.take();
        missed.push(target);
        self.missed.set(missed);
    }

    /// Ends when nothing has passed for the listener's idle timeout (requirement L7).
    pub(super) async fn idle(&self, ring: &Ring) {
        loop {
            let deadline = self.active_at.get() + self.listener.config.borrow().idle_timeout;
            if ring.now() >= deadline {
                return;
            }
            ring.sleep_until(deadline).await;
        }
    }

    /// Ends the connection from outside its task: the target was unbound, say.
    pub(super) fn end(&self, reason: CloseReason) {
        self.ordered_end.set(Some(reason));
        self.wake();
    }

    /// Takes back an `end` for this reason: the cause is gone and the connection may go on.
    pub(super) fn forget(&self, reason: CloseReason) {
        if self.ordered_end.get() == Some(reason) {
            self.ordered_end.set(None);
        }
    }

    /// Waits until somebody calls `end`.
    pub(super) async fn ordered_to_end(&self) -> CloseReason {
        std::future::poll_fn(|context| self.poll_ordered_to_end(context)).await
    }

    /// See `ordered_to_end`.
    pub(super) fn poll_ordered_to_end(&self, context: &Context<'_>) -> Poll<CloseReason> {
        if let Some(reason) = self.ordered_end.get() {
            return Poll::Ready(reason);
        }
        // Called at each wake of the task, and the waker is nearly always the same: keep it then.
        match self.waker.take() {
            Some(waker) if waker.will_wake(context.waker()) => self.waker.set(Some(waker)),
            _ => self.waker.set(Some(context.waker().clone())),
        }
        Poll::Pending
    }

    /// The connection's task looks again whether it is to go on.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// All connections of one shard.
#[derive(Default)]
pub(super) struct Table {
    connections: RefCell<Slab<Rc<Connection>>>,
    /// Of the last connection.
    number: Cell<u64>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.connections.borrow().len()
    }

    /// That of the next connection.
    pub(super) fn next_number(&self) -> u64 {
        self.number.set(self.number.get() + 1);
        self.number.get()
    }

    pub(super) fn insert(&self, connection: Rc<Connection>) -> usize {
        self.connections.borrow_mut().insert(connection)
    }

    pub(super) fn remove(&self, id: usize) {
        self.connections.borrow_mut().remove(id);
    }

    /// Wakes the task of every connection: what `World::is_finishing` says has changed. The caller tells the ring.
    pub(super) fn wake_all(&self) {
        self.connections.borrow().iter().for_each(|(_, connection)| connection.wake());
    }

    /// Ends every connection for which `matches` holds. Wakes their tasks: the caller tells the ring.
    pub(super) fn end_where(&self, reason: CloseReason, matches: impl Fn(&Connection) -> bool) -> usize {
        let connections = self.connections.borrow();
        let mut count = 0;
        for (_, connection) in connections.iter().filter(|(_, connection)| matches(connection)) {
            connection.end(reason);
            count += 1;
        }
        count
    }
}
