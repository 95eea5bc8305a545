//! Every shard's view of the targets, asked for and put into words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::answer::{NextBy, NextTarget, Shard, ShardGroup, Target};
use crate::config::{Snapshot, TargetGroup};
use crate::control::shards::{Handle, Life, Shards};
use crate::health::{Reason, State};
use crate::shard::{Answer, GroupAnswer, Next, Question, Standing, TargetAnswer};

/// How long the shards have.
const LIMIT: Duration = Duration::from_secs(1);
/// From one explanation to the next: an answer about five groups of 1,000 targets takes a shard less than a millisecond.
const PAUSE: Duration = Duration::from_millis(20);

/// Who may ask the shards now.
#[derive(Debug, Default)]
pub(in crate::control) struct Pace {
    /// Held while they are asked; when the next may.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// What every shard answers; `None` of one that does not, or is known not to.
    pub(super) async fn ask(&self, shards: &Shards, question: &Question) -> Vec<(Arc<Handle>, Option<Box<Answer>>)> {
        let next = self.next.lock().await;
        if let Some(at) = *next {
            sleep_until(at).await;
        }
        let _turn = Turn(next);
        let ask = |shard: &Arc<Handle>| {
            let answers = shard.pulse().life == Life::Answering;
            (Arc::clone(shard), answers.then(|| shard.explain(question.clone())))
        };
        let asked: Vec<(Arc<Handle>, Option<oneshot::Receiver<_>>)> = shards.iter().map(ask).collect();
        let deadline = Instant::now() + LIMIT;
        let mut answers = Vec::with_capacity(asked.len());
        for (shard, answered) in asked {
            let answer = match answered {
                Some(answered) => timeout_at(deadline, answered).await.ok().and_then(Result::ok),
                None => None,
            };
            answers.push((shard, answer));
        }
        answers
    }
}

/// The shards have a question. However this ends, the next one comes a pause later: a client that hangs up is no faster.
struct Turn<'p>(MutexGuard<'p, Option<Instant>>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0 = Some(Instant::now() + PAUSE);
    }
}

pub(super) fn shard(
    snapshot: &Snapshot,
    question: &Question,
    (handle, answer): (Arc<Handle>, Option<Box<Answer>>),
) -> Shard {
    let reason = answer.as_ref().map_or(Some("no_answer"), |answer| answer.admits.refusal());
    let of_group = |answer: &GroupAnswer| {
        let config = snapshot.groups.iter().find(|group| group.name == answer.name)?;
        let (_, session) = question.groups.iter().find(|(name, _)| *name == answer.name)?;
        let brings = if session.is_some() { Brings::Session } else { Brings::None };
        Some(group(config, answer, brings))
    };
    let groups = answer.iter().flat_map(|answer| &answer.groups).filter_map(of_group);
    Shard {
        shard: handle.id,
        core: handle.core,
        revision: answer.as_ref().map(|answer| answer.revision),
        admits: reason.is_none(),
        reason: reason.map(str::to_owned),
        target_groups: groups.collect(),
    }
}

/// What the client's request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Brings {
    None,
    /// A session that names a target.
    Session,
}

fn group(config: &TargetGroup, answer: &GroupAnswer, brings: Brings) -> ShardGroup {
    let next = match answer.next {
        Next::BySession(index) => Some((index, NextBy::Session)),
        Next::ByTurn(index) => Some((index, NextBy::Turn)),
        Next::Own | Next::Nobody => None,
    };
    let next = next.and_then(|(index, by)| {
        let address = answer.targets.get(index)?.address;
        Some(NextTarget { address: address.ip(), port: address.port(), by })
    });
    let name = next.as_ref().map(|next| SocketAddr::new(next.address, next.port).to_string());
    let targets = answer.targets.iter().map(|answer| target(answer, name.as_deref()));
    let unbound = answer.unbound.iter().map(|(address, active)| Target {
        address: address.ip(),
        port: address.port(),
        weight: None,
        state: State::Draining.as_str().to_owned(),
        reason: Some(Reason::DeregistrationInProgress.as_str().to_owned()),
        active: *active,
        why: Standing::Unbound,
        text: "it was unbound: what runs there may end, nothing new comes".to_owned(),
    });
    ShardGroup {
        target_group: config.name.to_string(),
        algorithm: config.algorithm.as_str().to_owned(),
        failing_open: answer.failing_open,
        text: why_next(config, answer, brings),
        next,
        targets: targets.chain(unbound).collect(),
    }
}

/// Why this target is the next one, or none.
fn why_next(config: &TargetGroup, answer: &GroupAnswer, brings: Brings) -> String {
    let open =
        if answer.failing_open { "; no target is healthy, so the group sends to all of them (fail_open)" } else { "" };
    let moved = if brings == Brings::Session {
        "; the target of the client's session is unhealthy, unbound, or at the client's own address"
    } else {
        ""
    };
    match answer.next {
        Next::BySession(_) => "the client's session is with it".to_owned(),
        Next::ByTurn(_) => format!("it is its turn, by {}{open}{moved}", config.algorithm.as_str()),
        Next::Own => "the only targets left have the client's own address".to_owned(),
        Next::Nobody if answer.targets.is_empty() => "the group has no target".to_owned(),
        Next::Nobody if answer.targets.iter().all(|target| target.weight == 0) => {
            "every target has weight 0".to_owned()
        }
        Next::Nobody => "no target with a weight is healthy, and the group does not fail open".to_owned(),
    }
}

fn target(answer: &TargetAnswer, next: Option<&str>) -> Target {
    let next = next.unwrap_or("nobody");
    let text = match answer.standing {
        Standing::Next => "it is the next one".to_owned(),
        Standing::WeightZero => "weight 0: it takes nothing new and keeps what it has".to_owned(),
        Standing::Loopback => "it has the client's own address, and a client is not sent to itself".to_owned(),
        Standing::NotHealthy => not_healthy(answer),
        Standing::OtherZone => "it is in another zone, and the balancer's own has a healthy target".to_owned(),
        Standing::SessionElsewhere => format!("the client's session is with {next}"),
        Standing::NotItsTurn => format!("it is the turn of {next}"),
        Standing::Unbound => "it is unbound".to_owned(),
    };
    Target {
        address: answer.address.ip(),
        port: answer.address.port(),
        weight: Some(answer.weight),
        state: answer.state.as_str().to_owned(),
        reason: answer.reason.map(|reason| reason.as_str().to_owned()),
        active: answer.active,
        why: answer.standing,
        text,
    }
}

fn not_healthy(answer: &TargetAnswer) -> String {
    let state = answer.state.as_str();
    let reason = answer.reason.map_or(String::new(), |reason| format!(", {}", reason.as_str()));
    let hint = answer.failure.map_or(String::new(), |failure| format!("; {}: {}", failure.as_str(), failure.hint()));
    format!("it is {state}{reason}{hint}")
}
