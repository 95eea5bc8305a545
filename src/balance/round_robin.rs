//! Smooth weighted round robin: the turns, kept in two heaps so that a pick costs O(log n).
//!
//! ```text
//!             start reached
//!   waiting ----------------> due --> first end that is usable --> taken --+
//!      ^                       ^                                           |
//!      `-----------------------+-------------------------------------------'
//! ```
//!
//! Always: every slot is in exactly one heap between two picks; the heaps never grow in a pick.

use super::Eligible;
use super::turns::{Others, Place, Ratio, Turns};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Debug, Clone, Default)]
pub(super) struct RoundRobin {
    turns: Turns,
    /// Slots whose turn is due, by its end.
    due: BinaryHeap<Reverse<(Ratio, usize)>>,
    /// The other slots, by the start of their turn.
    waiting: BinaryHeap<Reverse<(Ratio, usize)>>,
    /// Slots that the pick at hand left out; empty between two picks.
    left_out: Vec<usize>,
}

impl RoundRobin {
    pub(super) fn refresh(&mut self, eligible: &[Eligible]) {
        self.turns.reseat(eligible);
        self.rebuild();
    }

    pub(super) fn pick(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        self.wake();
        let chosen = self.next_usable(usable);
        while let Some(slot) = self.left_out.pop() {
            self.enqueue(slot);
        }
        let slot = chosen?;
        match self.turns.take(slot) {
            Others::Kept => self.enqueue(slot),
            Others::Moved => self.rebuild(),
        }
        Some(self.turns.target(slot))
    }

    /// As `pick`, by a look at every slot: what is due goes before what waits, and the heaps only keep that order at hand.
    pub(super) fn peek(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let usable = (0..self.turns.len()).filter(|&slot| usable(self.turns.target(slot)));
        let slot = usable.min_by_key(|&slot| (self.turns.place(slot), slot))?;
        Some(self.turns.target(slot))
    }

    /// Moves the turns that have become due.
    fn wake(&mut self) {
        while let Some(&Reverse((_, slot))) = self.waiting.peek()
            && self.turns.is_due(slot)
        {
            self.waiting.pop();
            self.enqueue(slot);
        }
    }

    /// With no usable turn due, somebody takes a turn early and waits the longer for the next.
    fn next_usable(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        while let Some(Reverse((_, slot))) = self.due.pop().or_else(|| self.waiting.pop()) {
            if usable(self.turns.target(slot)) {
                return Some(slot);
            }
            self.left_out.push(slot);
        }
        None
    }

    fn enqueue(&mut self, slot: usize) {
        match self.turns.place(slot) {
            Place::Due(end) => self.due.push(Reverse((end, slot))),
            Place::Waiting(start) => self.waiting.push(Reverse((start, slot))),
        }
    }

    #[cold]
    fn rebuild(&mut self) {
        self.due.clear();
        self.waiting.clear();
        self.due.reserve(self.turns.len());
        self.waiting.reserve(self.turns.len());
        self.left_out.reserve(self.turns.len());
        for slot in 0..self.turns.len() {
            self.enqueue(slot);
        }
    }
}

#[cfg(test)]
impl RoundRobin {
    /// What a pick must not change.
    pub(super) fn capacities(&self) -> [usize; 3] {
        [self.due.capacity(), self.waiting.capacity(), self.left_out.capacity()]
    }

    /// What happens by itself after `PICKS_MAX` picks.
    pub(super) fn count_from_zero(&mut self) {
        self.turns.settle();
        self.rebuild();
    }
}
