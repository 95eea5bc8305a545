//! HDR histograms of the shards as Prometheus buckets, and merged for percentiles.
//!
//! The shards keep two significant digits, so a bucket may be off by the values within 1 % of its bound. The sum is that of
//! the middle of each recorded step: within 1 % too, and never falling.

use hdrhistogram::Histogram;

/// For what takes a network round trip or a target's thinking: from a loopback to the longest time-out, in microseconds.
pub(super) const LATENCY_US: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
/// For connections, which may last for hours.
pub(super) const LIFETIME_US: &[u64] = &[
    1_000,
    5_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
    3_600_000_000,
    21_600_000_000,
];

/// Counts by upper bound.
#[derive(Debug)]
pub(super) struct Buckets {
    bounds_us: &'static [u64],
    /// One more than bounds: the last is what exceeds them all.
    counts: Vec<u64>,
    sum_us: u128,
}

impl Buckets {
    pub(super) fn new(bounds_us: &'static [u64]) -> Self {
        Buckets { bounds_us, counts: vec![0; bounds_us.len() + 1], sum_us: 0 }
    }

    /// Adds what one shard recorded.
    pub(super) fn add(&mut self, recorded_us: &Histogram<u64>) {
        for step in recorded_us.iter_recorded() {
            let (value, count) = (step.value_iterated_to(), step.count_since_last_iteration());
            // A step is a range of values; its lower end decides, so that a value equal to a bound is within it.
            let lowest = recorded_us.lowest_equivalent(value);
            let bucket = self.bounds_us.partition_point(|bound| *bound < lowest);
            self.counts[bucket] += count;
            self.sum_us += u128::from(recorded_us.median_equivalent(value)) * u128::from(count);
        }
    }

    /// Upper bound in seconds, and how many are within it.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds_us.iter().map(|bound| seconds(u128::from(*bound)));
        let counts = self.counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        });
        bounds.zip(counts)
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn sum_seconds(&self) -> f64 {
        seconds(self.sum_us)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sum of seconds keeps 15 digits")]
fn seconds(us: u128) -> f64 {
    us as f64 / 1e6
}

/// All of them as one. `None` if there is none.
#[must_use]
pub fn merged<'h>(mut histograms: impl Iterator<Item = &'h Histogram<u64>>) -> Option<Histogram<u64>> {
    let mut sum = histograms.next()?.clone();
    for histogram in histograms {
        // Made with the same bounds everywhere; one that does not fit could only be left out.
        if let Err(error) = sum.add(histogram) {
            tracing::debug!("a shard's histogram does not fit: {error}");
        }
    }
    Some(sum)
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

    #[test]
    fn values_fall_into_the_first_bucket_that_holds_them() {
        let mut buckets = Buckets::new(LATENCY_US);
        buckets.add(&recorded(&[1, 100, 120, 250, 251_000, 20_000_000]));
        let within: Vec<(f64, u64)> = buckets.cumulative().collect();
        assert_eq!(within[0], (0.0001, 2));
        assert_eq!(within[1], (0.00025, 4));
        assert_eq!(within[15], (10.0, 5));
        assert_eq!(buckets.count(), 6);
    }

    #[test]
    fn a_value_equal_to_a_bound_is_within_it() {
        for bounds in [LATENCY_US, LIFETIME_US] {
            for (index, bound) in bounds.iter().enumerate() {
                let mut buckets = Buckets::new(bounds);
                buckets.add(&recorded(&[*bound]));
                assert_eq!(buckets.cumulative().nth(index).unwrap().1, 1, "{bound} us");
            }
        }
    }

    #[test]
    fn shards_add_up_and_the_sum_is_within_one_percent() {
        let (one, two) = (recorded(&[1_000, 2_000]), recorded(&[4_000_000]));
        let mut buckets = Buckets::new(LIFETIME_US);
        buckets.add(&one);
        buckets.add(&two);
        assert_eq!(buckets.count(), 3);
        assert!((buckets.sum_seconds() / 4.003 - 1.0).abs() < 0.01, "{}", buckets.sum_seconds());
        let sum = merged([&one, &two].into_iter()).unwrap();
        assert_eq!(sum.len(), 3);
        assert!(sum.max() >= 4_000_000);
        assert!(merged([].into_iter()).is_none());
    }
}
