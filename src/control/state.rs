//! What control knows of itself: the snapshot in effect, how it came, and whether it starts, serves or drains.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing_appender::non_blocking::ErrorCounter;

use super::admin::Bounds;
use super::change::Ledger;
use super::explain::Pace;
use super::host;
use super::reports::Reporter;
use super::run::Source;
use super::shards::{Life, Shards};
use super::store::REVISIONS_KEPT;
use super::webhook::Queues;
use crate::access_log::Writer;
use crate::config::Snapshot;

/// Who a revision of a start is from.
pub(super) const START: &str = "start";

/// Shared by the control loop and the admin endpoint's requests.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) given: Given,
    pub(super) shards: Shards,
    pub(super) reporter: Reporter,
    /// Whoever holds it is the only one who changes anything.
    pub(super) ledger: tokio::sync::Mutex<Ledger>,
    pub(super) explaining: Pace,
    pub(super) webhooks: Queues,
    pub(super) bounds: Bounds,
    state: Mutex<State>,
}

/// What the process found at its start.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) started_at: SystemTime,
    /// Read again at each reload.
    pub(super) source: Source,
    /// The limit, already raised as far as it goes.
    pub(super) descriptors_max: u64,
    pub(super) log_lines_dropped: Option<ErrorCounter>,
    pub(super) access_log: Arc<Writer>,
}

/// What changes as it runs.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) snapshot: Arc<Snapshot>,
    /// The oldest first; as many as the store keeps, also where there is none.
    pub(super) revisions: VecDeque<Revision>,
    pub(super) reloads: Reloads,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    Starting,
    Serving,
    Draining,
}

/// A change that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revision {
    pub(super) number: u64,
    pub(super) applied_at: SystemTime,
    /// `start`, `reload`, or the client of the API.
    pub(super) who: String,
    /// What it changed, a line each.
    pub(super) what: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reloads {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    /// The start counts too.
    pub(super) last_success: Option<SystemTime>,
}

impl Reloads {
    pub(super) fn count(&mut self, succeeded: bool) {
        if succeeded {
            self.succeeded += 1;
        } else {
            self.failed += 1;
        }
    }
}

impl Control {
    /// `empty` is what shards run on until the first snapshot; its revision is the last one that was kept.
    pub(super) fn new(shards: Shards, empty: Arc<Snapshot>, ledger: Ledger, given: Given) -> Arc<Self> {
        let revisions = ledger.revisions();
        let state = State { phase: Phase::Starting, snapshot: empty, revisions, reloads: Reloads::default() };
        let (reporter, explaining) = (Reporter::new(&shards), Pace::default());
        let (ledger, webhooks) = (tokio::sync::Mutex::new(ledger), Queues::default());
        let bounds = Bounds::default();
        Arc::new(Control { given, reporter, explaining, bounds, webhooks, shards, ledger, state: Mutex::new(state) })
    }

    /// The state, for a moment: never held across an await. It is whole at any time, so a panic elsewhere spoils nothing.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log_lines_dropped(&self) -> u64 {
        self.given.log_lines_dropped.as_ref().map_or(0, |counter| counter.dropped_lines() as u64)
    }

    /// How many connections each shard may hold under `snapshot`.
    pub(super) fn connections_max(&self, snapshot: &Snapshot) -> usize {
        host::connections_max(self.given.descriptors_max, self.shards.len(), snapshot)
    }

    /// Why new connections should go elsewhere; empty when ready.
    pub(super) fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        match self.state().phase {
            Phase::Starting => {
                reasons.push("starting: the first snapshot is not in effect on every shard yet".to_owned());
            }
            Phase::Serving => {}
            Phase::Draining => reasons.push("draining: weir was asked to stop".to_owned()),
        }
        for shard in &self.shards {
            let pulse = shard.pulse();
            match pulse.life {
                Life::Answering => {}
                Life::Stuck => reasons.push(format!(
                    "shard {} on core {} is stuck: no answer for {} s",
                    shard.id,
                    shard.core,
                    pulse.answered_at.elapsed().as_secs()
                )),
                Life::Ended => reasons.push(format!("shard {} on core {} has ended", shard.id, shard.core)),
            }
        }
        reasons
    }
}

#[cfg(test)]
impl Given {
    pub(super) fn for_test() -> Self {
        let access_log = Arc::new(Writer::start(1).unwrap());
        let (started_at, source) = (SystemTime::now(), Source::Demo { text: "", state_dir: std::path::PathBuf::new() });
        Given { started_at, source, descriptors_max: 1024, log_lines_dropped: None, access_log }
    }
}

impl State {
    /// `snapshot` is in effect. As in the store: the last so many revisions, and of starts one after the other the last.
    pub(super) fn took_effect(&mut self, snapshot: &Arc<Snapshot>, revision: Revision) {
        self.snapshot = Arc::clone(snapshot);
        // A process that was killed before it let go of the oldest leaves one more.
        while self.revisions.len() >= REVISIONS_KEPT {
            self.revisions.pop_front();
        }
        if revision.who == START && self.revisions.back().is_some_and(|last| last.who == START) {
            self.revisions.pop_back();
        }
        self.revisions.push_back(revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mode, parse};

    #[test]
    fn only_the_latest_revisions_are_kept() {
        let empty = Arc::new(parse("t", "", Mode::Run).unwrap());
        let control = Control::new(Vec::new(), Arc::clone(&empty), Ledger::of(&empty), Given::for_test());
        let mut state = control.state();
        for revision in 1..=250 {
            let snapshot = Arc::new(Snapshot { revision, ..Snapshot::clone(&empty) });
            let (who, applied_at) = ("reload".to_owned(), SystemTime::now());
            state.took_effect(&snapshot, Revision { number: revision, applied_at, who, what: Vec::new() });
        }
        assert_eq!(numbers(&state), (151..=250).collect::<Vec<_>>());
        assert_eq!(state.snapshot.revision, 250);
    }

    #[test]
    fn of_those_that_a_start_found_none_is_shown_that_the_store_lets_go_of() {
        let empty = Arc::new(parse("t", "", Mode::Run).unwrap());
        let control = Control::new(Vec::new(), Arc::clone(&empty), Ledger::of(&empty), Given::for_test());
        let mut state = control.state();
        let revision = |number, who: &str| Revision {
            number,
            applied_at: SystemTime::now(),
            who: who.to_owned(),
            what: Vec::new(),
        };
        state.revisions = (1..=100).map(|number| revision(number, "somebody")).chain([revision(101, START)]).collect();
        state.took_effect(&empty, revision(102, START));
        assert_eq!(numbers(&state), (3..=100).chain([102]).collect::<Vec<_>>());
        state.took_effect(&empty, revision(103, "somebody"));
        assert_eq!(numbers(&state), (3..=100).chain([102, 103]).collect::<Vec<_>>());
    }

    fn numbers(state: &State) -> Vec<u64> {
        state.revisions.iter().map(|revision| revision.number).collect()
    }
}
