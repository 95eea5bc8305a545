//! A hierarchical timing wheel: many deadlines, each set, moved and cancelled in constant time.
//!
//!     level 0: 64 slots of 1 tick    level 1: 64 slots of 64 ticks    level 2: of 4,096    level 3: of 262,144
//!
//! A deadline goes to the lowest level whose span reaches it. When a level has turned once, the next slot of the level
//! above is emptied into it. Deadlines of a later turn of the last level wait in its first slot and are placed again from there.
//! Pure: ticks in, values out. `timer.rs` gives it a clock.
//!
//! Always: a value comes out at the tick it was set for, or at the first `advance` past it, never before; and once.

/// Slots a level; a power of two, so that a slot is a shift and a mask.
const SLOTS: usize = 64;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// With a tick of 10 ms four levels span 46 hours.
const LEVELS: usize = 4;
const NONE: u32 = u32::MAX;

/// Deadlines of one shard.
#[derive(Debug)]
pub struct Wheel<T> {
    now: u64,
    heads: [[u32; SLOTS]; LEVELS],
    nodes: Vec<Node<T>>,
    free: u32,
    len: usize,
}

/// Names one deadline; stale once the deadline fired or was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Node<T> {
    value: Option<T>,
    deadline: u64,
    generation: u32,
    /// Which list it is on: level and slot. Meaningless for a free node.
    list: (u8, u8),
    previous: u32,
    next: u32,
}

impl<T> Wheel<T> {
    /// An empty wheel that stands at tick `now`.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Wheel { now, heads: [[NONE; SLOTS]; LEVELS], nodes: Vec::new(), free: NONE, len: 0 }
    }

    /// Deadlines set and neither fired nor cancelled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// `value` comes out of the first `advance` to `deadline` or past it. A deadline that is not in the future comes out
    /// of the next one.
    pub fn insert(&mut self, deadline: u64, value: T) -> Key {
        let index = self.allocate();
        let node = &mut self.nodes[index as usize];
        node.value = Some(value);
        node.deadline = deadline.max(self.now + 1);
        let generation = node.generation;
        self.link(index);
        self.len += 1;
        Key { index, generation }
    }

    /// The value of a deadline that has not fired.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let node = self.nodes.get_mut(key.index as usize)?;
        if node.generation != key.generation {
            return None;
        }
        node.value.as_mut()
    }

    /// Takes a deadline back. `None` if it has fired.
    pub fn cancel(&mut self, key: Key) -> Option<T> {
        self.get_mut(key)?;
        self.unlink(key.index);
        self.release(key.index)
    }

    /// Moves to tick `now` and hands out every value whose deadline is reached, in order of ticks.
    pub fn advance(&mut self, now: u64, mut fire: impl FnMut(T)) {
        if self.len == 0 {
            self.now = self.now.max(now);
            return;
        }
        while self.now < now {
            self.now += 1;
            self.cascade();
            let slot = slot_at(self.now, 0);
            while self.heads[0][slot] != NONE {
                let index = self.heads[0][slot];
                self.unlink(index);
                if let Some(value) = self.release(index) {
                    fire(value);
                }
            }
        }
    }

    /// A level that begins a new turn takes over the slot of the level above that has come due.
    fn cascade(&mut self) {
        for level in 1..LEVELS {
            if slot_at(self.now, level - 1) != 0 {
                return;
            }
            let slot = slot_at(self.now, level);
            let mut index = std::mem::replace(&mut self.heads[level][slot], NONE);
            while index != NONE {
                let next = self.nodes[index as usize].next;
                self.link(index);
                index = next;
            }
        }
    }

    fn link(&mut self, index: u32) {
        let deadline = self.nodes[index as usize].deadline;
        let level = level_of(self.now, deadline);
        // Of a later turn of the last level: it waits where that turn begins, and is placed again from there.
        let slot = if level == LEVELS { 0 } else { slot_at(deadline, level) };
        let level = level.min(LEVELS - 1);
        let head = std::mem::replace(&mut self.heads[level][slot], index);
        if head != NONE {
            self.nodes[head as usize].previous = index;
        }
        let node = &mut self.nodes[index as usize];
        node.list = (u8::try_from(level).unwrap_or(u8::MAX), u8::try_from(slot).unwrap_or(u8::MAX));
        node.previous = NONE;
        node.next = head;
    }

    fn unlink(&mut self, index: u32) {
        let node = &self.nodes[index as usize];
        let (previous, next, (level, slot)) = (node.previous, node.next, node.list);
        if previous == NONE {
            self.heads[level as usize][slot as usize] = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
    }

    fn allocate(&mut self) -> u32 {
        if self.free == NONE {
            let index = u32::try_from(self.nodes.len()).expect("fewer than 2^32 deadlines");
            self.nodes.push(Node { value: None, deadline: 0, generation: 0, list: (0, 0), previous: NONE, next: NONE });
            return index;
        }
        let index = self.free;
        self.free = self.nodes[index as usize].next;
        index
    }

    fn release(&mut self, index: u32) -> Option<T> {
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        node.next = self.free;
        self.free = index;
        self.len -= 1;
        node.value.take()
    }
}

