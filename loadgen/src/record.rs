//! What a core counts while it runs: histograms in nanoseconds, errors by kind, an interval at a time for who looks on.
//!
//! In open loop a request belongs to the measurement if it was due within its window, whenever it is answered: one that was due
//! in time and came back late is what open loop is about. In closed loop an answer belongs to it if it came within the window:
//! what was asked for shortly before the end and came after it would add to the rate. Intervals are by the time of the answer.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use quanta::Instant;
use serde::{Deserialize, Serialize};

/// Why a request got no good answer. In JSON by these names, in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Nobody listens there, or a firewall says so.
    Refused,
    /// No way to the target's host or network.
    Unreachable,
    /// The connection did not come about in time.
    ConnectTimeout,
    /// The target reset the connection.
    Reset,
    /// The target closed the connection ahead of the whole answer.
    Closed,
    /// No whole answer in time.
    Timeout,
    /// No datagram came back in time.
    Lost,
    /// Something came that is not what was asked for.
    BadAnswer,
    /// An answer with a status of 400 to 499.
    Status4xx,
    /// An answer with a status of 500 to 599.
    Status5xx,
    /// This host ran out of ports, descriptors or buffers: the load is at fault, not the target.
    Host,
    /// Another error of the kernel's.
    Other,
}

impl ErrorKind {
    /// As it is called for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::Unreachable => "host unreachable",
            Self::ConnectTimeout => "connect timed out",
            Self::Reset => "connection reset",
            Self::Closed => "closed before the answer was complete",
            Self::Timeout => "timed out",
            Self::Lost => "datagram lost",
            Self::BadAnswer => "bad answer",
            Self::Status4xx => "status 4xx",
            Self::Status5xx => "status 5xx",
            Self::Host => "out of ports, descriptors or buffers here",
            Self::Other => "other",
        }
    }

    /// Kind of an error that the kernel gave for a connection.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::ConnectionRefused => Self::Refused,
            Io::HostUnreachable | Io::NetworkUnreachable | Io::NetworkDown => Self::Unreachable,
            Io::TimedOut => Self::ConnectTimeout,
            Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::NotConnected => Self::Reset,
            Io::AddrNotAvailable | Io::AddrInUse | Io::OutOfMemory => Self::Host,
            _ => match error.raw_os_error() {
                // EMFILE, ENFILE, ENOBUFS
                Some(24 | 23 | 105) => Self::Host,
                _ => Self::Other,
            },
        }
    }
}

/// Errors by kind, and the first of each in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors {
    /// How many.
    pub counts: BTreeMap<ErrorKind, u64>,
    /// What the first of each kind said, where it said something.
    pub examples: BTreeMap<ErrorKind, String>,
}

impl Errors {
    fn add(&mut self, other: &Errors) {
        for (kind, count) in &other.counts {
            *self.counts.entry(*kind).or_default() += count;
        }
        for (kind, example) in &other.examples {
            self.examples.entry(*kind).or_insert_with(|| example.clone());
        }
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// What was measured: by one core, or added up over all.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Nanoseconds to each good answer: from when its request was due in open loop, from when it was sent in closed loop.
    pub latency: Histogram<u64>,
    /// In open loop besides: from when the request was sent.
    pub service: Option<Histogram<u64>>,
    /// Everything else.
    pub errors: Errors,
    /// Answers by hundreds of their status; HTTP only.
    pub statuses: [u64; 6],
    /// Bytes of requests, heads included.
    pub bytes_sent: u64,
    /// Bytes of answers, heads included.
    pub bytes_received: u64,
    /// Connections that came about.
    pub connections: u64,
    /// Requests that were due, and that nothing was free to send until the end.
    pub unsent: u64,
    /// UDP: answers that came twice, or after their datagram was given up for lost.
    pub strays: u64,
    /// UDP: answers that reached this host and were dropped here, in the whole run.
    pub dropped_here: u64,
}

impl Tally {
    fn new(open_loop: bool) -> Self {
        Tally {
            latency: histogram(LATENCY_DIGITS),
            service: open_loop.then(|| histogram(LATENCY_DIGITS)),
            errors: Errors::default(),
            statuses: [0; 6],
            bytes_sent: 0,
            bytes_received: 0,
            connections: 0,
            unsent: 0,
            strays: 0,
            dropped_here: 0,
        }
    }

    /// Adds what another core measured in the same run.
    pub fn add(&mut self, other: &Tally) {
        add(&mut self.latency, &other.latency);
        if let (Some(service), Some(more)) = (&mut self.service, &other.service) {
            add(service, more);
        }
        self.errors.add(&other.errors);
        for (count, more) in self.statuses.iter_mut().zip(other.statuses) {
            *count += more;
        }
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.connections += other.connections;
        self.unsent += other.unsent;
        self.strays += other.strays;
        self.dropped_here += other.dropped_here;
    }
}

/// One core's last interval.
#[derive(Debug, Clone)]
pub struct Interval {
    /// Which one, from 0 at the start of the run.
    pub index: usize,
    /// Its length: the last one of a run may be short.
    pub seconds: f64,
    /// Nanoseconds to each good answer of the interval, as in `Tally`.
    pub latency: Histogram<u64>,
    /// Requests that failed in it.
    pub errors: u64,
}

/// A core's counters.
#[derive(Debug)]
pub struct Recorder {
    window: (Instant, Instant),
    counts_by: CountsBy,
    total: Tally,
    interval: Interval,
}

/// Which of a good answer's times must lie within the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountsBy {
    /// When its request was due: open loop, and where requests are counted.
    Due,
    /// When it came: closed loop.
    Answer,
}

