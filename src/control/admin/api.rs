//! `GET /v1/...`: takes the state and the reports of now, and lets views.rs write them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::IntoResponse;
use tokio::time::Instant;

use super::error::ApiError;
use super::named::Named;
use super::openapi;
use super::views::{
    BalancerView, Listeners, RevisionView, Revisions, ShardView, Shards, TargetGroups, TargetsView, View,
};
use crate::control::explain::{self, Asked, Explanation, Mistake, Unexplained};
use crate::control::shards::Life;
use crate::control::state::{Control, Phase};
use crate::metrics::{Heartbeat, Process, Scrape};
use crate::tls::Certificate;

type Shared = State<Arc<Control>>;

/// Prometheus text exposition format 0.0.4.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters, gauges and histograms, as text for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = 200, description = "docs/metrics.md has each.", body = String, content_type = METRICS_TYPE)),
)]
pub(super) async fn metrics(State(control): Shared) -> impl IntoResponse {
    let reports = control.reporter.gather().await;
    let now = Instant::now();
    let heartbeats = control.shards.iter().map(|shard| {
        let pulse = shard.pulse();
        let stuck = pulse.life != Life::Answering;
        Heartbeat { shard: shard.id, stuck, age: now.saturating_duration_since(pulse.answered_at) }
    });
    let state = control.state().clone();
    let scrape = Scrape {
        reports,
        heartbeats: heartbeats.collect(),
        revision: state.snapshot.revision,
        reloads_succeeded: state.reloads.succeeded,
        reloads_failed: state.reloads.failed,
        last_success: state.reloads.last_success,
        admin_certificate_expires: state.snapshot.admin.certificate.as_ref().and_then(Certificate::expires_at),
        log_lines_dropped: control.log_lines_dropped(),
        access_log: control.given.access_log.counts(),
        webhooks: control.webhooks.counts(),
        draining: state.phase == Phase::Draining,
        process: Process::now(control.given.started_at),
    };
    ([(header::CONTENT_TYPE, METRICS_TYPE)], scrape.to_text())
}

/// The process: name, phase, revision, security group.
#[utoipa::path(get, path = "/v1/balancer", responses((status = 200, description = "The process.", body = BalancerView)))]
pub(super) async fn balancer(State(control): Shared) -> Json<BalancerView> {
    let reports = control.reporter.gather().await;
    Json(BalancerView::of(&control, &reports))
}

/// What was applied when, by whom, and what it changed.
///
/// The last 100; with a `state_dir` from before the start, too.
#[utoipa::path(get, path = "/v1/revisions", responses((status = 200, description = "The oldest first.", body = Revisions)))]
pub(super) async fn revisions(State(control): Shared) -> Json<Revisions> {
    let state = control.state();
    Json(Revisions { revisions: state.revisions.iter().map(RevisionView::from).collect() })
}

/// Each core: what it holds, and whether it answers.
#[utoipa::path(get, path = "/v1/shards", responses((status = 200, description = "By number.", body = Shards)))]
pub(super) async fn shards(State(control): Shared) -> Json<Shards> {
    let reports = control.reporter.gather().await;
    let of = |id| reports.iter().find(|report| report.shard == id).map(AsRef::as_ref);
    Json(Shards { shards: control.shards.iter().map(|shard| ShardView::of(shard, of(shard.id))).collect() })
}

/// Listeners: connections, requests, bytes, percentiles of latency.
#[utoipa::path(get, path = "/v1/listeners", responses((status = 200, description = "As in the config.", body = Listeners)))]
pub(super) async fn listeners(State(control): Shared) -> Json<Listeners> {
    let view = view(&control).await;
    Json(Listeners { listeners: view.snapshot.listeners.iter().map(|listener| view.listener(listener)).collect() })
}

/// Target groups: algorithm, health check, whose the targets are.
#[utoipa::path(
    get,
    path = "/v1/target-groups",
    responses((status = 200, description = "As in the config.", body = TargetGroups)),
)]
pub(super) async fn target_groups(State(control): Shared) -> Json<TargetGroups> {
    let view = view(&control).await;
    Json(TargetGroups { target_groups: view.snapshot.groups.iter().map(|group| view.group(group)).collect() })
}

/// A group's targets, their health, why, and what to look at.
#[utoipa::path(
    get,
    path = "/v1/target-groups/{group}/targets",
    params(openapi::GroupName),
    responses((status = 200, description = "The targets.", body = TargetsView), openapi::NotFound),
)]
pub(super) async fn targets(State(control): Shared, Named(name): Named) -> Result<Json<TargetsView>, ApiError> {
    let view = view(&control).await;
    let Some(group) = view.snapshot.groups.iter().find(|group| *group.name == *name) else {
        let message = format!("there is no target group {:?}", name.chars().take(80).collect::<String>());
        return Err(ApiError::not_found(message, "GET /v1/target-groups lists them"));
    };
    Ok(Json(view.targets(group)))
}

/// Which rule, group and target a client's next request would get, and why no other.
#[utoipa::path(
    get,
    path = "/v1/explain",
    params(openapi::Question),
    responses((status = 200, description = "What it would get now.", body = Explanation), openapi::NotExplained),
)]
pub(super) async fn explain(State(control): Shared, RawQuery(query): RawQuery) -> Result<Json<Explanation>, ApiError> {
    let asked = Asked::parse(&query.unwrap_or_default());
    let asked = asked.map_err(|Mistake { what, mend }| ApiError::bad_parameter(what, mend))?;
    match explain::explain(&control, &asked).await {
        Ok(explanation) => Ok(Json(explanation)),
        // A question that could be one, and is none for this listener.
        Err(Unexplained::Mistake(Mistake { what, mend })) => Err(ApiError::unprocessable(what, mend)),
        Err(Unexplained::NoListener(name)) => {
            let message = format!("there is no listener {}", explain::quoted(&name));
            Err(ApiError::not_found(message, "GET /v1/listeners lists them"))
        }
    }
}

/// The snapshot in effect beside what the shards say.
async fn view(control: &Control) -> View {
    let reports = control.reporter.gather().await;
    View { snapshot: Arc::clone(&control.state().snapshot), reports }
}
