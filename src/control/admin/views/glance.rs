//! Everything at a glance: what the status page shows, in one document that is small enough to be sent each second.
//!
//! Counters are since the start, so whoever reads two glances has rates: `elapsed_seconds` is when the shards said it, by a
//! clock that nobody sets. Latencies are of the last seconds (recent.rs).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::recent::{self, Latencies, Then};
use super::targets::{checks_per_second, of_target, worst};
use super::{BalancerView, RevisionView, View, micros, seconds};
use crate::config::{Algorithm, Listener, Target, TargetGroup};
use crate::control::rfc3339;
use crate::control::shards::{Handle, Life};
use crate::health::{Failure, Reason, State};
use crate::l7::Why;
use crate::shard::{CloseReason, GroupReport, ListenerReport, RefuseReason, ShardReport, TargetReport};

/// Targets that a glance names. With more, each group has its share of this, those first that take nothing new.
const TARGETS_MAX: usize = 2_000;

/// The document.
#[derive(Serialize)]
pub(in super::super) struct Glance<'v> {
    /// When the shards said it, by a clock that runs evenly: the difference of two glances makes rates.
    pub(in super::super) elapsed_seconds: f64,
    pub(in super::super) balancer: BalancerView,
    /// Why the API changes nothing now; null: it can.
    why_nothing_changes: Option<String>,
    /// What latencies are of; none: of all time.
    latency_window_us: Option<u64>,
    listeners: Vec<ListenerGlance<'v>>,
    target_groups: Vec<GroupGlance<'v>>,
    shards: Vec<ShardGlance>,
    /// The latest first.
    pub(in super::super) revisions: Vec<RevisionView>,
}

/// The balancer as the API answers, and whether it can be changed.
pub(in super::super) struct Balancer {
    pub(in super::super) answer: BalancerView,
    pub(in super::super) why_nothing_changes: Option<String>,
}

#[derive(Serialize)]
struct ListenerGlance<'v> {
    name: &'v str,
    protocol: &'static str,
    address: IpAddr,
    port: u16,
    bound: bool,
    target_groups: Vec<&'v str>,
    accepted: u64,
    active: u64,
    accept_errors: u64,
    refused: BTreeMap<&'static str, u64>,
    closed: BTreeMap<&'static str, u64>,
    client_bytes: u64,
    target_bytes: u64,
    http: Option<HttpGlance>,
    latency: Latencies,
}

#[derive(Serialize)]
struct HttpGlance {
    requests: u64,
    /// By the first digit of their status, 1xx first.
    responses: [u64; 5],
    /// 5xx of targets that reached their clients whole: `errors` has none of them, so the two together are what failed.
    target_5xx: u64,
    errors: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct GroupGlance<'v> {
    name: &'v str,
    protocol: &'static str,
    algorithm: Algorithm,
    failing_open: bool,
    checks_per_second: f64,
    listeners: Vec<&'v str>,
    /// How many targets are in each state.
    states: BTreeMap<&'static str, usize>,
    targets: Vec<TargetGlance<'v>>,
    /// Targets that are not named.
    left_out: usize,
}

#[derive(Serialize)]
struct TargetGlance<'v> {
    address: IpAddr,
    port: u16,
    id: Option<&'v str>,
    weight: u8,
    state: &'static str,
    reason: Option<Reason>,
    since: Option<String>,
    /// Shards see it differently: the worst is shown.
    differs: bool,
    check: Option<CheckGlance>,
    connections: u64,
    active: u64,
    connects_failed: u64,
    requests: u64,
    responses_5xx: u64,
}

#[derive(Serialize)]
struct CheckGlance {
    at: String,
    latency_us: Option<u64>,
    failure: Option<&'static str>,
    hint: Option<&'static str>,
}

#[derive(Serialize)]
struct ShardGlance {
    shard: usize,
    core: usize,
    state: Life,
    answered_seconds_ago: f64,
    report: Option<ShardCounts>,
}

#[derive(Serialize)]
struct ShardCounts {
    revision: u64,
    draining: bool,
    connections: usize,
    connections_max: usize,
    accepted: u64,
    requests: u64,
    bytes: u64,
    latency: Latencies,
}

