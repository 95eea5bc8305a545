//! `l7::serve` between a simulated client and simulated targets, for thousands of seeds: requests of every kind, pipelined and in
//! turn, in pieces of every size; targets that answer early, late, in pieces, wrongly or never; stalls, half-closes, resets,
//! failed connects, deadlines and drains at any moment.
//!
//! The connection is polled only when its waker was called. So that a deadline does not hide a lost wake-up, half of the seeds
//! poll it once more when nothing but time can move: nothing may come of that. The other half do not, because that poll
//! would renew the wakers. A failure prints its seed: `WEIR_SEED=<seed> cargo test --test exchange_simulation` replays it.

mod check;
mod client;
mod pace;
mod situations;
mod target;
mod wire;
mod world;

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use weir::config::{self, Http, HttpGroup, HttpVersion, KeepAlive, Listener, Mode, Service, Snapshot};
use weir::l4::Side;
use weir::l7::{self, Closed, Ordered, Terms, Why};
use weir::ring::{Pool, RECEIVE_QUEUE_MAX, SEND_QUEUE_MAX, Stream};

use check::Ended;
use client::Client;
use pace::{Manners, below};
use target::{Book, TargetConnection};
use world::{Connecting, Settings, SimWorld, Watched};

const SEEDS: u64 = 10_000;
/// Far more than any run needs: a run that gets here goes round in circles.
const STEPS_MAX: usize = 200_000;
/// What a step takes.
const STEP: Duration = Duration::from_micros(10);
/// Of one stream: its two queues, and for each direction what is written, what is in hand and what waits behind it.
const HELD_MAX: usize = SEND_QUEUE_MAX + RECEIVE_QUEUE_MAX + 3;

#[test]
fn what_the_client_gets_is_what_its_targets_answered_whatever_happens() {
    let snapshot = snapshot();
    if let Ok(seed) = std::env::var("WEIR_SEED") {
        let outcome = run(seed.parse().expect("WEIR_SEED is a number"), &snapshot);
        println!("seed {seed}: {outcome:?}");
        return;
    }
    let mut all = Outcome::default();
    for seed in 0..SEEDS {
        let told = TellSeed(seed);
        all.add(&run(seed, &snapshot));
        std::mem::forget(told);
    }
    println!("{all:?}");
    all.check_mix();
}

/// Dropped by a panic only.
struct TellSeed(u64);

impl Drop for TellSeed {
    fn drop(&mut self) {
        eprintln!("seed {0} failed; replay it: WEIR_SEED={0} cargo test --test exchange_simulation", self.0);
    }
}

/// What happened, counted.
#[derive(Debug, Default)]
struct Outcome {
    completed: u64,
    idle: u64,
    broken: u64,
    /// Responses that the client had whole.
    whole: u64,
    /// Responses that broke off.
    cut: u64,
    interims: u64,
    /// Answers that began ahead of their request's end.
    early: u64,
    /// Requests on connections that had served one before, and those that were sent anew because that failed.
    reused: u64,
    renewed: u64,
    /// Exchanges by what went wrong, in the order of `Why::ALL`.
    whys: [u64; Why::ALL.len()],
    steps: usize,
}

impl Outcome {
    fn add(&mut self, one: &Outcome) {
        self.completed += one.completed;
        self.idle += one.idle;
        self.broken += one.broken;
        self.whole += one.whole;
        self.cut += one.cut;
        self.interims += one.interims;
        self.early += one.early;
        self.reused += one.reused;
        self.renewed += one.renewed;
        self.whys.iter_mut().zip(one.whys).for_each(|(all, one)| *all += one);
        self.steps += one.steps;
    }

    fn check_mix(&self) {
        let Outcome { completed, broken, whole, cut, early, reused, renewed, whys, .. } = self;
        assert!(*completed > SEEDS / 4 && *broken > SEEDS / 10, "hardly any connection completes, or breaks: {self:?}");
        assert!(*whole > SEEDS && *cut > SEEDS / 50, "hardly any response comes whole, or is cut: {self:?}");
        assert!(*early > SEEDS / 50 && *reused > SEEDS / 10 && *renewed > SEEDS / 1_000, "{self:?}");
        for (why, count) in Why::ALL.into_iter().zip(whys) {
            // Nothing here sends 31 addresses, is its own target, upgrades or runs out of memory; fields that are too long are
            // framing's own affair.
            let never = [
                Why::ForwardedTooLong,
                Why::RewriteFailed,
                Why::Loopback,
                Why::IdleTimeout,
                Why::Host,
                Why::HeadersTooLarge,
            ];
            let least = u64::from(!never.contains(&why));
            assert!(*count >= least, "{} never happened: {self:?}", why.as_str());
        }
    }
}

