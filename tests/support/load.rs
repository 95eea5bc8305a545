//! Clients at a fixed rate, whose failures are counted and kept word by word.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Clients at once.
pub const CLIENTS: u8 = 8;

/// Load that runs until it is told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Outcome>>,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Answers by text.
    pub answers: BTreeMap<String, usize>,
    pub failures: Vec<String>,
}

impl Load {
    /// `per_second` new clients, each of which does `visit`. A client that is late is not left out: the rate is made up for.
    pub fn start(to: SocketAddr, per_second: u32, visit: fn(SocketAddr) -> io::Result<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicUsize::new(0));
        let pause = Duration::from_secs(1) * u32::from(CLIENTS) / per_second;
        let clients = |thread| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            let start = Instant::now() + pause * u32::from(thread) / u32::from(CLIENTS);
            move || clients(start, pause, &stop, &done, || visit(to))
        };
        let threads = (0..CLIENTS).map(|thread| thread::spawn(clients(thread))).collect();
        Load { stop, done, threads }
    }

    /// Clients that have come and gone.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until `more` further clients have come and gone.
    pub fn wait_for(&self, more: usize) {
        let goal = self.done() + more;
        super::wait_until("clients come and go", || self.done() >= goal);
    }

    pub fn stop(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for thread in self.threads.drain(..) {
            let Outcome { answers, failures } = thread.join().expect("a client thread does not panic");
            for (answer, count) in answers {
                *all.answers.entry(answer).or_default() += count;
            }
            all.failures.extend(failures);
        }
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn clients(
    start: Instant,
    pause: Duration,
    stop: &AtomicBool,
    done: &AtomicUsize,
    visit: impl Fn() -> io::Result<String>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut next = start;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += pause;
        match visit() {
            Ok(answer) => *outcome.answers.entry(answer).or_default() += 1,
            Err(error) => outcome.failures.push(format!("{error} ({:?})", error.kind())),
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    outcome
}
