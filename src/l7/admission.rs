//! Which requests are refused ahead of all rules.
#![forbid(unsafe_code)]

use super::framing::{BodyLength, RequestHead, Verdict};
use super::why::Why;
use crate::config::Http;

/// Whether the rules of `http` are asked about a request of which hygiene says `verdict`.
///
/// # Errors
/// Why they are not.
pub(super) fn admit(request: &RequestHead, verdict: Verdict, http: &Http) -> Result<(), Why> {
    if verdict == Verdict::Refuse {
        return Err(Why::BadRequest);
    }
    if request.is_connect() || request.method() == b"TRACE" {
        return Err(Why::MethodNotAllowed);
    }
    match (request.body(), http.body_bytes_max) {
        (BodyLength::Length(length), Some(most)) if length > most.get() => Err(Why::BodyTooLarge),
        _ => Ok(()),
    }
}
