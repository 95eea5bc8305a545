//! What is kept of a request for counters and log: filled in as it goes, read when it is over.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use quanta::Instant;

use super::framing::Finding;
use super::why::Why;
use super::world::Terms;

/// One request, from its first byte to its response's last.
#[derive(Debug, Clone)]
pub struct Record {
    /// Number of the request on its connection, from 1.
    pub number: u32,
    /// When its first byte came.
    pub started_at: Instant,
    /// The same, since 1970.
    pub started_unix: Duration,
    /// When its head was complete.
    pub head_at: Option<Instant>,
    /// When its head went to a target.
    pub leased_at: Option<Instant>,
    /// When the head of the target's final response had come.
    pub answered_at: Option<Instant>,
    /// When it was over.
    pub ended_at: Instant,
    /// What it went by; `None` when its head never came.
    pub terms: Option<Rc<Terms>>,
    /// What the client was told; 460 when it had gone, 0 when nothing could be told.
    pub status: u16,
    /// What the target said.
    pub target_status: Option<u16>,
    /// Bytes received from the client, with the head.
    pub client_bytes: u64,
    /// Bytes sent to the client, with the head.
    pub sent_bytes: u64,
    /// Why it did not go well.
    pub why: Option<Why>,
    /// What is to be known of its framing (requirement P5).
    pub finding: Finding,
    /// Priority of the rule that decided; `None` is the default action.
    pub rule: Option<u16>,
    /// What was done with it.
    pub action: Taken,
    /// Index of the group that it was forwarded to, in the terms' snapshot.
    pub group: Option<usize>,
    /// The targets that it was sent to; the last one answered.
    pub targets: Vec<SocketAddr>,
    /// Targets that did not accept a connection for it, in order.
    pub missed: Vec<SocketAddr>,
    /// How its rewrite went, in ALB's word; empty without one.
    pub transform_status: &'static str,
    /// It became something else than HTTP (requirement P3).
    pub upgraded: bool,
}

/// What was done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Nothing: it was refused before a rule was looked for.
    Nothing,
    /// Forwarded to a target group.
    Forward,
    /// Redirected.
    Redirect,
    /// Answered with a fixed response.
    FixedResponse,
}

impl Record {
    pub(super) fn new(now: Instant) -> Self {
        Record {
            number: 0,
            started_at: now,
            started_unix: Duration::ZERO,
            head_at: None,
            leased_at: None,
            answered_at: None,
            ended_at: now,
            terms: None,
            status: 0,
            target_status: None,
            client_bytes: 0,
            sent_bytes: 0,
            why: None,
            finding: Finding::default(),
            rule: None,
            action: Taken::Nothing,
            group: None,
            targets: Vec::new(),
            missed: Vec::new(),
            transform_status: "",
            upgraded: false,
        }
    }

    /// Becomes that of a new request; keeps its memory.
    pub(super) fn restart(&mut self, number: u32, now: Instant, unix: Duration) {
        let mut targets = std::mem::take(&mut self.targets);
        targets.clear();
        let mut missed = std::mem::take(&mut self.missed);
        missed.clear();
        *self = Record { number, started_unix: unix, targets, missed, ..Record::new(now) };
    }
}
