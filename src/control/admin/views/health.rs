//! A target's health: the worst view of any shard stands for all, and where they differ, each is shown.

use serde::Serialize;
use utoipa::ToSchema;

use super::micros;
use super::targets::worst;
use crate::control::rfc3339;
use crate::health::{Failure, LastCheck, Reason, State};
use crate::schema;
use crate::shard::TargetReport;

/// A target's health.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Health {
    /// As the shards see it.
    Known(Known),
    /// No shard knows the target yet.
    Unknown(Unknown),
}

/// Health as the shards see it.
#[derive(Serialize, ToSchema)]
#[schema(as = KnownHealth)]
pub(super) struct Known {
    /// The worst of all; its last check is the latest of all.
    #[serde(flatten)]
    worst: Seen,
    /// Each for itself, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    shards: Option<Vec<SeenByShard>>,
}

/// Health as a shard sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = SeenHealth)]
struct Seen {
    state: State,
    /// ELB's code.
    #[schema(value_type = Option<String>)]
    reason: Option<Reason>,
    #[schema(value_type = schema::Time)]
    since: String,
    last_check: Option<CheckResult>,
}

/// Health as this shard sees it.
#[derive(Serialize, ToSchema)]
struct SeenByShard {
    shard: usize,
    #[serde(flatten)]
    seen: Seen,
}

/// No shard knows the target yet.
#[derive(Serialize, ToSchema)]
#[schema(as = UnknownHealth)]
pub(super) struct Unknown {
    state: UnknownState,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum UnknownState {
    Unknown,
}

/// How a health check ended.
#[derive(Serialize, ToSchema)]
struct CheckResult {
    #[schema(value_type = schema::Time)]
    at: String,
    /// Of a success.
    latency_us: Option<u64>,
    /// Null: it succeeded.
    #[schema(value_type = Option<String>)]
    failure: Option<Failure>,
    errno: Option<i32>,
    /// What it was answered with instead.
    status: Option<u16>,
    /// What to look at.
    hint: Option<&'static str>,
}

pub(super) fn health(reports: &[(usize, &TargetReport)]) -> Health {
    let state = worst(reports);
    let Some((_, decisive)) = reports.iter().find(|(_, report)| Some(report.state) == state) else {
        return Health::Unknown(Unknown { state: UnknownState::Unknown });
    };
    let latest = reports.iter().filter_map(|(_, report)| report.last_check).max_by_key(|check| check.at);
    let differs = reports.iter().any(|(_, report)| Some(report.state) != state);
    let each = || reports.iter().map(|(shard, report)| SeenByShard { shard: *shard, seen: Seen::of(report) }).collect();
    let worst = Seen { last_check: latest.map(CheckResult::of), ..Seen::of(decisive) };
    Health::Known(Known { worst, shards: differs.then(each) })
}

impl Seen {
    fn of(report: &TargetReport) -> Self {
        Seen {
            state: report.state,
            reason: report.reason,
            since: rfc3339(report.since),
            last_check: report.last_check.map(CheckResult::of),
        }
    }
}

impl CheckResult {
    fn of(check: LastCheck) -> Self {
        CheckResult {
            at: rfc3339(check.at),
            latency_us: check.latency.map(micros),
            failure: check.failure,
            errno: check.failure.and_then(Failure::errno),
            status: check.failure.and_then(Failure::status),
            hint: check.failure.map(Failure::hint),
        }
    }
}
