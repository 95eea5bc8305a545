//! How many connections the rules of a group have decided about.

use super::group::{SecurityGroup, Verdict};

/// So many rules of a group are counted one by one; those beyond are summed. Ours: each shard tells all of its counts each time
/// that somebody asks, and a list of addresses that has a hundred thousand is no use as series.
pub const RULES_COUNTED_MAX: usize = 1_000;

/// Connections that a group has decided about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// By rule, as far as rules are counted one by one.
    pub by_rule: Vec<u64>,
    /// Those that rules beyond have accepted and dropped; `None`: there are none.
    pub beyond: Option<[u64; 2]>,
    /// Those that no rule was about.
    pub unmatched: u64,
}

impl RuleCounts {
    /// None yet, by rules of this group.
    #[must_use]
    pub fn new(group: &SecurityGroup) -> Self {
        let rules = group.rules().len();
        RuleCounts {
            by_rule: vec![0; rules.min(RULES_COUNTED_MAX)],
            beyond: (rules > RULES_COUNTED_MAX).then_some([0; 2]),
            unmatched: 0,
        }
    }

    /// One more, with this verdict of the group.
    pub fn count(&mut self, verdict: Verdict) {
        let count = match verdict.rule {
            None => Some(&mut self.unmatched),
            Some(rule) if rule < RULES_COUNTED_MAX => self.by_rule.get_mut(rule),
            Some(_) => self.beyond.as_mut().map(|[accepted, dropped]| if verdict.allowed { accepted } else { dropped }),
        };
        if let Some(count) = count {
            *count += 1;
        }
    }

    /// Those of another shard, by the same group.
    pub fn add(&mut self, other: &RuleCounts) {
        let beyond = self.beyond.iter_mut().flatten().zip(other.beyond.iter().flatten());
        for (count, more) in self.by_rule.iter_mut().zip(&other.by_rule).chain(beyond) {
            *count += more;
        }
        self.unmatched += other.unmatched;
    }
}
