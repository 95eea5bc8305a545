//! `[[listener.rule]]` and actions as typed (requirements R2, R3).
//!
//! Conditions, redirects and fixed responses need nothing else of the file, so they come out as the router takes them.

use std::sync::Arc;
use std::time::Duration;

use super::table::Table;
use super::{At, Given};
use crate::config::error::Wrong;
use crate::config::keys::{ACTION, ACTION_OF_FORWARD, ACTION_VERBS};
use crate::config::values::http as http_values;
use crate::config::{keys, limits, values};
use crate::l7::router::{Condition, FixedResponse, PathMatch, QueryMatch, Redirect, Replace, Rewrite};

/// `[[listener.rule]]`.
pub(in crate::config) struct RawRule {
    /// What errors call it.
    pub place: String,
    pub line: usize,
    pub priority: Option<At<u16>>,
    pub conditions: Vec<Condition>,
    pub action: Option<RawAction>,
}

/// `action` of a rule, `default_action` of a listener.
pub(in crate::config) struct RawAction {
    /// What errors call it.
    pub place: String,
    pub line: usize,
    /// `None` was reported.
    pub verb: Option<RawVerb>,
    /// Keys that a tcp listener's action does not have, and their lines.
    pub http_only: Vec<Given>,
}

/// What an action does.
pub(in crate::config) enum RawVerb {
    Forward { groups: Vec<RawForward>, group_stickiness: Option<At<Duration>>, rewrite: Option<Rewrite> },
    Redirect(Redirect),
    FixedResponse(FixedResponse),
}

/// One group of a forward.
pub(in crate::config) struct RawForward {
    /// What errors call the name's key.
    pub place: String,
    /// `None` was reported.
    pub group: Option<At<Arc<str>>>,
    pub weight: u16,
}

pub(super) fn rule(table: &Table<'_>) -> RawRule {
    let action = action(table, "action");
    RawRule {
        place: table.thing(),
        line: table.line,
        priority: table.require(
            "priority",
            values::number(&limits::RULE_PRIORITY),
            "add priority = 10; the rule with the lowest goes first",
        ),
        conditions: conditions(table),
        action,
    }
}

fn conditions(table: &Table<'_>) -> Vec<Condition> {
    let headers = table.list("header", "header", &keys::HEADER);
    let header = |header: &Table<'_>| {
        let name = header.require("name", http_values::header_name, "add name = \"User-Agent\"");
        if header.given(&["values"]).is_empty() {
            header.missing("values", "add values = [\"*Chrome*\"]");
        }
        let values = header.read_items("values", http_values::header_value)?;
        Some(Condition::Header { name: name?.value, values })
    };
    let queries = table.list("query", "query", &keys::QUERY);
    let queries: Vec<_> = queries.iter().filter_map(query).collect();
    let queries = (!queries.is_empty()).then_some(Condition::Query(queries));
    let one_each = [
        table.read_items("host", http_values::host_pattern).map(Condition::Host),
        paths(table).map(Condition::Path),
        table.read_items("method", http_values::method).map(Condition::Method),
        queries,
        table.read_items("source_ip", http_values::network).map(Condition::SourceIp),
    ];
    one_each.into_iter().flatten().chain(headers.iter().filter_map(header)).collect()
}

fn query(table: &Table<'_>) -> Option<QueryMatch> {
    let key = table.read("key", http_values::text_pattern).map(|key| key.value);
    let value = table.require("value", http_values::text_pattern, "add value = \"*\" for any")?;
    Some(QueryMatch { key, value: value.value })
}

fn paths(table: &Table<'_>) -> Option<Vec<PathMatch>> {
    let items = table.items("path");
    let paths: Vec<_> = items
        .iter()
        .filter_map(|value| match table.item_table("path", value, &keys::PATH) {
            Some(inner) => path_table(&inner),
            None => table.item("path", value, http_values::path_pattern).map(PathMatch::Pattern),
        })
        .collect();
    (!paths.is_empty()).then_some(paths)
}

fn path_table(table: &Table<'_>) -> Option<PathMatch> {
    let prefix = table.read("prefix", http_values::path_prefix);
    let regex = table.read("regex", http_values::regex);
    match (table.given(keys::PATH.keys).len(), prefix, regex) {
        (1, Some(prefix), _) => Some(PathMatch::Prefix(prefix.value)),
        (1, _, Some(regex)) => Some(PathMatch::Regex(regex.value)),
        (1, None, None) => None,
        (0, ..) if table.has_unknown_keys() => None,
        _ => {
            let mend = "write { prefix = \"/api/\" } or { regex = \"^/v[0-9]+/\" }";
            table.wrong_here(Wrong::new("a path is matched by one of prefix and regex", mend));
            None
        }
    }
}

/// An action is there.
pub(super) fn action(parent: &Table<'_>, key: &'static str) -> Option<RawAction> {
    let place = format!("{}{key}.", parent.place);
    let mend = format!("add {key} = {{ forward = \"name of a target group\" }}");
    let table = parent.require_table(key, &place, &ACTION, &mend)?;
    let verbs = table.given(ACTION_VERBS);
    let of_forward = table.given(ACTION_OF_FORWARD);
    let verb = match verbs.as_slice() {
        [("forward", _)] => Some(forward(&table)),
        [(verb, _)] => {
            for (key, line) in &of_forward {
                let what = format!("it goes with a forward, and this is a {}", verb.replace('_', " "));
                table.wrong(*line, key, Wrong::new(what, "remove it"));
            }
            if *verb == "redirect" { redirect(&table) } else { fixed_response(&table) }
        }
        [] if table.has_unknown_keys() => None,
        [] => {
            let mend = "add forward = \"name of a target group\", redirect = { ... } or fixed_response = { ... }";
            table.wrong_here(Wrong::new("it does not say what to do", mend));
            None
        }
        several => {
            let names: Vec<_> = several.iter().map(|(key, _)| *key).collect();
            table.wrong_here(Wrong::new(format!("it has {}", names.join(" and ")), "keep one of them"));
            None
        }
    };
    let is_http_only = |(key, _): &Given| *key != "forward" || table.is_list("forward");
    let http_only = verbs.into_iter().filter(is_http_only).chain(of_forward).collect();
    Some(RawAction { place: format!("{}{key}", parent.place), line: table.line, verb, http_only })
}

