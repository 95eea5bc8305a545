//! Whose turn it is: the arithmetic that both algorithms share.
//!
//! Picks are numbered 0, 1, 2, ... Of W, the sum of all weights, a target has w. Its turn number k belongs between pick
//! k*W/w and pick (k+1)*W/w:
//!
//! ```text
//! picks      0   1   2   3   4   5          W = 6
//! w = 3      [ turn 0][ turn 1][ turn 2]
//! w = 2      [   turn 0   ][  turn 1   ]
//! w = 1      [         turn 0          ]
//! taken by   3   2   3   2   3   1
//! ```
//!
//! From its start on a turn is due, and of the due turns the one that ends first is taken. So every turn falls into its
//! window, which is all that we promise: a heavy target's turns are spread, each target is less than one pick away from its
//! share after any number of picks, and exactly there after W. (Proportionate progress on one processor, Baruah et al.,
//! Algorithmica 15, 1996; the same bound as Tijdeman's chairman assignment, 1980.)
//!
//! Why not ends alone, at (2k+1)/2w (Webster), which need one heap, not two: beside 49 targets of weight 1 a target of
//! weight 100 would take its first 50 turns in a row, 16 more than its share.
//!
//! Whole numbers only: positions count in W-ths of a turn, moments are compared by cross-multiplication.
//!
//! Always: what all targets are owed adds up to 0, or to less than one turn after `settle`, so somebody is always due and
//! picks do not fall behind the turns.

use super::Eligible;
use std::cmp::Ordering;

/// The turns of all eligible targets. A slot is a target's place here; of two equal moments the lower slot goes first.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    slots: Vec<Slot>,
    /// W.
    weight_sum: i64,
    /// Picks so far, from an arbitrary origin.
    picks: i64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    target: usize,
    weight: i64,
    /// Turns taken, times W: the turn that comes next starts at pick `position / weight`.
    position: i64,
}

/// Where a slot stands: whatever is due goes before whatever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The turn is due and ends at this pick.
    Due(Ratio),
    /// The turn starts at this pick.
    Waiting(Ratio),
}

/// What taking a turn did to the places of the other slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// Time went on by one pick, no more.
    Kept,
    /// Each may have moved.
    Moved,
}

impl Turns {
    /// Takes over a new list, in the order of the slots. A target that stays keeps what it is owed.
    pub(super) fn reseat(&mut self, eligible: &[Eligible]) {
        let owed = self.owed_by_target();
        let weight_sum_before = self.weight_sum.max(1);
        self.weight_sum = eligible.iter().map(|entry| i64::from(entry.weight)).sum();
        self.picks = 0;
        self.slots.clear();
        self.slots.extend(eligible.iter().map(|entry| {
            let owed = owed.get(entry.target).copied().unwrap_or(0);
            let position = -(owed * self.weight_sum / weight_sum_before);
            Slot { target: entry.target, weight: i64::from(entry.weight), position }
        }));
        self.settle();
    }

    /// The slot's turn is taken, due or not.
    pub(super) fn take(&mut self, slot: usize) -> Others {
        self.slots[slot].position += self.weight_sum;
        self.picks += 1;
        let astray = self.owed(slot).abs() > ASTRAY_TURNS_MAX * self.weight_sum;
        if !astray && self.picks < PICKS_MAX {
            return Others::Kept;
        }
        self.settle();
        Others::Moved
    }

    /// Writes off what any target is owed, or was given in advance, beyond one turn, and counts picks from 0 again.
    ///
    /// A target that was left out for 10,000 picks would else take the next thousands all alone.
    #[cold]
    pub(super) fn settle(&mut self) {
        if self.slots.is_empty() {
            return;
        }
        for slot in 0..self.slots.len() {
            self.slots[slot].position = -self.owed(slot).clamp(-self.weight_sum, self.weight_sum);
        }
        let position_sum: i64 = self.slots.iter().map(|slot| slot.position).sum();
        // Rounded up, so that somebody is always due. To charge the rest to one slot instead adds up over many refreshes.
        self.picks = -(-position_sum).div_euclid(self.weight_sum);
    }

    pub(super) fn place(&self, slot: usize) -> Place {
        let Slot { weight, position, .. } = self.slots[slot];
        if self.is_due(slot) {
            Place::Due(Ratio { numerator: position + self.weight_sum, weight })
        } else {
            Place::Waiting(Ratio { numerator: position, weight })
        }
    }

    /// Whether the turn starts before the coming pick is over.
    pub(super) fn is_due(&self, slot: usize) -> bool {
        let Slot { weight, position, .. } = self.slots[slot];
        position < (self.picks + 1) * weight
    }

    pub(super) fn target(&self, slot: usize) -> usize {
        self.slots[slot].target
    }

    pub(super) fn weight(&self, slot: usize) -> i64 {
        self.slots[slot].weight
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The slot's share of the picks so far less the turns that it took, times W.
    fn owed(&self, slot: usize) -> i64 {
        self.picks * self.slots[slot].weight - self.slots[slot].position
    }

    fn owed_by_target(&self) -> Vec<i64> {
        let target_count = self.slots.iter().map(|slot| slot.target + 1).max().unwrap_or(0);
        let mut owed = vec![0; target_count];
        for slot in 0..self.slots.len() {
            owed[self.target(slot)] = self.owed(slot).clamp(-self.weight_sum, self.weight_sum);
        }
        owed
    }
}

/// A number over a weight, compared exactly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ratio {
    pub(super) numerator: i64,
    pub(super) weight: i64,
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.numerator * other.weight).cmp(&(other.numerator * self.weight))
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ratio {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ratio {}

/// Turns that a target may be owed, or ahead, before they are written off. More makes longer bursts at a target that was
/// left out for a while; fewer makes shares less exact where targets are often left out.
pub(super) const ASTRAY_TURNS_MAX: i64 = 8;

/// Picks before counting starts again.
const PICKS_MAX: i64 = 1 << 40;

// A `Ratio` compares products of about picks * weight * weight.
const _: () = assert!(PICKS_MAX.checked_mul(4 * (u8::MAX as i64) * (u8::MAX as i64)).is_some());
