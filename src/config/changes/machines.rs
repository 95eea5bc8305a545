//! Changes of the inventory, and what they make of targets that were registered (requirements G8, G9).

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::over::Scene;
use super::request::shown;
use super::{Changes, Refused};
use crate::config::limits;
use crate::config::snapshot::{Snapshot, TargetKind};
use crate::inventory::{
    self, Bound, Fate, Instance, InstanceState, Inventory, Place, Record, RecordId, RecordKind, TargetName, fate,
};

impl Changes {
    pub(super) fn put(&self, base: &Snapshot, records: &[Record], now: SystemTime) -> Result<Changes, Refused> {
        if records.is_empty() {
            let message = "there is no record".to_owned();
            return Err(Refused::invalid(message, "give one of instances, enis or scaling_groups at least"));
        }
        let mut inventory = Inventory::clone(&base.inventory);
        let mut changes = self.clone();
        let mut seen = HashSet::new();
        for record in records {
            let which = record.which();
            if !seen.insert(which.clone()) {
                return Err(Refused::invalid(format!("{which} is there twice"), "give each once"));
            }
            not_the_files(base, &which)?;
            if let Record::ScalingGroup(group) = record {
                base.check_webhook(group).map_err(|refusal| Refused::from(refusal).of_record(&which))?;
                for association in &group.target_groups {
                    if !base.groups.iter().any(|known| *known.name == *association.group) {
                        let message =
                            format!("{which}: target_groups: there is no target group {}", shown(&association.group));
                        return Err(Refused::invalid(message, "GET /v1/target-groups lists them"));
                    }
                }
            }
            inventory.put(record.clone()).map_err(|refusal| Refused::from(refusal).of_record(&which))?;
            changes.records.put(record.clone());
            if let Record::Instance(Instance { id, state: InstanceState::Released, .. }) = record {
                changes.records.let_go(id);
            }
        }
        let size = changes.records.size();
        if size > limits::RECORDS_MAX {
            let message =
                format!("the API's records and what they list would be {size}, and {} are kept", limits::RECORDS_MAX);
            return Err(Refused::conflict(message, "DELETE those that are gone; the config file takes more"));
        }
        may_join(base, &inventory, now)?;
        changes.settle(&inventory, &base.balancer.place());
        changes.take_weights_along(base, inventory);
        Ok(changes)
    }

    pub(super) fn forget(&self, base: &Snapshot, which: &RecordId) -> Result<Changes, Refused> {
        not_the_files(base, which)?;
        if !self.records.contains(which) {
            let message = format!("the inventory has no {which}");
            return Err(Refused::not_found(message, "GET /v1/inventory lists what it has"));
        }
        let mut inventory = Inventory::clone(&base.inventory);
        let mut changes = self.clone();
        if which.kind == RecordKind::Instance
            && let Some(instance) = inventory.instance(&which.id).cloned()
        {
            // Whoever forgets a machine has given it back.
            let released = Instance { state: InstanceState::Released, ..instance };
            inventory.put_instance(released).map_err(|refusal| Refused::from(refusal).of_record(which))?;
            changes.settle(&inventory, &base.balancer.place());
        }
        inventory.remove(which);
        changes.records.remove(which);
        if which.kind == RecordKind::Instance {
            changes.records.let_go(&which.id);
        }
        changes.take_weights_along(base, inventory);
        Ok(changes)
    }

    /// The weight that the API gave a member of a scaling group is the machine's: it goes where that goes, and with it.
    fn take_weights_along(&mut self, base: &Snapshot, inventory: Inventory) {
        if self.groups.values().all(|changes| changes.weights.is_empty()) {
            return;
        }
        let after = Snapshot { inventory: Arc::new(inventory), ..base.clone() };
        let (before, after) = (Scene::of(base), Scene::of(&after));
        for group in &base.groups {
            let Some(changes) = self.groups.get_mut(&group.name) else { continue };
            let now: HashMap<_, _> =
                after.members(group).map(|joined| ((joined.id, joined.address.port()), joined.address)).collect();
            let of_file: HashSet<SocketAddr> = group.targets.iter().map(|target| target.address).collect();
            let mut taken = Vec::new();
            for joined in before.members(group).filter(|joined| !of_file.contains(&joined.address)) {
                let now = now.get(&(joined.id, joined.address.port()));
                if now != Some(&joined.address)
                    && let Some(weight) = changes.weights.remove(&joined.address)
                {
                    taken.extend(now.map(|now| (*now, weight)));
                }
            }
            changes.weights.extend(taken);
        }
        self.forget_empty_groups();
    }

    /// Takes down what the inventory of now makes of the API's targets: those of a released instance are unbound for good
    /// (requirement G8), others have the address that their machine has now.
    pub(super) fn settle(&mut self, inventory: &Inventory, place: &Place) {
        for group in self.groups.values_mut() {
            group.targets.retain_mut(|target| match fate(inventory, place, &target.held()) {
                Fate::Released => false,
                Fate::Bound(Bound { address, region, network, instance, eni, .. }) => {
                    target.address = SocketAddr::new(address, target.address.port());
                    (target.region, target.network) = (region, network);
                    (target.instance_id, target.eni_id) = (instance, eni);
                    true
                }
                Fate::AsItWas | Fate::Barred(_) => true,
            });
        }
        self.forget_empty_groups();
    }
}

fn not_the_files(base: &Snapshot, which: &RecordId) -> Result<(), Refused> {
    match base.inventory_of_file.get(which) {
        Some(_) => Err(Refused::conflict(format!("{which} belongs to the config file"), "change it there and reload")),
        None => Ok(()),
    }
}

/// Requirement G7, of instances that join target groups beside `inventory` and are in none beside `base`.
///
/// # Errors
/// The first that may not be bound.
pub fn may_join(base: &Snapshot, inventory: &Inventory, now: SystemTime) -> Result<(), Refused> {
    let (before, place) = (base.inventory.members(), base.balancer.place());
    for ((group, instance), member) in inventory.members() {
        if before.contains_key(&(group, instance)) {
            continue;
        }
        let name =
            TargetName { kind: TargetKind::Cvm, instance_id: Some(instance.clone()), eni_id: None, address: None };
        inventory::bind(inventory, &place, &name, now).map_err(|refusal| {
            let which = RecordId { kind: RecordKind::ScalingGroup, id: member.scaling_group.clone() };
            let refused = Refused::from(refusal);
            let message = format!("instance \"{instance}\" cannot join target group \"{group}\": {}", refused.message);
            Refused { message, ..refused }.of_record(&which)
        })?;
    }
    Ok(())
}
