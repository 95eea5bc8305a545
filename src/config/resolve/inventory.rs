//! `[[instance]]`, `[[eni]]`, `[[scaling_group]]`, and the targets that they give their addresses (requirements G3 to G9).
//!
//! A target whose name is good gets the address that it stands for, and from then on reads as if it had been typed. One whose
//! instance is released or has expired, or whose interface another source than the file says is detached, is left out
//! instead: that comes about without anybody's touching the file, which must not keep the balancer from starting.

use std::net::IpAddr;
use std::time::SystemTime;

use super::{FirstSeen, value_or};
use crate::config::error::{Report, Wrong, did_you_mean, quoted};
use crate::config::raw::{At, RawBalancer, RawGroup, RawInventory, RawRecord, RawTarget};
use crate::config::snapshot::{Managed, TargetKind};
use crate::config::{Mode, limits};
use crate::inventory::{
    Addresses, Bound, CrossRegion, Door, Eni, Id, Inventory, Place, Refusal, ScalingGroup, TargetName, Why, bind,
    outlives_release, pass, rebind,
};

/// Where the balancer is and what it may reach (requirements G4 to G6).
pub(super) fn place(raw: &RawBalancer, mode: Mode, report: &Report<'_>) -> Place {
    let at = |line, key: &str, what: &str, mend: &str| {
        report.at(line, format!("[balancer]: {key}"), Wrong::new(what, mend));
    };
    let cross_network = value_or(raw.cross_network.as_ref(), false);
    let cross_region = value_or(raw.cross_region.as_ref(), CrossRegion::default());
    if let Some(given) = raw.cross_region.as_ref().filter(|given| given.value != CrossRegion::Off) {
        if raw.region.is_none() {
            let what = "without a region of the balancer's own none is another one";
            at(given.line, "cross_region", what, "add region = \"name of its region\"");
        }
        if given.value == CrossRegion::Single && cross_network {
            let what = "\"single\" and cross_network exclude each other";
            at(given.line, "cross_region", what, "set cross_region = \"multi\", or remove cross_network");
        }
    }
    if let Some(first) = raw.snat_addresses.first().filter(|_| !cross_network) {
        let what = "only connections to \"idc\" targets leave from it, and those need cross_network";
        at(first.line, "snat_addresses", what, "add cross_network = true, or remove it");
    }
    Place {
        region: raw.region.as_ref().map(|region| region.value.clone()),
        network: raw.network.as_ref().map(|network| network.value.clone()),
        cross_network,
        cross_region,
        addresses: match (value_or(raw.allow_public_targets.as_ref(), false), mode) {
            (true, _) => Addresses::Any,
            (false, Mode::Demo) => Addresses::PrivateOrLoopback,
            (false, Mode::Run) => Addresses::Private,
        },
        snat_addresses: snat_addresses(&raw.snat_addresses, report),
    }
}

/// Requirement G5.
fn snat_addresses(raw: &[At<IpAddr>], report: &Report<'_>) -> Vec<IpAddr> {
    let at = |line, wrong| report.at(line, "[balancer]: snat_addresses", wrong);
    let mut seen = FirstSeen::default();
    for address in raw {
        if let Some(first_line) = seen.before(address.value, address.line) {
            let what = format!("{} is listed twice (line {first_line})", address.value);
            at(address.line, Wrong::new(what, "list each address once"));
        }
    }
    if let Some(first_too_many) = raw.get(limits::SNAT_ADDRESSES_MAX) {
        let mend = format!("list at most {}", limits::SNAT_ADDRESSES_MAX);
        at(first_too_many.line, Wrong::new(format!("there are {} addresses", raw.len()), mend));
    }
    raw.iter().map(|address| address.value).collect()
}

/// The records that fit each other; the others are reported.
pub(super) fn inventory(raw: &RawInventory, report: &Report<'_>) -> Inventory {
    let mut inventory = Inventory::default();
    put(&raw.instances, report, |new| {
        not_there_yet(inventory.instance(&new.id).is_some(), "instance", &new.id)?;
        inventory.put_instance(new.clone())
    });
    put(&raw.enis, report, |new| {
        not_there_yet(inventory.eni(&new.id).is_some(), "ENI", &new.id)?;
        inventory.put_eni(new.clone())
    });
    put(&raw.scaling_groups, report, |new| {
        not_there_yet(inventory.scaling_group(&new.name).is_some(), "scaling group", &new.name)?;
        inventory.put_scaling_group(new.clone())
    });
    inventory
}

fn put<T>(records: &[RawRecord<T>], report: &Report<'_>, mut put: impl FnMut(&T) -> Result<(), Refusal>) {
    for RawRecord { place, line, record } in records {
        if let Err(refusal) = put(record) {
            report.at(*line, place.as_str(), refusal.into());
        }
    }
}

fn not_there_yet(is_there: bool, kind: &str, id: &Id) -> Result<(), Refusal> {
    if !is_there {
        return Ok(());
    }
    let (what, mend) = (format!("there is another {kind} called \"{id}\""), "give each its own".to_owned());
    Err(Refusal { why: Why::Taken, field: crate::inventory::Field::Id, what, mend })
}

/// Gives targets the addresses that their names stand for.
pub(super) struct Binder<'b> {
    /// The file's, and what is known beside it.
    pub inventory: &'b Inventory,
    pub of_file: &'b RawInventory,
    pub place: &'b Place,
    pub now: SystemTime,
    pub report: &'b Report<'b>,
}

/// Whether a target stays in its group.
#[derive(PartialEq, Eq)]
enum Fate {
    Stays,
    LeftOut,
}

