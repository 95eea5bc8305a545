//! What a shard tells control when asked: plain copies, merged there. Counters live in the shard and cost an addition.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::accept::RefuseReason;
use super::close::CloseReason;
use crate::access_log::SinkCounts;
use crate::acl::{RuleCounts, SecurityGroup};
use crate::config::{Protocol, TargetKind};
use crate::health::{Failure, LastCheck, Reason, State};
use crate::l7::{Class, Why};
use crate::ring::RingCounts;

/// Histograms of durations keep two significant digits up to this; what lasts longer counts as this long.
const HISTOGRAM_US_MAX: u64 = 24 * 3600 * 1_000_000;

/// One shard, as of now.
#[derive(Debug, Clone)]
pub struct ShardReport {
    /// Number of the shard, from 0.
    pub shard: usize,
    /// The core it runs on.
    pub core: usize,
    /// Revision of the snapshot it runs on.
    pub revision: u64,
    /// It stopped accepting and finishes what runs.
    pub draining: bool,
    /// Connections open now.
    pub connections: usize,
    /// Connections that it will hold at most; further ones are refused early (requirement K5).
    pub connections_max: usize,
    /// Its ring.
    pub ring: RingCounts,
    /// Its end of the access log.
    pub access_log: SinkCounts,
    /// The balancer's security group, over all listeners.
    pub security_group: SecurityGroupReport,
    /// Every listener of the snapshot, bound or not.
    pub listeners: Vec<ListenerReport>,
    /// Every target group of the snapshot.
    pub groups: Vec<GroupReport>,
}

/// One listener on one shard.
#[derive(Debug, Clone)]
pub struct ListenerReport {
    /// Its name.
    pub name: Arc<str>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it binds.
    pub address: SocketAddr,
    /// It listens: its group has a target (requirement L4) and the shard does not drain.
    pub bound: bool,
    /// What it counted.
    pub counts: ListenerCounts,
    /// Packets that the kernel has dropped for its listening socket since that was bound: the filter of the security
    /// groups did, or the backlog was full.
    pub kernel_drops: u32,
    /// Its security group.
    pub security_group: SecurityGroupReport,
    /// What it counted of requests; `None` for a tcp listener.
    pub http: Option<HttpCounts>,
    /// Microseconds from the first connect attempt to a connected target.
    pub connect_us: Histogram<u64>,
    /// Microseconds from accept to the target's first byte; for http from the request's head sent to the response's
    /// head received.
    pub first_byte_us: Histogram<u64>,
    /// Microseconds from accept to close.
    pub duration_us: Histogram<u64>,
    /// Microseconds from a request's first byte received to its response's last byte sent.
    pub request_us: Histogram<u64>,
}

/// What every shard records durations in, empty: histograms of the same bounds can be merged.
///
/// # Panics
/// Never: the bounds are constant.
#[must_use]
pub fn histogram_us() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HISTOGRAM_US_MAX, 2).expect("constant bounds are valid")
}

/// Counters of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerCounts {
    /// Connections accepted, with those refused at once.
    pub accepted: u64,
    /// Connections open now.
    pub active: u64,
    /// Bytes received from clients.
    pub client_bytes: u64,
    /// Bytes received from targets.
    pub target_bytes: u64,
    /// Connections refused before any byte was read, by reason.
    pub refused: [u64; RefuseReason::ALL.len()],
    /// Connections closed, by reason.
    pub closed: [u64; CloseReason::ALL.len()],
    /// Failed calls of accept: no descriptor left, say.
    pub accept_errors: u64,
}

/// A security group on one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityGroupReport {
    /// The rules that were counted by.
    pub group: SecurityGroup,
    /// What they have decided.
    pub counts: RuleCounts,
}

/// Counters of an http listener's requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpCounts {
    /// Requests that are over, whatever became of them.
    pub requests: u64,
    /// Those that were answered, by the first digit of the status that the client got (460: it was gone): 1xx first.
    pub classes: [u64; 5],
    /// Those that got their target's response whole, and that was a 5xx.
    pub target_5xx: u64,
    /// Those that did not simply get their target's response, by reason.
    pub errors: [u64; Why::ALL.len()],
    /// All of them by what hygiene found (requirement P5).
    pub findings: [u64; Class::ALL.len()],
    /// Those that became something else than HTTP (requirement P3).
    pub upgraded: u64,
}

/// One target group on one shard.
#[derive(Debug, Clone)]
pub struct GroupReport {
    /// Its name.
    pub name: Arc<str>,
    /// No target is healthy and traffic goes to all of them (requirement B5).
    pub failing_open: bool,
    /// No target of the own zone is healthy and traffic goes to other zones (requirement B3).
    pub leaving_zone: bool,
    /// Its targets, in the order of the snapshot.
    pub targets: Vec<TargetReport>,
}

/// One target on one shard.
#[derive(Debug, Clone)]
pub struct TargetReport {
    /// Where it answers.
    pub address: SocketAddr,
    /// `address`, as metrics print it.
    pub label: Arc<str>,
    /// Its type.
    pub kind: TargetKind,
    /// Its weight.
    pub weight: u8,
    /// It could serve, but is of another zone and waits until no target of the own zone can (requirement B3).
    pub stands_by: bool,
    /// How this shard sees it.
    pub state: State,
    /// Why.
    pub reason: Option<Reason>,
    /// For how long.
    pub since: std::time::SystemTime,
    /// The last check.
    pub last_check: Option<LastCheck>,
    /// From the start of one check to the next; `None` when checks are off. Every shard checks for itself.
    pub check_interval: Option<Duration>,
    /// What it counted.
    pub counts: TargetCounts,
    /// Checks by outcome.
    pub checks: CheckCounts,
}

/// Counters of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetCounts {
    /// Connections made.
    pub connections: u64,
    /// Connections open now; of an http group requests in flight.
    pub active: u32,
    /// Idle connections kept for the next request.
    pub idle: usize,
    /// Requests sent to it.
    pub requests: u64,
    /// Its responses by the first digit of their status: 1xx first.
    pub responses: [u64; 5],
    /// Bytes received from clients and sent to it.
    pub client_bytes: u64,
    /// Bytes received from it.
    pub target_bytes: u64,
    /// Failed connects by cause: `Failure` without its errno, in the order of first sight.
    pub connect_failures: Vec<(Failure, u64)>,
}

/// Checks of a target by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// It answered.
    pub succeeded: u64,
    /// It did not.
    pub failed: u64,
    /// This host could not check: no descriptor, no port.
    pub not_made: u64,
}

impl CheckCounts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.succeeded + self.failed + self.not_made
    }
}
