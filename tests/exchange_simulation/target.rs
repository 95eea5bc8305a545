//! A connection at a target: reads requests, and answers each by a script that the dice write when its head has come.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use weir::ring::sim::{Far, Seen};

use crate::client::{Bad, Request};
use crate::pace::{Manners, Pace, below};
use crate::wire::{self, Framing, Message, Reader};
use crate::world::CLIENT_ADDRESS;

/// What all targets of a run received and answered.
#[derive(Default)]
pub struct Book {
    pub received: Vec<Received>,
    pub answers: Vec<Answer>,
    /// Connections that their target ended or reset.
    pub ended: usize,
    /// Connections on which a target said what nobody had asked for. What arrives after the next request was sent cannot be told
    /// from its answer, by anybody.
    pub tainted: usize,
}

/// A request that reached a target: its head, at least.
#[derive(Debug)]
pub struct Received {
    pub request: usize,
    pub body: Vec<u8>,
    pub complete: bool,
}

/// An answer as its target gave it.
#[expect(clippy::struct_excessive_bools, reason = "what happened, not what to do")]
#[derive(Debug)]
pub struct Answer {
    pub request: usize,
    pub status: u16,
    pub body: Vec<u8>,
    /// Its end is the connection's.
    pub until_close: bool,
    /// It is not HTTP, or comes with a body that is none.
    pub bad: bool,
    /// All of it was sent.
    pub sent: bool,
    /// The target finished sending after it, or in the middle.
    pub finished: bool,
    /// Bytes of the body that were sent: counted where the connection's end is its own.
    pub sent_body: usize,
    /// It began ahead of its request's end.
    pub early: bool,
}

/// A piece of an answer's script.
struct Part {
    gate: Gate,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// At once.
    Head,
    /// With so many bytes of the body, or its end.
    Body(usize),
    /// With the request's end.
    End,
}

/// How an answer breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Finish,
    Reset,
    Silence,
}

struct Script {
    answer: usize,
    parts: VecDeque<Part>,
    /// Bytes of what is ahead of the body: interim responses and head.
    ahead: usize,
    /// Bytes up to the end of the body.
    whole: usize,
    sent: usize,
    /// Breaks off after so many bytes.
    cut: Option<(usize, Cut)>,
    /// The connection ends behind it.
    closes: bool,
}

/// What a target does to a connection that nobody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whim {
    Finish,
    Reset,
    Speak,
}

/// See the module's header.
#[expect(clippy::struct_excessive_bools, reason = "they happen in any order")]
pub struct TargetConnection {
    pub far: Far,
    pub pace: Pace,
    manners: Manners,
    requests: Rc<Vec<Request>>,
    book: Rc<RefCell<Book>>,
    reader: Reader,
    looked: usize,
    /// Place in the book of the request that is coming in.
    receiving: Option<usize>,
    script: Option<Script>,
    /// Requests that were answered here.
    answered: usize,
    whim: Option<(usize, Whim)>,
    /// Until the next request arrives, as when its idle timeout fires just then.
    waits_with_whim: bool,
    opened: usize,
    reads_max: usize,
    finished: bool,
    was_reset: bool,
    /// It ends, or resets, as its answer's script says.
    ends: Option<Cut>,
    /// It answers nothing more.
    deaf: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Arrive,
    Take,
    Write,
    Read,
    End,
    Whim,
}

impl TargetConnection {
    pub fn new(
        far: Far,
        manners: Manners,
        requests: &Rc<Vec<Request>>,
        book: &Rc<RefCell<Book>>,
        dice: &mut fastrand::Rng,
    ) -> Self {
        let whim = [Whim::Finish, Whim::Reset, Whim::Finish, Whim::Reset, Whim::Speak][dice.usize(..5)];
        TargetConnection {
            far,
            pace: Pace::new(manners, dice),
            manners,
            requests: Rc::clone(requests),
            book: Rc::clone(book),
            reader: Reader::default(),
            looked: 0,
            receiving: None,
            script: None,
            answered: 0,
            whim: (manners == Manners::Rough && dice.usize(..2) == 0).then(|| (below(&[2, 2, 4], dice), whim)),
            waits_with_whim: dice.bool(),
            opened: 0,
            reads_max: [1 << 10, 1 << 14, 1 << 18][dice.usize(..3)],
            finished: false,
            was_reset: false,
            ends: None,
            deaf: false,
        }
    }

