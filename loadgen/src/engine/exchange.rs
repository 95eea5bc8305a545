//! Requests and answers on one connection: sends what is due while the pipeline has room, reads answers to their ends.
//!
//!     due --room in the pipeline--> sending --all queued--> outstanding --its answer is whole--> recorded
//!                                                                `--end, error, time-out--> failed, each of them
//!
//! The hot path of the generator: a request is one copy into a buffer, one poll of the receive that finds its answer and one
//! that finds nothing, and no allocation.
//! Before: client.rs.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use quanta::Instant;
use weir::ring::{Buf, Stream};

use super::client::Client;
use super::core::Core;
use super::next::Next;
use crate::http;
use crate::record::{ErrorKind, Times};
use crate::workload::{Answer, Reader};

/// How it ended.
pub(super) enum Ended {
    /// Nothing more is due.
    Over,
    /// In order: a new connection may be had at once.
    Connect,
    /// By an error, in words where there are any.
    Failed(ErrorKind, String),
}

/// Exchanges on `stream` until it ends or nothing more is due; the one request `only`, where that is given.
pub(super) async fn run(core: &Core, client: &Rc<Client>, stream: &impl Stream, only: Option<Times>) -> Ended {
    let mut exchange = Exchange {
        core,
        client,
        stream,
        reader: core.plan.workload.reader(),
        next: only.map_or(Next::Ask, Next::Only),
        outstanding: VecDeque::with_capacity(core.plan.pipeline),
        sending: None,
        answers: 0,
    };
    poll_fn(|context| exchange.poll(context)).await
}

struct Exchange<'run, S> {
    core: &'run Core,
    client: &'run Rc<Client>,
    stream: &'run S,
    reader: Reader,
    next: Next,
    /// Sent, wholly or in part, and not answered.
    outstanding: VecDeque<Outstanding>,
    sending: Option<Sending>,
    answers: u64,
}

struct Outstanding {
    times: Times,
    index: usize,
}

/// A request that is not wholly queued.
struct Sending {
    index: usize,
    queued: usize,
    /// A part that found the stream's queue full.
    held: Option<Buf>,
}

