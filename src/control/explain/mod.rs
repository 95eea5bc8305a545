//! `GET /v1/explain`: what a client's next connection or request would get now, and why nothing else.
//!
//! ```text
//!     query --asked.rs--> Asked --snapshot--> listener --http--> head --l7::explain--> rule, groups, sessions
//!                                                      `--tcp--> its group                    |
//!     Explanation (answer.rs) <--words-- Answers <--Order::Explain-- every shard <--Question--'
//! ```
//!
//! Rules are a matter of the snapshot, so they are tried here; whose turn it is, each shard knows for itself. Nothing is sent to a
//! target, no turn is taken, no counter moves. docs/explain.md is what operators read.
//! Always: shards are asked for one explanation at a time, with a pause after it, so that who asks often holds up nobody but
//! others who ask.

mod answer;
mod asked;
mod request;
mod shards;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use answer::{
    Action, Brought, Chosen, Condition, Connection, Explanation, Group, NextBy, NextTarget, Outcome, OutcomeKind,
    Refusal, Request, Rule, Session, Shard, ShardGroup, Target,
};
pub(in crate::control) use asked::{Asked, Mistake, quoted};
pub(in crate::control) use shards::Pace;

use super::state::Control;
use crate::config::{Listener, Scheme, Service, Snapshot, is_private};
use crate::l7::Tag;
use crate::shard::{Admits, Question, RefuseReason};

/// Why there is no explanation.
#[derive(Debug)]
pub(in crate::control) enum Unexplained {
    /// There is no such listener.
    NoListener(String),
    /// The question cannot be meant.
    Mistake(Mistake),
}

impl From<Mistake> for Unexplained {
    fn from(mistake: Mistake) -> Self {
        Unexplained::Mistake(mistake)
    }
}

/// Explains by the snapshot in effect.
pub(in crate::control) async fn explain(control: &Control, asked: &Asked) -> Result<Explanation, Unexplained> {
    let snapshot = Arc::clone(&control.state().snapshot);
    let find = |listener: &&Arc<Listener>| *listener.name == *asked.listener;
    let Some(listener) = snapshot.listeners.iter().find(find) else {
        return Err(Unexplained::NoListener(asked.listener.clone()));
    };
    asked.fits(listener)?;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut explained = match listener.service {
        Service::Relay(group) => relay(&snapshot, group),
        Service::FlashPolicy(_) => {
            let what = "the Flash responder has one answer for everybody, and no target";
            return Err(Mistake::new(what, "name a tcp or http listener").into());
        }
        Service::Http(_) => request::explain(&snapshot, listener, asked, since_1970.as_secs())?,
    };
    let groups = explained.groups.drain(..).map(|(index, session)| (Arc::clone(&snapshot.groups[index].name), session));
    let question = Question { listener: Arc::clone(&listener.name), client: asked.client, groups: groups.collect() };
    let answers = control.explaining.ask(&control.shards, &question).await;
    let shards: Vec<Shard> = answers.into_iter().map(|answer| shards::shard(&snapshot, &question, answer)).collect();
    let connection = connection(&snapshot, listener, asked);
    let outcome = Outcome::of(&connection, &explained, &shards);
    Ok(Explanation {
        revision: snapshot.revision,
        listener: listener.name.to_string(),
        protocol: listener.protocol.as_str().to_owned(),
        client: asked.client,
        outcome,
        connection,
        request: explained.request,
        rules: explained.rules,
        rules_not_reached: explained.rules_not_reached,
        action: explained.action,
        shards,
    })
}

/// What the snapshot alone says.
#[derive(Debug, Default)]
struct Explained {
    request: Option<Request>,
    rules: Vec<Rule>,
    rules_not_reached: usize,
    action: Option<Action>,
    /// Groups that the shards are asked about: those that it may come to, each with the target of the client's session.
    groups: Vec<(usize, Option<Tag>)>,
}

fn relay(snapshot: &Snapshot, group: usize) -> Explained {
    let action = Action::Forward {
        groups: vec![Group {
            target_group: snapshot.groups[group].name.to_string(),
            weight: None,
            chance: 1.0,
            chosen: Chosen::OnlyGroup,
            session: None,
            refused: None,
        }],
        session: None,
        path_and_query: None,
        host: None,
        refused: None,
    };
    Explained { action: Some(action), groups: vec![(group, None)], ..Explained::default() }
}

/// What every shard alike does with the client's connection.
fn connection(snapshot: &Snapshot, listener: &Listener, asked: &Asked) -> Connection {
    let refused = |reason: Option<&str>, text: &str| Connection {
        accepted: false,
        reason: reason.map(str::to_owned),
        text: Some(text.to_owned()),
    };
    if !snapshot.is_bound(listener) {
        let text = "its target group has no target, so the port is closed and the kernel refuses: bind a target";
        return refused(Admits::NotListening.refusal(), text);
    }
    if listener.scheme == Scheme::Internal && !is_private(asked.client) {
        let text = "the listener is internal and the client's address is public: it is reset; use a private address, or \
                    scheme = \"internet-facing\"";
        return refused(Some(RefuseReason::Scheme.as_str()), text);
    }
    for (whose, group) in [("the balancer's", &listener.gate.balancer), ("the listener's", &listener.gate.listener)] {
        let verdict = group.verdict(asked.client);
        if !verdict.allowed {
            let by = verdict.rule.map_or("no rule is about the client".to_owned(), |rule| format!("rule {}", rule + 1));
            let text = format!("{whose} security_group drops it: {by}");
            return refused(Some(RefuseReason::SecurityGroup.as_str()), &text);
        }
    }
    Connection { accepted: true, reason: None, text: None }
}

/// The address as a client would write it in a URL of http.
fn authority(address: SocketAddr) -> String {
    match (address, address.port()) {
        (SocketAddr::V4(address), 80) => address.ip().to_string(),
        (SocketAddr::V6(address), 80) => format!("[{}]", address.ip()),
        (address, _) => address.to_string(),
    }
}
