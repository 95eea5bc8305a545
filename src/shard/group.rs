//! A target group as this shard runs it: the balancer, and each target's health, load and counters, which outlive reloads.

mod explain;
#[cfg(test)]
mod tests;

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quanta::Instant;

use super::report::{CheckCounts, GroupReport, TargetCounts, TargetReport};
use crate::balance::{Balancer, Candidate, WhenNoneHealthy, Zone};
use crate::config::{HealthCheck, KeepAlive, Snapshot, Target, TargetGroup, TargetKind};
use crate::health::{Checking, Failure, State, TargetHealth, Thresholds, Transition};
use crate::l4::Side;
use crate::l7::{Keys, Tag, TargetConnections, Wish};
use crate::ring::TcpStream;

/// One target group.
pub(super) struct Group {
    config: RefCell<Arc<TargetGroup>>,
    targets: RefCell<Vec<Rc<TargetState>>>,
    /// Unbound ones, while somebody holds them: a connection, or a deregistration delay.
    leaving: RefCell<Vec<Weak<TargetState>>>,
    balancer: RefCell<Balancer>,
    /// The zone whose targets go first; `None` where zones are no matter.
    own_zone: RefCell<Option<Arc<str>>>,
    /// Where the listeners listen that use it, in the order of the file.
    listening: RefCell<Vec<IpAddr>>,
    /// Index of the target of each tag, under all keys that are accepted.
    sessions: RefCell<HashMap<Tag, usize>>,
    /// What `sessions` was made of.
    named: RefCell<Option<(Keys, Vec<SocketAddr>)>>,
    shard: usize,
}

/// One target of a group, named by its address.
pub(super) struct TargetState {
    pub(super) address: SocketAddr,
    pub(super) label: Arc<str>,
    /// The pool that connections to it leave from, where it is of type idc (requirement G5). A reload may change it.
    snat_pool: RefCell<Option<Arc<[IpAddr]>>>,
    /// The machine that it was last said to be on.
    instance_id: RefCell<Option<Arc<str>>>,
    /// Its checker is to check at once: nothing is known of it.
    pub(super) recheck: Cell<bool>,
    pub(super) health: RefCell<TargetHealth>,
    pub(super) checks: Cell<CheckCounts>,
    active: Cell<u32>,
    counts: RefCell<TargetCounts>,
    unbound: Cell<bool>,
    /// A checker runs for it.
    pub(super) checking: Cell<bool>,
    /// Kept for its next requests.
    pub(super) idle: RefCell<TargetConnections<TcpStream>>,
    /// Its name in sessions, where its group has any.
    pub(super) tag: Cell<Option<Tag>>,
}

/// What a snapshot has done to a target that was there before.
enum Moved {
    Not,
    /// Connections that are made from now on leave from elsewhere.
    ToAnotherWay,
    /// Nothing is known of it yet.
    ToAnotherMachine,
}

/// Whom a connection or request goes to.
pub(super) enum Pick {
    Target(Rc<TargetState>),
    /// Only targets with the client's own address are left (requirement B4).
    Own,
    None,
}

/// A connection that is being made: counted as the target's until it is dropped or kept.
pub(super) struct Claim<'a>(&'a TargetState);

impl Claim<'_> {
    /// It is made: `TargetState::released` ends it.
    pub(super) fn keep(self) {
        self.0.counts.borrow_mut().connections += 1;
        std::mem::forget(self);
    }

    /// A request goes on a connection that is there already: `TargetState::released` ends it.
    pub(super) fn keep_request(self) {
        self.0.count_request();
        std::mem::forget(self);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.released();
    }
}

impl TargetState {
    fn new(config: &Target, pool: &Arc<[IpAddr]>, checking: Checking, now: SystemTime) -> Rc<Self> {
        Rc::new(TargetState {
            address: config.address,
            label: Arc::clone(&config.label),
            snat_pool: RefCell::new(snat_pool(config, pool)),
            instance_id: RefCell::new(config.instance_id.clone()),
            recheck: Cell::new(false),
            health: RefCell::new(TargetHealth::new(checking, now)),
            checks: Cell::default(),
            active: Cell::new(0),
            counts: RefCell::default(),
            unbound: Cell::new(false),
            checking: Cell::new(false),
            idle: RefCell::default(),
            tag: Cell::new(None),
        })
    }

