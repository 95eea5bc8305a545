//! What the inventory of now makes of targets that were bound beside another one: release (requirement G8), interfaces that
//! move, scaling groups (requirement G9).
//!
//! It is said, not done: the targets are the caller's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::bind::{Bound, TargetName, rebind};
use super::id::Id;
use super::listed::Inventory;
use super::place::{CrossRegion, Place};
use super::records::{Association, InstanceState};
use super::refusal::{Refusal, Why};
use crate::config::TargetKind;

/// A target as it was when it was bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'t> {
    /// What its address is.
    pub kind: TargetKind,
    /// Where it answers.
    pub address: IpAddr,
    /// Its machine, where it was known.
    pub instance: Option<&'t Id>,
    /// Its interface, of an eni target.
    pub eni: Option<&'t Id>,
    /// It was named by its id, and not by its address alone.
    pub by_id: bool,
    /// Its region, where it was known.
    pub region: Option<&'t Id>,
    /// Its network, where it was known.
    pub network: Option<&'t Id>,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It stays, and this is what it stands for now: its instance may have another address, its interface may be at another
    /// instance.
    Bound(Bound),
    /// It stays as it was: the inventory cannot say more of it. Its checks tell whether it answers.
    AsItWas,
    /// Its instance was released: it is unbound for good (requirement G8).
    Released,
    /// The balancer may not send there any more, or the address is not its interface's any more.
    Barred(Refusal),
}

/// What becomes of a target that is bound. What its instance has come to be since, isolated or expired, does not unbind it.
#[must_use]
pub fn fate(inventory: &Inventory, place: &Place, held: &Held<'_>) -> Fate {
    let instance = held.instance.and_then(|id| inventory.instance(id));
    if instance.is_some_and(|instance| instance.state == InstanceState::Released) && !has_moved_on(inventory, held) {
        let stays = outlives_release(place, held.region.map(|region| &**region));
        return if stays { Fate::AsItWas } else { Fate::Released };
    }
    if is_forgotten(inventory, place, held) {
        return Fate::AsItWas;
    }
    // A machine that was named has the address that the inventory says, whatever it was.
    let is_named = held.kind == TargetKind::Cvm && held.by_id;
    let follows = is_named && instance.is_some();
    let name = TargetName {
        kind: held.kind,
        instance_id: held.instance.filter(|_| is_named).cloned(),
        eni_id: held.eni.filter(|_| held.kind == TargetKind::Eni).cloned(),
        address: (!follows).then_some(held.address),
    };
    match rebind(inventory, place, &name) {
        Ok(bound) => Fate::Bound(bound),
        Err(refusal) => match refusal.why {
            // Nothing of this says that the balancer must not send there.
            Why::Detached | Why::WrongType | Why::Ambiguous => Fate::AsItWas,
            Why::Disagreement if held.kind == TargetKind::Cvm => Fate::AsItWas,
            _ => Fate::Barred(refusal),
        },
    }
}

/// Its machine was somewhere, and nobody says where it is now. Taken at its word it would be beside the balancer.
fn is_forgotten(inventory: &Inventory, place: &Place, held: &Held<'_>) -> bool {
    let was_beside = (held.region, held.network) == (place.region.as_ref(), place.network.as_ref());
    let knows = |id: Option<&Id>| id.is_some_and(|id| inventory.instance(id).is_some());
    match held.kind {
        TargetKind::Cvm => !was_beside && held.instance.is_some() && !knows(held.instance),
        TargetKind::Eni => {
            let is_gone = held.eni.is_some_and(|id| inventory.eni(id).is_none());
            // One that was never known has no instance.
            is_gone && held.instance.is_some() && inventory.owners(held.address).next().is_none()
        }
        TargetKind::Idc => false,
    }
}

/// An interface that was at the instance is at another one by now.
fn has_moved_on(inventory: &Inventory, held: &Held<'_>) -> bool {
    held.eni.and_then(|id| inventory.eni(id)).is_some_and(|eni| eni.instance_id.is_some())
}

/// Whether a target of this region stays bound when its instance is released: under `cross_region = "multi"` one of another
/// region stays until somebody unbinds it (requirement G8).
#[must_use]
pub fn outlives_release(place: &Place, region: Option<&str>) -> bool {
    place.cross_region == CrossRegion::Multi && region != place.region.as_deref()
}

impl Inventory {
    /// Who is bound to which target group as a member of a scaling group, by target group and instance, and how (requirement
    /// G9). Who is in two scaling groups of one target group has the port and weight of the one that is first by name.
    #[must_use]
    pub fn members(&self) -> BTreeMap<(&Id, &Id), Member<'_>> {
        let mut members = BTreeMap::new();
        for group in self.scaling_groups() {
            for association in &group.target_groups {
                for instance in &group.instances {
                    let member = Member { scaling_group: &group.name, association };
                    members.entry((&association.group, instance)).or_insert(member);
                }
            }
        }
        members
    }
}

/// How an instance is in a target group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'i> {
    /// The scaling group's name.
    pub scaling_group: &'i Id,
    /// With its port and weight.
    pub association: &'i Association,
}
