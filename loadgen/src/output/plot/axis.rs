//! Where a value stands on an axis, and which values are labelled: a coordinate of plotters, whose own ones put labels where the
//! numbers are round, not where a reader of latencies looks. Pure; the drawing is `chart`'s.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::output::units;

/// A straight or logarithmic axis with its labels.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    is_log: bool,
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

/// From this ratio of largest to smallest on, a straight axis would press the small ones flat.
const LOG_FROM_RATIO: f64 = 12.0;
/// Largest value that is drawn as itself: 30 years in microseconds.
const VALUE_MAX: f64 = 1e15;

impl Axis {
    /// For latencies in microseconds: from zero if they lie close together, logarithmic otherwise. Without any, no labels.
    pub fn latency(values: impl Iterator<Item = f64>) -> Self {
        // A nanosecond: the least a histogram of ours tells from nothing.
        let values = values.filter(|value| *value > 0.0).map(|value| value.clamp(1e-3, VALUE_MAX));
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        if high == 0.0 {
            return Axis { is_log: false, low: 0.0, high: 1.0, ticks: Vec::new() };
        }
        if high / low < LOG_FROM_RATIO { Axis::from_zero(high, latency_label) } else { Axis::log(low, high) }
    }

    /// From zero to some more than `high`.
    pub fn from_zero(high: f64, label: impl Fn(f64) -> String) -> Self {
        let high = if high > 0.0 { high.clamp(1e-3, VALUE_MAX) * 1.06 } else { 1.0 };
        let step = [1.0, 2.0, 5.0, 10.0, 20.0].map(|factor| factor * decade(high) / 10.0);
        let step = step.into_iter().find(|step| high / step <= 6.0).unwrap_or(high);
        let ticks = multiples(step, high).map(|value| (value, label(value))).collect();
        Axis { is_log: false, low: 0.0, high, ticks }
    }

    fn log(low: f64, high: f64) -> Self {
        let (low, high) = (low / 1.25, high * 1.25);
        let decades = (high / low).log10();
        let factors: &[f64] = if decades <= 3.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let mut ticks = Vec::new();
        let mut power = decade(low);
        while power <= high {
            ticks.extend(factors.iter().map(|factor| factor * power).filter(|value| (low..=high).contains(value)));
            power *= 10.0;
        }
        // Fifteen decades of labels would touch.
        let every = ticks.len().div_ceil(11).max(1);
        let ticks = ticks.into_iter().step_by(every).map(|value| (value, latency_label(value))).collect();
        Axis { is_log: true, low, high, ticks }
    }

    /// For 1/(1-p) of so many values: 0, 50, 90, 99 % and on by a nine. Zero goes without its sign, for 50 is near.
    pub fn percentile(count: u64) -> Self {
        let high = units::float(count).clamp(10.0, PERCENTILE_HIGH_MAX);
        let mut ticks = vec![(1.0, "0".to_owned()), (2.0, "50 %".to_owned())];
        let mut at = 10.0;
        for label in PERCENTILE_LABELS {
            ticks.push((at, label.to_owned()));
            at *= 10.0;
        }
        ticks.retain(|(at, _)| *at <= high);
        Axis { is_log: true, low: 1.0, high, ticks }
    }

    /// For seconds of a run.
    pub fn elapsed(end_s: f64) -> Self {
        let high = if end_s > 0.0 { end_s.min(VALUE_MAX) } else { 1.0 };
        let known = TIME_STEPS_S.into_iter().find(|step| high / step <= 12.0);
        let step = known.unwrap_or_else(|| decade(high));
        let label = |value: f64| match step {
            _ if step < 1.0 => format!("{value:.1} s"),
            _ if step < 60.0 => format!("{value:.0} s"),
            _ => format!("{:.0} min", value / 60.0),
        };
        let ticks = multiples(step, high).map(|value| (value, label(value))).collect();
        Axis { is_log: false, low: 0.0, high, ticks }
    }

    /// Largest value on it.
    pub fn high(&self) -> f64 {
        self.high
    }

