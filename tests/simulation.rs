//! `l4::relay` between two simulated connections, for thousands of seeds: pieces of every size, stalls, slow readers,
//! half-closes in any order, resets at any moment.
//!
//! The relay is polled only when its waker was called, so a lost wake-up shows as a deadlock. A failure prints its seed:
//! `WEIR_SEED=<seed> cargo test --test simulation` replays it.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use weir::l4::{Fault, Side, relay};
use weir::ring::sim::{self, Far, Seen};
use weir::ring::{BUFFER_BYTES, Pool, RECEIVE_QUEUE_MAX, SEND_QUEUE_MAX};

const SEEDS: u64 = 12_000;
/// Far more than any run needs: a run that gets here goes round in circles.
const STEPS_MAX: usize = 200_000;
/// In hand and in the two queues, for both directions.
const HELD_MAX: usize = 2 * (1 + SEND_QUEUE_MAX + RECEIVE_QUEUE_MAX);

#[test]
fn the_relay_delivers_every_byte_in_order_and_ends_as_its_sides_do() {
    if let Ok(seed) = std::env::var("WEIR_SEED") {
        let outcome = run(seed.parse().expect("WEIR_SEED is a number"));
        println!("seed {seed}: {outcome:?}");
        return;
    }
    let mut outcomes = Outcomes::default();
    for seed in 0..SEEDS {
        let told = TellSeed(seed);
        outcomes.add(&run(seed));
        std::mem::forget(told);
    }
    println!("{outcomes:?}");
    assert!(outcomes.completed > SEEDS / 4, "{outcomes:?}: the simulation hardly ever lets a connection complete");
    assert!(outcomes.faults > SEEDS / 10, "{outcomes:?}: the simulation hardly ever breaks a connection");
    assert!(outcomes.masked > 0, "{outcomes:?}: no reset ever came too late to matter");
    assert!(outcomes.full > SEEDS / 50, "{outcomes:?}: the queues hardly ever fill up");
}

/// Dropped by a panic only.
struct TellSeed(u64);

impl Drop for TellSeed {
    fn drop(&mut self) {
        eprintln!("seed {0} failed; replay it: WEIR_SEED={0} cargo test --test simulation", self.0);
    }
}

#[derive(Debug, Default)]
struct Outcomes {
    completed: u64,
    /// Completed although a side was reset: after all had passed.
    masked: u64,
    faults: u64,
    /// A direction held as much as it may.
    full: u64,
}

#[derive(Debug)]
struct Outcome {
    fault: bool,
    resets: usize,
    held_max: usize,
}

impl Outcomes {
    fn add(&mut self, outcome: &Outcome) {
        self.completed += u64::from(!outcome.fault);
        self.masked += u64::from(!outcome.fault && outcome.resets > 0);
        self.faults += u64::from(outcome.fault);
        self.full += u64::from(outcome.held_max >= HELD_MAX / 2 - 1);
    }
}

/// One side of the connection, by its script.
struct Actor {
    side: Side,
    far: Far,
    sends: Vec<u8>,
    sent: usize,
    piece_max: usize,
    /// Bytes it lets the kernel take at a time.
    reads_max: usize,
    opened: usize,
    /// Finishes only after it has seen the other's end, as a server does that answers and then closes.
    waits_for_end: bool,
    finished: bool,
    /// Resets once so many steps have passed.
    resets_at: Option<usize>,
    /// How it stood when it reset.
    reset: Option<AtReset>,
    stalled_until: usize,
    stall_chance: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AtReset {
    finished: bool,
    got: usize,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Poll,
    Write(usize),
    Finish(usize),
    Arrive(usize),
    Read(usize),
    Take(usize),
    Reset(usize),
}

impl Actor {
    fn new(side: Side, far: Far, dice: &mut fastrand::Rng, resets_at: Option<usize>) -> Self {
        let most = [0, 1, 100, 5_000, 60_000, 400_000][dice.usize(..6)];
        let mut sends = vec![0; dice.usize(..=most)];
        dice.fill(&mut sends);
        Actor {
            side,
            far,
            sends,
            sent: 0,
            piece_max: [1 << 8, 1 << 12, BUFFER_BYTES, 4 * BUFFER_BYTES][dice.usize(..4)],
            reads_max: [1 << 9, 1 << 13, 1 << 16, 1 << 20][dice.usize(..4)],
            opened: 0,
            waits_for_end: false,
            finished: false,
            resets_at,
            reset: None,
            stalled_until: 0,
            stall_chance: [0.0, 0.01, 0.1][dice.usize(..3)],
        }
    }

