//! What the API changed, beside the file: the targets of groups that are the API's, and weights of targets that are the file's.
//!
//! ```text
//!     file --> Snapshot (base) --.
//!     Changes -------------------+-- with_changes --> the Snapshot that shards run on
//!        ^--apply-- Change (a request of the API: a list, all of it or nothing)
//! ```
//!
//! The file's targets stay the file's: the API may weigh them, and that outlives a reload, but not remove them or move them to
//! another port. A group with `managed = "api"` has no targets in the file; the API's are kept when the file forgets the
//! group, and come back with it.
//! Pure. Always: what `apply` gives back is valid beside the base that it was given, as if the file had said it.

mod apply;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::snapshot::{Managed, Snapshot, Target, TargetGroup, TargetKind};
use crate::inventory::{self, Door, Id, Refusal};

pub use apply::{Change, NewTarget, Refused, RefusedCode, TargetUpdate, Which};

/// Everything that the API changed. Kept in `state_dir`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
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
    /// Where it answers: once in a group (requirement G2).
    pub address: SocketAddr,
    /// What kind of address it is.
    #[serde(rename = "type")]
    pub kind: TargetKind,
    /// Its machine, where given or known to the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<Id>,
    /// Its interface, of an eni target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eni_id: Option<Id>,
    /// Its region, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Id>,
    /// Its network, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Id>,
    /// Its zone, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Id>,
    /// 0 to 100.
    pub weight: u8,
}

impl Changes {
    /// What the file says, with these changes in it.
    #[must_use]
    pub fn over(&self, base: &Snapshot) -> Snapshot {
        let groups = base.groups.iter().map(|group| match self.groups.get(&group.name) {
            Some(changes) => Arc::new(changes.over(group)),
            None => Arc::clone(group),
        });
        let mut snapshot = Snapshot { groups: groups.collect(), ..base.clone() };
        // Whoever is in the wrong region was refused when it came; what the file says of regions may have changed since.
        snapshot.door = snapshot.pass_door().unwrap_or(base.door);
        snapshot
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
}

impl Snapshot {
    /// The side of the one-way door of `cross_region` that the balancer is on with these targets (requirement G6).
    fn pass_door(&self) -> Result<Door, Refusal> {
        let targets = self.groups.iter().flat_map(|group| &group.targets);
        let in_a_region = targets.filter(|target| target.kind != TargetKind::Idc);
        let regions = in_a_region.map(|target| target.region.as_deref());
        inventory::pass(&self.balancer.place(), self.door, regions).map_err(|(_, refusal)| refusal)
    }
}

impl GroupChanges {
    fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.weights.is_empty()
    }

    fn over(&self, group: &TargetGroup) -> TargetGroup {
        let targets = match group.managed {
            Managed::Api => self.targets.iter().map(Registered::to_target).collect(),
            Managed::File => group.targets.iter().map(|target| self.weighed(target)).collect(),
        };
        TargetGroup { targets, ..group.clone() }
    }

    fn weighed(&self, target: &Target) -> Target {
        let weight = self.weights.get(&target.address).copied().unwrap_or(target.weight);
        Target { weight, ..target.clone() }
    }
}

impl Registered {
    fn to_target(&self) -> Target {
        let text = |id: &Option<Id>| id.clone().map(Arc::from);
        Target {
            address: self.address,
            label: self.address.to_string().into(),
            kind: self.kind,
            instance_id: text(&self.instance_id),
            eni_id: text(&self.eni_id),
            region: text(&self.region),
            network: text(&self.network),
            zone: text(&self.zone),
            weight: self.weight,
        }
    }
}