    /// Nothing that happens here can matter any more.
    pub fn is_over(&self) -> bool {
        self.far.sees() != Seen::Open
    }

    /// What it, or its kernel, could do next.
    pub fn acts(&self, now: Duration, into: &mut impl FnMut(Act)) {
        if self.far.can_arrive() {
            into(Act::Arrive);
        }
        if self.far.can_take() {
            into(Act::Take);
        }
        if self.was_reset || self.pace.is_stalled(now) {
            return;
        }
        let got = self.far.delivered().len();
        if self.opened - got < self.reads_max / 2 {
            into(Act::Read);
        }
        if self.ends.is_some() {
            into(Act::End);
        } else if self.can_write() {
            into(Act::Write);
        } else if self.may_whim() && !self.waits_with_whim {
            into(Act::Whim);
        }
    }

    fn may_whim(&self) -> bool {
        let idle = self.script.is_none() && self.receiving.is_none();
        idle && self.ends.is_none() && self.whim.is_some_and(|(after, _)| self.answered >= after)
    }

    fn can_write(&self) -> bool {
        let Some(part) = self.script.as_ref().and_then(|script| script.parts.front()) else { return false };
        let received = self.receiving.is_some().then(|| self.reader.message.as_ref().map_or(0, |m| m.body.len()));
        let passes = match (part.gate, received) {
            (Gate::Head, _) | (_, None) => true,
            (Gate::Body(bytes), Some(received)) => received >= bytes,
            (Gate::End, Some(_)) => false,
        };
        passes && !self.finished
    }

    pub fn act(&mut self, act: Act, now: Duration, dice: &mut fastrand::Rng) {
        let piece = self.pace.piece(dice);
        match act {
            Act::Arrive => self.far.arrive(piece),
            Act::Take => {
                self.far.take(piece);
                if self.may_whim() && self.waits_with_whim {
                    self.act(Act::Whim, now, dice);
                } else {
                    self.look(now, dice);
                }
            }
            Act::Read => {
                let more = dice.usize(1..=self.reads_max);
                self.far.open_window(more);
                self.opened += more;
            }
            Act::Write => self.write(piece, dice),
            Act::End => match self.ends.take() {
                Some(Cut::Reset) => self.reset(),
                Some(Cut::Finish) => self.finish(),
                Some(Cut::Silence) | None => self.pace.stop(),
            },
            Act::Whim => match self.whim.take() {
                Some((_, Whim::Finish)) => self.finish(),
                Some((_, Whim::Reset)) => self.reset(),
                Some((_, Whim::Speak)) if !self.finished => {
                    self.far
                        .write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nslow");
                    self.book.borrow_mut().tainted += 1;
                    self.ends = Some(Cut::Finish);
                    self.deaf = true;
                }
                _ => {}
            },
        }
    }

    fn reset(&mut self) {
        self.book.borrow_mut().ended += 1;
        self.was_reset = true;
        self.deaf = true;
        self.far.reset();
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let book = &mut *self.book.borrow_mut();
        book.ended += 1;
        if let Some(script) = &self.script {
            book.answers[script.answer].finished = true;
        }
        self.far.finish();
    }

    fn write(&mut self, piece: usize, dice: &mut fastrand::Rng) {
        let is_receiving = self.receiving.is_some();
        let Some(script) = &mut self.script else { return };
        let Some(part) = script.parts.front_mut() else { return };
        let cut_after = script.cut.map_or(usize::MAX, |(at, _)| at.saturating_sub(script.sent));
        let count = piece.min(part.bytes.len()).min(cut_after);
        self.far.write(&part.bytes[..count]);
        part.bytes.drain(..count);
        script.sent += count;
        if part.bytes.is_empty() {
            script.parts.pop_front();
        }
        let book = &mut *self.book.borrow_mut();
        let answer = &mut book.answers[script.answer];
        answer.sent_body = script.sent.saturating_sub(script.ahead);
        answer.early |= is_receiving && script.sent >= script.ahead;
        answer.sent |= script.sent >= script.whole;
        if script.parts.is_empty() {
            if script.closes {
                self.ends = Some(script.cut.map_or(Cut::Finish, |(_, cut)| cut));
            } else {
                self.script = None;
                self.answered += 1;
                if is_receiving && self.manners == Manners::Rough && dice.bool() {
                    // It said that it would read on, and does not.
                    self.ends = Some([Cut::Finish, Cut::Reset, Cut::Silence][dice.usize(..3)]);
                }
            }
        } else if let Some((_, cut)) = script.cut.filter(|(at, _)| script.sent >= *at) {
            self.ends = Some(cut);
        }
    }

