//! Raw -> Snapshot: defaults are filled in, names become indices, and what must hold between two values is checked.
//!
//! A thing that lacks a required value was reported by `raw`; it is left out here, and the snapshot is then thrown away.
//! So indices are those of a full snapshot wherever one comes out.

mod action;
mod admin;
mod check;
mod flash;
mod group;
mod inventory;
mod listener;
mod webhook;

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;
use std::hash::Hash;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::error::{Report, Wrong};
use super::files::{Content, Files};
use super::raw::{At, Given, Raw, RawAccessLog, RawBalancer};
use super::snapshot::{AccessLog, Balancer, Cores, LogFormat, LogTo, Scheme, SecurityGroupDrop, Snapshot};
use super::values::PortPolicy;
use super::{Known, Mode, limits};
use crate::acl::Compiler;
use crate::inventory::Place;
use crate::l7::Keys;
use flash::Responder;
use inventory::Binder;

/// Makes revision 1 of the snapshot. Only good if `report` stays empty.
pub(super) fn resolve(
    raw: Raw,
    mode: Mode,
    files: &Files<'_>,
    (known, now): (&Known, SystemTime),
    report: &Report,
) -> Snapshot {
    let Raw { balancer, cores, admin, access_log, flash_policy, listeners, mut groups, inventory: records } = raw;
    let place = inventory::place(&balancer, mode, report);
    let of_file = inventory::inventory(&records, report);
    let mut inventory = of_file.clone();
    let refused = inventory.merge(&known.records);
    let binder = Binder { inventory: &inventory, of_file: &records, place: &place, now, report };
    binder.bind(&mut groups);
    let door = binder.door(known.door, &groups, balancer.cross_region.as_ref());
    let left_out = refused.into_iter().map(|(which, refusal)| format!("{which} of the API: {refusal}"));
    let left_out = report.take_notes().into_iter().chain(left_out).collect();
    let scope = Scope {
        scheme: value_or(balancer.scheme.as_ref(), Scheme::default()),
        port_policy: value_or(balancer.port_policy.as_ref(), PortPolicy::Any),
        names_zone: balancer.names_zone,
        security_group: RefCell::new(Compiler::new(balancer.security_group.clone())),
        security_group_drop: value_or(balancer.security_group_drop.as_ref(), SecurityGroupDrop::default()),
        files,
        report,
    };
    let admin_line = admin.listen.as_ref().map(|listen| listen.line);
    let admin = scope.admin(&admin, now);
    let responder = Responder::new(flash_policy.as_ref());
    let own_name = responder.iter().map(|responder| ("[flash_policy]", Some(&responder.name)));
    scope.names_are_unique(own_name.chain(listeners.iter().map(|l| (l.place.as_str(), l.name.as_ref()))));
    scope.names_are_unique(groups.iter().map(|g| (g.place.as_str(), g.name.as_ref())));
    scope.addresses_are_unique(&listeners, &admin.listen, admin_line);
    let responder =
        responder.map(|responder| scope.responder(&responder, &listeners, &groups, (&admin.listen, admin_line)));
    let listeners = listeners.iter().filter_map(|listener| scope.listener(listener, &groups));
    let listeners = listeners.chain(responder).map(Arc::new).collect();
    let cookie_keys = scope.cookie_keys(&balancer);
    let webhook_keys = scope.webhook_keys(&balancer, &records);
    let state_dir = balancer.state_dir.as_ref().map(|path| files.path(&path.value));
    Snapshot {
        revision: 1,
        balancer: self::balancer(balancer, &scope, place),
        cores: cores.map_or(Cores::All, |cores| cores.value),
        admin,
        state_dir,
        access_log: access_log.and_then(|raw| scope.access_log(&raw)),
        cookie_keys,
        webhook_keys,
        listeners,
        groups: groups.iter().filter_map(|group| scope.group(group)).map(Arc::new).collect(),
        inventory: Arc::new(inventory),
        inventory_of_file: Arc::new(of_file),
        left_out,
        warnings: report.take_warnings(),
        door,
    }
}

/// What `[balancer]` says about all others, and where the config is.
struct Scope<'r> {
    scheme: Scheme,
    port_policy: PortPolicy,
    /// `[balancer] zone` is there.
    names_zone: bool,
    /// The balancer's, which every listener has besides its own.
    security_group: RefCell<Compiler>,
    security_group_drop: SecurityGroupDrop,
    files: &'r Files<'r>,
    report: &'r Report<'r>,
}

