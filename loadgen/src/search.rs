//! The highest rate that holds an objective: by bisection, each step decided by two trials that agree.
//!
//!     closed loop: what there is at most --> bisect [0, a little more] --> two of three trials agree --> narrower
//!                                                ^------------------------------------------------------'
//!
//! Pure: it says which rate to try next and is told what came of it. Near the knee a trial holds or not by chance, and one alone
//! would send the rest of the search the wrong way.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::output::units::float;
use crate::results::Results;

/// What must hold: such as `p99<5ms`, or `p99<5ms,p99.9<20ms,errors<1%`.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// Percentile in percent, and the latency it must stay below.
    pub latencies: Vec<(f64, Duration)>,
    /// Share of requests that may fail, in percent.
    pub errors_percent: f64,
}

/// What is not an objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: expected objectives such as p99<5ms or p99<5ms,p99.9<20ms,errors<1%")]
pub struct BadObjective(String);

impl FromStr for Objective {
    type Err = BadObjective;

    fn from_str(text: &str) -> Result<Self, BadObjective> {
        let bad = || BadObjective(text.to_owned());
        let mut objective = Objective { latencies: Vec::new(), errors_percent: ERRORS_PERCENT };
        for part in text.split(',') {
            let (what, limit) = part.split_once('<').ok_or_else(bad)?;
            let (what, limit) = (what.trim(), limit.trim().trim_start_matches('='));
            if what == "errors" {
                let percent = limit.strip_suffix('%').and_then(|percent| percent.parse().ok());
                objective.errors_percent = percent.filter(|percent| (0.0..=100.0).contains(percent)).ok_or_else(bad)?;
                continue;
            }
            let percentile = match what {
                "max" => Some(100.0),
                _ => what.strip_prefix('p').and_then(|percentile| percentile.parse::<f64>().ok()),
            };
            let percentile = percentile.filter(|percentile| *percentile > 0.0 && *percentile <= 100.0);
            let time = humantime::parse_duration(limit).ok().filter(|time| !time.is_zero());
            objective.latencies.push((percentile.ok_or_else(bad)?, time.ok_or_else(bad)?));
        }
        if objective.latencies.is_empty() { Err(bad()) } else { Ok(objective) }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (percentile, time) in &self.latencies {
            write!(f, "p{percentile}<{},", humantime::format_duration(*time))?;
        }
        write!(f, "errors<{}%", self.errors_percent)
    }
}

impl Objective {
    /// Why `results`, of a trial in open loop, do not hold it; `None` if they do.
    #[must_use]
    pub fn broken_by(&self, results: &Results) -> Option<String> {
        if results.requests == 0 {
            return Some("no good answer, which proves nothing".to_owned());
        }
        // By what was sent, not by what came back: of that the errors' limit is the judge, and Poisson arrivals may be fewer
        // than were asked for by chance.
        let due = results.requests.saturating_add(results.failed());
        let unsent = float(results.unsent) / float(due);
        if unsent > UNSENT_MOST {
            let sent = float(due - results.unsent) / results.seconds;
            return Some(format!("only {sent:.0} a second were sent"));
        }
        let failed_percent = 100.0 * float(results.failed()) / float(due);
        if failed_percent > self.errors_percent {
            return Some(format!("{failed_percent:.2} % failed"));
        }
        let histogram = match results.latency.decode() {
            Ok(histogram) => histogram,
            Err(error) => return Some(error.to_string()),
        };
        self.latencies.iter().find_map(|(percentile, limit)| {
            let reached = Duration::from_nanos(histogram.value_at_quantile(percentile / 100.0));
            (reached >= *limit).then(|| format!("p{percentile} {reached:.2?}"))
        })
    }
}

/// A trial, as the results of a search list it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Requests a second.
    pub rate: f64,
    /// Its 99th percentile.
    pub p99_us: f64,
    /// Why it did not hold; none if it did.
    pub broken: Option<String>,
}

/// A search, in the results of its best trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Searched {
    /// What had to hold.
    pub objective: String,
    /// Highest rate that held; 0 if none did.
    pub rate: f64,
    /// All of them, in order.
    pub trials: Vec<Trial>,
}

/// The state of a search.
#[derive(Debug, Clone)]
pub struct Search {
    held: f64,
    broken: f64,
    least: f64,
    /// Trials of the current rate that held, and that did not.
    votes: (u32, u32),
    /// The upper end is a rate that did not hold, not what the closed loop lets expect.
    is_bounded: bool,
}

impl Search {
    /// Between nothing and a little more than `most`, which a closed loop reached.
    #[must_use]
    pub fn new(most: f64) -> Self {
        let broken = most * HEADROOM;
        Search { held: 0.0, broken, least: broken * RATE_LEAST, votes: (0, 0), is_bounded: false }
    }

