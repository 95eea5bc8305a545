//! A request that was never sent: written as a client would, read as a listener does, and held against the rules.

use std::fmt::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::answer::{Action, Brought, Chosen, Condition, Group, Refusal, Request, Rule, Session};
use super::asked::{Asked, Mistake};
use super::{Explained, authority};
use crate::config::{Listener, Service, Snapshot};
use crate::l7::explain::{self, Fate, Forwarding, Share};
use crate::l7::framing::{Finding, RequestHead};
use crate::l7::router::{self, PathMatch, QueryMatch, Tried};
use crate::l7::{Ends, Tag, Terms, Why};

/// Explains the request by the rules of `listener`, which serves http.
pub(super) fn explain(
    snapshot: &Arc<Snapshot>,
    listener: &Arc<Listener>,
    asked: &Asked,
    now: u64,
) -> Result<Explained, Mistake> {
    let Service::Http(http) = &listener.service else { return Ok(Explained::default()) };
    // Not `Terms::new`: the copy of each expression that it makes is for a shard.
    let terms = Terms {
        snapshot: Arc::clone(snapshot),
        listener: Arc::clone(listener),
        http: Arc::clone(http),
        router: Rc::new(http.router.clone()),
    };
    let mut head = RequestHead::new();
    match head.read(&written(asked, listener)) {
        Ok(read) if read.complete => {}
        // What could end it early was refused with the question.
        Ok(_) => return Err(Mistake::new("the request ends in its middle", "give values without line ends")),
        Err(refused) => {
            let refusal = refusal(Why::of_status(refused.status), Some(refused.why));
            let request = unread(asked, listener, refused.finding, refusal);
            return Ok(Explained { request: Some(request), ..Explained::default() });
        }
    }
    let ends = Ends { client: SocketAddr::new(asked.client, 0), local: listener.address };
    let explained = explain::explain(&head, &terms, ends, now);
    let finding = explained.finding;
    let request = |refused| Some(described(&head, finding, refused));
    let (action, groups) = match &explained.fate {
        Fate::Refused(why) => {
            return Ok(Explained { request: request(Some(refusal(*why, None))), ..Explained::default() });
        }
        Fate::Forward(forwarding) => forward(snapshot, forwarding),
        Fate::Redirect { location: Err(why), .. } => (Action::Refused(refusal(*why, None)), Vec::new()),
        Fate::Redirect { status, location: Ok(location) } => {
            (Action::Redirect { status: *status, location: text(location) }, Vec::new())
        }
        Fate::FixedResponse(fixed) => {
            let (content_type, body) = (fixed.content_type.to_string(), fixed.body.to_string());
            (Action::FixedResponse { status: fixed.status, content_type, body }, Vec::new())
        }
    };
    let mut rules: Vec<Rule> = explained.tried.iter().map(|tried| rule(tried, &head, asked)).collect();
    let rules_not_reached = terms.router.rules().len() - rules.len();
    if explained.rule.is_none() {
        let action = action_name(terms.router.default_action());
        rules.push(Rule { rule: 0, holds: true, action, conditions: Vec::new() });
    }
    Ok(Explained { request: request(None), rules, rules_not_reached, action: Some(action), groups })
}

