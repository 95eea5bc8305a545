//! The sentences about a run that its report, its figure and its page share.

use std::time::{Duration, UNIX_EPOCH};

use crate::output::units;
use crate::results::{End, Latency, Results, Settings};

/// An open loop that fell this far short of the asked rate did not do the work it was asked for.
const SHORTFALL_PERCENT: f64 = 1.0;
/// Longest target or command that a line of prose takes.
const NAME_CHARS_MAX: usize = 200;

/// "TCP load on 10.0.0.1:80".
pub(super) fn title(settings: &Settings) -> String {
    units::printable(&format!("{} load on {}", settings.mode.to_uppercase(), settings.target), NAME_CHARS_MAX)
}

/// Datagrams, which have no connections.
pub(super) fn is_udp(settings: &Settings) -> bool {
    settings.mode == "udp"
}

/// What requests go out on.
fn carrier(settings: &Settings) -> &'static str {
    if is_udp(settings) { "socket" } else { "connection" }
}

/// "100 connections on 2 cores, open loop at 50,000 requests/s".
pub(super) fn load(settings: &Settings) -> String {
    let plural =
        |count: u32, noun: &str| format!("{} {noun}{}", units::count(count.into()), if count == 1 { "" } else { "s" });
    let pace = match settings.rate {
        Some(rate) => format!("open loop at {} requests/s", units::rate(rate)),
        None => "closed loop".to_owned(),
    };
    format!("{} on {}, {pace}", plural(settings.connections, carrier(settings)), plural(settings.threads, "core"))
}

/// When it began, in UTC.
pub(super) fn begun(results: &Results) -> String {
    // RFC 3339 ends with the year 9999.
    const LAST_S: u64 = 253_402_300_799;
    let at = Duration::from_secs(results.started_unix_s.min(LAST_S));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + at).to_string()
}

/// Requests that were sent and came to an end, well or not.
pub(super) fn tried(results: &Results) -> u64 {
    results.requests.saturating_add(errors(results))
}

/// Requests that failed.
pub(super) fn errors(results: &Results) -> u64 {
    results.errors.values().fold(0, |sum, count| sum.saturating_add(*count))
}

/// How it ended, unless as planned.
pub(super) fn ending(results: &Results) -> Option<String> {
    match &results.end {
        End::Complete => None,
        End::Interrupted => {
            Some(format!("Interrupted: these are the {} measured until then.", units::seconds(results.seconds)))
        }
        End::TargetDown { at_s, error } => Some(format!(
            "The target {} ({}) and was given up: these are the {} measured until then.",
            lost(*at_s),
            units::printable(error, NAME_CHARS_MAX),
            units::seconds(results.seconds),
        )),
    }
}

fn lost(at_s: f64) -> String {
    if at_s > 0.0 {
        format!("stopped answering {} into the run", units::seconds(at_s))
    } else {
        "never answered".to_owned()
    }
}

/// What a search found, if this is its best trial.
pub(super) fn searched(results: &Results) -> Option<String> {
    let search = results.search.as_ref()?;
    Some(format!(
        "The highest rate that holds {}: {} requests/s, by {} trials. This is the last one that held it.",
        units::printable(&search.objective, NAME_CHARS_MAX),
        units::rate(search.rate),
        units::count(search.trials.len() as u64),
    ))
}

/// That an open loop did not do what it was asked, if so. Where nothing failed, everything that was due was answered: fewer
/// than the rate says are the chance of Poisson arrivals, or the fraction of one in a short run.
pub(super) fn shortfall(results: &Results) -> Option<String> {
    let asked = results.settings.rate?;
    let carrier = carrier(&results.settings);
    let missing_percent = (1.0 - results.rate / asked) * 100.0;
    let fell_short = asked > 0.0 && missing_percent > SHORTFALL_PERCENT && results.failed() > 0;
    let mut sentences = Vec::new();
    if fell_short {
        sentences.push(format!(
            "It fell short of the asked rate: {} of {} requests/s got a good answer, {} less.",
            units::rate(results.rate),
            units::rate(asked),
            units::percent(missing_percent),
        ));
    }
    if results.unsent > 0 {
        let (were, them) = if results.unsent == 1 { (" was", "it") } else { ("s were", "them") };
        sentences.push(format!(
            "{} request{were} due and never sent: no {carrier} was free for {them}.",
            units::count(results.unsent)
        ));
    }
    if fell_short && results.unsent > 0 && errors(results) == 0 {
        sentences.push(format!("The target is at its limit, or the {carrier}s are too few."));
    }
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// That some of what counts as lost was lost here, if so.
pub(super) fn dropped_here(results: &Results) -> Option<String> {
    let (answers, their) = match results.dropped_here {
        0 => return None,
        1 => ("answer was", "its datagram counts"),
        _ => ("answers were", "their datagrams count"),
    };
    let dropped = units::count(results.dropped_here);
    Some(format!(
        "{dropped} {answers} dropped by this host, which did not keep up: {their} as lost. More --cores may help."
    ))
}

/// How many failed, if any.
pub(super) fn failures(results: &Results) -> Option<String> {
    let failed = errors(results);
    let tried = tried(results);
    (failed > 0).then(|| {
        format!(
            "{} of {} requests failed ({}).",
            units::count(failed),
            units::count(tried),
            units::share(failed, tried)
        )
    })
}

/// All that needs attention, a sentence or two each.
pub(super) fn notes(results: &Results) -> impl Iterator<Item = String> {
    [ending(results), shortfall(results), dropped_here(results), failures(results)].into_iter().flatten()
}

/// The rows of a table of latencies by name, in microseconds.
pub(super) fn latencies(latency: &Latency) -> [(&'static str, f64); 11] {
    [
        ("min", latency.min_us),
        ("p50", latency.p50_us),
        ("p75", latency.p75_us),
        ("p90", latency.p90_us),
        ("p95", latency.p95_us),
        ("p99", latency.p99_us),
        ("p99.9", latency.p99_9_us),
        ("p99.99", latency.p99_99_us),
        ("max", latency.max_us),
        ("mean", latency.mean_us),
        ("stddev", latency.stddev_us),
    ]
}
