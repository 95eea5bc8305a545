//! One core: what its clients share, and the watchdog that looks after them.
//!
//! The watchdog is a task that wakes some ten times a second: it ends requests that wait too long, reports intervals, notices
//! when no client gets an answer any more, and ends the run. A deadline for each request would cost more than the request.
//! Before: mod.rs. Next: client.rs.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use glommio::ExecutorJoinHandle;
use quanta::Instant;
use weir::ring::{Ring, executor};

use super::client::{self, Client};
use super::pacer::Pacer;
use super::{Finished, Report, Stop};
use crate::plan::{Limit, Pacing, Plan};
use crate::record::{CountsBy, ErrorKind, Recorder};
use crate::schedule::{Schedule, Share};

/// What a core is given.
pub(super) struct Setup {
    pub(super) plan: Arc<Plan>,
    pub(super) index: usize,
    /// All cores begin then.
    pub(super) start: Instant,
    pub(super) stops: [Stop; 2],
    pub(super) reports: Sender<(usize, Report)>,
}

/// What the clients of a core share.
pub(super) struct Core {
    pub(super) ring: Ring,
    pub(super) plan: Arc<Plan>,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) pacer: Rc<Pacer>,
    pub(super) dice: RefCell<fastrand::Rng>,
    pub(super) start: Instant,
    next_source: Cell<usize>,
    /// Tasks of clients that have not ended.
    running: Cell<usize>,
    last_answer: Cell<Instant>,
    /// Failed since then.
    unanswered: Cell<u64>,
    last_error: RefCell<String>,
}

/// Starts core `setup.index` on its thread.
pub(super) fn start(setup: Setup) -> io::Result<ExecutorJoinHandle<io::Result<Finished>>> {
    let name = format!("weir-load-{}", setup.index);
    let core = setup.plan.cores[setup.index];
    executor::spawn(&name, core, |ring| async move { Ok(run(ring?, setup).await) })
}

async fn run(ring: Ring, setup: Setup) -> Finished {
    let core = Rc::new(Core::new(ring, &setup));
    let clients: Vec<Rc<Client>> = (0..setup.plan.connections_of(setup.index)).map(|_| Rc::default()).collect();
    for (index, client) in clients.iter().enumerate() {
        core.running.set(core.running.get() + 1);
        let (core, client) = (Rc::clone(&core), Rc::clone(client));
        let begin = core.begin_of(index, clients.len());
        core.ring.clone().spawn(async move {
            client::run(&core, &client, begin).await;
            core.running.set(core.running.get() - 1);
        });
    }
    if setup.plan.is_open_loop() {
        core.ring.spawn(Rc::clone(&core.pacer).run());
    }
    Watchdog::new(&core, &setup, &clients).run().await;
    let ended = Instant::now();
    let unsent = core.pacer.unsent(clients.iter(), ended);
    core.recorder.borrow_mut().unsent(unsent);
    // A collector that is gone has no more use for it.
    let _ = setup.reports.send((setup.index, Report::Ended));
    let recorder = core.recorder.replace(Recorder::new((setup.start, setup.start), CountsBy::Due, false));
    Finished {
        tally: recorder.finish(),
        last_answer: core.last_answer.get(),
        ended,
        unanswered: core.unanswered.get() + unsent,
        error: core.last_error.take(),
    }
}

impl Core {
    fn new(ring: Ring, setup: &Setup) -> Self {
        let Setup { plan, index, start, .. } = setup;
        let measured_from = *start + plan.ramp_up + plan.warm_up;
        let end = plan.length().map(|length| *start + length);
        let window = (measured_from, end.unwrap_or(*start + NO_END));
        let (index, cores) = (*index, plan.cores.len());
        let seed = plan.seed.wrapping_add(index as u64);
        let schedule = match plan.pacing {
            Pacing::Closed { .. } => None,
            Pacing::Open { rate, arrivals } => {
                let share = Share { core: index, cores };
                Some(Schedule::new((*start, window.1), rate, plan.ramp_up, arrivals, seed, share))
            }
        };
        let requests = match plan.limit {
            Limit::Time(_) => None,
            Limit::Requests(all) => Some(all / cores as u64 + u64::from((index as u64) < all % cores as u64)),
        };
        let counts_by = match (&plan.pacing, plan.limit) {
            (Pacing::Closed { .. }, Limit::Time(_)) => CountsBy::Answer,
            _ => CountsBy::Due,
        };
        Core {
            pacer: Rc::new(Pacer::new(&ring, schedule, end, measured_from, requests)),
            ring,
            plan: Arc::clone(plan),
            recorder: RefCell::new(Recorder::new(window, counts_by, plan.is_open_loop())),
            dice: RefCell::new(fastrand::Rng::with_seed(!seed)),
            start: *start,
            next_source: Cell::new(index),
            running: Cell::new(0),
            last_answer: Cell::new(*start),
            unanswered: Cell::new(0),
            last_error: RefCell::default(),
        }
    }

