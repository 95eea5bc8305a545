//! Calls at random, good and bad: few names, addresses and ports, so that they meet.

use serde_json::{Value, json};

use super::machines::{Address, Eni, Instance, Record, ScalingGroup, Target, dotted};
use super::model::{GROUPS, MACHINE_OF_FILE, Model, World};

const INSTANCES: [&str; 4] = ["ins-1", "ins-2", "ins-3", "ins-4"];
const ENIS: [&str; 3] = ["eni-1", "eni-2", "eni-3"];
/// One before and one after the file's, which is called `asg-f`: of two the first by name decides.
const SCALING_GROUPS: [&str; 2] = ["asg-1", "asg-z"];
const STATES: [&str; 8] = ["running", "running", "running", "running", "running", "stopped", "isolated", "released"];
const APP: &str = "/v1/target-groups/app/targets";

/// A call, and under which terms it is sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub call: Call,
    pub key: Option<String>,
    pub if_revision: Option<u64>,
    /// Of a reload: what the file says then.
    pub retries: u8,
}

#[derive(Debug, Clone)]
pub enum Call {
    Register {
        group: &'static str,
        entries: Vec<Entry>,
    },
    Update {
        group: &'static str,
        entries: Vec<Entry>,
    },
    Deregister {
        group: &'static str,
        entries: Vec<Entry>,
    },
    /// One, by its own path.
    Put(Vec<Record>),
    Patch(Vec<Record>),
    Forget {
        list: &'static str,
        id: &'static str,
    },
    Restore(u64),
    Reload,
    ReloadOfABadFile,
    Junk {
        line: &'static str,
        body: &'static str,
        status: u16,
    },
}

/// One of a list of targets.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    pub kind: Option<&'static str>,
    pub instance: Option<&'static str>,
    pub eni: Option<&'static str>,
    pub address: Option<Address>,
    pub port: u16,
    pub weight: Option<u16>,
    pub new_port: Option<u16>,
}

/// What no call is: another shape, a wrong type, a field or path that there is not.
const JUNK: [(&str, &str, u16); 20] = [
    ("POST /v1/target-groups/app/targets", "", 400),
    ("POST /v1/target-groups/app/targets", "{\"targets\":", 400),
    ("POST /v1/target-groups/app/targets", "[]", 400),
    ("POST /v1/target-groups/app/targets", "{\"target\":[]}", 400),
    ("POST /v1/target-groups/app/targets", "{\"targets\":{}}", 400),
    ("POST /v1/target-groups/app/targets", "{\"targets\":[{\"address\":\"10.0.0.256\",\"port\":1}]}", 400),
    ("POST /v1/target-groups/app/targets", "{\"targets\":[{\"address\":\"10.0.0.1\",\"port\":\"1\"}]}", 400),
    ("POST /v1/target-groups/app/targets", "{\"targets\":[{\"address\":\"10.0.0.1\",\"port\":1,\"new_port\":2}]}", 400),
    ("POST /v1/target-groups/app/targets", "{\"targets\":[{\"address\":\"0.0.0.0\",\"port\":1}]}", 422),
    (
        "PATCH /v1/target-groups/app/targets",
        "{\"targets\":[{\"address\":\"10.0.0.1\",\"port\":1,\"weight\":256}]}",
        400,
    ),
    ("DELETE /v1/target-groups/app/targets", "{\"targets\":[{\"address\":\"10.0.0.1\",\"port\":1,\"weight\":1}]}", 400),
    ("PUT /v1/target-groups/app/targets", "{\"targets\":[]}", 405),
    ("PUT /v1/inventory/instances/ins-1", "{\"address\":\"10.0.0.1\",\"adress\":1}", 400),
    ("PUT /v1/inventory/instances/ins-1", "{\"id\":\"ins-2\",\"address\":\"10.0.0.1\"}", 400),
    ("PUT /v1/inventory/instances/ins%201", "{\"address\":\"10.0.0.1\"}", 404),
    ("PUT /v1/inventory/instances/ins-1", "{\"address\":\"10.0.0.1\",\"state\":\"gone\"}", 400),
    ("PATCH /v1/inventory", "{\"enis\":[{\"id\":\"e\",\"addresses\":\"10.0.0.1\"}]}", 400),
    (
        "PATCH /v1/inventory",
        "{\"instances\":[{\"id\":\"a\",\"address\":\"10.0.0.1\"},{\"id\":\"a\",\"address\":\"10.0.0.2\"}]}",
        422,
    ),
    ("POST /v1/revisions/x/restore", "", 404),
    ("DELETE /v1/scaling-groups", "", 404),
];