fn forward(table: &Table<'_>) -> RawVerb {
    let rewrite = table.table("rewrite", &format!("{}rewrite.", table.place), &keys::REWRITE);
    let groups = if table.is_list("forward") {
        weighted(table)
    } else {
        let group = table.read("forward", http_values::group_name);
        vec![RawForward { place: format!("{}forward", table.place), group, weight: limits::GROUP_WEIGHT_DEFAULT }]
    };
    RawVerb::Forward {
        groups,
        group_stickiness: table.read("group_stickiness", values::whole_seconds(&limits::STICKINESS)),
        rewrite: rewrite.as_ref().and_then(self::rewrite),
    }
}

fn weighted(table: &Table<'_>) -> Vec<RawForward> {
    if table.items("forward").is_empty() {
        return Vec::new();
    }
    let groups = table.list("forward", "forward", &keys::FORWARD);
    let group = |table: &Table<'_>| RawForward {
        place: format!("{}group", table.place),
        group: table.require("group", values::name, "add group = \"name of a target group\""),
        weight: table
            .read("weight", values::number(&limits::GROUP_WEIGHT))
            .map_or(limits::GROUP_WEIGHT_DEFAULT, |weight| weight.value),
    };
    groups.iter().map(group).collect()
}

fn rewrite(table: &Table<'_>) -> Option<Rewrite> {
    if table.given(keys::REWRITE.keys).is_empty() && !table.has_unknown_keys() {
        let mend = "add host = { regex = ..., with = ... } or path = { regex = ..., with = ... }";
        table.wrong_here(Wrong::new("it does not say what to rewrite", mend));
        return None;
    }
    let replace = |key, regex_mend, with_mend| {
        let table = table.table(key, &format!("{}{key}.", table.place), &keys::REPLACE)?;
        let regex = table.require("regex", http_values::regex, regex_mend);
        let with = table.require("with", http_values::replacement, with_mend);
        Some(Replace { regex: regex?.value, with: with?.value })
    };
    let host = replace("host", "add regex = \"^www[.](.*)$\"", "add with = \"$1\"");
    let path = replace("path", "add regex = \"^/old/(.*)$\"", "add with = \"/new/$1\"");
    let are_read = [&host, &path].into_iter().flatten().count() == table.given(keys::REWRITE.keys).len();
    are_read.then_some(Rewrite { host, path })
}

fn redirect(table: &Table<'_>) -> Option<RawVerb> {
    let table = table.table("redirect", &format!("{}redirect.", table.place), &keys::REDIRECT)?;
    let status = table.require("status", values::one_of(&limits::REDIRECT_STATUSES), "add status = 301");
    let given = [
        table.read("protocol", http_values::redirect_protocol),
        table.read("host", http_values::redirect_host),
        table.read("port", http_values::redirect_port),
        table.read("path", http_values::redirect_path),
        table.read("query", http_values::redirect_query),
    ];
    let are_read = given.iter().flatten().count() == table.given(&["protocol", "host", "port", "path", "query"]).len();
    if !are_read {
        return None;
    }
    let mut parts = REQUEST_ITSELF;
    // What is redirected to another scheme is served at that scheme's port, unless said otherwise.
    parts[2] = match given[0].as_ref().map(|protocol| &*protocol.value) {
        Some("http") => "80",
        Some("https") => "443",
        _ => parts[2],
    };
    for (part, given) in parts.iter_mut().zip(&given) {
        *part = given.as_ref().map_or(*part, |given| &given.value);
    }
    let [protocol, host, port, path, query] = parts.map(Arc::from);
    Some(RawVerb::Redirect(Redirect { status: status?.value, protocol, host, port, path, query }))
}

/// Protocol, host, port, path and query of a redirect that says nothing of them.
const REQUEST_ITSELF: [&str; 5] = ["#{protocol}", "#{host}", "#{port}", "/#{path}", "#{query}"];

fn fixed_response(table: &Table<'_>) -> Option<RawVerb> {
    let table = table.table("fixed_response", &format!("{}fixed_response.", table.place), &keys::FIXED_RESPONSE)?;
    let status = table.require("status", http_values::fixed_status, "add status = 503");
    let content_type = table.read("content_type", http_values::fixed_content_type);
    let body = table.read("body", http_values::fixed_body);
    let status = status?.value;
    if let Some(body) = body.as_ref().filter(|body| !body.value.is_empty() && [204, 205].contains(&status)) {
        let what = format!("a response of status {status} has no body (RFC 9110, 15.3)");
        table.wrong(body.line, "body", Wrong::new(what, "remove it, or choose another status"));
        return None;
    }
    Some(RawVerb::FixedResponse(FixedResponse {
        status,
        content_type: content_type.map_or_else(|| limits::FIXED_RESPONSE_CONTENT_TYPES[0].into(), |given| given.value),
        body: body.map_or_else(|| "".into(), |given| given.value),
    }))
}
