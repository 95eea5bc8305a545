//! The shards as control sees them: start, orders, and whether they answer.
//!
//! ```text
//!   ping each second --answer--> Answering
//!                    `--none for 3 s--> Stuck --answer--> Answering
//!                    `--mailbox gone--> Ended
//! ```
//!
//! A stuck shard is not sent further pings or reports until it answered the one that it owes, so its mailbox stays short.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::bind::Sockets;
use super::error::StartError;
use crate::access_log::Writer;
use crate::config::Snapshot;
use crate::shard::{self, Answer, Apply, Mailbox, Order, Question, Setup};

/// From an answer to the next ping.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// A shard that has not answered for so long is stuck.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(3);
/// A shard that does not take orders for so long after its start has failed.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long the shards have to confirm a snapshot.
const APPLY_LIMIT: Duration = Duration::from_secs(5);
/// What a drain may take beyond its deadline before control goes on without the answer.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// One shard.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) id: usize,
    pub(super) core: usize,
    mailbox: Mailbox,
    pulse: Mutex<Pulse>,
}

/// Whether a shard answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    pub(super) life: Life,
    pub(super) answered_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ShardState)]
pub(super) enum Life {
    Answering,
    Stuck,
    Ended,
}

/// All shards, by id.
pub(super) type Shards = Vec<Arc<Handle>>;

/// Starts a shard on each of `cores` and waits until all take orders.
pub(super) async fn start(cores: &[usize], empty: &Arc<Snapshot>, access_log: &Writer) -> Result<Shards, StartError> {
    let mut starting = Vec::with_capacity(cores.len());
    for (id, &core) in cores.iter().enumerate() {
        let setup = Setup { id, shards: cores.len(), core };
        let started = shard::start(setup, Arc::clone(empty), access_log.sink(id))
            .map_err(|error| failed_to_start(id, core, &error))?;
        starting.push((setup, started));
    }
    let deadline = Instant::now() + START_LIMIT;
    let mut shards = Vec::with_capacity(cores.len());
    for (Setup { id, core, .. }, started) in starting {
        match timeout_at(deadline, started.ready).await {
            Ok(Ok(Ok(()))) => shards.push(Arc::new(Handle::new(id, core, started.mailbox))),
            Ok(Ok(Err(error))) => return Err(failed_to_start(id, core, &error)),
            Ok(Err(_)) => return Err(failed_to_start(id, core, &io::Error::other("its thread ended"))),
            Err(_) => return Err(failed_to_start(id, core, &io::Error::other("it does not answer"))),
        }
    }
    Ok(shards)
}

fn failed_to_start(shard: usize, core: usize, error: &io::Error) -> StartError {
    StartError::Shard(format!("shard {shard} on core {core}: {error}; weir doctor looks at what it needs"))
}

/// Hands the snapshot to every shard, each of which may hold `connections_max` connections under it. Gives back who has not confirmed it in time: they take it when they come round.
pub(super) async fn apply(
    shards: &Shards,
    snapshot: &Arc<Snapshot>,
    connections_max: usize,
    sockets: Vec<Sockets>,
) -> Vec<usize> {
    let mut waiting = Vec::with_capacity(shards.len());
    for (shard, sockets) in shards.iter().zip(sockets) {
        let (done, is_done) = oneshot::channel();
        shard.mailbox.send(Order::Apply(Apply { snapshot: Arc::clone(snapshot), connections_max, sockets, done }));
        waiting.push((shard.id, is_done));
    }
    let deadline = Instant::now() + APPLY_LIMIT;
    let mut missing = Vec::new();
    for (id, is_done) in waiting {
        if !matches!(timeout_at(deadline, is_done).await, Ok(Ok(()))) {
            missing.push(id);
        }
    }
    missing
}

/// Lets every shard finish what runs, for `limit` at most. Gives back how many connections had to be reset.
pub(super) async fn drain(shards: &Shards, limit: Duration) -> usize {
    let mut waiting = Vec::with_capacity(shards.len());
    for shard in shards {
        let (answer, answered) = oneshot::channel();
        shard.mailbox.send(Order::Drain(limit, answer));
        waiting.push((shard.id, answered));
    }
    let deadline = Instant::now() + limit + DRAIN_MARGIN;
    let mut reset = 0;
    for (id, answered) in waiting {
        match timeout_at(deadline, answered).await {
            Ok(Ok(left)) => reset += left,
            Ok(Err(_)) | Err(_) => {
                tracing::error!(shard = id, "does not answer; its connections are closed as they are");
            }
        }
    }
    reset
}

/// Ends the threads. The process does not wait for them.
pub(super) fn end(shards: &Shards) {
    for shard in shards {
        shard.mailbox.send(Order::End);
    }
}

/// Watches every shard until the set is dropped.
pub(super) fn watch(shards: &Shards) -> JoinSet<()> {
    shards.iter().map(|shard| watch_one(Arc::clone(shard))).collect()
}

async fn watch_one(shard: Arc<Handle>) {
    loop {
        let (answer, mut answered) = oneshot::channel();
        shard.mailbox.send(Order::Ping(answer));
        let result = if let Ok(result) = timeout(STUCK_AFTER, &mut answered).await {
            result
        } else {
            shard.set(Life::Stuck);
            shard.log_stuck();
            answered.await
        };
        if result.is_err() {
            shard.set(Life::Ended);
            tracing::error!(shard = shard.id, core = shard.core, "its thread ended; restart weir");
            return;
        }
        if shard.answered() == Life::Stuck {
            tracing::info!(shard = shard.id, "answers again");
        }
        sleep(PING_INTERVAL).await;
    }
}

impl Handle {
    pub(super) fn new(id: usize, core: usize, mailbox: Mailbox) -> Self {
        let pulse = Pulse { life: Life::Answering, answered_at: Instant::now() };
        Handle { id, core, mailbox, pulse: Mutex::new(pulse) }
    }

    pub(super) fn pulse(&self) -> Pulse {
        *self.locked()
    }

    fn log_stuck(&self) {
        let Handle { id, core, .. } = self;
        let seconds = STUCK_AFTER.as_secs();
        tracing::error!(
            shard = id,
            core,
            "stuck: no answer for {seconds} s; its connections stand still; see what it does: perf top -C {core}"
        );
    }

    /// Asks for a report; the answer may never come.
    pub(super) fn ask(&self) -> oneshot::Receiver<Box<shard::ShardReport>> {
        let (answer, answered) = oneshot::channel();
        self.mailbox.send(Order::Report(answer));
        answered
    }

    /// Asks who is next; the answer may never come.
    pub(super) fn explain(&self, question: Question) -> oneshot::Receiver<Box<Answer>> {
        let (answer, answered) = oneshot::channel();
        self.mailbox.send(Order::Explain(Box::new(question), answer));
        answered
    }

    /// Notes an answer and gives back what it was taken for until now.
    fn answered(&self) -> Life {
        let before =
            std::mem::replace(&mut *self.locked(), Pulse { life: Life::Answering, answered_at: Instant::now() });
        before.life
    }

    fn set(&self, life: Life) {
        self.locked().life = life;
    }

    /// A `Pulse` is whole at any time, so a panic elsewhere spoils nothing.
    fn locked(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
