//! An error as the API writes it: `{"error":{"code","message","hint"}}`.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What went wrong with a request.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Cow<'static, str>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        ApiError { status, code, message, hint: hint.into() }
    }

    /// Message and hint in one line.
    pub(super) fn sentence(&self) -> String {
        format!("{}; {}", self.message, self.hint)
    }

    pub(super) fn bad_request(message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message, hint)
    }

    /// The client spoke http where https is spoken.
    pub(super) fn https_only() -> Self {
        let message = "this port speaks https, and the request came in the clear".to_owned();
        let hint = "use https://; if the request carried the token, others may have read it: make a new one";
        Self::bad_request(message, hint)
    }

    pub(super) fn not_found(message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message, hint)
    }

    pub(super) fn conflict(message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message, hint)
    }

    pub(super) fn other_revision(message: String) -> Self {
        let hint = "look at what changed (GET /v1/revisions), and send the request again for the revision of now";
        Self::new(StatusCode::PRECONDITION_FAILED, "other_revision", message, hint)
    }

    pub(super) fn too_large() -> Self {
        let message = "the body is larger than 1 MiB, or did not come whole".to_owned();
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, "send it in parts of at most 1000 targets")
    }

    pub(super) fn unprocessable(message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message, hint)
    }

    pub(super) fn not_kept(message: String, hint: &'static str) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "not_kept", message, hint)
    }

    pub(super) fn unavailable(message: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message, "see /readyz, and ask again")
    }

    /// A parameter of the query is missing or wrong.
    pub(super) fn bad_parameter(message: String, hint: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", message, hint)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "this path does not know the method".to_owned();
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
            "see docs/api.md for what each path takes",
        )
    }

    pub(super) fn unauthorized() -> Self {
        let message = "the request carries no token, or a wrong one".to_owned();
        let hint = "send the content of token_file: Authorization: Bearer TOKEN";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message, hint)
    }

    pub(super) fn foreign_page() -> Self {
        let message = "a page of another origin may change nothing here".to_owned();
        let hint =
            "open the status page by its address, or use weir targets or curl; a token_file allows other origins";
        Self::new(StatusCode::FORBIDDEN, "foreign_page", message, hint)
    }

    pub(super) fn too_many_subscribers() -> Self {
        let message = "as many listen to /v1/events as may".to_owned();
        let hint = "close a status page that is open elsewhere, or read /metrics";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_subscribers", message, hint)
    }

    /// It is kept, and not in effect everywhere yet.
    pub(super) fn unconfirmed(message: String) -> Self {
        let hint = "GET /v1/shards says who is stuck; it takes the revision when it comes round";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message, hint)
    }

    pub(super) fn timeout() -> Self {
        let hint = "the host is overloaded: see /readyz and the load of its cores";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "no answer in time".to_owned(), hint)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message, "hint": self.hint } });
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
