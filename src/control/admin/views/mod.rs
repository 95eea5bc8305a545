//! What the API shows, as JSON. A number's unit ends its key; times are RFC 3339 in UTC.
//!
//! What is configured comes from the snapshot, what happens from the shards' reports, merged. For the moment of a reload a
//! shard may not know a listener or target yet, or still know one that is gone; then it says nothing about it.

mod glance;
mod health;
mod listeners;
mod recent;
mod security;
mod shards;
mod targets;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::{Scheme, SecurityGroupDrop, Snapshot};
use crate::control::reports::Reports;
use crate::control::rfc3339;
use crate::control::state::{Control, Phase, Revision};
use crate::schema;
use security::{SecurityGroupView, security_group};

pub(super) use glance::Balancer;
pub(super) use listeners::Listeners;
pub(super) use recent::Past;
pub(super) use shards::{ShardView, Shards};
pub(super) use targets::{TargetGroups, TargetsView};

/// The snapshot in effect beside what the shards say.
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) reports: Reports,
}

/// The process: what is configured of it, and how it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Balancer)]
pub(super) struct BalancerView {
    name: Arc<str>,
    region: Option<Arc<str>>,
    network: Option<Arc<str>>,
    zone: Option<Arc<str>>,
    scheme: Scheme,
    /// Null: everyone may connect.
    security_group: Option<SecurityGroupView>,
    security_group_drop: SecurityGroupDrop,
    version: &'static str,
    phase: Phase,
    ready: bool,
    /// As `/readyz` says them.
    not_ready_reasons: Vec<String>,
    /// That is in effect.
    revision: u64,
    shards: usize,
    #[schema(value_type = schema::Time)]
    started_at: String,
    uptime_seconds: u64,
    /// What is desired and not in effect, and why: targets that may not be bound, records that do not fit.
    left_out: Vec<String>,
    reloads: ReloadsView,
}

/// How many reloads there were since the start.
#[derive(Serialize, ToSchema)]
#[schema(as = Reloads)]
struct ReloadsView {
    success: u64,
    failure: u64,
}

/// What was applied, the oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Revisions {
    pub(super) revisions: Vec<RevisionView>,
}

/// A change that took effect.
#[derive(Serialize, ToSchema)]
#[schema(as = Revision)]
pub(super) struct RevisionView {
    revision: u64,
    #[schema(value_type = schema::Time)]
    applied_at: String,
    /// `start`, `reload`, or the client of the API.
    who: String,
    /// What it changed, a line each.
    what: Vec<String>,
}

impl BalancerView {
    /// `reports` are those of now, for what the security group has decided.
    pub(super) fn of(control: &Control, reports: &Reports) -> Self {
        let state = control.state().clone();
        let config = &state.snapshot.balancer;
        let of_shards = reports.iter().map(|report| &report.security_group);
        let not_ready = control.not_ready();
        BalancerView {
            name: Arc::clone(&config.name),
            region: config.region.clone(),
            network: config.network.clone(),
            zone: config.zone.clone(),
            scheme: config.scheme,
            security_group: security_group(&config.security_group, of_shards),
            security_group_drop: config.security_group_drop,
            version: env!("CARGO_PKG_VERSION"),
            phase: state.phase,
            ready: not_ready.is_empty(),
            not_ready_reasons: not_ready,
            revision: state.snapshot.revision,
            shards: control.shards.len(),
            started_at: rfc3339(control.given.started_at),
            uptime_seconds: control.given.started_at.elapsed().unwrap_or_default().as_secs(),
            left_out: state.snapshot.left_out.clone(),
            reloads: ReloadsView { success: state.reloads.succeeded, failure: state.reloads.failed },
        }
    }
}

impl From<&Revision> for RevisionView {
    fn from(revision: &Revision) -> Self {
        RevisionView {
            revision: revision.number,
            applied_at: rfc3339(revision.applied_at),
            who: revision.who.clone(),
            what: revision.what.clone(),
        }
    }
}

/// To the microsecond: 0.3 is 0.3.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
