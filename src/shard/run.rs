//! The core's loop and what it owns: ring, listeners, target groups, connection table.
//!
//!     start (control's thread) --> executor on its core --> driver task
//!                                                       `-> this loop: an order, its effect, its answer
//!
//! The loop only takes orders; connections and checks are tasks of their own. A snapshot is applied between two polls of
//! those tasks, so a connection sees the old one or the new one and nothing between.
//! Next: shard/accept.rs.

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime};

use quanta::Instant;
use tokio::sync::oneshot;

use super::accept::Acceptor;
use super::checker;
use super::clock::Clock;
use super::close::CloseReason;
use super::explain::{Admits, Answer, Question};
use super::group::{Group, TargetState};
use super::http;
use super::listening::{Listening, Serving};
use super::mailbox::{Apply, Mailbox, Order};
use super::report::ShardReport;
use super::security::Decisions;
use super::snat::Snat;
use super::table::Table;
use crate::access_log::{self, Recording, Sink};
use crate::config::{Listener, Service, Snapshot};
use crate::health::{Failure, State, Transition};
use crate::l7::{self, Exchange, Tag, Terms};
use crate::ring::{Bell, Event, Ring, executor};

/// Who a shard is.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// From 0.
    pub id: usize,
    /// How many there are.
    pub shards: usize,
    /// The core it is bound to.
    pub core: usize,
}

/// A shard that is starting.
pub struct Start {
    /// Its mailbox.
    pub mailbox: Mailbox,
    /// Resolves once it takes orders, or with why it cannot.
    pub ready: oneshot::Receiver<io::Result<()>>,
}

/// Starts a shard on its own thread. It runs on an empty snapshot until it gets one.
///
/// # Errors
/// The thread cannot be made or bound to its core.
pub fn start(setup: Setup, empty: Arc<Snapshot>, access_log: Sink) -> io::Result<Start> {
    let bell = Bell::new()?;
    let (mailbox, orders) = Mailbox::new(bell.clone());
    let (ready, is_ready) = oneshot::channel();
    let name = format!("weir-shard-{}", setup.id);
    executor::spawn(&name, Some(setup.core), move |ring| run(setup, ring, empty, access_log, bell, orders, ready))
        .map_err(|error| io::Error::other(format!("shard {} on core {}: {error}", setup.id, setup.core)))?;
    Ok(Start { mailbox, ready: is_ready })
}

/// All that one core owns.
pub(super) struct Shard {
    pub(super) id: usize,
    pub(super) shards: usize,
    pub(super) core: usize,
    connections_max: Cell<usize>,
    /// The turn in which `make_room` found nothing left to drop.
    no_idle_at: Cell<Option<Instant>>,
    pub(super) ring: Ring,
    pub(super) table: Table,
    pub(super) access_log: RefCell<Sink>,
    snapshot: RefCell<Arc<Snapshot>>,
    /// Of the balancer's security group.
    pub(super) decisions: RefCell<Decisions>,
    acceptors: RefCell<HashMap<SocketAddr, Rc<Acceptor>>>,
    /// By name, bound or not: counters outlive a time without targets.
    listenings: RefCell<HashMap<Arc<str>, Rc<Listening>>>,
    groups: RefCell<HashMap<Arc<str>, Rc<Group>>>,
    pub(super) snat: Snat,
    draining: Cell<bool>,
    pub(super) clock: Clock,
    /// Unused ones, for requests to come.
    #[expect(clippy::vec_box, reason = "they are handed out in their boxes")]
    pub(super) exchanges: RefCell<Vec<Box<Exchange>>>,
    dice: RefCell<fastrand::Rng>,
    /// The last accept failed, and that was logged.
    accept_trouble: Cell<bool>,
}

