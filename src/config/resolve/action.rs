//! Rules and actions: names become indices, and the router is made (requirements R1, R2, R3).

use std::sync::Arc;

use super::{FirstSeen, Scope};
use crate::config::error::{Wrong, did_you_mean, quoted};
use crate::config::limits;
use crate::config::raw::{RawAction, RawForward, RawGroup, RawListener, RawRule, RawVerb};
use crate::l7::router::{Action, FixedResponse, Forward, Router, RouterError, Rule, WeightedGroup};
use crate::l7::stickiness;

impl Scope<'_> {
    pub(super) fn router(&self, listener: &RawListener, groups: &[RawGroup]) -> Option<Router> {
        let priorities_are_unique = self.priorities_are_unique(&listener.rules);
        let default = listener.default_action.as_ref().and_then(|raw| {
            let action = self.action(raw, None, listener, groups)?;
            Some((raw, action))
        });
        let rules = listener.rules.iter().filter_map(|raw| Some((raw, self.rule(raw, listener, groups)?)));
        let rules: Vec<_> = rules.collect();
        let mut in_order: Vec<Rule> = rules.iter().map(|(_, rule)| rule.clone()).collect();
        in_order.sort_by_key(|rule| rule.priority);
        let together = match &default {
            Some((_, default)) if priorities_are_unique => match Router::new(in_order, default.clone()) {
                Ok(router) => return Some(router),
                Err(error) => Some(error),
            },
            _ => None,
        };
        // The router tells of one mistake, so what there is is tried one by one.
        let alone = default.and_then(|(raw, default)| {
            let error = Router::new(Vec::new(), default).err()?;
            Some((raw.line, raw.place.as_str(), error))
        });
        let mut errors: Vec<_> = alone.into_iter().collect();
        errors.extend(rules.into_iter().filter_map(|(raw, rule)| {
            let error = Router::new(vec![rule], refuse()).err()?;
            Some((raw.line, raw.place.as_str(), error))
        }));
        if errors.is_empty() {
            let line = listener.default_action.as_ref().map_or(1, |action| action.line);
            errors.extend(together.map(|error| (line, listener.place.as_str(), error)));
        }
        for (line, place, RouterError { what, mend, .. }) in errors {
            self.report.at(line, place, Wrong::new(what, mend));
        }
        None
    }

    fn rule(&self, raw: &RawRule, listener: &RawListener, groups: &[RawGroup]) -> Option<Rule> {
        let priority = raw.priority.as_ref().map(|priority| priority.value);
        let action = self.action(raw.action.as_ref()?, priority, listener, groups);
        Some(Rule { priority: raw.priority.as_ref()?.value, conditions: raw.conditions.clone(), action: action? })
    }

    fn priorities_are_unique(&self, rules: &[RawRule]) -> bool {
        let mut seen = FirstSeen::default();
        let mut are_unique = true;
        for rule in rules {
            let Some(priority) = &rule.priority else { continue };
            if let Some(first_line) = seen.before(priority.value, priority.line) {
                let what = format!("{} is taken by another rule (line {first_line})", priority.value);
                let wrong = Wrong::new(what, "give each rule of a listener its own");
                self.report.at(priority.line, format!("{}: priority", rule.place), wrong);
                are_unique = false;
            }
        }
        are_unique
    }

    /// `rule` is the priority of the rule that it belongs to.
    fn action(
        &self,
        raw: &RawAction,
        rule: Option<u16>,
        listener: &RawListener,
        groups: &[RawGroup],
    ) -> Option<Action> {
        Some(match raw.verb.as_ref()? {
            RawVerb::Forward { groups: forwards, group_stickiness, rewrite } => {
                let shares_are_good = self.weights_send_somewhere(raw, forwards) & self.groups_are_unique(forwards);
                // All are looked up, so that all that is wrong is said.
                let weighted: Vec<_> = forwards
                    .iter()
                    .map(|forward| {
                        Some(WeightedGroup { group: self.group_of(forward, listener, groups)?, weight: forward.weight })
                    })
                    .collect();
                if !shares_are_good {
                    return None;
                }
                Action::Forward(Forward {
                    groups: weighted.into_iter().collect::<Option<_>>()?,
                    group_stickiness: group_stickiness
                        .as_ref()
                        .map(|duration| Arc::new(stickiness::of_rule(rule, duration.value))),
                    rewrite: rewrite.clone(),
                })
            }
            RawVerb::Redirect(redirect) => Action::Redirect(redirect.clone()),
            RawVerb::FixedResponse(response) => Action::FixedResponse(response.clone()),
        })
    }

    fn weights_send_somewhere(&self, action: &RawAction, forwards: &[RawForward]) -> bool {
        if forwards.iter().any(|forward| forward.weight > 0) {
            return true;
        }
        // An empty list was reported.
        if !forwards.is_empty() {
            let what = "all groups have weight 0, so no request can be forwarded";
            let wrong = Wrong::new(what, "give one of them a weight of 1 or more");
            self.report.at(action.line, format!("{}.forward", action.place), wrong);
        }
        false
    }

    fn groups_are_unique(&self, forwards: &[RawForward]) -> bool {
        let mut seen = FirstSeen::default();
        let mut are_unique = true;
        for forward in forwards {
            let Some(group) = &forward.group else { continue };
            if let Some(first_line) = seen.before(Arc::clone(&group.value), group.line) {
                let what = format!("{} is in this forward already (line {first_line})", quoted(&group.value));
                self.report.at(group.line, forward.place.as_str(), Wrong::new(what, "name it once, with one weight"));
                are_unique = false;
            }
        }
        are_unique
    }

    /// Index of the group that a forward names, if it speaks what the listener does.
    pub(super) fn group_of(&self, forward: &RawForward, listener: &RawListener, groups: &[RawGroup]) -> Option<usize> {
        let wanted = forward.group.as_ref()?;
        let names = || groups.iter().map(|group| group.name.as_ref().map(|name| &*name.value));
        if let Some(index) = names().position(|name| name == Some(&wanted.value)) {
            self.protocols_agree(forward, listener, &groups[index]);
            return Some(index);
        }
        // A group whose name could not be read was reported; it may well be the one that is meant.
        if names().all(|name| name.is_some()) {
            let what = format!("there is no target group {}", quoted(&wanted.value));
            let mend = did_you_mean(&wanted.value, names().flatten(), || "add a [[target_group]] of that name".into());
            self.report.at(wanted.line, forward.place.as_str(), Wrong::new(what, mend));
        }
        None
    }

    /// A tcp listener has no requests for an http group, and requests cannot be spread over a tcp group.
    fn protocols_agree(&self, forward: &RawForward, listener: &RawListener, group: &RawGroup) {
        let (Some(ours), Some(theirs), Some(named)) = (&listener.protocol, &group.protocol, &forward.group) else {
            return;
        };
        if ours.value == theirs.value {
            return;
        }
        let what = format!(
            "the listener's protocol is {}, that of {} is {} (line {})",
            ours.value.as_str(),
            group.place,
            theirs.value.as_str(),
            theirs.line
        );
        let mend = format!("forward to a group with protocol = \"{}\", or change one of the two", ours.value.as_str());
        self.report.at(named.line, forward.place.as_str(), Wrong::new(what, mend));
    }
}

/// A default action for rules that are tried without their own.
fn refuse() -> Action {
    let content_type = limits::FIXED_RESPONSE_CONTENT_TYPES[0].into();
    Action::FixedResponse(FixedResponse { status: 404, content_type, body: "".into() })
}
