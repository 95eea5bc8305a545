//! Latencies of the last seconds: what is recorded now, less what was recorded then.
//!
//! Shards record from their start and never forget, which is right for Prometheus. A page that is looked at wants to know how
//! it is now, so reports of some seconds ago are kept, and the difference of the histograms is what was recorded since.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::micros;
use crate::control::reports::Reports;
use crate::metrics;
use crate::shard::ListenerReport;

/// What happened in so long is recent, and up to `STEP` longer.
const WINDOW: Duration = Duration::from_secs(10);
/// Reports this far apart are kept. They hold histograms, so there are three of them at most.
const STEP: Duration = Duration::from_secs(5);

/// Reports of the last seconds, the oldest first.
#[derive(Default)]
pub(in super::super) struct Past {
    kept: VecDeque<(Instant, Reports)>,
}

/// What to measure the present against.
#[derive(Clone)]
pub(in super::super) struct Then {
    pub(super) reports: Reports,
    /// How long ago that was.
    pub(super) age: Duration,
}

impl Past {
    /// Keeps `reports` for later if it is time, and gives what they are to be measured against; `None` for the first.
    pub(in super::super) fn note(&mut self, now: Instant, reports: &Reports) -> Option<Then> {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        // Nobody looked for a while: that is not recent.
        self.kept.retain(|(at, _)| age(at) <= WINDOW + STEP);
        while self.kept.get(1).is_some_and(|(at, _)| age(at) >= WINDOW) {
            self.kept.pop_front();
        }
        let then = self.kept.front().map(|(at, reports)| Then { reports: Arc::clone(reports), age: age(at) });
        if self.kept.back().is_none_or(|(at, _)| age(at) >= STEP) {
            self.kept.push_back((now, Arc::clone(reports)));
        }
        then
    }
}

/// Percentiles in microseconds.
#[derive(Serialize)]
pub(super) struct Latency {
    count: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

/// One for each phase; `None` where nothing was recorded.
#[derive(Serialize)]
pub(super) struct Latencies {
    connect: Option<Latency>,
    first_byte: Option<Latency>,
    request: Option<Latency>,
    duration: Option<Latency>,
}

impl Latencies {
    /// Of some listeners on some shards. `then` is the same listeners on the same shards, earlier.
    pub(super) fn between(then: &[&ListenerReport], now: &[&ListenerReport]) -> Self {
        let phase = |of: fn(&ListenerReport) -> &Histogram<u64>| {
            let recent = since(then.iter().map(|report| of(report)), now.iter().map(|report| of(report)))?;
            (!recent.is_empty()).then(|| Latency::of(&recent))
        };
        Latencies {
            connect: phase(|report| &report.connect_us),
            first_byte: phase(|report| &report.first_byte_us),
            request: phase(|report| &report.request_us),
            duration: phase(|report| &report.duration_us),
        }
    }
}

impl Latency {
    fn of(recorded_us: &Histogram<u64>) -> Self {
        Latency {
            count: recorded_us.len(),
            p50_us: recorded_us.value_at_quantile(0.5),
            p90_us: recorded_us.value_at_quantile(0.9),
            p99_us: recorded_us.value_at_quantile(0.99),
            p999_us: recorded_us.value_at_quantile(0.999),
            max_us: recorded_us.max(),
        }
    }
}

/// What was recorded between `then` and `now`. All of `now` if that is less than before: the listener is a new one of an old
/// name, or a shard has answered that had not.
fn since<'h>(
    then: impl Iterator<Item = &'h Histogram<u64>>,
    now: impl Iterator<Item = &'h Histogram<u64>>,
) -> Option<Histogram<u64>> {
    let now = metrics::merged(now)?;
    let Some(then) = metrics::merged(then).filter(|then| !then.is_empty()) else { return Some(now) };
    let mut recent = now.clone();
    match recent.subtract(&then) {
        Ok(()) => Some(recent),
        Err(_) => Some(now),
    }
}

/// A window's length, as the page shows it.
pub(super) fn window_us(then: Option<&Then>) -> Option<u64> {
    then.map(|then| micros(then.age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::histogram_us;

    fn recorded(values: &[u64]) -> Histogram<u64> {
        let mut histogram = histogram_us();
        for value in values {
            histogram.record(*value).unwrap();
        }
        histogram
    }

    fn recent(then: &[u64], now: &[u64]) -> Histogram<u64> {
        since([recorded(then)].iter(), [recorded(now)].iter()).unwrap()
    }

    #[test]
    fn only_what_was_recorded_since_counts() {
        let slow_then_fast = recent(&[900_000; 50], &[[900_000; 50].as_slice(), &[100, 110]].concat());
        assert_eq!(slow_then_fast.len(), 2);
        assert!(slow_then_fast.max() < 120, "{}", slow_then_fast.max());
        assert!(recent(&[1, 2], &[1, 2]).is_empty());
    }

    #[test]
    fn without_a_past_everything_counts_and_so_it_does_where_counters_began_anew() {
        assert_eq!(recent(&[], &[5, 6]).len(), 2);
        assert_eq!(recent(&[5, 6, 7], &[5]).len(), 1);
        assert!(since([].into_iter(), [].into_iter()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_past_is_ten_to_fifteen_seconds_old_and_is_forgotten_when_nobody_looked() {
        let reports = Reports::default();
        let mut past = Past::default();
        assert!(past.note(Instant::now(), &reports).is_none());
        for second in 1..100_u64 {
            tokio::time::advance(Duration::from_secs(1)).await;
            let age = past.note(Instant::now(), &reports).unwrap().age;
            let expected = if second < 15 { second..=second } else { 10..=15 };
            assert!(expected.contains(&age.as_secs()), "{second}: {age:?}");
            assert!(past.kept.len() <= 3);
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(past.note(Instant::now(), &reports).is_none());
    }
}
