//! What the API changed, beside the file: machines, the targets of groups that are the API's, and weights of targets that are
//! the file's.
//!
//! ```text
//!     file, beside the API's machines --> Snapshot (base) --.
//!     Changes ----------------------------------------------+--over--> the Snapshot that shards run on
//!        ^--apply-- Change (a request of the API: a list, all of it or nothing)
//! ```
//!
//! The file's targets stay the file's: the API may weigh them, and that outlives a reload, but not remove them or move them to
//! another port. A group with `managed = "api"` has no targets in the file; the API's are kept when the file forgets the
//! group, and come back with it.
//! Pure. Always: what `apply` gives back is valid beside the base that it was given, as if the file had said it.

mod apply;
mod machines;
mod over;
mod request;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::snapshot::{Managed, Snapshot, TargetKind};
use crate::inventory::{Id, Records};

pub use machines::may_join;
pub use over::{Over, Waiting};
pub use request::{Change, NewTarget, Refused, RefusedCode, TargetUpdate, TargetsChange, Which};

/// Everything that the API changed. Kept in `state_dir`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
    /// Machines that the file does not have.
    #[serde(skip_serializing_if = "Records::is_empty")]
    pub records: Records,
    /// By the name of the target group.
    pub groups: BTreeMap<Arc<str>, GroupChanges>,
}

/// What the API changed in one target group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupChanges {
    /// The targets of a group with `managed = "api"`, in the order in which they were registered.
    pub targets: Vec<Registered>,
    /// Weights in place of the file's, by target. One whose target left the file is kept: it may be on its way back.
    pub weights: BTreeMap<SocketAddr, u8>,
}

/// A target that was registered by the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// Where it answers: once in a group (requirement G2). Of a machine that the inventory knows: where it answered last.
    pub address: SocketAddr,
    /// What kind of address it is.
    #[serde(rename = "type")]
    pub kind: TargetKind,
    /// Its machine, where given or known to the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<Id>,
    /// Its machine was named, and is followed: not its address alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_id: bool,
    /// Its interface, of an eni target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eni_id: Option<Id>,
    /// Its region, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Id>,
    /// Its network, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Id>,
    /// Its zone, where given; else its machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Id>,
    /// 0 to 100.
    pub weight: u8,
}

impl Changes {
    /// What they are with `change` made at `now`, beside what the file says.
    ///
    /// # Errors
    /// The first thing that is wrong with it; then nothing is changed.
    pub fn apply(&self, base: &Snapshot, change: &Change, now: SystemTime) -> Result<Changes, Refused> {
        match change {
            Change::Targets { group, change } => self.change_targets(base, group, change, now),
            Change::Put(records) => self.put(base, records, now),
            Change::Forget(which) => self.forget(base, which),
        }
    }

    /// What they are beside another base: see `settle` of machines.rs.
    #[must_use]
    pub fn settled(mut self, base: &Snapshot) -> Changes {
        self.settle(&base.inventory, &base.balancer.place());
        self
    }

    /// Groups with changes that the file does not have, or no longer leaves to the API: their changes wait.
    #[must_use]
    pub fn waiting<'c>(&'c self, base: &Snapshot) -> Vec<&'c str> {
        let applies = |name: &str, changes: &GroupChanges| {
            let group = base.groups.iter().find(|group| &*group.name == name);
            group.is_some_and(|group| group.managed == Managed::Api || changes.targets.is_empty())
        };
        self.groups.iter().filter(|(name, changes)| !applies(name, changes)).map(|(name, _)| &**name).collect()
    }

    fn forget_empty_groups(&mut self) {
        self.groups.retain(|_, changes| !changes.targets.is_empty() || !changes.weights.is_empty());
    }
}
