//! The figure of one run.
//!
//!     title, what was asked, what needs attention
//!     latency by percentile        | its table
//!     requests a second over time
//!     latency over time

use super::canvas::{self, Area, BODY, Drawn, NOTE, QUIET, Side, TITLE};
use super::chart::{Entry, LEFT, Stroke};
use super::percentiles::{self, Curve};
use super::{decode, series};
use crate::output::units;
use crate::output::{OutputError, facts};
use crate::results::Results;

const WIDTH: u32 = 960;
/// Longest line of the head, pixels.
const LINE: u32 = WIDTH - LEFT - 16;
const HEAD_HEIGHT: u32 = 66;
const NOTE_HEIGHT: u32 = 20;
const PERCENTILES_HEIGHT: u32 = 330;
const PERCENTILES_WIDTH: u32 = 660;
const RATE_HEIGHT: u32 = 200;
const LATENCY_HEIGHT: u32 = 258;

const DUE: Stroke = Stroke { colour: canvas::BLUE, width: 10, dashed: false };
const SENT: Stroke = Stroke { colour: canvas::ORANGE, width: 10, dashed: true };

/// One run as SVG.
///
/// # Errors
/// A histogram does not decode.
pub fn svg(results: &Results) -> Result<String, OutputError> {
    let notes: Vec<String> = facts::notes(results).flat_map(|note| canvas::wrapped(&note, NOTE, LINE)).collect();
    let note_count = u32::try_from(notes.len()).unwrap_or(0);
    figure(results, HEAD_HEIGHT + NOTE_HEIGHT * note_count, |area| head(area, results, &notes))
}

/// The charts alone, for a page that says the rest.
pub(in crate::output) fn charts(results: &Results) -> Result<String, OutputError> {
    figure(results, 0, |_| Ok(()))
}

fn figure(results: &Results, head_height: u32, head: impl Fn(&Area) -> Drawn) -> Result<String, OutputError> {
    let mut curves = vec![Curve { histogram: decode("latency", &results.latency)?, stroke: DUE }];
    if let Some(service) = &results.service {
        curves.push(Curve { histogram: decode("service", service)?, stroke: SENT });
    }
    let height = head_height + PERCENTILES_HEIGHT + RATE_HEIGHT + LATENCY_HEIGHT;
    canvas::sheet((WIDTH, height), &facts::title(&results.settings), |sheet| {
        let (top, rest) = sheet.split_vertically(canvas::px(head_height.cast_signed()));
        let (upper, rest) = rest.split_vertically(canvas::px(PERCENTILES_HEIGHT.cast_signed()));
        let (left, right) = upper.split_horizontally(canvas::px(PERCENTILES_WIDTH.cast_signed()));
        let (middle, lower) = rest.split_vertically(canvas::px(RATE_HEIGHT.cast_signed()));
        head(&top)?;
        percentiles::draw(&left, &curves, &legend(results))?;
        table(&right, results)?;
        series::rate(&middle, results)?;
        series::latency(&lower, results)
    })
}

fn head(area: &Area, results: &Results, notes: &[String]) -> Drawn {
    let left = LEFT.cast_signed();
    canvas::text(area, &facts::title(&results.settings), TITLE, Side::Left, (left, 24), LINE)?;
    let subtitle = format!(
        "{}; {} good answers/s over {}",
        facts::load(&results.settings),
        units::rate(results.rate),
        units::seconds(results.seconds)
    );
    canvas::text(area, &subtitle, QUIET, Side::Left, (left, 48), LINE)?;
    for (note, y) in notes.iter().zip((70..).step_by(NOTE_HEIGHT as usize)) {
        canvas::text(area, note, NOTE, Side::Left, (left, y), LINE)?;
    }
    Ok(())
}

/// The chart's curves, which its table's columns follow.
fn legend(results: &Results) -> Vec<Entry> {
    match results.service {
        Some(_) => vec![Entry::Line("from when due", DUE), Entry::Line("from sending", SENT)],
        None => vec![Entry::Line("from sending", DUE)],
    }
}

/// The percentiles in numbers.
fn table(area: &Area, results: &Results) -> Drawn {
    const NAMES: i32 = 20;
    const COLUMNS: [i32; 2] = [158, 262];
    const TOP: i32 = 46;
    const ROW: i32 = 24;
    if results.requests == 0 {
        return Ok(());
    }
    let rows = || (TOP..).step_by(ROW as usize);
    let latencies = [Some(&results.latency), results.service.as_ref()];
    let heads = legend(results);
    for ((head, latency), right) in heads.iter().zip(latencies.into_iter().flatten()).zip(COLUMNS) {
        canvas::text(area, head.name(), QUIET, Side::Right, (right, 14), 120)?;
        for ((_, us), y) in facts::latencies(latency).into_iter().zip(rows()) {
            canvas::text(area, &figure_time(us), BODY, Side::Right, (right, y), 120)?;
        }
    }
    for ((name, _), y) in facts::latencies(&results.latency).into_iter().zip(rows()) {
        canvas::text(area, name, QUIET, Side::Left, (NAMES, y), 100)?;
    }
    Ok(())
}

/// As on a terminal, but with the unit's own letter.
pub(super) fn figure_time(us: f64) -> String {
    units::time(us).replace("us", "µs")
}
