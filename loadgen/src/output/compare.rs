//! Two runs side by side: what differs, by how much, and whether the comparison is a fair one.
//!
//! Percentiles come from the whole distributions, not from the numbers beside them. Where only one run was in open loop, both are
//! compared by the time from sending: it is the only one that a closed loop knows.

use hdrhistogram::Histogram;

use crate::output::OutputError;
use crate::output::facts;
use crate::output::table::aligned;
use crate::output::units::{self, float};
use crate::results::{End, Latency, Point, Results};

/// The percentiles of the table.
const QUANTILES: [(&str, f64); 7] =
    [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];
/// Fewer intervals than these say nothing about a spread.
const INTERVALS_MIN: usize = 4;
/// Lengths that differ by more are not the same work.
const LENGTH_RATIO_MAX: f64 = 1.1;
/// Options that say where results go, not what is done, and those that the settings tell. Each takes a value.
const TOLD_OPTIONS: [&str; 7] = ["--json", "--hgrm", "--plot", "--rate", "-r", "--connections", "-c"];
/// Longest name of a run in a column's head.
const NAME_CHARS_MAX: usize = 40;

/// A run and what it goes by: its file's name.
type Run<'a> = (&'a str, &'a Results);

/// The table of `a` and `b`, and sentences about what it does not show.
///
/// # Errors
/// A histogram does not decode.
pub fn compare(a: Run, b: Run) -> Result<String, OutputError> {
    let (a, b) = (Side::new(a)?, Side::new(b)?);
    let mut out = aligned("lrrr", &table(&a, &b));
    let sentences = [vec![rate_verdict(&a, &b)], warnings(&a, &b)].concat();
    for sentence in sentences {
        out.push('\n');
        out.push_str(&sentence);
        out.push('\n');
    }
    Ok(out)
}

/// One of the two, decoded.
struct Side<'a> {
    name: String,
    results: &'a Results,
    latency: Histogram<u64>,
    service: Option<Histogram<u64>>,
}

impl<'a> Side<'a> {
    fn new((name, results): Run<'a>) -> Result<Self, OutputError> {
        let decode = |latency: &Latency| {
            latency.decode().map_err(|source| OutputError::Histogram { name: name.to_owned(), source })
        };
        Ok(Side {
            name: units::printable(name, NAME_CHARS_MAX),
            results,
            latency: decode(&results.latency)?,
            service: results.service.as_ref().map(decode).transpose()?,
        })
    }

    fn is_open_loop(&self) -> bool {
        self.results.settings.rate.is_some()
    }

    /// The distribution that can be held against another's.
    fn comparable(&self, from_due: bool) -> &Histogram<u64> {
        if from_due { &self.latency } else { self.service.as_ref().unwrap_or(&self.latency) }
    }
}

fn table(a: &Side, b: &Side) -> Vec<Vec<String>> {
    let row = |name: &str, written: &dyn Fn(f64) -> String, a: f64, b: f64| {
        vec![name.to_owned(), written(a), written(b), ratio(a, b)]
    };
    let counted = |name: &str, a: u64, b: u64| vec![name.to_owned(), units::count(a), units::count(b), String::new()];
    let mut rows = vec![
        vec![String::new(), a.name.clone(), b.name.clone(), "ratio".to_owned()],
        row("Good answers/s", &units::rate, a.results.rate, b.results.rate),
        counted("Good answers", a.results.requests, b.results.requests),
        counted("Errors", facts::errors(a.results), facts::errors(b.results)),
        counted("Unsent", a.results.unsent, b.results.unsent),
    ];
    let from_due = a.is_open_loop() && b.is_open_loop();
    rows.push(vec![format!("Latency from {}", if from_due { "when due" } else { "sending" })]);
    let (a, b) = (a.comparable(from_due), b.comparable(from_due));
    let mut latency = |name: &str, of: &dyn Fn(&Histogram<u64>) -> f64| {
        let us = |histogram: &Histogram<u64>| (!histogram.is_empty()).then(|| of(histogram) / 1e3);
        let written = |us: Option<f64>| us.map_or("no good answer".to_owned(), units::time);
        let ratio = us(a).zip(us(b)).map_or("-".to_owned(), |(a, b)| ratio(a, b));
        rows.push(vec![format!("  {name}"), written(us(a)), written(us(b)), ratio]);
    };
    for (name, quantile) in QUANTILES {
        latency(name, &|histogram| float(histogram.value_at_quantile(quantile)));
    }
    latency("max", &|histogram| float(histogram.max()));
    latency("mean", &Histogram::mean);
    rows
}

fn ratio(a: f64, b: f64) -> String {
    match b / a {
        ratio if !ratio.is_finite() || a < 0.0 => "-".to_owned(),
        ratio if ratio < 10.0 => format!("{ratio:.3}"),
        ratio if ratio < 100.0 => format!("{ratio:.1}"),
        ratio => format!("{ratio:.0}"),
    }
}