fn snapshot() -> Snapshot {
    let text = "[[listener]]\nname = \"web\"\nprotocol = \"http\"\naddress = \"192.0.2.1:80\"\n\
                default_action = { forward = \"app\" }\n\
                [[target_group]]\nname = \"app\"\nprotocol = \"http\"\n\
                target = [{ address = \"10.0.0.1\", port = 80 }]\n";
    config::parse("simulation", text, Mode::Demo).expect("a good config")
}

/// One connection and its surroundings, all of it decided by the seed.
struct Run {
    world: Rc<SimWorld>,
    pool: Rc<Pool>,
    http: Arc<Http>,
    group: HttpGroup,
    manners: Manners,
    client: Client,
    targets: Vec<TargetConnection>,
    book: Rc<RefCell<Book>>,
    events: Vec<(usize, Event)>,
    connects_failed: usize,
    dice: fastrand::Rng,
    /// Polls without a wake-up where only time can move.
    suspicious: bool,
    /// Time leaps to a deadline though something else could happen first.
    wild: bool,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Order(Ordered),
    ListenerGone,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Poll,
    Client(client::Act),
    Target(usize, target::Act),
    Connect(usize),
    Event(usize),
    Sweep,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn run(seed: u64, snapshot: &Snapshot) -> Outcome {
    let mut dice = fastrand::Rng::with_seed(seed);
    let manners = if dice.usize(..4) == 0 { Manners::Gentle } else { Manners::Rough };
    let pool = Pool::detached();
    let (terms, http, group) = terms(snapshot, manners, &mut dice);
    let rough = manners == Manners::Rough;
    let settings = Settings {
        keep_alive: KeepAlive {
            idle_max: [1, 8, 8, 0][dice.usize(..4)],
            idle_timeout: Duration::from_secs([1, 30][dice.usize(..2)]),
            lifetime: Duration::from_secs([1, 300][dice.usize(..2)]),
        },
        idle_timeout: terms.listener.idle_timeout,
        retries: dice.usize(..4),
        connect_fails: if rough { [0, 0, 2, 10][dice.usize(..4)] } else { 0 },
    };
    let targets = if rough && dice.usize(..40) == 0 { 0 } else { dice.usize(1..=3) };
    let world = Rc::new(SimWorld::new(&pool, Rc::new(terms), settings, targets, dice.fork()));
    let (stream, far) = Watched::new(&pool, Side::Client, &world.watch, &world.clock);
    let mut run = Run {
        pool: Rc::clone(&pool),
        http,
        group,
        manners,
        client: Client::new(far, manners, &mut dice),
        targets: Vec::new(),
        book: Rc::default(),
        events: events(manners, &mut dice),
        connects_failed: 0,
        suspicious: dice.bool(),
        wild: rough && dice.usize(..4) == 0,
        world: Rc::clone(&world),
        dice,
    };
    let (closed, steps) = run.drive(pin!(l7::serve(&*world, &stream)));
    run.end(closed, stream);
    run.outcome(closed, steps)
}

fn terms(snapshot: &Snapshot, manners: Manners, dice: &mut fastrand::Rng) -> (Terms, Arc<Http>, HttpGroup) {
    let mut seconds =
        || Duration::from_secs(if manners == Manners::Rough { [1, 5, 30, 60][dice.usize(..4)] } else { 60 });
    let (idle_timeout, header_timeout, body_timeout) = (seconds(), seconds(), seconds());
    let (send_timeout, response_timeout) = (seconds(), seconds());
    let listener = &snapshot.listeners[0];
    let Service::Http(http) = &listener.service else { panic!("not http") };
    let longest = (manners == Manners::Rough && dice.usize(..8) == 0).then_some(NonZeroU64::MIN.saturating_add(999));
    let http = Http { header_timeout, body_timeout, send_timeout, body_bytes_max: longest, ..Http::clone(http) };
    let http = Arc::new(http);
    let service = Service::Http(Arc::clone(&http));
    let listener = Arc::new(Listener { idle_timeout, service, ..Listener::clone(listener) });
    let group = &snapshot.groups[0];
    let version = if dice.usize(..8) == 0 { HttpVersion::V1_0 } else { HttpVersion::V1_1 };
    let of_http = HttpGroup { version, response_timeout, ..group.http.clone().expect("an http group") };
    let group = config::TargetGroup { http: Some(of_http.clone()), ..config::TargetGroup::clone(group) };
    let snapshot = Snapshot { groups: vec![Arc::new(group)], ..Snapshot::clone(snapshot) };
    (Terms::new(&Arc::new(snapshot), &listener, None).expect("http"), http, of_http)
}

/// What the shard does to the connection, at which step.
fn events(manners: Manners, dice: &mut fastrand::Rng) -> Vec<(usize, Event)> {
    let (first, second) = (below(&[50, 500, 3_000], dice), below(&[50, 500, 3_000], dice));
    let mut events = Vec::new();
    if dice.usize(..8) == 0 {
        events.push((first, Event::Order(Ordered::Finish)));
    }
    if manners == Manners::Rough && dice.usize(..12) == 0 {
        let why = if dice.bool() { Why::Drained } else { Why::Deregistered };
        events.push((first + second, Event::Order(Ordered::Now(why))));
    }
    if manners == Manners::Rough && dice.usize(..40) == 0 {
        events.push((second, Event::ListenerGone));
    }
    events
}

impl Run {
    /// Lets one thing happen after another until the connection is over.
    fn drive(&mut self, mut served: Pin<&mut impl Future<Output = Closed>>) -> (Closed, usize) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut actions = Vec::new();
        let mut step = 0;
        while step < STEPS_MAX {
            step += 1;
            let clock = Rc::clone(&self.world.clock);
            clock.advance(clock.at() + STEP);
            self.actions(step, woken.0.load(Ordering::Relaxed), &mut actions);
            let Some(&action) = self.dice.choice(&actions) else {
                if self.suspicious {
                    self.check_that_nothing_was_missed(served.as_mut(), &waker);
                }
                step = self.wait(step);
                continue;
            };
            if let Action::Poll = action {
                woken.0.store(false, Ordering::Relaxed);
                if let Poll::Ready(closed) = served.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return (closed, step);
                }
            } else {
                self.act(action);
            }
            self.client.look(clock.at());
            self.check_held();
            if self.wild
                && self.dice.usize(..300) == 0
                && let Some(due) = clock.next_due()
            {
                clock.advance(due);
            }
        }
        panic!("no end after {STEPS_MAX} steps: the connection goes round in circles; {}", self.describe());
    }

    fn actions(&mut self, step: usize, woken: bool, into: &mut Vec<Action>) {
        let now = self.world.clock.at();
        into.clear();
        if woken {
            into.extend([Action::Poll, Action::Poll]);
        }
        self.client.acts(step, now, &mut |act| into.push(Action::Client(act)));
        self.targets.retain_mut(|target| {
            let over = target.is_over();
            if over {
                target.end();
            }
            !over
        });
        for (index, target) in self.targets.iter().enumerate() {
            target.acts(now, &mut |act| into.push(Action::Target(index, act)));
        }
        let mut connecting = self.world.connecting.borrow_mut();
        // Whoever waited for the others has gone.
        connecting.retain(|connecting| Rc::strong_count(connecting) > 1);
        into.extend((0..connecting.len()).map(Action::Connect));
        let due = self.events.iter().enumerate().filter(|(_, (at, _))| step >= *at);
        into.extend(due.map(|(index, _)| Action::Event(index)));
        if !into.is_empty() && step.is_multiple_of(64) {
            into.push(Action::Sweep);
        }
    }

    fn act(&mut self, action: Action) {
        let now = self.world.clock.at();
        match action {
            Action::Poll => {}
            Action::Client(act) => {
                self.client.act(act, &mut self.dice);
                self.client.pace.rest(now, &mut self.dice);
            }
            Action::Target(index, act) => {
                let target = &mut self.targets[index];
                target.act(act, now, &mut self.dice);
                if act != target::Act::End {
                    target.pace.rest(now, &mut self.dice);
                }
            }
            Action::Connect(index) => {
                let connecting = self.world.connecting.borrow_mut().swap_remove(index);
                self.connect(&connecting);
            }
            Action::Event(index) => match self.events.swap_remove(index).1 {
                Event::Order(ordered) => self.world.order(ordered),
                Event::ListenerGone => self.world.listener_gone.set(true),
            },
            Action::Sweep => {
                let (now, rules) = (self.world.clock.now(), self.world.settings.keep_alive);
                self.world.targets.iter().for_each(|target| target.idle.borrow_mut().sweep(now, &rules));
            }
        }
    }

    fn connect(&mut self, connecting: &Connecting) {
        let fails = self.world.settings.connect_fails;
        if fails > 0 && self.dice.usize(..fails) == 0 {
            self.connects_failed += 1;
            let why = if self.dice.bool() { Why::ConnectFailed } else { Why::ConnectTimeout };
            return connecting.finish(Err(why));
        }
        let (stream, far) = Watched::new(&self.pool, Side::Target, &self.world.watch, &self.world.clock);
        let (requests, book) = (&self.client.requests, &self.book);
        self.targets.push(TargetConnection::new(far, self.manners, requests, book, &mut self.dice));
        connecting.finish(Ok(stream));
    }

    /// Nothing can move the connection but time or an event of the script. So nothing may come of a poll.
    fn check_that_nothing_was_missed(&self, served: Pin<&mut impl Future<Output = Closed>>, waker: &Waker) {
        let before = self.world.watch.moves.get();
        let polled = served.poll(&mut Context::from_waker(waker));
        let after = self.world.watch.moves.get();
        assert!(polled.is_pending() && before == after, "a wake-up was lost: {}", self.describe());
    }

    /// Time passes until somebody goes on, or a deadline is over. With neither nothing will ever happen.
    fn wait(&mut self, step: usize) -> usize {
        let clock = &self.world.clock;
        let now = clock.at();
        let actors = self.targets.iter().filter_map(|target| target.next_due(now));
        let next_time = actors.chain(self.client.next_due(now)).chain(clock.next_due()).min();
        let next_step =
            self.events.iter().map(|(at, _)| *at).chain(self.client.next_step()).filter(|at| *at > step).min();
        match (next_time, next_step) {
            (None, None) => panic!("deadlock at step {step}: nothing will ever move again; {}", self.describe()),
            (None, Some(at)) => at - 1,
            (Some(_), Some(at)) if self.dice.bool() => at - 1,
            (Some(at), _) => {
                clock.advance(at);
                step
            }
        }
    }

    fn check_held(&self) {
        let (held, streams) = (self.pool.counts().leased, 1 + self.targets.len());
        assert!(held <= HELD_MAX * streams, "{held} buffers are held for {streams} streams");
    }

    /// What the shard does behind the connection, and what must hold then.
    fn end(&mut self, closed: Closed, stream: Watched) {
        if let Closed::Broken(_) = closed {
            stream.abort();
        }
        if !matches!(closed, Closed::Broken(_)) {
            let flushed = stream.poll_flush(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(flushed, Poll::Ready(Ok(()))), "it ended well with bytes unsent: {}", self.describe());
        }
        drop(stream);
        assert_eq!(self.world.in_use.get(), 0, "an exchange was not given back");
        self.world.targets.iter().for_each(|target| target.idle.borrow_mut().clear());
        assert_eq!(self.pool.counts().leased, 0, "buffers are held though nothing uses them");
        self.client.end(self.world.clock.at());
        self.targets.iter_mut().for_each(TargetConnection::end);
        let ended = Ended {
            closed,
            manners: self.manners,
            world: &self.world,
            http: &self.http,
            group: &self.group,
            client: &self.client,
            book: &self.book.borrow(),
            connects_failed: self.connects_failed,
        };
        ended.check();
    }

    fn outcome(&self, closed: Closed, steps: usize) -> Outcome {
        let book = self.book.borrow();
        let finals = &self.client.finals;
        let mut whys = [0; Why::ALL.len()];
        self.world.done.borrow().iter().filter_map(|done| done.why).for_each(|why| whys[why as usize] += 1);
        let count = |count: usize| count as u64;
        Outcome {
            completed: u64::from(closed == Closed::Completed),
            idle: u64::from(closed == Closed::Idle),
            broken: u64::from(matches!(closed, Closed::Broken(_))),
            whole: count(finals.iter().filter(|seen| seen.message.complete).count()),
            cut: count(finals.iter().filter(|seen| !seen.message.complete).count()),
            interims: count(finals.iter().map(|seen| seen.interims.len()).sum()),
            early: count(book.answers.iter().filter(|answer| answer.early).count()),
            reused: self.world.reused.get(),
            renewed: self.world.renewed.get(),
            whys,
            steps,
        }
    }

    fn describe(&self) -> String {
        let targets: Vec<_> = self.targets.iter().map(TargetConnection::describe).collect();
        let done: Vec<_> = self.world.done.borrow().iter().map(|done| format!("{done:?}")).collect();
        format!(
            "{}\n{}\nconnecting {}, ordered {:?}, at {:?}\ndone: {}\nrequests: {:?}",
            self.client.describe(),
            targets.join("\n"),
            self.world.connecting.borrow().len(),
            self.world.ordered.get(),
            self.world.clock.at(),
            done.join("\n"),
            self.client
                .requests
                .iter()
                .map(|request| (request.method, request.framing, request.bad))
                .collect::<Vec<_>>()
        )
    }
}
