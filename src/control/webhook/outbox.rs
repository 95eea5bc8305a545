//! Reports that wait to be delivered, a queue for each scaling group: pure, with time and chance as arguments.
//!
//! ```text
//!     push --> waiting --due--> sent: one at a time --2xx--> delivered
//!       |         ^                  |---------410--> dropped (gone), with all that wait
//!       |         `---- pause -------'  any other end: to the back of the queue
//!       `--> dropped: the queue is full (the oldest goes), or the report is too old (expired)
//! ```
//!
//! The pause is the webhook's, not a report's: a receiver that is down is asked once in a while, not once for each report. It
//! doubles with each failure in a row, is drawn anew from nothing to all of it (full jitter), and is as long as `Retry-After` asks for
//! where that is longer. A report that failed goes behind the others, so one that a receiver cannot take holds up none.
//! Always: each report that was pushed is waiting, sent, or has ended in one way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::report::Report;
use super::send::{Failed, Outcome};
use crate::inventory::WebhookUrl;

/// Reports that wait for one webhook. Ours: of every target of a large group.
pub(super) const WAITING_MAX: usize = 1000;
/// Requests at once, over all webhooks. Ours: few enough that even webhooks that hang take no descriptors that count.
pub(super) const SENT_MAX: usize = 16;
/// Longest pause after the first failure; it doubles with each further one.
pub(super) const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause of our own. Ours: a receiver that comes back has the reports within it.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(60);
/// What `Retry-After` asks for beyond this is not granted. Ours: half a dozen of these are a report's life.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// The queues, by the name of their scaling group.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queues: BTreeMap<Arc<str>, Queue>,
}

#[derive(Debug)]
struct Queue {
    webhook: WebhookUrl,
    waiting: VecDeque<Report>,
    /// Id of the one that is on its way.
    sent: Option<Arc<str>>,
    /// In a row.
    failures: u32,
    resumes_at: Instant,
    /// It answered 410.
    is_gone: bool,
    counts: Counts,
}

/// What a queue has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) reports: u64,
    pub(super) delivered: u64,
    pub(super) failed: [u64; Failed::ALL.len()],
    pub(super) dropped: [u64; Undelivered::ALL.len()],
}

/// Why a report is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// Newer ones need its place.
    QueueFull,
    /// It is older than `REPORT_AGE_MAX`.
    Expired,
    /// The webhook answered 410.
    Gone,
    /// Its scaling group is not there any more, or reports nothing.
    Removed,
}

impl Undelivered {
    /// Those that are counted: a scaling group that is removed takes its figures with it.
    pub(super) const ALL: [Undelivered; 3] = [Undelivered::QueueFull, Undelivered::Expired, Undelivered::Gone];

    /// As metrics write it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Undelivered::QueueFull => "queue_full",
            Undelivered::Expired => "expired",
            Undelivered::Gone => "gone",
            Undelivered::Removed => "removed",
        }
    }
}

/// A report that is to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) report: Report,
    pub(super) webhook: WebhookUrl,
}

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// After so many failures in a row.
    Delivered { failures: u32 },
    /// The next attempt comes after this pause at the soonest. Where there was no room for the report, the oldest is dropped,
    /// be it this one.
    Failed { failures: u32, pause: Duration, dropped: Option<(Report, Undelivered)> },
    /// It is not; what else is dropped is in the list.
    Dropped(Vec<(Report, Undelivered)>),
}

/// A queue as it stands, for `/metrics`.
#[derive(Debug, Clone)]
pub(super) struct QueueFigures {
    pub(super) scaling_group: Arc<str>,
    pub(super) waiting: usize,
    pub(super) counts: Counts,
}

