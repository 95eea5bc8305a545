//! The time of day for HTTP: `Date`, written once a second.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::l7::replies::{self, DATE_BYTES};

/// A shard's wall clock.
#[derive(Debug)]
pub(super) struct Clock {
    /// A second, and its `Date`.
    date: Cell<(u64, [u8; DATE_BYTES])>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock { date: Cell::new((0, replies::date(0))) }
    }

    /// Since 1970.
    #[expect(clippy::unused_self, reason = "the shard's clock is asked for both")]
    pub(super) fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// The value of `Date` (RFC 9110 5.6.7).
    pub(super) fn date(&self) -> [u8; DATE_BYTES] {
        let now = self.unix_time().as_secs();
        if self.date.get().0 != now {
            self.date.set((now, replies::date(now)));
        }
        self.date.get().1
    }
}
