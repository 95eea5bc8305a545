//! When requests are due in open loop: pure, from a rate and a seed.
//!
//! Arrival number n, from 0, is due when the integral of the rate reaches n (evenly spaced) or the sum of n + 1 exponentials
//! (Poisson, as independent clients arrive). The rate grows in a line to its full height while the load ramps up. Each time is computed
//! from the start, so nothing adds up over a long run.

use std::time::Duration;

use quanta::Instant;

/// How arrivals follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Arrivals {
    /// At equal distances.
    #[default]
    Uniform,
    /// As independent clients do: exponential distances, with bursts and gaps.
    Poisson,
}

/// The arrivals of one core.
#[derive(Debug, Clone)]
pub struct Schedule {
    start: Instant,
    end: Instant,
    /// A second.
    rate: f64,
    ramp: f64,
    arrivals: Arrivals,
    dice: fastrand::Rng,
    /// Integral of the rate at the next arrival.
    reached: f64,
    next: Instant,
}

/// One core's part of the whole.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Which core, from 0.
    pub core: usize,
    /// Of how many.
    pub cores: usize,
}

impl Schedule {
    /// Arrivals from `start` to `end`, at a core's share of `rate` a second once the ramp is over.
    #[must_use]
    pub fn new(
        (start, end): (Instant, Instant),
        rate: f64,
        ramp: Duration,
        arrivals: Arrivals,
        seed: u64,
        share: Share,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "cores are few")]
        let (core, cores) = (share.core as f64, share.cores as f64);
        let mut schedule = Schedule {
            start,
            end,
            rate: rate / cores,
            ramp: ramp.as_secs_f64(),
            arrivals,
            dice: fastrand::Rng::with_seed(seed),
            reached: match arrivals {
                // The first one at once; evenly spaced over all cores together.
                Arrivals::Uniform => core / cores - 1.0,
                Arrivals::Poisson => 0.0,
            },
            next: start,
        };
        schedule.advance();
        schedule
    }

    /// When the next request is due; `None` when there are no more.
    #[must_use]
    pub fn peek(&self) -> Option<Instant> {
        (self.next < self.end).then_some(self.next)
    }

    /// Takes the next request, if it is due by `now`: when it was due.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.peek().filter(|due| *due <= now)?;
        self.advance();
        Some(due)
    }

    /// How many of the requests due from `from` on, and by `now`, nobody took.
    #[must_use]
    pub fn count_untaken(mut self, from: Instant, now: Instant) -> u64 {
        let mut count = 0;
        while let Some(due) = self.take(now) {
            count += u64::from(due >= from);
        }
        count
    }

    fn advance(&mut self) {
        self.reached += match self.arrivals {
            Arrivals::Uniform => 1.0,
            Arrivals::Poisson => -(1.0 - self.dice.f64()).ln(),
        };
        let after = Duration::try_from_secs_f64(self.time_of(self.reached)).unwrap_or(FOREVER);
        self.next = self.start + after.min(FOREVER);
    }

    /// Seconds from the start until the integral of the rate is `reached`.
    fn time_of(&self, reached: f64) -> f64 {
        let in_ramp = self.rate * self.ramp / 2.0;
        if reached < in_ramp {
            (2.0 * self.ramp * reached.max(0.0) / self.rate).sqrt()
        } else {
            self.ramp + (reached - in_ramp) / self.rate
        }
    }
}

/// Beyond the end of every run.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn due(schedule: &mut Schedule) -> Vec<Duration> {
        let start = schedule.start;
        std::iter::from_fn(|| schedule.take(schedule.end)).map(|due| due - start).collect()
    }

    fn schedule(rate: f64, ramp_s: u64, seconds: u64, arrivals: Arrivals, share: Share) -> Schedule {
        let start = Instant::now();
        let end = start + Duration::from_secs(seconds);
        Schedule::new((start, end), rate, Duration::from_secs(ramp_s), arrivals, 7, share)
    }

    const ALONE: Share = Share { core: 0, cores: 1 };

    #[test]
    fn arrivals_are_evenly_spaced_and_do_not_drift() {
        let due = due(&mut schedule(1_000.0, 0, 600, Arrivals::Uniform, ALONE));
        assert_eq!(due.len(), 600_000, "the first at once, none at the end itself");
        let last = due.last().unwrap();
        assert!((last.as_secs_f64() - 599.999).abs() < 1e-6, "{last:?}");
    }

    #[test]
    fn cores_interleave() {
        let mut all: Vec<Duration> = (0..4)
            .flat_map(|core| due(&mut schedule(400.0, 0, 1, Arrivals::Uniform, Share { core, cores: 4 })))
            .collect();
        all.sort();
        assert_eq!(all.len(), 400);
        assert!(
            all.windows(2).all(|pair| pair[1]
                .saturating_sub(pair[0])
                .abs_diff(Duration::from_micros(2500))
                .as_micros()
                < 2)
        );
    }

    #[test]
    fn a_ramp_sends_half_of_what_it_grows_to() {
        let due = due(&mut schedule(1_000.0, 10, 20, Arrivals::Uniform, ALONE));
        let within = |from, to| due.iter().filter(|due| (from..to).contains(&due.as_secs())).count();
        assert!(within(0, 10).abs_diff(5_000) <= 1, "{}", within(0, 10));
        assert!(within(0, 5).abs_diff(1_250) <= 1);
        assert!(within(10, 20).abs_diff(10_000) <= 1);
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_vary_as_independent_clients_do() {
        let due = due(&mut schedule(1_000.0, 0, 100, Arrivals::Poisson, ALONE));
        assert!(due.len().abs_diff(100_000) < 1_500, "{}", due.len());
        let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_secs_f64()).collect();
        #[expect(clippy::cast_precision_loss)]
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        #[expect(clippy::cast_precision_loss)]
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = variance.sqrt() / mean;
        assert!((0.97..1.03).contains(&variation), "an exponential's deviation is its mean: {variation}");
    }

    #[test]
    fn what_nobody_took_is_counted() {
        let mut schedule = schedule(100.0, 0, 10, Arrivals::Uniform, ALONE);
        let middle = schedule.start + Duration::from_secs(5);
        while schedule.take(middle).is_some() {}
        let (later, end) = (middle + Duration::from_secs(1), schedule.end);
        assert!(schedule.clone().count_untaken(middle, later).abs_diff(100) <= 1, "a run cut short");
        assert!(schedule.count_untaken(middle, end).abs_diff(500) <= 1);
    }

    proptest! {
        #[test]
        fn arrivals_never_go_back(rate in 0.1..1e6_f64, ramp in 0..5_u64, poisson: bool) {
            let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Uniform };
            let mut schedule = schedule(rate, ramp, 60, arrivals, ALONE);
            let mut last = schedule.start;
            for _ in 0..1_000 {
                let Some(due) = schedule.take(schedule.end) else { break };
                prop_assert!(due >= last);
                last = due;
            }
        }
    }
}
