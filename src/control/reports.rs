//! Reports of all shards, for whoever asks: at most ten rounds a second however many ask, and at most one second a round.
//!
//! A shard that does not answer in time shows what it said last. Counters that are summed over shards would otherwise fall
//! and rise again, which every reader of counters takes for a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout_at};

use super::shards::{Handle, Life, Shards};
use crate::shard::ShardReport;

/// A round answers everyone who asks within so long after it: clients of the admin endpoint must not keep the shards busy.
const REUSE: Duration = Duration::from_millis(100);
/// How long a round waits for the shards.
const LIMIT: Duration = Duration::from_secs(1);

/// One report a shard, by id; none of a shard that never answered.
pub(super) type Reports = Arc<Vec<Arc<ShardReport>>>;

/// Gathers reports.
#[derive(Debug)]
pub(super) struct Reporter {
    /// Held for a whole round: whoever asks meanwhile gets its result.
    rounds: Mutex<Rounds>,
}

#[derive(Debug)]
struct Rounds {
    shards: Vec<Reporting>,
    last: Option<(Instant, Reports)>,
}

#[derive(Debug)]
struct Reporting {
    shard: Arc<Handle>,
    /// Asked for and not come yet. It stays here when a round gives up, so that a stuck shard owes one report, not many.
    owed: Option<oneshot::Receiver<Box<ShardReport>>>,
    last: Option<Arc<ShardReport>>,
}

impl Reporter {
    pub(super) fn new(shards: &Shards) -> Self {
        let shards =
            shards.iter().map(|shard| Reporting { shard: Arc::clone(shard), owed: None, last: None }).collect();
        Reporter { rounds: Mutex::new(Rounds { shards, last: None }) }
    }

    /// What every shard says now, or said last.
    pub(super) async fn gather(&self) -> Reports {
        self.gather_dated().await.1
    }

    /// As `gather`, and when it was said: whoever makes rates of counters must know to the millisecond.
    pub(super) async fn gather_dated(&self) -> (Instant, Reports) {
        let rounds = &mut *self.rounds.lock().await;
        if let Some((at, reports)) = &rounds.last
            && at.elapsed() < REUSE
        {
            return (*at, Arc::clone(reports));
        }
        rounds.shards.iter_mut().for_each(Reporting::ask);
        let deadline = Instant::now() + LIMIT;
        for shard in &mut rounds.shards {
            shard.wait(deadline).await;
        }
        let reports: Reports = Arc::new(rounds.shards.iter().filter_map(|shard| shard.last.clone()).collect());
        let now = Instant::now();
        rounds.last = Some((now, Arc::clone(&reports)));
        (now, reports)
    }
}

impl Reporting {
    fn ask(&mut self) {
        // One that came after its round gave up is old: it is thrown away.
        let still_owed = matches!(self.owed.as_mut().map(oneshot::Receiver::try_recv), Some(Err(TryRecvError::Empty)));
        if !still_owed {
            self.owed = Some(self.shard.ask());
        }
    }

    async fn wait(&mut self, deadline: Instant) {
        let Some(owed) = &mut self.owed else { return };
        // A shard that is known to be stuck is not waited for: only what it has answered by now counts.
        let deadline = if self.shard.pulse().life == Life::Answering { deadline } else { Instant::now() };
        let Ok(answer) = timeout_at(deadline, owed).await else { return };
        self.owed = None;
        if let Ok(report) = answer {
            self.last = Some(Arc::from(report));
        }
    }
}
