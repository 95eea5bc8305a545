//! Who gets the next connection: the only place that chooses a target.
//!
//! ```text
//! weights, health --> refresh --> eligible targets --> round_robin       --+
//!                     (rare)      (weight > 0,         least_connections --+--> pick --> index of a target
//!                                  healthy)                 ^
//!                                                     turns: the arithmetic of both
//! ```
//!
//! One `Balancer` a target group and shard; shards share nothing, so each keeps the shares exact for itself. Pure: load and
//! the targets that a connection must not use are arguments, and a pick allocates nothing.
//!
//! `refresh` comes with every reload and every change of health. An unchanged list leaves the rotation where it is; a
//! changed one keeps what each place in the list is owed (targets that move up inherit at most a turn). Starting over instead would favour the first and the heaviest:
//! in a group of 1,000 targets, of which one or another is always flapping, the last ones would never see a connection.
//!
//! Always: a target of weight 0 is never picked (requirement W2); an unhealthy one only while no target is healthy and
//! the group fails open (B5); `pick` gives `None` only when no eligible target is usable.
#![forbid(unsafe_code)]

mod least_connections;
mod round_robin;
#[cfg(test)]
mod tests;
mod turns;

use crate::config::Algorithm;
use least_connections::LeastConnections;
use round_robin::RoundRobin;

/// Picks targets for one target group on one shard.
#[derive(Debug, Clone)]
pub struct Balancer {
    algorithm: Algorithm,
    picker: Picker,
    /// What the rotation runs on, by index; tells a refresh that changes nothing.
    eligible: Vec<Eligible>,
    /// Which target is first among equals, before the first pick.
    first: usize,
    failing_open: bool,
}

/// What `refresh` must know of a target. Its index in the list is what `pick` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// 0 takes nothing new.
    pub weight: u8,
    /// What the health checks say.
    pub healthy: bool,
}

/// What a group does with no healthy target (requirement B5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenNoneHealthy {
    /// Fail open: every target with a weight is eligible.
    SendToAll,
    /// Nobody is.
    Refuse,
}

/// A target that may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Eligible {
    target: usize,
    weight: u8,
}

#[derive(Debug, Clone)]
enum Picker {
    RoundRobin(RoundRobin),
    LeastConnections(LeastConnections),
}

impl Balancer {
    /// An empty balancer: `pick` gives `None` until the first `refresh`.
    ///
    /// Among targets of equal weight the rotation begins at index `first`, modulo their number. Give the shard's number, or
    /// the first connections of all shards meet on one target.
    #[must_use]
    pub fn new(algorithm: Algorithm, first: usize) -> Self {
        let picker = match algorithm {
            Algorithm::WeightedRoundRobin => Picker::RoundRobin(RoundRobin::default()),
            Algorithm::LeastConnections | Algorithm::LeastOutstandingRequests => {
                Picker::LeastConnections(LeastConnections::default())
            }
        };
        Self { algorithm, picker, eligible: Vec::new(), first, failing_open: false }
    }

    /// What it was made for; a group whose algorithm changes gets a new balancer.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Takes over the target list, the weights and the health. Call it when any of them may have changed; a call that changes
    /// nothing costs a comparison.
    pub fn refresh(&mut self, candidates: &[Candidate], when_none_healthy: WhenNoneHealthy) {
        let weighted = || candidates.iter().enumerate().filter(|(_, candidate)| candidate.weight > 0);
        let none_healthy = !weighted().any(|(_, candidate)| candidate.healthy);
        self.failing_open =
            none_healthy && when_none_healthy == WhenNoneHealthy::SendToAll && weighted().next().is_some();

        let failing_open = self.failing_open;
        let eligible = weighted()
            .filter(|(_, candidate)| candidate.healthy || failing_open)
            .map(|(target, candidate)| Eligible { target, weight: candidate.weight });
        if eligible.clone().eq(self.eligible.iter().copied()) {
            return;
        }
        self.eligible = eligible.collect();

        let in_order = in_tie_order(&self.eligible, candidates.len(), self.first);
        match &mut self.picker {
            Picker::RoundRobin(picker) => picker.refresh(&in_order),
            Picker::LeastConnections(picker) => picker.refresh(&in_order),
        }
    }

    /// Index of the target for the next connection.
    ///
    /// `load` is the number of connections that a target has from this shard; only `least_connections` asks. `usable` leaves
    /// out what this connection must not use: targets that it tried already (requirement B6) and its client's own address
    /// (B4). A target that is left out keeps its turn.
    pub fn pick(&mut self, load: impl Fn(usize) -> u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
        match &mut self.picker {
            Picker::RoundRobin(picker) => picker.pick(usable),
            Picker::LeastConnections(picker) => picker.pick(load, usable),
        }
    }

    /// What `pick` would answer now. The rotation stays where it is: whoever only looks takes nobody's turn.
    #[must_use]
    pub fn peek(&self, load: impl Fn(usize) -> u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
        match &self.picker {
            Picker::RoundRobin(picker) => picker.peek(usable),
            Picker::LeastConnections(picker) => picker.peek(load, usable),
        }
    }

    /// Indices of the targets that may be picked at all.
    pub fn eligible(&self) -> impl Iterator<Item = usize> {
        self.eligible.iter().map(|entry| entry.target)
    }

    /// How many targets may be picked at all.
    #[must_use]
    pub fn eligible_count(&self) -> usize {
        self.eligible.len()
    }

    /// Whether unhealthy targets are eligible because none is healthy.
    #[must_use]
    pub fn is_failing_open(&self) -> bool {
        self.failing_open
    }
}

/// Who goes first when two turns end at once: the heavier, then by index from `first` on.
fn in_tie_order(eligible: &[Eligible], target_count: usize, first: usize) -> Vec<Eligible> {
    let mut in_order = eligible.to_vec();
    let from_first = |target: usize| (target + target_count - first % target_count) % target_count;
    in_order.sort_by_key(|entry| (std::cmp::Reverse(entry.weight), from_first(entry.target)));
    in_order
}
