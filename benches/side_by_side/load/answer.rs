//! The results of weir-loadgen: those fields of its JSON that the tables need.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Outcome;
use crate::ending::Result;

#[derive(Deserialize)]
struct Results {
    format: u32,
    end: End,
    seconds: f64,
    requests: u64,
    unsent: u64,
    errors: BTreeMap<String, u64>,
    latency: Latency,
}

#[derive(Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
enum End {
    Complete,
    Interrupted,
    TargetDown { at_s: f64, error: String },
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "as the format has them")]
struct Latency {
    p50_us: f64,
    p99_us: f64,
    p99_9_us: f64,
    max_us: f64,
}

/// A run that did not complete is none; requests that failed in one that did are counted. `stderr` says why there is no JSON.
pub fn parse(json: &[u8], stderr: &str) -> Result<Outcome> {
    if json.is_empty() {
        return Err(format!("weir-loadgen wrote no results; it said:\n{}", stderr.trim()).into());
    }
    let results: Results = serde_json::from_slice(json).map_err(|error| format!("weir-loadgen's results: {error}"))?;
    if results.format != FORMAT {
        return Err(format!("weir-loadgen's results have format {}, this bench reads {FORMAT}", results.format).into());
    }
    match results.end {
        End::Complete => {}
        End::Interrupted => return Err("weir-loadgen was interrupted".into()),
        End::TargetDown { at_s, error } => {
            return Err(format!("it stopped answering after {at_s:.1} s: {error}").into());
        }
    }
    if results.requests == 0 {
        return Err(format!("not one request was answered: {:?}", results.errors).into());
    }
    Ok(Outcome {
        requests: results.requests,
        seconds: results.seconds,
        p50_us: results.latency.p50_us,
        p99_us: results.latency.p99_us,
        p99_9_us: Some(results.latency.p99_9_us),
        max_us: Some(results.latency.max_us),
        errors: results.errors.values().sum(),
        unsent: results.unsent,
    })
}

const FORMAT: u32 = 1;