impl View {
    /// `then` is what latencies are measured against.
    pub(in super::super) fn glance(
        &self,
        then: Option<&Then>,
        shards: &[Arc<Handle>],
        Balancer { answer: balancer, why_nothing_changes }: Balancer,
        revisions: Vec<RevisionView>,
        elapsed: Duration,
    ) -> Glance<'_> {
        let before = then.map_or(&[][..], |then| &then.reports[..]);
        let targets: usize = self.snapshot.groups.iter().map(|group| group.targets.len()).sum();
        let share =
            if targets <= TARGETS_MAX { TARGETS_MAX } else { (TARGETS_MAX / self.snapshot.groups.len()).max(1) };
        Glance {
            elapsed_seconds: seconds(elapsed),
            balancer,
            why_nothing_changes,
            latency_window_us: recent::window_us(then),
            listeners: self.snapshot.listeners.iter().map(|listener| self.listener_glance(listener, before)).collect(),
            target_groups: self.snapshot.groups.iter().map(|group| self.group_glance(group, share)).collect(),
            shards: shards.iter().map(|shard| self.shard_glance(shard, before)).collect(),
            revisions,
        }
    }

    fn listener_glance<'v>(&'v self, listener: &'v Listener, before: &[Arc<ShardReport>]) -> ListenerGlance<'v> {
        let (reports, then) = (of_listener(&self.reports, listener), of_listener(before, listener));
        let total = |value: fn(&ListenerReport) -> u64| reports.iter().map(|report| value(report)).sum::<u64>();
        ListenerGlance {
            name: &listener.name,
            protocol: listener.protocol.as_str(),
            address: listener.address.ip(),
            port: listener.address.port(),
            bound: !reports.is_empty() && reports.iter().all(|report| report.bound),
            target_groups: self.snapshot.groups_of(listener).iter().map(|group| &*group.name).collect(),
            accepted: total(|report| report.counts.accepted),
            active: total(|report| report.counts.active),
            accept_errors: total(|report| report.counts.accept_errors),
            refused: named(RefuseReason::ALL.map(RefuseReason::as_str), |index| {
                reports.iter().map(|report| report.counts.refused[index]).sum()
            }),
            closed: named(CloseReason::ALL.map(CloseReason::as_str), |index| {
                reports.iter().map(|report| report.counts.closed[index]).sum()
            }),
            client_bytes: total(|report| report.counts.client_bytes),
            target_bytes: total(|report| report.counts.target_bytes),
            http: http(&reports),
            latency: Latencies::between(&then, &reports),
        }
    }

    fn group_glance<'v>(&'v self, group: &'v TargetGroup, share: usize) -> GroupGlance<'v> {
        let reports = self.reports_of(group);
        let states: Vec<Option<State>> = group
            .targets
            .iter()
            .enumerate()
            .map(|(index, target)| worst(&of_target(&reports, index, target)))
            .collect();
        let mut counts = BTreeMap::new();
        for state in &states {
            *counts.entry(name_of(*state)).or_default() += 1;
        }
        let shown = choose(&states, share);
        let listeners = self.snapshot.listeners.iter();
        let names_it =
            |listener: &&Arc<Listener>| self.snapshot.groups_of(listener).iter().any(|named| named.name == group.name);
        GroupGlance {
            name: &group.name,
            protocol: group.protocol.as_str(),
            algorithm: group.algorithm,
            failing_open: reports.iter().any(|(_, report)| report.failing_open),
            checks_per_second: checks_per_second(&reports),
            listeners: listeners.filter(names_it).map(|listener| &*listener.name).collect(),
            left_out: group.targets.len() - shown.len(),
            targets: shown.into_iter().map(|index| target(&reports, index, &group.targets[index])).collect(),
            states: counts,
        }
    }

    fn shard_glance(&self, handle: &Handle, before: &[Arc<ShardReport>]) -> ShardGlance {
        let pulse = handle.pulse();
        let of = |reports: &[Arc<ShardReport>]| reports.iter().find(|report| report.shard == handle.id).cloned();
        let then = of(before);
        ShardGlance {
            shard: handle.id,
            core: handle.core,
            state: pulse.life,
            answered_seconds_ago: seconds(pulse.answered_at.elapsed()),
            report: of(&self.reports).map(|report| shard_counts(then.as_deref(), &report)),
        }
    }
}

fn of_listener<'r>(reports: &'r [Arc<ShardReport>], listener: &Listener) -> Vec<&'r ListenerReport> {
    reports.iter().flat_map(|report| &report.listeners).filter(|report| report.name == listener.name).collect()
}