/// One request's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When it should have been sent: the same as `sent` in closed loop.
    pub due: Instant,
    /// When it was.
    pub sent: Instant,
}

impl Recorder {
    /// Counts what falls into `window`, end excluded.
    #[must_use]
    pub fn new(window: (Instant, Instant), counts_by: CountsBy, open_loop: bool) -> Self {
        Recorder {
            window,
            counts_by,
            total: Tally::new(open_loop),
            interval: Interval { index: 0, seconds: 0.0, latency: histogram(INTERVAL_DIGITS), errors: 0 },
        }
    }

    fn counts(&self, at: Instant) -> bool {
        at >= self.window.0 && at < self.window.1
    }

    fn counts_answer(&self, due: Instant, now: Instant) -> bool {
        self.counts(match self.counts_by {
            CountsBy::Due => due,
            CountsBy::Answer => now,
        })
    }

    /// A good answer at `now`.
    pub fn answered(&mut self, times: Times, now: Instant) {
        let latency = nanoseconds(now.saturating_duration_since(times.due));
        self.interval.latency.saturating_record(latency);
        if self.counts_answer(times.due, now) {
            self.total.latency.saturating_record(latency);
            if let Some(service) = &mut self.total.service {
                service.saturating_record(nanoseconds(now.saturating_duration_since(times.sent)));
            }
        }
    }

    /// A request that was due at `due` failed.
    pub fn failed(&mut self, due: Instant, kind: ErrorKind, example: impl FnOnce() -> String) {
        self.interval.errors += 1;
        if self.counts(due) {
            *self.total.errors.counts.entry(kind).or_default() += 1;
            self.total.errors.examples.entry(kind).or_insert_with(example);
        }
    }

    /// An answer's status, good or bad, which came at `now`.
    pub fn status(&mut self, due: Instant, now: Instant, status: u16) {
        if self.counts_answer(due, now) {
            self.total.statuses[usize::from(status / 100).min(5)] += 1;
        }
    }

    /// Bytes of a request that was due at `due` went out.
    pub fn sent(&mut self, due: Instant, bytes: usize) {
        if self.counts(due) {
            self.total.bytes_sent += bytes as u64;
        }
    }

    /// Bytes of an answer came at `now`.
    pub fn received(&mut self, now: Instant, bytes: usize) {
        if self.counts(now) {
            self.total.bytes_received += bytes as u64;
        }
    }

    /// A connection came about at `now`.
    pub fn connected(&mut self, now: Instant) {
        if self.counts(now) {
            self.total.connections += 1;
        }
    }

    /// So many requests of the window will never be sent.
    pub fn unsent(&mut self, count: u64) {
        self.total.unsent += count;
    }

    /// An answer to nothing that is outstanding came at `now`.
    pub fn stray(&mut self, now: Instant) {
        if self.counts(now) {
            self.total.strays += 1;
        }
    }

    /// So many answers came to this host and no further.
    pub fn dropped_here(&mut self, count: u64) {
        self.total.dropped_here += count;
    }

    /// Ends the interval, which was so long, and begins the next.
    pub fn next_interval(&mut self, seconds: f64) -> Interval {
        self.interval.seconds = seconds;
        let next =
            Interval { index: self.interval.index + 1, seconds: 0.0, latency: histogram(INTERVAL_DIGITS), errors: 0 };
        std::mem::replace(&mut self.interval, next)
    }

    /// What was measured.
    #[must_use]
    pub fn finish(self) -> Tally {
        self.total
    }
}

/// All of them added up.
#[must_use]
pub fn sum(tallies: impl IntoIterator<Item = Tally>, open_loop: bool) -> Tally {
    tallies.into_iter().fold(Tally::new(open_loop), |mut sum, tally| {
        sum.add(&tally);
        sum
    })
}

/// Significant digits of a latency: reported percentiles are right within 0.1 %.
const LATENCY_DIGITS: u8 = 3;
/// For the time series: within 1 %.
const INTERVAL_DIGITS: u8 = 2;
/// Longest latency that is told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(3600);

fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, nanoseconds(LATENCY_MAX), digits).expect("bounds and digits that HdrHistogram takes")
}

/// Adds what was recorded within the same bounds.
pub(crate) fn add(sum: &mut Histogram<u64>, more: &Histogram<u64>) {
    sum.add(more).expect("made with the same bounds");
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
