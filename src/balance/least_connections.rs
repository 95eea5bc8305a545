//! Fewest connections for its weight; among equals it is weighted round robin, as on an idle group all are equal and the
//! first would take everything.
//!
//! A pick looks at every target: loads change with each connection that opens or closes, and to keep the targets in their
//! order somebody would have to say so each time.

use super::Eligible;
use super::turns::{Ratio, Turns};

#[derive(Debug, Clone, Default)]
pub(super) struct LeastConnections {
    turns: Turns,
}

impl LeastConnections {
    pub(super) fn refresh(&mut self, eligible: &[Eligible]) {
        self.turns.reseat(eligible);
    }

    pub(super) fn pick(&mut self, load: impl Fn(usize) -> u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let slot = self.first(load, usable)?;
        self.turns.take(slot);
        Some(self.turns.target(slot))
    }

    pub(super) fn peek(&self, load: impl Fn(usize) -> u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
        self.first(load, usable).map(|slot| self.turns.target(slot))
    }

    fn first(&self, load: impl Fn(usize) -> u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let rank = |slot: usize| {
            let load = Ratio { numerator: i64::from(load(self.turns.target(slot))), weight: self.turns.weight(slot) };
            (load, self.turns.place(slot), slot)
        };
        let usable = (0..self.turns.len()).filter(|&slot| usable(self.turns.target(slot)));
        usable.min_by_key(|&slot| rank(slot))
    }
}
