//! `[[target_group]]` and its targets.

use std::sync::Arc;

use super::{FirstSeen, Scope, value_or};
use crate::config::error::Wrong;
use crate::config::limits;
use crate::config::raw::{RawGroup, RawStickiness, RawTarget, StickinessKind};
use crate::config::snapshot::{
    Algorithm, HttpGroup, HttpVersion, KeepAlive, Managed, Protocol, SameSite, Stickiness, Target, TargetGroup,
};
use crate::inventory::Id;

impl Scope<'_> {
    pub(super) fn group(&self, raw: &RawGroup) -> Option<TargetGroup> {
        let health_check = self.health_check(raw);
        self.targets_are_unique(raw);
        self.algorithm_fits(raw);
        let targets = raw.targets.iter().filter_map(target).collect();
        let http = self.http_group(raw);
        Some(TargetGroup {
            targets,
            name: raw.name.as_ref()?.value.clone(),
            protocol: raw.protocol.as_ref()?.value,
            algorithm: value_or(raw.algorithm.as_ref(), Algorithm::default()),
            health_check,
            fail_open: value_or(raw.fail_open.as_ref(), limits::FAIL_OPEN_DEFAULT),
            cross_zone: self.cross_zone(raw)?,
            connect_timeout: value_or(raw.connect_timeout.as_ref(), limits::CONNECT_TIMEOUT_DEFAULT),
            retries: value_or(raw.retries.as_ref(), limits::RETRIES_DEFAULT),
            http,
            managed: value_or(raw.managed.as_ref(), Managed::default()),
        })
    }

    /// Requirement B3.
    fn cross_zone(&self, raw: &RawGroup) -> Option<bool> {
        if let Some(cross_zone) = raw.cross_zone.as_ref().filter(|cross_zone| !cross_zone.value && !self.names_zone) {
            let wrong = Wrong::new(
                "targets of the balancer's zone cannot go first: nobody knows its zone",
                "add zone to [balancer], or remove it",
            );
            self.report.at(cross_zone.line, format!("{}: cross_zone", raw.place), wrong);
        }
        let default = match raw.protocol.as_ref()?.value {
            Protocol::Tcp => limits::CROSS_ZONE_TCP_DEFAULT,
            Protocol::Http => limits::CROSS_ZONE_HTTP_DEFAULT,
        };
        Some(value_or(raw.cross_zone.as_ref(), default))
    }

    /// `None` for a tcp group.
    fn http_group(&self, group: &RawGroup) -> Option<HttpGroup> {
        let raw = &group.http;
        let stickiness = raw.stickiness.as_ref().map(|stickiness| self.stickiness(stickiness, group));
        if group.protocol.as_ref()?.value == Protocol::Tcp {
            self.has_no_http_keys(&format!("{}: ", group.place), &raw.given, "an http group");
            return None;
        }
        Some(HttpGroup {
            version: value_or(raw.version.as_ref(), HttpVersion::default()),
            stickiness: stickiness.flatten(),
            deregistration_delay: value_or(raw.deregistration_delay.as_ref(), limits::DEREGISTRATION_DELAY_DEFAULT),
            response_timeout: value_or(raw.response_timeout.as_ref(), limits::RESPONSE_TIMEOUT_DEFAULT),
            location_repair: value_or(raw.location_repair.as_ref(), true),
            keep_alive: KeepAlive {
                idle_max: value_or(raw.keep_alive.idle_max.as_ref(), limits::KEEP_ALIVE_IDLE_MAX_DEFAULT),
                idle_timeout: value_or(raw.keep_alive.idle_timeout.as_ref(), limits::KEEP_ALIVE_IDLE_TIMEOUT_DEFAULT),
                lifetime: value_or(raw.keep_alive.lifetime.as_ref(), limits::KEEP_ALIVE_LIFETIME_DEFAULT),
            },
        })
    }

    /// Requirements S1, S2.
    fn stickiness(&self, raw: &RawStickiness, group: &RawGroup) -> Option<Stickiness> {
        let default =
            || group.name.as_ref().map(|name| format!("{}{}", limits::COOKIE_PREFIX_DEFAULT, name.value).into());
        let cookie: Option<Arc<str>> = raw.cookie.as_ref().map(|cookie| cookie.value.clone()).or_else(default);
        let at = |line, key: &str, what: &str, mend: &str| {
            self.report.at(line, format!("{}: stickiness.{key}", group.place), Wrong::new(what, mend));
        };
        let secure = value_or(raw.secure.as_ref(), false);
        let same_site = raw.same_site.as_ref();
        if let Some(same_site) = same_site.filter(|same_site| same_site.value == SameSite::None && !secure) {
            at(
                same_site.line,
                "same_site",
                "browsers drop a SameSite=None cookie that is not Secure",
                "add secure = true",
            );
        }
        if let Some(cookie) = raw.cookie.as_ref().filter(|cookie| wants_secure(&cookie.value) && !secure) {
            at(
                cookie.line,
                "cookie",
                "browsers drop a cookie of this name that is not Secure",
                "add secure = true, or rename it",
            );
        }
        match (raw.kind.as_ref()?.value, &raw.app_cookie) {
            (StickinessKind::Cookie, Some(stray)) => {
                at(
                    stray.line,
                    "app_cookie",
                    "only type \"app_cookie\" has it",
                    "remove it, or set type = \"app_cookie\"",
                );
            }
            (StickinessKind::AppCookie, None) if !raw.names_app_cookie => {
                at(raw.line, "app_cookie", "missing", "add app_cookie = \"name of the target's cookie\"");
            }
            (StickinessKind::AppCookie, Some(theirs)) if cookie.as_ref() == Some(&theirs.value) => {
                at(theirs.line, "app_cookie", "the balancer's own cookie has this name", "set cookie to another name");
            }
            _ => {}
        }
        Some(Stickiness {
            cookie: cookie?,
            app_cookie: raw.app_cookie.as_ref().map(|cookie| cookie.value.clone()),
            duration: value_or(raw.duration.as_ref(), limits::STICKINESS_DEFAULT),
            secure,
            same_site: same_site.map(|same_site| same_site.value),
        })
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
}

/// What has an address and a port.
fn target(raw: &RawTarget) -> Option<Target> {
    let text = |id: &Option<Id>| id.clone().map(Arc::from);
    let address = raw.socket_address()?;
    let bound = raw.bound.as_ref()?;
    Some(Target {
        address,
        label: address.to_string().into(),
        kind: raw.kind(),
        instance_id: text(&bound.instance),
        eni_id: text(&bound.eni),
        region: text(&bound.region),
        network: text(&bound.network),
        zone: raw.zone.as_ref().map(|zone| Arc::from(zone.value.clone())).or_else(|| text(&bound.zone)),
        weight: value_or(raw.weight.as_ref(), limits::WEIGHT_DEFAULT),
    })
}

/// Names that browsers take only from a `Secure` cookie (RFC 6265bis, 4.1.3), in either case.
fn wants_secure(cookie: &str) -> bool {
    let prefixes = ["__Secure-", "__Host-"];
    prefixes.iter().any(|prefix| cookie.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}
