//! One change of the targets of a group: a list, all of it or nothing (requirement G10).

use std::net::SocketAddr;
use std::time::SystemTime;

use super::over::{Joined, Scene, own_listener};
use super::request::shown;
use super::{Changes, GroupChanges, NewTarget, Refused, RefusedCode, Registered, TargetUpdate, TargetsChange, Which};
use crate::config::limits;
use crate::config::snapshot::{Managed, Snapshot, TargetGroup};
use crate::inventory::{self, Id, TargetName};

impl Changes {
    pub(super) fn change_targets(
        &self,
        base: &Snapshot,
        name: &str,
        change: &TargetsChange,
        now: SystemTime,
    ) -> Result<Changes, Refused> {
        let scene = Scene::of(base);
        let Some(group) = base.groups.iter().find(|group| &*group.name == name) else {
            return self.change_a_group_that_waits(name, change);
        };
        if change.is_empty() {
            return Err(Refused::invalid("targets is empty".into(), "name one target or more"));
        }
        if change.len() > limits::CHANGE_TARGETS_MAX {
            let message = format!("targets has {} entries", change.len());
            return Err(Refused::invalid(message, "send at most 1000 at once"));
        }
        let mut changes = self.clone();
        let own = changes.groups.entry(group.name.clone()).or_default();
        let place = Place { group, scene: &scene, joined: scene.members(group).collect(), now };
        match change {
            TargetsChange::Register(targets) => each(targets, |target| own.register(&place, target)),
            TargetsChange::Deregister(targets) => each(targets, |which| own.deregister(&place, which)),
            TargetsChange::Update(targets) => each(targets, |update| own.update(&place, update)),
        }?;
        changes.forget_empty_groups();
        Ok(changes)
    }

    /// The config has no such group (any more): what was changed in it can be cleared away, and nothing else.
    fn change_a_group_that_waits(&self, name: &str, change: &TargetsChange) -> Result<Changes, Refused> {
        let mut changes = self.clone();
        let (Some(own), TargetsChange::Deregister(targets)) = (changes.groups.get_mut(name), change) else {
            let message = format!("there is no target group {}", shown(name));
            return Err(Refused::not_found(message, "GET /v1/target-groups lists them"));
        };
        each(targets, |which| {
            which.says_who()?;
            if own.clear_away(which) { Ok(()) } else { Err(Refused::no_target(which, name)) }
        })?;
        changes.forget_empty_groups();
        Ok(changes)
    }
}

/// The first mistake of a list names its place.
fn each<T>(list: &[T], mut change: impl FnMut(&T) -> Result<(), Refused>) -> Result<(), Refused> {
    list.iter().enumerate().try_for_each(|(index, one)| change(one).map_err(|refused| refused.of_target(index)))
}

/// Where targets are changed.
struct Place<'p> {
    group: &'p TargetGroup,
    scene: &'p Scene<'p>,
    joined: Vec<Joined<'p>>,
    now: SystemTime,
}

/// A target that was found, and whose it is.
enum Found<'p> {
    /// One of the API's, by its index.
    Own(usize),
    /// The file's, or a scaling group's, with the weight that it has from there.
    Others { address: SocketAddr, weight: u8, scaling_group: Option<&'p Id> },
}

impl GroupChanges {
    fn register(&mut self, place: &Place<'_>, target: &NewTarget) -> Result<(), Refused> {
        if place.group.managed == Managed::File {
            let message = format!("target group {} belongs to the config file", shown(&place.group.name));
            return Err(Refused::conflict(message, "add the target there, or set managed = \"api\" on the group"));
        }
        let target = place.check(target)?;
        if self.targets.iter().any(|other| other.address == target.address) {
            let message = format!("{} is in this group already", target.address);
            return Err(Refused::conflict(message, "change its weight or port with PATCH, or register another port"));
        }
        if self.targets.len() >= limits::GROUP_TARGETS_MAX {
            let message = format!("the group has {} targets already", self.targets.len());
            return Err(Refused::conflict(message, "use a second group"));
        }
        self.targets.push(target);
        Ok(())
    }

    fn deregister(&mut self, place: &Place<'_>, which: &Which) -> Result<(), Refused> {
        which.says_who()?;
        match self.find(place, which) {
            Ok(Found::Own(at)) => drop(self.targets.remove(at)),
            Ok(Found::Others { address, scaling_group: Some(scaling_group), .. }) => {
                let message = format!("{address} is bound as a member of scaling group {}", shown(scaling_group));
                let hint = "take its instance out of the scaling group; PATCH its weight to 0 drains it";
                return Err(Refused::conflict(message, hint));
            }
            Ok(Found::Others { address, .. }) => {
                let hint = "remove it there and reload; until then PATCH its weight to 0 drains it";
                return Err(Refused::conflict(format!("{address} belongs to the config file"), hint));
            }
            Err(refused) => {
                let may_wait = refused.code == RefusedCode::NotFound;
                return if may_wait && self.clear_away(which) { Ok(()) } else { Err(refused) };
            }
        }
        Ok(())
    }

    fn update(&mut self, place: &Place<'_>, update: &TargetUpdate) -> Result<(), Refused> {
        let weight = update.weight.map(check_weight).transpose()?;
        let new_port = update.new_port.map(check_port).transpose()?;
        if weight.is_none() && new_port.is_none() {
            return Err(Refused::invalid("nothing to change".into(), "give weight, new_port, or both"));
        }
        let new_port = new_port.filter(|port| *port != update.port);
        match self.find(place, &update.which())? {
            Found::Own(at) => {
                if let Some(port) = new_port {
                    self.targets[at].address = self.may_move_to(place, at, port)?;
                }
                if let Some(weight) = weight {
                    self.targets[at].weight = weight;
                }
            }
            Found::Others { address, .. } if new_port.is_some() => {
                let message = format!("{address} is not the API's: its port is changed where it is from");
                let hint = "change it in the config file or in its scaling group; its weight can be changed here";
                return Err(Refused::conflict(message, hint));
            }
            Found::Others { address, weight: given, .. } => match weight {
                // As it is there: nothing to keep.
                Some(weight) if weight == given => drop(self.weights.remove(&address)),
                Some(weight) => drop(self.weights.insert(address, weight)),
                None => {}
            },
        }
        Ok(())
    }

