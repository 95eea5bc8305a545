//! The one deadline of a connection. What it is for changes several times a request; the timing wheel hears of it rarely.

use std::pin::Pin;
use std::task::{Context, Poll};

use quanta::Instant;

use super::world::World;

/// A deadline that is asked about at each poll. The wheel holds one that is never later than what was last asked for; it is
/// set anew when it fires early, or when an earlier one is asked for. So a deadline that moves on with each request, or each
/// piece of a body, costs a comparison.
pub(super) struct Deadline<W: World> {
    set: Option<(Instant, W::Sleep)>,
}

impl<W: World> Deadline<W> {
    pub(super) fn new() -> Self {
        Deadline { set: None }
    }

    /// Ready at `at`.
    pub(super) fn poll(&mut self, world: &W, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if world.now() >= at {
                return Poll::Ready(());
            }
            match &mut self.set {
                Some((set, sleep)) if *set <= at => {
                    if Pin::new(sleep).poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    self.set = None;
                }
                _ => self.set = Some((at, world.sleep_until(at))),
            }
        }
    }
}
