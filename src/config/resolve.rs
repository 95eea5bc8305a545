//! Raw -> Snapshot: defaults are filled in, names become indices, and what must hold between two values is checked.
//!
//! A thing that lacks a required value was reported by `raw`; it is left out here, and the snapshot is then thrown away.
//! So indices are those of a full snapshot wherever one comes out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;

use super::error::{Report, Wrong, did_you_mean, quoted};
use super::raw::{At, Raw, RawAdmin, RawBalancer, RawGroup, RawHealthCheck, RawListener, RawTarget};
use super::snapshot::{
    Admin, AdminAddress, Algorithm, Balancer, CheckMethod, CheckProtocol, Cores, Forwarded, HealthCheck, Http,
    HttpCheck, HttpGroup, HttpVersion, Hygiene, KeepAlive, Listener, Protocol, Scheme, Service, Snapshot, Target,
    TargetGroup, TargetKind,
};
use super::values::PortPolicy;
use super::{Mode, limits, private};
use crate::l7::router::{Action, Forward, Router, WeightedGroup};

/// Makes revision 1 of the snapshot. Only good if `report` stays empty.
pub(super) fn resolve(raw: Raw, mode: Mode, report: &Report) -> Snapshot {
    let Raw { balancer, cores, admin, listeners, groups } = raw;
    let scope = Scope {
        scheme: value_or(balancer.scheme.as_ref(), Scheme::default()),
        port_policy: value_or(balancer.port_policy.as_ref(), PortPolicy::Any),
        allow_public_targets: value_or(balancer.allow_public_targets.as_ref(), false),
        mode,
        report,
    };
    let admin_line = admin.listen.as_ref().map(|listen| listen.line);
    let admin = scope.admin(admin);
    scope.names_are_unique(listeners.iter().map(|l| (l.place.as_str(), l.name.as_ref())));
    scope.names_are_unique(groups.iter().map(|g| (g.place.as_str(), g.name.as_ref())));
    scope.addresses_are_unique(&listeners, &admin.listen, admin_line);
    let listeners = listeners.iter().filter_map(|listener| scope.listener(listener, &groups)).map(Arc::new).collect();
    Snapshot {
        revision: 1,
        balancer: self::balancer(balancer, scope.scheme),
        cores: cores.map_or(Cores::All, |cores| cores.value),
        admin,
        access_log: None,
        cookie_keys: crate::l7::Keys::from_random([7; 32]),
        listeners,
        groups: groups.iter().filter_map(|group| scope.group(group)).map(Arc::new).collect(),
    }
}

/// What `[balancer]` says about all others.
struct Scope<'r> {
    scheme: Scheme,
    port_policy: PortPolicy,
    allow_public_targets: bool,
    mode: Mode,
    report: &'r Report<'r>,
}

