//! One change of the API: a list of targets, all of it or nothing (requirement G10).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use utoipa::ToSchema;

use super::{Changes, GroupChanges, Registered};
use crate::config::limits;
use crate::config::snapshot::{Listener, Managed, Snapshot, TargetGroup, TargetKind};
use crate::inventory::{self, Id, Refusal, TargetName};
use crate::schema;

/// What a request of the API asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Targets join a group.
    Register {
        /// The group's name.
        group: Arc<str>,
        /// Who joins.
        targets: Vec<NewTarget>,
    },
    /// Targets leave a group: their flows end (requirement W3).
    Deregister {
        /// The group's name.
        group: Arc<str>,
        /// Who leaves.
        targets: Vec<Which>,
    },
    /// Targets get another weight or port.
    Update {
        /// The group's name.
        group: Arc<str>,
        /// Who gets what.
        targets: Vec<TargetUpdate>,
    },
}

/// A target to be registered: by an id, an address or both (requirement G3).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    /// What its address is: `cvm` where nothing is said.
    #[serde(rename = "type", default = "cvm")]
    pub kind: TargetKind,
    /// Of a cvm target.
    #[serde(default)]
    #[schema(value_type = Option<schema::Name>)]
    pub instance_id: Option<Id>,
    /// Of an eni target.
    #[serde(default)]
    #[schema(value_type = Option<schema::Name>)]
    pub eni_id: Option<Id>,
    /// Where it answers; the inventory's where it is not given.
    #[serde(default)]
    #[schema(value_type = Option<schema::Address>)]
    pub address: Option<IpAddr>,
    /// 1 to 65535.
    #[serde(deserialize_with = "schema::whole")]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
    /// Zone that it is in; the inventory's where it is not given.
    #[serde(default)]
    #[schema(value_type = Option<schema::Name>)]
    pub zone: Option<Id>,
    /// 0 to 100; 10 where nothing is said.
    #[serde(default, deserialize_with = "schema::whole_or_null")]
    #[schema(minimum = 0, maximum = 100)]
    pub weight: Option<u8>,
}

/// A target that is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Its address.
    #[schema(value_type = schema::Address)]
    pub address: IpAddr,
    /// Its port.
    #[serde(deserialize_with = "schema::whole")]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
}

/// What becomes of a target that is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetUpdate {
    /// Its address.
    #[schema(value_type = schema::Address)]
    pub address: IpAddr,
    /// Its port.
    #[serde(deserialize_with = "schema::whole")]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
    /// Its weight from now on, 0 to 100.
    #[serde(default, deserialize_with = "schema::whole_or_null")]
    #[schema(minimum = 0, maximum = 100)]
    pub weight: Option<u8>,
    /// Its port from now on: to the balancer that is another target (requirement G2), so its flows end.
    #[serde(default, deserialize_with = "schema::whole_or_null")]
    #[schema(minimum = 1, maximum = 65535)]
    pub new_port: Option<u16>,
}

fn cvm() -> TargetKind {
    TargetKind::Cvm
}

/// Why a change is not made: nothing of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What kind of mistake it is.
    pub code: RefusedCode,
    /// What is wrong, and where.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

/// What kind of mistake a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedCode {
    /// There is no such group or target.
    NotFound,
    /// It is there already, or the file's.
    Conflict,
    /// A value is out of its limits, or does not go with another.
    Invalid,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.hint)
    }
}

impl Change {
    /// The group that it is about.
    #[must_use]
    pub fn group(&self) -> &str {
        match self {
            Change::Register { group, .. } | Change::Deregister { group, .. } | Change::Update { group, .. } => group,
        }
    }