    pub(super) fn count_request(&self) {
        self.counts.borrow_mut().requests += 1;
    }

    /// It answered a request with `status`.
    pub(super) fn answered(&self, status: u16) {
        if let Some(class) = self.counts.borrow_mut().responses.get_mut(usize::from(status / 100).wrapping_sub(1)) {
            *class += 1;
        }
    }

    /// Takes over what a snapshot says of where it is. An address is another machine's when its interface was moved there, or
    /// its machine was released and another one has got it.
    fn relocate(&self, config: &Target, pool: &Arc<[IpAddr]>) -> Moved {
        let pool = snat_pool(config, pool);
        let leaves_as_before = *self.snat_pool.borrow() == pool;
        self.snat_pool.replace(pool);
        // For a time nobody may know where it is: that is no machine.
        let machine = config.instance_id.as_ref();
        let before = machine.and_then(|now| self.instance_id.replace(Some(Arc::clone(now))));
        match before.filter(|before| machine != Some(before)) {
            Some(_) => Moved::ToAnotherMachine,
            None if leaves_as_before => Moved::Not,
            None => Moved::ToAnotherWay,
        }
    }

    /// Connections to it leave from an address of the pool (requirement G5).
    pub(super) fn leaves_by_snat(&self) -> bool {
        self.snat_pool.borrow().is_some()
    }

    fn unbind(&self) {
        self.unbound.set(true);
        self.idle.borrow_mut().clear();
    }

    /// A client at this address would be sent to itself (requirement B4). On loopback everybody has the same address.
    fn is_at(&self, client: IpAddr) -> bool {
        self.address.ip() == client && !client.is_loopback()
    }

    /// It is no longer in its group (requirement W3).
    pub(super) fn is_unbound(&self) -> bool {
        self.unbound.get()
    }

    /// A connection or request runs there, or is being made.
    pub(super) fn is_busy(&self) -> bool {
        self.active.get() > 0
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

    fn report(&self, config: &Target, check: Option<&HealthCheck>, stands_by: bool) -> TargetReport {
        let health = self.health.borrow();
        TargetReport {
            address: self.address,
            label: Arc::clone(&self.label),
            kind: config.kind,
            weight: config.weight,
            stands_by,
            state: health.state(),
            reason: health.reason(),
            since: health.since(),
            last_check: health.last_check(),
            check_interval: check.map(|check| check.interval),
            counts: TargetCounts {
                active: self.active.get(),
                idle: self.idle.borrow().len(),
                ..self.counts.borrow().clone()
            },
            checks: self.checks.get(),
        }
    }
}

fn snat_pool(config: &Target, pool: &Arc<[IpAddr]>) -> Option<Arc<[IpAddr]>> {
    (config.kind == TargetKind::Idc).then(|| Arc::clone(pool))
}

impl Group {
    pub(super) fn new(config: &Arc<TargetGroup>, shard: usize) -> Rc<Self> {
        let empty = TargetGroup { targets: Vec::new(), ..TargetGroup::clone(config) };
        Rc::new(Group {
            balancer: RefCell::new(Balancer::new(config.algorithm, shard)),
            config: RefCell::new(Arc::new(empty)),
            targets: RefCell::default(),
            own_zone: RefCell::default(),
            leaving: RefCell::default(),
            listening: RefCell::default(),
            sessions: RefCell::default(),
            named: RefCell::default(),
            shard,
        })
    }

    /// As of now: borrowed, not cloned, as all shards count on its one `Arc`.
    pub(super) fn config(&self) -> Ref<'_, TargetGroup> {
        Ref::map(self.config.borrow(), |config| &**config)
    }

    /// How often a connection or request may be tried again.
    pub(super) fn retries(&self) -> usize {
        self.config.borrow().retries.into()
    }

