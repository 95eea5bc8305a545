//! What the file says, with what the API changed in it: who is in which group, and who has to wait.
//!
//!     the file's targets, weighed --.
//!     the API's, as the inventory ---+--> TargetGroup     not where the balancer may send? a listener that sends there?
//!       of now has them             |                     there already? --> Waiting, with the reason
//!     members of scaling groups ----'
//!
//! Whoever waits is kept, and comes in with the first revision that lets it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Changes, GroupChanges, Registered};
use crate::config::limits;
use crate::config::snapshot::{Managed, Snapshot, Target, TargetGroup, TargetKind};
use crate::inventory::{self, Bound, Door, Fate, Held, Id, Inventory, Member, Place, Refusal};

/// A file with changes in it.
#[derive(Debug, Clone)]
pub struct Over {
    /// What shards run on.
    pub snapshot: Snapshot,
    /// Targets that were bound and may not be now.
    pub waiting: Vec<Waiting>,
    /// What is against these targets' regions (requirement G6); where something is, the door stays as it was.
    pub door: Result<(), Refusal>,
}

/// A target that is kept and gets nothing. Prints as `target group "app": target 10.0.0.5:80: what; how to mend it`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its target group.
    pub group: Arc<str>,
    /// Where it answered.
    pub address: SocketAddr,
    /// Why it waits.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Waiting { group, address, what, mend } = self;
        write!(f, "target group {group:?}: target {address}: {what}; {mend}")
    }
}

impl Changes {
    /// What the file says, with these changes in it, behind the side of the door that the balancer was on.
    #[must_use]
    pub fn over(&self, base: &Snapshot, before: Door) -> Over {
        let scene = Scene::of(base);
        let mut waiting = Vec::new();
        let untouched = GroupChanges::default();
        let groups = base.groups.iter().map(|group| {
            let changes = self.groups.get(&group.name);
            if changes.is_none() && scene.members(group).next().is_none() {
                return Arc::clone(group);
            }
            let targets = changes.unwrap_or(&untouched).targets(group, &scene, &mut waiting);
            Arc::new(TargetGroup { targets, ..TargetGroup::clone(group) })
        });
        let mut snapshot = Snapshot { groups: groups.collect(), ..base.clone() };
        let door = snapshot.pass_door(before).map(|door| snapshot.door = door).inspect_err(|_| snapshot.door = before);
        snapshot.left_out.extend(waiting.iter().map(ToString::to_string));
        snapshot.left_out.extend(scene.homeless(base));
        Over { snapshot, waiting, door }
    }
}

impl Snapshot {
    /// The side of the one-way door of `cross_region` that the balancer is on with these targets (requirement G6).
    fn pass_door(&self, before: Door) -> Result<Door, Refusal> {
        let targets = self.groups.iter().flat_map(|group| &group.targets);
        let in_a_region = targets.filter(|target| target.kind != TargetKind::Idc);
        let regions = in_a_region.map(|target| target.region.as_deref());
        inventory::pass(&self.balancer.place(), before, regions).map_err(|(_, refusal)| refusal)
    }
}

/// What decides about targets, gathered once for all of them.
pub(super) struct Scene<'s> {
    pub place: Place,
    pub inventory: &'s Inventory,
    of_file: &'s Inventory,
    /// Of scaling groups, by the target group's name: instances, by id.
    members: HashMap<&'s str, Vec<(&'s Id, Member<'s>)>>,
    /// Listeners that send to a group, by the group's name.
    listeners: HashMap<&'s str, Vec<(SocketAddr, &'s str)>>,
}

impl<'s> Scene<'s> {
    pub fn of(base: &'s Snapshot) -> Scene<'s> {
        let mut members: HashMap<&str, Vec<_>> = HashMap::new();
        for ((group, instance), member) in base.inventory.members() {
            members.entry(group).or_default().push((instance, member));
        }
        let mut listeners: HashMap<&str, Vec<_>> = HashMap::new();
        for listener in &base.listeners {
            for group in base.groups_of(listener) {
                listeners.entry(&group.name).or_default().push((listener.address, &*listener.name));
            }
        }
        let (inventory, of_file) = (&*base.inventory, &*base.inventory_of_file);
        Scene { place: base.balancer.place(), inventory, of_file, members, listeners }
    }

    /// What is sent to a listener that sends there comes back to it for ever, until descriptors run out.
    pub fn listener_at(&self, group: &TargetGroup, address: SocketAddr) -> Option<&'s str> {
        let listeners = self.listeners.get(&*group.name)?;
        listeners.iter().find(|(taken, _)| *taken == address).map(|(_, name)| *name)
    }

    /// The members of the API's scaling groups in this group, with what they stand for; those of the file's are among the
    /// file's targets.
    pub fn members(&self, group: &TargetGroup) -> impl Iterator<Item = Joined<'s>> {
        let of_group = self.members.get(&*group.name).into_iter().flatten();
        of_group.filter(|(_, member)| self.of_file.scaling_group(member.scaling_group).is_none()).filter_map(
            |(id, member)| {
                let instance = self.inventory.instance(id)?;
                Some(Joined {
                    id,
                    address: SocketAddr::new(instance.address, member.association.port),
                    member: *member,
                })
            },
        )
    }

    /// Target groups that the API's scaling groups name and the config does not have (any more).
    fn homeless(&self, base: &Snapshot) -> Vec<String> {
        let known: HashSet<&str> = base.groups.iter().map(|group| &*group.name).collect();
        let of_api = self.inventory.scaling_groups().filter(|group| self.of_file.scaling_group(&group.name).is_none());
        let named = of_api.flat_map(|scaling| scaling.target_groups.iter().map(move |to| (&scaling.name, &to.group)));
        let homeless = named.filter(|(_, group)| !known.contains(&***group));
        homeless
            .map(|(scaling, group)| {
                format!("scaling group \"{scaling}\" of the API: there is no target group \"{group}\"")
            })
            .collect()
    }

    /// The scaling group that an instance is in this group by, be it the file's.
    pub fn scaling_group_of(&self, group: &TargetGroup, instance: &str) -> Option<&'s Id> {
        let of_group = self.members.get(&*group.name)?;
        of_group.iter().find(|(id, _)| ***id == *instance).map(|(_, member)| member.scaling_group)
    }
}