/// Whether the rates differ by more than the runs' own intervals do.
fn rate_verdict(a: &Side, b: &Side) -> String {
    let (Some(spread_a), Some(spread_b)) = (Spread::of(&a.results.series), Spread::of(&b.results.series)) else {
        return format!(
            "Rate: fewer than {INTERVALS_MIN} measured intervals; too few to tell a difference from noise."
        );
    };
    let difference = (b.results.rate - a.results.rate).abs();
    let range = spread_a.range.max(spread_b.range);
    let spread = format!(
        "their intervals' own spread (interquartile range {}/s and {}/s)",
        units::rate(spread_a.range),
        units::rate(spread_b.range)
    );
    // What is counted by the interval is known to a request of one.
    if difference <= range.max(spread_a.step).max(spread_b.step) {
        return format!("Rate: no difference beyond the noise: {}/s is within {spread}.", units::rate(difference));
    }
    let (faster, slower) = if b.results.rate > a.results.rate { (b, a) } else { (a, b) };
    let by = units::percent((faster.results.rate / slower.results.rate - 1.0) * 100.0);
    let by = if slower.results.rate > 0.0 { format!(" by {by}") } else { String::new() };
    format!("Rate: {} is faster{by}: {}/s is beyond {spread}.", faster.name, units::rate(difference))
}

/// How the measured intervals of a run differ among themselves.
struct Spread {
    /// Between the quartiles of their rates.
    range: f64,
    /// One request of an interval, as a rate.
    step: f64,
}

impl Spread {
    fn of(series: &[Point]) -> Option<Self> {
        let measured: Vec<&Point> = series.iter().filter(|point| point.measured && point.seconds > 0.0).collect();
        let longest_s = measured.iter().map(|point| point.seconds).fold(0.0, f64::max);
        // The last one may be too short to count for a whole.
        let whole = measured.iter().filter(|point| point.seconds >= longest_s / 2.0);
        let mut rates: Vec<f64> = whole.map(|point| float(point.requests) / point.seconds).collect();
        rates.sort_by(f64::total_cmp);
        let range = quartile(&rates, 3) - quartile(&rates, 1);
        (rates.len() >= INTERVALS_MIN).then_some(Spread { range, step: 1.0 / longest_s })
    }
}

/// Of sorted values, by the nearest rank. 0 of none.
fn quartile(sorted: &[f64], quarter: usize) -> f64 {
    let rank = (sorted.len() * quarter).div_ceil(4);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn warnings(a: &Side, b: &Side) -> Vec<String> {
    let mut sentences = Vec::new();
    let differences = differences(a.results, b.results);
    if !differences.is_empty() {
        sentences.push(format!("Not the same work: {}.", differences.join("; ")));
    }
    if a.is_open_loop() != b.is_open_loop() {
        let (open, closed) = if a.is_open_loop() { (a, b) } else { (b, a) };
        sentences.push(format!(
            "{} is an open loop and {} a closed one, whose latency leaves out what waiting requests see: compared from sending.",
            open.name, closed.name
        ));
    }
    for side in [a, b] {
        sentences.extend(facts::notes(side.results).map(|sentence| format!("{}: {sentence}", side.name)));
    }
    sentences
}

/// What the two were asked differently, in words.
fn differences(a: &Results, b: &Results) -> Vec<String> {
    let mut out = Vec::new();
    let mut differ = |name: &str, a: String, b: String| {
        if a != b {
            out.push(format!("{name} {} against {}", units::printable(&a, 100), units::printable(&b, 100)));
        }
    };
    let pace = |results: &Results| {
        results.settings.rate.map_or("closed loop".to_owned(), |rate| format!("{} requests/s", units::rate(rate)))
    };
    let (ours, theirs) = (&a.settings, &b.settings);
    differ("mode", ours.mode.clone(), theirs.mode.clone());
    differ("target", ours.target.clone(), theirs.target.clone());
    differ("pace", pace(a), pace(b));
    differ("connections", units::count(ours.connections.into()), units::count(theirs.connections.into()));
    differ("cores", units::count(ours.threads.into()), units::count(theirs.threads.into()));
    let lengths = (a.seconds / b.seconds).max(b.seconds / a.seconds);
    if a.end == End::Complete && b.end == End::Complete && lengths > LENGTH_RATIO_MAX {
        differ("length", units::seconds(a.seconds), units::seconds(b.seconds));
    }
    let (only_a, only_b) = (only(a, b), only(b, a));
    if !(only_a.is_empty() && only_b.is_empty()) {
        let named = |words: Vec<String>| if words.is_empty() { "nothing".to_owned() } else { words.join(" ") };
        differ("options", named(only_a), named(only_b));
    }
    out
}

/// Words of `a`'s command line that `b`'s has not, but for what the settings say and where results go.
fn only(a: &Results, b: &Results) -> Vec<String> {
    let mut others = work_words(b);
    let mut out = work_words(a);
    out.retain(|word| match others.iter().position(|other| other == word) {
        Some(index) => {
            others.swap_remove(index);
            false
        }
        None => true,
    });
    out
}

fn work_words(results: &Results) -> Vec<String> {
    let settings = &results.settings;
    let told = [
        settings.target.clone(),
        settings.connections.to_string(),
        settings.threads.to_string(),
        settings.rate.map_or(String::new(), |rate| rate.to_string()),
    ];
    let mut out = Vec::new();
    let mut words = settings.command.split_whitespace();
    while let Some(word) = words.next() {
        if TOLD_OPTIONS.contains(&word) {
            words.next();
        } else if !TOLD_OPTIONS.iter().any(|option| word.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')))
            && !told.iter().any(|known| known == word)
        {
            out.push(word.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests;
