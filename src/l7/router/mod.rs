//! Which rule a request falls under (requirements R1, R2, R3, L9).
//!
//!     host --hosts--> rules of this host ----------.   in order of priority:
//!                     rules of its suffixes -------+-- gate --> conditions --> first that holds --> Forward | Redirect | FixedResponse
//!                     rules without such a host ---'                             `--none--> default action
//!
//! Priority decides, whatever a rule's host is, as in ALB. CLB has no priorities: there an exact host goes before `*.example.com`,
//! that before `www.*`, that before a regular expression. Who wants that order gives priorities in it, in steps, so that
//! there is room in between: 1000 and on for exact hosts, 20000 and on for leading wildcards, 30000 and on for others.
//!
//! Rules are compiled when a config is read. A look-up then costs as many comparisons as there are rules for its host, and not
//! more; it allocates nothing (benches/micro/router.rs). What it is asked comes from a client: nothing in it makes a look-up
//! cost more than in proportion to its length.
#![forbid(unsafe_code)]

mod check;
mod conditions;
mod explain;
mod expression;
mod gate;
mod hosts;
mod pattern;
mod redirect;
mod rewrite;
mod rule;
mod search;
mod subject;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use check::RouterError;
pub use explain::Tried;
pub use redirect::{LOCATION_BYTES_MAX, LocationTooLong, Origin};
pub use rewrite::{Original, Rewriter, Transform};
pub use rule::{
    Action, Condition, FixedResponse, Forward, PathMatch, QueryMatch, Redirect, Replace, Rewrite, Rule, WeightedGroup,
};
pub use subject::{Decision, Fields, Found, Subject};

use check::Wrong;
use conditions::{Conditions, Host, HostPlace};
use gate::Candidate;
use hosts::Hosts;
use search::Search;

use crate::config::Stickiness;

/// The rules of a listener, compiled. Two are equal when their rules are.
#[derive(Clone)]
pub struct Router {
    /// In order of priority.
    rules: Vec<Rule>,
    default: Action,
    compiled: Arc<Compiled>,
}

#[derive(Debug, Clone, Default)]
struct Compiled {
    /// Of each rule.
    conditions: Vec<Conditions>,
    /// Of each rule that rewrites.
    rewriters: Vec<Option<Rewriter>>,
    default_rewriter: Option<Rewriter>,
    /// Rules by their hosts.
    hosts: Hosts,
    /// Rules that `hosts` cannot find.
    open: Vec<Candidate>,
    /// Fields that conditions look at.
    names: Vec<Arc<str>>,
}

impl Router {
    /// Compiles the rules, whatever order they come in.
    ///
    /// # Errors
    /// A rule that cannot be used; the first, if there are several.
    pub fn new(mut rules: Vec<Rule>, default: Action) -> Result<Router, RouterError> {
        rules.sort_by_key(|rule| rule.priority);
        check::priorities(&rules)?;
        let mut compiled = Compiled::default();
        for (index, rule) in rules.iter().enumerate() {
            compiled.add(index, rule).map_err(|wrong| wrong.of(Some(rule.priority)))?;
        }
        compiled.hosts.tie();
        compiled.default_rewriter = action(&default, &[]).map_err(|wrong| wrong.of(None))?;
        Ok(Router { rules, default, compiled: Arc::new(compiled) })
    }

    /// A router of the same rules for one shard alone. Regular expressions keep memory that they work in, and two shards with the
    /// same one would take turns at it; what a request keeps of its rule is counted without other shards' counting.
    #[must_use]
    pub fn of_one_shard(&self) -> Router {
        let mut router = Router { compiled: Arc::new(Compiled::clone(&self.compiled)), ..self.clone() };
        for action in router.rules.iter_mut().map(|rule| &mut rule.action).chain([&mut router.default]) {
            if let Action::Forward(Forward { group_stickiness: Some(stickiness), .. }) = action {
                *stickiness = Arc::new(Stickiness::clone(stickiness));
            }
        }
        router
    }

    /// The rules, by priority.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What happens where no rule applies.
    #[must_use]
    pub fn default_action(&self) -> &Action {
        &self.default
    }

