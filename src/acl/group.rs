//! A security group, and what it becomes for one port.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::intervals::{Claim, Intervals, Mark};
use super::rule::{Action, Rule, Transport};

/// An ordered list of rules (requirement A1).
#[derive(Debug, Clone, Default)]
pub struct SecurityGroup {
    rules: Arc<[Rule]>,
}

/// That it is the same in memory is seen first: a list may have a hundred thousand rules.
impl PartialEq for SecurityGroup {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.rules == other.rules
    }
}

impl Eq for SecurityGroup {}

/// What a group says about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// It may connect.
    pub allowed: bool,
    /// The rule that decided, by its place from 0. `None`: no rule is about the client.
    pub rule: Option<usize>,
}

/// A security group for the connections of one transport and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    pub(super) v4: Intervals<u32>,
    pub(super) v6: Intervals<u128>,
    /// For those whom no rule is about.
    unmatched: Action,
}

/// Compiles a group for port after port. Ports that the same rules are about share what comes out: most groups name no
/// port, and then fifty listeners have one copy of a list of a hundred thousand.
#[derive(Debug)]
pub struct Compiler {
    group: SecurityGroup,
    made: HashMap<Vec<usize>, Arc<Compiled>>,
}

impl SecurityGroup {
    /// In the order in which they are looked at.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        SecurityGroup { rules: rules.into() }
    }

    /// Whether it is the same in memory. One that is not may be equal all the same.
    #[must_use]
    pub fn is_same(&self, other: &SecurityGroup) -> bool {
        Arc::ptr_eq(&self.rules, &other.rules)
    }

    /// Its rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// It has no rule: everyone may connect.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What is done with connections that no rule is about.
    #[must_use]
    pub fn unmatched(&self) -> Action {
        if self.is_empty() { Action::Accept } else { Action::Drop }
    }

    /// What it says to connections of this transport to this port.
    #[must_use]
    pub fn compile(&self, transport: Transport, port: u16) -> Compiled {
        self.compiled_of(&self.about_port(transport, port))
    }

    fn about_port(&self, transport: Transport, port: u16) -> Vec<usize> {
        let is_about = |index: &usize| self.rules[*index].is_about_port(transport, port);
        (0..self.rules.len()).filter(is_about).collect()
    }

    fn compiled_of(&self, indices: &[usize]) -> Compiled {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for &index in indices {
            let rule = &self.rules[index];
            let Some(mark) = Mark::new(index, rule.action == Action::Accept) else { break };
            if rule.sources.is_empty() {
                v4.push(Claim { first: 0, end: None, mark });
                v6.push(Claim { first: 0, end: None, mark });
            }
            for network in &rule.sources {
                match network {
                    IpNet::V4(network) => {
                        let end = network.broadcast().to_bits().checked_add(1);
                        v4.push(Claim { first: network.network().to_bits(), end, mark });
                    }
                    IpNet::V6(network) => {
                        let end = network.broadcast().to_bits().checked_add(1);
                        v6.push(Claim { first: network.network().to_bits(), end, mark });
                    }
                }
            }
        }
        Compiled { v4: Intervals::new(&v4), v6: Intervals::new(&v6), unmatched: self.unmatched() }
    }
}

impl Compiled {
    /// What it says about a client. An IPv4 address in IPv6 form counts as IPv4.
    #[must_use]
    pub fn verdict(&self, client: IpAddr) -> Verdict {
        let mark = match client.to_canonical() {
            IpAddr::V4(client) => self.v4.at(client.to_bits()),
            IpAddr::V6(client) => self.v6.at(client.to_bits()),
        };
        Verdict { allowed: self.allows(mark), rule: mark.rule() }
    }

    pub(super) fn allows(&self, mark: Mark) -> bool {
        if mark == Mark::NO_RULE { self.unmatched == Action::Accept } else { mark.accepts() }
    }
}

impl Compiler {
    /// Nothing is compiled yet.
    #[must_use]
    pub fn new(group: SecurityGroup) -> Self {
        Compiler { group, made: HashMap::new() }
    }

    /// As `SecurityGroup::compile`.
    pub fn compile(&mut self, transport: Transport, port: u16) -> Arc<Compiled> {
        let about = self.group.about_port(transport, port);
        if let Some(made) = self.made.get(&about) {
            return Arc::clone(made);
        }
        let compiled = Arc::new(self.group.compiled_of(&about));
        self.made.insert(about, Arc::clone(&compiled));
        compiled
    }
}
