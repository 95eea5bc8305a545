//! One scrape: everything that is known, as families of names.rs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::names::{self, Metric};
use super::process::Process;
use super::text::{Number, Text};
use super::webhooks::{self, WebhookCounts};
use super::{listeners, shards, targets};
use crate::access_log::{SinkCounts, WriteCounts};
use crate::shard::ShardReport;

/// What a scrape is made of.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    /// What each shard says, or said last.
    pub reports: Arc<Vec<Arc<ShardReport>>>,
    /// Whether each shard answers.
    pub heartbeats: Vec<Heartbeat>,
    /// Revision of the config in effect.
    pub revision: u64,
    /// Reloads that took effect.
    pub reloads_succeeded: u64,
    /// Reloads that did not.
    pub reloads_failed: u64,
    /// When a config last took effect.
    pub last_success: Option<SystemTime>,
    /// When the admin endpoint's certificate expires.
    pub admin_certificate_expires: Option<SystemTime>,
    /// Log lines that found no place.
    pub log_lines_dropped: u64,
    /// What the access log's writer counted.
    pub access_log: WriteCounts,
    /// What became of reports, a webhook each.
    pub webhooks: Vec<WebhookCounts>,
    /// The process was asked to stop.
    pub draining: bool,
    /// The process.
    pub process: Process,
}

/// Whether a shard answers.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// Its number.
    pub shard: usize,
    /// It does not.
    pub stuck: bool,
    /// Since its last answer.
    pub age: Duration,
}

impl Scrape {
    /// The text that /metrics answers with.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = Text::default();
        listeners::write(&mut text, &self.reports);
        targets::write(&mut text, &self.reports);
        shards::write(&mut text, &self.heartbeats, &self.reports);
        webhooks::write(&mut text, &self.webhooks);
        self.control(&mut text);
        self.process(&mut text);
        text.into_string()
    }

    fn control(&self, text: &mut Text) {
        text.family(&names::CONFIG_REVISION, |family| family.sample(&[], self.revision));
        text.family(&names::CONFIG_RELOAD, |family| {
            family.sample(&["success"], self.reloads_succeeded);
            family.sample(&["failure"], self.reloads_failed);
        });
        optional(text, &names::CONFIG_LAST_SUCCESS, self.last_success.map(unix_seconds));
        optional(text, &names::ADMIN_CERTIFICATE_EXPIRY, self.admin_certificate_expires.map(unix_seconds));
        text.family(&names::DRAINING, |family| family.sample(&[], self.draining));
        text.family(&names::LOG_LINES_DROPPED, |family| family.sample(&[], self.log_lines_dropped));
        self.access_log(text);
        text.family(&names::BUILD_INFO, |family| family.sample(&[env!("CARGO_PKG_VERSION")], true));
    }

    fn access_log(&self, text: &mut Text) {
        let of_sinks = |count: fn(&SinkCounts) -> u64| -> u64 {
            self.reports.iter().map(|report| count(&report.access_log)).sum()
        };
        text.family(&names::ACCESS_LOG_RECORDS, |family| family.sample(&[], of_sinks(|counts| counts.records)));
        text.family(&names::ACCESS_LOG_DROPPED, |family| {
            family.sample(&["queue_full"], of_sinks(|counts| counts.dropped));
            family.sample(&["write_failed"], self.access_log.dropped);
        });
        text.family(&names::ACCESS_LOG_WRITE_ERRORS, |family| family.sample(&[], self.access_log.errors));
    }

    fn process(&self, text: &mut Text) {
        let process = &self.process;
        optional(text, &names::PROCESS_CPU, process.cpu_seconds);
        optional(text, &names::PROCESS_OPEN_FDS, process.descriptors);
        optional(text, &names::PROCESS_MAX_FDS, process.descriptors_max);
        optional(text, &names::PROCESS_RESIDENT, process.resident_bytes);
        optional(text, &names::PROCESS_VIRTUAL, process.virtual_bytes);
        optional(text, &names::PROCESS_THREADS, process.threads);
        optional(text, &names::PROCESS_START, process.started_at.map(unix_seconds));
    }
}

fn optional(text: &mut Text, metric: &'static Metric, value: Option<impl Into<Number>>) {
    if let Some(value) = value {
        text.family(metric, |family| family.sample(&[], value));
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