    /// Reads what came.
    fn look(&mut self, now: Duration, dice: &mut fastrand::Rng) {
        let delivered = self.far.delivered();
        while self.looked < delivered.len() {
            let framing = |message: &Message| message.framing().unwrap_or(Framing::None);
            self.looked += self.reader.read(&delivered[self.looked..], framing);
            let Some(message) = &self.reader.message else { continue };
            let place = *self.receiving.get_or_insert_with(|| {
                let place = received(message, &self.requests, &self.book);
                if self.script.is_none() && !self.finished && !self.deaf {
                    self.script = Some(script(message, place, self.manners, &self.requests, &self.book, dice));
                    if dice.usize(..4) == 0 {
                        self.pace.stall(now, dice);
                    }
                }
                place
            });
            if let Some(message) = self.reader.take_complete() {
                let entry = &mut self.book.borrow_mut().received[place];
                entry.complete = true;
                entry.body = message.body;
                self.receiving = None;
            }
        }
    }

    /// Puts down what came of a request that is not complete.
    pub fn end(&mut self) {
        if let (Some(place), Some(message)) = (self.receiving, self.reader.message.take()) {
            self.book.borrow_mut().received[place].body = message.body;
        }
    }

    /// When it goes on, if time is what it waits for.
    pub fn next_due(&self, now: Duration) -> Option<Duration> {
        if self.was_reset { None } else { self.pace.next_due(now) }
    }

    pub fn describe(&self) -> String {
        format!(
            "target: receiving {:?}, {} parts to send, finished {}, reset {}, sees {:?}, got {}",
            self.receiving,
            self.script.as_ref().map_or(0, |script| script.parts.len()),
            self.finished,
            self.was_reset,
            self.far.sees(),
            self.far.delivered().len()
        )
    }
}

/// Notes a request whose head has come, and holds it against what the client sent.
fn received(message: &Message, requests: &[Request], book: &Rc<RefCell<Book>>) -> usize {
    let path = message.word(1);
    let index = path.strip_prefix("/r/").and_then(|path| path.strip_suffix("?seed")?.parse::<usize>().ok());
    let index = index.unwrap_or_else(|| panic!("a target got a request that no client sent: {message:?}"));
    let request = &requests[index];
    assert_eq!(message.word(0), request.method, "{message:?}");
    assert_eq!(message.value("host"), Some("sim.example"), "{message:?}");
    assert_eq!(message.value("x-real-ip"), Some(CLIENT_ADDRESS), "{message:?}");
    assert_eq!(message.value("connection"), None, "{message:?}");
    assert!(!matches!(request.bad, Some(Bad::Head | Bad::Method)), "a refused request reached a target: {message:?}");
    let framing = message.framing().unwrap_or(Framing::None);
    assert_eq!(framing, request.framing, "{message:?}");
    let received = &mut book.borrow_mut().received;
    received.push(Received { request: index, body: Vec::new(), complete: false });
    received.len() - 1
}

const LOOKS_LIKE: &[u8] = b"HTTP/1.1 200 OK\r\nX-Evil: yes\r\nContent-Length: 0\r\n\r\n";

