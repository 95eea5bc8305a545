//! How often the API changes something, and how many changes wait.
//!
//! ```text
//!     request --body, terms read--> place? --none left--> 503
//!                                     `--> its turn? --too soon--> 429, Retry-After
//!                                             `--> the ledger (control/change), one after the other
//! ```
//!
//! A change costs a file written and synced, a snapshot made, and a message to every shard, which then exchanges what it
//! runs on between two polls of its connections: the one thing here that the data path feels. So changes have a rate; a list is
//! one change however long it is, and whoever has much to change sends lists. One that took long, such as one of machines beside a
//! large config, counts as several.
//! Always: a place is held until the change is made or refused, also when its client has gone away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::error::ApiError;

/// From one change to the next in the long run: 100 a second. Among 1,000 targets one takes 5 ms (docs/PERFORMANCE.md), so this
/// is about what a large config bears and a small one hardly notices.
const PERIOD: Duration = Duration::from_millis(10);
/// So many may come at once: a tool that brings a thousand targets one by one is not slowed down.
pub(super) const BURST: u32 = 1_000;
/// A change is charged so many times the time that it took: changes keep half a core busy at most.
const CHARGE: u32 = 2;
/// Changes that wait for the ledger, the one at work included. Fewer than clients of the endpoint (server.rs): probes and
/// Prometheus find a place while changes wait.
pub(super) const WAITING_MAX: usize = 32;

/// Lets changes in.
#[derive(Debug)]
pub(in crate::control) struct Bounds {
    places: Arc<Semaphore>,
    /// When as many as `BURST` may come at once again: each change moves it on by a period.
    rested_at: Mutex<Instant>,
}

/// What a change holds while it waits and while it is made.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { places: Arc::new(Semaphore::new(WAITING_MAX)), rested_at: Mutex::new(Instant::now()) }
    }
}

impl Bounds {
    /// A place, if there is one and it is time.
    pub(super) fn enter(&self) -> Result<Place, ApiError> {
        let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(ApiError::crowded(WAITING_MAX));
        };
        self.take_turn(Instant::now()).map_err(ApiError::too_many_requests)?;
        Ok(Place { _permit: permit })
    }

    /// A change took so long, beside what it waited for others.
    pub(in crate::control) fn charge(&self, took: Duration) {
        let mut rested_at = self.rested_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // One turn was taken when it came in. Whoever comes next waits no longer than after a burst.
        let more = (took * CHARGE).saturating_sub(PERIOD);
        *rested_at = (now.max(*rested_at) + more).min(now + PERIOD * BURST);
    }

    /// Whether a change has to be told that too many wait.
    #[cfg(test)]
    pub(super) fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Or how long it is until there is one.
    fn take_turn(&self, now: Instant) -> Result<(), Duration> {
        // Whole at any time, so a panic elsewhere spoils nothing.
        let mut rested_at = self.rested_at.lock().unwrap_or_else(PoisonError::into_inner);
        let after = now.max(*rested_at) + PERIOD;
        let too_soon = after.saturating_duration_since(now + PERIOD * BURST);
        if !too_soon.is_zero() {
            return Err(too_soon);
        }
        *rested_at = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// How many come in at once.
    fn turns(bounds: &Bounds) -> u32 {
        (0..2 * BURST).filter(|_| bounds.enter().is_ok()).count().try_into().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_comes_in_and_then_as_many_as_the_time_gives() {
        let bounds = Bounds::default();
        assert_eq!(turns(&bounds), BURST);
        assert_eq!(turns(&bounds), 0);
        advance(PERIOD).await;
        assert_eq!(turns(&bounds), 1);
        advance(Duration::from_secs(1)).await;
        assert_eq!(turns(&bounds), 100);
        advance(Duration::from_secs(1_000_000)).await;
        assert_eq!(turns(&bounds), BURST, "rest is not saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_takes_long_counts_as_several_and_locks_nobody_out() {
        let bounds = Bounds::default();
        assert_eq!(turns(&bounds), BURST);
        advance(PERIOD * 10).await;
        bounds.charge(PERIOD / 2);
        assert_eq!(turns(&bounds), 10, "it was paid for when it came in");
        advance(PERIOD * 20).await;
        bounds.charge(PERIOD * 5);
        assert_eq!(turns(&bounds), 20 - (5 * CHARGE - 1));
        bounds.charge(PERIOD * 10 * BURST);
        advance(PERIOD).await;
        assert_eq!(turns(&bounds), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_too_soon_is_told_when_it_is_time() {
        let bounds = Bounds::default();
        while bounds.take_turn(Instant::now()).is_ok() {}
        let wait = bounds.take_turn(Instant::now()).unwrap_err();
        assert_eq!(wait, PERIOD);
        advance(wait).await;
        assert_eq!(bounds.take_turn(Instant::now()), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_changes_wait_and_no_more() {
        let bounds = Bounds::default();
        let mut places: Vec<Place> = (0..WAITING_MAX).map(|_| bounds.enter().unwrap()).collect();
        assert!(bounds.enter().is_err());
        places.pop();
        assert!(bounds.enter().is_ok());
    }
}
