//! Where connections to idc targets, and their checks, leave from: the addresses of `snat_addresses` in turns (requirement G5).
//!
//!     turn --> first source --no port left, not of this host--> next source --> ... --> none: the attempt has failed
//!
//! Each shard takes its own turns, and shards begin at different addresses. A target's checks have turns of their own, by their
//! number: they take none of the connections', and come from every address of the pool however many targets there are.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

/// The pool as this shard uses it.
pub(super) struct Snat {
    v4: RefCell<Rc<[IpAddr]>>,
    v6: RefCell<Rc<[IpAddr]>>,
    shard: usize,
    /// Of the next connection.
    next: Cell<usize>,
}

/// The addresses of the pool that one connection may leave from, each once.
pub(super) struct Sources {
    addresses: Rc<[IpAddr]>,
    first: usize,
    given: usize,
}

impl Snat {
    /// An empty pool.
    pub(super) fn new(shard: usize) -> Self {
        let none = || RefCell::new(Rc::default());
        Snat { v4: none(), v6: none(), shard, next: Cell::new(shard) }
    }

    /// Takes over what a snapshot says.
    pub(super) fn apply(&self, addresses: &[IpAddr]) {
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|address| address.is_ipv4());
        self.v4.replace(v4.into());
        self.v6.replace(v6.into());
    }

    /// Takes the next turn: the sources of a connection to `target`.
    pub(super) fn turn(&self, target: IpAddr) -> Sources {
        let first = self.next.get();
        self.next.set(first.wrapping_add(1));
        self.sources(target, first)
    }

    /// The sources of the `number`th check of `target`.
    pub(super) fn turn_of_check(&self, target: IpAddr, number: u64) -> Sources {
        // It fits: Weir runs on 64 bits.
        self.sources(target, self.shard.wrapping_add(usize::try_from(number).unwrap_or(0)))
    }

    fn sources(&self, target: IpAddr, first: usize) -> Sources {
        let pool = if target.is_ipv4() { &self.v4 } else { &self.v6 };
        Sources { addresses: Rc::clone(&pool.borrow()), first, given: 0 }
    }
}

impl Iterator for Sources {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        if self.given == self.addresses.len() {
            return None;
        }
        let index = self.first.wrapping_add(self.given) % self.addresses.len();
        self.given += 1;
        Some(self.addresses[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn r_g5_turns_go_round_the_addresses_of_the_targets_family_and_each_offers_all_of_them_once() {
        let snat = Snat::new(1);
        assert_eq!(snat.turn(ip("192.168.0.1")).next(), None, "the pool is empty");
        snat.apply(&["10.0.0.1", "fd00::1", "10.0.0.2", "10.0.0.3"].map(ip));
        let firsts: Vec<_> = (0..6).filter_map(|_| snat.turn(ip("192.168.0.1")).next()).collect();
        assert_eq!(firsts, ["10.0.0.3", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.2"].map(ip));
        assert_eq!(snat.turn(ip("192.168.0.1")).collect::<Vec<_>>(), ["10.0.0.3", "10.0.0.1", "10.0.0.2"].map(ip));
        assert_eq!(snat.turn(ip("fd00::9")).collect::<Vec<_>>(), [ip("fd00::1")]);
    }

    #[test]
    fn r_g5_checks_go_round_the_addresses_too_and_take_no_turn_of_the_connections() {
        let snat = Snat::new(1);
        snat.apply(&["10.0.0.1", "10.0.0.2"].map(ip));
        let [a, b] = [ip("10.0.0.1"), ip("10.0.0.2")];
        for number in 0..4 {
            let (first, second) = if number % 2 == 0 { (b, a) } else { (a, b) };
            for target in ["192.168.0.1", "192.168.0.2", "192.168.0.3"].map(ip) {
                assert_eq!(snat.turn_of_check(target, number).collect::<Vec<_>>(), [first, second], "{number}");
            }
            assert_eq!(snat.turn(ip("192.168.0.1")).next(), Some(first), "{number}");
        }
    }

    #[test]
    fn turns_go_on_for_ever() {
        let snat = Snat::new(usize::MAX);
        snat.apply(&["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(ip));
        for _ in 0..3 {
            assert_eq!(snat.turn(ip("192.168.0.1")).count(), 3);
            assert_eq!(snat.turn_of_check(ip("192.168.0.1"), u64::MAX).count(), 3);
        }
    }
}