    /// What this side or its kernel could do next.
    fn actions(&self, index: usize, step: usize, into: &mut Vec<Action>) {
        let far = &self.far;
        if far.can_arrive() {
            into.push(Action::Arrive(index));
        }
        if far.can_take() {
            into.push(Action::Take(index));
        }
        if self.reset.is_some() || step < self.stalled_until {
            return;
        }
        if self.sent < self.sends.len() {
            into.push(Action::Write(index));
        } else if !self.finished && (!self.waits_for_end || far.sees() != Seen::Open) {
            into.push(Action::Finish(index));
        }
        if self.opened - far.delivered().len() < self.reads_max / 2 {
            into.push(Action::Read(index));
        }
        if self.resets_at.is_some_and(|at| step >= at) {
            into.push(Action::Reset(index));
        }
    }

    fn act(&mut self, action: Action, dice: &mut fastrand::Rng) {
        let piece = 1 + dice.usize(..self.piece_max);
        match action {
            Action::Arrive(_) => self.far.arrive(piece),
            Action::Take(_) => self.far.take(piece),
            Action::Write(_) => {
                let end = self.sends.len().min(self.sent + piece);
                self.far.write(&self.sends[self.sent..end]);
                self.sent = end;
            }
            Action::Read(_) => {
                let more = 1 + dice.usize(..self.reads_max);
                self.far.open_window(more);
                self.opened += more;
            }
            Action::Finish(_) => {
                self.far.finish();
                self.finished = true;
            }
            Action::Reset(_) => {
                self.reset = Some(AtReset { finished: self.finished, got: self.far.delivered().len() });
                self.far.reset();
            }
            Action::Poll => {}
        }
    }
}

fn actors(pool: &Rc<Pool>, dice: &mut fastrand::Rng) -> ([sim::SimStream; 2], [Actor; 2]) {
    let who_resets = dice.usize(..6);
    let resets_at = |index: usize, dice: &mut fastrand::Rng| {
        let within = [10, 100, 1_000][dice.usize(..3)];
        (who_resets == index || who_resets == 2).then(|| dice.usize(..within))
    };
    let (client, far_client) = sim::connection(pool);
    let (target, far_target) = sim::connection(pool);
    let (client_resets, target_resets) = (resets_at(0, dice), resets_at(1, dice));
    let mut actors = [
        Actor::new(Side::Client, far_client, dice, client_resets),
        Actor::new(Side::Target, far_target, dice, target_resets),
    ];
    // At most one waits for the other, else neither would end.
    if let Some(actor) = actors.get_mut(dice.usize(..3)) {
        actor.waits_for_end = true;
    }
    ([client, target], actors)
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One connection from beginning to end, all of it decided by the seed.
fn run(seed: u64) -> Outcome {
    let mut dice = fastrand::Rng::with_seed(seed);
    let pool = Pool::detached();
    let ([client, target], mut actors) = actors(&pool, &mut dice);
    let moved = [Cell::new(0), Cell::new(0)];
    let count = |from: Side, bytes: usize| moved[from as usize].set(moved[from as usize].get() + bytes);
    let mut held_max = 0;
    let result = {
        let relay = pin!(relay(&client, &target, count));
        drive(relay, &mut actors, &mut dice, || held_max = held_max.max(pool.counts().leased))
    };
    assert!(held_max <= HELD_MAX, "{held_max} buffers were held, {HELD_MAX} are allowed");
    for (actor, moved) in actors.iter().zip(&moved) {
        assert_eq!(moved.get(), actor.far.handed_out(), "{:?}: bytes counted and bytes received differ", actor.side);
    }
    drop((client, target));
    match &result {
        Ok(()) => check_completed(&actors),
        Err(fault) => check_fault(&actors, fault),
    }
    assert_eq!(pool.counts().leased, 0, "buffers leaked");
    let resets = actors.iter().filter(|actor| actor.reset.is_some()).count();
    Outcome { fault: result.is_err(), resets, held_max }
}

/// Lets one thing happen after another until the relay ends.
fn drive(
    mut relay: Pin<&mut impl Future<Output = Result<(), Fault>>>,
    actors: &mut [Actor; 2],
    dice: &mut fastrand::Rng,
    mut look: impl FnMut(),
) -> Result<(), Fault> {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut actions = Vec::new();
    let mut step = 0;
    while step < STEPS_MAX {
        step += 1;
        actions.clear();
        if woken.0.load(Ordering::Relaxed) {
            actions.push(Action::Poll);
        }
        for (index, actor) in actors.iter().enumerate() {
            actor.actions(index, step, &mut actions);
        }
        let Some(&action) = dice.choice(&actions) else {
            step = after_the_stall(actors, step);
            continue;
        };
        match action {
            Action::Poll => {
                woken.0.store(false, Ordering::Relaxed);
                if let Poll::Ready(result) = relay.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return result;
                }
            }
            Action::Write(index)
            | Action::Finish(index)
            | Action::Arrive(index)
            | Action::Read(index)
            | Action::Take(index)
            | Action::Reset(index) => {
                let actor = &mut actors[index];
                actor.act(action, dice);
                if dice.f64() < actor.stall_chance {
                    actor.stalled_until = step + 1 + dice.usize(..200);
                }
            }
        }
        check_half_closes(actors);
        look();
    }
    panic!("no end after {STEPS_MAX} steps: the relay goes round in circles");
}

/// Nothing can happen now: time passes until a stalled side goes on. With nobody stalled nothing will ever happen.
fn after_the_stall(actors: &[Actor; 2], step: usize) -> usize {
    let goes_on = actors.iter().filter(|actor| actor.reset.is_none()).map(|actor| actor.stalled_until);
    let goes_on = goes_on.chain(actors.iter().filter_map(|actor| actor.resets_at.filter(|_| actor.reset.is_none())));
    match goes_on.filter(|at| *at > step).min() {
        Some(at) => at - 1,
        None => panic!(
            "deadlock at step {step}: the relay was not woken and nobody can move; {}",
            actors.iter().map(describe).collect::<Vec<_>>().join("; ")
        ),
    }
}

fn describe(actor: &Actor) -> String {
    let Actor { side, sent, finished, reset, .. } = actor;
    let (sees, got) = (actor.far.sees(), actor.far.delivered().len());
    format!("{side:?} sent {sent}, finished {finished}, reset {reset:?}, got {got}, sees {sees:?}")
}

/// A side sees the end of the other's sending only after the other has finished and every byte has come.
fn check_half_closes(actors: &[Actor; 2]) {
    for (actor, other) in [(&actors[0], &actors[1]), (&actors[1], &actors[0])] {
        if actor.far.sees() == Seen::End {
            assert!(other.finished, "{:?} sees an end, but the other side has not finished", actor.side);
            let (got, sent) = (actor.far.delivered().len(), other.sends.len());
            assert_eq!(got, sent, "{:?} sees the end before the last byte", actor.side);
        }
    }
}

fn check_completed(actors: &[Actor; 2]) {
    for (actor, other) in [(&actors[0], &actors[1]), (&actors[1], &actors[0])] {
        assert!(*actor.far.delivered() == other.sends, "{:?} did not get what was sent", actor.side);
        assert!(actor.finished && actor.far.sees() == Seen::End, "{:?} was not told of the end", actor.side);
        assert_eq!(actor.far.handed_out(), actor.sends.len());
        let all = AtReset { finished: true, got: other.sends.len() };
        let too_late = actor.reset.is_none_or(|reset| reset == all);
        assert!(too_late, "the reset of {:?} was hidden: {}", actor.side, describe(actor));
    }
}

fn check_fault(actors: &[Actor; 2], fault: &Fault) {
    let culprit = &actors[fault.side as usize];
    assert!(culprit.reset.is_some(), "{:?} is blamed, but it was not reset: {}", fault.side, fault.error);
    let errno = fault.error.raw_os_error();
    assert!(matches!(errno, Some(libc::ECONNRESET | libc::EPIPE | libc::ENOTCONN)), "{}", fault.error);
    for (actor, other) in [(&actors[0], &actors[1]), (&actors[1], &actors[0])] {
        assert!(other.sends.starts_with(&actor.far.delivered()), "{:?} got other bytes than were sent", actor.side);
        assert!(actor.far.delivered().len() <= other.far.handed_out());
    }
}
