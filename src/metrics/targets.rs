//! Families of target groups and targets: summed over shards, but for the health, in which shards may differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::http::CODE_CLASSES;
use super::names::{self, Metric};
use super::text::Text;
use crate::health::State;
use crate::shard::{GroupReport, ShardReport, TargetReport};

/// Every state, in the order of the text.
pub(super) const STATES: [State; 5] =
    [State::Healthy, State::Initial, State::Unhealthy, State::Draining, State::Unused];

/// By name: what each shard, by number, says.
type Groups<'r> = BTreeMap<&'r str, Vec<(usize, &'r GroupReport)>>;

/// One target on all shards.
struct Target<'r> {
    group: &'r str,
    label: &'r str,
    reports: Vec<&'r TargetReport>,
}

pub(super) fn write(text: &mut Text, reports: &[Arc<ShardReport>]) {
    let mut groups = Groups::new();
    for report in reports {
        for group in &report.groups {
            groups.entry(&group.name).or_default().push((report.shard, group));
        }
    }
    let targets: Vec<Target> = groups.iter().flat_map(|(group, reports)| targets_of(group, reports)).collect();
    states(text, &groups, &targets);
    of_groups(text, &groups);
    health(text, &groups);
    weights(text, &targets);
    sums(text, &targets);
    responses(text, &targets);
    connect_failures(text, &targets);
    checks(text, &targets);
}

/// The state that stands for all shards: the worst one that any of them sees. `None` for no shard.
#[must_use]
pub fn worst_state(states: impl Iterator<Item = State>) -> Option<State> {
    states.max_by_key(|state| match state {
        State::Unused => 0,
        State::Healthy => 1,
        State::Draining => 2,
        State::Initial => 3,
        State::Unhealthy => 4,
    })
}

fn targets_of<'r>(group: &'r str, reports: &[(usize, &'r GroupReport)]) -> Vec<Target<'r>> {
    let mut targets: BTreeMap<&str, Vec<&TargetReport>> = BTreeMap::new();
    for target in reports.iter().flat_map(|(_, group)| &group.targets) {
        targets.entry(&target.label).or_default().push(target);
    }
    targets.into_iter().map(|(label, reports)| Target { group, label, reports }).collect()
}

fn states(text: &mut Text, groups: &Groups, targets: &[Target]) {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for target in targets {
        if let Some(state) = worst_state(target.reports.iter().map(|report| report.state)) {
            *counts.entry((target.group, state.as_str())).or_default() += 1;
        }
    }
    text.family(&names::GROUP_TARGETS, |family| {
        for group in groups.keys() {
            for state in STATES {
                let count = counts.get(&(*group, state.as_str())).copied().unwrap_or_default();
                family.sample(&[group, state.as_str()], count);
            }
        }
    });
}

fn of_groups(text: &mut Text, groups: &Groups) {
    text.family(&names::GROUP_FAILING_OPEN, |family| {
        for (name, reports) in groups {
            family.sample(&[name], reports.iter().filter(|(_, group)| group.failing_open).count());
        }
    });
    text.family(&names::GROUP_LEAVING_ZONE, |family| {
        for (name, reports) in groups {
            family.sample(&[name], reports.iter().filter(|(_, group)| group.leaving_zone).count());
        }
    });
    text.family(&names::GROUP_CHECKS_PER_SECOND, |family| {
        for (name, reports) in groups {
            family.sample(&[name], checks_per_second(reports.iter().map(|(_, group)| *group)));
        }
    });
}

/// Health checks that each target of a group sees a second from this node: every shard checks for itself (requirement H4).
pub fn checks_per_second<'r>(of_shards: impl Iterator<Item = &'r GroupReport>) -> f64 {
    let checked =
        |group: &GroupReport| group.targets.iter().find(|target| target.state != State::Unused)?.check_interval;
    of_shards.filter_map(checked).map(|interval| 1.0 / interval.as_secs_f64()).fold(0.0, |sum, rate| sum + rate)
}

fn health(text: &mut Text, groups: &Groups) {
    text.family(&names::TARGET_HEALTHY, |family| {
        for (name, reports) in groups {
            for (shard, group) in reports {
                let shard = shard.to_string();
                for target in group.targets.iter().filter(|target| target.state != State::Unused) {
                    family.sample(&[name, &target.label, &shard], target.state == State::Healthy);
                }
            }
        }
    });
}

fn weights(text: &mut Text, targets: &[Target]) {
    text.family(&names::TARGET_WEIGHT, |family| {
        for Target { group, label, reports } in targets {
            // All shards run on the same config, but for the moment of a reload.
            let weight = reports.first().map_or(0, |report| u64::from(report.weight));
            family.sample(&[group, label], weight);
        }
    });
}

fn sums(text: &mut Text, targets: &[Target]) {
    type Value = fn(&TargetReport) -> u64;
    let all: [(&'static Metric, Value); 6] = [
        (&names::TARGET_CONNECTIONS, |report| report.counts.connections),
        (&names::TARGET_ACTIVE, |report| u64::from(report.counts.active)),
        (&names::TARGET_IDLE, |report| report.counts.idle as u64),
        (&names::TARGET_REQUESTS, |report| report.counts.requests),
        (&names::TARGET_SENT_BYTES, |report| report.counts.client_bytes),
        (&names::TARGET_RECEIVED_BYTES, |report| report.counts.target_bytes),
    ];
    for (metric, value) in all {
        text.family(metric, |family| {
            for target in targets {
                family.sample(&[target.group, target.label], target.total(value));
            }
        });
    }
}

fn responses(text: &mut Text, targets: &[Target]) {
    text.family(&names::TARGET_RESPONSES, |family| {
        for target in targets {
            for (index, class) in CODE_CLASSES.iter().enumerate() {
                let count = target.total(|report| report.counts.responses[index]);
                family.sample(&[target.group, target.label, class], count);
            }
        }
    });
}

fn connect_failures(text: &mut Text, targets: &[Target]) {
    text.family(&names::TARGET_CONNECT_FAILURES, |family| {
        for Target { group, label, reports } in targets {
            let mut failures: BTreeMap<&str, u64> = BTreeMap::new();
            for (cause, count) in reports.iter().flat_map(|report| &report.counts.connect_failures) {
                *failures.entry(cause.as_str()).or_default() += count;
            }
            for (cause, count) in failures {
                family.sample(&[group, label, cause], count);
            }
        }
    });
}

fn checks(text: &mut Text, targets: &[Target]) {
    type Value = fn(&TargetReport) -> u64;
    let results: [(&str, Value); 3] = [
        ("succeeded", |report| report.checks.succeeded),
        ("failed", |report| report.checks.failed),
        ("not_made", |report| report.checks.not_made),
    ];
    text.family(&names::TARGET_CHECKS, |family| {
        for target in targets {
            for (result, value) in results {
                family.sample(&[target.group, target.label, result], target.total(value));
            }
        }
    });
}

impl Target<'_> {
    fn total(&self, value: impl Fn(&TargetReport) -> u64) -> u64 {
        self.reports.iter().map(|report| value(report)).sum()
    }
}
