//! A target group as this shard runs it: the balancer, and each target's health, load and counters, which outlive reloads.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use super::report::{CheckCounts, GroupReport, TargetCounts, TargetReport};
use crate::balance::{Balancer, Candidate, WhenNoneHealthy};
use crate::config::{HealthCheck, Target, TargetGroup};
use crate::health::{Checking, Failure, TargetHealth, Thresholds, Transition};
use crate::l4::Side;

/// One target group.
pub(super) struct Group {
    config: RefCell<Arc<TargetGroup>>,
    targets: RefCell<Vec<Rc<TargetState>>>,
    balancer: RefCell<Balancer>,
    in_use: Cell<bool>,
    shard: usize,
}

/// One target of a group, named by its address.
pub(super) struct TargetState {
    pub(super) address: SocketAddr,
    pub(super) label: Arc<str>,
    pub(super) health: RefCell<TargetHealth>,
    pub(super) checks: Cell<CheckCounts>,
    active: Cell<u32>,
    counts: RefCell<TargetCounts>,
    unbound: Cell<bool>,
    /// A checker runs for it.
    pub(super) checking: Cell<bool>,
}

/// A connection that is being made: counted as the target's until it is dropped or kept.
pub(super) struct Claim<'a>(&'a TargetState);

impl Claim<'_> {
    /// It is made: `TargetState::released` ends it.
    pub(super) fn keep(self) {
        self.0.counts.borrow_mut().connections += 1;
        std::mem::forget(self);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.released();
    }
}

impl TargetState {
    fn new(config: &Target, checking: Checking, now: SystemTime) -> Rc<Self> {
        Rc::new(TargetState {
            address: config.address,
            label: Arc::clone(&config.label),
            health: RefCell::new(TargetHealth::new(checking, now)),
            checks: Cell::default(),
            active: Cell::new(0),
            counts: RefCell::default(),
            unbound: Cell::new(false),
            checking: Cell::new(false),
        })
    }

    /// It is no longer in its group (requirement W3).
    pub(super) fn is_unbound(&self) -> bool {
        self.unbound.get()
    }

    pub(super) fn claim(&self) -> Claim<'_> {
        self.active.set(self.active.get() + 1);
        Claim(self)
    }

    pub(super) fn released(&self) {
        self.active.set(self.active.get() - 1);
    }

    pub(super) fn moved(&self, from: Side, bytes: u64) {
        let counts = &mut *self.counts.borrow_mut();
        match from {
            Side::Client => counts.client_bytes += bytes,
            Side::Target => counts.target_bytes += bytes,
        }
    }

    pub(super) fn connect_failed(&self, failure: Failure) {
        let failures = &mut self.counts.borrow_mut().connect_failures;
        match failures.iter_mut().find(|(known, _)| known.as_str() == failure.as_str()) {
            Some((_, count)) => *count += 1,
            None => failures.push((failure, 1)),
        }
    }

    fn report(&self, config: &Target, check: Option<&HealthCheck>) -> TargetReport {
        let health = self.health.borrow();
        TargetReport {
            address: self.address,
            label: Arc::clone(&self.label),
            kind: config.kind,
            weight: config.weight,
            state: health.state(),
            reason: health.reason(),
            since: health.since(),
            last_check: health.last_check(),
            check_interval: check.map(|check| check.interval),
            counts: TargetCounts { active: self.active.get(), ..self.counts.borrow().clone() },
            checks: self.checks.get(),
        }
    }
}

impl Group {
    pub(super) fn new(config: &Arc<TargetGroup>, shard: usize) -> Rc<Self> {
        let empty = TargetGroup { targets: Vec::new(), ..TargetGroup::clone(config) };
        Rc::new(Group {
            balancer: RefCell::new(Balancer::new(config.algorithm, shard)),
            config: RefCell::new(Arc::new(empty)),
            targets: RefCell::default(),
            in_use: Cell::new(false),
            shard,
        })
    }

    pub(super) fn config(&self) -> Arc<TargetGroup> {
        Arc::clone(&self.config.borrow())
    }

