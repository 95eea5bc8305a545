//! What rules cannot be used for, said in a way that can be mended. Limits are ALB's unless they say otherwise.
#![forbid(unsafe_code)]

use std::ops::RangeInclusive;

use super::hosts::HOST_BYTES_MAX;
use super::pattern::{Case, Pattern};
use super::redirect::Placeholder;
use super::rule::{Action, Condition, FixedResponse, Forward, PathMatch, Redirect, Rule};
use crate::config::limits::{FIXED_RESPONSE_BYTES_MAX, GROUP_WEIGHT, REDIRECT_STATUSES, RULE_PRIORITY};

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}; {mend}", .priority.map_or("the default action".to_owned(), |priority| format!("the rule of priority {priority}")))]
pub struct RouterError {
    /// Which rule; `None`: the default action.
    pub priority: Option<u16>,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

/// What is wrong with a rule, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) mend: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Wrong { what: what.into(), mend: mend.into() }
    }

    pub(super) fn of(self, priority: Option<u16>) -> RouterError {
        RouterError { priority, what: self.what, mend: self.mend }
    }
}

/// Of a fixed response. The config allows fewer: no 3xx.
const FIXED_STATUSES: RangeInclusive<u16> = 200..=599;

/// Priorities of rules that are in order.
pub(super) fn priorities(rules: &[Rule]) -> Result<(), RouterError> {
    if let Some(rule) = rules.iter().find(|rule| !RULE_PRIORITY.contains(&rule.priority)) {
        let what = format!("{} is not a priority", rule.priority);
        let mend = format!("choose one from {} to {}", RULE_PRIORITY.start(), RULE_PRIORITY.end());
        return Err(Wrong::new(what, mend).of(Some(rule.priority)));
    }
    match rules.windows(2).find(|pair| pair[0].priority == pair[1].priority) {
        Some(pair) => {
            let what = format!("two rules have priority {}", pair[0].priority);
            Err(Wrong::new(what, "give each rule of a listener its own").of(Some(pair[0].priority)))
        }
        None => Ok(()),
    }
}

pub(super) fn conditions(conditions: &[Condition]) -> Result<(), Wrong> {
    let count = |is_kind: fn(&Condition) -> bool| conditions.iter().filter(|condition| is_kind(condition)).count();
    let counts = [
        ("host", count(|condition| matches!(condition, Condition::Host(_)))),
        ("path", count(|condition| matches!(condition, Condition::Path(_)))),
        ("method", count(|condition| matches!(condition, Condition::Method(_)))),
        ("source_ip", count(|condition| matches!(condition, Condition::SourceIp(_)))),
    ];
    if let Some((kind, _)) = counts.into_iter().find(|(_, count)| *count > 1) {
        let what = format!("it has several conditions of kind {kind}, and all would have to hold");
        return Err(Wrong::new(what, "put their values into one: then one of them has to match"));
    }
    conditions.iter().try_for_each(condition)
}

fn condition(condition: &Condition) -> Result<(), Wrong> {
    let (kind, count) = match condition {
        Condition::Host(hosts) => ("host", hosts.len()),
        Condition::Path(paths) => ("path", paths.len()),
        Condition::Method(methods) => ("method", methods.len()),
        Condition::Header { values, .. } => ("header", values.len()),
        Condition::Query(queries) => ("query", queries.len()),
        Condition::SourceIp(networks) => ("source_ip", networks.len()),
    };
    if count == 0 {
        let what = format!("its condition {kind} has no values, so no request falls under it");
        return Err(Wrong::new(what, "add a value, or remove the condition"));
    }
    let Condition::Host(hosts) = condition else { return Ok(()) };
    match hosts.iter().find(|host| host.is_empty() || host.len() > HOST_BYTES_MAX) {
        Some(host) => {
            let what = format!("a host of {} bytes is none (RFC 1035, 2.3.4)", host.len());
            Err(Wrong::new(what, format!("write 1 to {HOST_BYTES_MAX} bytes")))
        }
        None => Ok(()),
    }
}

pub(super) fn action(action: &Action, conditions: &[Condition]) -> Result<(), Wrong> {
    match action {
        Action::Forward(action) => forward(action),
        Action::Redirect(action) => redirect(action, conditions),
        Action::FixedResponse(action) => fixed_response(action),
    }
}

fn forward(forward: &Forward) -> Result<(), Wrong> {
    let heavy = forward.groups.iter().find(|weighted| !GROUP_WEIGHT.contains(&weighted.weight));
    if let Some(heavy) = heavy {
        let what = format!("{} is not the weight of a group", heavy.weight);
        return Err(Wrong::new(what, format!("choose one from {} to {}", GROUP_WEIGHT.start(), GROUP_WEIGHT.end())));
    }
    if forward.groups.iter().any(|weighted| weighted.weight > 0) {
        return Ok(());
    }
    let what = if forward.groups.is_empty() { "it names no target group" } else { "all groups have weight 0" };
    Err(Wrong::new(format!("{what}, so no request can be forwarded"), "give one group a weight of 1 or more"))
}

