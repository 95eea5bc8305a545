//! Target groups and their targets, with each target's health as all shards see it (requirements G11, H4, H5).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{View, micros, rfc3339, seconds};
use crate::config::{CheckProtocol, HealthCheck, Listener, Target, TargetGroup};
use crate::health::{Failure, LastCheck, State};
use crate::metrics;
use crate::shard::{GroupReport, TargetReport};

impl View {
    pub(in super::super) fn group(&self, group: &TargetGroup) -> Value {
        let reports = self.reports_of(group);
        let targets =
            group.targets.iter().enumerate().map(|(index, target)| worst(&of_target(&reports, index, target)));
        let healthy = targets.filter(|state| *state == Some(State::Healthy)).count();
        let names_it =
            |listener: &&Arc<Listener>| self.snapshot.groups_of(listener).iter().any(|named| named.name == group.name);
        let listeners = self.snapshot.listeners.iter().filter(names_it);
        json!({
            "name": &*group.name,
            "protocol": group.protocol.as_str(),
            "managed": group.managed,
            "algorithm": group.algorithm,
            "fail_open": group.fail_open,
            "failing_open": reports.iter().any(|(_, report)| report.failing_open),
            "cross_zone": group.cross_zone,
            "leaving_zone": reports.iter().any(|(_, report)| report.leaving_zone),
            "connect_timeout_seconds": seconds(group.connect_timeout),
            "retries": group.retries,
            "health_check": group.health_check.as_ref().map(health_check),
            "checks_per_second": checks_per_second(&reports),
            "listeners": listeners.map(|listener| &*listener.name).collect::<Vec<_>>(),
            "targets": group.targets.len(),
            "targets_healthy": healthy,
        })
    }

    pub(in super::super) fn targets(&self, group: &TargetGroup) -> Vec<Value> {
        let reports = self.reports_of(group);
        let rate = checks_per_second(&reports);
        let of_target = |(index, target)| self::target(target, rate, &of_target(&reports, index, target));
        group.targets.iter().enumerate().map(of_target).collect()
    }

    pub(super) fn reports_of(&self, group: &TargetGroup) -> Vec<(usize, &GroupReport)> {
        self.reports
            .iter()
            .filter_map(|report| Some((report.shard, report.groups.iter().find(|other| other.name == group.name)?)))
            .collect()
    }
}

fn target(target: &Target, checks_per_second: f64, reports: &[(usize, &TargetReport)]) -> Value {
    let total = |value: fn(&TargetReport) -> u64| reports.iter().map(|(_, report)| value(report)).sum::<u64>();
    json!({
        "address": target.address.ip(),
        "port": target.address.port(),
        "region": target.region.as_deref(),
        "network": target.network.as_deref(),
        "zone": target.zone.as_deref(),
        "type": target.kind,
        "instance_id": target.instance_id.as_deref(),
        "eni_id": target.eni_id.as_deref(),
        "weight": target.weight,
        "stands_by": reports.iter().any(|(_, report)| report.stands_by),
        "health": health(reports),
        "checks_per_second": checks_per_second,
        "checks": {
            "succeeded": total(|report| report.checks.succeeded),
            "failed": total(|report| report.checks.failed),
            "not_made": total(|report| report.checks.not_made),
        },
        "connections": {
            "made": total(|report| report.counts.connections),
            "active": total(|report| u64::from(report.counts.active)),
            "failed": connect_failures(reports),
            "idle": total(|report| report.counts.idle as u64),
        },
        "requests": total(|report| report.counts.requests),
        "responses": metrics::CODE_CLASSES.iter().enumerate().map(|(index, class)| {
            let count = reports.iter().map(|(_, report)| report.counts.responses[index]).sum::<u64>();
            ((*class).to_owned(), count.into())
        }).collect::<Map<_, _>>(),
        "sent_bytes": total(|report| report.counts.client_bytes),
        "received_bytes": total(|report| report.counts.target_bytes),
    })
}

/// What each shard says of the target at `index` of the snapshot. A shard's targets are in the snapshot's order, but for the
/// moment of a reload: a search each would take a group of 1,000 a million comparisons a shard.
pub(super) fn of_target<'r>(
    reports: &[(usize, &'r GroupReport)],
    index: usize,
    target: &Target,
) -> Vec<(usize, &'r TargetReport)> {
    let is_it = |report: &&TargetReport| report.address == target.address;
    let of_group = |group: &'r GroupReport| {
        let in_place = group.targets.get(index).filter(is_it);
        in_place.or_else(|| group.targets.iter().find(is_it))
    };
    reports.iter().filter_map(|(shard, group)| Some((*shard, of_group(group)?))).collect()
}

pub(super) fn worst(reports: &[(usize, &TargetReport)]) -> Option<State> {
    metrics::worst_state(reports.iter().map(|(_, report)| report.state))
}

pub(super) fn checks_per_second(reports: &[(usize, &GroupReport)]) -> f64 {
    metrics::checks_per_second(reports.iter().map(|(_, report)| *report))
}

fn health_check(check: &HealthCheck) -> Value {
    json!({
        "protocol": match check.protocol {
            CheckProtocol::Tcp => "tcp",
            CheckProtocol::Http(_) => "http",
        },
        "port": check.port,
        "interval_seconds": seconds(check.interval),
        "timeout_seconds": seconds(check.timeout),
        "healthy_threshold": check.healthy_threshold,
        "unhealthy_threshold": check.unhealthy_threshold,
        "source": check.source,
    })
}

/// The worst view of any shard stands for all; where they differ, each is shown. The last check is the latest of all.
fn health(reports: &[(usize, &TargetReport)]) -> Value {
    let state = worst(reports);
    let Some((_, decisive)) = reports.iter().find(|(_, report)| Some(report.state) == state) else {
        return json!({ "state": "unknown" });
    };
    let mut health = of_shard(decisive);
    let latest = reports.iter().filter_map(|(_, report)| report.last_check).max_by_key(|check| check.at);
    health.insert("last_check".to_owned(), latest.map_or(Value::Null, last_check));
    if reports.iter().any(|(_, report)| Some(report.state) != state) {
        let views = reports.iter().map(|(shard, report)| {
            let mut view = of_shard(report);
            view.insert("shard".to_owned(), json!(shard));
            Value::Object(view)
        });
        health.insert("shards".to_owned(), views.collect());
    }
    Value::Object(health)
}

fn of_shard(report: &TargetReport) -> Map<String, Value> {
    let entries = [
        ("state", json!(report.state)),
        ("reason", json!(report.reason)),
        ("since", json!(rfc3339(report.since))),
        ("last_check", report.last_check.map_or(Value::Null, last_check)),
    ];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn last_check(check: LastCheck) -> Value {
    json!({
        "at": rfc3339(check.at),
        "latency_us": check.latency.map(micros),
        "failure": check.failure,
        "errno": check.failure.and_then(Failure::errno),
        "status": check.failure.and_then(Failure::status),
        "hint": check.failure.map(Failure::hint),
    })
}

fn connect_failures(reports: &[(usize, &TargetReport)]) -> Map<String, Value> {
    let mut failures = BTreeMap::<&str, u64>::new();
    for (cause, count) in reports.iter().flat_map(|(_, report)| &report.counts.connect_failures) {
        *failures.entry(cause.as_str()).or_default() += count;
    }
    failures.into_iter().map(|(cause, count)| (cause.to_owned(), count.into())).collect()
}