impl Call {
    pub fn line(&self) -> String {
        let targets = |method: &str, group: &str| format!("{method} {}", APP.replace("app", group));
        match self {
            Call::Register { group, .. } => targets("POST", group),
            Call::Update { group, .. } => targets("PATCH", group),
            Call::Deregister { group, .. } => targets("DELETE", group),
            Call::Put(records) => format!("PUT {}", path(records[0].list(), records[0].id())),
            Call::Patch(_) => "PATCH /v1/inventory".to_owned(),
            Call::Forget { list, id } => format!("DELETE {}", path(list, id)),
            Call::Restore(revision) => format!("POST /v1/revisions/{revision}/restore"),
            Call::Reload | Call::ReloadOfABadFile => "POST /v1/reload".to_owned(),
            Call::Junk { line, .. } => (*line).to_owned(),
        }
    }

    pub fn body(&self) -> String {
        match self {
            Call::Register { entries, .. } | Call::Update { entries, .. } | Call::Deregister { entries, .. } => {
                json!({ "targets": entries.iter().map(Entry::json).collect::<Vec<_>>() }).to_string()
            }
            Call::Put(records) => records[0].body().to_string(),
            Call::Patch(records) => {
                let mut body = json!({});
                for record in records {
                    let mut one = record.body();
                    one[if record.list() == "scaling_groups" { "name" } else { "id" }] = record.id().into();
                    let list = &mut body[record.list()];
                    let mut all = list.as_array().cloned().unwrap_or_default();
                    all.push(one);
                    *list = all.into();
                }
                body.to_string()
            }
            Call::Forget { .. } | Call::Restore(_) | Call::Reload | Call::ReloadOfABadFile => String::new(),
            Call::Junk { body, .. } => (*body).to_owned(),
        }
    }

    /// For the tally.
    pub fn kind(&self) -> &'static str {
        match self {
            Call::Register { .. } => "register",
            Call::Update { .. } => "update",
            Call::Deregister { .. } => "deregister",
            Call::Put(_) => "put",
            Call::Patch(_) => "patch",
            Call::Forget { .. } => "forget",
            Call::Restore(_) => "restore",
            Call::Reload => "reload",
            Call::ReloadOfABadFile => "reload of a bad file",
            Call::Junk { .. } => "junk",
        }
    }
}

fn path(list: &str, id: &str) -> String {
    if list == "scaling_groups" { format!("/v1/scaling-groups/{id}") } else { format!("/v1/inventory/{list}/{id}") }
}

