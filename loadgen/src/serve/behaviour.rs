//! How a server answers: when, and whether at all. The same for every protocol.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

use quanta::Instant;
use weir::ring::{BUFFER_BYTES, Buf, Ring, Stream};

use crate::delay::Delay;
use crate::workload::FILLER;

/// What is asked of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Manners {
    /// From the whole request to the answer.
    pub delay: Delay,
    /// Share of requests that are answered by an error, from 0 to 1: status 503, a reset, or in UDP nothing.
    pub error_rate: f64,
    /// Times in which nothing is answered.
    pub stall: Option<Stall>,
    /// The same seed draws the same delays and errors.
    pub seed: u64,
}

/// The last part of each period, counted from the start, in which nothing is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// Length of the part.
    pub length: Duration,
    /// Length of the period.
    pub every: Duration,
}

impl Stall {
    /// How long what is due `after` the start must wait.
    fn wait(self, after: Duration) -> Duration {
        let every = self.every.as_nanos().max(1);
        let phase = after.as_nanos() % every;
        if phase < every.saturating_sub(self.length.as_nanos()) {
            return Duration::ZERO;
        }
        Duration::from_nanos(u64::try_from(every - phase).unwrap_or(u64::MAX))
    }
}

/// One core's.
pub(super) struct Behaviour {
    ring: Ring,
    manners: Manners,
    start: Instant,
    dice: RefCell<fastrand::Rng>,
    /// Nothing is ever waited for.
    is_prompt: Cell<bool>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Answer,
    Fail,
}

impl Behaviour {
    pub(super) fn new(ring: &Ring, manners: &Manners, index: u64) -> Self {
        Behaviour {
            ring: ring.clone(),
            start: Instant::now(),
            dice: RefCell::new(fastrand::Rng::with_seed(manners.seed.wrapping_add(index))),
            is_prompt: Cell::new(manners.delay.is_none() && manners.stall.is_none()),
            manners: manners.clone(),
        }
    }

    /// Answers are due at once: a server need not send one ahead of reading on.
    pub(super) fn is_prompt(&self) -> bool {
        self.is_prompt.get()
    }

    /// Waits until the answer to a request that has just come is due.
    pub(super) async fn wait(&self) -> Verdict {
        if let Some(due) = self.due() {
            self.ring.alarm(due).await;
        }
        self.verdict()
    }

    /// When the answer to a request that has just come is due, unless at once.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.is_prompt() {
            return None;
        }
        let now = Instant::now();
        let mut due = now + self.manners.delay.sample(&mut self.dice.borrow_mut());
        if let Some(stall) = self.manners.stall {
            due += stall.wait(due - self.start);
        }
        (due > now).then_some(due)
    }

    pub(super) fn verdict(&self) -> Verdict {
        let fails = self.manners.error_rate > 0.0 && self.dice.borrow_mut().f64() < self.manners.error_rate;
        if fails { Verdict::Fail } else { Verdict::Answer }
    }

    /// Appends `bytes` to what goes out, which is sent as its buffer fills.
    pub(super) async fn append(&self, stream: &impl Stream, out: &mut Option<Buf>, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let buf = match out {
                Some(buf) => buf,
                None => out.insert(self.ring.pool().take().ok_or(io::ErrorKind::OutOfMemory)?),
            };
            let taken = buf.append(bytes);
            bytes = &bytes[taken..];
            if buf.room() == 0 {
                self.flush(stream, out).await?;
            }
        }
        Ok(())
    }

    /// Appends `count` bytes of no meaning.
    pub(super) async fn append_filler(
        &self,
        stream: &impl Stream,
        out: &mut Option<Buf>,
        mut count: u64,
    ) -> io::Result<()> {
        while count > 0 {
            let piece = usize::try_from(count).unwrap_or(usize::MAX).min(BUFFER_BYTES);
            self.append(stream, out, &FILLER[..piece]).await?;
            count -= piece as u64;
        }
        Ok(())
    }

    /// Sends what there is.
    pub(super) async fn flush(&self, stream: &impl Stream, out: &mut Option<Buf>) -> io::Result<()> {
        match out.take() {
            Some(buf) => stream.send(buf).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_each_period_is_a_stall() {
        let ms = Duration::from_millis;
        let stall = Stall { length: ms(1_000), every: ms(10_000) };
        for (after, wait) in [(0, 0), (8_999, 0), (9_000, 1_000), (9_999, 1), (10_000, 0), (19_500, 500)] {
            assert_eq!(stall.wait(ms(after)), ms(wait), "after {after} ms");
        }
    }
}