fn fixed_response(response: &FixedResponse) -> Result<(), Wrong> {
    if !FIXED_STATUSES.contains(&response.status) {
        let mend = format!("choose one from {} to {}", FIXED_STATUSES.start(), FIXED_STATUSES.end());
        return Err(Wrong::new(format!("a response cannot have status {}", response.status), mend));
    }
    if response.body.len() > FIXED_RESPONSE_BYTES_MAX {
        let what = format!("a body of {} bytes is too long", response.body.len());
        return Err(Wrong::new(what, format!("write at most {FIXED_RESPONSE_BYTES_MAX}")));
    }
    if !response.content_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        let what = format!("{:?} is not a content type", response.content_type);
        return Err(Wrong::new(what, "write it like \"text/plain\""));
    }
    Ok(())
}

fn redirect(redirect: &Redirect, conditions: &[Condition]) -> Result<(), Wrong> {
    if !REDIRECT_STATUSES.contains(&redirect.status) {
        let what = format!("a redirect cannot have status {}", redirect.status);
        return Err(Wrong::new(what, "choose 301, 302, 303, 307 or 308"));
    }
    // As in ALB. A path within the host could be anybody's host.
    template("host", &redirect.host, &[Placeholder::Host])?;
    let without_query = [Placeholder::Protocol, Placeholder::Host, Placeholder::Port, Placeholder::Path];
    template("path", &redirect.path, &without_query)?;
    template("query", &redirect.query, &Placeholder::ALL)?;
    if !["http", "https", "#{protocol}"].contains(&&*redirect.protocol) {
        let what = format!("a redirect cannot lead to protocol {:?}", redirect.protocol);
        return Err(Wrong::new(what, "choose \"http\", \"https\" or \"#{protocol}\""));
    }
    if &*redirect.port != "#{port}" && !redirect.port.parse::<u16>().is_ok_and(|port| port > 0) {
        let what = format!("a redirect cannot lead to port {:?}", redirect.port);
        return Err(Wrong::new(what, "choose 1 to 65535, or \"#{port}\""));
    }
    if redirect.host.is_empty() || redirect.host.contains(['/', '?', '@', '\\']) {
        return Err(Wrong::new(format!("{:?} is not a host", redirect.host), "write it like \"www.example.com\""));
    }
    if !redirect.path.starts_with('/') || redirect.path.contains('?') {
        let what = format!("{:?} is not a path", redirect.path);
        return Err(Wrong::new(what, "begin it with a slash, and put what follows a question mark into query"));
    }
    if leads_to_itself(redirect, conditions) {
        let mend = "change at least one of protocol, host, port and path to what the rule does not match; a changed query is enough \
                    only where the rule has a query condition";
        return Err(Wrong::new("the redirect leads to the rule itself, for ever", mend));
    }
    Ok(())
}

fn template(part: &str, text: &str, allowed: &[Placeholder]) -> Result<(), Wrong> {
    let mut outside = text.to_owned();
    for (at, _) in text.match_indices("#{") {
        let placeholder = Placeholder::at_start_of(&text[at..]).filter(|placeholder| allowed.contains(placeholder));
        let Some(placeholder) = placeholder else {
            let rest = text[at..].split_inclusive('}').next().unwrap_or_default();
            let names: Vec<_> = allowed.iter().map(|placeholder| placeholder.as_str()).collect();
            let mend = format!("the placeholders of a redirect's {part} are {}", names.join(", "));
            return Err(Wrong::new(format!("{rest:?} has no meaning in the {part} of a redirect"), mend));
        };
        outside = outside.replace(placeholder.as_str(), "");
    }
    // A fragment is the client's own affair (RFC 9110, 10.2.2), and would swallow what follows it.
    match outside.bytes().find(|byte| !byte.is_ascii_graphic() || *byte == b'#') {
        Some(_) => {
            let what = format!("{text:?} does not fit the {part} of a URL");
            Err(Wrong::new(what, "use visible ASCII characters but #; write others as %20 and so on"))
        }
        None => Ok(()),
    }
}

/// Every request of the rule is redirected to a URL that falls under the rule again, as far as that can be told without knowing
/// the listener. ALB does not let a query make the difference: the URL that it leads to is redirected to itself.
fn leads_to_itself(redirect: &Redirect, conditions: &[Condition]) -> bool {
    let asks_for_query = conditions.iter().any(|condition| matches!(condition, Condition::Query(_)));
    let stays = |template: &str, placeholder: &str, only: Option<Vec<u8>>| {
        template == placeholder || only.is_some_and(|only| only == template.as_bytes())
    };
    let only_host = conditions.iter().find_map(|condition| match condition {
        Condition::Host(hosts) => only(hosts.as_slice()).and_then(|host| exact(host)),
        _ => None,
    });
    let only_path = conditions.iter().find_map(|condition| match condition {
        Condition::Path(paths) => only(paths.as_slice()).and_then(|path| match path {
            PathMatch::Pattern(text) => exact(text),
            PathMatch::Prefix(_) | PathMatch::Regex(_) => None,
        }),
        _ => None,
    });
    let host = redirect.host.to_ascii_lowercase();
    &*redirect.protocol == "#{protocol}"
        && &*redirect.port == "#{port}"
        && stays(&host, "#{host}", only_host.map(|host| host.to_ascii_lowercase()))
        && stays(&redirect.path, "/#{path}", only_path)
        && (&*redirect.query == "#{query}" || !asks_for_query)
}

fn only<T>(values: &[T]) -> Option<&T> {
    if let [value] = values { Some(value) } else { None }
}

fn exact(pattern: &str) -> Option<Vec<u8>> {
    Pattern::new(pattern, Case::Kept).exact().map(<[u8]>::to_vec)
}
