//! What a target's health checks say about it: outcomes and times in, a state with its reason out.
//!
//! ```text
//!   phase --> when the first check of a target is due on this shard; then one each interval
//!   checker (shard) --connected after 1.2 ms | io::Error--> Failure::from_io --> TargetHealth::observe --> Transition?
//!                                                              `--> hint: what to look at next
//! ```
//!
//! Each shard checks for itself (requirement H4) and keeps one `TargetHealth` a target across snapshots; a reload goes
//! through `reconfigure`. Who connects and who keeps the time is the shard's checker; nothing here does either.
//! A target of weight 0 is checked like any other, so that its health is known before its weight is raised.
//!
//! Always: only what tells something about the target changes its state. A check that this host could not make (no
//! descriptor, no source port) is counted and shown, or a host out of descriptors would take its whole group down.
#![forbid(unsafe_code)]

mod failure;
mod phase;
mod state;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use phase::phase;
pub use state::{Checking, LastCheck, Reason, State, TargetHealth, Thresholds, Transition};