    /// How many targets it names.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Change::Register { targets, .. } => targets.len(),
            Change::Deregister { targets, .. } => targets.len(),
            Change::Update { targets, .. } => targets.len(),
        }
    }

    /// It names no target.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Changes {
    /// What they are with `change` made at `now`, beside what the file says.
    ///
    /// # Errors
    /// The first thing that is wrong with it; then nothing is changed.
    pub fn apply(&self, base: &Snapshot, change: &Change, now: SystemTime) -> Result<Changes, Refused> {
        let name = change.group();
        let Some(group) = base.groups.iter().find(|group| &*group.name == name) else {
            let message = format!("there is no target group {}", shown(name));
            return Err(Refused::not_found(message, "GET /v1/target-groups lists them"));
        };
        if change.is_empty() {
            return Err(Refused::invalid("targets is empty".into(), "name one target or more"));
        }
        if change.len() > limits::CHANGE_TARGETS_MAX {
            let message = format!("targets has {} entries", change.len());
            return Err(Refused::invalid(message, "send at most 1000 at once"));
        }
        let mut changes = self.clone();
        let own = changes.groups.entry(Arc::clone(&group.name)).or_default();
        match change {
            Change::Register { targets, .. } => own.register(&Place { group, base, now }, targets)?,
            Change::Deregister { targets, .. } => own.deregister(group, targets)?,
            Change::Update { targets, .. } => own.update(base, group, targets)?,
        }
        if own.is_empty() {
            changes.groups.remove(name);
        }
        if matches!(change, Change::Register { .. }) {
            changes.over(base).pass_door()?;
        }
        Ok(changes)
    }
}

/// Where targets are registered.
struct Place<'p> {
    group: &'p TargetGroup,
    base: &'p Snapshot,
    now: SystemTime,
}

impl GroupChanges {
    fn register(&mut self, place: &Place<'_>, targets: &[NewTarget]) -> Result<(), Refused> {
        if place.group.managed == Managed::File {
            let message = format!("target group {} belongs to the config file", shown(&place.group.name));
            return Err(Refused::conflict(message, "add the target there, or set managed = \"api\" on the group"));
        }
        for (index, target) in targets.iter().enumerate() {
            let target = place.check(target).map_err(|refused| refused.of_target(index))?;
            if self.targets.iter().any(|other| other.address == target.address) {
                let message = format!("{} is in this group already", target.address);
                let hint = "change its weight or port with PATCH, or register another port";
                return Err(Refused::conflict(message, hint).of_target(index));
            }
            if self.targets.len() >= limits::GROUP_TARGETS_MAX {
                let message = format!("the group has {} targets already", self.targets.len());
                return Err(Refused::conflict(message, "use a second group").of_target(index));
            }
            self.targets.push(target);
        }
        Ok(())
    }

    fn deregister(&mut self, group: &TargetGroup, targets: &[Which]) -> Result<(), Refused> {
        for (index, which) in targets.iter().enumerate() {
            let address = SocketAddr::new(which.address, which.port);
            if group.managed == Managed::File {
                let refused = if group.targets.iter().any(|target| target.address == address) {
                    let hint = "remove it there and reload; until then PATCH its weight to 0 drains it";
                    Refused::conflict(format!("{address} belongs to the config file"), hint)
                } else {
                    Refused::no_target(address, group)
                };
                return Err(refused.of_target(index));
            }
            let Some(at) = self.targets.iter().position(|target| target.address == address) else {
                return Err(Refused::no_target(address, group).of_target(index));
            };
            self.targets.remove(at);
        }
        Ok(())
    }

    fn update(&mut self, base: &Snapshot, group: &TargetGroup, updates: &[TargetUpdate]) -> Result<(), Refused> {
        for (index, update) in updates.iter().enumerate() {
            let done = match group.managed {
                Managed::Api => self.update_own(base, group, update),
                Managed::File => self.weigh(group, update),
            };
            done.map_err(|refused| refused.of_target(index))?;
        }
        Ok(())
    }

    /// A target of the API's.
    fn update_own(&mut self, base: &Snapshot, group: &TargetGroup, update: &TargetUpdate) -> Result<(), Refused> {
        let address = SocketAddr::new(update.address, update.port);
        let weight = update.weight.map(check_weight).transpose()?;
        let moved_to = update.new_port.map(|port| check_port(port).map(|port| SocketAddr::new(update.address, port)));
        let moved_to = moved_to.transpose()?;
        update.says_something()?;
        let Some(at) = self.targets.iter().position(|target| target.address == address) else {
            return Err(Refused::no_target(address, group));
        };
        if let Some(new) = moved_to.filter(|new| *new != address) {
            if self.targets.iter().any(|target| target.address == new) {
                let message = format!("{new} is in this group already");
                return Err(Refused::conflict(message, "choose another port, or deregister that one first"));
            }
            is_no_listener(base, group, new)?;
            self.targets[at].address = new;
        }
        if let Some(weight) = weight {
            self.targets[at].weight = weight;
        }
        Ok(())
    }