async fn run(
    setup: Setup,
    ring: io::Result<Ring>,
    empty: Arc<Snapshot>,
    access_log: Sink,
    bell: Bell,
    orders: Receiver<Order>,
    ready: oneshot::Sender<io::Result<()>>,
) {
    let ring = match ring {
        Ok(ring) => ring,
        Err(error) => {
            // The receiver reports it; if it is gone, so is the process.
            let _ = ready.send(Err(error));
            return;
        }
    };
    let event = Event::new(&ring, &bell);
    let shard = Rc::new(Shard::new(setup, ring, empty, access_log));
    shard.ring.spawn(http::sweep_idle_connections(Rc::clone(&shard)));
    shard.ring.spawn(flush_access_log(Rc::clone(&shard)));
    let _ = ready.send(Ok(()));
    loop {
        while let Ok(order) = orders.try_recv() {
            if shard.obey(order) == After::End {
                return;
            }
        }
        event.wait().await;
    }
}

/// So that the lines of few connections come too.
async fn flush_access_log(shard: Rc<Shard>) {
    loop {
        shard.ring.sleep(access_log::FLUSH_INTERVAL).await;
        shard.access_log.borrow_mut().tick();
    }
}

#[derive(PartialEq, Eq)]
enum After {
    GoOn,
    End,
}

impl Shard {
    fn new(setup: Setup, ring: Ring, empty: Arc<Snapshot>, access_log: Sink) -> Self {
        Shard {
            id: setup.id,
            shards: setup.shards,
            core: setup.core,
            connections_max: Cell::new(0),
            no_idle_at: Cell::new(None),
            ring,
            table: Table::default(),
            access_log: RefCell::new(access_log),
            decisions: RefCell::new(Decisions::of(&empty.balancer.security_group)),
            snapshot: RefCell::new(empty),
            acceptors: RefCell::default(),
            listenings: RefCell::default(),
            groups: RefCell::default(),
            snat: Snat::new(setup.id),
            draining: Cell::new(false),
            clock: Clock::new(),
            exchanges: RefCell::default(),
            dice: RefCell::default(),
            accept_trouble: Cell::new(false),
        }
    }

    /// An answer that nobody awaits any more is no error: control gave up waiting.
    fn obey(self: &Rc<Self>, order: Order) -> After {
        match order {
            Order::Ping(answer) => {
                let _ = answer.send(());
            }
            Order::Report(answer) => {
                let _ = answer.send(Box::new(self.report()));
            }
            Order::Explain(question, answer) => {
                if !answer.is_closed() {
                    let _ = answer.send(Box::new(self.explain(&question)));
                }
            }
            Order::Apply(Apply { snapshot, connections_max, sockets, done }) => {
                self.connections_max.set(connections_max);
                let closing = self.apply(&snapshot, sockets);
                let shard = Rc::clone(self);
                self.ring.spawn(async move {
                    shard.closed(&closing).await;
                    let _ = done.send(());
                });
            }
            Order::Drain(limit, answer) => {
                let shard = Rc::clone(self);
                self.ring.spawn(async move {
                    let _ = answer.send(shard.drain(limit).await);
                });
            }
            Order::End => {
                self.access_log.borrow_mut().close();
                return After::End;
            }
        }
        After::GoOn
    }

    /// Takes the snapshot over: groups first, so that every listener finds its group. Returns the listening sockets that close.
    fn apply(self: &Rc<Self>, snapshot: &Arc<Snapshot>, sockets: Vec<(SocketAddr, OwnedFd)>) -> Vec<Rc<Acceptor>> {
        self.snapshot.replace(Arc::clone(snapshot));
        self.decisions.borrow_mut().apply(&snapshot.balancer.security_group);
        let recording = if snapshot.access_log.is_some() { Recording::On } else { Recording::Off };
        self.access_log.borrow_mut().set_recording(recording);
        self.snat.apply(&snapshot.balancer.snat_addresses);
        self.apply_groups(snapshot);
        self.apply_listeners(snapshot);
        let mut sockets: HashMap<SocketAddr, OwnedFd> = sockets.into_iter().collect();
        let closing = self.apply_acceptors(snapshot, &mut sockets);
        // Whatever was woken or spawned above must run before the shard sleeps.
        self.ring.note_runnable();
        closing
    }

