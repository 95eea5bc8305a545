//! The config as typed: every value of its own type with the line it stands on, nothing yet put together.
//!
//! `Table` reads one TOML table. A key that is not in its `Section`, or a value of the wrong type or out of its limits,
//! is reported here and reads as absent. So `resolve` sees good values only, and must not report an absent required one
//! a second time.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Report, Wrong, did_you_mean, quoted};
use super::keys::{self, Section};
use super::limits;
use super::snapshot::{AdminAddress, Algorithm, CheckProtocol, Cores, Protocol, Scheme, TargetKind};
use super::values::{self, PortPolicy, Read};

/// The whole file.
pub(super) struct Raw {
    pub balancer: RawBalancer,
    pub cores: Option<At<Cores>>,
    pub admin: RawAdmin,
    pub listeners: Vec<RawListener>,
    pub groups: Vec<RawGroup>,
}

/// A value and the line it stands on.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub value: T,
    pub line: usize,
}

/// `[balancer]`; like all tables below it is empty where the file has none.
#[derive(Default)]
pub(super) struct RawBalancer {
    pub name: Option<At<Arc<str>>>,
    pub region: Option<At<Arc<str>>>,
    pub network: Option<At<Arc<str>>>,
    pub zone: Option<At<Arc<str>>>,
    pub scheme: Option<At<Scheme>>,
    pub allow_public_targets: Option<At<bool>>,
    pub port_policy: Option<At<PortPolicy>>,
}

/// `[admin]`.
#[derive(Default)]
pub(super) struct RawAdmin {
    pub listen: Option<At<AdminAddress>>,
    pub token_file: Option<At<PathBuf>>,
    /// `token_file` is there, be it wrong.
    pub names_token_file: bool,
}

/// `[[listener]]`.
pub(super) struct RawListener {
    /// What errors call it.
    pub place: String,
    pub name: Option<At<Arc<str>>>,
    pub protocol: Option<At<Protocol>>,
    pub address: Option<At<SocketAddr>>,
    pub scheme: Option<At<Scheme>>,
    pub idle_timeout: Option<At<Duration>>,
    pub forward: Option<At<Arc<str>>>,
}

/// `[[target_group]]`.
pub(super) struct RawGroup {
    /// What errors call it.
    pub place: String,
    pub name: Option<At<Arc<str>>>,
    pub protocol: Option<At<Protocol>>,
    pub algorithm: Option<At<Algorithm>>,
    pub health_check: RawHealthCheck,
    pub fail_open: Option<At<bool>>,
    pub connect_timeout: Option<At<Duration>>,
    pub retries: Option<At<u8>>,
    pub targets: Vec<RawTarget>,
}

/// `health_check` of a target group.
#[derive(Default)]
pub(super) struct RawHealthCheck {
    pub protocol: Option<At<Option<CheckProtocol>>>,
    pub port: Option<At<u16>>,
    pub interval: Option<At<Duration>>,
    pub timeout: Option<At<Duration>>,
    pub healthy: Option<At<u8>>,
    pub unhealthy: Option<At<u8>>,
    pub source: Option<At<IpAddr>>,
}

/// `[[target_group.target]]`.
pub(super) struct RawTarget {
    /// What errors call it.
    pub place: String,
    pub line: usize,
    pub kind: Option<At<TargetKind>>,
    pub instance_id: Option<At<Arc<str>>>,
    pub eni_id: Option<At<Arc<str>>>,
    pub address: Option<At<IpAddr>>,
    pub port: Option<At<u16>>,
    pub weight: Option<At<u8>>,
}

/// Reads the whole file.
pub(super) fn read(root: &DeTable<'_>, report: &Report) -> Raw {
    let file = Table::open(root, 1, String::new(), &keys::FILE, report);
    Raw {
        balancer: file.table("balancer", "[balancer]: ", &keys::BALANCER).map(|t| balancer(&t)).unwrap_or_default(),
        cores: file.table("shards", "[shards]: ", &keys::SHARDS).and_then(|t| t.read("cores", values::cores)),
        admin: file.table("admin", "[admin]: ", &keys::ADMIN).map(|t| admin(&t)).unwrap_or_default(),
        listeners: file.list("listener", "listener", &keys::LISTENER).iter().map(listener).collect(),
        groups: file.list("target_group", "target group", &keys::TARGET_GROUP).iter().map(group).collect(),
    }
}