    /// The rate to try next; `None` when it is known well enough.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        let wide = self.broken - self.held > self.broken * PRECISION;
        (wide && self.broken > self.least).then_some(f64::midpoint(self.held, self.broken))
    }

    /// What came of it. True if the highest rate that holds is now the one that was tried.
    pub fn report(&mut self, holds: bool) -> bool {
        let Some(rate) = self.next() else { return false };
        if holds {
            self.votes.0 += 1;
        } else {
            self.votes.1 += 1;
        }
        match self.votes {
            (AGREEING, _) => self.held = rate,
            (_, AGREEING) => {
                self.broken = rate;
                self.is_bounded = true;
            }
            _ => return false,
        }
        self.votes = (0, 0);
        if self.next().is_none() && !self.is_bounded {
            // The closed loop had a bad moment: everything held that it lets expect.
            self.broken *= RAISE;
        }
        holds
    }

    /// The highest rate that held; 0 while none has.
    #[must_use]
    pub fn held(&self) -> f64 {
        self.held
    }
}

/// Failed requests that an objective without a word of them allows, in percent.
const ERRORS_PERCENT: f64 = 0.1;
/// Where more than this share of what was due was never sent, it did not keep up.
const UNSENT_MOST: f64 = 0.01;
/// An open loop may do a little better than the closed one did.
const HEADROOM: f64 = 1.1;
/// Where even that holds, the next upper end is so many times as high.
const RAISE: f64 = 1.5;
/// How far apart the highest rate that held and the lowest that did not may be, as a share.
const PRECISION: f64 = 0.01;
/// Below this share of what a closed loop reached no rate is looked for.
const RATE_LEAST: f64 = 0.001;
/// Trials that must agree.
const AGREEING: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples;
    use crate::record::ErrorKind;
    use proptest::prelude::*;

    fn found(mut search: Search, mut holds: impl FnMut(f64) -> bool) -> (f64, u32) {
        let mut trials = 0;
        while let Some(rate) = search.next() {
            let held = holds(rate);
            search.report(held);
            trials += 1;
            assert!(trials < 100, "does not end");
        }
        (search.held(), trials)
    }

    #[test]
    fn objectives_are_read() {
        let objective: Objective = "p99<5ms, p99.9<=20ms,errors<1%".parse().unwrap();
        assert_eq!(objective.latencies, [(99.0, Duration::from_millis(5)), (99.9, Duration::from_millis(20))]);
        assert!((objective.errors_percent - 1.0).abs() < 1e-9);
        assert_eq!("max<1s".parse::<Objective>().unwrap().latencies, [(100.0, Duration::from_secs(1))]);
        for bad in
            ["", "p99", "p99<", "p99<5", "p0<1ms", "p101<1ms", "q99<1ms", "errors<1%", "errors<x%,p99<1ms", "p99>1ms"]
        {
            assert!(bad.parse::<Objective>().is_err(), "{bad}");
        }
    }

    /// 4,000 a second for 30 s, of which so many came to nothing.
    fn trial(failed: u64, unsent: u64) -> Results {
        let mut results = samples::open_loop();
        results.requests -= failed + unsent;
        results.rate = float(results.requests) / results.seconds;
        results.unsent = unsent;
        results.errors.insert(ErrorKind::Status5xx, failed);
        results
    }

    #[test]
    fn errors_have_a_limit_of_their_own() {
        let objective: Objective = "p99<1s,errors<5%".parse().unwrap();
        assert_eq!(objective.broken_by(&trial(2_400, 0)), None);
        assert_eq!(objective.broken_by(&trial(7_200, 0)).as_deref(), Some("6.00 % failed"));
        let strict: Objective = "p99<1s".parse().unwrap();
        assert_eq!(strict.broken_by(&trial(2_400, 0)).as_deref(), Some("2.00 % failed"));
    }

    #[test]
    fn what_was_never_sent_did_not_keep_up_whatever_may_fail() {
        let objective: Objective = "p99<1s,errors<50%".parse().unwrap();
        assert_eq!(objective.broken_by(&trial(0, 1_080)), None);
        let broken = objective.broken_by(&trial(0, 2_400));
        assert_eq!(broken.as_deref(), Some("only 3920 a second were sent"));
    }

    #[test]
    fn one_trial_by_bad_luck_does_not_mislead_it() {
        for unlucky in 0..30 {
            let mut trial = 0;
            let (rate, _) = found(Search::new(100_000.0), |rate| {
                trial += 1;
                (rate < 70_000.0) != (trial == unlucky)
            });
            assert!((69_000.0..=70_000.0).contains(&rate), "trial {unlucky} unlucky: {rate}");
        }
    }

    #[test]
    fn a_closed_loop_that_had_a_bad_moment_does_not_bound_it() {
        let (rate, _) = found(Search::new(10_000.0), |rate| rate <= 64_000.0);
        assert!((63_000.0..=64_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn where_nothing_holds_it_ends_and_says_so() {
        assert_eq!(found(Search::new(100_000.0), |_| false), (0.0, 20));
    }

    proptest! {
        #[test]
        fn what_holds_is_found_within_its_precision(most in 1.0..1e7_f64, share in 0.01..1.05_f64) {
            let limit = most * share;
            let (rate, _) = found(Search::new(most), |rate| rate <= limit);
            prop_assert!(rate <= limit && rate > limit * 0.98, "{rate} of {limit}");
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<Objective>();
        }
    }
}
