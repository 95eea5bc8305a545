//! The admin endpoint: metrics, health, the API and the status page, on the control thread.
//!
//! ```text
//!   server: socket, at most so many clients, time limits --> router: token --> livez, readyz
//!      `--> tls: handshake, where it speaks https               |---> metrics (crate::metrics)
//!                                                               |---> api --> views: JSON
//!                                                               |---> mutations, inventory --> bounds --> control/change/mod.rs
//!                                                               |---> page: / and /v1/events
//!                                                               `---> openapi: what all of them take and answer
//! ```
//!
//! A client here must not hurt the data path: clients, header bytes and the time of everything are bounded, shards are asked
//! ten times a second at most (control/reports.rs), a body has 1 MiB at most, and changes have a rate (bounds.rs).

mod api;
mod auth;
mod bounds;
mod error;
mod inventory;
mod mutations;
mod named;
mod openapi;
mod page;
mod router;
mod server;
#[cfg(test)]
mod tests;
mod tls;
mod views;

pub(super) use bounds::Bounds;
pub(super) use server::Door;
