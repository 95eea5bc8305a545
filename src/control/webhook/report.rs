//! A report: what a webhook is sent of one target that has turned unhealthy. docs/webhook.md describes it field by field.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::turns::Turn;
use crate::control::rfc3339;
use crate::health::Failure;

/// A report is not delivered any more when it is so old. Ours: whoever runs the instances has looked after them by then.
pub(super) const REPORT_AGE_MAX: Duration = Duration::from_secs(3600);

/// A report on its way. Its id and body stay the same however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    /// Standard Webhooks: unique, without a full stop.
    pub(super) id: Arc<str>,
    pub(super) body: Arc<str>,
    pub(super) scaling_group: Arc<str>,
    /// For the log: `instance "ins-1" (10.0.0.5:80 of target group "app")`.
    pub(super) about: Arc<str>,
    pub(super) made_at: Instant,
}

#[derive(Serialize)]
struct Body<'t> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'t>,
}

#[derive(Serialize)]
struct Data<'t> {
    balancer: &'t str,
    scaling_group: &'t str,
    instance_id: &'t str,
    target_group: &'t str,
    target: String,
    weight: u8,
    reason: Option<&'static str>,
    failure: Option<&'static str>,
    errno: Option<i32>,
    status: Option<u16>,
    since: String,
    targets: usize,
    targets_healthy: usize,
}

impl Report {
    /// The report of a turn; `random` makes its id unique among all nodes.
    pub(super) fn new(turn: &Turn, balancer: &str, random: u128, now: Instant) -> Self {
        let failure = turn.last_check.and_then(|check| check.failure);
        let body = Body {
            r#type: "target.unhealthy",
            timestamp: rfc3339(turn.at),
            data: Data {
                balancer,
                scaling_group: &turn.scaling_group,
                instance_id: &turn.instance_id,
                target_group: &turn.target_group,
                target: turn.target.to_string(),
                weight: turn.weight,
                reason: turn.reason.map(crate::health::Reason::as_str),
                failure: failure.map(Failure::as_str),
                errno: failure.and_then(Failure::errno),
                status: failure.and_then(Failure::status),
                since: rfc3339(turn.since),
                targets: turn.targets,
                targets_healthy: turn.targets_healthy,
            },
        };
        Report {
            id: format!("msg_{random:032x}").into(),
            // Texts and numbers only: there is nothing that could fail.
            body: serde_json::to_string(&body).unwrap_or_default().into(),
            scaling_group: Arc::clone(&turn.scaling_group),
            about: format!(
                "instance \"{}\" ({} of target group \"{}\")",
                turn.instance_id, turn.target, turn.target_group
            )
            .into(),
            made_at: now,
        }
    }

    /// From then on it is not sent any more.
    pub(super) fn expires_at(&self) -> Instant {
        self.made_at + REPORT_AGE_MAX
    }
}
