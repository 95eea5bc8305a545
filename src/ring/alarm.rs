//! Deadlines to the microsecond, for who keeps a schedule: the load generator's arrivals, its server's delays.
//!
//! The wheel's tick is enough for time-outs, of which there is one a connection. These are few, so a sorted map serves, and
//! the driver sleeps no longer than until the first of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quanta::Instant;

use super::driver::Ring;
use super::options;

/// Deadlines in order; the number tells those of one instant apart.
type Key = (Instant, u64);

#[derive(Default)]
pub(super) struct Alarms {
    wakers: BTreeMap<Key, Waker>,
    set: u64,
}

impl Alarms {
    pub(super) fn len(&self) -> usize {
        self.wakers.len()
    }

    /// How long the driver may sleep: `longest`, or until the first deadline.
    pub(super) fn limit(&self, longest: Duration) -> Duration {
        let Some(((deadline, _), _)) = self.wakers.first_key_value() else { return longest };
        deadline.saturating_duration_since(Instant::now()).min(longest)
    }

    pub(super) fn fire(&mut self, now: Instant) {
        while let Some(first) = self.wakers.first_entry() {
            if first.key().0 > now {
                return;
            }
            first.remove().wake();
        }
    }

    fn insert(&mut self, deadline: Instant, waker: Waker) -> Key {
        if self.set == 0 {
            options::precise_timers();
        }
        self.set += 1;
        let key = (deadline, self.set);
        self.wakers.insert(key, waker);
        key
    }
}

/// Ends at a deadline as soon as the kernel can: tens of microseconds after it on an idle core.
#[must_use = "a future does nothing unless awaited"]
pub struct Alarm {
    ring: Ring,
    deadline: Instant,
    set: Option<(Key, Waker)>,
}

impl Alarm {
    fn cancel(&mut self) {
        if let Some((key, _)) = self.set.take() {
            self.ring.shared.core.borrow_mut().alarms.wakers.remove(&key);
        }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.ring.now() >= self.deadline || Instant::now() >= self.deadline {
            self.cancel();
            return Poll::Ready(());
        }
        if !self.set.as_ref().is_some_and(|(_, waker)| waker.will_wake(context.waker())) {
            self.cancel();
            let key = self.ring.shared.core.borrow_mut().alarms.insert(self.deadline, context.waker().clone());
            self.set = Some((key, context.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Ring {
    /// Ends at `deadline`, to the precision of the kernel's timers. For a few at a time; `sleep` serves any number, by ticks.
    pub fn alarm(&self, deadline: Instant) -> Alarm {
        Alarm { ring: self.clone(), deadline, set: None }
    }
}
