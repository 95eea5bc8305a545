//! `user_data` of a submission: which operation, on which slot, of which generation.
//!
//!     63      56 55            32 31                 0
//!     | kind    | generation     | slot              |
//!
//! A slot is freed only after its last completion, so a completion whose generation does not match is a bug of ours or of
//! the kernel; it is counted and dropped, never applied to the slot's next owner.

/// What a completion is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Multishot receive of a socket.
    Receive = 1,
    /// Send of a socket.
    Send = 2,
    /// Connect of a socket.
    Connect = 3,
    /// Multishot accept of a listener.
    Accept = 4,
    /// Read of an eventfd.
    Event = 5,
    /// Registration, cancel or close: silent when it succeeds.
    Silent = 6,
    /// Poll of a socket that is not being received from: did it fail?
    Watch = 7,
    /// Multishot receive of a UDP socket.
    Datagram = 8,
    /// Send of one datagram, which has a slot of its own.
    Outgoing = 9,
}

/// Bits of a generation that fit beside kind and slot.
pub(super) const GENERATION_MASK: u32 = (1 << 24) - 1;

pub(super) fn encode(kind: Kind, generation: u32, slot: u32) -> u64 {
    debug_assert!(generation <= GENERATION_MASK);
    (kind as u64) << 56 | u64::from(generation) << 32 | u64::from(slot)
}

pub(super) fn decode(user_data: u64) -> (Option<Kind>, u32, u32) {
    let kind = match user_data >> 56 {
        1 => Some(Kind::Receive),
        2 => Some(Kind::Send),
        3 => Some(Kind::Connect),
        4 => Some(Kind::Accept),
        5 => Some(Kind::Event),
        6 => Some(Kind::Silent),
        7 => Some(Kind::Watch),
        8 => Some(Kind::Datagram),
        9 => Some(Kind::Outgoing),
        _ => None,
    };
    let low = u32::try_from(user_data & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    let generation = u32::try_from(user_data >> 32 & u64::from(GENERATION_MASK)).unwrap_or(u32::MAX);
    (kind, generation, low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_comes_back_as_it_was(kind in 1..=9_u8, generation in 0..=GENERATION_MASK, slot: u32) {
            let kind = match kind {
                1 => Kind::Receive,
                2 => Kind::Send,
                3 => Kind::Connect,
                4 => Kind::Accept,
                5 => Kind::Event,
                6 => Kind::Silent,
                7 => Kind::Watch,
                8 => Kind::Datagram,
                _ => Kind::Outgoing,
            };
            prop_assert_eq!(decode(encode(kind, generation, slot)), (Some(kind), generation, slot));
        }
    }
}