    /// Waits for sockets that close. An address that is bound again before that would be in one reuseport group with its old
    /// sockets, and the kernel, which moves the last socket into the place of one that closes, would mix the order up in which
    /// connections are steered.
    async fn closed(&self, closing: &[Rc<Acceptor>]) {
        for acceptor in closing {
            while !acceptor.is_closed() {
                self.ring.sleep(crate::ring::TICK).await;
            }
        }
    }

    fn apply_groups(self: &Rc<Self>, snapshot: &Snapshot) {
        let now = (self.ring.now(), SystemTime::now());
        let mut listening: HashMap<usize, Vec<IpAddr>> = HashMap::new();
        for listener in &snapshot.listeners {
            for group in listener.service.groups() {
                listening.entry(group).or_default().push(listener.address.ip());
            }
        }
        let mut before = self.groups.take();
        let mut groups = HashMap::with_capacity(snapshot.groups.len());
        for (index, config) in snapshot.groups.iter().enumerate() {
            let group = before.remove(&config.name).unwrap_or_else(|| Group::new(config, self.id));
            let listening = listening.remove(&index).unwrap_or_default();
            let unbound = group.apply(config, snapshot, listening, now);
            self.end_connections_of(unbound, config.http.as_ref().map(|http| http.deregistration_delay));
            groups.insert(Arc::clone(&config.name), group);
        }
        for group in before.into_values() {
            let delay = group.config().http.as_ref().map(|http| http.deregistration_delay);
            self.end_connections_of(group.unbind_all(), delay);
        }
        for group in groups.values() {
            self.start_checkers(group);
        }
        self.groups.replace(groups);
    }

    /// Unbinding stops a target's flows at once, on both sides; requests in flight and upgraded connections go on for the
    /// deregistration delay (requirement W3). Nothing new reaches the target either way.
    fn end_connections_of(self: &Rc<Self>, mut unbound: Vec<Rc<TargetState>>, delay: Option<Duration>) {
        // Nothing begins there any more: where nothing runs, nothing is waited for and nothing kept.
        unbound.retain(|target| target.is_busy());
        if unbound.is_empty() {
            return;
        }
        // Hundreds may be looked for among thousands of connections.
        unbound.sort_unstable_by_key(Rc::as_ptr);
        let end = move |shard: &Shard| {
            shard.table.end_where(CloseReason::TargetUnbound, |connection| {
                let target = connection.target.borrow();
                target
                    .as_ref()
                    .is_some_and(|target| unbound.binary_search_by_key(&Rc::as_ptr(target), Rc::as_ptr).is_ok())
            });
            shard.ring.note_runnable();
        };
        let Some(delay) = delay.filter(|delay| !delay.is_zero()) else { return end(self) };
        let shard = Rc::clone(self);
        self.ring.spawn(async move {
            shard.ring.sleep(delay).await;
            end(&shard);
        });
    }

    pub(super) fn each_group(&self, look: impl Fn(&Group)) {
        self.groups.borrow().values().for_each(|group| look(group));
    }

    pub(super) fn roll(&self) -> u64 {
        self.dice.borrow_mut().u64(..)
    }

    fn start_checkers(self: &Rc<Self>, group: &Rc<Group>) {
        if !group.is_in_use() || group.config().health_check.is_none() {
            return;
        }
        for target in group.targets() {
            if !target.checking.replace(true) {
                self.ring.spawn(checker::run(Rc::clone(self), Rc::clone(group), target));
            }
        }
    }

