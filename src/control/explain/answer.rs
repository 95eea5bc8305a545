//! An explanation as the API writes it, and as a client of the API may read it: docs/explain.md.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Explained;
use crate::schema;
use crate::shard::Standing;

/// What a client's next connection or request would get now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Of the snapshot that it was explained by.
    pub revision: u64,
    /// Name of the listener.
    pub listener: String,
    /// `tcp` or `http`.
    pub protocol: String,
    /// Who connects.
    #[schema(value_type = schema::Address)]
    pub client: IpAddr,
    /// In short.
    pub outcome: Outcome,
    /// What becomes of the client's connection.
    pub connection: Connection,
    /// The request as it was read; `None` for a tcp listener.
    pub request: Option<Request>,
    /// The rules that it was held against, by priority: the last one is the one that it falls under.
    pub rules: Vec<Rule>,
    /// How many rules come after that one.
    pub rules_not_reached: usize,
    /// What is done; `None` where the request is refused ahead of the rules.
    pub action: Option<Action>,
    /// What each shard says of the targets.
    pub shards: Vec<Shard>,
}

/// In short: what becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::Outcome)]
pub struct Outcome {
    /// What.
    pub kind: OutcomeKind,
    /// What the client is answered with, where the balancer answers itself; `None` too where that depends on the group.
    pub status: Option<u16>,
    /// Who may get it: next on one of the shards that take the connection, in one of the groups. Each once.
    pub targets: Vec<String>,
    /// The same in a sentence.
    pub text: String,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = explain::OutcomeKind)]
pub enum OutcomeKind {
    /// A target gets it.
    Target,
    /// No target may get it.
    NoTarget,
    /// The connection is refused before a byte is read.
    ConnectionRefused,
    /// The request is refused, whatever a target would say.
    RequestRefused,
    /// A rule answers with another place.
    Redirect,
    /// A rule answers.
    FixedResponse,
    /// No shard answers.
    Unknown,
}

/// What becomes of the client's connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::Connection)]
pub struct Connection {
    /// It is taken, as far as all shards alike say so.
    pub accepted: bool,
    /// Why not: `scheme`, `security_group` or `not_listening`.
    pub reason: Option<String>,
    /// The same in a sentence.
    pub text: Option<String>,
}

/// The request as it was read, which is what rules look at; as it was asked where it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::Request)]
pub struct Request {
    /// The method.
    pub method: String,
    /// `host[:port]`.
    pub host: String,
    /// Without query.
    pub path: String,
    /// Without question mark.
    pub query: Option<String>,
    /// `Compliant`, `Acceptable`, `Ambiguous` or `Severe` (requirement P5).
    pub classification: String,
    /// What is wrong with it, ALB's word, unless it is compliant.
    pub classification_reason: Option<String>,
    /// It is refused ahead of the rules.
    pub refused: Option<Refusal>,
}

/// An answer of the balancer's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::Refusal)]
pub struct Refusal {
    /// Its status.
    pub status: u16,
    /// Its reason, as in metrics and the access log.
    pub reason: String,
    /// What is wrong.
    pub text: String,
}

/// A rule that the request was held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::Rule)]
pub struct Rule {
    /// Its priority; 0 is the default action, as in the access log.
    pub rule: u16,
    /// All its conditions hold: the request falls under it.
    pub holds: bool,
    /// What it does: `forward`, `redirect` or `fixed_response`.
    pub action: String,
    /// Each for itself.
    pub conditions: Vec<Condition>,
}