impl Binder<'_> {
    /// Binds what the file lists, and then the members of its scaling groups.
    pub fn bind(&self, groups: &mut [RawGroup]) {
        let scaling_groups = &self.of_file.scaling_groups;
        for group in groups.iter_mut() {
            self.is_listed_where_it_may_be(group);
            group.targets.retain_mut(|target| self.bind_one(target) == Fate::Stays);
        }
        scaling_groups.iter().for_each(|record| self.names_target_groups(record, groups));
        for ((target_group, instance), member) in self.inventory.members() {
            let Some(group) = groups.iter_mut().find(|group| is_called(group, target_group)) else { continue };
            let names_it = |record: &&RawRecord<ScalingGroup>| record.record.name == *member.scaling_group;
            let Some(RawRecord { place, line, .. }) = scaling_groups.iter().find(names_it) else { continue };
            let (instance, port, weight) = (instance.clone(), member.association.port, member.association.weight);
            let place = format!("{place}: instance \"{instance}\"");
            let mut target = RawTarget::of_instance(place, *line, instance, port, weight);
            if self.bind_one(&mut target) == Fate::Stays && !has(group, &target) {
                group.targets.push(target);
            }
        }
    }

    /// Requirement G6.
    pub fn door(&self, before: Door, groups: &[RawGroup], cross_region: Option<&At<CrossRegion>>) -> Door {
        let in_a_region = |target: &&RawTarget| target.kind() != TargetKind::Idc && target.bound.is_some();
        let targets: Vec<&RawTarget> = groups.iter().flat_map(|group| &group.targets).filter(in_a_region).collect();
        let regions = targets.iter().map(|target| target.bound.as_ref().and_then(|bound| bound.region.as_deref()));
        pass(self.place, before, regions).unwrap_or_else(|(index, refusal)| {
            let (line, place) = match index {
                Some(index) => (targets[index].line, targets[index].place.as_str()),
                None => (cross_region.map_or(1, |given| given.line), "[balancer]: cross_region"),
            };
            self.report.at(line, place, refusal.into());
            before
        })
    }

    fn bind_one(&self, target: &mut RawTarget) -> Fate {
        if !target.name_is_good {
            return Fate::Stays;
        }
        let name = target.name();
        let bound = match bind(self.inventory, self.place, &name, self.now) {
            Ok(bound) => bound,
            Err(refusal) => match self.stays_bound(&name, refusal.why) {
                Some(bound) => bound,
                None if self.is_left_out(&name, refusal.why) => {
                    self.report.note(target.line, target.place.as_str(), refusal.into());
                    return Fate::LeftOut;
                }
                None => {
                    let place = format!("{}: {}", target.place, refusal.field.as_str());
                    self.report.at(target.line_of(refusal.field), place, refusal.into());
                    return Fate::Stays;
                }
            },
        };
        let line = target.address.as_ref().map_or(target.line, |address| address.line);
        target.address = Some(At { value: bound.address, line });
        target.bound = Some(bound);
        Fate::Stays
    }

    /// Where an instance is not as it must be for binding, a target may be bound all the same: of a released one by requirement
    /// G8; else where that is known from beside the file, which must not turn a good file into a bad one.
    fn stays_bound(&self, name: &TargetName, why: Why) -> Option<Bound> {
        let bound = rebind(self.inventory, self.place, name).ok()?;
        let is_of_file = |id: &Id| self.of_file.instances.iter().any(|instance| instance.record.id == *id);
        let stays = match why {
            Why::Released => outlives_release(self.place, bound.region.as_deref()),
            _ => !bound.instance.as_ref().is_some_and(is_of_file),
        };
        stays.then_some(bound)
    }

    /// Whether it may have come about without anybody's touching the file.
    fn is_left_out(&self, name: &TargetName, why: Why) -> bool {
        let names_it = |eni: &Eni| {
            name.eni_id.as_ref() == Some(&eni.id)
                || name.address.is_some_and(|address| eni.addresses.contains(&address))
        };
        match why {
            Why::Released | Why::Expired => true,
            Why::Detached => !self.of_file.enis.iter().any(|eni| names_it(&eni.record)),
            _ => false,
        }
    }

    fn names_target_groups(&self, record: &RawRecord<ScalingGroup>, groups: &[RawGroup]) {
        for association in &record.record.target_groups {
            let name = &association.group;
            if groups.iter().any(|group| is_called(group, name)) {
                continue;
            }
            let known = groups.iter().filter_map(|group| Some(&*group.name.as_ref()?.value));
            let mend = did_you_mean(name, known, || "add a [[target_group]] of this name".to_owned());
            let wrong = Wrong::new(format!("there is no target group {}", quoted(name)), mend);
            self.report.at(record.line, format!("{}: target_groups", record.place), wrong);
        }
    }

    fn is_listed_where_it_may_be(&self, group: &RawGroup) {
        let Some(target) = group.targets.first() else { return };
        if group.managed.as_ref().is_some_and(|managed| managed.value == Managed::Api) {
            let wrong = Wrong::new(
                "the targets of this group are bound by the API (managed = \"api\")",
                "remove those of the file, or remove managed",
            );
            self.report.at(target.line, target.place.as_str(), wrong);
        }
    }
}

fn is_called(group: &RawGroup, name: &Id) -> bool {
    group.name.as_ref().is_some_and(|given| *given.value == **name)
}

/// Whether the group has the target already.
fn has(group: &RawGroup, target: &RawTarget) -> bool {
    group.targets.iter().any(|other| other.socket_address() == target.socket_address())
}
