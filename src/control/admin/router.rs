//! Which request gets which answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};

use super::api;
use super::auth::{self, Spoken, Token};
use super::error::ApiError;
use super::inventory;
use super::mutations;
use super::page;
use crate::control::state::Control;

/// A request is answered after so long, whatever happens.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Who watches the process has no token. Nor has a browser that is about to ask for it: `page::is_open`.
const OPEN_PATHS: [&str; 2] = ["/livez", "/readyz"];

/// What a request must be to be let in.
struct Terms {
    token: Option<Token>,
    spoken: Spoken,
}

pub(super) fn router(control: Arc<Control>, token: Option<Token>, spoken: Spoken) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(api::metrics))
        .route("/v1/balancer", get(api::balancer))
        .route("/v1/listeners", get(api::listeners))
        .route("/v1/target-groups", get(api::target_groups))
        .route(
            "/v1/target-groups/{group}/targets",
            get(api::targets).post(mutations::register).patch(mutations::update).delete(mutations::deregister),
        )
        .route("/v1/inventory", get(inventory::list).patch(inventory::patch))
        .route("/v1/inventory/instances/{id}", put(inventory::put_instance).delete(inventory::delete_instance))
        .route("/v1/inventory/enis/{id}", put(inventory::put_eni).delete(inventory::delete_eni))
        .route("/v1/scaling-groups/{name}", put(inventory::put_scaling_group).delete(inventory::delete_scaling_group))
        .route("/v1/shards", get(api::shards))
        .route("/v1/revisions", get(api::revisions))
        .route("/v1/revisions/{revision}/restore", post(mutations::restore))
        .route("/v1/reload", post(mutations::reload))
        .route("/v1/explain", get(api::explain))
        .merge(page::router(&control))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::new(Terms { token, spoken }), guard))
        .with_state(control)
}

/// The token, or whose page a browser has it from; then the time limit.
async fn guard(State(terms): State<Arc<Terms>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_open = OPEN_PATHS.contains(&path) || page::is_open(path);
    match &terms.token {
        Some(token) if !is_open && !token.is_in(request.headers()) => return ApiError::unauthorized().into_response(),
        None if !request.method().is_safe() && auth::is_of_a_foreign_page(request.headers(), terms.spoken) => {
            return ApiError::foreign_page().into_response();
        }
        _ => {}
    }
    tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await.unwrap_or_else(|_| ApiError::timeout().into_response())
}

/// For who speaks http to a port of https: each request is answered, and its connection closed.
pub(super) fn in_the_clear() -> Router {
    Router::new().fallback(async || ([(header::CONNECTION, "close")], ApiError::https_only()))
}

/// The process runs and its control thread answers.
async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(control): State<Arc<Control>>) -> Response {
    let reasons = control.not_ready();
    if reasons.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response()
}

async fn not_found() -> ApiError {
    ApiError::not_found(
        "there is nothing at this path".to_owned(),
        "see /v1/balancer, /v1/listeners, /v1/target-groups, /v1/inventory, \
         /v1/shards, /v1/revisions, /v1/events, /v1/explain, /metrics, /livez, /readyz; / is for a browser",
    )
}

async fn method_not_allowed() -> ApiError {
    ApiError::method_not_allowed()
}
