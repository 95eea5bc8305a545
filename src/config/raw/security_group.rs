//! `security_group` as typed (requirement A1). A rule needs nothing else of the file, so it comes out as acl takes it.

use super::table::Table;
use crate::acl::{Rule, SecurityGroup};
use crate::config::keys;
use crate::config::values::acl as values;

pub(super) fn security_group(table: &Table<'_>) -> SecurityGroup {
    let rules = table.list("security_group", "security group rule", &keys::SECURITY_GROUP);
    SecurityGroup::new(rules.iter().filter_map(rule).collect())
}

/// What is absent was reported, but for a source, a protocol and a port that nobody wrote.
fn rule(table: &Table<'_>) -> Option<Rule> {
    let action = table.require("action", values::action, "add action = \"accept\" or action = \"drop\"");
    let sources = table.read_items("source", values::source);
    let transport = table.read("protocol", values::transport);
    let ports = table.read("port", values::ports);
    Some(Rule {
        action: action?.value,
        sources: sources.unwrap_or_default(),
        transport: transport.and_then(|given| given.value),
        ports: ports.map(|given| given.value).unwrap_or_default(),
    })
}
