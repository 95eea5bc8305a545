//! What a change of the inventory does to targets that are bound: release (requirement G8), interfaces that move, scaling
//! groups (requirement G9).
//!
//! Each says what is to be done, and does nothing: the targets are the caller's.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::bind::{Bound, TargetName, rebind};
use super::id::Id;
use super::listed::Inventory;
use super::place::{CrossRegion, Place};
use super::records::{Association, InstanceState};
use super::refusal::{Refusal, Why};
use crate::config::TargetKind;

/// A target that is bound, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'t> {
    /// Name of its target group.
    pub group: &'t str,
    /// Where it answers.
    pub address: SocketAddr,
    /// What its address is.
    pub kind: TargetKind,
    /// Its machine, where it is known.
    pub instance: Option<&'t str>,
    /// Its interface, of an eni target.
    pub eni: Option<&'t str>,
    /// Its region, where it is known.
    pub region: Option<&'t str>,
}

/// Which targets the release of an instance unbinds: all of it, but for those of another region under `cross_region =
/// "multi"`, which stay until somebody unbinds them (requirement G8).
pub fn released<'t>(
    place: &Place,
    instance: &str,
    bindings: impl IntoIterator<Item = Binding<'t>>,
) -> Vec<Binding<'t>> {
    let goes = |binding: &Binding<'_>| binding.instance == Some(instance) && !outlives_release(place, binding.region);
    bindings.into_iter().filter(goes).collect()
}

/// Whether a target of this region stays bound when its instance is released.
#[must_use]
pub fn outlives_release(place: &Place, region: Option<&str>) -> bool {
    place.cross_region == CrossRegion::Multi && region != place.region.as_deref()
}

/// What becomes of a target whose interface has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// It is at another instance: it stays, its health is not known any more.
    Recheck(Bound),
    /// The interface lost the address, or is where the balancer may not reach it.
    Unbind(Refusal),
}

/// What becomes of the targets of an interface, with the inventory as it is after the change. Those that are not named stay as
/// they are, also while the interface is attached to nothing: its checks say that nobody answers.
pub fn moved<'t>(
    after: &Inventory,
    place: &Place,
    eni: &Id,
    bindings: impl IntoIterator<Item = Binding<'t>>,
) -> Vec<(Binding<'t>, Moved)> {
    let fate = |binding: Binding<'t>| {
        let address = Some(binding.address.ip());
        let name = TargetName { kind: TargetKind::Eni, instance_id: None, eni_id: Some(eni.clone()), address };
        match rebind(after, place, &name) {
            Ok(bound) if bound.instance.as_deref() == binding.instance => None,
            Ok(bound) => Some((binding, Moved::Recheck(bound))),
            Err(refusal) if refusal.why == Why::Detached => None,
            Err(refusal) => Some((binding, Moved::Unbind(refusal))),
        }
    };
    bindings.into_iter().filter(|binding| binding.eni == Some(&**eni)).filter_map(fate).collect()
}

/// What a change of scaling groups does to a target group (requirement G9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scaled {
    /// An instance is to be bound by its id, unless it is already.
    Join {
        /// The target group.
        target_group: Id,
        /// The instance.
        instance: Id,
        /// The scaling group's port for that target group.
        port: u16,
        /// The scaling group's weight for that target group.
        weight: u8,
    },
    /// All targets of an instance are to be unbound, whatever their ports.
    Leave {
        /// The target group.
        target_group: Id,
        /// The instance.
        instance: Id,
    },
}

/// Which instances join and leave target groups, by target group and instance. Another port or weight changes nothing for
/// those that have joined. Who is in two scaling groups of one target group leaves it with the second.
/// A released instance is not named: requirement G8 says what becomes of its targets.
#[must_use]
pub fn scaled(before: &Inventory, after: &Inventory) -> Vec<Scaled> {
    let (old, new) = (members(before), members(after));
    let is_alive = |id: &Id| after.instance(id).is_some_and(|instance| instance.state != InstanceState::Released);
    let left = old.keys().filter(|(group, id)| !new.contains_key(&(*group, *id)) && is_alive(id));
    let left = left.map(|(group, id)| Scaled::Leave { target_group: (*group).clone(), instance: (*id).clone() });
    let joined = new.iter().filter(|(member, _)| !old.contains_key(*member)).map(|((group, id), association)| {
        let Association { port, weight, .. } = **association;
        Scaled::Join { target_group: (*group).clone(), instance: (*id).clone(), port, weight }
    });
    left.chain(joined).collect()
}

/// The scaling group that is first by name says port and weight.
fn members(inventory: &Inventory) -> BTreeMap<(&Id, &Id), &Association> {
    let mut members = BTreeMap::new();
    for group in inventory.scaling_groups() {
        for association in &group.target_groups {
            for instance in &group.instances {
                members.entry((&association.group, instance)).or_insert(association);
            }
        }
    }
    members
}
