//! One peer's turn as numbers, and the figures that tables are made of.

use serde::Serialize;

use crate::load::Outcome;
use crate::peers::Kind;
use crate::proc::Used;

/// What CPU is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Request,
    /// A connection that carried one request.
    Connection,
    /// Of bodies, the answers' or the requests'.
    Mib,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Connection => "connection",
            Self::Mib => "MiB",
        }
    }

    /// As it stands in a column's head.
    pub fn short(self) -> &'static str {
        match self {
            Self::Request => "req",
            Self::Connection => "conn",
            Self::Mib => "MiB",
        }
    }

    /// How many of them so many requests were.
    pub fn count(self, requests: u64, body_bytes: u64) -> f64 {
        match self {
            Self::Request | Self::Connection => requests as f64,
            Self::Mib => requests as f64 * body_bytes as f64 / MIB,
        }
    }
}

/// One peer's turn.
#[derive(Debug, Clone, Serialize)]
pub struct Turn {
    pub scenario: &'static str,
    pub case: String,
    pub round: u32,
    pub peer: Kind,
    #[serde(flatten)]
    pub measured: Measured,
}

/// What was seen in it. What the work of a scenario does not have is 0 or absent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Measured {
    pub connections: u32,
    /// Requests, connections or MiB.
    pub units: f64,
    /// Of the balancer, from before the first connection until after the last.
    pub cpu_seconds: f64,
    /// Of the same time.
    pub seconds: f64,
    /// Share of the balancer's core that was busy for somebody else.
    pub foreign_share: f64,
    pub rss_start_bytes: u64,
    pub rss_bytes: u64,
    pub reloads: u32,
    pub load: Option<Outcome>,
}

impl Measured {
    pub fn of(used: Used) -> Self {
        let Used { cpu_seconds, seconds, foreign_share } = used;
        Self { cpu_seconds, seconds, foreign_share, ..Self::default() }
    }

    pub fn errors(&self) -> u64 {
        self.load.as_ref().map_or(0, |load| load.errors)
    }
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Microseconds a unit.
    Cpu,
    /// Units a second.
    Rate,
    P50,
    P99,
    P99_9,
    Max,
    /// At the end of the turn.
    Rss,
    /// Before the first connection.
    RssStart,
    /// What connections added to RSS, each.
    MemoryPerConnection,
    /// Of the balancer's core.
    CoreShare,
    Failed,
    Reloads,
}

impl Figure {
    /// In the head of a column.
    pub fn title(self, unit: Unit) -> String {
        match self {
            Self::Cpu => format!("CPU us/{}", unit.short()),
            Self::Rate => format!("{}/s", unit.short()),
            Self::P50 => "p50 us".to_owned(),
            Self::P99 => "p99 us".to_owned(),
            Self::P99_9 => "p99.9 us".to_owned(),
            Self::Max => "max us".to_owned(),
            Self::Rss => "RSS MiB".to_owned(),
            Self::RssStart => "at start".to_owned(),
            Self::MemoryPerConnection => "KiB/conn".to_owned(),
            Self::CoreShare => "core %".to_owned(),
            Self::Failed => "failed".to_owned(),
            Self::Reloads => "reloads".to_owned(),
        }
    }

    /// Below a title.
    pub fn describe(self, unit: Unit) -> String {
        match self {
            Self::Cpu => format!("CPU a {}", unit.name()),
            Self::Rate => format!("Units a second, {}", unit.name()),
            Self::P50 => "Median latency".to_owned(),
            Self::P99 => "99th percentile of latency".to_owned(),
            Self::P99_9 => "99.9th percentile of latency".to_owned(),
            Self::Max => "Longest latency".to_owned(),
            Self::Rss => "Resident memory".to_owned(),
            Self::RssStart => "Resident memory at start".to_owned(),
            Self::MemoryPerConnection => "User memory a connection".to_owned(),
            Self::CoreShare => "Share of the core".to_owned(),
            Self::Failed => "Failed requests".to_owned(),
            Self::Reloads => "Reloads".to_owned(),
        }
    }

    pub fn decimals(self) -> usize {
        match self {
            Self::Cpu | Self::MemoryPerConnection | Self::CoreShare => 2,
            Self::Rss | Self::RssStart => 1,
            Self::Rate | Self::P50 | Self::P99 | Self::P99_9 | Self::Max | Self::Failed | Self::Reloads => 0,
        }
    }

    /// Rounds further apart than this share say more about the machine than about the peer. Tails vary more than costs.
    pub fn spread_max(self) -> f64 {
        match self {
            Self::P50 | Self::P99 | Self::P99_9 | Self::Max => 0.5,
            _ => 0.1,
        }
    }

    /// NaN where a turn does not have it.
    pub fn of(self, measured: &Measured) -> f64 {
        let latency = |value: fn(&Outcome) -> Option<f64>| measured.load.as_ref().and_then(value).unwrap_or(f64::NAN);
        match self {
            Self::Cpu => measured.cpu_seconds * 1e6 / measured.units,
            Self::Rate => measured.units / measured.load.as_ref().map_or(f64::NAN, |load| load.seconds),
            Self::P50 => latency(|load| Some(load.p50_us)),
            Self::P99 => latency(|load| Some(load.p99_us)),
            Self::P99_9 => latency(|load| load.p99_9_us),
            Self::Max => latency(|load| load.max_us),
            Self::Rss => measured.rss_bytes as f64 / MIB,
            Self::RssStart => measured.rss_start_bytes as f64 / MIB,
            Self::MemoryPerConnection => {
                (measured.rss_bytes as f64 - measured.rss_start_bytes as f64) / KIB / f64::from(measured.connections)
            }
            Self::CoreShare => measured.cpu_seconds / measured.seconds * 100.0,
            Self::Failed => measured.errors() as f64,
            Self::Reloads => f64::from(measured.reloads),
        }
    }
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1_048_576.0;
