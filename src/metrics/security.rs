//! Families of security groups, summed over shards: a series a rule, as far as that goes.

use std::sync::Arc;

use super::listeners::Listeners;
use super::names;
use super::text::{Family, Text};
use crate::acl::{Action, RuleCounts, SecurityGroup};
use crate::shard::{SecurityGroupReport, ShardReport};

pub(super) fn write(text: &mut Text, reports: &[Arc<ShardReport>], listeners: &Listeners) {
    text.family(&names::SECURITY_GROUP, |family| {
        let reports: Vec<&SecurityGroupReport> = reports.iter().map(|report| &report.security_group).collect();
        samples(family, &[], &reports);
    });
    text.family(&names::LISTENER_SECURITY_GROUP, |family| {
        for (name, reports) in listeners {
            let reports: Vec<&SecurityGroupReport> = reports.iter().map(|report| &report.security_group).collect();
            samples(family, &[name], &reports);
        }
    });
}

/// A group without rules has nothing to tell.
fn samples(family: &mut Family, labels: &[&str], reports: &[&SecurityGroupReport]) {
    let Some(group) = reports.first().map(|report| &report.group).filter(|group| !group.is_empty()) else { return };
    let decided = sum_of_rules(group, reports);
    let mut sample = |rule: &str, action: Action, count| {
        family.sample(&[labels, &[rule, action.as_str()]].concat(), count);
    };
    for (index, (rule, count)) in group.rules().iter().zip(&decided.by_rule).enumerate() {
        sample(&(index + 1).to_string(), rule.action, *count);
    }
    if let Some([accepted, dropped]) = decided.beyond {
        sample(BEYOND, Action::Accept, accepted);
        sample(BEYOND, Action::Drop, dropped);
    }
    sample("none", group.unmatched(), decided.unmatched);
}

/// `rule` of those that are not counted one by one.
const BEYOND: &str = "beyond";

/// What the rules of this group have decided on all shards. For the moment of a reload a shard may still count by another
/// group, whose rules have other numbers.
#[must_use]
pub fn sum_of_rules(group: &SecurityGroup, reports: &[&SecurityGroupReport]) -> RuleCounts {
    let mut sum = RuleCounts::new(group);
    reports.iter().filter(|report| report.group == *group).for_each(|report| sum.add(&report.counts));
    sum
}
