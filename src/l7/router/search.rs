//! One look-up: through lists of candidates for the first rule that holds.
//!
//! A list ends at the first rule that holds, or at one that a rule found before comes ahead of.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::sync::Arc;

use super::conditions::{Conditions, Host};
use super::gate::{self, Candidate};
use super::subject::{Fields, Subject};

pub(super) struct Search<'a, F> {
    pub(super) subject: &'a Subject<'a, F>,
    /// IPv4 as such, also where it came in IPv6's form.
    pub(super) client: IpAddr,
    head: u128,
    names: &'a [Arc<str>],
    seen: [Seen<'a>; SEEN_MAX],
    /// Index of the best rule so far; the number of rules when there is none.
    pub(super) best: usize,
}

/// What is known of a field. Rules that look at the same one, a `User-Agent` say, search the header once.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Unknown,
    Absent,
    Once(&'a [u8]),
    Repeated,
}

/// Fields that are remembered. Ours: rules look at one or two, and the table is cleared for each request.
const SEEN_MAX: usize = 4;

impl<'a, F: Fields> Search<'a, F> {
    pub(super) fn new(subject: &'a Subject<'a, F>, names: &'a [Arc<str>], rules: usize) -> Self {
        let head = gate::head(subject.path);
        let client = subject.client.to_canonical();
        Search { subject, client, head, names, seen: [Seen::Unknown; SEEN_MAX], best: rules }
    }

    /// Looks for a better rule among `candidates`, which are in order of priority.
    pub(super) fn go_through(&mut self, candidates: &[Candidate], conditions: &'a [Conditions], host: Host<'_>) {
        for candidate in candidates {
            if candidate.rule >= self.best {
                return;
            }
            if candidate.gate.admits(self.subject.path, self.head) && conditions[candidate.rule].hold(self, host) {
                self.best = candidate.rule;
                return;
            }
        }
    }

    /// Some field of this name, given by its index, has a value for which `matches` holds.
    pub(super) fn any_value(&mut self, name: usize, mut matches: impl FnMut(&[u8]) -> bool) -> bool {
        let Some(text) = self.names.get(name) else { return false };
        let mut values = self.subject.fields.values(text);
        let Some(seen) = self.seen.get_mut(name) else { return values.any(matches) };
        if let Seen::Unknown = seen {
            *seen = match (values.next(), values.next()) {
                (Some(value), None) => Seen::Once(value),
                (Some(_), Some(_)) => Seen::Repeated,
                (None, _) => Seen::Absent,
            };
        }
        match *seen {
            Seen::Once(value) => matches(value),
            Seen::Repeated => self.subject.fields.values(text).any(matches),
            Seen::Absent | Seen::Unknown => false,
        }
    }
}
