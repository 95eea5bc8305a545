//! `[[target_group]]` as typed.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::table::Table;
use super::{At, Given};
use crate::config::snapshot::{Algorithm, CheckMethod, HttpVersion, Managed, Protocol, SameSite, TargetKind};
use crate::config::values::http as http_values;
use crate::config::values::{self, CheckKind};
use crate::config::{keys, limits};
use crate::inventory::{Bound, Field, Id, TargetName};

/// `[[target_group]]`.
pub(in crate::config) struct RawGroup {
    /// What errors call it.
    pub place: String,
    pub name: Option<At<Arc<str>>>,
    pub protocol: Option<At<Protocol>>,
    pub algorithm: Option<At<Algorithm>>,
    pub health_check: RawHealthCheck,
    pub fail_open: Option<At<bool>>,
    pub cross_zone: Option<At<bool>>,
    pub connect_timeout: Option<At<Duration>>,
    pub retries: Option<At<u8>>,
    pub http: RawHttpGroup,
    pub managed: Option<At<Managed>>,
    pub targets: Vec<RawTarget>,
}

/// What an http group has besides.
pub(in crate::config) struct RawHttpGroup {
    /// Keys that only an http group may have.
    pub given: Vec<Given>,
    pub version: Option<At<HttpVersion>>,
    pub stickiness: Option<RawStickiness>,
    pub response_timeout: Option<At<Duration>>,
    pub deregistration_delay: Option<At<Duration>>,
    pub location_repair: Option<At<bool>>,
    pub keep_alive: RawKeepAlive,
}

/// `stickiness` of a target group.
pub(in crate::config) struct RawStickiness {
    pub line: usize,
    pub kind: Option<At<StickinessKind>>,
    pub duration: Option<At<Duration>>,
    pub cookie: Option<At<Arc<str>>>,
    pub app_cookie: Option<At<Arc<str>>>,
    /// `app_cookie` is there, be it wrong.
    pub names_app_cookie: bool,
    pub secure: Option<At<bool>>,
    pub same_site: Option<At<SameSite>>,
}

/// Whose cookie a session follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum StickinessKind {
    /// The balancer's own (requirement S1).
    Cookie,
    /// The target's (requirement S2).
    AppCookie,
}

/// `keep_alive` of a target group.
#[derive(Default)]
pub(in crate::config) struct RawKeepAlive {
    pub idle_max: Option<At<u16>>,
    pub idle_timeout: Option<At<Duration>>,
    pub lifetime: Option<At<Duration>>,
}

/// `health_check` of a target group.
#[derive(Default)]
pub(in crate::config) struct RawHealthCheck {
    pub kind: Option<At<CheckKind>>,
    pub port: Option<At<u16>>,
    pub http: RawHttpCheck,
    pub interval: Option<At<Duration>>,
    pub timeout: Option<At<Duration>>,
    pub healthy: Option<At<u8>>,
    pub unhealthy: Option<At<u8>>,
    pub source: Option<At<IpAddr>>,
}

/// What an HTTP check has besides.
#[derive(Default)]
pub(in crate::config) struct RawHttpCheck {
    /// Keys that only an http check may have.
    pub given: Vec<Given>,
    pub path: Option<At<Arc<str>>>,
    pub host: Option<At<Arc<str>>>,
    pub method: Option<At<CheckMethod>>,
    pub version: Option<At<HttpVersion>>,
    pub matcher: Option<At<Vec<RangeInclusive<u16>>>>,
}

/// `[[target_group.target]]`, or an instance of a scaling group.
pub(in crate::config) struct RawTarget {
    /// What errors call it.
    pub place: String,
    pub line: usize,
    pub kind: Option<At<TargetKind>>,
    pub instance_id: Option<At<Id>>,
    pub eni_id: Option<At<Id>>,
    pub zone: Option<At<Id>>,
    /// As typed; the inventory's where it is not.
    pub address: Option<At<IpAddr>>,
    /// Each of those above that is there was good.
    pub name_is_good: bool,
    /// What its name stands for, once it is known.
    pub bound: Option<Bound>,
    pub port: Option<At<u16>>,
    pub weight: Option<At<u8>>,
}

impl RawTarget {
    /// An instance of a scaling group, whose line it has.
    pub fn of_instance(place: String, line: usize, instance: Id, port: u16, weight: u8) -> RawTarget {
        RawTarget {
            place,
            line,
            kind: None,
            instance_id: Some(At { value: instance, line }),
            eni_id: None,
            zone: None,
            address: None,
            name_is_good: true,
            bound: None,
            port: Some(At { value: port, line }),
            weight: Some(At { value: weight, line }),
        }
    }

    pub fn kind(&self) -> TargetKind {
        self.kind.as_ref().map_or(TargetKind::Cvm, |kind| kind.value)
    }

    pub fn name(&self) -> TargetName {
        let id = |id: &Option<At<Id>>| id.as_ref().map(|id| id.value.clone());
        TargetName {
            kind: self.kind(),
            instance_id: id(&self.instance_id),
            eni_id: id(&self.eni_id),
            address: self.address.as_ref().map(|address| address.value),
        }
    }

    /// Where a key of it stands; the target itself where it has no such key.
    pub fn line_of(&self, field: Field) -> usize {
        let line = match field {
            Field::Type => self.kind.as_ref().map(|kind| kind.line),
            Field::InstanceId => self.instance_id.as_ref().map(|id| id.line),
            Field::EniId => self.eni_id.as_ref().map(|id| id.line),
            Field::Address => self.address.as_ref().map(|address| address.line),
            // Of records.
            Field::Id
            | Field::Instances
            | Field::TargetGroups
            | Field::Bandwidth
            | Field::HealthType
            | Field::Webhook => None,
        };
        line.unwrap_or(self.line)
    }

