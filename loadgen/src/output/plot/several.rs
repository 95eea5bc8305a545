//! Some runs in one chart: their latency by percentile, and a table of the numbers one looks for.

use super::canvas::{self, Area, BODY, Drawn, HEADING, QUIET, Side, TITLE, px};
use super::chart::{self, LEFT, SAMPLE, Stroke};
use super::percentiles::{self, Curve};
use super::{decode, run::figure_time};
use crate::output::{OutputError, units};
use crate::results::Results;

const WIDTH: u32 = 960;
const HEAD_HEIGHT: u32 = 66;
const CHART_HEIGHT: u32 = 400;
const ROW: u32 = 24;

/// Told apart by colour first, by dashes from the sixth run on.
const COLOURS: [plotters::style::RGBColor; 5] =
    [canvas::BLUE, canvas::VERMILLION, canvas::GREEN, canvas::PURPLE, canvas::ORANGE];

/// The runs' percentiles as SVG. All in open loop: from when due; otherwise from sending, which every run knows.
///
/// # Errors
/// A histogram does not decode; the run is named.
pub fn svg(runs: &[(&str, &Results)]) -> Result<String, OutputError> {
    let from_due = runs.iter().all(|(_, results)| results.settings.rate.is_some());
    let mut curves = Vec::new();
    for (index, (name, results)) in runs.iter().enumerate() {
        let service = results.service.as_ref().filter(|_| !from_due);
        let histogram = decode(name, service.unwrap_or(&results.latency))?;
        curves.push(Curve { histogram, stroke: stroke(index) });
    }
    let rows = u32::try_from(runs.len()).unwrap_or(u32::MAX).saturating_add(1);
    let height = HEAD_HEIGHT + CHART_HEIGHT + rows * ROW + 32;
    let subtitle = match runs {
        [] => "no run".to_owned(),
        _ if from_due => "open loops: from when each request was due to its answer".to_owned(),
        _ => "from sending each request to its answer".to_owned(),
    };
    canvas::sheet((WIDTH, height), "Latency by percentile of several runs", |sheet| {
        let (top, rest) = sheet.split_vertically(px(HEAD_HEIGHT.cast_signed()));
        let (middle, lower) = rest.split_vertically(px(CHART_HEIGHT.cast_signed()));
        let left = LEFT.cast_signed();
        canvas::text(&top, &title(runs), TITLE, Side::Left, (left, 24), WIDTH - LEFT - 16)?;
        canvas::text(&top, &subtitle, QUIET, Side::Left, (left, 48), WIDTH - LEFT - 16)?;
        percentiles::draw(&middle, &curves, &[])?;
        table(&lower, runs, &curves)
    })
}

fn title(runs: &[(&str, &Results)]) -> String {
    let names: Vec<&str> = runs.iter().map(|(name, _)| *name).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((_, first)) if first.len() >= 3 => format!("{} runs", names.len()),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
        None => "Nothing to compare".to_owned(),
    }
}

fn stroke(index: usize) -> Stroke {
    Stroke { colour: COLOURS[index % COLOURS.len()], width: 9, dashed: index / COLOURS.len() % 2 == 1 }
}

/// A line a run: which curve, its rate and percentiles.
fn table(area: &Area, runs: &[(&str, &Results)], curves: &[Curve]) -> Drawn {
    const HEAD_Y: i32 = 22;
    const COLUMNS: [i32; 6] = [420, 530, 630, 730, 830, 930];
    let left = LEFT.cast_signed();
    let head = ["answers/s", "p50", "p99", "p99.9", "p99.99", "max"];
    for (name, right) in head.into_iter().zip(COLUMNS) {
        canvas::text(area, name, HEADING, Side::Right, (right, HEAD_Y), 110)?;
    }
    let tops = (HEAD_Y + ROW.cast_signed()..).step_by(ROW as usize);
    for (((name, results), curve), y) in runs.iter().zip(curves).zip(tops) {
        chart::sample(area, (left, y), curve.stroke)?;
        canvas::text(area, name, BODY, Side::Left, (left + SAMPLE + 8, y), 240)?;
        canvas::text(area, &units::rate(results.rate), BODY, Side::Right, (COLUMNS[0], y), 110)?;
        let at = |quantile: f64| units::float(curve.histogram.value_at_quantile(quantile)) / 1e3;
        for (quantile, right) in [0.5, 0.99, 0.999, 0.9999, 1.0].into_iter().zip(&COLUMNS[1..]) {
            let cell = if curve.histogram.is_empty() { "-".to_owned() } else { figure_time(at(quantile)) };
            canvas::text(area, &cell, BODY, Side::Right, (*right, y), 110)?;
        }
    }
    Ok(())
}
