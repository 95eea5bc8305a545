//! Which requests are refused: ahead of all rules, and by the group that a rule chose.
#![forbid(unsafe_code)]

use super::framing::{BodyLength, RequestHead, Verdict};
use super::why::Why;
use crate::config::{Http, HttpGroup, HttpVersion};

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

/// Whether targets of `group` can be sent the request: HTTP/1.0 has no body of unknown length (ALB's 464).
///
/// # Errors
/// Why they cannot.
pub(super) fn fits(request: &RequestHead, group: &HttpGroup) -> Result<(), Why> {
    if group.version == HttpVersion::V1_0 && request.body() == BodyLength::Chunked {
        return Err(Why::VersionMismatch);
    }
    Ok(())
}