    /// How long an attempt to connect may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.config.borrow().connect_timeout
    }

    /// A listener names it.
    pub(super) fn is_in_use(&self) -> bool {
        !self.listening.borrow().is_empty()
    }

    /// The address that its checks leave from by default: that of a listener of the group which names one, of the target's
    /// family, so that the target's firewall can allow it (requirement H7). Never loopback towards another host.
    pub(super) fn checks_leave_from(&self, target: IpAddr) -> Option<IpAddr> {
        let listening = self.listening.borrow();
        listening.iter().copied().find(|address| {
            !address.is_unspecified()
                && address.is_ipv6() == target.is_ipv6()
                && (!address.is_loopback() || target.is_loopback())
        })
    }

    /// Takes over what a snapshot says of this group, which listeners at `listening` use. Targets keep their state by address;
    /// returns those that are gone.
    pub(super) fn apply(
        &self,
        config: &Arc<TargetGroup>,
        snapshot: &Snapshot,
        listening: Vec<IpAddr>,
        (at, now): (Instant, SystemTime),
    ) -> Vec<Rc<TargetState>> {
        self.listening.replace(listening);
        let checking = match (self.is_in_use(), &config.health_check) {
            (false, _) => Checking::NotInUse,
            (true, None) => Checking::Off,
            (true, Some(_)) => Checking::On,
        };
        let mut before: HashMap<SocketAddr, Rc<TargetState>> =
            self.targets.take().into_iter().map(|state| (state.address, state)).collect();
        let pool = &snapshot.balancer.snat_addresses;
        let targets = config.targets.iter().map(|target| {
            let Some(state) = before.remove(&target.address) else {
                return TargetState::new(target, pool, checking, now);
            };
            match state.relocate(target, pool) {
                Moved::Not => {}
                Moved::ToAnotherWay => state.idle.borrow_mut().renounce(at),
                Moved::ToAnotherMachine => {
                    state.idle.borrow_mut().renounce(at);
                    state.health.replace(TargetHealth::new(checking, now));
                    state.recheck.set(true);
                }
            }
            let transition = state.health.borrow_mut().reconfigure(checking, now);
            if transition.is_some_and(|transition| transition.to == State::Initial) {
                state.recheck.set(true);
            }
            state
        });
        let targets = targets.collect();
        self.targets.replace(targets);
        before.values().for_each(|state| state.unbind());
        let mut leaving = self.leaving.borrow_mut();
        leaving.retain(|state| state.strong_count() > 0);
        leaving.extend(before.values().map(Rc::downgrade));
        if self.balancer.borrow().algorithm() != config.algorithm {
            self.balancer.replace(Balancer::new(config.algorithm, self.shard));
        }
        self.config.replace(Arc::clone(config));
        self.own_zone.replace(config.own_zone(&snapshot.balancer).cloned());
        self.refresh();
        self.name_targets(&snapshot.cookie_keys);
        before.into_values().collect()
    }

    /// Gives each target its name in sessions.
    fn name_targets(&self, keys: &Keys) {
        let config = self.config.borrow();
        let targets = self.targets.borrow();
        let sessions = &mut *self.sessions.borrow_mut();
        if config.http.as_ref().is_none_or(|http| http.stickiness.is_none()) {
            sessions.clear();
            self.named.replace(None);
            return;
        }
        // A hash a target and key: not again at each reload, which clients would feel in a large group.
        let addresses: Vec<SocketAddr> = targets.iter().map(|target| target.address).collect();
        let named = Some((keys.clone(), addresses));
        if *self.named.borrow() == named && targets.iter().all(|target| target.tag.get().is_some()) {
            return;
        }
        self.named.replace(named);
        sessions.clear();
        for (index, target) in targets.iter().enumerate() {
            let mut tags = keys.target_tags(&config.name, target.address).peekable();
            target.tag.set(tags.peek().copied());
            sessions.extend(tags.map(|tag| (tag, index)));
        }
    }

    /// The group itself is gone. Returns the targets that it had.
    pub(super) fn unbind_all(&self) -> Vec<Rc<TargetState>> {
        self.listening.take();
        let targets = self.targets.take();
        targets.iter().for_each(|state| state.unbind());
        let empty = TargetGroup { targets: Vec::new(), ..TargetGroup::clone(&self.config.borrow()) };
        self.config.replace(Arc::new(empty));
        self.refresh();
        targets
    }

    pub(super) fn targets(&self) -> Vec<Rc<TargetState>> {
        self.targets.borrow().clone()
    }

    /// A target for a connection or request of `client`, other than those `tried` already.
    pub(super) fn pick(&self, tried: &[Rc<TargetState>], client: IpAddr) -> Pick {
        let targets = self.targets.borrow();
        let load = |index: usize| targets[index].active.get();
        let untried = |index: usize| !tried.iter().any(|tried| Rc::ptr_eq(tried, &targets[index]));
        let other = |index: usize| untried(index) && !targets[index].is_at(client);
        if let Some(index) = self.balancer.borrow_mut().pick(load, other) {
            return Pick::Target(Rc::clone(&targets[index]));
        }
        if self.balancer.borrow().eligible().any(untried) { Pick::Own } else { Pick::None }
    }

    /// The target of the request's session while it may be used (requirement S4), else any.
    pub(super) fn pick_for_request(&self, tried: &[Rc<TargetState>], wish: &Wish<'_>) -> Pick {
        let sticky = self.of_session(wish.sticky, wish.client);
        match sticky.filter(|target| !tried.iter().any(|tried| Rc::ptr_eq(tried, target))) {
            Some(target) => Pick::Target(target),
            None => self.pick(tried, wish.client),
        }
    }

    /// The target of `client`'s session. Weight 0 does not end a session (requirement W2), bad health does.
    fn of_session(&self, session: Option<&Tag>, client: IpAddr) -> Option<Rc<TargetState>> {
        let index = *self.sessions.borrow().get(session?)?;
        let target = Rc::clone(self.targets.borrow().get(index)?);
        // A target that was not checked yet may be healthy: a restart should end no session.
        let unhealthy = target.health.borrow().state() == State::Unhealthy;
        let usable = !unhealthy || self.balancer.borrow().is_failing_open();
        (usable && !target.is_at(client)).then_some(target)
    }

    /// How idle connections to its targets are kept.
    pub(super) fn keep_alive(&self) -> KeepAlive {
        let none = KeepAlive { idle_max: 0, idle_timeout: Duration::ZERO, lifetime: Duration::ZERO };
        self.config.borrow().http.as_ref().map_or(none, |http| http.keep_alive)
    }

    /// Drops idle connections that are of no use any more.
    pub(super) fn sweep_idle(&self, now: Instant) {
        let keep_alive = self.keep_alive();
        for target in &*self.targets.borrow() {
            target.idle.borrow_mut().sweep(now, &keep_alive);
        }
    }

    /// Its targets that have idle connections.
    pub(super) fn add_those_with_idle(&self, targets: &mut Vec<Rc<TargetState>>) {
        let all = self.targets.borrow();
        targets.extend(all.iter().filter(|target| !target.idle.borrow().is_empty()).map(Rc::clone));
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
        let own_zone = self.own_zone.borrow();
        let candidate = |(config, state): (&Target, &Rc<TargetState>)| Candidate {
            weight: config.weight,
            healthy: state.health.borrow().is_healthy(),
            zone: if own_zone.is_none() || config.zone == *own_zone { Zone::Own } else { Zone::Other },
        };
        let candidates: Vec<Candidate> = config.targets.iter().zip(&*targets).map(candidate).collect();
        let when_none_healthy = if config.fail_open { WhenNoneHealthy::SendToAll } else { WhenNoneHealthy::Refuse };
        self.balancer.borrow_mut().refresh(&candidates, when_none_healthy);
    }

    pub(super) fn report(&self) -> GroupReport {
        let config = self.config.borrow();
        let targets = self.targets.borrow();
        let check = config.health_check.as_ref();
        let balancer = self.balancer.borrow();
        let target = |(index, (config, state)): (usize, (&Target, &Rc<TargetState>))| {
            state.report(config, check, balancer.stands_by(index))
        };
        GroupReport {
            name: Arc::clone(&config.name),
            failing_open: self.is_in_use() && balancer.is_failing_open(),
            leaving_zone: self.is_in_use() && balancer.is_leaving_zone(),
            targets: config.targets.iter().zip(&*targets).enumerate().map(target).collect(),
        }
    }
}
