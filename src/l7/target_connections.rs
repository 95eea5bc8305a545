//! Idle connections to one target, kept for its next request.
//!
//!     response complete --> put --newest last--> take --alive--> a request
//!                                    |             `--closed meanwhile--> dropped, the next one
//!                                    |`--sweep--> closed, too long idle, too old: dropped
//!                                    `--drop_oldest--> dropped: their descriptors are needed
//!
//! The newest goes first: it is the least likely to be closed by its target, and the others get to age out. A receive stays
//! posted on each, so that a target's close, or bytes that nobody asked for, are noticed ahead of use. Where a target is
//! elsewhere from now on, or reached another way, `renounce` drops them, with those that are in use as they come back.
#![forbid(unsafe_code)]

use std::cell::RefMut;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::{Context, Waker};

use quanta::Instant;

use crate::config::KeepAlive;
use crate::ring::Stream;

/// See the module's header.
#[derive(Debug)]
pub struct TargetConnections<S> {
    /// Those that were idle first come first.
    idle: Vec<Idle<S>>,
    /// What was begun by then is not kept.
    renounced_at: Option<Instant>,
}

#[derive(Debug)]
struct Idle<S> {
    stream: S,
    begun_at: Instant,
    since: Instant,
}

impl<S> Default for TargetConnections<S> {
    fn default() -> Self {
        TargetConnections { idle: Vec::new(), renounced_at: None }
    }
}

impl<S: Stream> TargetConnections<S> {
    /// The newest that may be used, and when somebody began to make it.
    pub fn take(&mut self, now: Instant, rules: &KeepAlive) -> Option<(S, Instant)> {
        while let Some(idle) = self.idle.pop() {
            if idle.is_usable(now, rules) {
                return Some((idle.stream, idle.begun_at));
            }
        }
        None
    }

    /// Keeps a connection that somebody began to make at `begun_at`; the oldest goes when there are too many.
    pub fn put(&mut self, stream: S, begun_at: Instant, now: Instant, rules: &KeepAlive) {
        let renounced = self.renounced_at.is_some_and(|at| begun_at <= at);
        if renounced || rules.idle_max == 0 || now.duration_since(begun_at) >= rules.lifetime {
            return;
        }
        let idle = Idle { stream, begun_at, since: now };
        // This also posts the receive where the last one ended with the response.
        if !idle.is_silent() {
            return;
        }
        let surplus = (self.idle.len() + 1).saturating_sub(usize::from(rules.idle_max));
        self.idle.drain(..surplus);
        self.idle.push(idle);
    }

    /// Drops what may not be used any more.
    pub fn sweep(&mut self, now: Instant, rules: &KeepAlive) {
        // Where all are in use the list is empty, and soon needed again: it stays.
        if self.idle.is_empty() {
            return;
        }
        self.idle.retain(|idle| idle.is_usable(now, rules));
        if self.idle.is_empty() {
            self.idle = Vec::new();
        }
    }

    /// Drops all: the target is gone.
    pub fn clear(&mut self) {
        self.idle = Vec::new();
    }

    /// Drops all, and keeps none that was begun until now: they lead to another machine than new ones, or leave another way.
    pub fn renounce(&mut self, now: Instant) {
        self.clear();
        self.renounced_at = Some(now);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.idle.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }
}

