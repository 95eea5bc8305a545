//! The datagrams of one socket that wait for an answer: pure, numbers and times in, a decision out.
//!
//!     send --> outstanding --its number comes back--> answered     (the slot is free, its next number one round on)
//!                   `--too long the oldest--> given up; what still comes of it is stray
//!
//! Answers come in any order, so each datagram has a slot, which its number names: `(number - base) % slots_max`. A slot in use
//! is a link of a list in the order of sending, whose head is the next to be lost. All in constant time, without an allocation.
//! The base differs from socket to socket: an answer that was meant for another one is told from one of ours.

use crate::record::Times;

/// Datagrams without an answer.
#[derive(Debug)]
pub(super) struct Window {
    base: u64,
    slots_max: usize,
    /// Made as they are first needed, in memory that is there from the start.
    slots: Vec<Slot>,
    free: Vec<usize>,
    oldest: Option<usize>,
    newest: Option<usize>,
}

#[derive(Debug)]
struct Slot {
    /// Number of its datagram, less the base; of its next one while it is free.
    number: u64,
    /// None while it is free.
    times: Option<Times>,
    /// Sent next before this one, and next after.
    earlier: Option<usize>,
    later: Option<usize>,
}

/// What the number of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It answers the datagram of these times.
    Outstanding(Times),
    /// Its datagram was answered before, or given up.
    Stray,
    /// We have sent no such number.
    Unknown,
}

