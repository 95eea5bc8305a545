//! Requests that change something: the body, what it asks for, and what is answered.
//!
//! ```text
//!     POST   /v1/target-groups/{group}/targets   register     {"targets":[{"address","port","type","weight"}]}
//!     PATCH  /v1/target-groups/{group}/targets   weight, port {"targets":[{"address","port","weight","new_port"}]}
//!     DELETE /v1/target-groups/{group}/targets   deregister   {"targets":[{"address","port"}]}
//!     POST   /v1/revisions/{revision}/restore    what the API had changed as of then
//!     POST   /v1/reload                          as SIGHUP
//! ```
//!
//! A list is all or nothing. `If-Match: 12` changes only what was revision 12; a request that comes again with the same
//! `Idempotency-Key` is answered as the first time. The answer comes once every shard runs the revision. How often, and how many
//! at once: bounds.rs.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Request, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use super::named::Named;
use super::openapi::{self, RefusedChange, RefusedReload, RefusedRestore};
use super::server::Client;
use crate::config::{Change, NewTarget, RefusedCode, TargetUpdate, TargetsChange, Which, limits};
use crate::control::change::{self, Asked, ChangeError, KeptError, NotApplied, Wanted};
use crate::control::state::{Control, Phase};
use crate::control::store::{Outcome, StoreError};
use crate::schema::{self, ByName};

/// Longest body: a thousand targets take a tenth of it.
const BODY_BYTES_MAX: usize = 1 << 20;
/// The largest number that the description gives a revision: `int64`.
const REVISION_MAX: u64 = i64::MAX as u64;
/// Longest `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 128;

pub(super) type Shared = State<Arc<Control>>;
/// Where a request goes, and who sends it: the group's name or the revision is of the path.
pub(super) type Place = (Shared, Extension<Client>, Named);
pub(super) type Answer = Result<Json<Applied>, ApiError>;

/// A list of targets: all of it or nothing.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Targets<T> {
    /// Checked and changed in this order.
    #[serde(bound(deserialize = "T: Deserialize<'de>"), deserialize_with = "schema::objects")]
    #[schema(min_items = 1, max_items = 1000)]
    targets: Vec<T>,
}

const _: () = assert!(limits::CHANGE_TARGETS_MAX == 1000);

/// The change is kept, and every shard runs it.
#[derive(Serialize, ToSchema)]
pub(super) struct Applied {
    /// That has it: the one in effect, where it changed nothing.
    revision: u64,
}

/// Registers targets in a group with `managed = "api"`.
#[utoipa::path(
    post,
    path = "/v1/target-groups/{group}/targets",
    params(openapi::GroupName, openapi::Terms),
    request_body(
        content = Targets<NewTarget>,
        example = json!({ "targets": [{ "address": "10.0.0.5", "port": 80 }, { "address": "10.0.0.6", "port": 80, "weight": 20 }] }),
    ),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedChange),
)]
pub(super) async fn register(place: Place, request: Request<Body>) -> Answer {
    change_targets(place, request, TargetsChange::Register).await
}

/// Deregisters targets: as unbinding in the file.
#[utoipa::path(
    delete,
    path = "/v1/target-groups/{group}/targets",
    params(openapi::GroupName, openapi::Terms),
    request_body(content = Targets<Which>, example = json!({ "targets": [{ "address": "10.0.0.5", "port": 80 }] })),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedChange),
)]
pub(super) async fn deregister(place: Place, request: Request<Body>) -> Answer {
    change_targets(place, request, TargetsChange::Deregister).await
}

/// Changes weights and ports of targets.
#[utoipa::path(
    patch,
    path = "/v1/target-groups/{group}/targets",
    params(openapi::GroupName, openapi::Terms),
    request_body(
        content = Targets<TargetUpdate>,
        example = json!({ "targets": [{ "address": "10.0.0.5", "port": 80, "weight": 0 }] }),
    ),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedChange),
)]
pub(super) async fn update(place: Place, request: Request<Body>) -> Answer {
    change_targets(place, request, TargetsChange::Update).await
}

async fn change_targets<T: DeserializeOwned>(
    (State(control), Extension(client), Named(name)): Place,
    request: Request<Body>,
    of: fn(Vec<T>) -> TargetsChange,
) -> Answer {
    let example = r#"{"targets":[{"address":"10.0.0.5","port":80}]}"#;
    let (terms, Targets { targets }) = read::<Targets<T>>(request, example).await?;
    let change = Change::Targets { group: name.into(), change: of(targets) };
    make(&control, client, terms, Wanted::Change(change)).await
}

/// Brings back what the API had changed as of a revision.
///
/// The config file stays as it is.
#[utoipa::path(
    post,
    path = "/v1/revisions/{revision}/restore",
    params(("revision" = u64, Path, description = "As `GET /v1/revisions` lists them."), openapi::Terms),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedRestore),
)]
pub(super) async fn restore(
    (State(control), Extension(client), Named(revision)): Place,
    request: Request<Body>,
) -> Answer {
    let Some(revision) = revision.parse().ok().filter(|revision| *revision <= REVISION_MAX) else {
        return Err(ApiError::not_found("a revision is a number".to_owned(), "GET /v1/revisions lists them"));
    };
    let (parts, body) = request.into_parts();
    let terms = Terms::of(&parts.method, parts.uri.path(), &parts.headers, &bounded(body).await?)?;
    make(&control, client, terms, Wanted::Restore(revision)).await
}

/// Reads the config file again, as SIGHUP does.
#[utoipa::path(
    post,
    path = "/v1/reload",
    params(openapi::Terms),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedReload),
)]
pub(super) async fn reload(
    State(control): Shared,
    Extension(client): Extension<Client>,
    request: Request<Body>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let terms = Terms::of(&parts.method, parts.uri.path(), &parts.headers, &bounded(body).await?)?;
    make(&control, client, terms, Wanted::Reload).await
}

