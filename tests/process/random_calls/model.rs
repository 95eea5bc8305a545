//! What the API is to make of a call, in the words of an operator.
//!
//! ```text
//!     Model: the balancer as it is: revision, World, history, keys --Request--> Expected: status, revision, World
//!     World: machines, targets by group, weights --Call--> World, or the status of the refusal
//! ```
//!
//! Nothing here calls the code under test.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::calls::{Call, Entry, Request};
use super::machines::{Address, Eni, Instance, Machines, Name, Nothing, Record, ScalingGroup, Target};

/// Target groups, and whether the API has their targets.
pub const GROUPS: [(&str, bool); 3] = [("app", true), ("more", true), ("files", false)];
/// Of group `files`: address, port and weight. The first may be a machine's of the API's.
pub const TARGETS_OF_FILE: [(Address, u16, u16); 3] = [(6, 1, 10), (30, 1, 20), (30, 2, 10)];
/// The file's machine, and the address of its interface `eni-f`; its scaling group `asg-f` puts it into group `app`.
pub const MACHINE_OF_FILE: (&str, Address, Address) = ("ins-f", 20, 21);
/// Port and weight there.
pub const MEMBER_OF_FILE: (u16, u16) = (3, 7);

const REVISIONS_KEPT: usize = 100;
const KEYS_KEPT: usize = 1000;

/// What the API changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct World {
    /// Those of the API's.
    machines: Machines,
    /// By group, in the order of registration.
    targets: BTreeMap<&'static str, Vec<Target>>,
    /// In place of those that targets have from the file or a scaling group: by group, address and port.
    weights: BTreeMap<(&'static str, Address, u16), u16>,
}

/// Who is in a group, and where those answered that have to wait.
pub struct Group {
    pub targets: Vec<Target>,
    pub waiting: BTreeSet<(Address, u16)>,
}

/// A target as a change finds it.
enum Found {
    /// The API's, by its place.
    Own(usize),
    /// With the weight that it has from the file or a scaling group.
    Others(u16),
}

pub fn machines_of_file() -> Machines {
    let (instance, address, other) = MACHINE_OF_FILE;
    let mut machines = Machines::default();
    machines.instances.insert(instance, Instance { address, state: "running" });
    machines.enis.insert("eni-f", Eni { instance: Some(instance), addresses: [other].into() });
    let target_groups = vec![("app", MEMBER_OF_FILE.0, MEMBER_OF_FILE.1)];
    machines.scaling_groups.insert("asg-f", ScalingGroup { instances: [instance].into(), target_groups });
    machines
}

impl World {
    /// The file's and the API's.
    pub fn machines(&self) -> Machines {
        let mut all = machines_of_file();
        all.instances.extend(self.machines.instances.clone());
        all.enis.extend(self.machines.enis.clone());
        all.scaling_groups.extend(self.machines.scaling_groups.clone());
        all
    }

    fn own(&self, group: &str) -> &[Target] {
        self.targets.get(group).map_or(&[], Vec::as_slice)
    }

    /// Who is in the group: the file's, then the API's in their order, then members of scaling groups that are not registered
    /// besides. Of two at one address the second waits.
    pub fn group(&self, group: &'static str) -> Group {
        let machines = self.machines();
        let (of_file, joined) = others(&machines, group);
        let weighed = |target: Target| {
            let weight = self.weights.get(&(group, target.address, target.port)).copied().unwrap_or(target.weight);
            Target { weight, ..target }
        };
        let own = self.own(group);
        let is_registered = |member: &Target| {
            let mut machines = own.iter().filter(|target| target.kind == "cvm");
            machines.any(|target| target.instance == member.instance && target.port == member.port)
        };
        let mut targets: Vec<Target> = of_file.into_iter().map(weighed).collect();
        let mut waiting = BTreeSet::new();
        let joined = joined.into_iter().filter(|member| !is_registered(member)).map(weighed);
        for target in own.iter().cloned().chain(joined) {
            let place = (target.address, target.port);
            let is_there = targets.iter().any(|other| (other.address, other.port) == place);
            if is_there || machines.still_stands_for(&target) == Err(Nothing::AndWaits) {
                waiting.insert(place);
            } else {
                targets.push(target);
            }
        }
        Group { targets, waiting }
    }

    /// Somebody waits who did not before.
    fn makes_wait(&self, before: &World) -> bool {
        GROUPS.iter().any(|(group, _)| !self.group(group).waiting.is_subset(&before.group(group).waiting))
    }

    /// The API's machines, all of them, as they are by now, and what that makes of its targets.
    fn settle(&mut self, machines: &Machines) {
        for targets in self.targets.values_mut() {
            targets.retain(|target| !machines.went_with_its_machine(target));
            for target in targets {
                if let Ok((address, instance, eni)) = machines.still_stands_for(target) {
                    (target.address, target.instance, target.eni) = (address, instance, eni);
                }
            }
        }
    }