fn balancer(table: &Table<'_>) -> RawBalancer {
    RawBalancer {
        name: table.read("name", values::name),
        region: table.read("region", values::name),
        network: table.read("network", values::name),
        zone: table.read("zone", values::name),
        scheme: table.read("scheme", values::scheme),
        allow_public_targets: table.read("allow_public_targets", values::boolean),
        port_policy: table.read("port_policy", values::port_policy),
    }
}

fn admin(table: &Table<'_>) -> RawAdmin {
    RawAdmin {
        listen: table.read("listen", values::admin_address),
        token_file: table.read("token_file", values::path),
        names_token_file: table.entries.contains_key("token_file"),
    }
}

fn listener(table: &Table<'_>) -> RawListener {
    let action_place = format!("{}default_action.", table.place);
    let action_mend = "add default_action = { forward = \"name of a target group\" }";
    RawListener {
        place: table.thing(),
        name: table.require("name", values::name, "add name = \"web\""),
        protocol: table.require("protocol", values::protocol, "add protocol = \"tcp\""),
        address: table.require("address", values::bind_address, "add address = \"0.0.0.0:80\""),
        scheme: table.read("scheme", values::scheme),
        idle_timeout: table.read("idle_timeout", values::duration(&limits::IDLE_TIMEOUT)),
        forward: table
            .require_table("default_action", &action_place, &keys::DEFAULT_ACTION, action_mend)
            .and_then(|t| t.require("forward", values::name, "add forward = \"name of a target group\"")),
    }
}

fn group(table: &Table<'_>) -> RawGroup {
    let health_check = table.table("health_check", &format!("{}health_check.", table.place), &keys::HEALTH_CHECK);
    RawGroup {
        place: table.thing(),
        name: table.require("name", values::name, "add name = \"app\""),
        protocol: table.require("protocol", values::protocol, "add protocol = \"tcp\""),
        algorithm: table.read("algorithm", values::algorithm),
        health_check: health_check.map(|t| self::health_check(&t)).unwrap_or_default(),
        fail_open: table.read("fail_open", values::boolean),
        connect_timeout: table.read("connect_timeout", values::duration(&limits::CONNECT_TIMEOUT)),
        retries: table.read("retries", values::number(&limits::RETRIES)),
        targets: table.list("target", "target", &keys::TARGET).iter().map(target).collect(),
    }
}

fn health_check(table: &Table<'_>) -> RawHealthCheck {
    RawHealthCheck {
        protocol: table.read("protocol", values::check_protocol),
        port: table.read("port", values::number(&limits::PORT)),
        interval: table.read("interval", values::duration(&limits::HEALTH_INTERVAL)),
        timeout: table.read("timeout", values::duration(&limits::HEALTH_TIMEOUT)),
        healthy: table.read("healthy", values::number(&limits::HEALTH_THRESHOLD)),
        unhealthy: table.read("unhealthy", values::number(&limits::HEALTH_THRESHOLD)),
        source: table.read("source", values::unicast),
    }
}

fn target(table: &Table<'_>) -> RawTarget {
    let instance_id = table.read("instance_id", values::name);
    let eni_id = table.read("eni_id", values::name);
    let address_mend = match instance_id.as_ref().or(eni_id.as_ref()) {
        Some(id) => format!("this version has no inventory to look up {}: add its address", quoted(&id.value)),
        None => "add address = \"10.0.0.5\"".to_owned(),
    };
    RawTarget {
        place: table.thing(),
        line: table.line,
        kind: table.read("type", values::target_kind),
        instance_id,
        eni_id,
        address: table.require("address", values::unicast, &address_mend),
        port: table.require("port", values::number(&limits::PORT), "add port = 8080"),
        weight: table.read("weight", values::number(&limits::WEIGHT)),
    }
}

/// One TOML table that is being read.
struct Table<'t> {
    entries: &'t DeTable<'t>,
    line: usize,
    /// What errors put in front of a key: `listener "web": ` or `listener "web": default_action.`.
    place: String,
    section: &'static Section,
    report: &'t Report<'t>,
}

