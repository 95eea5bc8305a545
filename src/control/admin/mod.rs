//! The admin endpoint: metrics, health and the read-only API, on the control thread.
//!
//! ```text
//!   server: socket, at most so many clients, time limits --> router: token --> livez, readyz
//!                                                               |---> metrics (crate::metrics)
//!                                                               |---> api --> views: JSON
//!                                                               `---> page: / and /v1/events
//! ```
//!
//! A client here must not hurt the data path: clients, header bytes and the time of everything are bounded, shards are asked
//! ten times a second at most (control/reports.rs), and requests have no body that anyone reads.

mod api;
mod auth;
mod error;
mod mutations;
mod page;
mod router;
mod server;
#[cfg(test)]
mod tests;
mod views;

pub(super) use server::Door;
