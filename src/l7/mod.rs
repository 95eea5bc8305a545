//! HTTP: from a request's bytes to a target and back.

pub mod forwarded;
pub mod location;
pub mod replies;
pub mod router;
mod scheme;
pub mod stickiness;

pub use scheme::UrlScheme;
