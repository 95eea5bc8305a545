//! What a run does, resolved from the command line: everything an executor needs, nothing it must look up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::delay::Delay;
use crate::schedule::Arrivals;
use crate::workload::Workload;

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is sent.
    pub workload: Workload,
    /// Whom to.
    pub target: SocketAddr,
    /// Addresses of this host to send from, in turn. Empty: the kernel chooses.
    pub sources: Vec<IpAddr>,
    /// Connections, or UDP sockets, of all cores; at least one a core.
    pub connections: u32,
    /// Each request gets a connection of its own.
    pub connection_per_request: bool,
    /// Requests on a connection ahead of their answers, at most.
    pub pipeline: usize,
    /// An executor each. `None` leaves it to the kernel where it runs.
    pub cores: Vec<Option<usize>>,
    /// When to send.
    pub pacing: Pacing,
    /// The load grows for so long. Not measured.
    pub ramp_up: Duration,
    /// At full load, and still not measured.
    pub warm_up: Duration,
    /// When to end.
    pub limit: Limit,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Length of an entry of the time series.
    pub interval: Duration,
    /// The same seed draws the same arrivals, URLs and pauses.
    pub seed: u64,
}

/// When to send.
#[derive(Debug, Clone, PartialEq)]
pub enum Pacing {
    /// The next request when the answer to the last one is there, after a pause: the load adapts to the target, and what it
    /// would have sent meanwhile is not measured.
    Closed {
        /// The pause.
        think: Delay,
    },
    /// On a schedule, whatever the target does.
    Open {
        /// Requests a second, of all cores.
        rate: f64,
        /// How they follow each other.
        arrivals: Arrivals,
    },
}

/// When the measurement ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// After so long.
    Time(Duration),
    /// After so many requests.
    Requests(u64),
}

impl Plan {
    /// The rate asked for, in open loop.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        match self.pacing {
            Pacing::Open { rate, .. } => Some(rate),
            Pacing::Closed { .. } => None,
        }
    }

    /// Latency counts from when a request was due.
    #[must_use]
    pub fn is_open_loop(&self) -> bool {
        self.rate().is_some()
    }

    /// From the start until nothing new is sent, where that is known.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        match self.limit {
            Limit::Time(time) => Some(self.ramp_up + self.warm_up + time),
            Limit::Requests(_) => None,
        }
    }

    /// How many of the connections are core `index`'s.
    #[must_use]
    pub fn connections_of(&self, index: usize) -> u32 {
        let cores = u32::try_from(self.cores.len()).unwrap_or(u32::MAX);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.connections / cores + u32::from(index < self.connections % cores)
    }
}
