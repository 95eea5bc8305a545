//! Runs for tests: a queue with a long tail, simulated from a seed, and results that nobody would get.

use std::collections::{BTreeMap, BinaryHeap};

use hdrhistogram::Histogram;
use proptest::prelude::*;

use crate::record::ErrorKind;
use crate::results::{End, FORMAT, Latency, Point, Results, Settings};

/// What to simulate.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub seed: u64,
    pub rate: f64,
    pub open_loop: bool,
    pub connections: u32,
    /// Before the measurement, at half the rate.
    pub warm_up_s: f64,
    pub measured_s: f64,
    pub interval_s: f64,
    /// From when, and how long, the target answers nothing.
    pub stall_s: Option<(f64, f64)>,
    /// Part of the requests that fails.
    pub failing: f64,
    /// What an answer takes, as a multiple of some 90 us.
    pub slowness: f64,
}

impl Scenario {
    pub fn usual() -> Self {
        Scenario {
            seed: 7,
            rate: 4_000.0,
            open_loop: true,
            connections: 100,
            warm_up_s: 3.0,
            measured_s: 30.0,
            interval_s: 1.0,
            stall_s: None,
            failing: 0.0,
            slowness: 1.0,
        }
    }

    /// Runs it: `connections` servers, one queue, requests due evenly.
    pub fn run(&self) -> Results {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut counted = Counted::new(self);
        let mut free: BinaryHeap<std::cmp::Reverse<u64>> =
            (0..self.connections).map(|_| std::cmp::Reverse(0)).collect();
        let mut due_s = 0.0;
        while due_s < self.warm_up_s + self.measured_s {
            let due = nanoseconds(due_s);
            let std::cmp::Reverse(earliest) = free.pop().unwrap();
            let sent = earliest.max(due);
            let done = self.stalled(sent) + self.service(&mut random);
            free.push(std::cmp::Reverse(done));
            let failed = random.f64() < self.failing;
            counted.answer(self, if self.open_loop { due } else { sent }, sent, done, failed);
            due_s += if due_s < self.warm_up_s { 2.0 } else { 1.0 } / self.rate;
        }
        counted.results(self)
    }

    fn stalled(&self, sent: u64) -> u64 {
        match self.stall_s {
            Some((from, length)) if (nanoseconds(from)..nanoseconds(from + length)).contains(&sent) => {
                nanoseconds(from + length)
            }
            _ => sent,
        }
    }

    /// Log-normal, one in 50 with a heavy tail.
    fn service(&self, random: &mut fastrand::Rng) -> u64 {
        let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let usual_us = 90.0 * (0.3 * normal).exp();
        let tail_us = if random.f64() < 0.02 { 120.0 * random.f64().max(1e-4).powf(-0.6) } else { 0.0 };
        nanoseconds((usual_us + tail_us) * self.slowness / 1e6)
    }
}

struct Counted {
    latency: Histogram<u64>,
    service: Histogram<u64>,
    intervals: Vec<(Histogram<u64>, u64)>,
    errors: u64,
}

impl Counted {
    fn new(scenario: &Scenario) -> Self {
        let intervals = ((scenario.warm_up_s + scenario.measured_s) / scenario.interval_s).ceil();
        let intervals = (0..nanoseconds(intervals / 1e9)).map(|_| (histogram(2), 0)).collect();
        Counted { latency: histogram(3), service: histogram(3), intervals, errors: 0 }
    }

    fn answer(&mut self, scenario: &Scenario, due: u64, sent: u64, done: u64, failed: bool) {
        let index = usize::try_from(done / nanoseconds(scenario.interval_s)).unwrap();
        let measured = due >= nanoseconds(scenario.warm_up_s);
        if let Some((histogram, errors)) = self.intervals.get_mut(index) {
            if failed {
                *errors += 1;
            } else {
                histogram.saturating_record(done - due);
            }
        }
        if measured && failed {
            self.errors += 1;
        } else if measured {
            self.latency.saturating_record(done - due);
            self.service.saturating_record(done - sent);
        }
    }

    fn results(self, scenario: &Scenario) -> Results {
        let requests = self.latency.len();
        let ends = (1..).map(|index| f64::from(index) * scenario.interval_s);
        let series = self.intervals.iter().zip(ends).map(|((histogram, errors), at_s)| Point {
            at_s,
            seconds: scenario.interval_s,
            measured: at_s - scenario.interval_s >= scenario.warm_up_s,
            requests: histogram.len(),
            errors: *errors,
            p50_us: us(histogram.value_at_quantile(0.5)),
            p99_us: us(histogram.value_at_quantile(0.99)),
            max_us: us(histogram.max()),
        });
        let settings = Settings {
            mode: "http".into(),
            target: "http://127.0.0.1:8080/".into(),
            connections: scenario.connections,
            threads: 2,
            rate: scenario.open_loop.then_some(scenario.rate),
            command: "http http://127.0.0.1:8080/ -c 100 --duration 30s".into(),
        };
        let errors: BTreeMap<_, _> =
            (self.errors > 0).then_some((ErrorKind::Refused, self.errors)).into_iter().collect();
        Results {
            format: FORMAT,
            generator: "weir-loadgen 0.1.0".into(),
            started_unix_s: 1_767_225_600,
            settings,
            end: End::Complete,
            seconds: scenario.measured_s,
            requests,
            rate: super::units::float(requests) / scenario.measured_s.max(1e-9),
            bytes_sent: requests * 120,
            bytes_received: requests * 1_180,
            connections_opened: 0,
            unsent: 0,
            strays: 0,
            dropped_here: 0,
            error_examples: errors.keys().map(|kind| (*kind, "127.0.0.1:8080: ECONNREFUSED".to_owned())).collect(),
            errors,
            statuses: (requests > 0).then(|| ("2xx".to_owned(), requests)).into_iter().collect(),
            latency: Latency::new(&self.latency),
            service: scenario.open_loop.then(|| Latency::new(&self.service)),
            series: series.collect(),
            search: None,
        }
    }
}

