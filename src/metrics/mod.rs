//! Metrics as Prometheus reads them: reports and a few facts of control in, text out. Pure apart from `process`.
//!
//!     ShardReport (one a shard) --summed over shards--> families of names.rs --text--> /metrics
//!
//! Counters live in the shards and cost an addition there; nothing is kept here. What grows with listeners or targets is
//! summed over shards, or its series would be multiplied by the cores; `shard` is a label only of a shard's own figures and
//! of a target's health.
//!
//! The text is written by ourselves: the client crates are registries, which want to own the counters.
#![forbid(unsafe_code)]

mod histogram;
mod http;
mod listeners;
pub mod names;
mod process;
mod scrape;
mod security;
mod shards;
mod targets;
#[cfg(test)]
mod tests;
mod text;
mod webhooks;

pub use histogram::merged;
pub use http::CODE_CLASSES;
pub use process::Process;
pub use scrape::{Heartbeat, Scrape};
pub use security::sum_of_rules;
pub use targets::{checks_per_second, worst_state};
pub use webhooks::WebhookCounts;
