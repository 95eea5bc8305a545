//! What varies in a path: the name of a group, the number of a revision.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::error::ApiError;
use crate::config::limits;
use crate::inventory::Id;

const CHARACTERS: &str =
    "a name has letters, digits, dots, underscores and hyphens: GET /v1/target-groups lists those of groups";

/// The part of the path that is in braces, decoded: what could be a name, so that nothing else is looked for.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(Path(name)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(ApiError::bad_request("the path is not UTF-8 when decoded".to_owned(), CHARACTERS));
        };
        if Id::new(&*name).is_err() {
            let shown = name.chars().take(limits::NAME_BYTES_MAX).collect::<String>();
            return Err(ApiError::not_found(format!("there is nothing of the name {shown:?}"), CHARACTERS));
        }
        Ok(Named(name))
    }
}