/// A member of a scaling group of the API's.
pub(super) struct Joined<'s> {
    pub id: &'s Id,
    pub address: SocketAddr,
    pub member: Member<'s>,
}

impl GroupChanges {
    fn targets(&self, group: &TargetGroup, scene: &Scene<'_>, waiting: &mut Vec<Waiting>) -> Vec<Target> {
        let mut targets: Vec<Target> = group.targets.iter().map(|target| self.weighed(target)).collect();
        let mut there: HashSet<SocketAddr> = targets.iter().map(|target| target.address).collect();
        let own = self.targets.iter().filter(|_| group.managed == Managed::Api);
        let machines = own.clone().filter(|own| own.kind == TargetKind::Cvm);
        // Who is bound by hand has the port and weight that it was given there.
        let by_hand: HashSet<_> = machines.map(|own| (own.instance_id.as_ref(), own.address.port())).collect();
        let own = own.map(|registered| (registered.address, registered.target(scene)));
        let joined = scene.members(group);
        let joined = joined.filter(|joined| !by_hand.contains(&(Some(joined.id), joined.address.port())));
        let joined = joined.map(|joined| (joined.address, joined.target(scene).map(|target| self.weighed(&target))));
        for (address, target) in own.chain(joined) {
            match target.and_then(|target| scene.admit(group, &mut there, target)) {
                Ok(target) => targets.push(target),
                Err((what, mend)) => waiting.push(Waiting { group: Arc::clone(&group.name), address, what, mend }),
            }
        }
        targets
    }

    fn weighed(&self, target: &Target) -> Target {
        let weight = self.weights.get(&target.address).copied().unwrap_or(target.weight);
        Target { weight, ..target.clone() }
    }
}

impl Scene<'_> {
    fn admit(
        &self,
        group: &TargetGroup,
        there: &mut HashSet<SocketAddr>,
        target: Target,
    ) -> Result<Target, (String, String)> {
        let address = target.address;
        if let Some(listener) = self.listener_at(group, address) {
            return Err(own_listener(address, listener));
        }
        if there.len() >= limits::GROUP_TARGETS_MAX {
            return Err((format!("the group has {} targets already", there.len()), "use a second group".to_owned()));
        }
        if !there.insert(address) {
            let what = format!("{address} is in this group already");
            return Err((what, "deregister one of the two, or give it another port".to_owned()));
        }
        Ok(target)
    }

    fn fate(&self, held: &Held<'_>) -> Result<Option<Bound>, (String, String)> {
        match inventory::fate(self.inventory, &self.place, held) {
            Fate::Bound(bound) => Ok(Some(bound)),
            Fate::AsItWas => Ok(None),
            Fate::Released => Err(("its instance is released".to_owned(), "deregister it".to_owned())),
            Fate::Barred(refusal) => Err((refusal.what, refusal.mend)),
        }
    }
}

pub(super) fn own_listener(address: SocketAddr, listener: &str) -> (String, String) {
    let what = format!("{address} is listener {listener:?}, which sends to this group");
    (what, "give the target the address of the machine that serves".to_owned())
}

impl Joined<'_> {
    fn target(&self, scene: &Scene<'_>) -> Result<Target, (String, String)> {
        let (kind, address) = (TargetKind::Cvm, self.address.ip());
        let (instance, by_id) = (Some(self.id), true);
        let held = Held { kind, address, instance, eni: None, by_id, region: None, network: None };
        let weight = self.member.association.weight;
        match scene.fate(&held)? {
            Some(bound) => Ok(target(kind, SocketAddr::new(bound.address, self.address.port()), bound, None, weight)),
            None => Err(("its instance is released".to_owned(), "take it out of its scaling group".to_owned())),
        }
    }
}

impl Registered {
    pub(super) fn held(&self) -> Held<'_> {
        Held {
            kind: self.kind,
            address: self.address.ip(),
            instance: self.instance_id.as_ref(),
            eni: self.eni_id.as_ref(),
            by_id: self.by_id,
            region: self.region.as_ref(),
            network: self.network.as_ref(),
        }
    }

    fn target(&self, scene: &Scene<'_>) -> Result<Target, (String, String)> {
        let bound = scene.fate(&self.held())?.unwrap_or_else(|| self.bound());
        let address = SocketAddr::new(bound.address, self.address.port());
        Ok(target(self.kind, address, bound, self.zone.clone(), self.weight))
    }

    /// As it was bound.
    fn bound(&self) -> Bound {
        Bound {
            address: self.address.ip(),
            region: self.region.clone(),
            network: self.network.clone(),
            zone: None,
            instance: self.instance_id.clone(),
            eni: self.eni_id.clone(),
        }
    }
}

fn target(kind: TargetKind, address: SocketAddr, bound: Bound, zone: Option<Id>, weight: u8) -> Target {
    let text = |id: Option<Id>| id.map(Arc::from);
    Target {
        address,
        label: address.to_string().into(),
        kind,
        instance_id: text(bound.instance),
        eni_id: text(bound.eni),
        region: text(bound.region),
        network: text(bound.network),
        zone: text(zone.or(bound.zone)),
        weight,
    }
}
