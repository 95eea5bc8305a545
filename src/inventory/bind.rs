//! From a target's name to the address it stands for, or why it may not be bound (requirements G2 to G7).
//!
//!     name: type, ids, address --found--> machine, address --reached?--> place --eligible?--> Bound
//!
//! A machine that the inventory does not know is taken at its word: it is beside the balancer, and its id is a label. So a
//! config without an inventory means what it says, and one with an inventory cannot contradict it.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::id::Id;
use super::listed::{Inventory, Owner};
use super::place::{Place, Spot};
use super::reach::{may_be_bound, may_be_reached};
use super::records::{Eni, Instance};
use super::refusal::{Field, Refusal, Why};
use crate::config::{self, TargetKind};

/// A target as it is named: by an id, an address or both (requirement G3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetName {
    /// What its address is.
    #[serde(rename = "type", default = "cvm")]
    pub kind: TargetKind,
    /// The instance, of a cvm target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<Id>,
    /// The interface, of an eni target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eni_id: Option<Id>,
    /// The address, which an idc target must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

fn cvm() -> TargetKind {
    TargetKind::Cvm
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Where it answers.
    pub address: IpAddr,
    /// Its region; that of an idc target is not known.
    pub region: Option<Id>,
    /// Its network; that of an idc target is not known.
    pub network: Option<Id>,
    /// Its zone, where the inventory knows it.
    pub zone: Option<Id>,
    /// The machine: the instance itself, or the one that the interface is attached to.
    pub instance: Option<Id>,
    /// The interface of an eni target.
    pub eni: Option<Id>,
}

/// Binds a target: what it stands for, where it may be reached from here and its instance may be bound at `now`.
///
/// # Errors
/// Which of the requirements G2 to G7 is against it.
pub fn bind(inventory: &Inventory, place: &Place, name: &TargetName, now: SystemTime) -> Result<Bound, Refusal> {
    let found = find(inventory, place, name)?;
    may_be_reached(place, name, &found)?;
    if let Some(instance) = found.instance {
        may_be_bound(instance, found.named_by, now)?;
    }
    Ok(found.bound())
}

/// As `bind`, of a target that is bound already: what its instance has come to be since does not unbind it.
///
/// # Errors
/// Which of the requirements G2 to G6 is against it, or that it cannot be found any more.
pub fn rebind(inventory: &Inventory, place: &Place, name: &TargetName) -> Result<Bound, Refusal> {
    let found = find(inventory, place, name)?;
    may_be_reached(place, name, &found)?;
    Ok(found.bound())
}

/// The machine and the address that a name stands for.
pub(super) struct Found<'i> {
    pub address: IpAddr,
    /// Where the inventory knows it.
    pub instance: Option<&'i Instance>,
    /// The id as named, where the inventory does not know it.
    pub instance_label: Option<&'i Id>,
    pub eni: Option<&'i Id>,
    pub spot: Spot<'i>,
    /// What errors point at.
    pub named_by: Field,
}

impl Found<'_> {
    fn bound(self) -> Bound {
        Bound {
            address: self.address,
            region: self.spot.region.cloned(),
            network: self.spot.network.cloned(),
            zone: self.spot.zone.cloned(),
            instance: self.instance.map(|instance| &instance.id).or(self.instance_label).cloned(),
            eni: self.eni.cloned(),
        }
    }
}

fn find<'i>(inventory: &'i Inventory, place: &'i Place, name: &'i TargetName) -> Result<Found<'i>, Refusal> {
    has_no_stray_id(name)?;
    if let Some(address) = name.address {
        config::check_unicast(address)
            .map_err(|wrong| Refusal::new(Why::NotAMachine, Field::Address, wrong.what, wrong.mend))?;
    }
    match name.kind {
        TargetKind::Cvm => find_cvm(inventory, place, name),
        TargetKind::Eni => find_eni(inventory, place, name),
        TargetKind::Idc => find_idc(inventory, place, name),
    }
}

fn has_no_stray_id(name: &TargetName) -> Result<(), Refusal> {
    let ids = [
        (&name.instance_id, TargetKind::Cvm, "cvm", Field::InstanceId),
        (&name.eni_id, TargetKind::Eni, "eni", Field::EniId),
    ];
    for (id, kind, owner, field) in ids {
        if id.is_some() && name.kind != kind {
            let what = format!("only targets of type \"{owner}\" have it");
            return Err(Refusal::new(Why::StrayId, field, what, format!("remove it, or set type = \"{owner}\"")));
        }
    }
    Ok(())
}