impl Scope<'_> {
    fn admin(&self, raw: RawAdmin) -> Admin {
        let default = || AdminAddress::Tcp(limits::ADMIN_LISTEN_DEFAULT);
        let token_file = raw.token_file.map(|path| path.value);
        let Some(listen) = raw.listen else { return Admin { listen: default(), token_file } };
        if let AdminAddress::Tcp(address) = listen.value
            && !address.ip().is_loopback()
            && !raw.names_token_file
        {
            let what = format!("{address} is reachable from other machines, and there is no token_file");
            let mend = "listen on loopback or a unix socket, or add token_file";
            self.report.at(listen.line, "[admin]: listen", Wrong::new(what, mend));
        }
        Admin { listen: listen.value, token_file }
    }

    fn listener(&self, raw: &RawListener, groups: &[RawGroup]) -> Option<Listener> {
        self.port_is_allowed(raw);
        let group = self.group_named(raw, groups);
        let (address, group) = (raw.address.as_ref()?, group?);
        self.does_not_forward_to_itself(raw, address, &groups[group]);
        let protocol = raw.protocol.as_ref()?.value;
        self.protocols_agree(raw, protocol, &groups[group]);
        let (service, idle_timeout) = match protocol {
            Protocol::Tcp => (Service::Relay(group), limits::IDLE_TIMEOUT_TCP_DEFAULT),
            Protocol::Http => (Service::Http(Arc::new(http(group)?)), limits::IDLE_TIMEOUT_HTTP_DEFAULT),
        };
        Some(Listener {
            name: raw.name.as_ref()?.value.clone(),
            protocol,
            address: address.value,
            scheme: value_or(raw.scheme.as_ref(), self.scheme),
            idle_timeout: value_or(raw.idle_timeout.as_ref(), idle_timeout),
            service,
        })
    }

    fn group(&self, raw: &RawGroup) -> Option<TargetGroup> {
        let health_check = self.health_check(raw);
        self.targets_are_unique(raw);
        self.algorithm_fits(raw);
        Some(TargetGroup {
            targets: raw.targets.iter().filter_map(|target| self.target(target)).collect(),
            name: raw.name.as_ref()?.value.clone(),
            protocol: raw.protocol.as_ref()?.value,
            algorithm: value_or(raw.algorithm.as_ref(), Algorithm::default()),
            health_check,
            fail_open: value_or(raw.fail_open.as_ref(), limits::FAIL_OPEN_DEFAULT),
            connect_timeout: value_or(raw.connect_timeout.as_ref(), limits::CONNECT_TIMEOUT_DEFAULT),
            retries: value_or(raw.retries.as_ref(), limits::RETRIES_DEFAULT),
            http: (raw.protocol.as_ref()?.value == Protocol::Http).then(http_group),
        })
    }

    fn health_check(&self, group: &RawGroup) -> Option<HealthCheck> {
        let raw = &group.health_check;
        self.timeout_is_below_interval(group);
        self.source_reaches_targets(group);
        Some(HealthCheck {
            protocol: match &raw.protocol {
                Some(given) => given.value.clone()?,
                None if group.protocol.as_ref().is_some_and(|protocol| protocol.value == Protocol::Http) => {
                    CheckProtocol::Http(http_check())
                }
                None => CheckProtocol::Tcp,
            },
            port: raw.port.as_ref().map(|port| port.value),
            interval: value_or(raw.interval.as_ref(), limits::HEALTH_INTERVAL_DEFAULT),
            timeout: value_or(raw.timeout.as_ref(), limits::HEALTH_TIMEOUT_DEFAULT),
            healthy_threshold: value_or(raw.healthy.as_ref(), limits::HEALTH_THRESHOLD_DEFAULT),
            unhealthy_threshold: value_or(raw.unhealthy.as_ref(), limits::HEALTH_THRESHOLD_DEFAULT),
            source: raw.source.as_ref().map(|source| source.value),
        })
    }

    fn target(&self, raw: &RawTarget) -> Option<Target> {
        let kind = value_or(raw.kind.as_ref(), TargetKind::Cvm);
        self.ids_fit_the_type(raw, kind);
        self.address_is_private(raw);
        let address = raw.socket_address()?;
        Some(Target {
            address,
            label: address.to_string().into(),
            kind,
            instance_id: raw.instance_id.as_ref().map(|id| id.value.clone()),
            eni_id: raw.eni_id.as_ref().map(|id| id.value.clone()),
            weight: value_or(raw.weight.as_ref(), limits::WEIGHT_DEFAULT),
        })
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

    /// Requirement L1. A wildcard and a specific address may share a port, the kernel prefers the specific one; and our
    /// IPv6 sockets take no IPv4.
    fn addresses_are_unique(&self, listeners: &[RawListener], admin: &AdminAddress, admin_line: Option<usize>) {
        let mut seen = FirstSeen::default();
        for listener in listeners {
            let Some(address) = &listener.address else { continue };
            let first = seen.before(address.value, (listener, address.line));
            let taken_by = match first {
                Some((other, line)) => Some(format!("{} (line {line})", other.place)),
                None => taken_by_admin(admin, admin_line, address.value),
            };
            let Some(taken_by) = taken_by else { continue };
            let what = format!("port {} is taken by {taken_by}", address.value.port());
            let wrong = Wrong::new(what, "change one port or give each its own address");
            self.report.at(address.line, listener.place.as_str(), wrong);
        }
    }

    /// Requirement L5.
    fn port_is_allowed(&self, listener: &RawListener) {
        let Some(address) = &listener.address else { return };
        let port = address.value.port();
        let allowed = port >= limits::CLB_PORT_MIN || limits::CLB_PORTS_LOW.contains(&port);
        if self.port_policy == PortPolicy::Any || allowed {
            return;
        }
        let what = format!("port {port} is not among those that port_policy = \"clb\" allows");
        let mend = format!(
            "choose {}, or {} to 65535, or set port_policy = \"any\"",
            limits::CLB_PORTS_LOW.map(|port| port.to_string()).join(", "),
            limits::CLB_PORT_MIN
        );
        self.report.at(address.line, format!("{}: address", listener.place), Wrong::new(what, mend));
    }

    /// Index of the group that the default action names.
    fn group_named(&self, listener: &RawListener, groups: &[RawGroup]) -> Option<usize> {
        let forward = listener.forward.as_ref()?;
        let names = || groups.iter().map(|group| group.name.as_ref().map(|name| &*name.value));
        if let Some(index) = names().position(|name| name == Some(&forward.value)) {
            return Some(index);
        }
        // A group whose name could not be read was reported; it may well be the one that is meant.
        if names().all(|name| name.is_some()) {
            let what = format!("there is no target group {}", quoted(&forward.value));
            let mend = did_you_mean(&forward.value, names().flatten(), || "add a [[target_group]] of that name".into());
            self.report.at(forward.line, format!("{}: default_action.forward", listener.place), Wrong::new(what, mend));
        }
        None
    }

    /// A tcp listener has no requests to give to an http group, and requests cannot be spread over a tcp group.
    fn protocols_agree(&self, listener: &RawListener, protocol: Protocol, group: &RawGroup) {
        let (Some(forward), Some(of_group)) = (&listener.forward, &group.protocol) else { return };
        if of_group.value == protocol {
            return;
        }
        let (ours, theirs) = (protocol.as_str(), of_group.value.as_str());
        let what = format!("the listener speaks {ours}, {} (line {}) speaks {theirs}", group.place, of_group.line);
        let wrong =
            Wrong::new(what, format!("give one of them the other's protocol, or add a group of protocol \"{ours}\""));
        self.report.at(forward.line, format!("{}: default_action.forward", listener.place), wrong);
    }

    /// Requirement B1: a tcp group has connections, an http group has requests.
    fn algorithm_fits(&self, group: &RawGroup) {
        let (Some(algorithm), Some(protocol)) = (&group.algorithm, &group.protocol) else { return };
        let (what, mend) = match (protocol.value, algorithm.value) {
            (Protocol::Tcp, Algorithm::LeastOutstandingRequests) => (
                "\"least_outstanding_requests\" counts requests, and a tcp group has connections only",
                "use \"least_connections\"",
            ),
            (Protocol::Http, Algorithm::LeastConnections) => (
                "\"least_connections\" counts clients' connections, and an http group is given requests",
                "use \"least_outstanding_requests\"",
            ),
            _ => return,
        };
        self.report.at(algorithm.line, format!("{}: algorithm", group.place), Wrong::new(what, mend));
    }

    /// A connection would come back to the listener for ever, until descriptors run out.
    fn does_not_forward_to_itself(&self, listener: &RawListener, address: &At<SocketAddr>, group: &RawGroup) {
        let Some(target) = group.targets.iter().find(|target| target.socket_address() == Some(address.value)) else {
            return;
        };
        let what = format!("{} is also its target (line {})", address.value, target.line);
        let wrong = Wrong::new(what, "give the target the address of the machine that serves");
        self.report.at(address.line, format!("{}: address", listener.place), wrong);
    }

    /// Requirement H2.
    fn timeout_is_below_interval(&self, group: &RawGroup) {
        let RawHealthCheck { interval, timeout, .. } = &group.health_check;
        let Some(line) = timeout.as_ref().map(|t| t.line).or(interval.as_ref().map(|i| i.line)) else { return };
        let interval = value_or(interval.as_ref(), limits::HEALTH_INTERVAL_DEFAULT);
        let by_default = if timeout.is_some() { "" } else { " by default" };
        let timeout = value_or(timeout.as_ref(), limits::HEALTH_TIMEOUT_DEFAULT);
        if timeout < interval {
            return;
        }
        let what = format!("timeout is {timeout:?}{by_default} and must be below the interval of {interval:?}");
        let wrong = Wrong::new(what, "shorten the timeout or lengthen the interval");
        self.report.at(line, format!("{}: health_check.timeout", group.place), wrong);
    }

    /// Requirement H7: a check cannot leave an IPv4 address for an IPv6 target.
    fn source_reaches_targets(&self, group: &RawGroup) {
        let Some(source) = &group.health_check.source else { return };
        let other_family = |target: &&RawTarget| {
            target.address.as_ref().is_some_and(|address| address.value.is_ipv4() != source.value.is_ipv4())
        };
        let Some(target) = group.targets.iter().find(other_family) else { return };
        let (ours, theirs) = if source.value.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        let what = format!("{} is {ours}, and a target is {theirs} (line {})", source.value, target.line);
        let wrong = Wrong::new(what, "put targets of the other family into a group of their own");
        self.report.at(source.line, format!("{}: health_check.source", group.place), wrong);
    }

    /// Requirement G2.
    fn targets_are_unique(&self, group: &RawGroup) {
        let mut seen = FirstSeen::default();
        for target in &group.targets {
            let Some(address) = target.socket_address() else { continue };
            if let Some(first_line) = seen.before(address, target.line) {
                let what = format!("{address} is in this group already (line {first_line})");
                let wrong = Wrong::new(what, "remove one of the two, or change its port");
                self.report.at(target.line, target.place.as_str(), wrong);
            }
        }
    }

    /// Requirement G3.
    fn ids_fit_the_type(&self, target: &RawTarget, kind: TargetKind) {
        let (stray, key, owner) = match kind {
            TargetKind::Cvm => (&target.eni_id, "eni_id", "eni"),
            TargetKind::Eni => (&target.instance_id, "instance_id", "cvm"),
            TargetKind::Idc => return,
        };
        let Some(stray) = stray else { return };
        let what = format!("only targets of type \"{owner}\" have it");
        let wrong = Wrong::new(what, format!("remove it, or set type = \"{owner}\""));
        self.report.at(stray.line, format!("{}: {key}", target.place), wrong);
    }

    /// Requirement G4.
    fn address_is_private(&self, target: &RawTarget) {
        let Some(address) = &target.address else { return };
        if self.allow_public_targets || private::is_private_target(address.value, self.mode) {
            return;
        }
        let what = if address.value.is_loopback() {
            format!("{} is this machine itself", address.value)
        } else {
            format!("{} is not a private address", address.value)
        };
        let mend =
            "give the private address, or set allow_public_targets = true in [balancer] (it allows loopback too)";
        self.report.at(address.line, format!("{}: address", target.place), Wrong::new(what, mend));
    }
}

