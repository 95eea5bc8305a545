//! Target groups and their targets, with each target's health as all shards see it (requirements G11, H4, H5).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::health::{Health, health};
use super::{View, seconds};
use crate::config::{Algorithm, CheckProtocol, HealthCheck, Listener, Managed, Target, TargetGroup, TargetKind};
use crate::health::State;
use crate::metrics;
use crate::schema;
use crate::shard::{GroupReport, TargetReport};

/// Every target group.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct TargetGroups {
    pub(in super::super) target_groups: Vec<GroupView>,
}

/// A target group.
#[derive(Serialize, ToSchema)]
#[schema(as = TargetGroup)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, as readers of JSON have it")]
pub(in super::super) struct GroupView {
    name: Arc<str>,
    /// `tcp` or `http`.
    protocol: &'static str,
    managed: Managed,
    algorithm: Algorithm,
    fail_open: bool,
    /// No target is healthy, and traffic goes to all of them.
    failing_open: bool,
    cross_zone: bool,
    /// No target of the own zone is healthy, and traffic goes to other zones.
    leaving_zone: bool,
    connect_timeout_seconds: f64,
    retries: u8,
    /// Null: its targets are not checked.
    health_check: Option<CheckView>,
    /// Checks that each target gets, of all shards.
    checks_per_second: f64,
    /// Listeners that may send to it.
    listeners: Vec<Arc<str>>,
    targets: usize,
    targets_healthy: usize,
}

/// How targets are checked.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthCheck)]
struct CheckView {
    /// `tcp` or `http`.
    protocol: &'static str,
    /// Null: the target's own.
    port: Option<u16>,
    interval_seconds: f64,
    timeout_seconds: f64,
    healthy_threshold: u8,
    unhealthy_threshold: u8,
    #[schema(value_type = Option<schema::Address>)]
    source: Option<IpAddr>,
}

/// The targets of a group.
#[derive(Serialize, ToSchema)]
#[schema(as = Targets)]
pub(in super::super) struct TargetsView {
    target_group: Arc<str>,
    targets: Vec<TargetView>,
}

/// A target: where it is, how it is, and what it got since the start.
#[derive(Serialize, ToSchema)]
#[schema(as = Target)]
struct TargetView {
    #[schema(value_type = schema::Address)]
    address: IpAddr,
    port: u16,
    region: Option<Arc<str>>,
    network: Option<Arc<str>>,
    zone: Option<Arc<str>>,
    #[serde(rename = "type")]
    kind: TargetKind,
    instance_id: Option<Arc<str>>,
    eni_id: Option<Arc<str>>,
    weight: u8,
    /// It is in another zone, and the own zone has a healthy target.
    stands_by: bool,
    health: Health,
    checks_per_second: f64,
    checks: Checks,
    connections: TargetConnections,
    requests: u64,
    /// By class of status: `2xx`, say.
    responses: BTreeMap<&'static str, u64>,
    sent_bytes: u64,
    received_bytes: u64,
}

/// Health checks of a target.
#[derive(Serialize, ToSchema)]
struct Checks {
    succeeded: u64,
    failed: u64,
    /// This host could not make them.
    not_made: u64,
}

/// Connections to a target.
#[derive(Serialize, ToSchema)]
struct TargetConnections {
    made: u64,
    active: u64,
    /// By cause.
    failed: BTreeMap<&'static str, u64>,
    /// Kept for requests to come.
    idle: u64,
}

