//! The admin endpoint: metrics, health and the read-only API, on the control thread.
//!
//!     server: socket, at most so many clients, time limits --> auth: token --> router --> api | metrics, livez, readyz
//!
//! A client here must not hurt the data path: clients, header bytes and the time of everything are bounded, shards are asked
//! ten times a second at most (control/reports.rs), and requests have no body that anyone reads.

mod auth;
mod error;
mod router;
mod server;

pub(super) use server::Door;
