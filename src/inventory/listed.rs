//! The inventory itself: instances, interfaces and scaling groups by id, and whose an address is.
//!
//! Its only way in is `put_...`, which takes a record that fits all others or refuses it, so what the header of `mod.rs`
//! promises holds for whatever comes from a file, a request or a saved state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use super::given::{Record, RecordId, RecordKind, Records};
use super::id::Id;
use super::records::{Eni, Instance, InstanceState, ScalingGroup};
use super::refusal::{Field, Refusal, Why};
use crate::config::{self, limits};

/// All machines, interfaces and scaling groups that are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    instances: BTreeMap<Id, Instance>,
    enis: BTreeMap<Id, Eni>,
    scaling_groups: BTreeMap<Id, ScalingGroup>,
    /// Derived: whose an address is. A released instance has none.
    owners: HashMap<IpAddr, BTreeSet<Owner>>,
}

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The instance's primary one.
    Instance(Id),
    /// One of the interface's.
    Eni(Id),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Instance(id) => write!(f, "instance \"{id}\""),
            Owner::Eni(id) => write!(f, "ENI \"{id}\""),
        }
    }
}

impl Inventory {
    /// The instance of this id.
    #[must_use]
    pub fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances.get(id)
    }

    /// The interface of this id.
    #[must_use]
    pub fn eni(&self, id: &str) -> Option<&Eni> {
        self.enis.get(id)
    }

    /// The scaling group of this name.
    #[must_use]
    pub fn scaling_group(&self, name: &str) -> Option<&ScalingGroup> {
        self.scaling_groups.get(name)
    }

    /// All instances, by id.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// All interfaces, by id.
    pub fn enis(&self) -> impl Iterator<Item = &Eni> {
        self.enis.values()
    }

    /// All scaling groups, by name.
    pub fn scaling_groups(&self) -> impl Iterator<Item = &ScalingGroup> {
        self.scaling_groups.values()
    }

    /// Whose the address is; networks may use the same ones.
    pub fn owners(&self, address: IpAddr) -> impl Iterator<Item = &Owner> {
        self.owners.get(&address).into_iter().flatten()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.enis.is_empty() && self.scaling_groups.is_empty()
    }

    /// Adds an instance, or replaces the one of its id. A released one lets go of its interfaces and scaling groups.
    ///
    /// # Errors
    /// Its address cannot be a machine's, or is another's in its network.
    pub fn put_instance(&mut self, instance: Instance) -> Result<(), Refusal> {
        let address = of_one_machine(instance.address)?;
        if let Some(bandwidth) = instance.bandwidth.filter(|bandwidth| !limits::BANDWIDTH.contains(bandwidth)) {
            let mend = format!("give Mbit/s: {} to {}", limits::BANDWIDTH.start(), limits::BANDWIDTH.end());
            let what = format!("a bandwidth of {bandwidth} is out of range");
            return Err(Refusal::new(Why::OutOfRange, Field::Bandwidth, what, mend));
        }
        if instance.state != InstanceState::Released {
            // Its interfaces go with it to whatever network it is said to be in now.
            let enis = self.enis.values().filter(|eni| eni.instance_id.as_ref() == Some(&instance.id));
            for address in enis.flat_map(|eni| &eni.addresses).chain([&address]) {
                if let Some(other) = self.other_at(*address, &instance) {
                    return Err(taken(*address, other));
                }
            }
        }
        if let Some(before) = self.instances.get(&instance.id) {
            let (address, owner) = (before.address, Owner::Instance(before.id.clone()));
            self.disown(address, &owner);
        }
        if instance.state == InstanceState::Released {
            self.let_go(&instance.id);
        } else {
            self.owners.entry(address).or_default().insert(Owner::Instance(instance.id.clone()));
        }
        self.instances.insert(instance.id.clone(), instance);
        Ok(())
    }

    /// Adds an interface, or replaces the one of its id: that is how it moves to another instance.
    ///
    /// # Errors
    /// Its instance is not known or released, or an address is another's in its network.
    pub fn put_eni(&mut self, eni: Eni) -> Result<(), Refusal> {
        if eni.addresses.is_empty() {
            let (what, mend) = ("an interface has one address at least", "name its private addresses");
            return Err(Refusal::new(Why::NothingNamed, Field::Address, what, mend));
        }
        is_not_longer("addresses", eni.addresses.len(), limits::ENI_ADDRESSES_MAX, Field::Address)?;
        for address in &eni.addresses {
            of_one_machine(*address)?;
        }
        let instance = eni.instance_id.as_ref().map(|id| self.living(id, Field::InstanceId)).transpose()?;
        let others = |owner: &&Owner| match owner {
            Owner::Instance(id) => eni.instance_id.as_ref() != Some(id),
            Owner::Eni(id) => eni.id != *id,
        };
        for address in &eni.addresses {
            let shares_network = |owner: &&Owner| match (instance, self.instance_of(owner)) {
                (Some(one), Some(other)) => same_network(one, other),
                // Nobody knows where a detached one is.
                _ => false,
            };
            if let Some(other) = self.owners(*address).filter(others).find(shares_network) {
                return Err(taken(*address, other));
            }
        }
        if let Some(before) = self.enis.get(&eni.id).cloned() {
            let owner = Owner::Eni(before.id);
            before.addresses.iter().for_each(|address| self.disown(*address, &owner));
        }
        for address in &eni.addresses {
            self.owners.entry(*address).or_default().insert(Owner::Eni(eni.id.clone()));
        }
        self.enis.insert(eni.id.clone(), eni);
        Ok(())
    }

    /// Adds a scaling group, or replaces the one of its name.
    ///
    /// # Errors
    /// An instance of it is not known or released; a target group is named twice, or its port or weight is out of range; its
    /// webhook does not go with its health type.
    pub fn put_scaling_group(&mut self, group: ScalingGroup) -> Result<(), Refusal> {
        group.check_webhook()?;
        is_not_longer("instances", group.instances.len(), limits::GROUP_TARGETS_MAX, Field::Instances)?;
        let target_groups = group.target_groups.len();
        is_not_longer("target_groups", target_groups, limits::SCALING_TARGET_GROUPS_MAX, Field::TargetGroups)?;
        for id in &group.instances {
            self.living(id, Field::Instances)?;
        }
        for (index, association) in group.target_groups.iter().enumerate() {
            let at = |why, what: String, mend: String| Err(Refusal::new(why, Field::TargetGroups, what, mend));
            let name = &association.group;
            if group.target_groups[..index].iter().any(|earlier| earlier.group == *name) {
                return at(Why::Taken, format!("target group \"{name}\" is named twice"), "keep one of the two".into());
            }
            if association.port == 0 {
                let what = format!("target group \"{name}\": port 0 cannot be reached by anyone");
                return at(Why::OutOfRange, what, "choose a port from 1 to 65535".into());
            }
            if !limits::WEIGHT.contains(&association.weight) {
                let what = format!("target group \"{name}\": weight {} is out of range", association.weight);
                let mend = format!("choose {} to {}", limits::WEIGHT.start(), limits::WEIGHT.end());
                return at(Why::OutOfRange, what, mend);
            }
        }
        self.scaling_groups.insert(group.name.clone(), group);
        Ok(())
    }

    /// Forgets an instance, whose interfaces and scaling groups lose it. Returns it where there was one.
    pub fn remove_instance(&mut self, id: &str) -> Option<Instance> {
        let instance = self.instances.remove(id)?;
        self.disown(instance.address, &Owner::Instance(instance.id.clone()));
        self.let_go(&instance.id);
        Some(instance)
    }

    /// Forgets an interface.
    pub fn remove_eni(&mut self, id: &str) -> Option<Eni> {
        let eni = self.enis.remove(id)?;
        let owner = Owner::Eni(eni.id.clone());
        eni.addresses.iter().for_each(|address| self.disown(*address, &owner));
        Some(eni)
    }

    /// Forgets a scaling group.
    pub fn remove_scaling_group(&mut self, name: &str) -> Option<ScalingGroup> {
        self.scaling_groups.remove(name)
    }

    /// All records: instances, interfaces, scaling groups.
    pub fn iter(&self) -> impl Iterator<Item = Record> {
        let instances = self.instances().cloned().map(Record::Instance);
        let enis = self.enis().cloned().map(Record::Eni);
        instances.chain(enis).chain(self.scaling_groups().cloned().map(Record::ScalingGroup))
    }

    /// Any record.
    #[must_use]
    pub fn get(&self, which: &RecordId) -> Option<Record> {
        match which.kind {
            RecordKind::Instance => self.instances.get(&which.id).cloned().map(Record::Instance),
            RecordKind::Eni => self.enis.get(&which.id).cloned().map(Record::Eni),
            RecordKind::ScalingGroup => self.scaling_groups.get(&which.id).cloned().map(Record::ScalingGroup),
        }
    }

    /// Adds any record, or replaces the one of its id.
    ///
    /// # Errors
    /// It does not fit the others.
    pub fn put(&mut self, record: Record) -> Result<(), Refusal> {
        match record {
            Record::Instance(instance) => self.put_instance(instance),
            Record::Eni(eni) => self.put_eni(eni),
            Record::ScalingGroup(group) => self.put_scaling_group(group),
        }
    }

    /// Forgets any record.
    pub fn remove(&mut self, which: &RecordId) {
        match which.kind {
            RecordKind::Instance => drop(self.remove_instance(&which.id)),
            RecordKind::Eni => drop(self.remove_eni(&which.id)),
            RecordKind::ScalingGroup => drop(self.remove_scaling_group(&which.id)),
        }
    }

    /// Adds records of another giver, such as the API's to the file's. What is here already stays as it is. What does not fit it is
    /// left out and returned: a whole record, or only its instances that are not there, so that one instance takes no other
    /// along.
    pub fn merge(&mut self, records: &Records) -> Vec<(RecordId, Refusal)> {
        let mut refused = Vec::new();
        for mut record in records.iter() {
            let which = record.which();
            if self.get(&which).is_some() {
                continue;
            }
            let gone = self.without_those_that_are_gone(&mut record);
            let put = self.put(record);
            refused.extend(gone.into_iter().chain(put.err()).map(|refusal| (which.clone(), refusal)));
        }
        refused
    }

    /// An interface is then attached to none, a scaling group smaller.
    fn without_those_that_are_gone(&self, record: &mut Record) -> Vec<Refusal> {
        let mut gone = Vec::new();
        let mut is_gone = |id: &Id, field| self.living(id, field).map_err(|refusal| gone.push(refusal)).is_err();
        match record {
            Record::Instance(_) => {}
            Record::Eni(eni) => eni.instance_id = eni.instance_id.take().filter(|id| !is_gone(id, Field::InstanceId)),
            Record::ScalingGroup(group) => group.instances.retain(|id| !is_gone(id, Field::Instances)),
        }
        gone
    }

    /// The instance that an owner is, or is attached to.
    pub(super) fn instance_of(&self, owner: &Owner) -> Option<&Instance> {
        match owner {
            Owner::Instance(id) => self.instances.get(id),
            Owner::Eni(id) => self.instances.get(self.enis.get(id)?.instance_id.as_ref()?),
        }
    }

    /// Who else has the address in the instance's network. Its own interfaces may.
    fn other_at(&self, address: IpAddr, instance: &Instance) -> Option<&Owner> {
        let shares_network = |owner: &&Owner| {
            self.instance_of(owner).is_some_and(|other| other.id != instance.id && same_network(other, instance))
        };
        self.owners(address).find(shares_network)
    }

    fn living(&self, id: &Id, field: Field) -> Result<&Instance, Refusal> {
        match self.instances.get(id) {
            None => {
                let mend = "add the instance first";
                Err(Refusal::new(Why::UnknownInstance, field, format!("there is no instance \"{id}\""), mend))
            }
            Some(instance) if instance.state == InstanceState::Released => {
                let what = format!("instance \"{id}\" is released");
                Err(Refusal::new(Why::Released, field, what, "name another one, or none"))
            }
            Some(instance) => Ok(instance),
        }
    }

    fn let_go(&mut self, instance: &Id) {
        for eni in self.enis.values_mut().filter(|eni| eni.instance_id.as_ref() == Some(instance)) {
            eni.instance_id = None;
        }
        for group in self.scaling_groups.values_mut() {
            group.instances.remove(instance);
        }
    }

    fn disown(&mut self, address: IpAddr, owner: &Owner) {
        let Some(owners) = self.owners.get_mut(&address) else { return };
        owners.remove(owner);
        if owners.is_empty() {
            self.owners.remove(&address);
        }
    }
}

/// As typed: in another network the same addresses mean other machines.
fn same_network(one: &Instance, other: &Instance) -> bool {
    one.region == other.region && one.network == other.network
}

fn of_one_machine(address: IpAddr) -> Result<IpAddr, Refusal> {
    config::check_unicast(address)
        .map_err(|wrong| Refusal::new(Why::NotAMachine, Field::Address, wrong.what, wrong.mend))
}

fn is_not_longer(what: &str, count: usize, most: usize, field: Field) -> Result<(), Refusal> {
    if count <= most {
        return Ok(());
    }
    Err(Refusal::new(Why::OutOfRange, field, format!("{what} has {count} entries"), format!("give at most {most}")))
}

fn taken(address: IpAddr, by: &Owner) -> Refusal {
    let mend = "give each its own, or name the network that it is in";
    Refusal::new(Why::Taken, Field::Address, format!("{address} is an address of {by} already"), mend)
}
