//! Which rule a request falls under (requirements R1, R2, R3).
#![forbid(unsafe_code)]

mod rule;

pub use rule::{
    Action, Condition, FixedResponse, Forward, PathMatch, QueryMatch, Redirect, Replace, Rewrite, Rule, WeightedGroup,
};

/// The rules of a listener, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    rules: Vec<Rule>,
    default: Action,
}

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterError {
    /// Which rule; `None`: the default action.
    pub priority: Option<u16>,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl Router {
    /// Compiles the rules.
    ///
    /// # Errors
    /// A rule that cannot be used.
    pub fn new(rules: Vec<Rule>, default: Action) -> Result<Router, RouterError> {
        Ok(Router { rules, default })
    }

    /// The rules, by priority.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is done where no rule holds.
    #[must_use]
    pub fn default_action(&self) -> &Action {
        &self.default
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