/// The request's head, as a client sends it.
fn written(asked: &Asked, listener: &Listener) -> Vec<u8> {
    let query = asked.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
    let mut head = format!("{} {}{query} HTTP/1.1\r\nHost: {}\r\n", method(asked), path(asked), host(asked, listener));
    for (name, value) in &asked.headers {
        // Writing to a string does not fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn method(asked: &Asked) -> &str {
    asked.method.as_deref().unwrap_or("GET")
}

fn path(asked: &Asked) -> &str {
    asked.path.as_deref().unwrap_or("/")
}

/// Who types an address has it as the host.
fn host(asked: &Asked, listener: &Listener) -> String {
    asked.host.clone().unwrap_or_else(|| authority(listener.address))
}

/// As it was read, which is what rules look at.
fn described(head: &RequestHead, finding: Finding, refused: Option<Refusal>) -> Request {
    Request {
        method: text(head.method()),
        host: text(head.authority()),
        path: text(head.path()),
        query: head.query().map(text),
        classification: finding.class.as_str().to_owned(),
        classification_reason: finding.reason.map(|reason| reason.as_str().to_owned()),
        refused,
    }
}

/// As it was asked: of a head that cannot be read nothing is known.
fn unread(asked: &Asked, listener: &Listener, finding: Finding, refused: Refusal) -> Request {
    Request {
        method: method(asked).to_owned(),
        host: host(asked, listener),
        path: path(asked).to_owned(),
        query: asked.query.clone(),
        ..described(&RequestHead::new(), finding, Some(refused))
    }
}

fn refusal(why: Why, detail: Option<&str>) -> Refusal {
    let text = detail.unwrap_or(match why {
        Why::BadRequest => "the listener's hygiene does not serve such a request: see its classification",
        Why::MethodNotAllowed => "CONNECT and TRACE are not served",
        Why::BodyTooLarge => "the body is longer than body_bytes_max of the listener",
        Why::ForwardedTooLong => "X-Forwarded-For names more than 30 addresses",
        Why::VersionMismatch => "a chunked body cannot go to targets that are spoken to in HTTP/1.0",
        Why::RewriteFailed => "the rule's rewrite makes no path or host of it",
        Why::UriTooLong => "the redirect leads to a URL that is too long to be asked for",
        _ => "the balancer cannot serve it",
    });
    Refusal { status: why.status(), reason: why.as_str().to_owned(), text: text.to_owned() }
}

fn rule(tried: &Tried<'_>, head: &RequestHead, asked: &Asked) -> Rule {
    let conditions = tried.rule.conditions.iter().zip(&tried.conditions);
    let conditions = conditions.map(|(condition, holds)| self::condition(condition, *holds, head, asked));
    Rule {
        rule: tried.rule.priority,
        holds: tried.holds(),
        action: action_name(&tried.rule.action),
        conditions: conditions.collect(),
    }
}

fn action_name(action: &router::Action) -> String {
    let name = match action {
        router::Action::Forward(_) => "forward",
        router::Action::Redirect(_) => "redirect",
        router::Action::FixedResponse(_) => "fixed_response",
    };
    name.to_owned()
}

fn condition(condition: &router::Condition, holds: bool, head: &RequestHead, asked: &Asked) -> Condition {
    let texts = |texts: &[Arc<str>]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (kind, name, wanted, given) = match condition {
        router::Condition::Host(hosts) => ("host", None, texts(hosts), vec![text(head.host())]),
        router::Condition::Path(paths) => {
            ("path", None, paths.iter().map(wanted_path).collect(), vec![text(head.path())])
        }
        router::Condition::Method(methods) => ("method", None, texts(methods), vec![text(head.method())]),
        router::Condition::Header { name, values } => {
            ("header", Some(name.to_string()), texts(values), head.values(name).map(text).collect())
        }
        router::Condition::Query(queries) => (
            "query",
            None,
            queries.iter().map(wanted_parameter).collect(),
            head.query().map(text).into_iter().collect(),
        ),
        router::Condition::SourceIp(networks) => {
            ("source_ip", None, networks.iter().map(ToString::to_string).collect(), vec![asked.client.to_string()])
        }
    };
    Condition { kind: kind.to_owned(), name, holds, wanted, given }
}

/// As in the config.
fn wanted_path(path: &PathMatch) -> String {
    match path {
        PathMatch::Pattern(text) => text.to_string(),
        PathMatch::Prefix(text) => format!("prefix {text}"),
        PathMatch::Regex(text) => format!("regex {text}"),
    }
}

fn wanted_parameter(query: &QueryMatch) -> String {
    format!("{}={}", query.key.as_deref().unwrap_or("*"), query.value)
}

fn forward(snapshot: &Snapshot, forwarding: &Forwarding<'_>) -> (Action, Vec<(usize, Option<Tag>)>) {
    let rewritten = |bytes: &[u8]| (!bytes.is_empty()).then(|| text(bytes));
    // Nobody picks a target for a request that is refused.
    let is_sent = |share: &&Share<'_>| share.chance > 0.0 && share.refused.is_none() && forwarding.refused.is_none();
    let asked = forwarding
        .groups
        .iter()
        .filter(is_sent)
        .map(|share| (share.group, share.session.as_ref().and_then(|session| session.target)));
    let action = Action::Forward {
        groups: forwarding.groups.iter().map(|share| group(snapshot, forwarding, share)).collect(),
        session: forwarding.session.as_ref().map(session),
        path_and_query: rewritten(&forwarding.path_and_query),
        host: rewritten(&forwarding.host),
        refused: forwarding.refused.map(|why| refusal(why, None)),
    };
    (action, asked.collect())
}

fn group(snapshot: &Snapshot, forwarding: &Forwarding<'_>, share: &Share<'_>) -> Group {
    let is_held = forwarding.session.as_ref().is_some_and(|session| session.cookie == explain::Brought::Accepted);
    let chosen = match (is_held, forwarding.groups.len()) {
        (true, _) if share.chance > 0.0 => Chosen::BySession,
        (true, _) => Chosen::SessionElsewhere,
        (false, 1) => Chosen::OnlyGroup,
        (false, _) => Chosen::ByWeight,
    };
    Group {
        target_group: snapshot.groups[share.group].name.to_string(),
        weight: Some(share.weight),
        chance: share.chance,
        chosen,
        session: share.session.as_ref().map(session),
        refused: share.refused.map(|why| refusal(why, None)),
    }
}

fn session(session: &explain::Session<'_>) -> Session {
    let cookie = &session.stickiness.cookie;
    let (brought, text) = match session.cookie {
        explain::Brought::Nothing => {
            (Brought::Nothing, format!("the request brings no cookie {cookie}, so no session"))
        }
        explain::Brought::Accepted => (Brought::Accepted, format!("the cookie {cookie} names the client's session")),
        explain::Brought::NotAccepted => {
            let follows = session.stickiness.app_cookie.as_ref();
            let follows = follows.map_or(String::new(), |followed| format!(", or comes without the cookie {followed}"));
            let text = format!(
                "the cookie {cookie} does not count: it is over, of another group or rule, made with another secret{follows}"
            );
            (Brought::NotAccepted, text)
        }
    };
    Session { cookie: cookie.to_string(), brought, text }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