/// A condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::Condition)]
pub struct Condition {
    /// `host`, `path`, `method`, `header`, `query` or `source_ip`.
    pub kind: String,
    /// Of the header.
    pub name: Option<String>,
    /// One of the wanted is there.
    pub holds: bool,
    /// What the rule wants, as in the config: one of them.
    pub wanted: Vec<String>,
    /// What the request has.
    pub given: Vec<String>,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
#[schema(as = explain::Action)]
pub enum Action {
    /// A target gets it.
    Forward {
        /// Of the rule, in its order.
        groups: Vec<Group>,
        /// Of the client in the rule (group stickiness, requirement R3).
        session: Option<Session>,
        /// Path and query after the rule's rewrite; `None`: as they came.
        path_and_query: Option<String>,
        /// `Host` after the rule's rewrite; `None`: as it came.
        host: Option<String>,
        /// It is refused after all, whichever group it is for, unless that group has refused it: the rewrite fails, say.
        refused: Option<Refusal>,
    },
    /// It is answered with another place.
    Redirect {
        /// 301, say.
        status: u16,
        /// `Location`.
        location: String,
    },
    /// It is answered.
    FixedResponse {
        /// The status.
        status: u16,
        /// `Content-Type`.
        content_type: String,
        /// The body.
        body: String,
    },
    /// It is answered with what went wrong: a redirect that leads to too long a URL.
    Refused(Refusal),
}

/// A group that it may go to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::Group)]
pub struct Group {
    /// Its name.
    pub target_group: String,
    /// In the rule; `None` for a tcp listener.
    pub weight: Option<u16>,
    /// From 0 to 1.
    pub chance: f64,
    /// What decides.
    pub chosen: Chosen,
    /// Of the client in the group (requirements S1, S2); `None`: the group keeps no sessions.
    pub session: Option<Session>,
    /// Its targets cannot be sent such a request.
    pub refused: Option<Refusal>,
}

/// What decides for or against a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = explain::Chosen)]
pub enum Chosen {
    /// There is no other.
    OnlyGroup,
    /// The weights of the rule.
    ByWeight,
    /// The client's session in the rule: it is this group.
    BySession,
    /// The client's session in the rule: it is another group.
    SessionElsewhere,
}

/// What the request brings of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::Session)]
pub struct Session {
    /// Name of the cookie.
    pub cookie: String,
    /// Whether it is there, and good.
    pub brought: Brought,
    /// The same in a sentence.
    pub text: String,
}

/// A session's cookie in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = explain::Brought)]
pub enum Brought {
    /// It is not there.
    Nothing,
    /// It is there and counts for nothing.
    NotAccepted,
    /// It names somebody.
    Accepted,
}

/// What a shard says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::Shard)]
pub struct Shard {
    /// Its number.
    pub shard: usize,
    /// Its core.
    pub core: usize,
    /// Revision of the snapshot that it runs on; `None`: it does not answer.
    pub revision: Option<u64>,
    /// It takes the connection.
    pub admits: bool,
    /// Why not: `no_answer`, `not_listening`, `draining` or `overload`.
    pub reason: Option<String>,
    /// The groups that may be chosen.
    pub target_groups: Vec<ShardGroup>,
}

/// A group on a shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::ShardGroup)]
pub struct ShardGroup {
    /// Its name.
    pub target_group: String,
    /// How it picks.
    pub algorithm: String,
    /// No target is healthy and traffic goes to all of them (requirement B5).
    pub failing_open: bool,
    /// Who is next; `None`: nobody.
    pub next: Option<NextTarget>,
    /// Why this one, or nobody, in a sentence.
    pub text: String,
    /// All of its targets, and those that were unbound while something runs there.
    pub targets: Vec<Target>,
}

/// The target that is next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::NextTarget)]
pub struct NextTarget {
    /// Its address.
    #[schema(value_type = schema::Address)]
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// What decides.
    pub by: NextBy,
}

/// What decides for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = explain::NextBy)]
pub enum NextBy {
    /// The group's algorithm.
    Turn,
    /// The client's session.
    Session,
}

/// A target on a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = explain::Target)]
pub struct Target {
    /// Its address.
    #[schema(value_type = schema::Address)]
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its weight; `None`: it is unbound.
    pub weight: Option<u8>,
    /// Its health, as this shard sees it.
    pub state: String,
    /// Why, ELB's code.
    pub reason: Option<String>,
    /// Connections open now; of an http group requests in flight.
    pub active: u32,
    /// Whether it is next, and why not.
    pub why: Standing,
    /// The same in a sentence.
    pub text: String,
}

impl Outcome {
    pub(super) fn of(connection: &Connection, explained: &Explained, shards: &[Shard]) -> Self {
        let plain = |kind, status, text: String| Outcome { kind, status, targets: Vec::new(), text };
        if !connection.accepted {
            let text = connection.text.clone().unwrap_or_default();
            return plain(OutcomeKind::ConnectionRefused, None, text);
        }
        if shards.iter().any(|shard| shard.revision.is_some()) && !shards.iter().any(|shard| shard.admits) {
            let text = "no shard takes the connection: see its reason".to_owned();
            return plain(OutcomeKind::ConnectionRefused, None, text);
        }
        let refused = |refusal: &Refusal| {
            let text = format!("the request is answered with {}: {}", refusal.status, refusal.text);
            plain(OutcomeKind::RequestRefused, Some(refusal.status), text)
        };
        let ahead = explained.request.as_ref().and_then(|request| request.refused.as_ref());
        match (ahead, &explained.action) {
            (Some(refusal), _) | (None, Some(Action::Refused(refusal))) => refused(refusal),
            (None, Some(Action::Redirect { status, location })) => {
                let text = format!("{} answers with {status}, to {location}", explained.decisive());
                plain(OutcomeKind::Redirect, Some(*status), text)
            }
            (None, Some(Action::FixedResponse { status, .. })) => {
                let text = format!("{} answers with {status}", explained.decisive());
                plain(OutcomeKind::FixedResponse, Some(*status), text)
            }
            (None, Some(Action::Forward { groups, refused: of_head, .. })) => {
                // As an exchange decides: a group is chosen, refuses what it cannot be sent, and then the head is written.
                let possible = groups.iter().filter(|group| group.chance > 0.0);
                let fates: Vec<(&Group, Option<&Refusal>)> =
                    possible.map(|group| (group, group.refused.as_ref().or(of_head.as_ref()))).collect();
                match fates.iter().map(|(_, refusal)| *refusal).collect::<Option<Vec<&Refusal>>>().as_deref() {
                    Some([first, others @ ..]) if others.iter().all(|other| other == first) => refused(first),
                    Some([_, _, ..]) => {
                        let text = format!("{} forwards to {}", explained.decisive(), ways(&fates));
                        plain(OutcomeKind::RequestRefused, None, text)
                    }
                    _ => Self::forwarded(explained, &fates, shards),
                }
            }
            (None, None) => plain(OutcomeKind::Unknown, None, "nothing is known of it".to_owned()),
        }
    }

