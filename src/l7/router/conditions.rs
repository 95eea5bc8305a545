//! A rule's conditions, compiled: all must hold, of the values of each, one.
//!
//!     gate -> path as text -> method -> source IP -> header -> query -> host with wildcards -> path as regular expression
//!
//! In order of cost. What costs most, an expression, is left to the end, when all else holds and the rule could still win.
#![forbid(unsafe_code)]

use std::sync::Arc;

use ipnet::IpNet;

use super::check::Wrong;
use super::expression::Expression;
use super::gate::{Gate, common_beginning};
use super::hosts::without_last_dot;
use super::pattern::{Case, Pattern};
use super::rule::{Condition, PathMatch, QueryMatch, Rule};
use super::search::Search;
use super::subject::Fields;

/// Those of one rule. An empty list holds always.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    /// Those that the index cannot have: `www.*`.
    wild_hosts: Vec<Pattern>,
    paths: Vec<Pattern>,
    expressions: Vec<Expression>,
    methods: Vec<Arc<str>>,
    networks: Vec<IpNet>,
    headers: Vec<Header>,
    queries: Vec<Vec<Query>>,
}

#[derive(Debug, Clone)]
struct Header {
    /// Index of its name among those of all rules.
    name: usize,
    values: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Query {
    key: Option<Pattern>,
    value: Pattern,
}

/// Where a host of a rule is to be looked for.
pub(super) enum HostPlace {
    Exact(Vec<u8>),
    /// `.example.com` of `*.example.com`.
    Suffix(Vec<u8>),
    /// With the rules that have no host.
    Open,
}

/// What a candidate's host is known to be.
#[derive(Clone, Copy)]
pub(super) enum Host<'a> {
    /// One of the rule's: the index said so.
    Known,
    /// In the form of a look-up; `None`: too long.
    Given(Option<&'a [u8]>),
}

impl Conditions {
    /// Compiles those of `rule`; says where its hosts belong. `names` are the headers' of all rules, each once.
    pub(super) fn new(rule: &Rule, names: &mut Vec<Arc<str>>) -> Result<(Self, Vec<HostPlace>), Wrong> {
        let mut conditions = Conditions::default();
        let mut places = Vec::new();
        for condition in &rule.conditions {
            match condition {
                Condition::Host(hosts) => places.extend(hosts.iter().map(|host| conditions.add_host(host))),
                Condition::Path(paths) => paths.iter().try_for_each(|path| conditions.add_path(path))?,
                Condition::Method(methods) => conditions.methods.extend_from_slice(methods),
                Condition::SourceIp(networks) => conditions.networks.extend_from_slice(networks),
                Condition::Header { name, values } => {
                    let values = values.iter().map(|value| Pattern::new(value, Case::Ignored)).collect();
                    conditions.headers.push(Header { name: index_of(name, names), values });
                }
                Condition::Query(queries) => conditions.queries.push(queries.iter().map(Query::new).collect()),
            }
        }
        if places.is_empty() {
            places.push(HostPlace::Open);
        }
        Ok((conditions, places))
    }

    fn add_host(&mut self, host: &str) -> HostPlace {
        let pattern = host_pattern(host);
        if let Some(exact) = pattern.exact() {
            return HostPlace::Exact(without_last_dot(exact).to_vec());
        }
        if let Some(suffix) = pattern.suffix().filter(|suffix| suffix.first() == Some(&b'.')) {
            return HostPlace::Suffix(suffix.to_vec());
        }
        self.wild_hosts.push(pattern);
        HostPlace::Open
    }

    fn add_path(&mut self, path: &PathMatch) -> Result<(), Wrong> {
        match path {
            PathMatch::Pattern(text) => self.paths.push(Pattern::new(text, Case::Kept)),
            PathMatch::Prefix(text) => self.paths.push(Pattern::prefix(text)),
            PathMatch::Regex(text) => self.expressions.push(Expression::new(text)?),
        }
        Ok(())
    }

    /// What every path begins with that falls under the rule.
    pub(super) fn gate(&self) -> Gate {
        let paths = self.paths.iter().map(Pattern::beginning);
        let beginnings: Vec<_> = paths.chain(self.expressions.iter().map(|one| one.beginning.to_vec())).collect();
        Gate::new(common_beginning(&beginnings))
    }