impl Entry {
    fn json(&self) -> Value {
        let fields = [
            ("type", self.kind.map(Value::from)),
            ("instance_id", self.instance.map(Value::from)),
            ("eni_id", self.eni.map(Value::from)),
            ("address", self.address.map(|address| dotted(address).into())),
            ("port", Some(self.port.into())),
            ("weight", self.weight.map(Value::from)),
            ("new_port", self.new_port.map(Value::from)),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Where calls come from.
pub struct Caller {
    pub random: fastrand::Rng,
    keys: usize,
    /// Requests with a key, as they were sent.
    keyed: Vec<Request>,
}

impl Caller {
    pub fn new(seed: u64) -> Self {
        Caller { random: fastrand::Rng::with_seed(seed), keys: 0, keyed: Vec::new() }
    }

    pub fn request(&mut self, model: &Model) -> Request {
        if let Some(again) = self.again(model) {
            return again;
        }
        let call = self.call(model);
        let mut request = Request { call, key: None, if_revision: None, retries: model.retries };
        if matches!(request.call, Call::Junk { .. }) {
            return request;
        }
        if self.one_in(2) {
            request.retries = self.random.u8(0..4);
        }
        if self.one_in(16) {
            let revision = if self.one_in(2) { model.revision } else { self.random.u64(0..model.revision + 2) };
            request.if_revision = Some(revision);
        }
        if self.one_in(16) { self.with_key(request) } else { request }
    }

    /// With a new key, if it has none.
    pub fn with_key(&mut self, request: Request) -> Request {
        if request.key.is_some() || matches!(request.call, Call::Junk { .. }) {
            return request;
        }
        self.keys += 1;
        let request = Request { key: Some(format!("key-{}", self.keys)), ..request };
        self.keyed.push(request.clone());
        request
    }

    /// A key comes twice: with the same request, or with another.
    fn again(&mut self, model: &Model) -> Option<Request> {
        if self.keyed.is_empty() || !self.one_in(32) {
            return None;
        }
        let mut again = self.keyed[self.random.usize(..self.keyed.len())].clone();
        if self.one_in(3) {
            again.call = self.call(model);
        }
        Some(again).filter(|again| !matches!(again.call, Call::Junk { .. }))
    }

    fn call(&mut self, model: &Model) -> Call {
        let world = &model.world;
        // Now and then a group that there is not.
        let group = if self.one_in(40) { "nobody" } else { self.group() };
        let count = self.of(&[1, 1, 1, 1, 2, 3]);
        match self.random.u8(..100) {
            // Of the file's targets there is but one thing that can be changed: their weight.
            0..25 | 43..58 if group == "files" && !self.one_in(6) => self.call(model),
            0..25 => Call::Register { group, entries: (0..count).map(|_| self.new_target(world)).collect() },
            25..43 => Call::Update { group, entries: (0..count).map(|_| self.update(world, group)).collect() },
            43..58 => Call::Deregister { group, entries: (0..count).map(|_| self.which(world, group)).collect() },
            58..76 => Call::Put(vec![self.record(world)]),
            76..82 => Call::Patch(self.records(world)),
            82..87 => {
                let record = self.record(world);
                Call::Forget { list: record.list(), id: record.id() }
            }
            87..91 => Call::Restore(self.revision(model)),
            91..94 if self.one_in(5) => Call::ReloadOfABadFile,
            91..94 => Call::Reload,
            94..95 => Call::Register { group, entries: Vec::new() },
            _ => {
                let (line, body, status) = self.of(&JUNK);
                Call::Junk { line, body, status }
            }
        }
    }

    fn new_target(&mut self, world: &World) -> Entry {
        let mut entry = match self.random.u8(..12) {
            0..3 => Entry { address: Some(self.address()), ..Entry::default() },
            3..5 => Entry { instance: Some(self.known_instance(world)), ..Entry::default() },
            5 => Entry { instance: Some(self.instance()), address: Some(self.address()), ..Entry::default() },
            6 => Entry { kind: Some("eni"), eni: Some(self.eni()), ..Entry::default() },
            7..9 => self.of_an_eni(world),
            9 => Entry { kind: Some("eni"), eni: Some(self.eni()), address: Some(self.address()), ..Entry::default() },
            10 => Entry { kind: Some("eni"), address: Some(self.address()), ..Entry::default() },
            // In a data centre, or with an id of the other kind.
            _ => {
                let kind = self.of(&["idc", "eni"]);
                Entry {
                    kind: Some(kind),
                    instance: Some(self.instance()),
                    address: Some(self.address()),
                    ..Entry::default()
                }
            }
        };
        entry.port = self.port();
        entry.weight = if self.one_in(3) { None } else { Some(self.weight()) };
        entry
    }

    /// With an address that an attached interface has; `eni-f` always is.
    fn of_an_eni(&mut self, world: &World) -> Entry {
        let enis = world.machines().enis.into_iter().filter(|(_, eni)| eni.instance.is_some());
        let enis: Vec<_> =
            enis.flat_map(|(id, eni)| eni.addresses.into_iter().map(move |address| (id, address))).collect();
        let (eni, address) = self.of(&enis);
        let address = Some(address);
        Entry { kind: Some("eni"), eni: Some(eni), address, ..Entry::default() }
    }

    /// Mostly one that is there, by its address or an id.
    fn which(&mut self, world: &World, group: &'static str) -> Entry {
        let targets = world.group(group).targets;
        if targets.is_empty() || self.one_in(5) {
            let Entry { instance, eni, address, port, .. } = self.new_target(world);
            return Entry { instance, eni, address, port, ..Entry::default() };
        }
        let Target { instance, eni, address, port, .. } = targets[self.random.usize(..targets.len())];
        let by_address = Entry { address: Some(address), port, ..Entry::default() };
        match self.random.u8(..8) {
            0..2 if instance.is_some() => Entry { instance, port, ..Entry::default() },
            2..5 if eni.is_some() => Entry { eni, port, ..Entry::default() },
            5 => Entry { instance, eni, ..by_address },
            6 if self.one_in(8) => Entry { port, ..Entry::default() },
            _ => by_address,
        }
    }

    fn update(&mut self, world: &World, group: &'static str) -> Entry {
        let which = self.which(world, group);
        let (weight, new_port) = (Some(self.weight()), Some(self.port()));
        match self.random.u8(..20) {
            0 => which,
            1..3 => Entry { weight, new_port, ..which },
            3..8 => Entry { new_port, ..which },
            _ => Entry { weight, ..which },
        }
    }

    fn records(&mut self, world: &World) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        for _ in 0..self.random.usize(..5) {
            let record = self.record(world);
            if !records.iter().any(|other| (other.list(), other.id()) == (record.list(), record.id())) {
                records.push(record);
            }
        }
        records
    }

    fn record(&mut self, world: &World) -> Record {
        match self.random.u8(..20) {
            0..9 => {
                let address = if self.one_in(20) { MACHINE_OF_FILE.1 } else { self.random.u8(1..8) };
                Record::Instance(self.instance(), Instance { address, state: self.of(&STATES) })
            }
            9..15 => {
                let instance = if self.one_in(6) { None } else { Some(self.known_instance(world)) };
                let count = if self.one_in(30) { 0 } else { self.random.usize(1..4) };
                let addresses = (0..count).map(|_| if self.one_in(2) { self.address() } else { self.random.u8(7..13) });
                let addresses = addresses.collect();
                Record::Eni(self.eni(), Eni { instance, addresses })
            }
            _ => {
                let instances = (0..self.random.usize(..4)).map(|_| self.known_instance(world)).collect();
                let target_groups = (0..self.random.usize(..3)).map(|_| {
                    let group = if self.one_in(30) { "nobody" } else { self.group() };
                    (group, self.port(), self.weight())
                });
                let target_groups = target_groups.collect();
                let name = if self.one_in(20) { "asg-f" } else { self.of(&SCALING_GROUPS) };
                Record::ScalingGroup(name, ScalingGroup { instances, target_groups })
            }
        }
    }

    fn revision(&mut self, model: &Model) -> u64 {
        let kept = model.revisions();
        if self.one_in(4) { self.random.u64(..model.revision + 3) } else { self.of(&kept) }
    }

    /// Where the inventory has some, mostly one of those.
    fn known_instance(&mut self, world: &World) -> &'static str {
        let known: Vec<&str> = world.machines().instances.into_keys().collect();
        if self.one_in(10) { self.instance() } else { self.of(&known) }
    }

    fn instance(&mut self) -> &'static str {
        if self.one_in(12) { MACHINE_OF_FILE.0 } else { self.of(&INSTANCES) }
    }

    fn eni(&mut self) -> &'static str {
        if self.one_in(12) { "eni-f" } else { self.of(&ENIS) }
    }

    fn group(&mut self) -> &'static str {
        self.of(&GROUPS).0
    }

    fn address(&mut self) -> Address {
        if self.one_in(20) { self.of(&[MACHINE_OF_FILE.1, MACHINE_OF_FILE.2]) } else { self.random.u8(1..13) }
    }

    fn port(&mut self) -> u16 {
        if self.one_in(40) { 0 } else { self.random.u16(1..5) }
    }

    fn weight(&mut self) -> u16 {
        // Those that targets have from elsewhere, too; now and then one that is none.
        if self.one_in(30) { 101 } else { self.of(&[0, 1, 7, 10, 20, 50, 100]) }
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.random.usize(..count) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.usize(..all.len())]
    }
}