impl<'t> Table<'t> {
    /// Unknown keys are reported here, so that no reader can forget to.
    fn open(
        entries: &'t DeTable<'t>,
        line: usize,
        place: String,
        section: &'static Section,
        report: &'t Report<'t>,
    ) -> Table<'t> {
        let table = Table { entries, line, place, section, report };
        for key in entries.keys().filter(|key| !section.keys.contains(&key.get_ref().as_ref())) {
            table.unknown(report.line_of(key.span().start), key.get_ref());
        }
        table
    }

    /// A value that may be absent.
    fn read<T>(&self, key: &'static str, parse: impl Fn(&DeValue<'_>) -> Read<T>) -> Option<At<T>> {
        let value = self.get(key)?;
        let line = self.line_of(value);
        parse(value.get_ref()).map_err(|wrong| self.wrong(line, key, wrong)).ok().map(|value| At { value, line })
    }

    /// A value that must be there; `mend` says how to add it.
    fn require<T>(&self, key: &'static str, parse: impl Fn(&DeValue<'_>) -> Read<T>, mend: &str) -> Option<At<T>> {
        if self.get(key).is_none() {
            self.missing(key, mend);
        }
        self.read(key, parse)
    }

    /// A table inside this one.
    fn table(&self, key: &'static str, place: &str, section: &'static Section) -> Option<Table<'t>> {
        let value = self.get(key)?;
        let line = self.line_of(value);
        let DeValue::Table(entries) = value.get_ref() else {
            self.wrong(line, key, values::expected("a table", value.get_ref(), "write it as { key = value }"));
            return None;
        };
        Some(Table::open(entries, line, place.to_owned(), section, self.report))
    }

    /// A table that must be there.
    fn require_table(
        &self,
        key: &'static str,
        place: &str,
        section: &'static Section,
        mend: &str,
    ) -> Option<Table<'t>> {
        if self.get(key).is_none() {
            self.missing(key, mend);
        }
        self.table(key, place, section)
    }

    /// A list of tables inside this one. Errors call each by its name, or by its number where it has none.
    fn list(&self, key: &'static str, noun: &str, section: &'static Section) -> Vec<Table<'t>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            let mend = format!("head each one with {}", section.title.trim_matches('`'));
            self.wrong(self.line_of(value), key, values::expected("a list of tables", value.get_ref(), &mend));
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let line = self.line_of(item);
            let DeValue::Table(entries) = item.get_ref() else {
                self.wrong(line, key, values::expected("a table", item.get_ref(), "write it as { key = value }"));
                continue;
            };
            let place = match entries.get("name").and_then(|name| name.get_ref().as_str()) {
                Some(name) => format!("{}{noun} {}: ", self.place, quoted(name)),
                None => format!("{}{noun} #{}: ", self.place, index + 1),
            };
            tables.push(Table::open(entries, line, place, section, self.report));
        }
        tables
    }

    fn get(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        debug_assert!(self.section.keys.contains(&key), "{key} is not among the keys of {}", self.section.title);
        self.entries.get(key)
    }

    fn line_of(&self, value: &Spanned<DeValue<'_>>) -> usize {
        self.report.line_of(value.span().start)
    }

    /// The thing that this table describes: `listener "web"`.
    fn thing(&self) -> String {
        self.place.strip_suffix(": ").unwrap_or(&self.place).to_owned()
    }

    fn missing(&self, key: &str, mend: &str) {
        self.wrong(self.line, key, Wrong::new("missing", mend));
    }

    fn wrong(&self, line: usize, key: &str, wrong: Wrong) {
        self.report.at(line, format!("{}{key}", self.place), wrong);
    }

    fn unknown(&self, line: usize, key: &str) {
        let place = format!("{}{}", self.place, shown_key(key));
        if keys::LATER.contains(&key) {
            let wrong = Wrong::new("this version does not have this feature yet", "remove the key");
            return self.report.at(line, place, wrong);
        }
        let known = self.section.keys;
        let mend = did_you_mean(key, known.iter().copied(), || format!("the keys here are {}", known.join(", ")));
        self.report.at(line, place, Wrong::new("unknown key", mend));
    }
}

/// A key as typed; in quotes where it would not read as a word.
fn shown_key(key: &str) -> String {
    let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare && (1..=limits::NAME_BYTES_MAX).contains(&key.len()) { key.to_owned() } else { quoted(key) }
}
