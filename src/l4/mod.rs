//! Layer 4: bytes from client to target and back, unread.
#![forbid(unsafe_code)]

mod tcp;

pub use tcp::{Fault, Side, relay};