impl RawTarget {
    fn socket_address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address.as_ref()?.value, self.port.as_ref()?.value))
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

fn balancer(raw: RawBalancer, scheme: Scheme) -> Balancer {
    let value = |given: Option<At<Arc<str>>>| given.map(|given| given.value);
    Balancer {
        name: value(raw.name).unwrap_or_else(|| limits::BALANCER_NAME_DEFAULT.into()),
        region: value(raw.region),
        network: value(raw.network),
        zone: value(raw.zone),
        scheme,
    }
}

fn http(group: usize) -> Option<Http> {
    let forward = Forward { groups: vec![WeightedGroup { group, weight: 1 }], group_stickiness: None, rewrite: None };
    Some(Http {
        router: Router::new(Vec::new(), Action::Forward(forward)).ok()?,
        hygiene: Hygiene::default(),
        forwarded: Forwarded::default(),
        trace_id: false,
        server_header: None,
        header_timeout: limits::HEADER_TIMEOUT_DEFAULT,
        body_timeout: limits::BODY_TIMEOUT_DEFAULT,
        send_timeout: limits::SEND_TIMEOUT_DEFAULT,
        body_bytes_max: None,
        error_pages: Vec::new(),
    })
}

fn http_group() -> HttpGroup {
    HttpGroup {
        version: HttpVersion::default(),
        stickiness: None,
        deregistration_delay: limits::DEREGISTRATION_DELAY_DEFAULT,
        response_timeout: limits::RESPONSE_TIMEOUT_DEFAULT,
        location_repair: true,
        keep_alive: KeepAlive {
            idle_max: limits::KEEP_ALIVE_IDLE_MAX_DEFAULT,
            idle_timeout: limits::KEEP_ALIVE_IDLE_TIMEOUT_DEFAULT,
            lifetime: limits::KEEP_ALIVE_LIFETIME_DEFAULT,
        },
    }
}

fn http_check() -> HttpCheck {
    HttpCheck {
        path: limits::CHECK_PATH_DEFAULT.into(),
        host: None,
        method: CheckMethod::default(),
        version: HttpVersion::default(),
        matcher: vec![limits::CHECK_MATCHER_DEFAULT],
    }
}

fn value_or<T: Copy>(given: Option<&At<T>>, default: T) -> T {
    given.map_or(default, |given| given.value)
}

/// What errors call the admin endpoint, where a listener cannot be bound beside it. It does not share its port, so a
/// wildcard on either side is in the other's way.
fn taken_by_admin(admin: &AdminAddress, admin_line: Option<usize>, address: SocketAddr) -> Option<String> {
    let AdminAddress::Tcp(admin) = admin else { return None };
    let same_family = admin.is_ipv4() == address.is_ipv4();
    let overlap = admin.ip() == address.ip() || admin.ip().is_unspecified() || address.ip().is_unspecified();
    if admin.port() != address.port() || !same_family || !overlap {
        return None;
    }
    Some(match admin_line {
        Some(line) => format!("[admin] (line {line})"),
        None => format!("[admin], which listens on {admin} by default"),
    })
}