    /// Whether they hold; the gate has admitted the path.
    pub(super) fn hold<'a, F: Fields>(&'a self, search: &mut Search<'a, F>, host: Host<'_>) -> bool {
        let subject = search.subject;
        let path = subject.path;
        let path_matches = self.paths.iter().any(|pattern| pattern.matches(path));
        let has_path = !self.paths.is_empty() || !self.expressions.is_empty();
        if has_path && !path_matches && self.expressions.is_empty() {
            return false;
        }
        (self.methods.is_empty() || self.methods.iter().any(|method| method.as_bytes() == subject.method))
            && (self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&search.client)))
            && self.headers.iter().all(|header| header.holds(search))
            && self.queries.iter().all(|queries| any_parameter(subject.query, queries))
            && self.host_holds(host)
            && (!has_path || path_matches || self.expressions.iter().any(|expression| expression.matches(path)))
    }

    /// Whether each condition of `rule`, which they were compiled from, holds for itself; `host` is in the form of a look-up.
    pub(super) fn each<'a, F: Fields>(
        &'a self,
        rule: &Rule,
        search: &mut Search<'a, F>,
        host: Option<&[u8]>,
    ) -> Vec<bool> {
        let (mut headers, mut queries) = (self.headers.iter(), self.queries.iter());
        let subject = search.subject;
        let holds = |condition: &Condition| match condition {
            Condition::Host(hosts) => host.is_some_and(|host| hosts.iter().any(|wanted| is_host(wanted, host))),
            Condition::Path(_) => {
                self.paths.iter().any(|pattern| pattern.matches(subject.path))
                    || self.expressions.iter().any(|expression| expression.matches(subject.path))
            }
            Condition::Method(methods) => methods.iter().any(|method| method.as_bytes() == subject.method),
            // Compiled in the order of the rule's.
            Condition::Header { .. } => headers.next().is_some_and(|header| header.holds(search)),
            Condition::Query(_) => queries.next().is_some_and(|queries| any_parameter(subject.query, queries)),
            Condition::SourceIp(networks) => networks.iter().any(|network| network.contains(&search.client)),
        };
        rule.conditions.iter().map(holds).collect()
    }

    fn host_holds(&self, host: Host<'_>) -> bool {
        match host {
            Host::Known => true,
            Host::Given(_) if self.wild_hosts.is_empty() => true,
            Host::Given(host) => host.is_some_and(|host| self.wild_hosts.iter().any(|pattern| pattern.matches(host))),
        }
    }
}

impl Header {
    fn holds<'a, F: Fields>(&'a self, search: &mut Search<'a, F>) -> bool {
        search.any_value(self.name, |value| self.values.iter().any(|pattern| pattern.matches(value)))
    }
}

impl Query {
    fn new(data: &QueryMatch) -> Self {
        let pattern = |text: &Arc<str>| Pattern::new(text, Case::Ignored);
        Query { key: data.key.as_ref().map(pattern), value: pattern(&data.value) }
    }

    fn matches(&self, key: &[u8], value: &[u8]) -> bool {
        self.key.as_ref().is_none_or(|pattern| pattern.matches(key)) && self.value.matches(value)
    }
}

fn host_pattern(host: &str) -> Pattern {
    let lower = host.to_ascii_lowercase();
    let without_dot = lower.strip_suffix('.').filter(|shorter| !shorter.is_empty()).unwrap_or(&lower);
    Pattern::new(without_dot, Case::Kept)
}

/// Whether a host, in the form of a look-up, is one that a rule names: what the index answers for many rules at once.
fn is_host(wanted: &str, host: &[u8]) -> bool {
    let pattern = host_pattern(wanted);
    match pattern.exact() {
        Some(exact) => without_last_dot(exact) == host,
        None => pattern.matches(host),
    }
}

/// Some parameter matches one of `queries`. `a` alone is `a=`; nothing between two `&` is no parameter.
fn any_parameter(query: Option<&[u8]>, queries: &[Query]) -> bool {
    let parameters = query.unwrap_or_default().split(|byte| *byte == b'&').filter(|parameter| !parameter.is_empty());
    parameters
        .map(|parameter| match memchr::memchr(b'=', parameter) {
            Some(at) => (&parameter[..at], &parameter[at + 1..]),
            None => (parameter, &b""[..]),
        })
        .any(|(key, value)| queries.iter().any(|query| query.matches(key, value)))
}

/// Index of `name`, which is added where it is new.
fn index_of(name: &Arc<str>, names: &mut Vec<Arc<str>>) -> usize {
    names.iter().position(|known| known.eq_ignore_ascii_case(name)).unwrap_or_else(|| {
        names.push(Arc::clone(name));
        names.len() - 1
    })
}
