//! The one place that decides where an HTTP/1 message begins and ends (RFC 9112; requirements P1, P5, C1).
//!
//! ```text
//!     client's bytes --RequestHead::read--> head --finding, verdict--> write --> target        limits.rs  every number
//!                                            `--body()--> Body::relay --------->              lines.rs   where a head ends
//!     target's bytes --ResponseHead::read--> head --write--> client                           mend.rs    what httparse refuses
//!                                            `--body()--> Body::relay --------->              hygiene.rs classes, modes
//! ```
//!
//! Pure: bytes in, a decision out. httparse reads the lines; what they mean together is decided here, more strictly than the RFC
//! where the RFC leaves a choice that others make differently.
//! Always: a message is written from what was understood of it, so the other side cannot read more messages, or other ones,
//! than we did. No byte past a message's end is taken. How the input is cut up changes nothing.
#![forbid(unsafe_code)]

mod body;
mod chunks;
mod fields;
mod hygiene;
mod length;
pub mod limits;
mod lines;
mod mend;
mod request;
mod response;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod write;

pub use body::{BadBody, Body, BodyLength, Form, Forward, Relayed, Truncated};
pub use hygiene::{Class, Finding, Reason, Refused, Verdict};
pub use length::is_token;
pub use request::{Read, RequestEdits, RequestHead, Version};
pub use response::{BadResponse, ClientConnection, Length, ResponseEdits, ResponseHead};
pub(in crate::l7) use target::authority_has_port;
pub use write::Upgrade;
