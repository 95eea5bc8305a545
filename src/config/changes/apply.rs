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
        let group = base.groups.iter().find(|group| &*group.name == name);
        if group.is_none() && !self.groups.contains_key(name) {
            let message = format!("there is no target group {}", shown(name));
            return Err(Refused::not_found(message, "GET /v1/target-groups lists them"));
        }
        if change.is_empty() {
            return Err(Refused::invalid("targets is empty".into(), "name one target or more"));
        }
        if change.len() > limits::CHANGE_TARGETS_MAX {
            let message = format!("targets has {} entries", change.len());
            return Err(Refused::invalid(message, "send at most 1000 at once"));
        }
        let Some(group) = group else { return self.change_a_group_that_waits(name, change) };
        let scene = Scene::of(base);
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
            let message = format!("the config has no target group {} any more", shown(name));
            return Err(Refused::not_found(message, "DELETE its targets to clear them away, or bring the group back"));
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
    /// The file's, or a scaling group's.
    Others(Other<'p>),
}

/// A target that is not the API's to bind and unbind.
#[derive(Clone, Copy)]
struct Other<'p> {
    address: SocketAddr,
    instance: Option<&'p str>,
    eni: Option<&'p str>,
    /// That it has from where it is from.
    weight: u8,
    /// Of a member of one of the API's.
    scaling_group: Option<&'p Id>,
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
            Ok(Found::Others(other)) => return Err(place.is_anothers(&other)),
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
            Found::Others(other) if new_port.is_some() => {
                let message = format!("{} is not the API's: its port is changed where it is from", other.address);
                let hint = "change it in the config file or in its scaling group; its weight can be changed here";
                return Err(Refused::conflict(message, hint));
            }
            Found::Others(other) => match weight {
                // As it is there: nothing to keep.
                Some(weight) if weight == other.weight => drop(self.weights.remove(&other.address)),
                Some(weight) => drop(self.weights.insert(other.address, weight)),
                None => {}
            },
        }
        Ok(())
    }

    fn may_move_to(&self, place: &Place<'_>, at: usize, port: u16) -> Result<SocketAddr, Refused> {
        let new = SocketAddr::new(self.targets[at].address.ip(), port);
        let of_others = place.others().any(|other| other.address == new);
        if of_others || self.targets.iter().any(|target| target.address == new) {
            let message = format!("{new} is in this group already");
            return Err(Refused::conflict(message, "choose another port, or deregister that one first"));
        }
        place.is_no_listener(new)?;
        Ok(new)
    }

    fn find<'p>(&self, place: &'p Place<'_>, which: &Which) -> Result<Found<'p>, Refused> {
        which.says_who()?;
        // In a group of the file's those of the API's wait.
        let own = self.targets.iter().enumerate().filter(|_| place.group.managed == Managed::Api);
        let own = own.filter(|(_, own)| which.is_own(own)).map(|(at, own)| (own.address, Found::Own(at)));
        let others = place.others().filter(|other| which.is(other.address, other.instance, other.eni));
        let others = others.map(|other| (other.address, Found::Others(other)));
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
            // An interface's address is not what its machine's id stands for (requirement G3).
            && self.instance_id.as_ref().is_none_or(|named| instance == Some(&**named) && eni.is_none())
            && self.eni_id.as_ref().is_none_or(|named| eni == Some(&**named))
    }
}

impl Place<'_> {
    /// The group's targets that are not the API's.
    fn others(&self) -> impl Iterator<Item = Other<'_>> {
        let of_file = self.group.targets.iter().map(|target| Other {
            address: target.address,
            instance: target.instance_id.as_deref(),
            eni: target.eni_id.as_deref(),
            weight: target.weight,
            scaling_group: None,
        });
        let joined = self.joined.iter().map(|joined| Other {
            address: joined.address,
            instance: Some(joined.id),
            eni: None,
            weight: joined.member.association.weight,
            scaling_group: Some(joined.member.scaling_group),
        });
        of_file.chain(joined)
    }

    fn is_anothers(&self, other: &Other<'_>) -> Refused {
        let address = other.address;
        // A group of the API's has none of the file's but members of its scaling groups.
        let of_file = other.instance.filter(|_| self.group.managed == Managed::Api);
        let scaling_group = || of_file.and_then(|instance| self.scene.scaling_group_of(self.group, instance));
        if let Some(scaling_group) = other.scaling_group.or_else(scaling_group) {
            let message = format!("{address} is bound as a member of scaling group {}", shown(scaling_group));
            let hint = "take its instance out of the scaling group; PATCH its weight to 0 drains it";
            return Refused::conflict(message, hint);
        }
        let hint = "remove it there and reload; until then PATCH its weight to 0 drains it";
        Refused::conflict(format!("{address} belongs to the config file"), hint)
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
            by_id: target.instance_id.is_some(),
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
