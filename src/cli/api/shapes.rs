//! What the commands read of the API's answers. They hold more, and other versions hold other things.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `/v1/balancer`, and the lists of `/v1/listeners`, `/v1/target-groups` and `/v1/shards`.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Status {
    pub(in crate::cli) balancer: Balancer,
    pub(in crate::cli) listeners: Vec<Listener>,
    pub(in crate::cli) target_groups: Vec<Group>,
    pub(in crate::cli) shards: Vec<Shard>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Balancer {
    pub(in crate::cli) name: String,
    pub(in crate::cli) version: String,
    pub(in crate::cli) phase: String,
    pub(in crate::cli) ready: bool,
    pub(in crate::cli) not_ready_reasons: Vec<String>,
    pub(in crate::cli) revision: u64,
    pub(in crate::cli) uptime_seconds: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Listener {
    pub(in crate::cli) name: String,
    pub(in crate::cli) protocol: String,
    pub(in crate::cli) address: String,
    pub(in crate::cli) port: u16,
    pub(in crate::cli) bound: bool,
    pub(in crate::cli) target_groups: Vec<String>,
    pub(in crate::cli) connections: ListenerConnections,
    /// None of a listener that does not speak HTTP.
    pub(in crate::cli) http: Option<Http>,
    pub(in crate::cli) latency: Latency,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct ListenerConnections {
    pub(in crate::cli) accepted: u64,
    pub(in crate::cli) active: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Http {
    pub(in crate::cli) requests: u64,
    /// By class, such as `5xx`.
    pub(in crate::cli) responses: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Latency {
    /// Of connections.
    pub(in crate::cli) duration: Percentiles,
    /// Of requests.
    pub(in crate::cli) request: Percentiles,
}

/// None where nothing was recorded.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Percentiles {
    pub(in crate::cli) p50_us: Option<u64>,
    pub(in crate::cli) p99_us: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Group {
    pub(in crate::cli) name: String,
    pub(in crate::cli) protocol: String,
    pub(in crate::cli) algorithm: String,
    pub(in crate::cli) failing_open: bool,
    pub(in crate::cli) listeners: Vec<String>,
    pub(in crate::cli) targets: u64,
    pub(in crate::cli) targets_healthy: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Shard {
    #[serde(rename = "shard")]
    pub(in crate::cli) number: u64,
    pub(in crate::cli) core: u64,
    pub(in crate::cli) state: String,
    /// None where it did not answer in time.
    pub(in crate::cli) report: Option<ShardReport>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct ShardReport {
    pub(in crate::cli) revision: u64,
    pub(in crate::cli) connections: u64,
    pub(in crate::cli) connections_max: u64,
    pub(in crate::cli) accepted: u64,
}

/// `/v1/target-groups`.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Groups {
    pub(in crate::cli) target_groups: Vec<Group>,
}

/// `/v1/target-groups/{group}/targets`.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct GroupTargets {
    pub(in crate::cli) target_group: String,
    pub(in crate::cli) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Target {
    pub(in crate::cli) address: String,
    pub(in crate::cli) port: u16,
    pub(in crate::cli) network: Option<String>,
    pub(in crate::cli) zone: Option<String>,
    pub(in crate::cli) r#type: String,
    pub(in crate::cli) instance_id: Option<String>,
    pub(in crate::cli) weight: u64,
    pub(in crate::cli) health: Health,
    pub(in crate::cli) connections: TargetConnections,
    pub(in crate::cli) requests: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct TargetConnections {
    pub(in crate::cli) active: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Health {
    pub(in crate::cli) state: String,
    pub(in crate::cli) reason: Option<String>,
    /// RFC 3339.
    pub(in crate::cli) since: Option<String>,
    pub(in crate::cli) last_check: Option<LastCheck>,
    /// Each shard's view, where they differ.
    #[serde(default)]
    pub(in crate::cli) shards: Vec<ShardHealth>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct ShardHealth {
    pub(in crate::cli) shard: u64,
    pub(in crate::cli) state: String,
}

/// None but `at` where it succeeded.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct LastCheck {
    pub(in crate::cli) failure: Option<String>,
    pub(in crate::cli) errno: Option<i64>,
    pub(in crate::cli) status: Option<u16>,
    pub(in crate::cli) hint: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Revisions {
    pub(in crate::cli) revisions: Vec<Revision>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Revision {
    #[serde(rename = "revision")]
    pub(in crate::cli) number: u64,
    /// RFC 3339.
    pub(in crate::cli) applied_at: String,
    /// `start`, `reload`, or the client of the API.
    pub(in crate::cli) who: String,
    /// What it changed, a line each.
    pub(in crate::cli) what: Vec<String>,
}
