//! The config of one test, as a value that can be changed and written again.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::place;

/// A config file in the making. `keys` are lines of TOML that go into the table as they are.
#[derive(Debug, Clone)]
pub struct Config {
    pub shards: usize,
    pub admin: SocketAddr,
    /// Further lines of `[admin]`.
    pub admin_keys: String,
    /// The file of the issuer whose certificate the endpoint has; `admin_keys` names that.
    pub admin_issuer: Option<PathBuf>,
    /// Lines of `[balancer]`.
    pub keys: String,
    /// Tables besides: `[flash_policy]`.
    pub tables: String,
    /// `[access_log]`.
    pub access_log: Option<PathBuf>,
    /// Its other keys.
    pub access_log_keys: String,
    pub listeners: Vec<Listener>,
    pub groups: Vec<Group>,
}

#[derive(Debug, Clone)]
pub struct Listener {
    pub name: String,
    pub protocol: &'static str,
    pub address: SocketAddr,
    pub group: String,
    pub keys: String,
    /// Tables below it: rules, error pages.
    pub tables: String,
}

#[derive(Debug, Clone)]
pub struct Group {
    pub name: String,
    pub protocol: &'static str,
    pub keys: String,
    pub check: String,
    pub targets: Vec<(SocketAddr, u8)>,
    /// Lines of these targets' tables.
    pub target_keys: Vec<(SocketAddr, String)>,
}

/// Checks often enough that a test need not wait long, with room for a busy machine.
pub const QUICK_CHECK: &str = r#"protocol = "tcp", interval = "200ms", timeout = "150ms", healthy = 2, unhealthy = 2"#;
/// No checks: every target counts as healthy at once.
pub const NO_CHECK: &str = r#"protocol = "none""#;

impl Config {
    /// Two shards, no listener yet.
    pub fn new() -> Self {
        Config {
            shards: 2,
            admin: place::free(),
            admin_keys: String::new(),
            admin_issuer: None,
            keys: String::new(),
            tables: String::new(),
            access_log: None,
            access_log_keys: String::new(),
            listeners: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// One listener `web` in front of one group `app`, whose targets are not checked. Returns the listener's address too.
    pub fn relay(targets: &[SocketAddr]) -> (Self, SocketAddr) {
        let address = place::free();
        let targets = targets.iter().fold(Group::new("app"), |group, target| group.target(*target, 10));
        (Config::new().listener("web", address, "app").group(targets), address)
    }

    /// As `relay`, in HTTP, with an access log that `Weir::access_log` reads.
    pub fn http(targets: &[SocketAddr]) -> (Self, SocketAddr) {
        let (mut config, address) = Config::relay(targets);
        config.listeners[0].protocol = "http";
        config.groups[0].protocol = "http";
        config.access_log = Some("access.log".into());
        (config, address)
    }

    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    pub fn listener(self, name: &str, address: SocketAddr, group: &str) -> Self {
        self.listener_with(name, address, group, "")
    }

    pub fn listener_with(mut self, name: &str, address: SocketAddr, group: &str, keys: &str) -> Self {
        self.listeners.push(Listener {
            name: name.into(),
            protocol: "tcp",
            address,
            group: group.into(),
            keys: keys.into(),
            tables: String::new(),
        });
        self
    }

    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// The first listener, to change it.
    pub fn web(&mut self) -> &mut Listener {
        &mut self.listeners[0]
    }

    /// The only group, to change it.
    pub fn app(&mut self) -> &mut Group {
        &mut self.groups[0]
    }

    pub fn to_toml(&self) -> String {
        let Config { shards, admin, admin_keys, keys, tables, .. } = self;
        let mut text = format!(
            "[balancer]\nname = \"test\"\nallow_public_targets = true\n{keys}\n[shards]\ncores = {shards}\n\
             [admin]\nlisten = \"{admin}\"\n{admin_keys}\n{tables}\n"
        );
        if let Some(path) = &self.access_log {
            let _ = write!(text, "\n[access_log]\npath = \"{}\"\n{}\n", path.display(), self.access_log_keys);
        }
        for Listener { name, protocol, address, group, keys, tables } in &self.listeners {
            let _ = write!(
                text,
                "\n[[listener]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\naddress = \"{address}\"\n{keys}\n\
                 default_action = {{ forward = \"{group}\" }}\n{tables}\n"
            );
        }
        self.groups.iter().for_each(|group| group.write(&mut text));
        text
    }
}

impl Group {
    /// An unchecked group without targets.
    pub fn new(name: &str) -> Self {
        Group {
            name: name.into(),
            protocol: "tcp",
            keys: String::new(),
            check: NO_CHECK.into(),
            targets: Vec::new(),
            target_keys: Vec::new(),
        }
    }

    /// As `new`, of HTTP targets.
    pub fn http(name: &str) -> Self {
        Group { protocol: "http", ..Group::new(name) }
    }

    pub fn check(mut self, check: &str) -> Self {
        self.check = check.into();
        self
    }

    pub fn target(mut self, address: SocketAddr, weight: u8) -> Self {
        self.targets.push((address, weight));
        self
    }

    pub fn set_weight(&mut self, target: SocketAddr, weight: u8) {
        self.targets.iter_mut().filter(|(address, _)| *address == target).for_each(|entry| entry.1 = weight);
    }

    pub fn set_keys(&mut self, target: SocketAddr, keys: impl Into<String>) {
        self.target_keys.retain(|(address, _)| *address != target);
        self.target_keys.push((target, keys.into()));
    }

    pub fn remove(&mut self, target: SocketAddr) {
        self.targets.retain(|(address, _)| *address != target);
    }

    fn write(&self, text: &mut String) {
        let Group { name, protocol, keys, check, targets, target_keys } = self;
        let _ = write!(
            text,
            "\n[[target_group]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\n{keys}\nhealth_check = {{ {check} }}\n"
        );
        for (address, weight) in targets {
            let (ip, port) = (address.ip(), address.port());
            let more = target_keys.iter().find(|(of, _)| of == address).map_or("", |(_, keys)| keys);
            let _ = write!(
                text,
                "  [[target_group.target]]\n  address = \"{ip}\"\n  port = {port}\n  weight = {weight}\n  {more}\n"
            );
        }
    }
}