impl Scope<'_> {
    fn access_log(&self, raw: &RawAccessLog) -> Option<AccessLog> {
        let path = raw.path.as_ref()?;
        let to = match path.value.to_str() {
            Some("stdout") => LogTo::Stdout,
            Some("syslog") => LogTo::Syslog,
            _ => LogTo::File {
                path: self.files.path(&path.value),
                rotate_bytes: raw.rotate_bytes.as_ref().and_then(|bytes| NonZeroU64::new(bytes.value)),
                rotate_keep: value_or(raw.rotate_keep.as_ref(), limits::LOG_ROTATE_KEEP_DEFAULT),
            },
        };
        if !matches!(to, LogTo::File { .. }) {
            let lines = [
                ("rotate_size", raw.rotate_bytes.as_ref().map(|bytes| bytes.line)),
                ("rotate_keep", raw.rotate_keep.as_ref().map(|keep| keep.line)),
            ];
            for (key, line) in lines.into_iter().filter_map(|(key, line)| Some((key, line?))) {
                let wrong = Wrong::new("only a file is set aside by its size", "remove it, or set path to a file's");
                self.report.at(line, format!("[access_log]: {key}"), wrong);
            }
        }
        Some(AccessLog { to, format: value_or(raw.format.as_ref(), LogFormat::default()) })
    }

    /// A secret that others can read, or guess, is none.
    fn cookie_keys(&self, raw: &RawBalancer) -> Keys {
        let Some(path) = &raw.secret_file else { return keys_of_this_process() };
        self.read_secret(&path.value, Keys::parse).unwrap_or_else(|wrong| {
            self.report.at(path.line, "[balancer]: secret_file", wrong);
            keys_of_this_process()
        })
    }

    /// `parse` gives an error that ends in how to mend it.
    fn read_secret<K, E: Display>(&self, path: &Path, parse: fn(&str) -> Result<K, E>) -> Result<K, Wrong> {
        let shown = self.files.path(path);
        let shown = shown.display();
        let content = self.read_guarded(path, limits::SECRET_FILE_BYTES_MAX)?;
        let no_text = |_| Wrong::new(format!("{shown} is not text"), "make a new one, or name another file");
        let text = std::str::from_utf8(&content.bytes).map_err(no_text)?;
        parse(text).map_err(|error| {
            let said = error.to_string();
            let (what, mend) = said.split_once("; ").unwrap_or((&said, "make a new one"));
            Wrong::new(format!("{shown}: {what}"), mend)
        })
    }

    /// Reads a file that other accounts must not have read.
    fn read_guarded(&self, path: &Path, bytes_max: usize) -> Result<Content, Wrong> {
        self.files.read(path, bytes_max)?.guarded(self.files.path(path).display())
    }

    fn names_are_unique<'a>(&self, things: impl Iterator<Item = (&'a str, Option<&'a At<Arc<str>>>)>) {
        let mut seen = FirstSeen::default();
        for (place, name) in things.filter_map(|(place, name)| Some((place, name?))) {
            if let Some(first_line) = seen.before(&name.value, name.line) {
                let what = format!("the name is taken already (line {first_line})");
                self.report.at(name.line, format!("{place}: name"), Wrong::new(what, "give each its own name"));
            }
        }
    }

    /// Keys of http things on a tcp one. `what` is the thing, such as `an http listener`.
    fn has_no_http_keys(&self, place: &str, given: &[Given], what: &str) {
        for (key, line) in given {
            let wrong =
                Wrong::new(format!("only {what} has it, and this one is tcp"), "remove it, or set protocol = \"http\"");
            self.report.at(*line, format!("{place}{key}"), wrong);
        }
    }
}

/// Where each thing was first seen.
struct FirstSeen<T, W>(HashMap<T, W>);

impl<T, W> Default for FirstSeen<T, W> {
    fn default() -> FirstSeen<T, W> {
        FirstSeen(HashMap::new())
    }
}

impl<T: Eq + Hash, W: Copy> FirstSeen<T, W> {
    /// Where an equal thing came before this one.
    fn before(&mut self, thing: T, at: W) -> Option<W> {
        match self.0.entry(thing) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(vacant) => {
                vacant.insert(at);
                None
            }
        }
    }
}

fn balancer(raw: RawBalancer, scope: &Scope<'_>, place: Place) -> Balancer {
    let value = |given: Option<At<Arc<str>>>| given.map(|given| given.value);
    Balancer {
        name: value(raw.name).unwrap_or_else(|| limits::BALANCER_NAME_DEFAULT.into()),
        region: place.region.map(Arc::from),
        network: place.network.map(Arc::from),
        zone: value(raw.zone),
        scheme: scope.scheme,
        security_group: raw.security_group,
        security_group_drop: scope.security_group_drop,
        cross_network: place.cross_network,
        cross_region: place.cross_region,
        snat_addresses: place.snat_addresses.into(),
        target_addresses: place.addresses,
    }
}

fn value_or<T: Copy>(given: Option<&At<T>>, default: T) -> T {
    given.map_or(default, |given| given.value)
}

/// Without a `secret_file`: random, and the same for all reloads of this process, so that they end no session.
pub(super) fn keys_of_this_process() -> Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the kernel has random bytes");
        Keys::from_random(bytes)
    })
    .clone()
}
