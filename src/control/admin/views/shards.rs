//! Each core: whether it answers, what it holds, and its ring.

use serde::Serialize;
use utoipa::ToSchema;

use super::seconds;
use crate::control::shards::{Handle, Life};
use crate::ring::RingCounts;
use crate::shard::ShardReport;

/// Every shard.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct Shards {
    pub(in super::super) shards: Vec<ShardView>,
}

/// A core and all it owns.
#[derive(Serialize, ToSchema)]
#[schema(as = Shard)]
pub(in super::super) struct ShardView {
    shard: usize,
    core: usize,
    state: Life,
    answered_seconds_ago: f64,
    /// Null: it has never said anything.
    report: Option<ReportView>,
}

/// What a shard said last.
#[derive(Serialize, ToSchema)]
#[schema(as = ShardReport)]
struct ReportView {
    /// That it runs on.
    revision: u64,
    draining: bool,
    connections: usize,
    /// Further ones are refused.
    connections_max: usize,
    accepted: u64,
    ring: RingView,
}

/// What its ring holds and has done.
#[derive(Serialize, ToSchema)]
#[schema(as = Ring)]
struct RingView {
    sockets: usize,
    listeners: usize,
    operations_in_flight: usize,
    timers: usize,
    buffers: usize,
    buffers_provided: usize,
    buffers_leased: usize,
    buffers_ran_out: u64,
    turns: u64,
    operations_submitted: u64,
    completions: u64,
    strays: u64,
    housekeeping_failures: u64,
}

impl ShardView {
    pub(in super::super) fn of(handle: &Handle, report: Option<&ShardReport>) -> Self {
        let pulse = handle.pulse();
        ShardView {
            shard: handle.id,
            core: handle.core,
            state: pulse.life,
            answered_seconds_ago: seconds(pulse.answered_at.elapsed()),
            report: report.map(ReportView::of),
        }
    }
}

impl ReportView {
    fn of(report: &ShardReport) -> Self {
        ReportView {
            revision: report.revision,
            draining: report.draining,
            connections: report.connections,
            connections_max: report.connections_max,
            accepted: report.listeners.iter().map(|listener| listener.counts.accepted).sum(),
            ring: RingView::of(&report.ring),
        }
    }
}

impl RingView {
    fn of(ring: &RingCounts) -> Self {
        RingView {
            sockets: ring.sockets,
            listeners: ring.listeners,
            operations_in_flight: ring.in_flight,
            timers: ring.timers,
            buffers: ring.buffers.total,
            buffers_provided: ring.buffers.provided,
            buffers_leased: ring.buffers.leased,
            buffers_ran_out: ring.buffers.ran_out,
            turns: ring.turns,
            operations_submitted: ring.submitted,
            completions: ring.completed,
            strays: ring.strays,
            housekeeping_failures: ring.housekeeping_failures,
        }
    }
}
