//! Runs a plan: an executor a core, which share nothing, and this thread, which collects what they report.
//!
//!     run --starts--> core 0: pacer, watchdog, connections --interval--.
//!          `-------> core N: the same ----------------------interval--+--> points, for who looks on
//!                                                     `--tally, at the end--> outcome
//!
//! Next: core.rs, then client.rs and exchange.rs, or datagrams.rs: one request from due to answered.

mod client;
mod core;
mod datagrams;
mod exchange;
mod next;
mod pacer;
mod series;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use quanta::Instant;

use crate::plan::{Limit, Plan};
use crate::record::{self, Interval, Tally};
use crate::results::{End, Point};
use series::Series;

/// How a run is told to end early: by a signal, say.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The run ends now, with what it has measured.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// It was told to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a run gave.
#[derive(Debug)]
pub struct Outcome {
    /// What was measured.
    pub tally: Tally,
    /// For how long.
    pub measured: Duration,
    /// How it ended.
    pub end: End,
    /// Every interval of the run.
    pub series: Vec<Point>,
}

/// A run that did not begin.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No thread, or not on this core.
    #[error("cannot start an executor: {0}; --cores must name cores that this process may run on")]
    Executor(std::io::Error),
    /// No ring.
    #[error("io_uring: {0}; weir doctor says what this host lacks")]
    Ring(std::io::Error),
}

/// What a core tells while it runs.
enum Report {
    Interval(Box<Interval>),
    /// It has no connection left to the target, or has one again.
    Down(Option<String>),
    /// It has nothing left to do.
    Ended,
}

/// What a core gives at its end.
struct Finished {
    tally: Tally,
    /// When its last request was answered.
    last_answer: Instant,
    /// When it had nothing left to do.
    ended: Instant,
    /// Requests without an answer since the last one that had one.
    unanswered: u64,
    /// What the last of them said.
    error: String,
}

/// Runs `plan` to its end. `watch` sees each interval when all cores have reported it.
///
/// # Errors
/// It did not begin.
pub fn run(plan: &Arc<Plan>, stop: &Stop, mut watch: impl FnMut(&Point)) -> Result<Outcome, Failure> {
    let start = Instant::now() + time_to_connect(plan);
    let give_up = Stop::default();
    let (reports, inbox) = mpsc::channel();
    let mut cores = Vec::new();
    for index in 0..plan.cores.len() {
        let setup = core::Setup {
            plan: Arc::clone(plan),
            index,
            start,
            stops: [stop.clone(), give_up.clone()],
            reports: reports.clone(),
        };
        match core::start(setup) {
            Ok(core) => cores.push(core),
            Err(error) => {
                give_up.stop();
                return Err(Failure::Executor(error));
            }
        }
    }
    drop(reports);
    let mut series = Series::new(plan);
    let mut down = Down::new(plan.cores.len());
    // Ends when the last core has: each holds a sender.
    for (core, report) in inbox {
        match report {
            Report::Interval(interval) => series.add(core, *interval, &mut watch),
            Report::Down(error) => down.set(core, error),
            Report::Ended => {
                series.end(core);
                down.end_core(core);
            }
        }
        if down.lasts(GIVE_UP_AFTER) {
            give_up.stop();
        }
    }
    let mut finished = Vec::new();
    for core in cores {
        let result = core.join().map_err(|error| Failure::Executor(std::io::Error::other(error.to_string())))?;
        finished.push(result.map_err(Failure::Ring)?);
    }
    let end = match down.end(start, &finished, plan.length()) {
        Some(down) => down,
        None if stop.is_stopped() => End::Interrupted,
        None => fell_silent(start, &finished, plan.length()).unwrap_or(End::Complete),
    };
    let measured = measured(plan, start, &finished, &end);
    let tally = record::sum(finished.into_iter().map(|finished| finished.tally), plan.is_open_loop());
    Ok(Outcome { tally, measured, end, series: series.finish(&mut watch) })
}

/// For all executors to be ready, so that they begin together; in open loop also for their clients to connect.
fn time_to_connect(plan: &Plan) -> Duration {
    if plan.is_open_loop() && !plan.connection_per_request {
        (CONNECT_AHEAD + CONNECT_AHEAD_EACH * plan.connections).min(CONNECT_AHEAD_MOST)
    } else {
        START_AFTER
    }
}

