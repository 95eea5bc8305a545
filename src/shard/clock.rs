//! The time of day for HTTP: read once a second, counted on by the ring's clock in between; and `Date`, written once a second.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quanta::Instant;

use crate::l7::replies::{self, DATE_BYTES};

/// A shard's wall clock. It is at most a second late to follow a host's clock that is set.
#[derive(Debug)]
pub(super) struct Clock {
    /// When the time of day was read, and what it was.
    read: Cell<Option<(Instant, Duration)>>,
    /// A second, and its `Date`.
    date: Cell<(u64, [u8; DATE_BYTES])>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock { read: Cell::new(None), date: Cell::new((0, replies::date(0))) }
    }

    /// Since 1970, at `now`.
    pub(super) fn unix_time(&self, now: Instant) -> Duration {
        if let Some((at, unix)) = self.read.get()
            && let Some(since) = now.checked_duration_since(at)
            && since < READ_AGAIN
        {
            return unix + since;
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.read.set(Some((now, unix)));
        unix
    }

    /// The value of `Date` at `now` (RFC 9110 5.6.7).
    pub(super) fn date(&self, now: Instant) -> [u8; DATE_BYTES] {
        let second = self.unix_time(now).as_secs();
        if self.date.get().0 != second {
            self.date.set((second, replies::date(second)));
        }
        self.date.get().1
    }
}

const READ_AGAIN: Duration = Duration::from_secs(1);