fn http(reports: &[&ListenerReport]) -> Option<HttpGlance> {
    let mut counts = reports.iter().filter_map(|report| report.http.as_ref()).peekable();
    counts.peek()?;
    let mut requests = 0;
    let mut responses = [0; 5];
    let mut target_5xx = 0;
    let mut errors = [0; Why::ALL.len()];
    for counted in counts {
        requests += counted.requests;
        target_5xx += counted.target_5xx;
        responses.iter_mut().zip(counted.classes).for_each(|(sum, count)| *sum += count);
        errors.iter_mut().zip(counted.errors).for_each(|(sum, count)| *sum += count);
    }
    Some(HttpGlance {
        requests,
        responses,
        target_5xx,
        errors: named(Why::ALL.map(Why::as_str), |index| errors[index]),
    })
}

/// What happened at all, by name.
fn named<const N: usize>(names: [&'static str; N], count: impl Fn(usize) -> u64) -> BTreeMap<&'static str, u64> {
    names.into_iter().enumerate().map(|(index, name)| (name, count(index))).filter(|(_, count)| *count > 0).collect()
}

fn shard_counts(then: Option<&ShardReport>, now: &ShardReport) -> ShardCounts {
    let listeners: Vec<&ListenerReport> = now.listeners.iter().collect();
    let before: Vec<&ListenerReport> = then.map(|then| then.listeners.iter().collect()).unwrap_or_default();
    let total = |value: fn(&ListenerReport) -> u64| listeners.iter().map(|report| value(report)).sum::<u64>();
    ShardCounts {
        revision: now.revision,
        draining: now.draining,
        connections: now.connections,
        connections_max: now.connections_max,
        accepted: total(|report| report.counts.accepted),
        requests: total(|report| report.http.as_ref().map_or(0, |http| http.requests)),
        bytes: total(|report| report.counts.client_bytes + report.counts.target_bytes),
        latency: Latencies::between(&before, &listeners),
    }
}

/// Which of a group's targets are shown: all, or as many as the share is, those first that take nothing new.
fn choose(states: &[Option<State>], share: usize) -> Vec<usize> {
    if states.len() <= share {
        return (0..states.len()).collect();
    }
    let is_healthy = |index: &usize| states[*index] == Some(State::Healthy);
    let others = (0..states.len()).filter(|index| !is_healthy(index));
    others.chain((0..states.len()).filter(is_healthy)).take(share).collect()
}

fn name_of(state: Option<State>) -> &'static str {
    state.map_or("unknown", State::as_str)
}

fn target<'v>(reports: &[(usize, &GroupReport)], index: usize, target: &'v Target) -> TargetGlance<'v> {
    let reports = of_target(reports, index, target);
    let state = worst(&reports);
    let decisive = reports.iter().map(|(_, report)| *report).find(|report| Some(report.state) == state);
    let latest = reports.iter().filter_map(|(_, report)| report.last_check).max_by_key(|check| check.at);
    let total = |value: fn(&TargetReport) -> u64| reports.iter().map(|(_, report)| value(report)).sum::<u64>();
    TargetGlance {
        address: target.address.ip(),
        port: target.address.port(),
        id: target.instance_id.as_deref().or(target.eni_id.as_deref()),
        weight: target.weight,
        state: name_of(state),
        reason: decisive.and_then(|report| report.reason),
        since: decisive.map(|report| rfc3339(report.since)),
        differs: reports.iter().any(|(_, report)| Some(report.state) != state),
        check: latest.map(|check| CheckGlance {
            at: rfc3339(check.at),
            latency_us: check.latency.map(micros),
            failure: check.failure.map(Failure::as_str),
            hint: check.failure.map(Failure::hint),
        }),
        connections: total(|report| report.counts.connections),
        active: total(|report| u64::from(report.counts.active)),
        connects_failed: total(|report| report.counts.connect_failures.iter().map(|(_, count)| count).sum()),
        requests: total(|report| report.counts.requests),
        responses_5xx: total(|report| report.counts.responses[4]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_not_all_targets_fit_those_that_take_nothing_new_come_first() {
        let [healthy, unhealthy] = [Some(State::Healthy), Some(State::Unhealthy)];
        let states = [healthy, unhealthy, healthy, None, healthy];
        assert_eq!(choose(&states, 5), [0, 1, 2, 3, 4], "in the order of the config where they fit");
        assert_eq!(choose(&states, 4), [1, 3, 0, 2]);
        assert_eq!(choose(&states, 1), [1]);
        assert!(choose(&[], 1).is_empty());
    }
}
