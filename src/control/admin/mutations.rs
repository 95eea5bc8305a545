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
//! `Idempotency-Key` is answered as the first time. The answer comes once every shard runs the revision.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, Request, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::ApiError;
use super::server::Client;
use crate::config::{Change, RefusedCode, TargetsChange};
use crate::control::change::{self, Asked, ChangeError, KeptError, NotApplied, Wanted};
use crate::control::state::{Control, Phase};
use crate::control::store::{Outcome, StoreError};

/// Longest body: a thousand targets take a tenth of it.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 128;

pub(super) type Shared = State<Arc<Control>>;
/// Where a request goes, and who sends it: the group's name or the revision is of the path.
pub(super) type Place = (Shared, Extension<Client>, Path<String>);
pub(super) type Answer = Result<Json<Value>, ApiError>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Targets<T> {
    targets: Vec<T>,
}

pub(super) async fn register(place: Place, request: Request<Body>) -> Answer {
    change_targets(place, request, TargetsChange::Register).await
}

pub(super) async fn deregister(place: Place, request: Request<Body>) -> Answer {
    change_targets(place, request, TargetsChange::Deregister).await
}

pub(super) async fn update(place: Place, request: Request<Body>) -> Answer {
    change_targets(place, request, TargetsChange::Update).await
}

async fn change_targets<T: DeserializeOwned>(
    (State(control), Extension(client), Path(name)): Place,
    request: Request<Body>,
    of: fn(Vec<T>) -> TargetsChange,
) -> Answer {
    let (terms, Targets { targets }) = read(request, r#"{"targets":[{"address":"10.0.0.5","port":80}]}"#).await?;
    let change = Change::Targets { group: name.into(), change: of(targets) };
    make(&control, client, terms, Wanted::Change(change)).await
}

pub(super) async fn restore(
    (State(control), Extension(client), Path(revision)): Place,
    request: Request<Body>,
) -> Answer {
    let Ok(revision) = revision.parse() else {
        return Err(ApiError::not_found("a revision is a number".to_owned(), "GET /v1/revisions lists them"));
    };
    let (parts, body) = request.into_parts();
    let terms = Terms::of(&parts.method, parts.uri.path(), &parts.headers, &bounded(body).await?)?;
    make(&control, client, terms, Wanted::Restore(revision)).await
}

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
            number.parse().map_err(|_| {
                ApiError::bad_request(
                    "If-Match is not a revision".to_owned(),
                    "send the number that GET /v1/revisions or the last answer gave: If-Match: 12",
                )
            })
        });
        let key = headers.get("idempotency-key").map(|value| match value.to_str() {
            Ok(key) if (1..=KEY_BYTES_MAX).contains(&key.len()) => Ok((key.to_owned(), digest(method, path, body))),
            _ => Err(ApiError::bad_request(
                "Idempotency-Key is not 1 to 128 visible ASCII characters".to_owned(),
                "send a random one for each change: uuidgen",
            )),
        });
        Ok(Terms { if_revision: if_revision.transpose()?, key: key.transpose()? })
    }
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
    let read = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("the body cannot be read: {error}");
        ApiError::bad_request(message, format!("send JSON such as {example}"))
    })?;
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
    // A client that goes away leaves no change half made.
    let control = Arc::clone(control);
    let made = tokio::spawn(async move { change::make(&control, asked).await }).await;
    let made = made.map_err(|_| ApiError::unavailable("the change was not made: a bug".to_owned()))?;
    Ok(Json(json!({ "revision": made.map_err(|error| refused(&error))? })))
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
        ChangeError::NotServing | ChangeError::NotRead(_) => ApiError::unavailable(message),
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
