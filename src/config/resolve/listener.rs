//! `[[listener]]`: where it binds, and what becomes of its connections.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::{FirstSeen, Scope, value_or};
use crate::acl::{Gate, SecurityGroup};
use crate::config::error::Wrong;
use crate::config::limits;
use crate::config::raw::{At, RawAction, RawErrorPage, RawGroup, RawListener, RawVerb};
use crate::config::snapshot::{
    AdminAddress, ErrorPage, Forwarded, Http, Hygiene, Listener, Protocol, SecurityGroupDrop, Service, overlap,
};
use crate::config::values::PortPolicy;

impl Scope<'_> {
    pub(super) fn listener(&self, raw: &RawListener, groups: &[RawGroup]) -> Option<Listener> {
        if let Some(address) = &raw.address {
            self.port_is_allowed(&raw.place, address);
        }
        self.does_not_forward_to_itself(raw, groups);
        let protocol = raw.protocol.as_ref().map(|protocol| protocol.value);
        let (service, idle_timeout) = match protocol {
            Some(Protocol::Tcp) => (self.relay(raw, groups), limits::IDLE_TIMEOUT_TCP_DEFAULT),
            // What has no protocol yet is checked for all that there can be.
            Some(Protocol::Http) | None => (self.http(raw, groups), limits::IDLE_TIMEOUT_HTTP_DEFAULT),
        };
        let address = raw.address.as_ref().map(|address| address.value);
        Some(Listener {
            name: raw.name.as_ref()?.value.clone(),
            protocol: protocol?,
            address: address?,
            scheme: value_or(raw.scheme.as_ref(), self.scheme),
            security_group: raw.security_group.clone(),
            gate: self.gate(&raw.security_group, protocol?, address?),
            idle_timeout: value_or(raw.idle_timeout.as_ref(), idle_timeout),
            service: service?,
        })
    }

    pub(super) fn gate(&self, own: &SecurityGroup, protocol: Protocol, address: SocketAddr) -> Gate {
        let (transport, port) = (protocol.transport(), address.port());
        let balancer = self.security_group.borrow_mut().compile(transport, port);
        let gate = Gate::new(balancer, Arc::new(own.compile(transport, port)));
        match self.security_group_drop {
            SecurityGroupDrop::Reset => gate,
            SecurityGroupDrop::Silent => gate.with_filter(address),
        }
    }

    fn relay(&self, raw: &RawListener, groups: &[RawGroup]) -> Option<Service> {
        self.has_no_http_keys(&format!("{}: ", raw.place), &raw.http.given, "an http listener");
        let action = raw.default_action.as_ref()?;
        for (key, line) in &action.http_only {
            let what = "a tcp listener has no requests: it forwards connections, to one group";
            let mend = "write default_action = { forward = \"name of a target group\" }, or set protocol = \"http\"";
            self.report.at(*line, format!("{}.{key}", action.place), Wrong::new(what, mend));
        }
        let RawVerb::Forward { groups: forwards, .. } = action.verb.as_ref()? else { return None };
        self.group_of(forwards.first()?, raw, groups).map(Service::Relay)
    }

    fn http(&self, raw: &RawListener, groups: &[RawGroup]) -> Option<Service> {
        let router = self.router(raw, groups);
        let error_pages = self.error_pages(&raw.http.error_pages);
        let raw = &raw.http;
        Some(Service::Http(Arc::new(Http {
            router: router?,
            hygiene: value_or(raw.hygiene.as_ref(), Hygiene::default()),
            forwarded: value_or(raw.forwarded.as_ref(), Forwarded::default()),
            trace_id: value_or(raw.trace_id.as_ref(), false),
            server_header: raw.server_header.as_ref().map(|header| header.value.clone()),
            header_timeout: value_or(raw.header_timeout.as_ref(), limits::HEADER_TIMEOUT_DEFAULT),
            body_timeout: value_or(raw.body_timeout.as_ref(), limits::BODY_TIMEOUT_DEFAULT),
            send_timeout: value_or(raw.send_timeout.as_ref(), limits::SEND_TIMEOUT_DEFAULT),
            body_bytes_max: raw.body_bytes_max.as_ref().and_then(|bytes| NonZeroU64::new(bytes.value)),
            error_pages,
        })))
    }

    /// Requirement P6.
    fn error_pages(&self, raw: &[RawErrorPage]) -> Vec<ErrorPage> {
        let mut seen = FirstSeen::default();
        let mut pages = Vec::with_capacity(raw.len());
        for page in raw {
            if let Some(status) = &page.status
                && let Some(first_line) = seen.before(status.value, status.line)
            {
                let what = format!("there is a page for {} already (line {first_line})", status.value);
                self.report.at(status.line, format!("{}: status", page.place), Wrong::new(what, "keep one of the two"));
            }
            pages.extend(self.error_page(page));
        }
        pages
    }

    fn error_page(&self, raw: &RawErrorPage) -> Option<ErrorPage> {
        let file = raw.file.as_ref()?;
        let read = self.files.read(&file.value, limits::ERROR_PAGE_BYTES_MAX);
        let content = read.map_err(|wrong| self.report.at(file.line, format!("{}: file", raw.place), wrong)).ok()?;
        let content_type = raw.content_type.as_ref().map(|given| given.value.clone());
        Some(ErrorPage {
            status: raw.status.as_ref()?.value,
            content_type: content_type.unwrap_or_else(|| limits::ERROR_PAGE_CONTENT_TYPE_DEFAULT.into()),
            body: content.bytes.into(),
        })
    }

    /// Requirement L1. A wildcard and a specific address may share a port, the kernel prefers the specific one; and our
    /// IPv6 sockets take no IPv4.
    pub(super) fn addresses_are_unique(
        &self,
        listeners: &[RawListener],
        admin: &AdminAddress,
        admin_line: Option<usize>,
    ) {
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
    pub(super) fn port_is_allowed(&self, place: &str, address: &At<SocketAddr>) {
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
        self.report.at(address.line, format!("{place}: address"), Wrong::new(what, mend));
    }

    /// What is sent to a target would come back to the listener for ever, until descriptors run out.
    fn does_not_forward_to_itself(&self, listener: &RawListener, groups: &[RawGroup]) {
        let Some(address) = &listener.address else { return };
        let actions = listener.rules.iter().filter_map(|rule| rule.action.as_ref()).chain(&listener.default_action);
        let is_named = |group: &&RawGroup| {
            group.name.as_ref().is_some_and(|name| actions.clone().any(|action| action.names(&name.value)))
        };
        let targets = groups.iter().filter(is_named).flat_map(|group| &group.targets);
        let Some(target) = targets.into_iter().find(|target| target.socket_address() == Some(address.value)) else {
            return;
        };
        let what = format!("{} is also its target (line {})", address.value, target.line);
        let wrong = Wrong::new(what, "give the target the address of the machine that serves");
        self.report.at(address.line, format!("{}: address", listener.place), wrong);
    }
}

impl RawAction {
    /// Whether it forwards to a group of this name.
    pub(super) fn names(&self, name: &Arc<str>) -> bool {
        let Some(RawVerb::Forward { groups, .. }) = &self.verb else { return false };
        groups.iter().any(|forward| forward.group.as_ref().is_some_and(|group| group.value == *name))
    }
}

/// What errors call the admin endpoint, where a listener cannot be bound beside it. It does not share its port, so a
/// wildcard on either side is in the other's way.
pub(super) fn taken_by_admin(admin: &AdminAddress, admin_line: Option<usize>, address: SocketAddr) -> Option<String> {
    let AdminAddress::Tcp(admin) = admin else { return None };
    if !overlap(*admin, address) {
        return None;
    }
    Some(match admin_line {
        Some(line) => format!("[admin] (line {line})"),
        None => format!("[admin], which listens on {admin} by default"),
    })
}