    fn forwarded(explained: &Explained, fates: &[(&Group, Option<&Refusal>)], shards: &[Shard]) -> Self {
        let mut targets: Vec<String> = Vec::new();
        let admitting = shards.iter().filter(|shard| shard.admits);
        for next in admitting.flat_map(|shard| &shard.target_groups).filter_map(|group| group.next.as_ref()) {
            let target = SocketAddr::new(next.address, next.port).to_string();
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        let way = format!("{} forwards to {}", explained.decisive(), ways(fates));
        let is_http = explained.request.is_some();
        let (kind, status, rest) = if !shards.iter().any(|shard| shard.revision.is_some()) {
            (OutcomeKind::Unknown, None, "no shard answers: see /readyz".to_owned())
        } else if targets.is_empty() && is_http {
            (OutcomeKind::NoTarget, Some(503), "no target may get it: 503".to_owned())
        } else if targets.is_empty() {
            (OutcomeKind::NoTarget, None, "no target may get it: the client is reset".to_owned())
        } else {
            (OutcomeKind::Target, None, format!("next: {}", targets.join(", ")))
        };
        Outcome { kind, status, targets, text: format!("{way}; {rest}") }
    }
}

/// The groups that it may go to, each with what it refuses.
fn ways(fates: &[(&Group, Option<&Refusal>)]) -> String {
    let way = |(group, refusal): &(&Group, Option<&Refusal>)| match refusal {
        None => group.target_group.clone(),
        Some(refusal) => format!("{} (answered with {}: {})", group.target_group, refusal.status, refusal.text),
    };
    fates.iter().map(way).collect::<Vec<_>>().join(" or ")
}

impl Explained {
    /// The rule that decides, in words.
    fn decisive(&self) -> String {
        match self.rules.last().filter(|rule| rule.holds) {
            Some(Rule { rule: 0, .. }) => "the default action".to_owned(),
            Some(rule) => format!("rule {}", rule.rule),
            None => "the listener".to_owned(),
        }
    }
}
