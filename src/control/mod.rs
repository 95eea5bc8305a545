//! The control thread: start, reload, drain, watchdog, and the admin endpoint. Never on the data path.
//!
//!     config --load--> Snapshot --bind new addresses--> Order::Apply to every shard --all done--> it is in effect
//!     signals --> run --> reload | drain
//!     shards <--ping, report--> shards.rs <-- admin: /metrics /livez /readyz /v1/...
//!                                 `---------> webhook: targets that turn unhealthy, to their scaling groups
//!
//! One thread, one tokio runtime; shards are reached by their mailboxes alone, so nothing that happens here can hold up a
//! connection. Every wait for a shard has an end: a stuck one is named, the others go on.
//! Always: snapshots are applied one at a time, and every socket that a snapshot needs is bound before a shard hears of it.
#![forbid(unsafe_code)]

mod admin;
mod bind;
mod change;
mod error;
pub mod explain;
mod host;
mod notify;
mod reload;
mod reports;
mod run;
mod shards;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod webhook;

pub use bind::BindError;
pub use change::{Beside, KeptError, beside_what_is_kept};
pub use error::StartError;
pub use host::{allowed_cores, ranges};
pub use run::{DRAIN_DEFAULT, Options, Source, run};
pub use store::{Fault, Meta, Opened, Outcome, Refused, Saved, Store, StoreError};

/// A time as the API and the reports say it (RFC 3339).
fn rfc3339(time: std::time::SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
