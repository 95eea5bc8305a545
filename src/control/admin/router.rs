//! Which request gets which answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api;
use super::auth::{self, Spoken, Token};
use super::error::{ApiError, ErrorBody};
use super::inventory;
use super::mutations;
use super::openapi::{self, Access};
use super::page;
use super::server::Client;
use crate::control::state::Control;

/// A request is answered after so long, whatever happens.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Who watches the process has no token. Nor has a browser that is about to ask for it: `page::is_open`.
const OPEN_PATHS: [&str; 2] = ["/livez", "/readyz"];
/// As axum sends texts.
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// What a request must be to be let in.
struct Terms {
    token: Option<Token>,
    spoken: Spoken,
}

pub(super) fn router(control: Arc<Control>, token: Option<Token>, spoken: Spoken) -> Router {
    let described = OpenApiRouter::new()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(api::metrics))
        .routes(routes!(api::balancer))
        .routes(routes!(api::listeners))
        .routes(routes!(api::target_groups))
        .routes(routes!(api::targets, mutations::register, mutations::update, mutations::deregister))
        .routes(routes!(inventory::list, inventory::patch))
        .routes(routes!(inventory::put_instance, inventory::delete_instance))
        .routes(routes!(inventory::put_eni, inventory::delete_eni))
        .routes(routes!(inventory::put_scaling_group, inventory::delete_scaling_group))
        .routes(routes!(api::shards))
        .routes(routes!(api::revisions))
        .routes(routes!(mutations::restore))
        .routes(routes!(mutations::reload))
        .routes(routes!(api::explain))
        .routes(routes!(openapi::openapi))
        .merge(page::events(&control));
    let (router, collected) = described.split_for_parts();
    let access = if token.is_some() { Access::Token } else { Access::Everyone };
    let document = openapi::document(collected, access, &OPEN_PATHS);
    router
        .merge(page::files())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::new(Terms { token, spoken }), guard))
        .layer(Extension(Arc::new(document)))
        .with_state(control)
}

/// The token; or whose page a browser has it from, and by which name; then the time limit.
async fn guard(State(terms): State<Arc<Terms>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_open = OPEN_PATHS.contains(&path) || page::is_open(path);
    match &terms.token {
        Some(token) if !is_open && !token.is_in(request.headers()) => return ApiError::unauthorized().into_response(),
        None if !request.method().is_safe() && auth::is_of_a_foreign_page(request.headers(), terms.spoken) => {
            return ApiError::foreign_page().into_response();
        }
        // No browser comes by a unix socket.
        None if !is_open
            && matches!(request.extensions().get(), Some(Client::Tcp(_)))
            && auth::is_by_a_foreign_name(request.headers(), terms.spoken) =>
        {
            return ApiError::foreign_name().into_response();
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
#[utoipa::path(get, path = "/livez", responses((status = 200, description = "It does.", body = String, content_type = TEXT_TYPE)))]
async fn livez() -> &'static str {
    "ok\n"
}

/// Whether new connections should come here.
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "They should.", body = String, content_type = TEXT_TYPE),
        (status = 503, description = "They should not: why, a line each; or no answer in time.", content(
            (String = TEXT_TYPE),
            (ErrorBody = "application/json"),
        )),
    ),
)]
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
         /v1/shards, /v1/revisions, /v1/events, /v1/explain, /v1/openapi.json, /metrics, /livez, /readyz; / is for a browser",
    )
}

async fn method_not_allowed() -> ApiError {
    ApiError::method_not_allowed()
}
