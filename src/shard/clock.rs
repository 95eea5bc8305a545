//! The time of day for HTTP: `Date`, written once a second.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A shard's wall clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The second that `date` is of, and `date`.
    date: RefCell<(u64, String)>,
}

impl Clock {
    /// Since 1970.
    #[expect(clippy::unused_self, reason = "the shard's clock is asked for both")]
    pub(super) fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// The value of `Date` (RFC 9110 5.6.7, IMF-fixdate).
    pub(super) fn with_date<T>(&self, write: impl FnOnce(&str) -> T) -> T {
        let now = self.unix_time();
        let (second, date) = &mut *self.date.borrow_mut();
        if *second != now.as_secs() {
            *second = now.as_secs();
            *date = httpdate::fmt_http_date(UNIX_EPOCH + now);
        }
        write(date)
    }
}