/// The lowest level on which `deadline` and `now` fall into different slots of the same turn; `LEVELS` if none.
fn level_of(now: u64, deadline: u64) -> usize {
    let differing_bits = u64::BITS - (now ^ deadline).leading_zeros();
    (differing_bits.saturating_sub(1) / SLOT_BITS).min(u32::try_from(LEVELS).unwrap_or(u32::MAX)) as usize
}

fn slot_at(tick: u64, level: usize) -> usize {
    usize::try_from(tick >> (SLOT_BITS * u32::try_from(level).unwrap_or(0))).unwrap_or(usize::MAX) & (SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn advance(wheel: &mut Wheel<u64>, now: u64) -> Vec<u64> {
        let mut fired = Vec::new();
        wheel.advance(now, |value| fired.push(value));
        fired
    }

    #[test]
    fn a_deadline_fires_at_its_tick_and_not_before() {
        for deadline in [1, 63, 64, 65, 4_095, 4_096, 4_097, 262_143, 262_144, 262_145, 17_000_000, 40_000_000] {
            let mut wheel = Wheel::new(0);
            wheel.insert(deadline, deadline);
            assert!(advance(&mut wheel, deadline - 1).is_empty(), "{deadline} fired early");
            assert_eq!(advance(&mut wheel, deadline), [deadline]);
            assert_eq!(wheel.len(), 0);
        }
    }

    #[test]
    fn a_short_deadline_across_the_end_of_a_turn_is_not_late() {
        const TURN: u64 = 1 << 24;
        for before in [1, 63, 4_096, 300_000] {
            let mut wheel = Wheel::new(TURN - before);
            wheel.insert(TURN + 5, 5);
            assert!(advance(&mut wheel, TURN + 4).is_empty());
            assert_eq!(advance(&mut wheel, TURN + 5), [5], "set {before} ticks before the turn");
        }
    }

    #[test]
    fn a_deadline_in_the_past_fires_at_the_next_tick() {
        let mut wheel = Wheel::new(100);
        wheel.insert(3, 3);
        assert_eq!(advance(&mut wheel, 101), [3]);
    }

    #[test]
    fn a_cancelled_deadline_never_fires_and_its_key_is_stale() {
        let mut wheel = Wheel::new(0);
        let key = wheel.insert(10, 1);
        assert_eq!(wheel.cancel(key), Some(1));
        let reused = wheel.insert(10, 2);
        assert_eq!(wheel.cancel(key), None, "the slot now belongs to another deadline");
        assert!(wheel.get_mut(reused).is_some());
        assert_eq!(advance(&mut wheel, 10), [2]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64),
        Cancel(usize),
        Advance(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let span = prop_oneof![0..70_u64, 0..5_000_u64, 0..300_000_u64, 0..20_000_000_u64];
        let step = prop_oneof![
            4 => span.prop_map(Step::Insert),
            1 => any::<usize>().prop_map(Step::Cancel),
            2 => prop_oneof![0..3_u64, 0..200_u64, 0..70_000_u64].prop_map(Step::Advance),
        ];
        proptest::collection::vec(step, 1..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn the_wheel_agrees_with_a_sorted_list(start in 0..10_000_000_u64, steps in steps()) {
            let mut wheel = Wheel::new(start);
            let mut model: Vec<(u64, u64, Key)> = Vec::new();
            let (mut now, mut serial) = (start, 0);
            for step in steps {
                match step {
                    Step::Insert(after) => {
                        serial += 1;
                        let key = wheel.insert(now + after, serial);
                        model.push(((now + after).max(now + 1), serial, key));
                    }
                    Step::Cancel(which) if !model.is_empty() => {
                        let (_, serial, key) = model.swap_remove(which % model.len());
                        prop_assert_eq!(wheel.cancel(key), Some(serial));
                    }
                    Step::Cancel(_) => {}
                    Step::Advance(by) => {
                        now += by;
                        let mut fired = advance(&mut wheel, now);
                        let mut due: Vec<u64> = model.iter().filter(|m| m.0 <= now).map(|m| m.1).collect();
                        model.retain(|m| m.0 > now);
                        fired.sort_unstable();
                        due.sort_unstable();
                        prop_assert_eq!(fired, due);
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
            }
        }
    }
}