    /// What it is after a call, or the status of its refusal.
    fn after(&self, call: &Call) -> Result<World, u16> {
        match call {
            Call::Register { group, entries } => self.after_list(group, entries, World::register),
            Call::Update { group, entries } => self.after_list(group, entries, World::update),
            Call::Deregister { group, entries } => self.after_list(group, entries, World::deregister),
            Call::Put(records) => self.after_put(records),
            Call::Patch(records) => {
                // List by list, each in the order of the body.
                let mut records = records.clone();
                let lists = ["instances", "enis", "scaling_groups"];
                records.sort_by_key(|record| lists.iter().position(|list| *list == record.list()));
                self.after_put(&records)
            }
            Call::Forget { list, id } => self.after_forgetting(list, id),
            Call::Reload => Ok(self.clone()),
            Call::ReloadOfABadFile => Err(422),
            Call::Junk { status, .. } => Err(*status),
            Call::Restore(_) => unreachable!("the model has the history"),
        }
    }

    fn after_list(
        &self,
        group: &'static str,
        entries: &[Entry],
        change: fn(&mut World, &'static str, &Entry) -> Result<(), u16>,
    ) -> Result<World, u16> {
        if !GROUPS.iter().any(|(name, _)| *name == group) {
            return Err(404);
        }
        if entries.is_empty() {
            return Err(422);
        }
        let mut after = self.clone();
        entries.iter().try_for_each(|entry| change(&mut after, group, entry))?;
        if after.makes_wait(self) { Err(409) } else { Ok(after) }
    }

    fn register(&mut self, group: &'static str, entry: &Entry) -> Result<(), u16> {
        if group == "files" {
            return Err(409);
        }
        let weight = entry.weight.unwrap_or(10);
        let Entry { kind, instance, eni, address, port, .. } = *entry;
        let kind = kind.unwrap_or("cvm");
        let machines = self.machines();
        let found = machines.stands_for(&Name { kind, instance, eni, address });
        let (address, instance, eni) = found.map_err(|_| 422_u16)?;
        if port == 0 || weight > 100 || instance.is_some_and(|instance| !machines.may_be_bound(instance)) {
            return Err(422);
        }
        if self.own(group).iter().any(|target| (target.address, target.port) == (address, port)) {
            return Err(409);
        }
        self.targets.entry(group).or_default().push(Target {
            kind,
            instance,
            by_id: entry.instance.is_some(),
            eni,
            address,
            port,
            weight,
        });
        Ok(())
    }

    fn update(&mut self, group: &'static str, entry: &Entry) -> Result<(), u16> {
        let Entry { port, weight, new_port, .. } = *entry;
        let is_out_of_range = weight.is_some_and(|weight| weight > 100) || new_port == Some(0);
        if is_out_of_range || (weight.is_none() && new_port.is_none()) {
            return Err(422);
        }
        let new_port = new_port.filter(|new_port| *new_port != port);
        match self.find(group, entry)? {
            (address, Found::Own(at)) => {
                if let Some(new_port) = new_port {
                    let (of_file, joined) = others(&self.machines(), group);
                    let mut all = of_file.iter().chain(&joined).chain(self.own(group));
                    if all.any(|other| (other.address, other.port) == (address, new_port)) {
                        return Err(409);
                    }
                }
                let target = &mut self.targets.get_mut(group).expect("it has a target")[at];
                target.port = new_port.unwrap_or(port);
                target.weight = weight.unwrap_or(target.weight);
            }
            (_, Found::Others(_)) if new_port.is_some() => return Err(409),
            (address, Found::Others(given)) => {
                let place = (group, address, port);
                match weight {
                    Some(weight) if weight != given => drop(self.weights.insert(place, weight)),
                    Some(_) => drop(self.weights.remove(&place)),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn deregister(&mut self, group: &'static str, entry: &Entry) -> Result<(), u16> {
        match self.find(group, entry) {
            Ok((_, Found::Own(at))) => {
                let targets = self.targets.get_mut(group).expect("it has a target");
                targets.remove(at);
                if targets.is_empty() {
                    self.targets.remove(group);
                }
                Ok(())
            }
            Ok((_, Found::Others(_))) => Err(409),
            // The weight of one that is not there, and may come back, is forgotten.
            Err(404) if entry.instance.is_none() && entry.eni.is_none() => {
                let address = entry.address.expect("a target is named");
                self.weights.remove(&(group, address, entry.port)).map(drop).ok_or(404)
            }
            Err(status) => Err(status),
        }
    }

    /// The one target that an entry names; an id may name several, and then its address must be given.
    fn find(&self, group: &str, entry: &Entry) -> Result<(Address, Found), u16> {
        let Entry { instance, eni, address, port, .. } = *entry;
        if (instance, eni, address) == (None, None, None) {
            return Err(422);
        }
        let is_named = |target: &Target| {
            target.port == port
                && address.is_none_or(|address| target.address == address)
                && instance.is_none_or(|instance| target.instance == Some(instance) && target.eni.is_none())
                && eni.is_none_or(|eni| target.eni == Some(eni))
        };
        let (of_file, joined) = others(&self.machines(), group);
        let own = self.own(group).iter().enumerate();
        let own = own.filter(|(_, target)| is_named(target)).map(|(at, target)| (target.address, Found::Own(at)));
        let others = of_file.iter().chain(&joined).filter(|target| is_named(target));
        let mut found = own.chain(others.map(|target| (target.address, Found::Others(target.weight))));
        let first = found.next().ok_or(404_u16)?;
        if found.any(|(address, _)| address != first.0) { Err(409) } else { Ok(first) }
    }

    fn after_put(&self, records: &[Record]) -> Result<World, u16> {
        if records.is_empty() {
            return Err(422);
        }
        let (mut all, mut after, of_file) = (self.machines(), self.clone(), machines_of_file());
        for record in records {
            if has(&of_file, record.list(), record.id()) {
                return Err(409);
            }
            if let Record::ScalingGroup(_, group) = record
                && group.target_groups.iter().any(|(name, ..)| !GROUPS.iter().any(|(known, _)| known == name))
            {
                return Err(422);
            }
            all.put(record)?;
        }
        self.may_join(&all)?;
        after.settle(&all);
        after.take_weights_along(&self.machines(), &all);
        after.with(all)
    }

    /// Those who are members of a target group beside these machines, and are not now.
    fn may_join(&self, machines: &Machines) -> Result<(), u16> {
        let before = self.machines().members();
        let mut new = machines.members().into_keys().filter(|member| !before.contains_key(member));
        if new.any(|(_, instance)| !machines.may_be_bound(instance)) { Err(422) } else { Ok(()) }
    }

    /// The weight of a member is its machine's: it goes where that goes, and with it.
    fn take_weights_along(&mut self, before: &Machines, after: &Machines) {
        for (group, _) in GROUPS {
            let (of_file, joined) = others(before, group);
            let (_, now) = others(after, group);
            let is_the_files = |target: &Target| {
                of_file.iter().any(|other| (other.address, other.port) == (target.address, target.port))
            };
            let mut moved = Vec::new();
            for member in joined.iter().filter(|member| !is_the_files(member)) {
                let now = now.iter().find(|now| (now.instance, now.port) == (member.instance, member.port));
                if now.is_some_and(|now| now.address == member.address) {
                    continue;
                }
                if let Some(weight) = self.weights.get(&(group, member.address, member.port)) {
                    moved.push((member.clone(), *weight, now));
                }
            }
            for (member, ..) in &moved {
                self.weights.remove(&(group, member.address, member.port));
            }
            for (member, weight, now) in moved {
                now.map(|now| self.weights.insert((group, now.address, member.port), weight));
            }
        }
    }

    fn after_forgetting(&self, list: &str, id: &'static str) -> Result<World, u16> {
        let (mut all, mut after) = (self.machines(), self.clone());
        if has(&machines_of_file(), list, id) {
            return Err(409);
        }
        if !has(&all, list, id) {
            return Err(404);
        }
        match list {
            "instances" => {
                // Whoever forgets a machine has given it back.
                all.instances.get_mut(id).expect("it is there").state = "released";
                all.let_go(id);
                after.settle(&all);
                all.instances.remove(id);
            }
            "enis" => drop(all.enis.remove(id)),
            _ => drop(all.scaling_groups.remove(id)),
        }
        after.settle(&all);
        after.take_weights_along(&self.machines(), &all);
        after.with(all)
    }

    /// The file's targets must still be what the file says.
    fn with(mut self, all: Machines) -> Result<World, u16> {
        if TARGETS_OF_FILE.iter().any(|(address, ..)| all.is_an_interfaces(*address)) {
            return Err(409);
        }
        let of_file = machines_of_file();
        self.machines = all;
        self.machines.instances.retain(|id, _| !of_file.instances.contains_key(id));
        self.machines.enis.retain(|id, _| !of_file.enis.contains_key(id));
        self.machines.scaling_groups.retain(|name, _| !of_file.scaling_groups.contains_key(name));
        self.targets.retain(|_, targets| !targets.is_empty());
        Ok(self)
    }
}

/// The file's targets and then the members of scaling groups, with the weights that they have from there. A member of the
/// file's scaling group is the file's.
fn others(machines: &Machines, group: &str) -> (Vec<Target>, Vec<Target>) {
    let (mut of_file, mut joined) = (Vec::new(), Vec::new());
    if group == "files" {
        of_file.extend(TARGETS_OF_FILE.map(|(address, port, weight)| Target {
            kind: "cvm",
            instance: machines.machine_at(address),
            by_id: false,
            eni: None,
            address,
            port,
            weight,
        }));
    }
    for ((_, instance), (scaling_group, port, weight)) in
        machines.members().into_iter().filter(|((of, _), _)| *of == group)
    {
        let address = machines.instances[instance].address;
        let target = Target { kind: "cvm", instance: Some(instance), by_id: true, eni: None, address, port, weight };
        if scaling_group == "asg-f" { of_file.push(target) } else { joined.push(target) }
    }
    (of_file, joined)
}

fn has(machines: &Machines, list: &str, id: &str) -> bool {
    match list {
        "instances" => machines.instances.contains_key(id),
        "enis" => machines.enis.contains_key(id),
        _ => machines.scaling_groups.contains_key(id),
    }
}

/// The balancer as it is to be.
pub struct Model {
    pub world: World,
    pub revision: u64,
    /// `retries` of group `app`: of the file that was read last.
    pub retries: u8,
    /// What each revision that is kept was.
    kept: BTreeMap<u64, Kept>,
    /// The oldest first.
    answered: VecDeque<Answered>,
}

struct Kept {
    world: World,
    is_start: bool,
}

/// A request that came with a key, and the revision that it was answered with.
struct Answered {
    key: String,
    line: String,
    body: String,
    revision: u64,
}

/// What a call that is made makes of the balancer.
pub struct Made {
    /// As its answer says.
    pub revision: u64,
    world: World,
    retries: u8,
    /// It came with a key that is new.
    answered: Option<Answered>,
}

impl Model {
    /// One that has begun with an empty folder.
    pub fn new() -> Self {
        let mut model = Model {
            world: World::default(),
            revision: 0,
            retries: 0,
            kept: BTreeMap::new(),
            answered: VecDeque::new(),
        };
        model.start();
        model
    }

    /// What is to be answered, and what it makes of the balancer.
    pub fn expect(&self, request: &Request) -> Result<Made, u16> {
        let Request { call, key, if_revision, .. } = request;
        let (line, body) = (call.line(), call.body());
        let (world, retries) = (self.world.clone(), self.retries);
        if let Call::Junk { status: 400, .. } = call {
            return Err(400);
        }
        if let Some(answered) = self.answered.iter().find(|answered| Some(&answered.key) == key.as_ref()) {
            let is_same = answered.line == line && answered.body == body;
            let again = Made { revision: answered.revision, world, retries, answered: None };
            return if is_same { Ok(again) } else { Err(409) };
        }
        if if_revision.is_some_and(|revision| revision != self.revision) {
            return Err(412);
        }
        let world = match call {
            Call::Restore(revision) => {
                let kept = self.kept.get(revision).ok_or(404_u16)?;
                self.world.may_join(&kept.world.machines())?;
                if kept.world.makes_wait(&self.world) {
                    return Err(409);
                }
                kept.world.clone()
            }
            call => self.world.after(call)?,
        };
        let retries = if matches!(call, Call::Reload) { request.retries } else { retries };
        let changes = world != self.world || retries != self.retries || key.is_some();
        let revision = self.revision + u64::from(changes);
        let answered = key.clone().map(|key| Answered { key, line, body, revision });
        Ok(Made { revision, world, retries, answered })
    }

    pub fn make(&mut self, made: Made) {
        let Made { revision, world, retries, answered } = made;
        if let Some(answered) = answered {
            self.answered.push_back(answered);
        }
        while self.answered.len() > KEYS_KEPT {
            self.answered.pop_front();
        }
        (self.world, self.retries) = (world, retries);
        if revision > self.revision {
            self.keep(revision, false);
        }
    }

    /// A process has begun: that is a revision, too.
    pub fn start(&mut self) {
        self.keep(self.revision + 1, true);
    }

    /// The last 100, and of starts one after the other the last.
    fn keep(&mut self, revision: u64, is_start: bool) {
        let last = self.kept.last_key_value().filter(|(_, last)| last.is_start && is_start).map(|(last, _)| *last);
        self.kept.insert(revision, Kept { world: self.world.clone(), is_start });
        if self.kept.len() > REVISIONS_KEPT {
            self.kept.pop_first();
        }
        last.map(|last| self.kept.remove(&last));
        self.revision = revision;
    }

    /// Those that can be restored.
    pub fn revisions(&self) -> Vec<u64> {
        self.kept.keys().copied().collect()
    }
}
