//! What the API shows, as JSON. A number's unit ends its key; times are RFC 3339 in UTC.
//!
//! What is configured comes from the snapshot, what happens from the shards' reports, merged. For the moment of a reload a
//! shard may not know a listener or target yet, or still know one that is gone; then it says nothing about it.

mod glance;
mod listeners;
mod recent;
mod security;
mod targets;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::config::Snapshot;
use crate::control::reports::Reports;
use crate::control::shards::{Handle, Life};
use crate::control::state::{Control, Phase, Revision};
use crate::shard::ShardReport;

pub(super) use glance::Balancer;
pub(super) use recent::Past;

/// The snapshot in effect beside what the shards say.
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) reports: Reports,
}

/// `reports` are those of now, for what the security group has decided.
pub(super) fn balancer(control: &Control, reports: &Reports) -> Value {
    let state = control.state().clone();
    let config = &state.snapshot.balancer;
    let of_shards = reports.iter().map(|report| &report.security_group);
    let phase = match state.phase {
        Phase::Starting => "starting",
        Phase::Serving => "serving",
        Phase::Draining => "draining",
    };
    let not_ready = control.not_ready();
    json!({
        "name": &*config.name,
        "region": config.region.as_deref(),
        "network": config.network.as_deref(),
        "zone": config.zone.as_deref(),
        "scheme": config.scheme,
        "security_group": security::security_group(&config.security_group, of_shards),
        "security_group_drop": config.security_group_drop,
        "version": env!("CARGO_PKG_VERSION"),
        "phase": phase,
        "ready": not_ready.is_empty(),
        "not_ready_reasons": not_ready,
        "revision": state.snapshot.revision,
        "shards": control.shards.len(),
        "started_at": rfc3339(control.given.started_at),
        "uptime_seconds": control.given.started_at.elapsed().unwrap_or_default().as_secs(),
        "left_out": state.snapshot.left_out,
        "reloads": { "success": state.reloads.succeeded, "failure": state.reloads.failed },
    })
}

pub(super) fn revision(revision: &Revision) -> Value {
    json!({
        "revision": revision.number,
        "applied_at": rfc3339(revision.applied_at),
        "who": revision.who,
        "what": revision.what,
    })
}

pub(super) fn shard(handle: &Handle, report: Option<&ShardReport>) -> Value {
    let pulse = handle.pulse();
    let state = match pulse.life {
        Life::Answering => "answering",
        Life::Stuck => "stuck",
        Life::Ended => "ended",
    };
    json!({
        "shard": handle.id,
        "core": handle.core,
        "state": state,
        "answered_seconds_ago": seconds(pulse.answered_at.elapsed()),
        "report": report.map(shard_report),
    })
}

fn shard_report(report: &ShardReport) -> Value {
    let ring = &report.ring;
    json!({
        "revision": report.revision,
        "draining": report.draining,
        "connections": report.connections,
        "connections_max": report.connections_max,
        "accepted": report.listeners.iter().map(|listener| listener.counts.accepted).sum::<u64>(),
        "ring": {
            "sockets": ring.sockets,
            "listeners": ring.listeners,
            "operations_in_flight": ring.in_flight,
            "timers": ring.timers,
            "buffers": ring.buffers.total,
            "buffers_provided": ring.buffers.provided,
            "buffers_leased": ring.buffers.leased,
            "buffers_ran_out": ring.buffers.ran_out,
            "turns": ring.turns,
            "operations_submitted": ring.submitted,
            "completions": ring.completed,
            "strays": ring.strays,
            "housekeeping_failures": ring.housekeeping_failures,
        },
    })
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// To the microsecond: 0.3 is 0.3.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
