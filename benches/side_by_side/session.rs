//! A run: every scenario's peers take turns in rounds, and each turn is kept.
//!
//!     contenders --start--> peers, all alive --> warm-up --> rounds: each loaded in turn --> turns --> comparison
//!
//! The order rotates from round to round, so that nobody is always first after somebody else. A turn that fails is named and
//! left out; the run goes on, as it is long, and ends with an error.

use std::time::Duration;

use serde::Serialize;

use crate::comparison::{Comparison, compare};
use crate::ending::{Result, go_on, interrupted};
use crate::load::{Generator, Load};
use crate::measured::{Measured, Turn};
use crate::peers::{Contender, Ground, Kind, Peer};
use crate::scenarios::{Case, Scenario, Work, half_load, idle, reload, steady};
use crate::table;

/// How much of everything.
pub struct Extent {
    pub rounds: u32,
    /// Of a turn.
    pub length: Duration,
    /// Beginnings of the names of cases; none: all of them.
    pub cases: Vec<String>,
}

/// What a run works with, and what it has seen so far.
pub struct Session {
    pub extent: Extent,
    pub ground: Ground,
    pub generator: Generator,
    pub contenders: Vec<Contender>,
    pub turns: Vec<Turn>,
    pub comparisons: Vec<Comparison>,
    pub absent: Vec<Absent>,
    pub failures: Vec<String>,
}

/// Somebody who is not in a scenario's tables.
#[derive(Serialize)]
pub struct Absent {
    scenario: &'static str,
    peer: Kind,
    why: &'static str,
}

impl Session {
    /// All cases of a scenario; prints each table when it is there.
    pub fn measure(&mut self, scenario: &'static Scenario) -> Result<()> {
        let cases: Vec<_> = scenario.cases.iter().filter(|case| self.extent.covers(case)).collect();
        if cases.is_empty() {
            return Ok(());
        }
        println!("\n{}: {}", scenario.name, scenario.title);
        if scenario.needs_open_loop() && !self.generator.has_open_loop() {
            println!("skipped: {} has no open loop", self.generator.version);
            return Ok(());
        }
        if let Some(why) = cases.iter().find_map(|case| self.generator.why_not(case.load.ask)) {
            println!("skipped: {} {why}", self.generator.version);
            return Ok(());
        }
        let taking_part = self.taking_part(scenario);
        if taking_part.is_empty() {
            return Ok(());
        }
        if scenario.work == Work::Idle {
            return cases.iter().try_for_each(|case| self.idle(scenario, case, &taking_part));
        }
        let peers = self.start(scenario, &taking_part)?;
        if peers.is_empty() {
            return Ok(());
        }
        cases.iter().try_for_each(|case| self.case(scenario, case, &peers))
    }

    /// Indices of contenders; who cannot is named, with the reason.
    fn taking_part(&mut self, scenario: &'static Scenario) -> Vec<usize> {
        let mut taking_part = Vec::new();
        for (index, contender) in self.contenders.iter().enumerate() {
            let Some(why) = scenario.why_absent(contender.kind) else {
                taking_part.push(index);
                continue;
            };
            println!("{:8} skipped: {why}", contender.kind.name());
            self.absent.push(Absent { scenario: scenario.name, peer: contender.kind, why });
        }
        taking_part
    }

    fn start(&mut self, scenario: &Scenario, taking_part: &[usize]) -> Result<Vec<Peer>> {
        let mut peers = Vec::new();
        for &index in taking_part {
            match self.contenders[index].start(&self.ground, scenario.duty) {
                Ok(peer) => peers.push(peer),
                Err(error) => self.fail(format!("{}: {error}", scenario.name))?,
            }
        }
        Ok(peers)
    }

    fn case(&mut self, scenario: &'static Scenario, case: &Case, peers: &[Peer]) -> Result<()> {
        for peer in peers {
            // In a closed loop, whatever the case asks for: it is for caches and pools.
            let warm_up = Load { rate: None, ..case.load };
            if let Err(error) = self.generator.drive(peer.port, &warm_up, WARM_UP) {
                self.fail(format!("{}, {}: {}: warm-up: {error}", scenario.name, case.name, peer.kind.name()))?;
            }
        }
        let (mut load, mut name) = (case.load, case.name.to_owned());
        if scenario.work == Work::HalfLoad {
            let rate = match half_load::rate(peers, &self.generator, &load, self.extent.length) {
                Ok(rate) => rate,
                Err(error) => return self.fail(format!("{}, {name}: no rate for it: {error}", scenario.name)),
            };
            load.rate = Some(f64::from(rate));
            name = format!("{name}, {} requests/s", table::grouped(rate.into()));
        }
        let length = self.extent.length;
        let turn = match scenario.work {
            Work::Reload => reload::turn,
            _ => steady::turn,
        };
        self.rounds(scenario, &name, self.extent.rounds, peers.len(), |session, index| {
            let peer = &peers[index];
            (peer.kind, turn(peer, &session.generator, &load, scenario.unit, length))
        })
    }

    /// Memory hardly differs from round to round: fewer of them.
    fn idle(&mut self, scenario: &'static Scenario, case: &Case, taking_part: &[usize]) -> Result<()> {
        let rounds = self.extent.rounds.min(IDLE_ROUNDS_MAX);
        self.rounds(scenario, case.name, rounds, taking_part.len(), |session, index| {
            let contender = &session.contenders[taking_part[index]];
            (contender.kind, idle::turn(contender, &session.ground, scenario.duty, &case.load, session.extent.length))
        })
    }

    fn rounds(
        &mut self,
        scenario: &'static Scenario,
        case: &str,
        rounds: u32,
        players: usize,
        take: impl Fn(&Self, usize) -> (Kind, Result<Measured>),
    ) -> Result<()> {
        let first = self.turns.len();
        for round in 0..rounds {
            for place in 0..players {
                let (peer, measured) = take(self, (round as usize + place) % players);
                match measured {
                    Ok(measured) => {
                        self.turns.push(Turn { scenario: scenario.name, case: case.to_owned(), round, peer, measured });
                    }
                    Err(error) => {
                        let name = peer.name();
                        self.fail(format!("{}, {case}: {name}: round {}: {error}", scenario.name, round + 1))?;
                    }
                }
            }
        }
        let comparison = compare(scenario, case, &self.turns[first..]);
        print!("{}", table::render(scenario, &comparison));
        self.comparisons.push(comparison);
        Ok(())
    }

    /// Goes on without it, unless it is the end of the run that made it fail.
    fn fail(&mut self, failure: String) -> Result<()> {
        if interrupted() {
            return go_on();
        }
        println!("failed: {failure}");
        self.failures.push(failure);
        Ok(())
    }
}

impl Extent {
    fn covers(&self, case: &Case) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|beginning| case.name.starts_with(beginning.as_str()))
    }
}

/// Fills caches, pools and the branch predictor; not counted.
const WARM_UP: Duration = Duration::from_secs(1);
const IDLE_ROUNDS_MAX: u32 = 3;
