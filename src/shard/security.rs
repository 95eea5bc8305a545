//! Security groups as this shard runs them: the verdict on a new connection, and what each rule has decided.
//!
//!     client --balancer's group--> listener's group --> accepted
//!                   `---------drop-------`------------> reset, counted (shard/accept.rs)
//!
//! Counts belong to a list of rules: while a reload leaves it as it is they go on, and a list that changed starts anew,
//! as the number of a rule would mean another one. Whether it changed is seen by its address in memory (config/sharing.rs).

use std::io;

use super::report::SecurityGroupReport;
use crate::acl::{RuleCounts, SecurityGroup, Verdict};

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
    counts: RuleCounts,
}

impl Decisions {
    pub(super) fn of(group: &SecurityGroup) -> Self {
        Decisions { group: group.clone(), counts: RuleCounts::new(group) }
    }

    /// The group of another snapshot.
    pub(super) fn apply(&mut self, group: &SecurityGroup) {
        if !self.group.is_same(group) {
            *self = Decisions::of(group);
        }
    }

    pub(super) fn count(&mut self, verdict: Verdict) {
        self.counts.count(verdict);
    }

    pub(super) fn report(&self) -> SecurityGroupReport {
        SecurityGroupReport { group: self.group.clone(), counts: self.counts.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{Action, RULES_COUNTED_MAX, Rule};

    fn group(rules: usize) -> SecurityGroup {
        let rule = Rule { action: Action::Accept, sources: Vec::new(), transport: None, ports: Vec::new() };
        SecurityGroup::new(vec![rule; rules])
    }

    #[test]
    fn counts_go_on_while_the_list_is_the_same_in_memory_and_start_anew_with_another() {
        let same = group(2);
        let mut decisions = Decisions::of(&same);
        decisions.count(Verdict { allowed: true, rule: Some(1) });
        decisions.apply(&same.clone());
        assert_eq!(decisions.report().counts.by_rule, [0, 1]);
        decisions.apply(&group(2));
        assert_eq!(decisions.report().counts.by_rule, [0; 2], "an equal list that is another one in memory");
        decisions.apply(&group(3));
        assert_eq!(decisions.report().counts.by_rule, [0; 3]);
    }

    #[test]
    fn a_report_of_a_long_list_is_short() {
        let mut decisions = Decisions::of(&group(100_000));
        decisions.count(Verdict { allowed: true, rule: Some(99_999) });
        let counts = decisions.report().counts;
        assert_eq!((counts.by_rule.len(), counts.beyond), (RULES_COUNTED_MAX, Some([1, 0])));
    }
}