    /// A listener names it.
    pub(super) fn is_in_use(&self) -> bool {
        self.in_use.get()
    }

    /// Takes over what a snapshot says of this group. Targets keep their state by address; returns how many are gone.
    pub(super) fn apply(&self, config: &Arc<TargetGroup>, in_use: bool, now: SystemTime) -> usize {
        self.in_use.set(in_use);
        let checking = match (in_use, &config.health_check) {
            (false, _) => Checking::NotInUse,
            (true, None) => Checking::Off,
            (true, Some(_)) => Checking::On,
        };
        let mut before: HashMap<SocketAddr, Rc<TargetState>> =
            self.targets.take().into_iter().map(|state| (state.address, state)).collect();
        let targets = config.targets.iter().map(|target| {
            let Some(state) = before.remove(&target.address) else { return TargetState::new(target, checking, now) };
            state.health.borrow_mut().reconfigure(checking, now);
            state
        });
        let targets = targets.collect();
        self.targets.replace(targets);
        before.values().for_each(|state| state.unbound.set(true));
        if self.balancer.borrow().algorithm() != config.algorithm {
            self.balancer.replace(Balancer::new(config.algorithm, self.shard));
        }
        self.config.replace(Arc::clone(config));
        self.refresh();
        before.len()
    }

    /// The group itself is gone. Returns how many targets it had.
    pub(super) fn unbind_all(&self) -> usize {
        self.in_use.set(false);
        let targets = self.targets.take();
        targets.iter().for_each(|state| state.unbound.set(true));
        let empty = TargetGroup { targets: Vec::new(), ..TargetGroup::clone(&self.config.borrow()) };
        self.config.replace(Arc::new(empty));
        self.refresh();
        targets.len()
    }

    pub(super) fn targets(&self) -> Vec<Rc<TargetState>> {
        self.targets.borrow().clone()
    }

    /// A target for one connection, other than those `tried` already.
    pub(super) fn pick(&self, tried: &[Rc<TargetState>]) -> Option<Rc<TargetState>> {
        let targets = self.targets.borrow();
        let index = self.balancer.borrow_mut().pick(
            |index| targets[index].active.get(),
            |index| !tried.iter().any(|tried| Rc::ptr_eq(tried, &targets[index])),
        )?;
        Some(Rc::clone(&targets[index]))
    }

    /// Takes in the end of one check of `target`.
    pub(super) fn observe(
        &self,
        target: &TargetState,
        outcome: Result<std::time::Duration, Failure>,
        check: &HealthCheck,
    ) -> Option<Transition> {
        let mut checks = target.checks.get();
        match outcome {
            Ok(_) => checks.succeeded += 1,
            Err(failure) if failure.is_ours() => checks.not_made += 1,
            Err(_) => checks.failed += 1,
        }
        target.checks.set(checks);
        let thresholds = Thresholds { healthy: check.healthy_threshold, unhealthy: check.unhealthy_threshold };
        let transition = target.health.borrow_mut().observe(outcome, thresholds, SystemTime::now())?;
        self.refresh();
        Some(transition)
    }

    fn refresh(&self) {
        let config = self.config.borrow();
        let targets = self.targets.borrow();
        let candidates: Vec<Candidate> = config
            .targets
            .iter()
            .zip(&*targets)
            .map(|(config, state)| Candidate { weight: config.weight, healthy: state.health.borrow().is_healthy() })
            .collect();
        let when_none_healthy = if config.fail_open { WhenNoneHealthy::SendToAll } else { WhenNoneHealthy::Refuse };
        self.balancer.borrow_mut().refresh(&candidates, when_none_healthy);
    }

    pub(super) fn report(&self) -> GroupReport {
        let config = self.config.borrow();
        let targets = self.targets.borrow();
        let check = config.health_check.as_ref();
        GroupReport {
            name: Arc::clone(&config.name),
            failing_open: self.in_use.get() && self.balancer.borrow().is_failing_open(),
            targets: config.targets.iter().zip(&*targets).map(|(config, state)| state.report(config, check)).collect(),
        }
    }
}
