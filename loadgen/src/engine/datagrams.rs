//! Requests and answers on one UDP socket: sends what is due while the window has room, and finds what each answer is of.
//!
//!     due --room in the window--> outstanding --answer with its number--> recorded
//!                                      |`--answer of another size, or one that repeats no number of ours--> bad answer
//!                                      |`--over time--> lost; the socket goes on
//!                                      `---error of the socket--> failed, all that is outstanding
//!
//! Each request comes to one end. An answer that does not say what it is of is taken for that to the oldest: a service that
//! does not repeat the number shows as one that answers badly, not as one that loses everything. What comes twice, or after it
//! was given up, is counted on its own.
//! The hot path is that of exchange.rs: a copy into a buffer, a poll, no allocation and no search.
//! Before: client.rs. Next: window.rs.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use quanta::Instant;
use weir::ring::{Buf, UdpSocket, options};

use super::client::Client;
use super::core::Core;
use super::exchange::Ended;
use super::next::Next;
use super::window::{Found, Window};
use crate::record::{ErrorKind, Times};
use crate::workload::{FILLER, UDP_NUMBER_BYTES};

/// Bytes of the run's datagrams, as `Workload::Udp` has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) request: usize,
    /// 0 takes any.
    pub(super) response: usize,
}

/// Exchanges datagrams on a socket of its own until nothing more is due, or the socket has an error.
pub(super) async fn run(core: &Core, client: &Rc<Client>, sizes: Sizes) -> Ended {
    let socket = match open(core) {
        Ok(socket) => socket,
        Err(ended) => return ended,
    };
    let base = core.dice.borrow_mut().u64(..);
    let mut exchange = Exchange {
        core,
        client,
        socket: &socket,
        sizes,
        next: Next::Ask,
        window: Window::new(core.plan.pipeline, base),
        held: None,
        answered: None,
        lost_since: 0,
    };
    let ended = poll_fn(|context| exchange.poll(context)).await;
    core.recorder.borrow_mut().dropped_here(dropped(&socket));
    ended
}

fn open(core: &Core) -> Result<UdpSocket, Ended> {
    let target = core.plan.target;
    match options::udp_connected(target, core.next_source()) {
        Ok(socket) => Ok(UdpSocket::new(&core.ring, socket)),
        Err(error) => {
            let (kind, message) = (ErrorKind::of_io(&error), format!("{target}: {error}"));
            core.fail(Instant::now(), kind, &message);
            Err(Ended::Failed(kind, message))
        }
    }
}

/// Answers that came to this host and were dropped here.
fn dropped(socket: &UdpSocket) -> u64 {
    socket.counts().dropped + u64::from(socket.kernel_drops().unwrap_or(0))
}

struct Exchange<'run> {
    core: &'run Core,
    client: &'run Rc<Client>,
    socket: &'run UdpSocket,
    sizes: Sizes,
    next: Next,
    /// What has no answer, the held one included.
    window: Window,
    /// A datagram that found too many on their way.
    held: Option<Buf>,
    /// When the last answer came.
    answered: Option<Instant>,
    /// Lost, and sent after that.
    lost_since: u32,
}

impl Exchange<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        self.client.remember(context);
        if self.client.expired.replace(false) {
            self.give_up(Instant::now());
        }
        loop {
            if let Err(error) = self.send(context) {
                return Poll::Ready(self.fail(&error));
            }
            if self.window.is_empty() && matches!(self.next, Next::Never) {
                return Poll::Ready(Ended::Over);
            }
            match self.socket.poll_recv_from(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok((buf, _))) => self.receive(&buf),
                Poll::Ready(Err(error)) => return Poll::Ready(self.fail(&error)),
            }
        }
    }

    /// Sends what is due, as far as there is room.
    fn send(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        loop {
            if self.held.is_some() {
                match self.socket.poll_send_to(&mut self.held, None, context) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => return Ok(()),
                }
            }
            if self.window.is_full() {
                return Ok(());
            }
            let Some(times) = self.next.due(self.core, self.client, context) else { return Ok(()) };
            self.begin(times)?;
        }
    }

    fn begin(&mut self, times: Times) -> io::Result<()> {
        let Some(number) = self.window.send(times) else { return Ok(()) };
        self.note_oldest();
        self.core.recorder.borrow_mut().sent(times.due, self.sizes.request);
        let mut buf = self.core.ring.pool().take().ok_or(io::ErrorKind::OutOfMemory)?;
        buf.append(&number.to_be_bytes());
        buf.append(&FILLER[UDP_NUMBER_BYTES..self.sizes.request]);
        self.held = Some(buf);
        Ok(())
    }

    /// What the watchdog looks at.
    fn note_oldest(&self) {
        self.client.oldest.set(self.window.oldest().map(|times| times.sent));
    }

    fn receive(&mut self, bytes: &[u8]) {
        let now = self.core.ring.now();
        (self.answered, self.lost_since) = (Some(now), 0);
        self.core.note_answer(self.client, now);
        let found = match bytes.first_chunk() {
            Some(number) => self.window.answer(u64::from_be_bytes(*number)),
            None => Found::Unknown,
        };
        let mut recorder = self.core.recorder.borrow_mut();
        recorder.received(now, bytes.len());
        match found {
            Found::Outstanding(times) if self.sizes.takes(bytes.len()) => recorder.answered(times, now),
            Found::Outstanding(times) => recorder.failed(times.due, ErrorKind::BadAnswer, || {
                format!("{} bytes instead of {}", bytes.len(), self.sizes.response)
            }),
            Found::Stray => return recorder.stray(now),
            Found::Unknown => match self.window.take_oldest() {
                Some(times) => recorder.failed(times.due, ErrorKind::BadAnswer, || {
                    format!("its first {UDP_NUMBER_BYTES} bytes are those of no request")
                }),
                None => return recorder.stray(now),
            },
        }
        drop(recorder);
        self.note_oldest();
        self.next.think(self.core, now);
    }

    /// What has waited too long by `now` is lost.
    #[cold]
    fn give_up(&mut self, now: Instant) {
        let timeout = self.core.plan.timeout;
        let no_answer = || format!("no answer within {}", humantime::format_duration(timeout));
        while self.window.oldest().is_some_and(|oldest| now.saturating_duration_since(oldest.sent) > timeout) {
            let Some(times) = self.window.take_oldest() else { break };
            self.lost_since += u32::from(self.answered.is_none_or(|answered| times.sent >= answered));
            self.core.recorder.borrow_mut().failed(times.due, ErrorKind::Lost, no_answer);
        }
        self.note_oldest();
        if self.lost_since >= LOST_MAX {
            self.core.note_trouble(self.client, ErrorKind::Lost, &no_answer());
        }
    }

    /// All that is outstanding failed.
    #[cold]
    fn fail(&mut self, error: &io::Error) -> Ended {
        let (kind, message) = (ErrorKind::of_io(error), error.to_string());
        while let Some(times) = self.window.take_oldest() {
            self.core.fail(times.due, kind, &message);
        }
        Ended::Failed(kind, message)
    }
}

impl Sizes {
    fn takes(self, answer_bytes: usize) -> bool {
        self.response == 0 || self.response == answer_bytes
    }
}

/// A client that has sent so many since its last answer, all of them lost, counts as one without a target. Where every second
/// datagram is lost, one series in 256 is as long, and the run ends only if it is so with all clients for seconds.
const LOST_MAX: u32 = 8;