    fn apply_listeners(&self, snapshot: &Arc<Snapshot>) {
        let mut before = self.listenings.take();
        let groups: Rc<[Rc<Group>]> = {
            let groups = self.groups.borrow();
            snapshot.groups.iter().map(|config| Rc::clone(&groups[&config.name])).collect()
        };
        let listenings = snapshot.listeners.iter().map(|config| {
            let (relay, policy) = match &config.service {
                Service::Relay(group) => (Some(Rc::clone(&groups[*group])), None),
                Service::FlashPolicy(policy) => (None, Some(Rc::from(&**policy))),
                Service::Http(_) => (None, None),
            };
            let known = before.get(&config.name).and_then(|known| known.serving.borrow().terms.clone());
            let terms = Terms::new(snapshot, config, known.as_deref()).map(Rc::new);
            let serving = Rc::new(Serving { relay, policy, terms, groups: Rc::clone(&groups) });
            // One that changes between tcp and http is another: its connections go on, or finish, by what they began with.
            let listening = match before.entry(Arc::clone(&config.name)) {
                Entry::Occupied(known) if known.get().is_http() == serving.terms.is_some() => {
                    let listening = known.remove();
                    listening.apply(config, serving);
                    listening
                }
                _ => Listening::new(Arc::clone(config), serving),
            };
            (Arc::clone(&config.name), listening)
        });
        let listenings = listenings.collect();
        self.listenings.replace(listenings);
        if !before.is_empty() {
            before.into_values().for_each(|listening| listening.gone.set(true));
            self.table.wake_all();
        }
    }

    /// Returns those that are to close.
    fn apply_acceptors(
        self: &Rc<Self>,
        snapshot: &Snapshot,
        sockets: &mut HashMap<SocketAddr, OwnedFd>,
    ) -> Vec<Rc<Acceptor>> {
        let mut before = self.acceptors.take();
        let mut acceptors = HashMap::new();
        for config in snapshot.listeners.iter().filter(|listener| snapshot.is_bound(listener)) {
            if self.draining.get() {
                break;
            }
            let listening = Rc::clone(&self.listenings.borrow()[&config.name]);
            let acceptor = match (before.remove(&config.address), sockets.remove(&config.address)) {
                (Some(acceptor), _) => {
                    acceptor.apply(listening);
                    acceptor
                }
                (None, Some(socket)) => Acceptor::start(self, socket, listening),
                (None, None) => {
                    tracing::error!(shard = self.id, address = %config.address, "no socket came with the snapshot");
                    continue;
                }
            };
            acceptors.insert(config.address, acceptor);
        }
        self.acceptors.replace(acceptors);
        before.into_values().inspect(|acceptor| acceptor.close()).collect()
    }

    /// Stops accepting, waits for the connections, resets what is left at the limit. Returns how many those were.
    async fn drain(&self, limit: Duration) -> usize {
        self.draining.set(true);
        self.table.wake_all();
        self.acceptors.take().into_values().for_each(|acceptor| acceptor.close());
        self.ring.note_runnable();
        let deadline = self.ring.now() + limit;
        // One tick at least: the acceptors still admit their backlog.
        self.ring.sleep(crate::ring::TICK).await;
        while self.table.len() > 0 && self.ring.now() < deadline {
            self.ring.sleep(crate::ring::TICK).await;
        }
        let left = self.table.end_where(CloseReason::Drained, |_| true);
        self.ring.note_runnable();
        self.ring.sleep(crate::ring::TICK).await;
        self.access_log.borrow_mut().flush();
        left
    }

    /// It holds as many connections as it may (requirement K5).
    pub(super) fn is_full(&self) -> bool {
        self.table.len() >= self.connections_max.get()
    }

