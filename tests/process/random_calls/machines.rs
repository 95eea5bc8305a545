//! What an operator knows of machines, and which of them a target is: all of them in the balancer's own network.
//!
//! ```text
//!     10.0.0.5 --whose is it?--> a machine's | an interface's | nobody's | of several, none of which is attached
//!     a target: type, ids, address --stands_for--> Target, or why not
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Last byte of 10.0.0.x.
pub type Address = u8;

/// Instances, interfaces and scaling groups by name, whoever told of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machines {
    pub instances: BTreeMap<&'static str, Instance>,
    pub enis: BTreeMap<&'static str, Eni>,
    pub scaling_groups: BTreeMap<&'static str, ScalingGroup>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub address: Address,
    pub state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eni {
    pub instance: Option<&'static str>,
    pub addresses: BTreeSet<Address>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalingGroup {
    pub instances: BTreeSet<&'static str>,
    /// Target group, port and weight.
    pub target_groups: Vec<(&'static str, u16, u16)>,
}

/// As PUT brings it.
#[derive(Debug, Clone)]
pub enum Record {
    Instance(&'static str, Instance),
    Eni(&'static str, Eni),
    ScalingGroup(&'static str, ScalingGroup),
}

/// A target, and what its group keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub kind: &'static str,
    pub instance: Option<&'static str>,
    /// Its machine was named, and not only its address.
    pub by_id: bool,
    pub eni: Option<&'static str>,
    pub address: Address,
    pub port: u16,
    pub weight: u16,
}

/// A target's name; its port says nothing about machines.
#[derive(Debug, Clone, Default)]
pub struct Name {
    pub kind: &'static str,
    pub instance: Option<&'static str>,
    pub eni: Option<&'static str>,
    pub address: Option<Address>,
}

/// What a name stands for: address, machine, interface.
type Found = (Address, Option<&'static str>, Option<&'static str>);

/// Why a name stands for nothing. None of it may be registered.
#[derive(Debug, PartialEq, Eq)]
pub enum Nothing {
    /// A target that is there already stays as it was.
    ButStays,
    /// A target that is there already waits until its interface has the address again.
    AndWaits,
}

enum Whose {
    Nobodys,
    Instance(&'static str),
    Eni(&'static str),
    Several,
}

impl Machines {
    fn is_released(&self, instance: &str) -> bool {
        self.instances.get(instance).is_some_and(|instance| instance.state == "released")
    }

    fn lives(&self, instance: &str) -> bool {
        self.instances.contains_key(instance) && !self.is_released(instance)
    }

    /// May it be bound by somebody who binds it now?
    pub fn may_be_bound(&self, instance: &str) -> bool {
        self.instances.get(instance).is_none_or(|instance| ["running", "stopped"].contains(&instance.state))
    }

    /// A machine's own address is its own; then come attached interfaces, then those that nobody knows where they are.
    fn whose(&self, address: Address) -> Whose {
        let own = self.instances.iter().find(|(id, one)| one.address == address && !self.is_released(id));
        if let Some((id, _)) = own {
            return Whose::Instance(id);
        }
        let enis = || self.enis.iter().filter(|(_, eni)| eni.addresses.contains(&address));
        if let Some((id, _)) = enis().find(|(_, eni)| eni.instance.is_some()) {
            return Whose::Eni(id);
        }
        match (enis().next(), enis().count()) {
            (Some((id, _)), 1) => Whose::Eni(id),
            (Some(_), _) => Whose::Several,
            (None, _) => Whose::Nobodys,
        }
    }

    pub fn stands_for(&self, name: &Name) -> Result<Found, Nothing> {
        match (name.kind, name.instance, name.eni) {
            ("cvm", _, None) => self.cvm(name),
            ("eni", None, _) => self.eni(name),
            // An id of the other kind; or a data centre, and this balancer does not cross networks.
            _ => Err(Nothing::ButStays),
        }
    }

    fn cvm(&self, name: &Name) -> Result<Found, Nothing> {
        let known = name.instance.and_then(|id| Some((id, self.instances.get(id)?)));
        if let Some((id, instance)) = known {
            let agrees = name.address.is_none_or(|address| address == instance.address);
            return if agrees { Ok((instance.address, Some(id), None)) } else { Err(Nothing::ButStays) };
        }
        let address = name.address.ok_or(Nothing::ButStays)?;
        match self.whose(address) {
            Whose::Nobodys => Ok((address, name.instance, None)),
            Whose::Instance(id) if name.instance.is_none() => Ok((address, Some(id), None)),
            Whose::Instance(_) | Whose::Eni(_) | Whose::Several => Err(Nothing::ButStays),
        }
    }

    fn eni(&self, name: &Name) -> Result<Found, Nothing> {
        if let Some(id) = name.eni.filter(|id| self.enis.contains_key(id)) {
            return self.known_eni(id, name.address);
        }
        let address = name.address.ok_or(Nothing::ButStays)?;
        match self.whose(address) {
            Whose::Nobodys => Ok((address, None, name.eni)),
            Whose::Instance(_) | Whose::Several => Err(Nothing::ButStays),
            Whose::Eni(_) if name.eni.is_some() => Err(Nothing::AndWaits),
            Whose::Eni(id) => self.known_eni(id, Some(address)),
        }
    }

    /// It is attached, and the address is one of its own beside the machine's; where none is named, it has but one.
    fn known_eni(&self, id: &'static str, address: Option<Address>) -> Result<Found, Nothing> {
        let eni = &self.enis[id];
        let instance = eni.instance.ok_or(Nothing::ButStays)?;
        let primary = self.instances[instance].address;
        let mut others = eni.addresses.iter().filter(|other| **other != primary);
        let address = match address {
            Some(address) if address == primary => return Err(Nothing::ButStays),
            Some(address) if !eni.addresses.contains(&address) => return Err(Nothing::AndWaits),
            Some(address) => address,
            None => match (others.next(), others.next()) {
                (Some(only), None) => *only,
                _ => return Err(Nothing::ButStays),
            },
        };
        Ok((address, Some(instance), Some(id)))
    }

    /// What a target that is there stands for by now. A cvm target whose machine was named goes where that is; one whose interface
    /// is forgotten stays as it was.
    pub fn still_stands_for(&self, target: &Target) -> Result<Found, Nothing> {
        let is_forgotten = target.eni.is_some_and(|id| !self.enis.contains_key(id)) && target.instance.is_some();
        if target.kind == "eni" && is_forgotten && matches!(self.whose(target.address), Whose::Nobodys) {
            return Err(Nothing::ButStays);
        }
        let instance = target.instance.filter(|_| target.kind == "cvm" && target.by_id);
        let follows = instance.is_some_and(|id| self.instances.contains_key(id));
        let address = Some(target.address).filter(|_| !follows);
        self.stands_for(&Name { kind: target.kind, instance, eni: target.eni, address })
    }

    /// Its machine was given back, and its interface is not at another one.
    pub fn went_with_its_machine(&self, target: &Target) -> bool {
        let eni = target.eni.and_then(|id| self.enis.get(id));
        target.instance.is_some_and(|id| self.is_released(id)) && eni.is_none_or(|eni| eni.instance.is_none())
    }

    /// Target group and instance of all who are members of a scaling group, with its name, port and weight. Of two scaling
    /// groups the first by name decides.
    pub fn members(&self) -> BTreeMap<(&'static str, &'static str), (&'static str, u16, u16)> {
        let mut members = BTreeMap::new();
        for (name, scaling_group) in &self.scaling_groups {
            for (target_group, port, weight) in &scaling_group.target_groups {
                for instance in &scaling_group.instances {
                    members.entry((*target_group, *instance)).or_insert((*name, *port, *weight));
                }
            }
        }
        members
    }

    /// Refuses what does not fit the others.
    pub fn put(&mut self, record: &Record) -> Result<(), u16> {
        match record {
            Record::Instance(id, instance) => {
                let enis = self.enis.values().filter(|eni| eni.instance == Some(id));
                let mut addresses = enis.flat_map(|eni| &eni.addresses).chain([&instance.address]);
                let clashes = addresses.any(|address| self.is_taken(*address, id, None));
                drop(addresses);
                if instance.state != "released" && clashes {
                    return Err(422);
                }
                self.instances.insert(id, instance.clone());
                if instance.state == "released" {
                    self.let_go(id);
                }
            }
            Record::Eni(id, eni) => {
                let is_known = eni.instance.is_none_or(|instance| self.lives(instance));
                let clashes =
                    |instance| eni.addresses.iter().any(|address| self.is_taken(*address, instance, Some(id)));
                if eni.addresses.is_empty() || !is_known || eni.instance.is_some_and(clashes) {
                    return Err(422);
                }
                self.enis.insert(id, eni.clone());
            }
            Record::ScalingGroup(name, group) => {
                let names: BTreeSet<_> = group.target_groups.iter().map(|(name, ..)| name).collect();
                let are_good = group.target_groups.iter().all(|(_, port, weight)| *port > 0 && *weight <= 100);
                let live = group.instances.iter().all(|instance| self.lives(instance));
                if !live || !are_good || names.len() < group.target_groups.len() {
                    return Err(422);
                }
                self.scaling_groups.insert(name, group.clone());
            }
        }
        Ok(())
    }

    /// By another machine or an interface of one; or, for an interface, by another interface of its machine.
    fn is_taken(&self, address: Address, by: &str, eni: Option<&str>) -> bool {
        let of_machine = |(id, one): (&&str, &Instance)| **id != *by && one.address == address && self.lives(id);
        let of_eni = |(id, one): (&&str, &Eni)| {
            let is_same = eni.map_or(one.instance == Some(by), |eni| **id == *eni);
            !is_same && one.instance.is_some() && one.addresses.contains(&address)
        };
        self.instances.iter().any(of_machine) || self.enis.iter().any(of_eni)
    }

    pub fn let_go(&mut self, instance: &str) {
        self.enis.values_mut().filter(|eni| eni.instance == Some(instance)).for_each(|eni| eni.instance = None);
        self.scaling_groups.values_mut().for_each(|group| group.instances.retain(|member| *member != instance));
    }

    /// A cvm target of the file's is at this address: it must be a machine's or nobody's.
    pub fn is_an_interfaces(&self, address: Address) -> bool {
        matches!(self.whose(address), Whose::Eni(_) | Whose::Several)
    }

    /// The machine whose address it is.
    pub fn machine_at(&self, address: Address) -> Option<&'static str> {
        if let Whose::Instance(id) = self.whose(address) { Some(id) } else { None }
    }

    /// `GET /v1/inventory`.
    pub fn shown(&self, of_file: &Machines) -> Value {
        let with = |record: &Record, is_of_file| {
            let mut shown = record.body();
            shown["managed"] = if is_of_file { "file" } else { "api" }.into();
            if matches!(record, Record::ScalingGroup(..)) {
                shown["name"] = record.id().into();
                shown["health_type"] = "instance".into();
            } else {
                shown["id"] = record.id().into();
            }
            shown
        };
        let instances = self
            .instances
            .iter()
            .map(|(id, instance)| with(&Record::Instance(id, instance.clone()), of_file.instances.contains_key(id)));
        let enis = self.enis.iter().map(|(id, eni)| with(&Record::Eni(id, eni.clone()), of_file.enis.contains_key(id)));
        let scaling_groups = self.scaling_groups.iter().map(|(name, group)| {
            with(&Record::ScalingGroup(name, group.clone()), of_file.scaling_groups.contains_key(name))
        });
        json!({
            "instances": instances.collect::<Vec<_>>(),
            "enis": enis.collect::<Vec<_>>(),
            "scaling_groups": scaling_groups.collect::<Vec<_>>(),
        })
    }
}

impl Record {
    pub fn id(&self) -> &'static str {
        let (Record::Instance(id, _) | Record::Eni(id, _) | Record::ScalingGroup(id, _)) = self;
        id
    }

    /// The list of PATCH that it is in; also what stands before its id in a path.
    pub fn list(&self) -> &'static str {
        match self {
            Record::Instance(..) => "instances",
            Record::Eni(..) => "enis",
            Record::ScalingGroup(..) => "scaling_groups",
        }
    }

    /// As PUT sends it.
    pub fn body(&self) -> Value {
        match self {
            Record::Instance(_, one) => json!({ "address": dotted(one.address), "state": one.state }),
            Record::Eni(_, one) => {
                let addresses: Vec<String> = one.addresses.iter().map(|address| dotted(*address)).collect();
                let mut body = json!({ "addresses": addresses });
                if let Some(instance) = one.instance {
                    body["instance_id"] = instance.into();
                }
                body
            }
            Record::ScalingGroup(_, one) => {
                let group = |(group, port, weight): &(&str, u16, u16)| json!({ "group": group, "port": port, "weight": weight });
                let target_groups: Vec<Value> = one.target_groups.iter().map(group).collect();
                json!({ "instances": one.instances, "target_groups": target_groups })
            }
        }
    }
}

pub fn dotted(address: Address) -> String {
    format!("10.0.0.{address}")
}