impl Outbox {
    /// Takes over which scaling group reports where from now on. What waits goes to the new URL; gives what waits for nobody.
    pub(super) fn follow(
        &mut self,
        webhooks: &BTreeMap<Arc<str>, WebhookUrl>,
        now: Instant,
    ) -> Vec<(Report, Undelivered)> {
        let (kept, removed): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.queues).into_iter().partition(|(name, _)| webhooks.contains_key(name));
        self.queues = kept;
        for (name, webhook) in webhooks {
            let queue = self.queues.entry(Arc::clone(name)).or_insert_with(|| Queue::new(webhook, now));
            // The operator has looked at it, perhaps: it is asked again.
            queue.is_gone = false;
            if queue.webhook != *webhook {
                queue.webhook = webhook.clone();
                (queue.failures, queue.resumes_at) = (0, now);
            }
        }
        removed.into_values().flat_map(|queue| queue.waiting).map(|report| (report, Undelivered::Removed)).collect()
    }

    /// Takes a report; gives what is dropped: that one, or an older one.
    pub(super) fn push(&mut self, report: Report) -> Option<(Report, Undelivered)> {
        let Some(queue) = self.queues.get_mut(&report.scaling_group) else {
            return Some((report, Undelivered::Removed));
        };
        queue.counts.reports += 1;
        queue.put(report)
    }

    /// What is to be sent now, and what is too old for it.
    pub(super) fn due(&mut self, now: Instant) -> (Vec<Attempt>, Vec<(Report, Undelivered)>) {
        let mut expired = Vec::new();
        self.queues.values_mut().for_each(|queue| queue.expire(now, &mut expired));
        let room = SENT_MAX.saturating_sub(self.queues.values().filter(|queue| queue.sent.is_some()).count());
        let mut ready: Vec<&mut Queue> = self.queues.values_mut().filter(|queue| queue.is_due(now)).collect();
        // Who has waited longest goes first, so that none is left out for its name.
        ready.sort_by_key(|queue| queue.resumes_at);
        let attempts = ready.into_iter().take(room).filter_map(Queue::send).collect();
        (attempts, expired)
    }

    /// When `due` has something to give, if nothing else happens until then.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let is_full = self.queues.values().filter(|queue| queue.sent.is_some()).count() >= SENT_MAX;
        let wakes_at = |queue: &Queue| {
            let expires_at = queue.waiting.iter().map(Report::expires_at).min()?;
            let is_held_up = is_full || queue.sent.is_some();
            Some(if is_held_up { expires_at } else { expires_at.min(queue.resumes_at) })
        };
        self.queues.values().filter_map(wakes_at).min()
    }

    /// An attempt is over. `random` is from 0 to 1.
    pub(super) fn ended(&mut self, report: Report, outcome: &Outcome, random: f64, now: Instant) -> Ended {
        let queue = self.queues.get_mut(&report.scaling_group).filter(|queue| queue.sent.as_ref() == Some(&report.id));
        let Some(queue) = queue else {
            return match outcome {
                Outcome::Delivered => Ended::Delivered { failures: 0 },
                Outcome::Gone | Outcome::Failed { .. } => Ended::Dropped(vec![(report, Undelivered::Removed)]),
            };
        };
        queue.sent = None;
        match outcome {
            Outcome::Delivered => {
                queue.counts.delivered += 1;
                queue.resumes_at = now;
                Ended::Delivered { failures: std::mem::take(&mut queue.failures) }
            }
            Outcome::Gone => {
                queue.is_gone = true;
                queue.waiting.push_front(report);
                queue.counts.dropped[Undelivered::Gone as usize] += queue.waiting.len() as u64;
                Ended::Dropped(queue.waiting.drain(..).map(|report| (report, Undelivered::Gone)).collect())
            }
            Outcome::Failed { why, retry_after, .. } => {
                queue.counts.failed[*why as usize] += 1;
                queue.failures = queue.failures.saturating_add(1);
                let pause = pause(queue.failures, *retry_after, random);
                queue.resumes_at = now + pause;
                Ended::Failed { failures: queue.failures, pause, dropped: queue.put(report) }
            }
        }
    }

    /// Each queue as it stands.
    pub(super) fn figures(&self) -> impl Iterator<Item = QueueFigures> {
        self.queues.iter().map(|(name, queue)| QueueFigures {
            scaling_group: Arc::clone(name),
            waiting: queue.waiting.len() + usize::from(queue.sent.is_some()),
            counts: queue.counts,
        })
    }
}

impl Queue {
    fn new(webhook: &WebhookUrl, now: Instant) -> Self {
        Queue {
            webhook: webhook.clone(),
            waiting: VecDeque::new(),
            sent: None,
            failures: 0,
            resumes_at: now,
            is_gone: false,
            counts: Counts::default(),
        }
    }

    /// At the end of the queue; the oldest report goes where there is no room. The newest are nearest to what is.
    fn put(&mut self, report: Report) -> Option<(Report, Undelivered)> {
        if self.is_gone {
            return Some(self.dropped(report, Undelivered::Gone));
        }
        self.waiting.push_back(report);
        if self.waiting.len() <= WAITING_MAX {
            return None;
        }
        let by_age = self.waiting.iter().enumerate().min_by_key(|(_, report)| report.made_at);
        let oldest = by_age.map(|(index, _)| index).and_then(|index| self.waiting.remove(index))?;
        Some(self.dropped(oldest, Undelivered::QueueFull))
    }

    fn dropped(&mut self, report: Report, why: Undelivered) -> (Report, Undelivered) {
        self.counts.dropped[why as usize] += 1;
        (report, why)
    }

    fn expire(&mut self, now: Instant, expired: &mut Vec<(Report, Undelivered)>) {
        while let Some(index) = self.waiting.iter().position(|report| report.expires_at() <= now) {
            let Some(report) = self.waiting.remove(index) else { return };
            let report = self.dropped(report, Undelivered::Expired);
            expired.push(report);
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.sent.is_none() && !self.waiting.is_empty() && self.resumes_at <= now
    }

    fn send(&mut self) -> Option<Attempt> {
        let report = self.waiting.pop_front()?;
        self.sent = Some(Arc::clone(&report.id));
        Some(Attempt { report, webhook: self.webhook.clone() })
    }
}

/// After so many failures in a row: full jitter under a bound that doubles, and no less than the receiver asks for.
fn pause(failures: u32, retry_after: Option<Duration>, random: f64) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let own = doubled.min(PAUSE_MAX).mul_f64(random.clamp(0.0, 1.0));
    own.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
}
