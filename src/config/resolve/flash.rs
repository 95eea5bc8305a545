//! `[flash_policy]`: a listener of the balancer's own (requirement L6).

use std::net::SocketAddr;
use std::sync::Arc;

use super::listener::taken_by_admin;
use super::{Scope, value_or};
use crate::acl::SecurityGroup;
use crate::config::error::Wrong;
use crate::config::limits;
use crate::config::raw::{At, RawFlashPolicy, RawGroup, RawListener};
use crate::config::snapshot::{AdminAddress, Listener, Protocol, Service};

/// The responder, as far as other things may collide with it.
pub(super) struct Responder<'r> {
    raw: &'r RawFlashPolicy,
    pub name: At<Arc<str>>,
    address: At<SocketAddr>,
}

impl<'r> Responder<'r> {
    /// `None` unless it is enabled.
    pub fn new(raw: Option<&'r RawFlashPolicy>) -> Option<Self> {
        let raw = raw.filter(|raw| value_or(raw.enabled.as_ref(), false))?;
        let default = At { value: limits::FLASH_POLICY_ADDRESS_DEFAULT, line: raw.line };
        Some(Responder {
            raw,
            name: At { value: limits::FLASH_POLICY_NAME.into(), line: raw.line },
            address: raw.address.clone().unwrap_or(default),
        })
    }
}

impl Scope<'_> {
    pub(super) fn responder(
        &self,
        responder: &Responder<'_>,
        listeners: &[RawListener],
        groups: &[RawGroup],
        (admin, admin_line): (&AdminAddress, Option<usize>),
    ) -> Listener {
        let Responder { raw, name, address } = responder;
        self.port_is_allowed("[flash_policy]", address);
        let same_address = |listener: &&RawListener| {
            listener.address.as_ref().is_some_and(|other| other.value == address.value) && takes_port(listener, groups)
        };
        let taken_by = match listeners.iter().find(same_address) {
            Some(listener) => {
                let line = listener.address.as_ref().map_or(0, |address| address.line);
                Some(format!("{} (line {line})", listener.place))
            }
            None => taken_by_admin(admin, admin_line, address.value),
        };
        if let Some(taken_by) = taken_by {
            let what = format!("port {} is taken by {taken_by}", address.value.port());
            let wrong = Wrong::new(what, "give each its own address, or set enabled = false");
            self.report.at(address.line, "[flash_policy]: address", wrong);
        }
        let document = raw.document.as_ref().map(|document| Arc::clone(&document.value));
        Listener {
            name: Arc::clone(&name.value),
            protocol: Protocol::Tcp,
            address: address.value,
            scheme: self.scheme,
            security_group: SecurityGroup::default(),
            gate: self.gate(&SecurityGroup::default(), Protocol::Tcp, address.value),
            idle_timeout: limits::FLASH_POLICY_TIMEOUT,
            service: Service::FlashPolicy(document.unwrap_or_else(|| limits::FLASH_POLICY_DOCUMENT_DEFAULT.into())),
        }
    }
}

/// A tcp listener without targets takes no port: it closes the responder's.
fn takes_port(listener: &RawListener, groups: &[RawGroup]) -> bool {
    let is_tcp = listener.protocol.as_ref().is_some_and(|protocol| protocol.value == Protocol::Tcp);
    let is_named = |group: &&RawGroup| {
        let action = listener.default_action.as_ref();
        group.name.as_ref().is_some_and(|name| action.is_some_and(|action| action.names(&name.value)))
    };
    !is_tcp || groups.iter().filter(is_named).any(|group| !group.targets.is_empty())
}