fn find_cvm<'i>(inventory: &'i Inventory, place: &'i Place, name: &'i TargetName) -> Result<Found<'i>, Refusal> {
    if let Some(instance) = name.instance_id.as_ref().and_then(|id| inventory.instance(id)) {
        return match name.address {
            Some(address) if address != instance.address => Err(not_its_primary(inventory, instance, address)),
            _ => Ok(found_instance(place, instance, Field::InstanceId)),
        };
    }
    let address = named_address(name)?;
    match owner_of(inventory, place, address)? {
        None => Ok(taken_at_its_word(place, name, address)),
        Some(Owner::Eni(eni)) => {
            let what = format!("{address} is an address of ENI \"{eni}\", not a machine's primary one");
            Err(Refusal::new(Why::WrongType, Field::Address, what, "set type = \"eni\""))
        }
        Some(Owner::Instance(id)) => {
            other_id_is_not_named(name.instance_id.as_ref(), "instance", address, id, Field::InstanceId)?;
            let instance = inventory.instance(id);
            Ok(instance.map_or_else(
                || taken_at_its_word(place, name, address),
                |instance| found_instance(place, instance, Field::Address),
            ))
        }
    }
}

fn find_eni<'i>(inventory: &'i Inventory, place: &'i Place, name: &'i TargetName) -> Result<Found<'i>, Refusal> {
    if let Some(eni) = name.eni_id.as_ref().and_then(|id| inventory.eni(id)) {
        return found_eni(inventory, place, eni, name.address, Field::EniId);
    }
    let address = named_address(name)?;
    match owner_of(inventory, place, address)? {
        None => Ok(taken_at_its_word(place, name, address)),
        Some(Owner::Instance(id)) => Err(is_primary(address, id, Field::Address)),
        Some(Owner::Eni(id)) => {
            other_id_is_not_named(name.eni_id.as_ref(), "ENI", address, id, Field::EniId)?;
            match inventory.eni(id) {
                Some(eni) => found_eni(inventory, place, eni, Some(address), Field::Address),
                None => Ok(taken_at_its_word(place, name, address)),
            }
        }
    }
}

/// A machine beside the balancer is none in a data centre.
fn find_idc<'i>(inventory: &'i Inventory, place: &'i Place, name: &'i TargetName) -> Result<Found<'i>, Refusal> {
    let address = named_address(name)?;
    let beside = inventory.owners(address).find(|owner| is_beside(inventory, place, owner));
    if let Some(owner) = beside {
        let kind = if matches!(owner, Owner::Eni(_)) { "eni" } else { "cvm" };
        let what = format!("{address} is an address of {owner} in the balancer's own network");
        return Err(Refusal::new(Why::WrongType, Field::Type, what, format!("set type = \"{kind}\"")));
    }
    let spot = Spot { region: None, network: None, zone: None };
    Ok(Found { address, instance: None, instance_label: None, eni: None, spot, named_by: Field::Address })
}

fn found_instance<'i>(place: &'i Place, instance: &'i Instance, named_by: Field) -> Found<'i> {
    Found {
        address: instance.address,
        instance: Some(instance),
        instance_label: None,
        eni: None,
        spot: place.spot_of(instance),
        named_by,
    }
}

fn found_eni<'i>(
    inventory: &'i Inventory,
    place: &'i Place,
    eni: &'i Eni,
    address: Option<IpAddr>,
    named_by: Field,
) -> Result<Found<'i>, Refusal> {
    let id = &eni.id;
    let Some(instance) = eni.instance_id.as_ref().and_then(|id| inventory.instance(id)) else {
        let (what, mend) = (format!("ENI \"{id}\" is attached to no instance"), "attach it first");
        return Err(Refusal::new(Why::Detached, named_by, what, mend));
    };
    let address = match address {
        Some(address) if address == instance.address => return Err(is_primary(address, &instance.id, Field::Address)),
        Some(address) if !eni.addresses.contains(&address) => {
            let what = format!("{address} is not an address of ENI \"{id}\", which has {}", listed(&eni.addresses));
            let mend = "remove one of the two, or correct it";
            return Err(Refusal::new(Why::Disagreement, Field::Address, what, mend));
        }
        Some(address) => address,
        None => only_address(eni, instance)?,
    };
    let spot = place.spot_of(instance);
    Ok(Found { address, instance: Some(instance), instance_label: None, eni: Some(id), spot, named_by })
}