impl<S: Stream> Exchange<'_, S> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        self.client.remember(context);
        if self.client.expired.replace(false) {
            let timeout = humantime::format_duration(self.core.plan.timeout);
            return Poll::Ready(self.fail(ErrorKind::Timeout, format!("no whole answer within {timeout}")));
        }
        loop {
            if let Err(error) = self.send(context) {
                return Poll::Ready(self.fail_io(&error));
            }
            if self.outstanding.is_empty() {
                match self.next {
                    Next::Done => return Poll::Ready(Ended::Connect),
                    Next::Never => return Poll::Ready(Ended::Over),
                    _ => {}
                }
            }
            let ended = match self.stream.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(buf))) => self.receive(&buf),
                Poll::Ready(Ok(None)) => Some(self.end()),
                Poll::Ready(Err(error)) => Some(self.fail_io(&error)),
            };
            if let Some(ended) = ended {
                return Poll::Ready(ended);
            }
        }
    }

    /// Queues requests that are due, as far as there is room.
    fn send(&mut self, context: &mut Context<'_>) -> std::io::Result<()> {
        loop {
            if let Some(sending) = &mut self.sending {
                if sending.poll(self.core, self.stream, context)?.is_pending() {
                    return Ok(());
                }
                self.sending = None;
            }
            if self.outstanding.len() >= self.core.plan.pipeline {
                return Ok(());
            }
            let Some(times) = self.next.due(self.core, self.client, context) else { return Ok(()) };
            self.begin(times);
        }
    }

    fn begin(&mut self, times: Times) {
        let workload = &self.core.plan.workload;
        let index = workload.pick(&mut self.core.dice.borrow_mut());
        self.core.recorder.borrow_mut().sent(times.due, workload.request(index).len());
        self.outstanding.push_back(Outstanding { times, index });
        self.note_oldest();
        self.sending = Some(Sending { index, queued: 0, held: None });
    }

    fn note_oldest(&self) {
        self.client.oldest.set(self.outstanding.front().map(|outstanding| outstanding.times.sent));
    }

    /// Takes bytes of answers. Some when the connection is not to be used any more.
    fn receive(&mut self, buf: &[u8]) -> Option<Ended> {
        let mut bytes = buf;
        let now = self.core.ring.now();
        self.core.recorder.borrow_mut().received(now, bytes.len());
        while !bytes.is_empty() {
            let Some(first) = self.outstanding.front() else {
                return Some(self.unasked(bytes, bytes.len() < buf.len(), now));
            };
            match self.reader.feed(&self.core.plan.workload, first.index, bytes) {
                Err(bad) => return Some(self.fail(ErrorKind::BadAnswer, bad.0)),
                Ok((_, None)) => return None,
                Ok((taken, Some(answer))) => {
                    bytes = &bytes[taken..];
                    if !self.answered(answer, now) {
                        return Some(self.close());
                    }
                }
            }
        }
        None
    }

    /// Bytes that nobody asked for. On their own they may be a target's word before it closes an idle connection (408); right
    /// behind an answer they say that it was longer than its framing.
    #[cold]
    fn unasked(&mut self, bytes: &[u8], is_behind_answer: bool, now: Instant) -> Ended {
        let message = format!("bytes that nobody asked for: {}", http::escaped(bytes));
        if is_behind_answer {
            self.core.fail(now, ErrorKind::BadAnswer, &message);
        }
        self.fail(ErrorKind::BadAnswer, message)
    }

    /// Records the answer to the oldest request. False when the connection ends with it.
    fn answered(&mut self, answer: Answer, now: Instant) -> bool {
        let Some(Outstanding { times, .. }) = self.outstanding.pop_front() else { return false };
        self.note_oldest();
        self.answers += 1;
        self.core.note_answer(self.client, now);
        let mut recorder = self.core.recorder.borrow_mut();
        match answer.status {
            Some(status) if status >= 400 => {
                recorder.status(times.due, now, status);
                let kind = if status < 500 { ErrorKind::Status4xx } else { ErrorKind::Status5xx };
                recorder.failed(times.due, kind, || format!("status {status}"));
            }
            Some(status) => {
                recorder.status(times.due, now, status);
                recorder.answered(times, now);
            }
            None => recorder.answered(times, now),
        }
        drop(recorder);
        self.next.think(self.core, now);
        answer.keeps_alive
    }

    /// The target has finished sending.
    fn end(&mut self) -> Ended {
        if let Some(answer) = self.reader.end().filter(|_| !self.outstanding.is_empty()) {
            self.answered(answer, self.core.ring.now());
        }
        self.close()
    }

    /// The connection ends, by an answer that said so or by its end: in order, unless something is unanswered.
    fn close(&mut self) -> Ended {
        if !self.outstanding.is_empty() {
            return self.fail(ErrorKind::Closed, format!("after {} answers on the connection", self.answers));
        }
        if self.answers == 0 {
            return Ended::Failed(ErrorKind::Closed, "closed at once".to_owned());
        }
        Ended::Connect
    }

    fn fail_io(&mut self, error: &std::io::Error) -> Ended {
        let kind = match ErrorKind::of_io(error) {
            // Once connected, the kernel's time-out is one of the answer.
            ErrorKind::ConnectTimeout => ErrorKind::Timeout,
            kind => kind,
        };
        self.fail(kind, error.to_string())
    }

    /// All that is unanswered failed.
    #[cold]
    fn fail(&mut self, kind: ErrorKind, message: String) -> Ended {
        if self.outstanding.is_empty() && self.answers > 0 {
            return Ended::Connect;
        }
        for outstanding in self.outstanding.drain(..) {
            self.core.fail(outstanding.times.due, kind, &message);
        }
        Ended::Failed(kind, message)
    }
}

impl Sending {
    fn poll(&mut self, core: &Core, stream: &impl Stream, context: &mut Context<'_>) -> std::io::Result<Poll<()>> {
        let request = core.plan.workload.request(self.index);
        loop {
            if self.held.is_none() {
                if self.queued == request.len() {
                    return Ok(Poll::Ready(()));
                }
                let Some(mut buf) = core.ring.pool().take() else {
                    return Err(std::io::ErrorKind::OutOfMemory.into());
                };
                self.queued += buf.append(&request[self.queued..]);
                self.held = Some(buf);
            }
            match stream.poll_send(&mut self.held, context) {
                Poll::Ready(result) => result?,
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
    }
}
