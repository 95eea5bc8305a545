//! When in its interval a target is checked (requirement H4).
//!
//! ```text
//!   interval  |----------------------------------------|
//!   target A     0         1         2         3           each digit: the check of that shard
//!   target B         2         3         0         1
//! ```
//!
//! Without it all shards check all targets in the same millisecond, once an interval.

use foldhash::quality::FixedState;
use std::hash::BuildHasher;
use std::time::Duration;

/// How long after the start of its interval a shard checks a target; less than `interval`.
///
/// The shards' checks of one target are `interval / shards` apart. Where they begin depends on `target_seed`, which must be
/// the same on all shards: a hash of the target's identity.
#[must_use]
pub fn phase(target_seed: u64, shard: usize, shards: usize, interval: Duration) -> Duration {
    // Saturates after 584 years.
    let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    let of_shard = u128::from(interval) * (shard as u128) / (shards.max(1) as u128);
    let of_target = (u128::from(interval) * u128::from(FixedState::default().hash_one(target_seed))) >> 64;
    let nanos = (of_shard + of_target).checked_rem(u128::from(interval)).unwrap_or(0);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