fn only_address(eni: &Eni, instance: &Instance) -> Result<IpAddr, Refusal> {
    let id = &eni.id;
    let mut others = eni.addresses.iter().filter(|address| **address != instance.address);
    match (others.next(), others.next()) {
        (Some(only), None) => Ok(*only),
        (Some(_), Some(_)) => {
            let what = format!("ENI \"{id}\" has several addresses: {}", listed(&eni.addresses));
            Err(Refusal::new(Why::Ambiguous, Field::EniId, what, "add address = the one that is meant"))
        }
        (None, _) => Err(is_primary(instance.address, &instance.id, Field::EniId)),
    }
}

/// The inventory does not know it: it is beside the balancer, and its id says who it is.
fn taken_at_its_word<'i>(place: &'i Place, name: &'i TargetName, address: IpAddr) -> Found<'i> {
    Found {
        address,
        instance: None,
        instance_label: name.instance_id.as_ref(),
        eni: name.eni_id.as_ref(),
        spot: place.own_spot(),
        named_by: Field::Address,
    }
}

/// Whose an address is that is all there is to go by. Beside the balancer comes first: networks may use the same addresses.
fn owner_of<'i>(inventory: &'i Inventory, place: &Place, address: IpAddr) -> Result<Option<&'i Owner>, Refusal> {
    let (beside, elsewhere): (Vec<_>, Vec<_>) =
        inventory.owners(address).partition(|owner| is_beside(inventory, place, owner));
    let of_nearest = if beside.is_empty() { elsewhere } else { beside };
    // An instance's primary interface has its address too: that is the instance's.
    let machine = |owner: &Owner| inventory.instance_of(owner).map(|instance| &instance.id);
    match of_nearest.as_slice() {
        [] => Ok(None),
        [first, rest @ ..] if rest.iter().all(|other| machine(first).is_some() && machine(other) == machine(first)) => {
            Ok(Some(first))
        }
        several => {
            let whose: Vec<_> = several.iter().map(ToString::to_string).collect();
            let what = format!("{address} is an address of {}", whose.join(" and of "));
            Err(Refusal::new(Why::Ambiguous, Field::Address, what, "name the instance or the ENI by its id"))
        }
    }
}

fn is_beside(inventory: &Inventory, place: &Place, owner: &Owner) -> bool {
    inventory.instance_of(owner).is_some_and(|instance| place.is_beside(place.spot_of(instance)))
}

fn named_address(name: &TargetName) -> Result<IpAddr, Refusal> {
    if let Some(address) = name.address {
        return Ok(address);
    }
    let mend = "add it to the inventory, or give the target's address too";
    match (&name.instance_id, &name.eni_id) {
        (Some(id), _) => {
            let what = format!("the inventory has no instance \"{id}\" to look its address up");
            Err(Refusal::new(Why::UnknownInstance, Field::InstanceId, what, mend))
        }
        (None, Some(id)) => {
            let what = format!("the inventory has no ENI \"{id}\" to look its address up");
            Err(Refusal::new(Why::UnknownEni, Field::EniId, what, mend))
        }
        (None, None) => Err(Refusal::new(Why::NothingNamed, Field::Address, "missing", "add address = \"10.0.0.5\"")),
    }
}

fn other_id_is_not_named(
    named: Option<&Id>,
    kind: &str,
    address: IpAddr,
    owner: &Id,
    field: Field,
) -> Result<(), Refusal> {
    match named {
        Some(named) if named != owner => {
            let what = format!("{address} is an address of {kind} \"{owner}\", not of \"{named}\"");
            Err(Refusal::new(Why::Disagreement, field, what, "remove one of the two, or correct it"))
        }
        _ => Ok(()),
    }
}

fn not_its_primary(inventory: &Inventory, instance: &Instance, address: IpAddr) -> Refusal {
    let id = &instance.id;
    let its_eni = inventory.owners(address).find_map(|owner| match owner {
        Owner::Eni(eni) if inventory.instance_of(owner).is_some_and(|other| other.id == *id) => Some(eni),
        _ => None,
    });
    let what = format!("the primary address of instance \"{id}\" is {}, not {address}", instance.address);
    match its_eni {
        Some(eni) => {
            let mend = format!("bind {address} as type = \"eni\", eni_id = \"{eni}\"");
            Refusal::new(Why::WrongType, Field::Address, what, mend)
        }
        None => Refusal::new(Why::Disagreement, Field::Address, what, "remove one of the two, or correct it"),
    }
}

fn is_primary(address: IpAddr, instance: &Id, field: Field) -> Refusal {
    let what = format!("{address} is the primary address of instance \"{instance}\"");
    Refusal::new(Why::WrongType, field, what, format!("set type = \"cvm\" and instance_id = \"{instance}\""))
}

fn listed<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    addresses.into_iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}
