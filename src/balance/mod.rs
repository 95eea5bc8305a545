//! Who gets the next connection: the only place that chooses a target.
//!
//! ```text
//! weights, health --> refresh --> eligible targets --> round_robin       --+
//! zones               (rare)      (weight > 0,         least_connections --+--> pick --> index of a target
//!                        |         healthy, own zone)       ^              |
//!                        |                           turns: the arithmetic of both
//!                        `------> those of other zones, likewise ----------' where none of the own zone will do
//! ```
//!
//! One `Balancer` a target group and shard; shards share nothing, so each keeps the shares exact for itself. Pure: load and
//! the targets that a connection must not use are arguments, and a pick allocates nothing.
//!
//! `refresh` comes with every reload and every change of health. An unchanged list leaves the rotation where it is; a
//! changed one keeps what each place in the list is owed (targets that move up inherit at most a turn). Starting over instead would favour the first and the heaviest:
//! in a group of 1,000 targets, of which one or another is always flapping, the last ones would never see a connection.
//!
//! Zones are two rotations (requirement B3): while a target of the own zone is healthy, those of other zones stand by for the
//! connections that may use none of the own zone's: all were tried in vain (B6), or are the client itself (B4). Else all are in
//! the first one, so a group that does not mind zones never sees the second.
//!
//! Always: a target of weight 0 is never picked (requirement W2); an unhealthy one only while no target is healthy and
//! the group fails open (B5); one of another zone, while one of the own zone is healthy, only by a connection that can use
//! none of those (B3); `pick` gives `None` only when no eligible target is usable.
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
    /// Those that take connections.
    first_choice: Rotation,
    /// Those that stand by: of other zones, while a target of the own zone is healthy.
    standby: Rotation,
    /// Which target is first among equals, before the first pick.
    first: usize,
    failing_open: bool,
    leaving_zone: bool,
}

/// What `refresh` must know of a target. Its index in the list is what `pick` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// 0 takes nothing new.
    pub weight: u8,
    /// What the health checks say.
    pub healthy: bool,
    /// Where it is.
    pub zone: Zone,
}

/// Where a target is (requirement B3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// In the balancer's own zone; or its group does not mind zones, then every target is here.
    Own,
    /// Elsewhere, or nobody knows where.
    Other,
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