/// Why no request changes anything now; `None`: one can.
pub(super) fn why_nothing_changes(control: &Control) -> Option<String> {
    let (phase, state_dir) = {
        let state = control.state();
        (state.phase, state.snapshot.state_dir.clone())
    };
    let error = match (phase, state_dir) {
        (Phase::Serving, Some(_)) => return None,
        (Phase::Serving, None) => ChangeError::NothingKeeps,
        (Phase::Starting | Phase::Draining, _) => ChangeError::NotServing,
    };
    Some(refused(&error).sentence())
}

/// Under which terms a request changes something.
pub(super) struct Terms {
    if_revision: Option<u64>,
    key: Option<(String, String)>,
}

impl Terms {
    pub(super) fn of(
        method: &axum::http::Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, ApiError> {
        let if_revision = headers.get(header::IF_MATCH).map(|value| {
            let text = value.to_str().unwrap_or_default();
            let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
            let digits = Some(number).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
                ApiError::bad_request(
                    "If-Match is not a revision".to_owned(),
                    "send the number that GET /v1/revisions or the last answer gave: If-Match: 12",
                )
            })
        });
        let key = headers.get("idempotency-key").map(|value| match value.to_str() {
            Ok(key) if is_key(key) => Ok((key.to_owned(), digest(method, path, body))),
            _ => Err(ApiError::bad_request(
                "Idempotency-Key is not 1 to 128 visible ASCII characters".to_owned(),
                "send a random one for each change: uuidgen",
            )),
        });
        Ok(Terms { if_revision: if_revision.transpose()?, key: key.transpose()? })
    }
}

fn is_key(text: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What tells two requests apart that came with the same key.
fn digest(method: &axum::http::Method, path: &str, body: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [method.as_str().as_bytes(), path.as_bytes(), body] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}

pub(super) async fn read<T: DeserializeOwned>(request: Request<Body>, example: &str) -> Result<(Terms, T), ApiError> {
    let (parts, body) = request.into_parts();
    let body = bounded(body).await?;
    let terms = Terms::of(&parts.method, parts.uri.path(), &parts.headers, &body)?;
    let ByName(read) = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_body("the body cannot be read", &error, example))?;
    Ok((terms, read))
}

pub(super) async fn bounded(body: Body) -> Result<Vec<u8>, ApiError> {
    match to_bytes(body, BODY_BYTES_MAX).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(_) => Err(ApiError::too_large()),
    }
}

pub(super) async fn make(control: &Arc<Control>, client: Client, terms: Terms, what: Wanted) -> Answer {
    let asked = Asked { who: client.to_string(), what, if_revision: terms.if_revision, key: terms.key };
    let place = control.bounds.enter()?;
    // A client that goes away leaves no change half made.
    let control = Arc::clone(control);
    let made = tokio::spawn(async move {
        let _place = place;
        change::make(&control, asked).await
    });
    let made = made.await;
    let made = made.map_err(|_| ApiError::unavailable("the change was not made: a bug".to_owned()))?;
    Ok(Json(Applied { revision: made.map_err(|error| refused(&error))? }))
}

fn refused(error: &ChangeError) -> ApiError {
    let message = error.to_string();
    match error {
        ChangeError::Refused(refused) => {
            let (message, hint) = (refused.message.clone(), refused.hint.clone());
            match refused.code {
                RefusedCode::NotFound => ApiError::not_found(message, hint),
                RefusedCode::Conflict => ApiError::conflict(message, hint),
                RefusedCode::Invalid => ApiError::unprocessable(message, hint),
            }
        }
        ChangeError::OtherRevision { .. } => ApiError::other_revision(message),
        ChangeError::KeyTaken(_) => ApiError::conflict(message, "send a new Idempotency-Key with each change"),
        ChangeError::NoRevision(_) => ApiError::not_found(message, "GET /v1/revisions lists those that are kept"),
        ChangeError::NothingKeeps => {
            ApiError::conflict(message, "set state_dir = \"/var/lib/weir\" in [balancer] and restart weir")
        }
        ChangeError::Config(_) => ApiError::unprocessable(
            message,
            "mend the config file; weir check --config shows the same; nothing changed",
        ),
        ChangeError::Unreadable(_) => ApiError::conflict(message, "choose another revision: GET /v1/revisions"),
        ChangeError::NotServing
        | ChangeError::NotRead(_)
        | ChangeError::ReadTooLong { .. }
        | ChangeError::StillRead => ApiError::unavailable(message),
        ChangeError::NotApplied(error) => not_applied(error),
    }
}

fn not_applied(error: &NotApplied) -> ApiError {
    let message = error.to_string();
    match error {
        NotApplied::Bind(_) => {
            ApiError::conflict(message, "free the address or change the listener's; nothing changed")
        }
        NotApplied::AccessLog(_) => ApiError::conflict(message, "mend the access log's path; nothing changed"),
        NotApplied::Store(KeptError::Store(StoreError::TooLarge { .. })) => {
            ApiError::conflict(message, "keep less by the API: the config file takes more; nothing changed")
        }
        NotApplied::Store(error) => ApiError::not_kept(message, hint_of(error)),
        NotApplied::Unconfirmed { .. } => ApiError::unconfirmed(message),
    }
}

/// What became of a change that could not be kept.
fn hint_of(error: &KeptError) -> &'static str {
    match error {
        KeptError::Store(StoreError::Io { outcome: Outcome::Unknown, .. }) => {
            "look at state_dir and its disk; the change is not in effect, and may be after a restart"
        }
        _ => "look at state_dir and its disk; nothing changed",
    }
}
