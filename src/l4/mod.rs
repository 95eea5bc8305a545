//! Layer 4: bytes from client to target and back, unread; and the Flash policy responder, which has no target.
#![forbid(unsafe_code)]

mod flash;
mod tcp;

pub use flash::{POLICY_REQUEST, Responded, answer_policy};
pub use tcp::{Fault, Side, relay};
