//! Security groups: their rules, and how many connections each has decided about.

use serde::Serialize;
use utoipa::ToSchema;

use crate::acl::{Rule, SecurityGroup, Transport};
use crate::metrics;
use crate::shard::SecurityGroupReport;

/// A security group and what it has decided.
#[derive(Serialize, ToSchema)]
#[schema(as = SecurityGroup)]
pub(super) struct SecurityGroupView {
    /// The first of them; metrics count as many.
    rules: Vec<SecurityRule>,
    /// How many there are.
    rules_total: usize,
    /// What those that are not shown have decided together.
    beyond: Option<Beyond>,
    /// Connections that no rule was about.
    unmatched: Unmatched,
}

/// A rule of a security group.
#[derive(Serialize, ToSchema)]
struct SecurityRule {
    /// Its place, from 1.
    rule: usize,
    /// `accept` or `drop`.
    action: &'static str,
    /// Networks.
    source: Vec<String>,
    /// `tcp`, `udp` or `all`.
    protocol: &'static str,
    /// As in the config.
    port: String,
    /// Connections that it has decided about.
    connections: u64,
}

/// What rules that are not shown have decided.
#[derive(Serialize, ToSchema)]
struct Beyond {
    /// Connections.
    accepted: u64,
    /// Connections.
    dropped: u64,
}

/// Connections that no rule was about.
#[derive(Serialize, ToSchema)]
struct Unmatched {
    /// `accept` or `drop`.
    action: &'static str,
    /// How many.
    connections: u64,
}

/// `None` where there is no rule: everyone may connect.
pub(super) fn security_group<'r>(
    group: &SecurityGroup,
    reports: impl Iterator<Item = &'r SecurityGroupReport>,
) -> Option<SecurityGroupView> {
    if group.is_empty() {
        return None;
    }
    let decided = metrics::sum_of_rules(group, &reports.collect::<Vec<_>>());
    let rules = group.rules().iter().zip(&decided.by_rule).enumerate();
    Some(SecurityGroupView {
        rules: rules.map(|(index, (rule, count))| shown(index + 1, rule, *count)).collect(),
        rules_total: group.rules().len(),
        beyond: decided.beyond.map(|[accepted, dropped]| Beyond { accepted, dropped }),
        unmatched: Unmatched { action: group.unmatched().as_str(), connections: decided.unmatched },
    })
}

fn shown(number: usize, rule: &Rule, connections: u64) -> SecurityRule {
    SecurityRule {
        rule: number,
        action: rule.action.as_str(),
        source: rule.sources.iter().map(ToString::to_string).collect(),
        protocol: rule.transport.map_or("all", Transport::as_str),
        port: rule.ports_text(),
        connections,
    }
}
