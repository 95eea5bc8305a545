//! `GET /v1/...`: takes the state and the reports of now, and lets views.rs write them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::error::ApiError;
use super::views::{self, View};
use crate::control::explain::{self, Asked, Explanation, Mistake, Unexplained};
use crate::control::shards::Life;
use crate::control::state::{Control, Phase};
use crate::metrics::{Heartbeat, Process, Scrape};
use crate::tls::Certificate;

type Shared = State<Arc<Control>>;

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
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], scrape.to_text())
}

pub(super) async fn balancer(State(control): Shared) -> Json<Value> {
    let reports = control.reporter.gather().await;
    Json(views::balancer(&control, &reports))
}

pub(super) async fn revisions(State(control): Shared) -> Json<Value> {
    let state = control.state();
    let revisions: Vec<Value> = state.revisions.iter().map(views::revision).collect();
    Json(json!({ "revisions": revisions }))
}

pub(super) async fn shards(State(control): Shared) -> Json<Value> {
    let reports = control.reporter.gather().await;
    let of = |id| reports.iter().find(|report| report.shard == id).map(AsRef::as_ref);
    let shards: Vec<Value> = control.shards.iter().map(|shard| views::shard(shard, of(shard.id))).collect();
    Json(json!({ "shards": shards }))
}

pub(super) async fn listeners(State(control): Shared) -> Json<Value> {
    let view = view(&control).await;
    let listeners: Vec<Value> = view.snapshot.listeners.iter().map(|listener| view.listener(listener)).collect();
    Json(json!({ "listeners": listeners }))
}

pub(super) async fn target_groups(State(control): Shared) -> Json<Value> {
    let view = view(&control).await;
    let groups: Vec<Value> = view.snapshot.groups.iter().map(|group| view.group(group)).collect();
    Json(json!({ "target_groups": groups }))
}

pub(super) async fn targets(State(control): Shared, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    let view = view(&control).await;
    let Some(group) = view.snapshot.groups.iter().find(|group| *group.name == *name) else {
        let message = format!("there is no target group {:?}", name.chars().take(80).collect::<String>());
        return Err(ApiError::not_found(message, "GET /v1/target-groups lists them"));
    };
    Ok(Json(json!({ "target_group": &*group.name, "targets": view.targets(group) })))
}

pub(super) async fn explain(State(control): Shared, RawQuery(query): RawQuery) -> Result<Json<Explanation>, ApiError> {
    let mistaken = |Mistake { what, mend }| ApiError::bad_parameter(what, mend);
    let asked = Asked::parse(&query.unwrap_or_default()).map_err(mistaken)?;
    match explain::explain(&control, &asked).await {
        Ok(explanation) => Ok(Json(explanation)),
        Err(Unexplained::Mistake(mistake)) => Err(mistaken(mistake)),
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
