//! Families of security groups, summed over shards: a series a rule, as far as that goes.

use std::sync::Arc;

use super::listeners::Listeners;
use super::names;
use super::text::{Family, Text};
use crate::acl::{Action, SecurityGroup};
use crate::shard::{SecurityGroupReport, ShardReport};

/// So many rules of a group are shown one by one; those beyond are summed. Ours: a list of addresses that has ten
/// thousand is no use as series.
pub const RULES_SHOWN_MAX: usize = 1_000;

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
    let decided = Decided::of(group, reports);
    let mut sample = |rule: &str, action: Action, count| {
        family.sample(&[labels, &[rule, action.as_str()]].concat(), count);
    };
    for (index, (rule, count)) in group.rules().iter().zip(&decided.shown).enumerate() {
        sample(&(index + 1).to_string(), rule.action, *count);
    }
    if let Some([accepted, dropped]) = decided.beyond {
        sample(BEYOND, Action::Accept, accepted);
        sample(BEYOND, Action::Drop, dropped);
    }
    sample("none", group.unmatched(), decided.unmatched);
}

/// `rule` of those that are not shown one by one.
const BEYOND: &str = "beyond";

/// What the rules of a group have decided, on all shards.
#[derive(Debug, PartialEq, Eq)]
pub struct Decided {
    /// Connections by rule, as far as rules are shown one by one.
    pub shown: Vec<u64>,
    /// Those that rules beyond have accepted and dropped; `None`: there are none.
    pub beyond: Option<[u64; 2]>,
    /// Those that no rule was about.
    pub unmatched: u64,
}

impl Decided {
    /// Of this group: for the moment of a reload a shard may still count by another one, whose rules have other
    /// numbers.
    #[must_use]
    pub fn of(group: &SecurityGroup, reports: &[&SecurityGroupReport]) -> Decided {
        let rules = group.rules();
        let of_group: Vec<&[u64]> =
            reports.iter().filter(|report| report.group == *group).map(|report| &*report.counts).collect();
        let count = |index: usize| of_group.iter().filter_map(|counts| counts.get(index)).sum::<u64>();
        let beyond = (rules.len() > RULES_SHOWN_MAX).then(|| {
            let of_action = |action| {
                let indices = (RULES_SHOWN_MAX..rules.len()).filter(|index| rules[*index].action == action);
                indices.map(count).sum()
            };
            [of_action(Action::Accept), of_action(Action::Drop)]
        });
        Decided {
            shown: (0..rules.len().min(RULES_SHOWN_MAX)).map(count).collect(),
            beyond,
            unmatched: count(rules.len()),
        }
    }
}
