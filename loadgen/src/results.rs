//! The results of a run: what `--json` writes and `compare` reads. Every time is in the unit its name says.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::engine::Outcome;
use crate::record::ErrorKind;
use crate::search::Searched;

/// Version of this format: a reader refuses a newer one.
pub const FORMAT: u32 = 1;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Of the format.
    pub format: u32,
    /// Name and version of the generator.
    pub generator: String,
    /// When it began: seconds since 1970, UTC.
    pub started_unix_s: u64,
    /// What was asked.
    pub settings: Settings,
    /// How it ended.
    pub end: End,
    /// Length of the measurement.
    pub seconds: f64,
    /// Requests that were answered well.
    pub requests: u64,
    /// Of those, a second.
    pub rate: f64,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
    /// Connections that came about while it measured.
    pub connections_opened: u64,
    /// Requests that were due and that nothing was free to send until the end; open loop only.
    pub unsent: u64,
    /// UDP: answers that came twice, or after their datagram was given up for lost.
    #[serde(default)]
    pub strays: u64,
    /// UDP: answers that reached the generator's host and were dropped there: their datagrams count as lost.
    #[serde(default)]
    pub dropped_here: u64,
    /// Failed requests by kind.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// What the first of each kind said.
    pub error_examples: BTreeMap<ErrorKind, String>,
    /// Answers by class: "2xx" and so on; HTTP only.
    pub statuses: BTreeMap<String, u64>,
    /// Time to a good answer: from when it was due in open loop, from when it was sent in closed loop.
    pub latency: Latency,
    /// Open loop only: from when it was sent. Hides what the waiting requests saw; for comparison with closed loops.
    pub service: Option<Latency>,
    /// An entry an interval, from the start of the run.
    pub series: Vec<Point>,
    /// The search that this run was the best trial of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Searched>,
}

/// What a run was asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// "tcp", "http" or "udp".
    pub mode: String,
    /// Whom it loads: address or URLs.
    pub target: String,
    /// Connections, or UDP sockets, of all cores.
    pub connections: u32,
    /// Executors.
    pub threads: u32,
    /// Requests a second in open loop, none in closed loop.
    pub rate: Option<f64>,
    /// The command line, without the program's path.
    pub command: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum End {
    /// As planned.
    Complete,
    /// By a signal: what was measured until then.
    Interrupted,
    /// The target stopped answering: what was measured until then.
    TargetDown {
        /// Its last answer, in seconds from the start of the run; 0 if there was none.
        at_s: f64,
        /// The last error.
        error: String,
    },
}

/// Percentiles, and the whole distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Standard deviation.
    pub stddev_us: f64,
    /// Least.
    pub min_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 75 % are at or below.
    pub p75_us: f64,
    /// 90 % are at or below.
    pub p90_us: f64,
    /// 95 % are at or below.
    pub p95_us: f64,
    /// 99 % are at or below.
    pub p99_us: f64,
    /// 99.9 % are at or below.
    pub p99_9_us: f64,
    /// 99.99 % are at or below.
    pub p99_99_us: f64,
    /// Most.
    pub max_us: f64,
    /// In nanoseconds: `HdrHistogram` V2, deflated, in base64, as its other implementations read it.
    pub histogram: String,
}

/// One interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its end, seconds from the start of the run.
    pub at_s: f64,
    /// Its length in seconds: the last one may be short.
    pub seconds: f64,
    /// It belongs to the measurement, not to ramp-up or warm-up.
    pub measured: bool,
    /// Good answers that came in it.
    pub requests: u64,
    /// Requests that failed in it.
    pub errors: u64,
    /// Median of its answers' latency; 0 without any.
    pub p50_us: f64,
    /// 99 % of its answers' latencies are at or below; 0 without any.
    pub p99_us: f64,
    /// Longest latency of its answers; 0 without any.
    pub max_us: f64,
}

/// A histogram in JSON that does not decode.
#[derive(Debug, thiserror::Error)]
#[error("the histogram does not decode: {0}; the file was changed, or is not from weir-loadgen")]
pub struct BadHistogram(String);

impl Latency {
    /// What `histogram`, in nanoseconds, says.
    #[must_use]
    pub fn new(histogram: &Histogram<u64>) -> Self {
        let at = |quantile: f64| us(histogram.value_at_quantile(quantile));
        let empty = histogram.is_empty();
        Latency {
            mean_us: histogram.mean() / 1e3,
            stddev_us: histogram.stdev() / 1e3,
            min_us: if empty { 0.0 } else { us(histogram.min()) },
            p50_us: at(0.5),
            p75_us: at(0.75),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            p99_99_us: at(0.9999),
            max_us: us(histogram.max()),
            histogram: encode(histogram),
        }
    }

    /// The whole distribution, in nanoseconds.
    ///
    /// # Errors
    /// The text is not one of ours.
    pub fn decode(&self) -> Result<Histogram<u64>, BadHistogram> {
        let bytes = BASE64_STANDARD.decode(&self.histogram).map_err(|error| BadHistogram(error.to_string()))?;
        Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| BadHistogram(error.to_string()))
    }
}

fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes).expect("a vector takes it all");
    BASE64_STANDARD.encode(bytes)
}

#[expect(clippy::cast_precision_loss, reason = "an hour of nanoseconds has 13 digits")]
fn us(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

impl Results {
    /// What `outcome` says of a run that began at `started`.
    #[must_use]
    pub fn new(settings: Settings, started: SystemTime, outcome: &Outcome) -> Self {
        let Outcome { tally, measured, end, series } = outcome;
        let seconds = measured.as_secs_f64();
        let requests = tally.latency.len();
        #[expect(clippy::cast_precision_loss, reason = "requests of a run")]
        let rate = if seconds > 0.0 { requests as f64 / seconds } else { 0.0 };
        let classes = tally.statuses.iter().enumerate().filter(|(_, count)| **count > 0);
        Results {
            format: FORMAT,
            generator: concat!("weir-loadgen ", env!("CARGO_PKG_VERSION")).to_owned(),
            started_unix_s: started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            settings,
            end: end.clone(),
            seconds,
            requests,
            rate,
            bytes_sent: tally.bytes_sent,
            bytes_received: tally.bytes_received,
            connections_opened: tally.connections,
            unsent: tally.unsent,
            strays: tally.strays,
            dropped_here: tally.dropped_here,
            errors: tally.errors.counts.clone(),
            error_examples: tally.errors.examples.clone(),
            statuses: classes.map(|(class, count)| (format!("{class}xx"), *count)).collect(),
            latency: Latency::new(&tally.latency),
            service: tally.service.as_ref().map(Latency::new),
            series: series.clone(),
            search: None,
        }
    }

    /// Requests that got no good answer, or were never sent.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().fold(self.unsent, |sum, count| sum.saturating_add(*count))
    }
}
