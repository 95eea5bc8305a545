//! What happened when: answers a second, failures, and latency by interval. What was not measured is shaded.

use super::axis::Axis;
use super::canvas::{self, Area, Drawn};
use super::chart::{Chart, Entry, Stroke, heading, in_the_middle};
use crate::output::units::{self, float};
use crate::results::{Point, Results};

const RATE: Stroke = Stroke { colour: canvas::GREEN, width: 8, dashed: false };
const ASKED: Stroke = Stroke { colour: canvas::INK, width: 5, dashed: true };
const P50: Stroke = Stroke { colour: canvas::SKY, width: 8, dashed: false };
const P99: Stroke = Stroke { colour: canvas::BLUE, width: 8, dashed: false };
const MAX: Stroke = Stroke { colour: canvas::PURPLE, width: 5, dashed: false };

/// One of the latencies of an interval.
type Latency = fn(&Point) -> f64;

/// Intervals with failures are marked at the top edge besides, this part of the chart high: one failure in a million has a bar
/// that nobody sees.
const MARK: f64 = 0.03;

/// Good answers and failures a second.
pub(super) fn rate(area: &Area, results: &Results) -> Drawn {
    let points = usable(results);
    let a_second = |count: u64, point: &Point| float(count) / point.seconds;
    let good: Vec<_> = points.iter().map(|point| (middle(point), a_second(point.requests, point))).collect();
    let failed: Vec<_> = points.iter().filter(|point| point.errors > 0).collect();
    let asked = results.settings.rate.filter(|asked| *asked > 0.0);
    let highest = good.iter().map(|(_, rate)| *rate).chain(asked);
    let highest = highest.chain(failed.iter().map(|point| a_second(point.errors, point))).fold(0.0, f64::max);
    let shades = shades(&points);

    let mut legend = vec![Entry::Line("good answers", RATE)];
    legend.extend(asked.map(|_| Entry::Line("asked", ASKED)));
    legend.extend((!failed.is_empty()).then_some(Entry::Fill("failed", canvas::VERMILLION)));
    legend.extend((!shades.is_empty()).then_some(Entry::Fill("not measured", canvas::PALE)));
    heading(area, "Requests a second", &legend)?;
    let mut chart = Chart::new(area, elapsed(&points), Axis::from_zero(highest, rate_label), &shades)?;
    for point in failed {
        let (from, to, ceiling) = (point.at_s - point.seconds, point.at_s, chart.ceiling());
        chart.rectangle((from, 0.0), (to, a_second(point.errors, point)), canvas::VERMILLION)?;
        chart.rectangle((from, ceiling * (1.0 - MARK)), (to, ceiling), canvas::VERMILLION)?;
    }
    if let (Some(asked), Some((from, to))) = (asked, measured(&points)) {
        chart.curve(&[(from, asked), (to, asked)], ASKED, false)?;
    }
    chart.curve(&good, RATE, true)
}

/// Median, p99 and longest latency of each interval.
pub(super) fn latency(area: &Area, results: &Results) -> Drawn {
    let points = usable(results);
    let curves: [(Stroke, Latency); 3] =
        [(MAX, |point| point.max_us), (P99, |point| point.p99_us), (P50, |point| point.p50_us)];
    let values = points.iter().filter(|point| point.requests > 0);
    let is_empty = values.clone().next().is_none();
    let y = Axis::latency(values.flat_map(|point| [point.p50_us, point.p99_us, point.max_us]));
    let legend = [Entry::Line("max", MAX), Entry::Line("p99", P99), Entry::Line("p50", P50)];
    heading(area, "Latency over time", if is_empty { &[] } else { &legend })?;
    let mut chart = Chart::new(area, elapsed(&points), y, &shades(&points))?;
    if is_empty {
        return in_the_middle(area, "no good answer");
    }
    for (stroke, of) in curves {
        // An interval without an answer has no latency: the line is broken there.
        for part in points.split(|point| point.requests == 0).filter(|part| !part.is_empty()) {
            let line: Vec<_> = part.iter().map(|point| (middle(point), of(point))).collect();
            chart.curve(&line, stroke, true)?;
        }
    }
    Ok(())
}

/// Points that can be drawn, in order.
fn usable(results: &Results) -> Vec<&Point> {
    let mut points: Vec<&Point> = results
        .series
        .iter()
        .filter(|point| point.seconds > 0.0 && point.at_s.is_finite() && point.at_s >= 0.0)
        .collect();
    points.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    points
}

fn elapsed(points: &[&Point]) -> Axis {
    Axis::elapsed(points.last().map_or(1.0, |point| point.at_s))
}

fn middle(point: &Point) -> f64 {
    point.at_s - point.seconds / 2.0
}

/// From when to when each stretch lasts that was not measured.
fn shades(points: &[&Point]) -> Vec<(f64, f64)> {
    let stretches = points.chunk_by(|a, b| a.measured == b.measured).filter(|stretch| !stretch[0].measured);
    stretches.map(|stretch| (stretch[0].at_s - stretch[0].seconds, stretch[stretch.len() - 1].at_s)).collect()
}

/// From when to when it was measured.
fn measured(points: &[&Point]) -> Option<(f64, f64)> {
    let mut measured = points.iter().filter(|point| point.measured);
    let first = measured.next()?;
    Some((first.at_s - first.seconds, measured.next_back().unwrap_or(first).at_s))
}

/// "20k" reads faster than "20,000" at the side of a chart.
fn rate_label(rate: f64) -> String {
    match rate {
        _ if rate < 1e4 => {
            let label = format!("{rate:.1}");
            label.strip_suffix(".0").map_or(label.clone(), units_grouped)
        }
        _ if rate < 1e6 => format!("{}k", shortest(rate / 1e3)),
        _ => format!("{}M", shortest(rate / 1e6)),
    }
}

fn units_grouped(whole: &str) -> String {
    whole.parse().map_or(whole.to_owned(), units::count)
}

fn shortest(value: f64) -> String {
    format!("{value:.1}").trim_end_matches(".0").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_s: f64, measured: bool) -> Point {
        Point { at_s, seconds: 1.0, measured, requests: 1, errors: 0, p50_us: 1.0, p99_us: 1.0, max_us: 1.0 }
    }

    #[test]
    fn each_stretch_that_was_not_measured_is_shaded_once() {
        let points = [point(1.0, false), point(2.0, false), point(3.0, true), point(4.0, true), point(5.0, false)];
        let points: Vec<&Point> = points.iter().collect();
        assert_eq!(shades(&points), [(0.0, 2.0), (4.0, 5.0)]);
        assert_eq!(measured(&points), Some((2.0, 4.0)));
        assert_eq!(measured(&points[..2]), None);
    }

    #[test]
    fn rates_are_labelled_short() {
        assert_eq!(
            [0.0, 0.5, 500.0, 2_000.0, 20_000.0, 1.5e6].map(rate_label),
            ["0", "0.5", "500", "2,000", "20k", "1.5M"]
        );
    }
}
