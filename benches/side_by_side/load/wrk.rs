//! wrk: closed loop only, no percentile above 99.

use std::process::Command;
use std::time::Duration;

use super::{Load, Outcome, Reuse};
use crate::ending::Result;

pub(super) fn arguments(command: &mut Command, url: &str, load: &Load, length: Duration) -> Result<()> {
    if load.rate.is_some() {
        return Err("wrk has no open loop".into());
    }
    command.args(["-t1", "--latency", &format!("-c{}", load.connections), &format!("-d{}s", length.as_secs())]);
    if load.reuse == Reuse::Once {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(url);
    Ok(())
}

/// The lines of wrk that count:
///
/// ```text
///      50%  571.00us
///      99%    1.02ms
///   275665 requests in 3.00s, 45.22MB read
///   Socket errors: connect 0, read 0, write 0, timeout 0
///   Non-2xx or 3xx responses: 12
/// ```
pub fn parse(text: &str) -> Result<Outcome> {
    let outcome = numbers(text).filter(|outcome| outcome.requests > 0 && outcome.seconds > 0.0);
    outcome.ok_or_else(|| format!("wrk said something else than numbers:\n{text}").into())
}

fn numbers(text: &str) -> Option<Outcome> {
    let mut outcome = Outcome::default();
    for line in text.lines().map(str::trim) {
        if let Some(latency) = line.strip_prefix("50%") {
            outcome.p50_us = microseconds(latency)?;
        } else if let Some(latency) = line.strip_prefix("99%") {
            outcome.p99_us = microseconds(latency)?;
        } else if let Some((requests, rest)) = line.split_once(" requests in ") {
            outcome.requests = requests.parse().ok()?;
            outcome.seconds = microseconds(rest.split(',').next()?)? / 1e6;
        } else if line.starts_with("Socket errors:") || line.starts_with("Non-2xx") {
            // One number in the second, one a kind of error in the first.
            let counts = line.split_once(':')?.1.split(|c: char| !c.is_ascii_digit());
            outcome.errors += counts.filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
        }
    }
    Some(outcome)
}

fn microseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let value: f64 = text[..unit_at].parse().ok()?;
    let scale = match &text[unit_at..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    Some(value * scale)
}
