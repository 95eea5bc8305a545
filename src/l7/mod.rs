//! HTTP: from a request's bytes to a target and back.

pub mod framing;
pub mod router;
