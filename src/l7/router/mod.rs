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
use std::net::IpAddr;
/// shim
pub struct Subject<'a, F> {
    pub host: &'a [u8],
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
    pub method: &'a [u8],
    pub client: IpAddr,
    pub fields: &'a F,
}
/// shim
pub struct Found<'a> {
    /// x
    pub priority: Option<u16>,
    /// x
    pub decision: Decision<'a>,
}
/// shim
pub enum Decision<'a> {
    /// x
    Forward(&'a Forward),
    /// x
    Redirect(&'a Redirect),
    /// x
    FixedResponse(&'a FixedResponse),
}
impl Router {
    /// shim
    pub fn find<F>(&self, _s: &Subject<'_, F>) -> Found<'_> {
        Found {
            priority: None,
            decision: match &self.default {
                Action::Forward(f) => Decision::Forward(f),
                Action::Redirect(f) => Decision::Redirect(f),
                Action::FixedResponse(f) => Decision::FixedResponse(f),
            },
        }
    }
}
impl Forward {
    /// shim
    pub fn choose_group(&self, _r: u64) -> usize {
        self.groups[0].group
    }
    /// shim
    pub fn rewrite(&self, _t: &[u8], _a: &[u8], _p: &mut Vec<u8>, _h: &mut Vec<u8>) -> (bool, bool) {
        (false, false)
    }
}
impl Redirect {
    /// shim
    pub fn status(&self) -> u16 {
        self.status
    }
}