    fn may_move_to(&self, place: &Place<'_>, at: usize, port: u16) -> Result<SocketAddr, Refused> {
        let new = SocketAddr::new(self.targets[at].address.ip(), port);
        let of_others = place.others().any(|(address, ..)| address == new);
        if of_others || self.targets.iter().any(|target| target.address == new) {
            let message = format!("{new} is in this group already");
            return Err(Refused::conflict(message, "choose another port, or deregister that one first"));
        }
        place.is_no_listener(new)?;
        Ok(new)
    }

    fn find<'p>(&self, place: &'p Place<'_>, which: &Which) -> Result<Found<'p>, Refused> {
        which.says_who()?;
        let own = self.targets.iter().enumerate().filter(|(_, own)| which.is_own(own));
        let own = own.map(|(at, own)| (own.address, Found::Own(at)));
        let others = place.others().filter(|(address, instance, eni, ..)| which.is(*address, *instance, *eni));
        let others = others
            .map(|(address, _, _, weight, scaling_group)| (address, Found::Others { address, weight, scaling_group }));
        let mut found = own.chain(others);
        let Some((address, first)) = found.next() else { return Err(Refused::no_target(which, &place.group.name)) };
        match found.find(|(other, _)| *other != address) {
            Some((other, _)) => {
                let message = format!("{which} is {address} and {other}, at least");
                Err(Refused::conflict(message, "name the one that is meant by its address"))
            }
            None => Ok(first),
        }
    }

    /// What is kept for a target that is not there: one of the API's in a group that is the file's by now, or the weight of one
    /// that has left the file.
    fn clear_away(&mut self, which: &Which) -> bool {
        let before = (self.targets.len(), self.weights.len());
        self.targets.retain(|own| !which.is_own(own));
        self.weights.retain(|address, _| !which.is(*address, None, None));
        before != (self.targets.len(), self.weights.len())
    }
}

impl Which {
    fn says_who(&self) -> Result<(), Refused> {
        if self.address.is_none() && self.instance_id.is_none() && self.eni_id.is_none() {
            let message = "it is not said which target is meant".to_owned();
            return Err(Refused::invalid(message, "give its address, instance_id or eni_id beside its port"));
        }
        Ok(())
    }

    fn is_own(&self, own: &Registered) -> bool {
        self.is(own.address, own.instance_id.as_deref(), own.eni_id.as_deref())
    }

    fn is(&self, address: SocketAddr, instance: Option<&str>, eni: Option<&str>) -> bool {
        self.port == address.port()
            && self.address.is_none_or(|named| named == address.ip())
            && self.instance_id.as_ref().is_none_or(|named| instance == Some(&**named))
            && self.eni_id.as_ref().is_none_or(|named| eni == Some(&**named))
    }
}

/// Address, instance, interface, weight and scaling group.
type Other<'p> = (SocketAddr, Option<&'p str>, Option<&'p str>, u8, Option<&'p Id>);

impl Place<'_> {
    /// The group's targets that are not the API's.
    fn others(&self) -> impl Iterator<Item = Other<'_>> {
        let of_file = self.group.targets.iter().map(|target| {
            // A group of the API's has members of the file's scaling groups only from there.
            let member = target.instance_id.as_deref().filter(|_| self.group.managed == Managed::Api);
            let scaling_group = member.and_then(|instance| self.scene.scaling_group_of(self.group, instance));
            (target.address, target.instance_id.as_deref(), target.eni_id.as_deref(), target.weight, scaling_group)
        });
        let joined = self.joined.iter().map(|joined| {
            let member = joined.member;
            (joined.address, Some(&**joined.id), None, member.association.weight, Some(member.scaling_group))
        });
        of_file.chain(joined)
    }

    fn check(&self, target: &NewTarget) -> Result<Registered, Refused> {
        let port = check_port(target.port)?;
        let weight = target.weight.map(check_weight).transpose()?.unwrap_or(limits::WEIGHT_DEFAULT);
        let name = TargetName {
            kind: target.kind,
            instance_id: target.instance_id.clone(),
            eni_id: target.eni_id.clone(),
            address: target.address,
        };
        let bound = inventory::bind(self.scene.inventory, &self.scene.place, &name, self.now)?;
        let address = SocketAddr::new(bound.address, port);
        self.is_no_listener(address)?;
        Ok(Registered {
            address,
            kind: target.kind,
            instance_id: bound.instance,
            eni_id: bound.eni,
            region: bound.region,
            network: bound.network,
            zone: target.zone.clone(),
            weight,
        })
    }

    fn is_no_listener(&self, address: SocketAddr) -> Result<(), Refused> {
        self.scene.listener_at(self.group, address).map_or(Ok(()), |listener| {
            let (message, hint) = own_listener(address, listener);
            Err(Refused::conflict(message, &hint))
        })
    }
}

fn check_port(port: u16) -> Result<u16, Refused> {
    if port > 0 { Ok(port) } else { Err(Refused::invalid("port 0".into(), "a port is 1 to 65535")) }
}

fn check_weight(weight: u8) -> Result<u8, Refused> {
    if limits::WEIGHT.contains(&weight) {
        return Ok(weight);
    }
    Err(Refused::invalid(format!("weight {weight}"), "a weight is 0 to 100"))
}
