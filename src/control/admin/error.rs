//! An error as the API writes it: `{"error":{"code","message","hint"}}`.

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
    hint: &'static str,
}

impl ApiError {
    pub(super) fn not_found(message: String, hint: &'static str) -> Self {
        ApiError { status: StatusCode::NOT_FOUND, code: "not_found", message, hint }
    }

    /// A parameter of the query is missing or wrong.
    pub(super) fn bad_parameter(message: String, hint: &'static str) -> Self {
        ApiError { status: StatusCode::BAD_REQUEST, code: "bad_parameter", message, hint }
    }

    pub(super) fn method_not_allowed() -> Self {
        ApiError {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "method_not_allowed",
            message: "this path can only be read".to_owned(),
            hint: "use GET or HEAD; to change something, edit the config and send SIGHUP",
        }
    }

    pub(super) fn unauthorized() -> Self {
        ApiError {
            status: StatusCode::UNAUTHORIZED,
            code: "unauthorized",
            message: "the request carries no token, or a wrong one".to_owned(),
            hint: "send the content of token_file: Authorization: Bearer TOKEN",
        }
    }

    pub(super) fn too_many_subscribers() -> Self {
        ApiError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "too_many_subscribers",
            message: "as many listen to /v1/events as may".to_owned(),
            hint: "close a status page that is open elsewhere, or read /metrics",
        }
    }

    pub(super) fn timeout() -> Self {
        ApiError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "timeout",
            message: "no answer in time".to_owned(),
            hint: "the host is overloaded: see /readyz and the load of its cores",
        }
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
