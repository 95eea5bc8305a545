//! What a shard says about the next connection or request of a client: who would get it, and why nobody else.
//!
//!     control --Question--> run: Order::Explain --> group/explain.rs: a peek, no pick --> Answer --> control
//!
//! Plain copies, as in report.rs. A look changes nothing: no turn is taken, nothing is counted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::accept::RefuseReason;
use crate::health::{Failure, Reason, State};
use crate::l7::Tag;

/// What is asked of a shard.
#[derive(Debug, Clone)]
pub struct Question {
    /// Where the client connects.
    pub listener: Arc<str>,
    /// Who it is.
    pub client: IpAddr,
    /// Groups that it may come to, each with the target that the client's session names.
    pub groups: Vec<(Arc<str>, Option<Tag>)>,
}

/// What a shard says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Revision of the snapshot that it runs on.
    pub revision: u64,
    /// Whether it would take the connection.
    pub admits: Admits,
    /// The groups that were asked about and that it has, in the order of the question.
    pub groups: Vec<GroupAnswer>,
}

/// Whether a shard takes new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    /// It does.
    Yes,
    /// It has no socket for the listener.
    NotListening,
    /// It stopped accepting, and finishes what runs.
    Draining,
    /// It holds as many connections as it may (requirement K5).
    Full,
}

impl Admits {
    /// Why it does not, as the API writes it; `None`: it does.
    #[must_use]
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Admits::Yes => None,
            Admits::NotListening => Some("not_listening"),
            Admits::Draining => Some("draining"),
            Admits::Full => Some(RefuseReason::Overload.as_str()),
        }
    }
}

/// What a shard says about a group.
#[derive(Debug, Clone)]
pub struct GroupAnswer {
    /// Its name.
    pub name: Arc<str>,
    /// No target is healthy and traffic goes to all of them (requirement B5).
    pub failing_open: bool,
    /// Who would get it.
    pub next: Next,
    /// Its targets, in the order of the snapshot.
    pub targets: Vec<TargetAnswer>,
    /// Targets that were unbound while connections or requests ran there, and how many still do.
    pub unbound: Vec<(SocketAddr, u32)>,
}

/// Whom a group would choose: an index into its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The client's session is with it.
    BySession(usize),
    /// It is its turn.
    ByTurn(usize),
    /// Only targets with the client's own address are left (requirement B4).
    Own,
    /// Nobody may be chosen.
    Nobody,
}

/// What a shard says about a target.
#[derive(Debug, Clone)]
pub struct TargetAnswer {
    /// Where it answers.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u8,
    /// How this shard sees it.
    pub state: State,
    /// Why.
    pub reason: Option<Reason>,
    /// How the last check failed, if it did.
    pub failure: Option<Failure>,
    /// Connections open now; of an http group requests in flight.
    pub active: u32,
    /// Whether it is the next one, and why not.
    pub standing: Standing,
}

/// Whether a target is the next one, and why not. Where several reasons hold, the first of these is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = explain::Standing)]
pub enum Standing {
    /// It is.
    Next,
    /// Its weight is 0: it takes nothing new (requirement W2).
    WeightZero,
    /// It has the client's own address (requirement B4).
    Loopback,
    /// Its health keeps it out (requirement H3).
    NotHealthy,
    /// It is in another zone, and the balancer's own zone has a healthy target (requirement B3).
    OtherZone,
    /// It might be, but the client's session is with another one.
    SessionElsewhere,
    /// It might be, but it is another one's turn.
    NotItsTurn,
    /// It is no longer in the group; what runs there may end (requirement W3).
    Unbound,
}
