//! HTTP: from a request's bytes to a target and back.
//!
//!     client --bytes--> framing --head--> router --group--> World::lease --connection--> target
//!       ^                                                                                  |
//!       `------ heads: headers, cookies, Location <----------- framing <-----bytes---------'
//!
//! `http1` leads; everything else here but `world`, `deadline`, `outgoing` and `target_connections` is pure: bytes or a
//! snapshot in, a decision out. Time and chance are arguments.
#![forbid(unsafe_code)]

mod admission;
mod deadline;
pub mod explain;
pub mod forwarded;
pub mod framing;
mod http1;
pub mod location;
mod outgoing;
mod record;
pub mod replies;
pub mod router;
mod scheme;
mod sessions;
pub mod stickiness;
mod target_connections;
mod why;
mod world;

pub use framing::Class;
pub use http1::{Closed, Exchange, serve};
pub use record::{Record, Taken};
pub use scheme::UrlScheme;
pub use stickiness::{Keys, Tag};
pub use target_connections::{TargetConnections, drop_oldest};
pub use why::Why;
pub use world::{Ends, Lease, Ordered, Patience, Terms, Wanted, Wish, World};