impl Window {
    /// For at most `slots_max` datagrams, numbered from `base` on.
    pub(super) fn new(slots_max: usize, base: u64) -> Self {
        Window {
            base,
            slots_max,
            slots: Vec::with_capacity(slots_max),
            free: Vec::with_capacity(slots_max),
            oldest: None,
            newest: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.oldest.is_none()
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() == self.slots_max
    }

    /// The number of a datagram that is sent now; `None` if there is no room for it.
    pub(super) fn send(&mut self, times: Times) -> Option<u64> {
        let index = self.free.pop().or_else(|| self.make_slot())?;
        let slot = &mut self.slots[index];
        (slot.times, slot.earlier, slot.later) = (Some(times), self.newest, None);
        let number = slot.number;
        match self.newest.replace(index) {
            Some(newest) => self.slots[newest].later = Some(index),
            None => self.oldest = Some(index),
        }
        Some(self.base.wrapping_add(number))
    }

    fn make_slot(&mut self) -> Option<usize> {
        let index = self.slots.len();
        if index == self.slots_max {
            return None;
        }
        self.slots.push(Slot { number: index as u64, times: None, earlier: None, later: None });
        Some(index)
    }

    /// An answer has come: what it is of, which is outstanding no more.
    pub(super) fn answer(&mut self, number: u64) -> Found {
        let number = number.wrapping_sub(self.base);
        // Less than `slots_max`, which is a `usize`.
        #[expect(clippy::cast_possible_truncation)]
        let index = (number % self.slots_max as u64) as usize;
        match self.slots.get(index) {
            Some(slot) if number < slot.number => Found::Stray,
            Some(slot) if number == slot.number => self.take(index).map_or(Found::Unknown, Found::Outstanding),
            _ => Found::Unknown,
        }
    }

    /// Times of the oldest datagram.
    pub(super) fn oldest(&self) -> Option<Times> {
        self.slots[self.oldest?].times
    }

    /// Gives up the oldest datagram.
    pub(super) fn take_oldest(&mut self) -> Option<Times> {
        self.take(self.oldest?)
    }

    /// Frees a slot that is in use.
    fn take(&mut self, index: usize) -> Option<Times> {
        let slot = &mut self.slots[index];
        let times = slot.times.take()?;
        slot.number += self.slots_max as u64;
        let (earlier, later) = (slot.earlier, slot.later);
        match earlier {
            Some(earlier) => self.slots[earlier].later = later,
            None => self.oldest = later,
        }
        match later {
            Some(later) => self.slots[later].earlier = earlier,
            None => self.newest = earlier,
        }
        self.free.push(index);
        Some(times)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use quanta::Instant;

    use super::*;

    const BASE: u64 = u64::MAX - 5;

    fn at(start: Instant, ms: u64) -> Times {
        let sent = start + Duration::from_millis(ms);
        Times { due: sent, sent }
    }

    #[test]
    fn answers_find_their_datagrams_in_any_order() {
        let (start, mut window) = (Instant::now(), Window::new(4, BASE));
        let numbers: Vec<u64> = (0..4).map(|ms| window.send(at(start, ms)).unwrap()).collect();
        for index in [2, 0, 3, 1] {
            assert_eq!(window.answer(numbers[index]), Found::Outstanding(at(start, index as u64)));
        }
        assert!(window.is_empty());
    }

    #[test]
    fn a_slow_answer_holds_up_no_other_datagram() {
        let (start, mut window) = (Instant::now(), Window::new(2, BASE));
        let slow = window.send(at(start, 0)).unwrap();
        for ms in 1..1_000 {
            let number = window.send(at(start, ms)).expect("room for one beside the slow one");
            assert!(window.is_full());
            assert_eq!(window.answer(number), Found::Outstanding(at(start, ms)));
        }
        assert_eq!(window.answer(slow), Found::Outstanding(at(start, 0)));
    }

    #[test]
    fn a_full_window_takes_no_more() {
        let (start, mut window) = (Instant::now(), Window::new(1, BASE));
        let number = window.send(at(start, 0)).unwrap();
        assert_eq!(window.send(at(start, 1)), None);
        window.answer(number);
        assert_ne!(window.send(at(start, 2)), Some(number), "a number is never used again");
    }

    #[test]
    fn an_answer_that_comes_twice_or_late_is_stray() {
        let (start, mut window) = (Instant::now(), Window::new(2, BASE));
        let (answered, lost) = (window.send(at(start, 0)).unwrap(), window.send(at(start, 1)).unwrap());
        window.answer(answered);
        assert_eq!(window.answer(answered), Found::Stray);
        assert_eq!(window.take_oldest(), Some(at(start, 1)));
        assert_eq!(window.answer(lost), Found::Stray);
        let next = window.send(at(start, 2)).unwrap();
        assert_eq!(window.answer(lost), Found::Stray, "its slot has another datagram now");
        assert_eq!(window.answer(next), Found::Outstanding(at(start, 2)));
    }

    #[test]
    fn a_number_that_was_never_sent_is_unknown() {
        let (start, mut window) = (Instant::now(), Window::new(4, BASE));
        assert_eq!(window.answer(BASE), Found::Unknown);
        let number = window.send(at(start, 0)).unwrap();
        for unknown in [number.wrapping_sub(1), number.wrapping_add(1), number.wrapping_add(4), !number] {
            assert_eq!(window.answer(unknown), Found::Unknown, "{unknown}");
        }
        assert_eq!(window.oldest(), Some(at(start, 0)));
    }

    #[test]
    fn the_oldest_is_given_up_first_whatever_was_answered_between() {
        let (start, mut window) = (Instant::now(), Window::new(5, BASE));
        let numbers: Vec<u64> = (0..5).map(|ms| window.send(at(start, ms)).unwrap()).collect();
        for index in [0, 2, 4] {
            window.answer(numbers[index]);
        }
        window.send(at(start, 9));
        let given_up: Vec<Times> = std::iter::from_fn(|| window.take_oldest()).collect();
        assert_eq!(given_up, [1, 3, 9].map(|ms| at(start, ms)));
        assert!(window.is_empty() && window.oldest().is_none());
    }

    proptest! {
        /// Against a plain list of what was sent and when.
        #[test]
        fn it_agrees_with_a_list(slots_max in 1..6_usize, base: u64, steps in prop::collection::vec((0..4_u8, 0..30_usize), 0..200)) {
            let (start, mut window) = (Instant::now(), Window::new(slots_max, base));
            let (mut sent, mut outstanding) = (Vec::new(), Vec::new());
            for (ms, (step, which)) in steps.into_iter().enumerate() {
                let times = at(start, ms as u64);
                match step {
                    0 | 1 => {
                        let number = window.send(times);
                        prop_assert_eq!(number.is_some(), outstanding.len() < slots_max);
                        prop_assert!(number.is_none_or(|number| !sent.contains(&number)));
                        sent.extend(number);
                        outstanding.extend(number.map(|number| (number, times)));
                    }
                    2 if !sent.is_empty() => {
                        let number = sent[which % sent.len()];
                        let place = outstanding.iter().position(|(other, _)| *other == number);
                        let found = place.map_or(Found::Stray, |place| Found::Outstanding(outstanding.remove(place).1));
                        prop_assert_eq!(window.answer(number), found);
                    }
                    _ => {
                        let oldest = (!outstanding.is_empty()).then(|| outstanding.remove(0).1);
                        prop_assert_eq!(window.take_oldest(), oldest);
                    }
                }
                prop_assert_eq!(window.oldest(), outstanding.first().map(|(_, times)| *times));
                prop_assert_eq!(window.is_full(), outstanding.len() == slots_max);
            }
        }
    }
}
