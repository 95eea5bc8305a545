//! Deadlines of a shard on its timing wheel: no kernel timer a connection. As precise as the tick, never early.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quanta::Instant;

use super::driver::Ring;
use super::first::first;
use super::wheel::{Key, Wheel};

/// Length of a tick, and the longest that a shard sleeps.
pub const TICK: Duration = Duration::from_millis(10);

/// The wheel and the instant of its tick 0.
pub(super) struct Timers {
    start: Instant,
    wheel: Wheel<Waker>,
}

impl Timers {
    pub(super) fn new(now: Instant) -> Self {
        Timers { start: now, wheel: Wheel::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.wheel.len()
    }

    pub(super) fn fire(&mut self, now: Instant) {
        let tick = whole_ticks(now.duration_since(self.start));
        self.wheel.advance(tick, Waker::wake);
    }

    fn set(&mut self, deadline: Instant, waker: Waker) -> Key {
        // The tick that ends after the deadline.
        let tick = whole_ticks(deadline.duration_since(self.start)) + 1;
        self.wheel.insert(tick, waker)
    }
}

fn whole_ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX)
}

/// Ends at a deadline, or up to two ticks after it.
#[must_use = "a future does nothing unless awaited"]
pub struct Sleep {
    ring: Ring,
    deadline: Instant,
    /// Where it is set, and whom it wakes: a poll by the same task then leaves the wheel alone.
    set: Option<(Key, Waker)>,
}

impl Sleep {
    fn cancel(&mut self) {
        if let Some((key, _)) = self.set.take() {
            self.ring.shared.core.borrow_mut().timers.wheel.cancel(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.ring.now() >= self.deadline {
            self.cancel();
            return Poll::Ready(());
        }
        if !self.set.as_ref().is_some_and(|(_, waker)| waker.will_wake(context.waker())) {
            self.cancel();
            let key = self.ring.shared.core.borrow_mut().timers.set(self.deadline, context.waker().clone());
            self.set = Some((key, context.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The time was over first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

impl Ring {
    /// Ends when `time` is over, counted from this call and not from the turn's beginning, which may be long ago.
    pub fn sleep(&self, time: Duration) -> Sleep {
        self.sleep_until(Instant::now() + time)
    }

    /// Ends at `deadline`.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { ring: self.clone(), deadline, set: None }
    }

    /// What `work` gives, unless `time` is over first.
    ///
    /// # Errors
    /// The time was over. `work` is left where it was: its owner drops it, which gives it up.
    pub async fn timeout<T>(&self, time: Duration, work: Pin<&mut impl Future<Output = T>>) -> Result<T, Elapsed> {
        let sleep = pin!(self.sleep(time));
        first(work, sleep).await.map_err(|()| Elapsed)
    }
}
