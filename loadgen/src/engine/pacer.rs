//! May a client send now? The one place that knows: closed loop, open loop, and when it is over.
//!
//!     closed:  always, until the end
//!     open:    a free client asks --due already--> sends, late      (the backlog is what is due and not taken)
//!                                 `--not yet--> idle --pacer, when due--> assigned, woken, sends
//!
//! Arrivals go to whichever client is free, in turn, so that one slow answer delays nobody else's request, and count from when
//! they were due.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use quanta::Instant;
use weir::ring::Ring;

use super::client::Client;
use crate::schedule::Schedule;

/// What a client that could send is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Send; it was due then.
    Now(Instant),
    /// Nothing is due: it will be woken.
    Wait,
    /// Nothing will be due any more.
    Never,
}

/// One core's.
pub(super) struct Pacer {
    ring: Ring,
    /// Open loop only.
    schedule: RefCell<Option<Schedule>>,
    /// Nothing is sent from then on.
    end: Option<Instant>,
    measured_from: Instant,
    /// Measured requests still to be sent, where they are counted.
    remaining: Cell<Option<u64>>,
    closed: Cell<bool>,
    idle: RefCell<VecDeque<Rc<Client>>>,
    /// Of the pacer's task, while it waits for somebody to become idle.
    parked: RefCell<Option<Waker>>,
}

impl Pacer {
    pub(super) fn new(
        ring: &Ring,
        schedule: Option<Schedule>,
        end: Option<Instant>,
        measured_from: Instant,
        requests: Option<u64>,
    ) -> Self {
        Pacer {
            ring: ring.clone(),
            schedule: RefCell::new(schedule),
            end,
            measured_from,
            remaining: Cell::new(requests),
            closed: Cell::new(false),
            idle: RefCell::default(),
            parked: RefCell::default(),
        }
    }

    /// Nothing more is to be sent but what is due and has a client that is free, if we were late to look. Who waits must be
    /// woken by the caller.
    pub(super) fn close(&self, now: Instant) {
        if !self.closed.replace(true) {
            self.hand_out(now);
        }
        self.unpark();
    }

    /// Nothing more will be sent.
    pub(super) fn is_closed(&self, now: Instant) -> bool {
        self.closed.get() || self.end.is_some_and(|end| now >= end) || self.remaining.get() == Some(0)
    }

    /// Asked by a client that could send at `now`.
    pub(super) fn turn(&self, client: &Rc<Client>, now: Instant) -> Turn {
        // What was handed out is sent even if the end has come since: it was due before, and somebody was free for it.
        let assigned = client.assigned.take().filter(|_| self.remaining.get() != Some(0));
        if assigned.is_none() && self.is_closed(now) {
            return Turn::Never;
        }
        let due = match self.schedule.borrow_mut().as_mut() {
            None => now,
            Some(schedule) => match assigned.or_else(|| schedule.take(now)) {
                Some(due) => due,
                None if schedule.peek().is_none() => return Turn::Never,
                None => {
                    self.wait(client);
                    return Turn::Wait;
                }
            },
        };
        client.idle.set(false);
        if let Some(remaining) = self.remaining.get().filter(|_| due >= self.measured_from) {
            self.remaining.set(Some(remaining - 1));
        }
        Turn::Now(due)
    }

    fn wait(&self, client: &Rc<Client>) {
        client.idle.set(true);
        if !client.queued.replace(true) {
            self.idle.borrow_mut().push_back(Rc::clone(client));
            self.unpark();
        }
    }

    fn unpark(&self) {
        if let Some(waker) = self.parked.take() {
            waker.wake();
            self.ring.note_runnable();
        }
    }

    /// The pacer's task: hands out what becomes due while clients are idle.
    pub(super) async fn run(self: Rc<Self>) {
        loop {
            std::future::poll_fn(|context| self.poll_idle(context)).await;
            let next = self.schedule.borrow().as_ref().and_then(Schedule::peek);
            let Some(next) = next.filter(|_| !self.closed.get()) else { return };
            self.ring.alarm(next).await;
            self.hand_out(Instant::now());
        }
    }

    /// Ready when somebody is idle, or it is over.
    fn poll_idle(&self, context: &Context<'_>) -> Poll<()> {
        if self.closed.get() || !self.idle.borrow().is_empty() {
            return Poll::Ready(());
        }
        self.parked.replace(Some(context.waker().clone()));
        Poll::Pending
    }

    fn hand_out(&self, now: Instant) {
        let mut schedule = self.schedule.borrow_mut();
        let (Some(schedule), mut idle) = (schedule.as_mut(), self.idle.borrow_mut()) else { return };
        while schedule.peek().is_some_and(|due| due <= now) {
            let Some(client) = idle.pop_front() else { return };
            client.queued.set(false);
            // One that lost its connection since, or sent what was due already, is not idle any more.
            if client.idle.replace(false) {
                client.assigned.set(schedule.take(now));
                client.wake(&self.ring);
            }
        }
    }

    /// Requests of the window that were due by `now` and that nobody sent, once it is over.
    pub(super) fn unsent<'c>(&self, clients: impl Iterator<Item = &'c Rc<Client>>, now: Instant) -> u64 {
        let assigned = clients.filter(|client| client.assigned.get().is_some_and(|due| due >= self.measured_from));
        let untaken = self.schedule.take().map_or(0, |schedule| schedule.count_untaken(self.measured_from, now));
        // The schedule goes on where requests are counted, but they are not missed.
        (assigned.count() as u64 + untaken).min(self.remaining.get().unwrap_or(u64::MAX))
    }
}
