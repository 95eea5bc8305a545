//! Why a request falls under its rule and not under one of those above it.
//!
//!     find --> the rule --> it and every rule above it: each condition for itself --> Tried
//!
//! For an operator who asks: a look-up goes by an index and stops at the first condition that does not hold. Here every condition is
//! tried, by the same compiled patterns. It allocates, and takes as long as there are rules above.
//! Always: all conditions of the rule that `find` names hold, and of each rule above some condition does not.
#![forbid(unsafe_code)]

use super::hosts::{self, HOST_BYTES_MAX};
use super::search::Search;
use super::subject::{Fields, Subject};
use super::{Router, Rule};

/// A rule that a request was held against.
#[derive(Debug, Clone)]
pub struct Tried<'r> {
    /// It.
    pub rule: &'r Rule,
    /// Whether each of its conditions holds, in their order.
    pub conditions: Vec<bool>,
}

impl Tried<'_> {
    /// All of its conditions hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.conditions.iter().all(|holds| *holds)
    }
}

impl Router {
    /// The rules that a request is held against, by priority, down to the one that it falls under; all where none holds.
    #[must_use]
    pub fn explain<F: Fields>(&self, subject: &Subject<'_, F>) -> Vec<Tried<'_>> {
        let found = self.compiled.find(subject);
        let mut search = Search::new(subject, &self.compiled.names, self.rules.len());
        let mut buffer = [0; HOST_BYTES_MAX];
        let host = hosts::lookup_form(subject.host, &mut buffer);
        let rules = self.rules.iter().zip(&self.compiled.conditions).take(found + 1);
        rules.map(|(rule, compiled)| Tried { rule, conditions: compiled.each(rule, &mut search, host) }).collect()
    }
}
