//! An error as the API writes it: `{"error":{"code","message","hint"}}`.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// How much of a message that has the client's words in it is answered. Ours: several times what serde says of itself.
const SAID_CHARS_MAX: usize = 300;

/// What has a client's words in it, cut, and escaped where they would not show as what they are.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    let mut shown = String::new();
    for character in text.chars().take(chars_max) {
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    if text.chars().nth(chars_max).is_some() {
        shown += " ...";
    }
    shown
}

/// What went wrong with a request.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    problem: Problem,
    /// When to ask again.
    retry_after: Option<Duration>,
}

/// What every error looks like.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody {
    error: Problem,
}

/// What went wrong, and how to mend it.
#[derive(Debug, Serialize, ToSchema)]
struct Problem {
    code: Code,
    /// What is wrong, and where.
    message: String,
    /// How to mend it.
    hint: Cow<'static, str>,
}

/// What kind of error it is: for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ErrorCode)]
pub(super) enum Code {
    /// The body, a header or the path cannot be read.
    BadRequest,
    /// A parameter of the query is missing or wrong.
    BadParameter,
    /// No token, or a wrong one.
    Unauthorized,
    /// A browser sends it for a page of another origin, or may: it is for a name that is not `localhost`.
    ForeignPage,
    /// There is no such path, group, target, listener or revision.
    NotFound,
    /// The path does not know the method.
    MethodNotAllowed,
    /// It does not go with what is there.
    Conflict,
    /// `If-Match` names another revision.
    OtherRevision,
    /// The body is too large.
    TooLarge,
    /// A value is out of its range, or does not go with another.
    Invalid,
    /// More changes than may be made in the time.
    TooManyRequests,
    /// It starts or stops, or too many changes wait.
    Unavailable,
    /// As many read `/v1/events` as may.
    TooManySubscribers,
    /// No answer in time.
    Timeout,
    /// The disk did not take it.
    NotKept,
}

impl ApiError {
    fn new(status: StatusCode, code: Code, message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        ApiError { status, problem: Problem { code, message, hint: hint.into() }, retry_after: None }
    }

    /// Message and hint in one line.
    pub(super) fn sentence(&self) -> String {
        format!("{}; {}", self.problem.message, self.problem.hint)
    }

    pub(super) fn bad_request(message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadRequest, message, hint)
    }

    /// The body is not what is asked for: `before`, and what serde says, which has the client's own words in it.
    pub(super) fn bad_body(before: &str, error: &serde_json::Error, example: &str) -> Self {
        let message = format!("{before}: {}", cut(&error.to_string(), SAID_CHARS_MAX));
        Self::bad_request(message, format!("send JSON such as {example}"))
    }

    /// The client spoke http where https is spoken.
    pub(super) fn https_only() -> Self {
        let message = "this port speaks https, and the request came in the clear".to_owned();
        let hint = "use https://; if the request carried the token, others may have read it: make a new one";
        Self::bad_request(message, hint)
    }

    pub(super) fn not_found(message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, message, hint)
    }

    pub(super) fn conflict(message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, Code::Conflict, message, hint)
    }

    pub(super) fn other_revision(message: String) -> Self {
        let hint = "look at what changed (GET /v1/revisions), and send the request again for the revision of now";
        Self::new(StatusCode::PRECONDITION_FAILED, Code::OtherRevision, message, hint)
    }

    pub(super) fn too_large() -> Self {
        let message = "the body is larger than 1 MiB, or did not come whole".to_owned();
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, message, "send it in parts of at most 1000 targets")
    }

    pub(super) fn unprocessable(message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::Invalid, message, hint)
    }

    pub(super) fn not_kept(message: String, hint: &'static str) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, Code::NotKept, message, hint)
    }

    pub(super) fn unavailable(message: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message, "see /readyz, and ask again")
    }

    /// A parameter of the query is missing or wrong.
    pub(super) fn bad_parameter(message: String, hint: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadParameter, message, hint)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "this path does not know the method".to_owned();
        let hint = "see docs/api.md or /v1/openapi.json for what each path takes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed, message, hint)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "the request carries no token, or a wrong one".to_owned();
        let hint = "send the content of token_file: Authorization: Bearer TOKEN";
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, message, hint)
    }

    pub(super) fn foreign_page() -> Self {
        let message = "a page of another origin may change nothing here".to_owned();
        let hint =
            "open the status page by its address, or use weir targets or curl; a token_file allows other origins";
        Self::new(StatusCode::FORBIDDEN, Code::ForeignPage, message, hint)
    }

    pub(super) fn foreign_name() -> Self {
        let message = "the request is for a name that anybody's page could have, if it were led here".to_owned();
        let hint = "use the address, or localhost; a token_file allows other names";
        Self::new(StatusCode::FORBIDDEN, Code::ForeignPage, message, hint)
    }

    pub(super) fn too_many_subscribers() -> Self {
        let message = "as many listen to /v1/events as may".to_owned();
        let hint = "close a status page that is open elsewhere, or read /metrics";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::TooManySubscribers, message, hint)
    }

    /// In so long there may be a change again.
    pub(super) fn too_many_requests(in_so_long: Duration) -> Self {
        let message = "more changes come than may be made in the time; nothing changed".to_owned();
        let hint = "wait as Retry-After says, and send many targets in one list: it is one change";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, message, hint);
        ApiError { retry_after: Some(in_so_long), ..error }
    }

    /// As many changes wait as may.
    pub(super) fn crowded(waiting: usize) -> Self {
        let message = format!("{waiting} changes wait to be made; nothing changed");
        let hint = "wait for the answer of one change before the next, or send many targets in one list";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message, hint);
        ApiError { retry_after: Some(Duration::from_secs(1)), ..error }
    }

    /// It is kept, and not in effect everywhere yet.
    pub(super) fn unconfirmed(message: String) -> Self {
        let hint = "GET /v1/shards says who is stuck; it takes the revision when it comes round";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Timeout, message, hint)
    }

    pub(super) fn timeout() -> Self {
        let hint = "the host is overloaded: see /readyz and the load of its cores";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Timeout, "no answer in time".to_owned(), hint)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { error: self.problem })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            // RFC 9110, 10.2.3: whole seconds.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
