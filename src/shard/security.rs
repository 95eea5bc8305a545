//! Security groups as this shard runs them: the verdict on a new connection, and what each rule has decided.
//!
//!     client --balancer's group--> listener's group --> accepted
//!                   `---------drop-------`------------> reset, counted (shard/accept.rs)
//!
//! Counts belong to a list of rules: while a reload leaves it as it is they go on, and a list that changed starts anew,
//! as the number of a rule would mean another one.

use std::io;

use super::report::SecurityGroupReport;
use crate::acl::{SecurityGroup, Verdict};

/// A listening socket has no filter, though it was to have one.
pub fn warn_not_filtered(listener: &str, error: &io::Error) {
    let hint = match error.raw_os_error() {
        Some(libc::ENOMEM) => "raise the memory that a socket may have for it: sysctl -w net.core.optmem_max=131072",
        _ => "look at the kernel's log: dmesg",
    };
    tracing::warn!(
        listener,
        "the kernel takes no filter for its security groups: {error}; those who are dropped are reset at accept; {hint}"
    );
}

/// A group and its counts on this shard.
#[derive(Default)]
pub(super) struct Decisions {
    group: SecurityGroup,
    /// By rule; the last is for those whom none was about.
    counts: Vec<u64>,
}

impl Decisions {
    pub(super) fn of(group: &SecurityGroup) -> Self {
        Decisions { group: group.clone(), counts: vec![0; group.rules().len() + 1] }
    }

    /// The group of another snapshot.
    pub(super) fn apply(&mut self, group: &SecurityGroup) {
        if self.group != *group {
            *self = Decisions::of(group);
        }
    }

    pub(super) fn count(&mut self, verdict: Verdict) {
        let unmatched = self.group.rules().len();
        if let Some(count) = self.counts.get_mut(verdict.rule.unwrap_or(unmatched)) {
            *count += 1;
        }
    }

    pub(super) fn report(&self) -> SecurityGroupReport {
        SecurityGroupReport { group: self.group.clone(), counts: self.counts.clone() }
    }
}