    /// Part of the way from its low end to its high one at which `value` stands; outside it, the nearer end.
    fn part(&self, value: f64) -> f64 {
        let value = if value.is_nan() { self.low } else { value.clamp(self.low, self.high) };
        if self.is_log {
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "between the limits, which are i32")]
    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (f64::from(limit.1 - limit.0) * self.part(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Of the lines between labels there are none.
        let ticks = if hint.weight().allow_light_points() { &[][..] } else { &self.ticks };
        ticks.iter().map(|(value, _)| *value).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|(tick, _)| tick.total_cmp(value).is_eq());
        tick.map_or(String::new(), |(_, label)| label.clone())
    }
}

/// A latency in a figure. Where the tick is a round number, without its zeros: "5 ms".
pub(super) fn latency_label(us: f64) -> String {
    let (value, unit) = match us {
        _ if us < 999.5 => (us, "µs"),
        _ if us < 999_500.0 => (us / 1e3, "ms"),
        _ => (us / 1e6, "s"),
    };
    let digits = format!("{value:.3}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    if digits == "0" { "0".to_owned() } else { format!("{digits} {unit}") }
}

/// Largest power of ten that is not above `value`.
fn decade(value: f64) -> f64 {
    10_f64.powf(value.log10().floor())
}

/// 0, `step`, and so on up to `high`.
fn multiples(step: f64, high: f64) -> impl Iterator<Item = f64> {
    (0..=20).map(move |index| f64::from(index) * step).take_while(move |value| *value <= high * (1.0 + 1e-9))
}

const PERCENTILE_LABELS: [&str; 6] = ["90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
/// Longer labels would touch.
const PERCENTILE_HIGH_MAX: f64 = 1e6;
const TIME_STEPS_S: [f64; 19] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0,
    28800.0,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn latencies_close_together_stand_on_a_straight_axis_from_zero() {
        let axis = Axis::latency([100.0, 400.0].into_iter());
        assert!(!axis.is_log);
        assert_eq!(labels(&axis), ["0", "100 µs", "200 µs", "300 µs", "400 µs"]);
    }

    #[test]
    fn a_long_tail_makes_the_axis_logarithmic() {
        let axis = Axis::latency([60.0, 3_000.0].into_iter());
        assert!(axis.is_log);
        assert_eq!(labels(&axis), ["50 µs", "100 µs", "200 µs", "500 µs", "1 ms", "2 ms"]);
        let axis = Axis::latency([60.0, 3_000_000.0].into_iter());
        assert_eq!(labels(&axis), ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]);
    }

    #[test]
    fn percentiles_are_labelled_as_far_as_there_are_requests() {
        assert_eq!(labels(&Axis::percentile(0)), ["0", "50 %", "90 %"]);
        assert_eq!(labels(&Axis::percentile(20_000)), ["0", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert_eq!(Axis::percentile(u64::MAX).ticks.len(), 8);
    }

    #[test]
    fn time_is_labelled_in_the_unit_of_the_run() {
        assert_eq!(
            labels(&Axis::elapsed(1.0)),
            ["0.0 s", "0.1 s", "0.2 s", "0.3 s", "0.4 s", "0.5 s", "0.6 s", "0.7 s", "0.8 s", "0.9 s", "1.0 s"]
        );
        assert_eq!(labels(&Axis::elapsed(33.0)).last(), Some(&"30 s"));
        assert_eq!(labels(&Axis::elapsed(600.0)).last(), Some(&"10 min"));
    }

    proptest! {
        #[test]
        fn an_axis_holds_every_value_and_its_labels_are_few(values in prop::collection::vec(prop::num::f64::ANY, 0..20)) {
            let axis = Axis::latency(values.iter().copied());
            prop_assert!(axis.low < axis.high && axis.ticks.len() <= 12, "{axis:?}");
            for value in values {
                prop_assert!((100..=900).contains(&axis.map(&value, (100, 900))));
            }
            let elapsed = Axis::elapsed(axis.high);
            prop_assert!((1..=21).contains(&elapsed.ticks.len()), "{elapsed:?}");
        }
    }
}