    /// A target of the file's.
    fn weigh(&mut self, group: &TargetGroup, update: &TargetUpdate) -> Result<(), Refused> {
        let address = SocketAddr::new(update.address, update.port);
        let weight = update.weight.map(check_weight).transpose()?;
        update.says_something()?;
        let Some(target) = group.targets.iter().find(|target| target.address == address) else {
            return Err(Refused::no_target(address, group));
        };
        if update.new_port.is_some_and(|port| port != update.port) {
            let message = format!("{address} belongs to the config file: its port is changed there");
            return Err(Refused::conflict(message, "change it in the file and reload; its weight can be changed here"));
        }
        match weight {
            // As the file has it: nothing to keep.
            Some(weight) if weight == target.weight => drop(self.weights.remove(&address)),
            Some(weight) => drop(self.weights.insert(address, weight)),
            None => {}
        }
        Ok(())
    }
}

impl Place<'_> {
    fn check(&self, target: &NewTarget) -> Result<Registered, Refused> {
        let port = check_port(target.port)?;
        let weight = target.weight.map(check_weight).transpose()?.unwrap_or(limits::WEIGHT_DEFAULT);
        let name = TargetName {
            kind: target.kind,
            instance_id: target.instance_id.clone(),
            eni_id: target.eni_id.clone(),
            address: target.address,
        };
        let bound = inventory::bind(&self.base.inventory, &self.base.balancer.place(), &name, self.now)?;
        let address = SocketAddr::new(bound.address, port);
        is_no_listener(self.base, self.group, address)?;
        Ok(Registered {
            address,
            kind: target.kind,
            instance_id: bound.instance,
            eni_id: bound.eni,
            region: bound.region,
            network: bound.network,
            zone: target.zone.clone().or(bound.zone),
            weight,
        })
    }
}

/// What is sent there would come back to the listener for ever, until descriptors run out.
fn is_no_listener(base: &Snapshot, group: &TargetGroup, address: SocketAddr) -> Result<(), Refused> {
    let sends_here = |listener: &&Arc<Listener>| base.groups_of(listener).iter().any(|named| named.name == group.name);
    match base.listeners.iter().filter(sends_here).find(|listener| listener.address == address) {
        Some(listener) => {
            let message = format!("{address} is listener {}, which sends to this group", shown(&listener.name));
            Err(Refused::conflict(message, "give the target the address of the machine that serves"))
        }
        None => Ok(()),
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let Refusal { field, what, mend, .. } = refusal;
        Refused::invalid(format!("{}: {what}", field.as_str()), &mend)
    }
}

impl TargetUpdate {
    fn says_something(&self) -> Result<(), Refused> {
        if self.weight.is_some() || self.new_port.is_some() {
            return Ok(());
        }
        Err(Refused::invalid("nothing to change".into(), "give weight, new_port, or both"))
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

/// What a client sent, escaped and cut.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(limits::NAME_BYTES_MAX).collect::<String>())
}

impl Refused {
    fn not_found(message: String, hint: &str) -> Self {
        Refused { code: RefusedCode::NotFound, message, hint: hint.to_owned() }
    }

    fn conflict(message: String, hint: &str) -> Self {
        Refused { code: RefusedCode::Conflict, message, hint: hint.to_owned() }
    }

    fn invalid(message: String, hint: &str) -> Self {
        Refused { code: RefusedCode::Invalid, message, hint: hint.to_owned() }
    }

    fn no_target(address: SocketAddr, group: &TargetGroup) -> Self {
        let message = format!("{address} is not in target group {}", shown(&group.name));
        Refused::not_found(message, "GET /v1/target-groups/{group}/targets lists them")
    }

    fn of_target(self, index: usize) -> Self {
        Refused { message: format!("targets[{index}]: {}", self.message), ..self }
    }
}