fn script(
    message: &Message,
    place: usize,
    manners: Manners,
    requests: &[Request],
    book: &Rc<RefCell<Book>>,
    dice: &mut fastrand::Rng,
) -> Script {
    let rough = manners == Manners::Rough;
    let book = &mut *book.borrow_mut();
    let index = book.received[place].request;
    let request = &requests[index];
    let answer = book.answers.len();
    let mut parts = VecDeque::new();
    let speaks_1_1 = message.word(2) == "HTTP/1.1";
    let asks = message.value("expect").is_some() && dice.usize(..3) > 0;
    let mut interims = Vec::new();
    if asks {
        interims.push(format!("HTTP/1.1 100 Continue\r\nX-Request: {index}\r\n\r\n"));
    }
    if speaks_1_1 && dice.usize(..10) == 0 {
        let link = "X-Long: ".to_owned() + &"long ".repeat(if dice.bool() { 2 } else { 1_900 });
        interims.push(format!("HTTP/1.1 103 Early Hints\r\nX-Request: {index}\r\n{link}\r\nLink: {link}\r\n\r\n"));
    }
    for interim in interims {
        parts.push_back(Part { gate: Gate::Head, bytes: interim.into_bytes() });
    }
    let gate = match dice.usize(..6) {
        0 => Gate::Head,
        1 => Gate::Body(dice.usize(..=request.body.len())),
        _ => Gate::End,
    };
    let status = [200, 200, 200, 200, 404, 500, 204, 304][dice.usize(..8)];
    let is_1_1 = dice.usize(..6) > 0;
    let without_body = request.method == "HEAD" || status == 204 || status == 304;
    let body = if without_body { Vec::new() } else { wire::content(LOOKS_LIKE, dice) };
    let framing = match dice.usize(..5) {
        0 | 1 if is_1_1 && speaks_1_1 => Framing::Chunked,
        2 => Framing::UntilClose,
        _ => Framing::Length(body.len()),
    };
    let until_close = framing == Framing::UntilClose && !without_body;
    let keeps = speaks_1_1 && !until_close && dice.usize(..8) > 0;
    let minor = u8::from(is_1_1);
    let mut head = format!("HTTP/1.{minor} {status} Whatever\r\nX-Answer: {answer}\r\nX-Request: {index}\r\n");
    match framing {
        Framing::Length(length) => head.extend(["Content-Length: ", &length.to_string(), "\r\n"]),
        Framing::Chunked => head += "Transfer-Encoding: chunked\r\n",
        Framing::None | Framing::UntilClose => {}
    }
    match (is_1_1, keeps) {
        (true, false) => head += "Connection: close\r\n",
        (false, true) => head += "Connection: keep-alive\r\n",
        _ => {}
    }
    let bad = rough && dice.usize(..25) == 0;
    let mut encoded =
        if framing == Framing::Chunked && !without_body { wire::chunked(&body, dice) } else { body.clone() };
    if bad && framing == Framing::Chunked && !without_body {
        encoded = b"3\r\nabcd\r\n0\r\n\r\n".to_vec();
    } else if bad {
        head = spoiled(head, dice);
    }
    let surplus: &[u8] = if rough && !until_close && dice.usize(..25) == 0 { LOOKS_LIKE } else { b"" };
    parts.push_back(Part { gate, bytes: [head.as_bytes(), b"\r\n"].concat() });
    if !surplus.is_empty() {
        book.tainted += 1;
    }
    let ahead: usize = parts.iter().map(|part| part.bytes.len()).sum();
    let whole = ahead + encoded.len();
    parts.push_back(Part { gate, bytes: [&encoded, surplus].concat() });
    parts.retain(|part| !part.bytes.is_empty());
    let all: usize = parts.iter().map(|part| part.bytes.len()).sum();
    let cut = (rough && dice.usize(..5) == 0).then(|| {
        let at = if dice.bool() { dice.usize(..=all) } else { dice.usize(..=all.min(ahead + 5)) };
        (at, [Cut::Finish, Cut::Reset, Cut::Silence][dice.usize(..3)])
    });
    book.answers.push(Answer {
        request: index,
        status,
        body,
        until_close,
        bad,
        sent: false,
        finished: false,
        sent_body: 0,
        early: false,
    });
    Script { answer, parts, ahead, whole, sent: 0, cut, closes: !keeps }
}

/// A head that is no head, or an ambiguous one.
fn spoiled(head: String, dice: &mut fastrand::Rng) -> String {
    match dice.usize(..3) {
        0 => "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
        1 => head + "Content-Length: 7\r\nContent-Length: 8\r\n",
        _ => head + "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n",
    }
}