    /// Another socket is wanted. A client and its target have two; idle target connections may have what is left of those,
    /// and leave in time when it is needed: the kernel closes them a turn or two later (requirement K5). Those that have been
    /// idle longest go, as many as are missing.
    pub(super) fn make_room(&self) {
        let most = 2 * self.connections_max.get();
        let open_max = most - most / 16;
        let (open, now) = (self.ring.open_sockets(), self.ring.now());
        // When all are busy, one look a turn says so.
        if open < open_max || self.no_idle_at.get() == Some(now) {
            return;
        }
        // And some for those to come: a look at every target for each newcomer would be dear.
        let missing = open + 1 - open_max + most / 64;
        let mut targets = Vec::new();
        self.groups.borrow().values().for_each(|group| group.add_those_with_idle(&mut targets));
        let mut idle: Vec<_> = targets.iter().map(|target| target.idle.borrow_mut()).collect();
        if l7::drop_oldest(&mut idle, missing) < missing {
            self.no_idle_at.set(Some(now));
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// As of now: borrowed, not cloned, as all shards count on its one `Arc`.
    pub(super) fn snapshot(&self) -> Ref<'_, Snapshot> {
        Ref::map(self.snapshot.borrow(), |snapshot| &**snapshot)
    }

    /// One line for a series of failures, not one each.
    pub(super) fn accept_failed(&self, error: &io::Error) {
        if !self.accept_trouble.replace(true) {
            tracing::warn!(
                shard = self.id,
                "cannot accept: {error}; new connections wait in the backlog; raise the descriptor limit (LimitNOFILE)"
            );
        }
    }

    pub(super) fn accept_worked(&self) {
        if self.accept_trouble.replace(false) {
            tracing::info!(shard = self.id, "accepting again");
        }
    }

    pub(super) fn report_transition(
        &self,
        group: &Group,
        target: &TargetState,
        change: Transition,
        failure: Option<Failure>,
    ) {
        let config = group.config();
        let (shard, group, target) = (self.id, &*config.name, &*target.label);
        let (from, to) = (change.from.as_str(), change.to.as_str());
        if let (State::Unhealthy, Some(failure)) = (change.to, failure) {
            let (cause, hint) = (failure.as_str(), failure.hint());
            tracing::warn!(shard, group, target, from, to, cause, "target health changed; {hint}");
        } else {
            tracing::info!(shard, group, target, from, to, "target health changed");
        }
    }

    fn explain(&self, question: &Question) -> Answer {
        let snapshot = self.snapshot.borrow();
        let listener = snapshot.listeners.iter().find(|listener| listener.name == question.listener);
        let admits = match listener.and_then(|listener| self.acceptor_of(&snapshot, listener)) {
            _ if self.draining.get() => Admits::Draining,
            None => Admits::NotListening,
            Some(_) if self.is_full() => Admits::Full,
            Some(_) => Admits::Yes,
        };
        let groups = self.groups.borrow();
        let of_group = |(name, session): &(Arc<str>, Option<Tag>)| {
            Some(groups.get(name)?.explain(session.as_ref(), question.client))
        };
        Answer { revision: snapshot.revision, admits, groups: question.groups.iter().filter_map(of_group).collect() }
    }

    /// The listening socket of a listener. The Flash responder and a listener may have one address, and one of the two is bound.
    fn acceptor_of(&self, snapshot: &Snapshot, listener: &Listener) -> Option<Rc<Acceptor>> {
        self.acceptors.borrow().get(&listener.address).filter(|_| snapshot.is_bound(listener)).cloned()
    }

    fn report(&self) -> ShardReport {
        let snapshot = self.snapshot.borrow();
        let listenings = self.listenings.borrow();
        let groups = self.groups.borrow();
        ShardReport {
            shard: self.id,
            core: self.core,
            revision: snapshot.revision,
            draining: self.draining.get(),
            connections: self.table.len(),
            connections_max: self.connections_max.get(),
            ring: self.ring.counts(),
            access_log: self.access_log.borrow().counts(),
            security_group: self.decisions.borrow().report(),
            listeners: snapshot
                .listeners
                .iter()
                .filter_map(|config| Some((config, listenings.get(&config.name)?)))
                .map(|(config, listening)| listening.report(self.acceptor_of(&snapshot, config).as_deref()))
                .collect(),
            groups: snapshot
                .groups
                .iter()
                .filter_map(|config| groups.get(&config.name))
                .map(|group| group.report())
                .collect(),
        }
    }
}
