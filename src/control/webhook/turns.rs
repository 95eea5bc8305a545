//! Which targets have turned unhealthy since the last look: pure.
//!
//! ```text
//!                 every shard says unhealthy: a Turn
//!      armed ----------------------------------------> told
//!        ^                                               |
//!        `---- no shard says unhealthy, or each has  ----'       shards that differ, or do not know it: as it was
//!              said otherwise since the last look
//! ```
//!
//! Shards check for themselves and differ for a moment, so one of them alone neither makes a turn nor arms for the next one:
//! a target that flaps on one shard is reported once at most. `Unhealthy` is a state that checks alone lead to
//! (health/state.rs), so a target that is new, unbound, unchecked or in no use is not taken for one.
//! Watched are the targets of each scaling group with `health_type = "elb"`: those that stand for one of its instances in one of
//! its target groups, at weight 0 too, since they are checked and their instances are expected to work.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{Snapshot, Target};
use crate::health::{LastCheck, Reason, State};
use crate::metrics;
use crate::shard::{GroupReport, ShardReport, TargetReport};

/// A target has turned unhealthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) scaling_group: Arc<str>,
    pub(super) instance_id: Arc<str>,
    pub(super) target_group: Arc<str>,
    pub(super) target: SocketAddr,
    pub(super) weight: u8,
    /// Why, as the shard says that turned last.
    pub(super) reason: Option<Reason>,
    /// Its last check.
    pub(super) last_check: Option<LastCheck>,
    /// When the first shard took it for unhealthy.
    pub(super) since: SystemTime,
    /// When the last one did.
    pub(super) at: SystemTime,
    /// Targets of the target group, and how many of them every shard takes for healthy.
    pub(super) targets: usize,
    pub(super) targets_healthy: usize,
}

/// What is watched, and what was told of it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    snapshot: Option<Arc<Snapshot>>,
    watched: Vec<Watched>,
}

/// One target for one scaling group.
#[derive(Debug)]
struct Watched {
    key: Key,
    /// Where they are in the snapshot.
    group: usize,
    target: usize,
    seen: Seen,
}

/// What came of the looks before.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    told: bool,
    /// When a shard last changed its mind, by the look before. Quick checks find a target well and unhealthy again between
    /// two looks: then each shard has changed it since.
    changed_at: Option<SystemTime>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    scaling_group: Arc<str>,
    instance_id: Arc<str>,
    target_group: Arc<str>,
    target: SocketAddr,
}

impl Watch {
    /// Takes over what is to be watched from now on. What was told stays told where the target, its instance and its groups are
    /// the same.
    pub(super) fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        if self.snapshot.as_ref().is_some_and(|known| Arc::ptr_eq(known, snapshot)) {
            return;
        }
        let seen: HashMap<Key, Seen> = self.watched.drain(..).map(|watched| (watched.key, watched.seen)).collect();
        self.watched = watched(snapshot);
        for watched in &mut self.watched {
            watched.seen = seen.get(&watched.key).copied().unwrap_or_default();
        }
        self.snapshot = Some(Arc::clone(snapshot));
    }

    /// Whether there is nothing to look at.
    pub(super) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Who has turned unhealthy since the last look, by what these shards say: all that answer.
    pub(super) fn turns(&mut self, reports: &[&ShardReport]) -> Vec<Turn> {
        let Some(snapshot) = &self.snapshot else { return Vec::new() };
        let mut turns = Vec::new();
        let mut healthy: HashMap<usize, usize> = HashMap::new();
        for watched in &mut self.watched {
            let group = &snapshot.groups[watched.group];
            let Some(views) = views(reports, watched.group, &group.name, watched.target, watched.key.target) else {
                continue;
            };
            let [first, last] = [views.iter().map(|view| view.since).min(), views.iter().map(|view| view.since).max()];
            let before = std::mem::replace(&mut watched.seen.changed_at, last);
            let unhealthy = views.iter().filter(|view| view.state == State::Unhealthy).count();
            if unhealthy == 0 || before.is_some() && first > before {
                watched.seen.told = false;
            }
            if unhealthy == views.len() && !std::mem::replace(&mut watched.seen.told, true) {
                let counted = |(index, target): (usize, &Target)| {
                    let views = self::views(reports, watched.group, &group.name, index, target.address);
                    let states = views.into_iter().flatten().map(|view| view.state);
                    metrics::worst_state(states) == Some(State::Healthy)
                };
                let count = || group.targets.iter().enumerate().filter(|target| counted(*target)).count();
                let targets_healthy = *healthy.entry(watched.group).or_insert_with(count);
                let weight = group.targets[watched.target].weight;
                turns.extend(turn(&watched.key, weight, &views, (group.targets.len(), targets_healthy)));
            }
        }
        turns
    }
}

/// What every shard says of a target; `None` where there is no shard, or one does not know the target yet.
fn views<'r>(
    reports: &[&'r ShardReport],
    group: usize,
    name: &str,
    target: usize,
    address: SocketAddr,
) -> Option<Vec<&'r TargetReport>> {
    let view = |report: &&'r ShardReport| {
        // They are in the snapshot's order, but for the moment of a reload.
        let is_group = |group: &&'r GroupReport| *group.name == *name;
        let in_place = report.groups.get(group).filter(is_group);
        let group = in_place.or_else(|| report.groups.iter().find(is_group))?;
        let is_target = |target: &&'r TargetReport| target.address == address;
        let in_place = group.targets.get(target).filter(is_target);
        in_place.or_else(|| group.targets.iter().find(is_target))
    };
    let views: Option<Vec<_>> = reports.iter().map(view).collect();
    views.filter(|views| !views.is_empty())
}

fn turn(key: &Key, weight: u8, views: &[&TargetReport], (targets, targets_healthy): (usize, usize)) -> Option<Turn> {
    let last = views.iter().max_by_key(|view| view.since)?;
    let first = views.iter().min_by_key(|view| view.since)?;
    Some(Turn {
        scaling_group: Arc::clone(&key.scaling_group),
        instance_id: Arc::clone(&key.instance_id),
        target_group: Arc::clone(&key.target_group),
        target: key.target,
        weight,
        reason: last.reason,
        last_check: last.last_check,
        since: first.since,
        at: last.since,
        targets,
        targets_healthy,
    })
}

fn watched(snapshot: &Snapshot) -> Vec<Watched> {
    let mut watched = Vec::new();
    for scaling in snapshot.inventory.scaling_groups() {
        if scaling.reported_to().is_none() || snapshot.check_webhook(scaling).is_err() {
            continue;
        }
        for association in &scaling.target_groups {
            let Some(group) = snapshot.groups.iter().position(|group| *group.name == *association.group) else {
                continue;
            };
            let target_group = &snapshot.groups[group];
            for (target, bound) in target_group.targets.iter().enumerate() {
                let Some(instance_id) = bound.instance_id.as_ref().filter(|id| scaling.instances.contains(&***id))
                else {
                    continue;
                };
                let key = Key {
                    scaling_group: scaling.name.clone().into(),
                    instance_id: Arc::clone(instance_id),
                    target_group: Arc::clone(&target_group.name),
                    target: bound.address,
                };
                watched.push(Watched { key, group, target, seen: Seen::default() });
            }
        }
    }
    watched
}
