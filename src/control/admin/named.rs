//! What varies in a path: the name of a group, the number of a revision.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::error::ApiError;

/// The part of the path that is in braces, decoded.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Named(name)),
            Err(_) => Err(ApiError::bad_request(
                "the path is not UTF-8 when decoded".to_owned(),
                "send the name as it is in the config: letters, digits, dots, underscores and hyphens",
            )),
        }
    }
}