/// Targets that take turns.
#[derive(Debug, Clone)]
struct Rotation {
    picker: Picker,
    /// What it runs on, by index; tells a refresh that changes nothing.
    eligible: Vec<Eligible>,
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
        let (first_choice, standby) = (Rotation::new(algorithm), Rotation::new(algorithm));
        Self { algorithm, first_choice, standby, first, failing_open: false, leaving_zone: false }
    }

    /// What it was made for; a group whose algorithm changes gets a new balancer.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Takes over the target list, the weights, the zones and the health. Call it when any of them may have changed; a call
    /// that changes nothing costs a comparison.
    pub fn refresh(&mut self, candidates: &[Candidate], when_none_healthy: WhenNoneHealthy) {
        let weighted = || candidates.iter().enumerate().filter(|(_, candidate)| candidate.weight > 0);
        let none_healthy = !weighted().any(|(_, candidate)| candidate.healthy);
        let failing_open =
            none_healthy && when_none_healthy == WhenNoneHealthy::SendToAll && weighted().next().is_some();

        let eligible = || weighted().filter(|(_, candidate)| candidate.healthy || failing_open);
        let own = || eligible().filter(|(_, candidate)| candidate.zone == Zone::Own);
        let own_zone_serves = own().any(|(_, candidate)| candidate.healthy);
        let is_first_choice = |candidate: &Candidate| !own_zone_serves || candidate.zone == Zone::Own;
        self.failing_open = failing_open;
        self.leaving_zone = !own_zone_serves && eligible().any(|(_, candidate)| candidate.zone == Zone::Other);

        let entry = |(target, candidate): (usize, &Candidate)| Eligible { target, weight: candidate.weight };
        let first_choice = eligible().filter(|(_, candidate)| is_first_choice(candidate)).map(entry);
        let standby = eligible().filter(|(_, candidate)| !is_first_choice(candidate)).map(entry);
        self.first_choice.refresh(first_choice, candidates.len(), self.first);
        self.standby.refresh(standby, candidates.len(), self.first);
    }

    /// Index of the target for the next connection.
    ///
    /// `load` is the number of connections that a target has from this shard; only `least_connections` asks. `usable` leaves
    /// out what this connection must not use: targets that it tried already (requirement B6) and its client's own address
    /// (B4). A target that is left out keeps its turn.
    pub fn pick(&mut self, load: impl Fn(usize) -> u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
        self.first_choice.pick(&load, &usable).or_else(|| self.standby.pick(&load, &usable))
    }

    /// What `pick` would answer now. The rotation stays where it is: whoever only looks takes nobody's turn.
    #[must_use]
    pub fn peek(&self, load: impl Fn(usize) -> u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
        self.first_choice.peek(&load, &usable).or_else(|| self.standby.peek(&load, &usable))
    }

    /// Indices of the targets that may be picked at all; those that stand by come last.
    pub fn eligible(&self) -> impl Iterator<Item = usize> {
        self.first_choice.eligible.iter().chain(&self.standby.eligible).map(|entry| entry.target)
    }

    /// How many targets may be picked at all.
    #[must_use]
    pub fn eligible_count(&self) -> usize {
        self.first_choice.eligible.len() + self.standby.eligible.len()
    }

    /// Whether a target could take connections, but is of another zone and has to wait until none of the own zone can.
    #[must_use]
    pub fn stands_by(&self, target: usize) -> bool {
        self.standby.eligible.binary_search_by_key(&target, |entry| entry.target).is_ok()
    }

    /// Whether unhealthy targets are eligible because none is healthy.
    #[must_use]
    pub fn is_failing_open(&self) -> bool {
        self.failing_open
    }

    /// Whether targets of other zones take connections because none of the own zone is healthy.
    #[must_use]
    pub fn is_leaving_zone(&self) -> bool {
        self.leaving_zone
    }
}

impl Rotation {
    fn new(algorithm: Algorithm) -> Self {
        let picker = match algorithm {
            Algorithm::WeightedRoundRobin => Picker::RoundRobin(RoundRobin::default()),
            Algorithm::LeastConnections | Algorithm::LeastOutstandingRequests => {
                Picker::LeastConnections(LeastConnections::default())
            }
        };
        Rotation { picker, eligible: Vec::new() }
    }

    /// Takes over who is in it, by index.
    fn refresh(&mut self, eligible: impl Iterator<Item = Eligible> + Clone, target_count: usize, first: usize) {
        if eligible.clone().eq(self.eligible.iter().copied()) {
            return;
        }
        self.eligible.clear();
        self.eligible.extend(eligible);
        let in_order = in_tie_order(&self.eligible, target_count, first);
        match &mut self.picker {
            Picker::RoundRobin(picker) => picker.refresh(&in_order),
            Picker::LeastConnections(picker) => picker.refresh(&in_order),
        }
    }

    fn pick(&mut self, load: impl Fn(usize) -> u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
        match &mut self.picker {
            Picker::RoundRobin(picker) => picker.pick(usable),
            Picker::LeastConnections(picker) => picker.pick(load, usable),
        }
    }

    fn peek(&self, load: impl Fn(usize) -> u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
        match &self.picker {
            Picker::RoundRobin(picker) => picker.peek(usable),
            Picker::LeastConnections(picker) => picker.peek(load, usable),
        }
    }
}

/// Who goes first when two turns end at once: the heavier, then by index from `first` on.
fn in_tie_order(eligible: &[Eligible], target_count: usize, first: usize) -> Vec<Eligible> {
    let mut in_order = eligible.to_vec();
    let from_first = |target: usize| (target + target_count - first % target_count) % target_count;
    in_order.sort_by_key(|entry| (std::cmp::Reverse(entry.weight), from_first(entry.target)));
    in_order
}
