//! `health_check` of a target group (requirements H1, H2, H7).

use super::{Scope, value_or};
use crate::config::error::Wrong;
use crate::config::limits;
use crate::config::raw::{RawGroup, RawHealthCheck, RawTarget};
use crate::config::snapshot::{CheckMethod, CheckProtocol, HealthCheck, HttpCheck, HttpVersion, Protocol};
use crate::config::values::CheckKind;

impl Scope<'_> {
    /// `None`: no checks.
    pub(super) fn health_check(&self, group: &RawGroup) -> Option<HealthCheck> {
        let raw = &group.health_check;
        self.timeout_is_below_interval(group);
        self.source_reaches_targets(group);
        let is_http = group.protocol.as_ref().is_some_and(|protocol| protocol.value == Protocol::Http);
        let by_default = if is_http { CheckKind::Http } else { CheckKind::Tcp };
        let protocol = match value_or(raw.kind.as_ref(), by_default) {
            CheckKind::Off => return None,
            CheckKind::Tcp => {
                let place = format!("{}: health_check.", group.place);
                // Without the group's protocol nobody knows which checks it has by default.
                if group.protocol.is_some() || raw.kind.is_some() {
                    self.has_no_http_keys(&place, &raw.http.given, "an http check");
                }
                CheckProtocol::Tcp
            }
            CheckKind::Http => CheckProtocol::Http(http_check(group)),
        };
        Some(HealthCheck {
            protocol,
            port: raw.port.as_ref().map(|port| port.value),
            interval: value_or(raw.interval.as_ref(), limits::HEALTH_INTERVAL_DEFAULT),
            timeout: value_or(raw.timeout.as_ref(), limits::HEALTH_TIMEOUT_DEFAULT),
            healthy_threshold: value_or(raw.healthy.as_ref(), limits::HEALTH_THRESHOLD_DEFAULT),
            unhealthy_threshold: value_or(raw.unhealthy.as_ref(), limits::HEALTH_THRESHOLD_DEFAULT),
            source: raw.source.as_ref().map(|source| source.value),
        })
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
}

fn http_check(group: &RawGroup) -> HttpCheck {
    let raw = &group.health_check.http;
    HttpCheck {
        path: raw.path.as_ref().map_or_else(|| limits::CHECK_PATH_DEFAULT.into(), |path| path.value.clone()),
        host: raw.host.as_ref().map(|host| host.value.clone()),
        method: value_or(raw.method.as_ref(), CheckMethod::default()),
        version: value_or(raw.version.as_ref().or(group.http.version.as_ref()), HttpVersion::default()),
        matcher: raw.matcher.as_ref().map_or_else(|| vec![limits::CHECK_MATCHER_DEFAULT], |given| given.value.clone()),
    }
}
