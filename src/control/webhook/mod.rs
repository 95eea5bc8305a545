//! Reports of targets that turn unhealthy, to the webhooks of their scaling groups (requirement G9).
//!
//! ```text
//!     reports of the shards, each second --turns--> Turn --> Report --> outbox, a queue a scaling group
//!     snapshot in effect --what is watched, who reports where--^           |  ^
//!                                                           one POST at a time, signed (send.rs)
//! ```
//!
//! One task of the control thread. What is reported and when it is sent is pure: `turns` and `outbox`. Shards are asked only while some
//! target is watched. A webhook that hangs costs its own queue time, and nothing else: requests are tasks of their own, and each
//! has an end.
//! Reports live in memory: those that a stop leaves undelivered are gone, and what is still unhealthy is reported anew by the next
//! start, once its checks have found out.
//! Always: a report is sent with the URL and the keys of the snapshot in effect.

mod outbox;
mod report;
mod send;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::outbox::{Attempt, Ended, Outbox, QueueFigures, Undelivered};
use self::report::Report;
use self::send::{Failed, Outcome};
use self::turns::{Turn, Watch};
use super::shards::Life;
use super::state::{Control, Phase};
use crate::config::Snapshot;
use crate::inventory::WebhookUrl;
use crate::metrics::WebhookCounts;
use crate::shard::ShardReport;

/// From one look at the shards to the next. Ours: no check comes more often by default, and a turn waits no longer than this.
const PERIOD: Duration = Duration::from_secs(1);

/// The queues as they stand, for whoever asks.
#[derive(Debug, Default)]
pub(super) struct Queues(Mutex<Vec<QueueFigures>>);

impl Queues {
    /// For `/metrics`.
    pub(super) fn counts(&self) -> Vec<WebhookCounts> {
        let queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = |queue: &QueueFigures| WebhookCounts {
            scaling_group: Arc::clone(&queue.scaling_group),
            reports: queue.counts.reports,
            delivered: queue.counts.delivered,
            failed: Failed::ALL.map(|why| (why.as_str(), queue.counts.failed[why as usize])).to_vec(),
            dropped: Undelivered::ALL.map(|why| (why.as_str(), queue.counts.dropped[why as usize])).to_vec(),
            waiting: queue.waiting,
        };
        queues.iter().map(counts).collect()
    }

    fn set(&self, queues: Vec<QueueFigures>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = queues;
    }
}

/// Says what a stop leaves undelivered.
pub(super) fn end(control: &Control) {
    let waiting: usize = control.webhooks.counts().iter().map(|queue| queue.waiting).sum();
    if waiting > 0 {
        tracing::warn!(
            reports = waiting,
            "not delivered to webhooks: weir stops; what is still unhealthy is reported by the next start"
        );
    }
}

/// Reports until the process ends.
pub(super) async fn run(control: Arc<Control>) {
    let mut courier = Courier::default();
    let mut tick = interval(PERIOD);
    // A look is about now: those that were missed are not made up for.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let wakes_at = courier.outbox.wakes_at();
        tokio::select! {
            _ = tick.tick() => courier.look(&control).await,
            Some(ended) = courier.sent.join_next() => courier.ended(ended),
            () = sleep_until(wakes_at.unwrap_or_else(Instant::now)), if wakes_at.is_some() => {}
        }
        // What was in effect at the last look may be of the past.
        courier.follow(&control.state().snapshot);
        courier.send();
        control.webhooks.set(courier.outbox.figures().collect());
    }
}

/// Watches, and delivers.
#[derive(Default)]
struct Courier {
    snapshot: Option<Arc<Snapshot>>,
    watch: Watch,
    outbox: Outbox,
    sent: JoinSet<(Attempt, Outcome)>,
}

impl Courier {
    /// Looks at the snapshot in effect and at what the shards say.
    async fn look(&mut self, control: &Control) {
        self.follow(&control.state().snapshot);
        // What a balancer sees that stops itself says little about targets.
        if self.watch.is_empty() || control.state().phase != Phase::Serving {
            return;
        }
        let reports = control.reporter.gather().await;
        // A shard that is stuck sees nothing any more: the others decide.
        let answering = control.shards.iter().filter(|shard| shard.pulse().life == Life::Answering);
        let said = |id| reports.iter().find(|report| report.shard == id).map(AsRef::as_ref);
        let said: Option<Vec<&ShardReport>> = answering.map(|shard| said(shard.id)).collect();
        let Some(said) = said else { return };
        for turn in self.watch.turns(&said) {
            self.report(&turn, &control.state().snapshot.balancer.name);
        }
    }

    fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        if self.snapshot.as_ref().is_some_and(|known| Arc::ptr_eq(known, snapshot)) {
            return;
        }
        warn_of_unsigned(self.snapshot.as_deref(), snapshot);
        self.watch.follow(snapshot);
        let dropped = self.outbox.follow(&webhooks(snapshot), Instant::now());
        self.snapshot = Some(Arc::clone(snapshot));
        say_dropped(dropped);
    }

    fn report(&mut self, turn: &Turn, balancer: &str) {
        let mut random = [0; 16];
        // Unpredictable ids are no matter, unique ones are.
        if getrandom::fill(&mut random).is_err() {
            random = fastrand::u128(..).to_be_bytes();
        }
        let report = Report::new(turn, balancer, u128::from_be_bytes(random), Instant::now());
        tracing::info!(
            scaling_group = &*turn.scaling_group,
            id = &*report.id,
            reason = turn.reason.map(crate::health::Reason::as_str),
            "{} is unhealthy: it is reported",
            report.about
        );
        say_dropped(self.outbox.push(report));
    }

    fn send(&mut self) {
        let Some(keys) = self.snapshot.as_ref().and_then(|snapshot| snapshot.webhook_keys.clone()) else { return };
        let (attempts, expired) = self.outbox.due(Instant::now());
        say_dropped(expired);
        for attempt in attempts {
            let keys = keys.clone();
            self.sent.spawn(async move {
                let outcome = send::send(&attempt, &keys).await;
                (attempt, outcome)
            });
        }
    }

    fn ended(&mut self, ended: Result<(Attempt, Outcome), JoinError>) {
        // An attempt neither panics nor is it cancelled.
        let Ok((Attempt { report, webhook }, outcome)) = ended else { return };
        let (scaling_group, id, about) = (&*report.scaling_group, &*report.id, &*report.about);
        match self.outbox.ended(report.clone(), &outcome, fastrand::f64(), Instant::now()) {
            Ended::Delivered { failures: 0 } => tracing::info!(scaling_group, id, "{about}: report delivered"),
            Ended::Delivered { failures } => {
                tracing::info!(
                    scaling_group,
                    id,
                    failures,
                    "{about}: report delivered; the webhook takes reports again"
                );
            }
            Ended::Failed { failures, pause, dropped } => {
                // The further ones are counted.
                if failures == 1 {
                    let seconds = pause.as_secs_f64();
                    let why = if let Outcome::Failed { said, .. } = outcome { said } else { String::new() };
                    tracing::warn!(
                        scaling_group,
                        id,
                        "webhook {webhook}: {why}; the next attempt is in {seconds:.1} s"
                    );
                }
                say_dropped(dropped);
            }
            Ended::Dropped(dropped) => say_dropped(dropped),
        }
    }
}

/// Who reports where.
fn webhooks(snapshot: &Snapshot) -> BTreeMap<Arc<str>, WebhookUrl> {
    let signed = snapshot.inventory.scaling_groups().filter(|group| snapshot.check_webhook(group).is_ok());
    signed.filter_map(|group| Some((group.name.clone().into(), group.reported_to()?.clone()))).collect()
}

/// Names the scaling groups whose reports cannot be signed since this snapshot.
fn warn_of_unsigned(old: Option<&Snapshot>, new: &Snapshot) {
    let could_not = |group| old.is_some_and(|old| old.check_webhook(group).is_err());
    for group in new.inventory.scaling_groups() {
        let known = old.and_then(|old| old.inventory.scaling_group(&group.name)).is_some_and(could_not);
        if let Some(refusal) = new.check_webhook(group).err().filter(|_| !known) {
            tracing::warn!(scaling_group = &*group.name, "nothing is reported: {refusal}");
        }
    }
}

fn say_dropped(dropped: impl IntoIterator<Item = (Report, Undelivered)>) {
    for (report, why) in dropped {
        let why = match why {
            Undelivered::QueueFull => "newer reports wait, and there is room for 1000",
            Undelivered::Expired => "no attempt succeeded within an hour",
            Undelivered::Gone => "the webhook answered 410: it gets no more until the next change of the config",
            Undelivered::Removed => "its scaling group reports nothing any more",
        };
        let Report { scaling_group, id, about, .. } = &report;
        tracing::warn!(scaling_group = &**scaling_group, id = &**id, "{about}: report not delivered: {why}");
    }
}
