//! The admin endpoint: metrics, health, the API and the status page, on the control thread.
//!
//! ```text
//!   server: socket, at most so many clients, time limits --> router: token --> livez, readyz
//!      `--> tls: handshake, where it speaks https               |---> metrics (crate::metrics)
//!                                                               |---> api --> views: JSON
//!                                                               |---> mutations, inventory --> control/change/mod.rs
//!                                                               `---> page: / and /v1/events
//! ```
//!
//! A client here must not hurt the data path: clients, header bytes and the time of everything are bounded, shards are asked
//! ten times a second at most (control/reports.rs), and a body has 1 MiB at most.

mod api;
mod auth;
mod error;
mod inventory;
mod mutations;
mod page;
mod router;
mod server;
#[cfg(test)]
mod tests;
mod tls;
mod views;

pub(super) use server::Door;
