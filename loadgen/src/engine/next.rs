//! Where a client's next request comes from, for connections and sockets alike.
//!
//!     Ask --answer, with think time--> Pause --over--> Ask --nothing is due any more--> Never
//!     Only --taken--> Done
//!
//! Before: exchange.rs, datagrams.rs. Next: pacer.rs.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;

use quanta::Instant;
use weir::ring::Alarm;

use super::client::Client;
use super::core::Core;
use super::pacer::Turn;
use crate::plan::Pacing;
use crate::record::Times;

pub(super) enum Next {
    /// The pacer.
    Ask,
    /// This one, and no other.
    Only(Times),
    /// A pause first.
    Pause(Alarm),
    /// There is none any more on this connection.
    Done,
    /// There is none any more.
    Never,
}

impl Next {
    /// Times of the next request, if it is to be sent now. Who asks is woken otherwise.
    pub(super) fn due(&mut self, core: &Core, client: &Rc<Client>, context: &mut Context<'_>) -> Option<Times> {
        match self {
            Next::Done | Next::Never => return None,
            Next::Only(times) => {
                let times = *times;
                *self = Next::Done;
                return Some(times);
            }
            Next::Pause(alarm) => {
                if Pin::new(alarm).poll(context).is_pending() && !core.pacer.is_closed(Instant::now()) {
                    return None;
                }
                *self = Next::Ask;
            }
            Next::Ask => {}
        }
        let now = Instant::now();
        match core.pacer.turn(client, now) {
            Turn::Now(due) => Some(Times { due, sent: now }),
            Turn::Wait => None,
            Turn::Never => {
                *self = Next::Never;
                None
            }
        }
    }

    /// An answer came at `now`: the pause after it, where one is asked for.
    pub(super) fn think(&mut self, core: &Core, now: Instant) {
        if let (Next::Ask, Pacing::Closed { think }) = (&self, &core.plan.pacing)
            && !think.is_none()
        {
            let time = think.sample(&mut core.dice.borrow_mut());
            *self = Next::Pause(core.ring.alarm(now + time));
        }
    }
}