    /// When client `index` of so many connects: spread over the ramp in closed loop. In open loop the rate itself ramps up, and
    /// all connect ahead of the start, else the first requests would measure that.
    fn begin_of(&self, index: usize, clients: usize) -> Instant {
        if self.plan.is_open_loop() {
            return self.ring.now();
        }
        #[expect(clippy::cast_precision_loss, reason = "clients are few")]
        let part = index as f64 / clients.max(1) as f64;
        self.start + self.plan.ramp_up.mul_f64(part)
    }

    /// The address to send from, in turn.
    pub(super) fn next_source(&self) -> Option<IpAddr> {
        let sources = &self.plan.sources;
        if sources.is_empty() {
            return None;
        }
        let next = self.next_source.get();
        self.next_source.set(next.wrapping_add(1));
        Some(sources[next % sources.len()])
    }

    /// A client got an answer, good or not.
    pub(super) fn note_answer(&self, client: &Client, now: Instant) {
        client.failing.set(false);
        self.last_answer.set(now);
        self.unanswered.set(0);
    }

    /// A request that was due at `due` failed.
    pub(super) fn fail(&self, due: Instant, kind: ErrorKind, message: &str) {
        self.unanswered.set(self.unanswered.get() + 1);
        self.recorder.borrow_mut().failed(due, kind, || message.to_owned());
    }

    /// A client lost the target: not by an answer that it did not like, but by none.
    pub(super) fn note_trouble(&self, client: &Client, kind: ErrorKind, message: &str) {
        client.failing.set(true);
        let mut last = self.last_error.borrow_mut();
        last.clear();
        last.push_str(kind.describe());
        if !message.is_empty() {
            last.push_str(": ");
            last.push_str(message);
        }
    }
}

struct Watchdog<'run> {
    core: &'run Core,
    setup: &'run Setup,
    clients: &'run [Rc<Client>],
    intervals: u32,
    was_down: bool,
    /// As of the last look.
    last_answer: Instant,
}

impl<'run> Watchdog<'run> {
    fn new(core: &'run Core, setup: &'run Setup, clients: &'run [Rc<Client>]) -> Self {
        Watchdog { core, setup, clients, intervals: 0, was_down: false, last_answer: setup.start }
    }

    async fn run(mut self) {
        let plan = &self.setup.plan;
        let period = (plan.timeout / 10).clamp(PERIOD_LEAST, PERIOD_MOST).min(plan.interval);
        loop {
            self.core.ring.alarm(Instant::now() + period).await;
            let now = Instant::now();
            self.report_intervals(now);
            self.report_down(now);
            if self.setup.stops.iter().any(Stop::is_stopped) {
                break;
            }
            self.expire(now);
            if self.core.pacer.is_closed(now) {
                self.core.pacer.close(now);
                self.clients.iter().for_each(|client| client.wake(&self.core.ring));
            }
            if self.core.running.get() == 0 {
                break;
            }
        }
        self.report_last_interval(Instant::now());
    }

    /// Ends what waits too long.
    fn expire(&self, now: Instant) {
        for client in self.clients {
            let waits = client.oldest.get().map(|oldest| now.saturating_duration_since(oldest));
            if waits.is_some_and(|waits| waits > self.setup.plan.timeout) {
                client.expired.set(true);
                client.wake(&self.core.ring);
            }
        }
    }

    fn report_intervals(&mut self, now: Instant) {
        let interval = self.setup.plan.interval;
        while now >= self.setup.start + interval * (self.intervals + 1) {
            self.intervals += 1;
            self.report_interval(interval.as_secs_f64());
        }
    }

    fn report_last_interval(&self, now: Instant) {
        let begin = self.setup.start + self.setup.plan.interval * self.intervals;
        self.report_interval(now.saturating_duration_since(begin).as_secs_f64());
    }

    /// A collector that is gone has no more use for it.
    fn report_interval(&self, seconds: f64) {
        let interval = self.core.recorder.borrow_mut().next_interval(seconds);
        let _ = self.setup.reports.send((self.setup.index, Report::Interval(Box::new(interval))));
    }

    /// Down is a target that nobody has an answer of: neither on his last connection, nor, for somebody may be between two
    /// that end after some answers each, since the last look. When the load has ended it does not go down any more: those
    /// whose last request timed out are the last ones here.
    fn report_down(&mut self, now: Instant) {
        let last_answer = self.core.last_answer.get();
        let is_silent = std::mem::replace(&mut self.last_answer, last_answer) == last_answer;
        let is_down = is_silent && self.clients.iter().all(|client| client.failing.get());
        if is_down != self.was_down && !(is_down && self.core.pacer.is_closed(now)) {
            self.was_down = is_down;
            let error = is_down.then(|| self.core.last_error.borrow().clone());
            let _ = self.setup.reports.send((self.setup.index, Report::Down(error)));
        }
    }
}

/// How often the watchdog looks, which is how late a time-out may be.
const PERIOD_LEAST: Duration = Duration::from_millis(5);
const PERIOD_MOST: Duration = Duration::from_millis(100);
/// End of a run that counts requests.
const NO_END: Duration = Duration::from_secs(365 * 24 * 3600);