    /// The rule that a request falls under.
    #[must_use]
    pub fn find<F: Fields>(&self, subject: &Subject<'_, F>) -> Found<'_> {
        let best = self.compiled.find(subject);
        let (priority, action, rewriter) = match self.rules.get(best) {
            Some(rule) => (Some(rule.priority), &rule.action, self.compiled.rewriters[best].as_ref()),
            None => (None, &self.default, self.compiled.default_rewriter.as_ref()),
        };
        let decision = match action {
            Action::Forward(forward) => Decision::Forward(forward, rewriter),
            Action::Redirect(redirect) => Decision::Redirect(redirect),
            Action::FixedResponse(response) => Decision::FixedResponse(response),
        };
        Found { priority, decision }
    }

    /// Indices of the groups that rules forward to, ascending, each once.
    #[must_use]
    pub fn groups(&self) -> Vec<usize> {
        let forwards = self.rules.iter().map(|rule| &rule.action).chain([&self.default]);
        let mut groups: Vec<usize> = forwards
            .filter_map(|action| if let Action::Forward(forward) = action { Some(forward) } else { None })
            .flat_map(|forward| forward.groups.iter().map(|weighted| weighted.group))
            .collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

impl Compiled {
    fn add(&mut self, index: usize, rule: &Rule) -> Result<(), Wrong> {
        check::conditions(&rule.conditions)?;
        let (conditions, places) = Conditions::new(rule, &mut self.names)?;
        let candidate = Candidate { gate: conditions.gate(), rule: index };
        for place in places {
            match place {
                HostPlace::Exact(host) => self.hosts.add_exact(&host, candidate),
                HostPlace::Suffix(suffix) => self.hosts.add_suffix(&suffix, candidate),
                HostPlace::Open if self.open.last().is_none_or(|last| last.rule != index) => self.open.push(candidate),
                HostPlace::Open => {}
            }
        }
        self.conditions.push(conditions);
        self.rewriters.push(action(&rule.action, &rule.conditions)?);
        Ok(())
    }

    /// Index of the rule; that behind the last one for the default.
    fn find<F: Fields>(&self, subject: &Subject<'_, F>) -> usize {
        let mut search = Search::new(subject, &self.names, self.conditions.len());
        let mut buffer = [0; hosts::HOST_BYTES_MAX];
        let host = hosts::lookup_form(subject.host, &mut buffer);
        if let Some(host) = host.filter(|_| !self.hosts.is_empty()) {
            for candidates in self.hosts.lists(host) {
                search.go_through(candidates, &self.conditions, Host::Known);
            }
        }
        search.go_through(&self.open, &self.conditions, Host::Given(host));
        search.best
    }
}

/// Checks an action and compiles what it has to compile.
fn action(action: &Action, conditions: &[Condition]) -> Result<Option<Rewriter>, Wrong> {
    check::action(action, conditions)?;
    match action {
        Action::Forward(Forward { rewrite: Some(rewrite), .. }) => Rewriter::new(rewrite).map(Some),
        _ => Ok(None),
    }
}

impl Forward {
    /// Index of the group that a request goes to, by weight. Each `roll` is as likely as any other. Weight 0 gets none.
    #[must_use]
    pub fn choose_group(&self, roll: u64) -> usize {
        let total: u64 = self.groups.iter().map(|weighted| u64::from(weighted.weight)).sum();
        // Scaled rather than divided: exact to 2^-48, and without a division.
        let scaled = (u128::from(roll) * u128::from(total)) >> 64;
        let mut left = u64::try_from(scaled).unwrap_or_default();
        let chosen = self.groups.iter().find(|weighted| match left.checked_sub(u64::from(weighted.weight)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        // A router has no forward without groups.
        chosen.or(self.groups.first()).map_or(0, |weighted| weighted.group)
    }
}

impl PartialEq for Router {
    fn eq(&self, other: &Router) -> bool {
        self.rules == other.rules && self.default == other.default
    }
}

impl Eq for Router {}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("rules", &self.rules).field("default", &self.default).finish_non_exhaustive()
    }
}