/// Drops `count` connections of several targets, those that have been idle longest, or all where there are fewer. Returns how
/// many it dropped.
pub fn drop_oldest<S: Stream>(of_targets: &mut [RefMut<'_, TargetConnections<S>>], count: usize) -> usize {
    let entry = |target: usize, connections: &TargetConnections<S>, index: usize| {
        connections.idle.get(index).map(|idle| Reverse((idle.since, target, index)))
    };
    // Each target's are in order, so the next to go is the first that is left of one of them.
    let firsts = of_targets.iter().enumerate().filter_map(|(target, connections)| entry(target, connections, 0));
    let mut next: BinaryHeap<_> = firsts.collect();
    let mut surplus = vec![0; of_targets.len()];
    for _ in 0..count {
        let Some(Reverse((_, target, index))) = next.pop() else { break };
        surplus[target] = index + 1;
        next.extend(entry(target, &of_targets[target], index + 1));
    }
    for (connections, surplus) in of_targets.iter_mut().zip(&surplus) {
        connections.idle.drain(..*surplus);
    }
    surplus.iter().sum()
}

impl<S: Stream> Idle<S> {
    /// Whatever comes on an idle connection, an end, an error or bytes, makes it useless.
    fn is_silent(&self) -> bool {
        self.stream.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    fn is_usable(&self, now: Instant, rules: &KeepAlive) -> bool {
        self.is_silent()
            && now.duration_since(self.since) < rules.idle_timeout
            && now.duration_since(self.begun_at) < rules.lifetime
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::ring::Pool;
    use crate::ring::sim::{self, Far, SimStream};

    const RULES: KeepAlive =
        KeepAlive { idle_max: 2, idle_timeout: Duration::from_secs(10), lifetime: Duration::from_secs(100) };

    fn connection() -> (SimStream, Far) {
        sim::connection(&Pool::detached())
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn the_newest_is_used_first() {
        let now = Instant::now();
        let mut connections = TargetConnections::default();
        let (first, _first_far) = connection();
        let (second, second_far) = connection();
        connections.put(first, now, now, &RULES);
        connections.put(second, now + seconds(1), now + seconds(1), &RULES);
        let (taken, begun_at) = connections.take(now + seconds(2), &RULES).unwrap();
        assert_eq!((begun_at, connections.len()), (now + seconds(1), 1));
        second_far.write(b"x");
        assert!(second_far.can_arrive(), "a receive is posted on what was idle");
        drop(taken);
    }

    #[test]
    fn r_b6_a_connection_that_its_target_closed_or_spoke_on_is_noticed_ahead_of_use() {
        let now = Instant::now();
        let mut connections = TargetConnections::default();
        let (alive, _alive_far) = connection();
        connections.put(alive, now, now, &RULES);
        let (closed, far) = connection();
        connections.put(closed, now, now, &RULES);
        assert_eq!(connections.len(), 2);
        far.finish();
        far.arrive(1);
        assert!(connections.take(now, &RULES).is_some(), "the other one is left");
        assert!(connections.is_empty());

        let (noisy, far) = connection();
        connections.put(noisy, now, now, &RULES);
        far.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n");
        far.arrive(100);
        assert!(connections.take(now, &RULES).is_none());
    }

    #[test]
    fn one_that_is_too_old_or_was_idle_for_too_long_is_not_used() {
        let now = Instant::now();
        let mut connections = TargetConnections::default();
        let (stream, _far) = connection();
        connections.put(stream, now, now, &RULES);
        assert!(connections.take(now + seconds(10), &RULES).is_none(), "idle for 10 s");
        let (stream, _far) = connection();
        connections.put(stream, now, now + seconds(99), &RULES);
        assert!(connections.take(now + seconds(100), &RULES).is_none(), "made 100 s ago");
        let (stream, _far) = connection();
        connections.put(stream, now, now + seconds(100), &RULES);
        assert!(connections.is_empty());
    }

    #[test]
    fn the_list_is_there_while_all_are_in_use_and_goes_with_the_last_that_is_idle() {
        let now = Instant::now();
        let mut connections = TargetConnections::default();
        let (stream, _far) = connection();
        connections.put(stream, now, now, &RULES);
        let in_use = connections.take(now, &RULES).unwrap().0;
        connections.sweep(now + seconds(1), &RULES);
        assert_ne!(connections.idle.capacity(), 0, "its memory would be asked for anew, each second");
        connections.put(in_use, now, now + seconds(1), &RULES);
        connections.sweep(now + seconds(11), &RULES);
        assert_eq!(connections.idle.capacity(), 0);
    }

    #[test]
    fn r_k5_of_several_targets_those_go_that_have_been_idle_longest_and_no_more_than_asked_for() {
        let now = Instant::now();
        let rules = KeepAlive { idle_max: 10, ..RULES };
        let mut fars = Vec::new();
        // Idle since second 0, 2, 4 and 1, 3, 5; a third has none.
        let targets = [vec![0, 2, 4], vec![1, 3, 5], vec![]].map(|idle_since: Vec<u64>| {
            let mut connections = TargetConnections::default();
            for since in idle_since {
                let (stream, far) = connection();
                connections.put(stream, now, now + seconds(since), &rules);
                fars.push((since, far));
            }
            RefCell::new(connections)
        });
        fars.sort_by_key(|(since, _)| *since);
        let drop_some = |count| {
            let mut connections: Vec<_> = targets.iter().map(RefCell::borrow_mut).collect();
            drop_oldest(&mut connections, count)
        };
        let closed = || fars.iter().filter(|(_, far)| far.sees() == sim::Seen::End).map(|(since, _)| *since);
        assert_eq!(drop_some(0), 0);
        assert_eq!((drop_some(3), closed().collect::<Vec<_>>()), (3, vec![0, 1, 2]));
        assert_eq!((drop_some(1), closed().collect::<Vec<_>>()), (1, vec![0, 1, 2, 3]));
        assert_eq!((drop_some(5), closed().count()), (2, 6), "there are no more");
    }

    #[test]
    fn what_was_begun_before_the_target_moved_is_dropped_and_does_not_come_back() {
        let now = Instant::now();
        let mut connections = TargetConnections::default();
        let (idle, idle_far) = connection();
        connections.put(idle, now, now, &RULES);
        let (in_use, _in_use_far) = connection();
        connections.renounce(now + seconds(1));
        assert!(connections.is_empty());
        assert_eq!(idle_far.sees(), sim::Seen::End);
        connections.put(in_use, now + seconds(1), now + seconds(2), &RULES);
        assert!(connections.is_empty(), "begun ahead of the move");
        let (new, _new_far) = connection();
        connections.put(new, now + seconds(2), now + seconds(2), &RULES);
        assert!(connections.take(now + seconds(2), &RULES).is_some());
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many_and_none_stays_where_none_may() {
        let now = Instant::now();
        let mut connections = TargetConnections::default();
        let streams: Vec<_> = (0..3).map(|_| connection()).collect();
        let mut fars = Vec::new();
        for (index, (stream, far)) in (0..).zip(streams) {
            connections.put(stream, now + seconds(index), now + seconds(index), &RULES);
            fars.push(Rc::new(far));
        }
        assert_eq!(connections.len(), 2);
        assert_eq!(fars[0].sees(), sim::Seen::End, "closed in order");
        let none = KeepAlive { idle_max: 0, ..RULES };
        let (stream, _far) = connection();
        let mut connections = TargetConnections::default();
        connections.put(stream, now, now, &none);
        assert!(connections.is_empty());
    }
}
