//! How fast somebody is: the size of his pieces, and when he stalls.

use std::time::Duration;

/// How everybody behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// Nobody breaks anything, and nobody is slow for long: everything must come through.
    Gentle,
    /// Anybody does anything.
    Rough,
}

/// A number below one of `bounds`.
pub fn below(bounds: &[usize], dice: &mut fastrand::Rng) -> usize {
    let bound = bounds[dice.usize(..bounds.len())];
    dice.usize(..bound)
}

/// See the module's header.
#[derive(Debug)]
pub struct Pace {
    piece_max: usize,
    pieces: usize,
    stalled_until: Duration,
    stall_chance: f64,
    manners: Manners,
}

impl Pace {
    pub fn new(manners: Manners, dice: &mut fastrand::Rng) -> Self {
        Pace {
            piece_max: [1, 50, 1 << 9, 1 << 13, 1 << 16][dice.usize(..5)],
            pieces: 0,
            stalled_until: Duration::ZERO,
            stall_chance: [0.0, 0.01, 0.1][dice.usize(..3)],
            manners,
        }
    }

    /// The next piece. After hundreds of small ones nothing new is to be seen of them: they grow.
    pub fn piece(&mut self, dice: &mut fastrand::Rng) -> usize {
        self.pieces += 1;
        if self.pieces.is_multiple_of(SMALL_PIECES) {
            self.piece_max = (self.piece_max * 8).min(1 << 16);
        }
        dice.usize(1..=self.piece_max)
    }

    /// After something was done: perhaps nothing more for a while.
    pub fn rest(&mut self, now: Duration, dice: &mut fastrand::Rng) {
        if dice.f64() < self.stall_chance {
            self.stall(now, dice);
        }
    }

    /// Nothing more for a while.
    pub fn stall(&mut self, now: Duration, dice: &mut fastrand::Rng) {
        let ms = match self.manners {
            Manners::Gentle => [1, 20, 500][dice.usize(..3)],
            Manners::Rough => [1, 20, 500, 5_000, 20_000, 45_000, 90_000][dice.usize(..7)],
        };
        self.stalled_until = now + Duration::from_millis(ms);
    }

    /// Nothing more ever.
    pub fn stop(&mut self) {
        self.stalled_until = Duration::MAX;
    }

    pub fn is_stalled(&self, now: Duration) -> bool {
        now < self.stalled_until
    }

    /// When a stall is over.
    pub fn next_due(&self, now: Duration) -> Option<Duration> {
        Some(self.stalled_until).filter(|until| *until > now && *until < Duration::MAX)
    }
}

const SMALL_PIECES: usize = 200;