impl View {
    pub(in super::super) fn group(&self, group: &TargetGroup) -> GroupView {
        let reports = self.reports_of(group);
        let targets =
            group.targets.iter().enumerate().map(|(index, target)| worst(&of_target(&reports, index, target)));
        let targets_healthy = targets.filter(|state| *state == Some(State::Healthy)).count();
        let names_it =
            |listener: &&Arc<Listener>| self.snapshot.groups_of(listener).iter().any(|named| named.name == group.name);
        let listeners = self.snapshot.listeners.iter().filter(names_it);
        GroupView {
            name: Arc::clone(&group.name),
            protocol: group.protocol.as_str(),
            managed: group.managed,
            algorithm: group.algorithm,
            fail_open: group.fail_open,
            failing_open: reports.iter().any(|(_, report)| report.failing_open),
            cross_zone: group.cross_zone,
            leaving_zone: reports.iter().any(|(_, report)| report.leaving_zone),
            connect_timeout_seconds: seconds(group.connect_timeout),
            retries: group.retries,
            health_check: group.health_check.as_ref().map(CheckView::of),
            checks_per_second: checks_per_second(&reports),
            listeners: listeners.map(|listener| Arc::clone(&listener.name)).collect(),
            targets: group.targets.len(),
            targets_healthy,
        }
    }

    pub(in super::super) fn targets(&self, group: &TargetGroup) -> TargetsView {
        let reports = self.reports_of(group);
        let rate = checks_per_second(&reports);
        let of_target = |(index, target)| TargetView::of(target, rate, &of_target(&reports, index, target));
        let targets = group.targets.iter().enumerate().map(of_target).collect();
        TargetsView { target_group: Arc::clone(&group.name), targets }
    }

    pub(super) fn reports_of(&self, group: &TargetGroup) -> Vec<(usize, &GroupReport)> {
        self.reports
            .iter()
            .filter_map(|report| Some((report.shard, report.groups.iter().find(|other| other.name == group.name)?)))
            .collect()
    }
}

impl TargetView {
    fn of(target: &Target, checks_per_second: f64, reports: &[(usize, &TargetReport)]) -> Self {
        let total = |value: fn(&TargetReport) -> u64| reports.iter().map(|(_, report)| value(report)).sum::<u64>();
        let of_class = |index: usize| reports.iter().map(|(_, report)| report.counts.responses[index]).sum();
        TargetView {
            address: target.address.ip(),
            port: target.address.port(),
            region: target.region.clone(),
            network: target.network.clone(),
            zone: target.zone.clone(),
            kind: target.kind,
            instance_id: target.instance_id.clone(),
            eni_id: target.eni_id.clone(),
            weight: target.weight,
            stands_by: reports.iter().any(|(_, report)| report.stands_by),
            health: health(reports),
            checks_per_second,
            checks: Checks {
                succeeded: total(|report| report.checks.succeeded),
                failed: total(|report| report.checks.failed),
                not_made: total(|report| report.checks.not_made),
            },
            connections: TargetConnections {
                made: total(|report| report.counts.connections),
                active: total(|report| u64::from(report.counts.active)),
                failed: connect_failures(reports),
                idle: total(|report| report.counts.idle as u64),
            },
            requests: total(|report| report.counts.requests),
            responses: metrics::CODE_CLASSES
                .iter()
                .enumerate()
                .map(|(index, class)| (*class, of_class(index)))
                .collect(),
            sent_bytes: total(|report| report.counts.client_bytes),
            received_bytes: total(|report| report.counts.target_bytes),
        }
    }
}

impl CheckView {
    fn of(check: &HealthCheck) -> Self {
        CheckView {
            protocol: match check.protocol {
                CheckProtocol::Tcp => "tcp",
                CheckProtocol::Http(_) => "http",
            },
            port: check.port,
            interval_seconds: seconds(check.interval),
            timeout_seconds: seconds(check.timeout),
            healthy_threshold: check.healthy_threshold,
            unhealthy_threshold: check.unhealthy_threshold,
            source: check.source,
        }
    }
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

fn connect_failures(reports: &[(usize, &TargetReport)]) -> BTreeMap<&'static str, u64> {
    let mut failures = BTreeMap::new();
    for (cause, count) in reports.iter().flat_map(|(_, report)| &report.counts.connect_failures) {
        *failures.entry(cause.as_str()).or_default() += count;
    }
    failures
}