/// Length of the measurement: as planned, unless requests were counted or it was cut short.
fn measured(plan: &Plan, start: Instant, finished: &[Finished], end: &End) -> Duration {
    let measured_from = start + plan.ramp_up + plan.warm_up;
    let until = |instant: Option<Instant>| instant.unwrap_or(start).saturating_duration_since(measured_from);
    let last_answer = until(finished.iter().map(|finished| finished.last_answer).max());
    let ended = until(finished.iter().map(|finished| finished.ended).max());
    match (plan.limit, end) {
        (Limit::Time(time), End::Complete) => time,
        (Limit::Requests(_), End::Complete) => last_answer,
        (Limit::Time(time), _) => ended.min(time),
        (Limit::Requests(_), _) => ended,
    }
}

/// Was the target gone as the load ended, too late for every client to have noticed? A chance loss or two is not that.
fn fell_silent(start: Instant, finished: &[Finished], length: Option<Duration>) -> Option<End> {
    let load_ended = start + length?;
    let last_answer = finished.iter().map(|finished| finished.last_answer).max()?;
    let silence = load_ended.saturating_duration_since(last_answer);
    let unanswered: u64 = finished.iter().map(|finished| finished.unanswered).sum();
    if silence < SILENCE_AT_END || unanswered < UNANSWERED_AT_END {
        return None;
    }
    let error = finished.iter().map(|finished| &finished.error).find(|error| !error.is_empty());
    let at_s = last_answer.saturating_duration_since(start).as_secs_f64();
    Some(End::TargetDown { at_s, error: error.cloned().unwrap_or_else(|| "no answer".to_owned()) })
}

/// Which cores have lost the target, and since when all that still run have.
struct Down {
    errors: Vec<Option<String>>,
    ended: Vec<bool>,
    since: Option<Instant>,
}

impl Down {
    fn new(cores: usize) -> Self {
        Down { errors: vec![None; cores], ended: vec![false; cores], since: None }
    }

    fn set(&mut self, core: usize, error: Option<String>) {
        self.errors[core] = error;
        self.look();
    }

    /// A core that has nothing left to do says nothing of the target any more.
    fn end_core(&mut self, core: usize) {
        self.ended[core] = true;
        self.look();
    }

    fn look(&mut self) {
        let mut running = self.errors.iter().zip(&self.ended).filter(|(_, ended)| !**ended).peekable();
        if running.peek().is_none() {
            return;
        }
        if running.all(|(error, _)| error.is_some()) {
            self.since.get_or_insert_with(Instant::now);
        } else {
            self.since = None;
        }
    }

    fn lasts(&self, time: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= time)
    }

    /// How the run ended, if without the target.
    fn end(self, start: Instant, finished: &[Finished], length: Option<Duration>) -> Option<End> {
        let ended = finished.iter().map(|finished| finished.ended).max()?;
        let load_ended = length.map_or(ended, |length| ended.min(start + length));
        let _ = self.since.filter(|since| load_ended.saturating_duration_since(*since) >= DOWN_AT_END)?;
        let last_answer = finished.iter().map(|finished| finished.last_answer).max()?;
        let at_s = last_answer.saturating_duration_since(start).as_secs_f64();
        let error = self.errors.into_iter().flatten().next().unwrap_or_default();
        Some(End::TargetDown { at_s, error })
    }
}

/// Executors take this long to start, and more on a busy host.
const START_AFTER: Duration = Duration::from_millis(20);
const CONNECT_AHEAD: Duration = Duration::from_millis(100);
const CONNECT_AHEAD_EACH: Duration = Duration::from_micros(200);
const CONNECT_AHEAD_MOST: Duration = Duration::from_secs(2);
/// A target that has answered nobody for so long will not come back within the run.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);
/// No answer for so long as the load ends, and so many requests without one, is a target that is gone.
const SILENCE_AT_END: Duration = Duration::from_secs(1);
const UNANSWERED_AT_END: u64 = 3;
/// Lost for less than this as the load ends, it may have been chance.
const DOWN_AT_END: Duration = Duration::from_millis(500);