/// 30 s in open loop at 4,000 requests/s, three seconds of warm-up.
pub(crate) fn open_loop() -> Results {
    Scenario::usual().run()
}

/// The same with a stall of 0.8 s that the waiting requests see.
pub(super) fn stalled() -> Results {
    Scenario { stall_s: Some((18.3, 0.8)), ..Scenario::usual() }.run()
}

/// The same in closed loop.
pub(super) fn closed_loop() -> Results {
    Scenario { open_loop: false, connections: 4, ..Scenario::usual() }.run()
}

/// Nothing ever answered.
pub(super) fn all_errors() -> Results {
    Scenario { failing: 1.1, rate: 1_000.0, measured_s: 5.0, ..Scenario::usual() }.run()
}

/// No request, no interval.
pub(super) fn nothing() -> Results {
    Scenario { warm_up_s: 0.0, measured_s: 0.0, ..Scenario::usual() }.run()
}

/// A single request in a single second.
pub(super) fn one_request() -> Results {
    Scenario { warm_up_s: 0.0, measured_s: 1.0, rate: 1.0, ..Scenario::usual() }.run()
}

/// A second at a low rate.
pub(super) fn one_second() -> Results {
    Scenario { warm_up_s: 0.0, measured_s: 1.0, rate: 2_000.0, ..Scenario::usual() }.run()
}

/// Ten minutes, a request in a thousand failing.
pub(super) fn ten_minutes() -> Results {
    let rare = Scenario { rate: 300.0, measured_s: 600.0, warm_up_s: 20.0, failing: 0.0004, ..Scenario::usual() };
    Scenario { stall_s: Some((400.0, 2.5)), ..rare }.run()
}

/// Anything that JSON can hold.
pub(super) fn any_results() -> impl Strategy<Value = Results> {
    let finite = || prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL;
    let usual = || 0.0..1e7_f64;
    let number = move || prop_oneof![usual(), finite()];
    let point = (number(), number(), any::<bool>(), any::<(u64, u64)>(), (number(), number(), number()));
    let point = point.prop_map(|(at_s, seconds, measured, (requests, errors), (p50_us, p99_us, max_us))| Point {
        at_s,
        seconds,
        measured,
        requests,
        errors,
        p50_us,
        p99_us,
        max_us,
    });
    let kinds = prop::sample::select(vec![ErrorKind::Refused, ErrorKind::Lost, ErrorKind::Status5xx, ErrorKind::Other]);
    let errors = prop::collection::btree_map(kinds, (any::<u64>(), any::<String>()), 0..4);
    let latency = || {
        (prop::collection::vec(any::<u64>(), 0..50), prop::option::of(number())).prop_map(|(values, mean)| {
            let mut histogram = histogram(3);
            values.iter().for_each(|value| histogram.saturating_record(*value));
            let latency = Latency::new(&histogram);
            Latency { mean_us: mean.unwrap_or(latency.mean_us), ..latency }
        })
    };
    let ends = prop_oneof![
        Just(End::Complete),
        Just(End::Interrupted),
        (number(), any::<String>()).prop_map(|(at_s, error)| End::TargetDown { at_s, error }),
    ];
    let settings = (any::<String>(), any::<String>(), any::<(u32, u32)>(), prop::option::of(number()), any::<String>());
    let settings = settings.prop_map(|(mode, target, (connections, threads), rate, command)| Settings {
        mode,
        target,
        connections,
        threads,
        rate,
        command,
    });
    let series = prop::collection::vec(point, 0..20);
    let run = (settings, ends, (number(), number()), any::<(u64, u64, u64, u64, u64, u64, u64, u64)>());
    (run, errors, latency(), prop::option::of(latency()), series).prop_map(
        |((settings, end, (seconds, rate), counts), errors, latency, service, series)| Results {
            format: FORMAT,
            generator: "weir-loadgen".into(),
            started_unix_s: counts.0,
            settings,
            end,
            seconds,
            requests: counts.1,
            rate,
            bytes_sent: counts.2,
            bytes_received: counts.3,
            connections_opened: counts.4,
            unsent: counts.5,
            strays: counts.6,
            dropped_here: counts.7,
            errors: errors.iter().map(|(kind, (count, _))| (*kind, *count)).collect(),
            error_examples: errors.into_iter().map(|(kind, (_, example))| (kind, example)).collect(),
            statuses: [("2xx".to_owned(), counts.1)].into(),
            latency,
            service,
            series,
            search: None,
        },
    )
}

fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, digits).unwrap()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "minutes from zero")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

fn us(nanoseconds: u64) -> f64 {
    super::units::float(nanoseconds) / 1e3
}