    pub fn socket_address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address.as_ref()?.value, self.port.as_ref()?.value))
    }
}

pub(super) fn group(table: &Table<'_>) -> RawGroup {
    let health_check = table.table("health_check", &format!("{}health_check.", table.place), &keys::HEALTH_CHECK);
    RawGroup {
        place: table.thing(),
        name: table.require("name", values::name, "add name = \"app\""),
        protocol: table.require("protocol", values::protocol, "add protocol = \"tcp\" or protocol = \"http\""),
        algorithm: table.read("algorithm", values::algorithm),
        health_check: health_check.map(|t| self::health_check(&t)).unwrap_or_default(),
        fail_open: table.read("fail_open", values::boolean),
        cross_zone: table.read("cross_zone", values::boolean),
        connect_timeout: table.read("connect_timeout", values::duration(&limits::CONNECT_TIMEOUT)),
        retries: table.read("retries", values::number(&limits::RETRIES)),
        http: http(table),
        managed: table.read("managed", values::managed),
        targets: table.list("target", "target", &keys::TARGET).iter().map(target).collect(),
    }
}

fn http(table: &Table<'_>) -> RawHttpGroup {
    let stickiness = table.table("stickiness", &format!("{}stickiness.", table.place), &keys::STICKINESS);
    let keep_alive = table.table("keep_alive", &format!("{}keep_alive.", table.place), &keys::KEEP_ALIVE);
    RawHttpGroup {
        given: table.given(keys::TARGET_GROUP_HTTP_ONLY),
        version: table.read("http_version", http_values::http_version),
        stickiness: stickiness.as_ref().map(self::stickiness),
        response_timeout: table.read("response_timeout", values::duration(&limits::RESPONSE_TIMEOUT)),
        deregistration_delay: table.read("deregistration_delay", values::duration(&limits::DEREGISTRATION_DELAY)),
        location_repair: table.read("location_repair", values::boolean),
        keep_alive: keep_alive.as_ref().map(self::keep_alive).unwrap_or_default(),
    }
}

fn stickiness(table: &Table<'_>) -> RawStickiness {
    RawStickiness {
        line: table.line,
        kind: table.require(
            "type",
            http_values::stickiness_kind,
            "add type = \"cookie\", or \"app_cookie\" to follow a cookie of the target's",
        ),
        duration: table.read("duration", values::whole_seconds(&limits::STICKINESS)),
        cookie: table.read("cookie", http_values::cookie_name),
        app_cookie: table.read("app_cookie", http_values::cookie_name),
        names_app_cookie: !table.given(&["app_cookie"]).is_empty(),
        secure: table.read("secure", values::boolean),
        same_site: table.read("same_site", http_values::same_site),
    }
}

fn keep_alive(table: &Table<'_>) -> RawKeepAlive {
    RawKeepAlive {
        idle_max: table.read("idle_max", values::number(&limits::KEEP_ALIVE_IDLE_MAX)),
        idle_timeout: table.read("idle_timeout", values::duration(&limits::KEEP_ALIVE_IDLE_TIMEOUT)),
        lifetime: table.read("lifetime", values::duration(&limits::KEEP_ALIVE_LIFETIME)),
    }
}

fn health_check(table: &Table<'_>) -> RawHealthCheck {
    let kind = table.read("protocol", values::check_kind);
    RawHealthCheck {
        http: http_check(table, kind.as_ref()),
        kind,
        port: table.read("port", values::number(&limits::PORT)),
        interval: table.read("interval", values::duration(&limits::HEALTH_INTERVAL)),
        timeout: table.read("timeout", values::duration(&limits::HEALTH_TIMEOUT)),
        healthy: table.read("healthy", values::number(&limits::HEALTH_THRESHOLD)),
        unhealthy: table.read("unhealthy", values::number(&limits::HEALTH_THRESHOLD)),
        source: table.read("source", values::unicast),
    }
}

fn http_check(table: &Table<'_>, kind: Option<&At<CheckKind>>) -> RawHttpCheck {
    // Where the protocol is wrong nobody knows what goes with it.
    let kind_is_known = kind.is_some() || table.given(&["protocol"]).is_empty();
    let given = if kind_is_known { table.given(keys::HEALTH_CHECK_HTTP_ONLY) } else { Vec::new() };
    RawHttpCheck {
        given,
        path: table.read("path", http_values::check_path),
        host: table.read("host", http_values::check_host),
        method: table.read("method", http_values::check_method),
        version: table.read("version", http_values::http_version),
        matcher: table.read("matcher", http_values::matcher),
    }
}

fn target(table: &Table<'_>) -> RawTarget {
    let kind = table.read("type", values::target_kind);
    let instance_id = table.read("instance_id", values::id);
    let eni_id = table.read("eni_id", values::id);
    let address = table.read("address", values::unicast);
    let good = [kind.is_some(), instance_id.is_some(), eni_id.is_some(), address.is_some()];
    let given = table.given(&["type", "instance_id", "eni_id", "address"]).len();
    RawTarget {
        place: table.thing(),
        line: table.line,
        kind,
        instance_id,
        eni_id,
        zone: table.read("zone", values::id),
        address,
        name_is_good: good.iter().filter(|good| **good).count() == given,
        bound: None,
        port: table.require("port", values::number(&limits::PORT), "add port = 8080"),
        weight: table.read("weight", values::number(&limits::WEIGHT)),
    }
}
