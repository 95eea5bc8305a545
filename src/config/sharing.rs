//! What a new snapshot has in common with the one before is the same in memory, too.
//!
//! Shards see by the address whether a list of rules is another one: to compare lists of a hundred thousand rules, each shard
//! for itself and between two polls of its connections, would be felt by clients. It is done here, once for all.

use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::acl::SecurityGroup;

impl Snapshot {
    /// Takes the listeners and security groups of `before` in place of those that are equal to them.
    #[must_use]
    pub fn sharing_with(mut self, before: &Snapshot) -> Snapshot {
        share(&mut self.balancer.security_group, &before.balancer.security_group);
        for listener in &mut self.listeners {
            let Some(known) = before.listeners.iter().find(|known| known.name == listener.name) else { continue };
            // First: what is the same in memory is equal at a glance.
            share(&mut Arc::make_mut(listener).security_group, &known.security_group);
            if listener == known {
                *listener = Arc::clone(known);
            }
        }
        self
    }
}

fn share(group: &mut SecurityGroup, known: &SecurityGroup) {
    if group == known {
        group.clone_from(known);
    }
}
