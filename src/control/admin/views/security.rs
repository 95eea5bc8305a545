//! Security groups: their rules, and how many connections each has decided about.

use serde_json::{Value, json};

use crate::acl::{Rule, SecurityGroup, Transport};
use crate::metrics;
use crate::shard::SecurityGroupReport;

/// Null where there is no rule: everyone may connect.
pub(super) fn security_group<'r>(
    group: &SecurityGroup,
    reports: impl Iterator<Item = &'r SecurityGroupReport>,
) -> Value {
    if group.is_empty() {
        return Value::Null;
    }
    let decided = metrics::summed(group, &reports.collect::<Vec<_>>());
    let rules = group.rules().iter().zip(&decided.by_rule).enumerate();
    json!({
        "rules": rules.map(|(index, (rule, count))| shown(index + 1, rule, *count)).collect::<Vec<_>>(),
        "rules_total": group.rules().len(),
        "beyond": decided.beyond.map(|[accepted, dropped]| json!({ "accepted": accepted, "dropped": dropped })),
        "unmatched": { "action": group.unmatched().as_str(), "connections": decided.unmatched },
    })
}

fn shown(number: usize, rule: &Rule, connections: u64) -> Value {
    json!({
        "rule": number,
        "action": rule.action.as_str(),
        "source": rule.sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "protocol": rule.transport.map_or("all", Transport::as_str),
        "port": rule.ports_text(),
        "connections": connections,
    })
}
