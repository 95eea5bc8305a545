//! Latency by percentile: the whole distribution on one curve, its tail drawn out by a logarithmic 1/(1-p).

use hdrhistogram::Histogram;

use super::axis::Axis;
use super::canvas::{Area, Drawn};
use super::chart::{Chart, Entry, Stroke, heading, in_the_middle};
use crate::output::units::float;

/// A distribution and how it is drawn.
pub(super) struct Curve {
    /// Of nanoseconds.
    pub histogram: Histogram<u64>,
    pub stroke: Stroke,
}

/// Points of the curve between one half of the remaining percentiles and the next.
const TICKS_PER_HALF_DISTANCE: u32 = 20;

/// Draws `curves` on the same axes, the first on top.
pub(super) fn draw(area: &Area, curves: &[Curve], legend: &[Entry]) -> Drawn {
    let count = curves.iter().map(|curve| curve.histogram.len()).max().unwrap_or(0);
    let x = Axis::percentile(count);
    let lines: Vec<_> = curves.iter().map(|curve| (points(&curve.histogram, x.high()), curve.stroke)).collect();
    let y = Axis::latency(lines.iter().flat_map(|(points, _)| points).map(|(_, us)| *us));
    heading(area, "Latency by percentile", if count > 0 { legend } else { &[] })?;
    let mut chart = Chart::new(area, x, y, &[])?;
    for (points, stroke) in lines.iter().rev() {
        chart.curve(points, *stroke, false)?;
    }
    if count > 0 { Ok(()) } else { in_the_middle(area, "no good answer") }
}

/// 1/(1-p) and microseconds, until a single value is beyond or the axis ends.
fn points(histogram: &Histogram<u64>, end: f64) -> Vec<(f64, f64)> {
    let end = end.min(float(histogram.len()));
    let us = |nanoseconds: u64| float(nanoseconds) / 1e3;
    let steps = histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE);
    let steps = steps.map(|step| (1.0 / (1.0 - step.quantile_iterated_to()), us(step.value_iterated_to())));
    let mut points: Vec<_> = steps.take_while(|(x, _)| *x < end).collect();
    if !histogram.is_empty() {
        points.push((end, us(histogram.value_at_quantile(1.0 - 1.0 / (end + 1.0)))));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl Iterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
        values.for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn the_curve_rises_from_the_least_to_the_most() {
        let points = points(&of((1..=1000).map(|value| value * 1_000)), 1e6);
        assert!((points[0].1 - 1.0).abs() < 0.01, "{:?}", points[0]);
        let last = points.last().unwrap();
        assert!((last.0 - 1000.0).abs() < 1e-9 && (last.1 - 1000.0).abs() < 1.0, "{last:?}");
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    }

    #[test]
    fn the_curve_ends_with_the_axis() {
        let points = points(&of((1..=1000).map(|value| value * 1_000)), 100.0);
        let last = points.last().unwrap();
        assert!((last.0 - 100.0).abs() < 1e-9 && (985.0..995.0).contains(&last.1), "{last:?}");
    }

    #[test]
    fn one_value_is_one_point_and_none_is_none() {
        assert_eq!(points(&of([5_000].into_iter()), 10.0).len(), 1);
        assert!(points(&of(std::iter::empty()), 10.0).is_empty());
    }
}
