//! Which rules a host may fall under, without looking at the others.
//!
//!     www.example.com --exact--> node -.
//!          `---- .example.com --suffix--> node --> node of .com ...       each with its rules in order of priority
//!
//! A node leads to that of the next shorter suffix, so no rule is kept twice however many hosts a wildcard covers.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use foldhash::fast::RandomState;
use memchr::memchr_iter;

use super::gate::Candidate;

/// Longest host of a request or a pattern. RFC 1035, 2.3.4. A longer one falls under no rule with a host.
pub(super) const HOST_BYTES_MAX: usize = 255;

#[derive(Debug, Clone, Default)]
pub(super) struct Hosts {
    exact: HashMap<Box<[u8]>, usize, RandomState>,
    /// By what follows the star: `.example.com`.
    suffix: HashMap<Box<[u8]>, usize, RandomState>,
    /// The lengths of those, so that most dots of a host cost nothing.
    suffix_lengths: Lengths,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    rules: Vec<Candidate>,
    shorter: Option<usize>,
}

impl Hosts {
    /// Rules come in order of priority.
    pub(super) fn add_exact(&mut self, host: &[u8], candidate: Candidate) {
        add(&mut self.exact, &mut self.nodes, host, candidate);
    }

    /// `suffix` begins with a dot.
    pub(super) fn add_suffix(&mut self, suffix: &[u8], candidate: Candidate) {
        self.suffix_lengths.add(suffix.len());
        add(&mut self.suffix, &mut self.nodes, suffix, candidate);
    }

    /// After the last rule: ties hosts to the suffixes that they end with.
    pub(super) fn tie(&mut self) {
        let exact = self.exact.iter().map(|(host, node)| (*node, self.longest_suffix(host)));
        let suffix = self.suffix.iter().map(|(suffix, node)| (*node, self.longest_suffix(&suffix[1..])));
        let ties: Vec<_> = exact.chain(suffix).collect();
        for (node, shorter) in ties {
            self.nodes[node].shorter = shorter;
        }
    }

    /// The rules of `host`, which is in lower case: a list for it, for its longest suffix, and so on.
    pub(super) fn lists(&self, host: &[u8]) -> impl Iterator<Item = &[Candidate]> {
        let first = self.exact.get(host).copied().or_else(|| self.longest_suffix(host));
        let nodes = std::iter::successors(first.map(|node| &self.nodes[node]), |node| {
            node.shorter.map(|shorter| &self.nodes[shorter])
        });
        nodes.map(|node| node.rules.as_slice())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn longest_suffix(&self, host: &[u8]) -> Option<usize> {
        if self.suffix.is_empty() {
            return None;
        }
        memchr_iter(b'.', host)
            .filter(|dot| self.suffix_lengths.contain(host.len() - dot))
            .find_map(|dot| self.suffix.get(&host[dot..]).copied())
    }
}

fn add(map: &mut HashMap<Box<[u8]>, usize, RandomState>, nodes: &mut Vec<Node>, host: &[u8], candidate: Candidate) {
    let node = *map.entry(host.into()).or_insert_with(|| {
        nodes.push(Node::default());
        nodes.len() - 1
    });
    let rules = &mut nodes[node].rules;
    if rules.last().is_none_or(|last| last.rule != candidate.rule) {
        rules.push(candidate);
    }
}

/// A set of lengths up to `HOST_BYTES_MAX`.
#[derive(Debug, Clone, Default)]
struct Lengths([u64; 4]);

const _: () = assert!(HOST_BYTES_MAX < 4 * 64);

impl Lengths {
    fn add(&mut self, length: usize) {
        if let Some(word) = self.0.get_mut(length / 64) {
            *word |= 1 << (length % 64);
        }
    }

    fn contain(&self, length: usize) -> bool {
        self.0.get(length / 64).is_some_and(|word| word >> (length % 64) & 1 == 1)
    }
}

/// A host as it is looked up: in lower case, without the dot that ends a full name (RFC 1034, 3.1). `None` when it is too long.
pub(super) fn lookup_form<'b>(host: &[u8], buffer: &'b mut [u8; HOST_BYTES_MAX]) -> Option<&'b [u8]> {
    let host = without_last_dot(host);
    let lower = buffer.get_mut(..host.len())?;
    lower.copy_from_slice(host);
    lower.make_ascii_lowercase();
    Some(lower)
}

pub(super) fn without_last_dot(host: &[u8]) -> &[u8] {
    match host {
        [shorter @ .., b'.'] if !shorter.is_empty() => shorter,
        _ => host,
    }
}
