//! A client by its script: what it asks for, how it sends that, and how it behaves.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use weir::ring::sim::{Far, Seen};

use crate::pace::{Manners, Pace, below};
use crate::wire::{self, Framing, Message, Reader};

/// A request of the script.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub is_1_1: bool,
    pub framing: Framing,
    pub body: Vec<u8>,
    pub expects: bool,
    /// It asks for the connection's end.
    pub closes: bool,
    /// Something is wrong with it, so that the balancer may refuse it.
    pub bad: Option<Bad>,
}

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// A head that is no head.
    Head,
    /// Chunks that are none.
    Chunks,
    /// A body that comes with GET: served, and the connection closed.
    Ambiguous,
    /// TRACE.
    Method,
}

/// A piece of the script.
struct Segment {
    gate: Gate,
    bytes: Vec<u8>,
}

/// When a piece is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// So many responses are complete.
    Responses(usize),
    /// The target asked for the body of this request, or did not for a while.
    Continue(usize),
}

/// How a client ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// With all responses in hand, or when the balancer ends it.
    WithResponses,
    /// With its last request.
    WithRequests,
    /// When the balancer ends it.
    WithBalancer,
    /// Never.
    Never,
}

/// A response as it was seen.
#[derive(Debug)]
pub struct Final {
    pub interims: Vec<Message>,
    pub message: Message,
}

/// See the module's header.
#[expect(clippy::struct_excessive_bools, reason = "they happen in any order")]
pub struct Client {
    pub far: Far,
    pub pace: Pace,
    pub requests: Rc<Vec<Request>>,
    pub finals: Vec<Final>,
    pub finished: bool,
    pub was_reset: bool,
    /// All that it will ever send is sent.
    pub sent_all: bool,
    segments: VecDeque<Segment>,
    written: usize,
    ending: Ending,
    resets_at: Option<usize>,
    opened: usize,
    reads_max: usize,
    stops_reading_at: usize,
    /// How long it waits to be asked for a body.
    continue_patience: Duration,
    waits_since: Option<Duration>,
    /// Goes on sending though the balancer has ended.
    stubborn: bool,
    reader: Reader,
    interims: Vec<Message>,
    looked: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Arrive,
    Take,
    Write,
    Read,
    Finish,
    Reset,
}

impl Client {
    pub fn new(far: Far, manners: Manners, dice: &mut fastrand::Rng) -> Self {
        let requests: Vec<_> = requests(manners, dice);
        let pipelined = dice.bool();
        let segments: VecDeque<_> = requests
            .iter()
            .enumerate()
            .flat_map(|(index, request)| segments(index, request, pipelined, dice))
            .collect();
        let rough = manners == Manners::Rough;
        let ending = match dice.usize(..10) {
            0 | 1 if rough => Ending::WithRequests,
            2 if rough => Ending::WithBalancer,
            3 if rough => Ending::Never,
            _ => Ending::WithResponses,
        };
        Client {
            far,
            pace: Pace::new(manners, dice),
            requests: Rc::new(requests),
            finals: Vec::new(),
            finished: false,
            was_reset: false,
            sent_all: false,
            segments,
            written: 0,
            ending,
            resets_at: (rough && dice.usize(..5) == 0).then(|| below(&[30, 300, 3_000], dice)),
            opened: 0,
            reads_max: [1 << 9, 1 << 13, 1 << 16, 1 << 20][dice.usize(..4)],
            stops_reading_at: if rough && dice.usize(..8) == 0 { dice.usize(..100_000) } else { usize::MAX },
            continue_patience: Duration::from_secs([0, 1, 500][dice.usize(..if rough { 3 } else { 2 })]),
            waits_since: None,
            stubborn: rough && dice.usize(..4) == 0,
            reader: Reader::default(),
            interims: Vec::new(),
            looked: 0,
        }
    }

    /// What it, or its kernel, could do next.
    pub fn acts(&self, step: usize, now: Duration, into: &mut impl FnMut(Act)) {
        if self.far.can_arrive() {
            into(Act::Arrive);
        }
        if self.far.can_take() {
            into(Act::Take);
        }
        if self.was_reset || self.pace.is_stalled(now) {
            return;
        }
        if self.can_write(now) {
            into(Act::Write);
        }
        if self.can_finish() {
            into(Act::Finish);
        }
        let got = self.far.delivered().len();
        if got < self.stops_reading_at && self.opened - got < self.reads_max / 2 {
            into(Act::Read);
        }
        if self.resets_at.is_some_and(|at| step >= at) {
            into(Act::Reset);
        }
    }

    fn can_write(&self, now: Duration) -> bool {
        let Some(segment) = self.segments.front() else { return false };
        let passes = match segment.gate {
            _ if self.written > 0 => true,
            Gate::Open => true,
            Gate::Responses(count) => self.finals.len() >= count,
            Gate::Continue(_) => {
                self.is_asked() || self.waits_since.is_some_and(|since| now >= since + self.continue_patience)
            }
        };
        passes && !self.finished && (self.stubborn || self.far.sees() == Seen::Open)
    }

    /// The target asked for the body of the request that is being sent, or has said all without it.
    fn is_asked(&self) -> bool {
        let Some(Segment { gate: Gate::Continue(index), .. }) = self.segments.front() else { return false };
        self.finals.len() > *index || self.interims.iter().any(|interim| interim.status() == 100)
    }

    fn can_finish(&self) -> bool {
        let over = self.far.sees() != Seen::Open;
        let sent = self.segments.is_empty();
        !self.finished
            && match self.ending {
                Ending::WithResponses => over || self.finals.len() == self.requests.len(),
                Ending::WithRequests => over || sent,
                Ending::WithBalancer => over,
                Ending::Never => false,
            }
    }

    pub fn act(&mut self, act: Act, dice: &mut fastrand::Rng) {
        let piece = self.pace.piece(dice);
        match act {
            Act::Arrive => self.far.arrive(piece),
            Act::Take => self.far.take(piece),
            Act::Write => self.write(piece),
            Act::Read => {
                let more = dice.usize(1..=self.reads_max);
                self.far.open_window(more);
                self.opened += more;
            }
            Act::Finish => {
                self.far.finish();
                self.finished = true;
            }
            Act::Reset => {
                self.far.reset();
                self.was_reset = true;
            }
        }
    }

    fn write(&mut self, piece: usize) {
        let Some(segment) = self.segments.front() else { return };
        let end = segment.bytes.len().min(self.written + piece);
        self.far.write(&segment.bytes[self.written..end]);
        self.written = end;
        if end == segment.bytes.len() {
            self.segments.pop_front();
            self.written = 0;
            self.waits_since = None;
            self.sent_all = self.segments.is_empty();
        }
    }

    /// Reads what came; `now`: when.
    pub fn look(&mut self, now: Duration) {
        if self.waits_since.is_none() {
            self.waits_since = Some(now);
        }
        let delivered = self.far.delivered();
        loop {
            let (requests, answered) = (&self.requests, self.finals.len());
            let framing = |message: &Message| response_framing(message, requests.get(answered));
            self.looked += self.reader.read(&delivered[self.looked..], framing);
            let is_last = self.looked == delivered.len();
            if is_last && self.far.sees() == Seen::End {
                self.reader.end();
            }
            if let Some(message) = self.reader.take_complete() {
                if message.status() < 200 {
                    self.interims.push(message);
                } else {
                    self.finals.push(Final { interims: std::mem::take(&mut self.interims), message });
                }
            }
            if is_last {
                break;
            }
        }
    }

    /// The connection is over: what came of a response that is not complete comes last.
    pub fn end(&mut self, now: Duration) {
        self.look(now);
        if let Some(message) = self.reader.message.take() {
            self.finals.push(Final { interims: std::mem::take(&mut self.interims), message });
        }
    }

    /// When it goes on, if time is what it waits for.
    pub fn next_due(&self, now: Duration) -> Option<Duration> {
        if self.was_reset {
            return None;
        }
        let waits = matches!(self.segments.front(), Some(Segment { gate: Gate::Continue(_), .. }));
        let asked = self.waits_since.filter(|_| waits && self.written == 0).map(|since| since + self.continue_patience);
        [self.pace.next_due(now), asked].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// The step at which it resets.
    pub fn next_step(&self) -> Option<usize> {
        self.resets_at.filter(|_| !self.was_reset)
    }

    pub fn describe(&self) -> String {
        format!(
            "client: {} segments left (first: {:?}), {} of {} responses, {:?}, finished {}, reset {}, sees {:?}, got {}",
            self.segments.len(),
            self.segments.front().map(|segment| segment.gate),
            self.finals.len(),
            self.requests.len(),
            self.ending,
            self.finished,
            self.was_reset,
            self.far.sees(),
            self.far.delivered().len(),
        )
    }
}

fn response_framing(message: &Message, request: Option<&Request>) -> Framing {
    let request = request.unwrap_or_else(|| panic!("a response that nobody asked for: {message:?}"));
    let status = message.status();
    if status < 200 || status == 204 || status == 304 || request.method == "HEAD" {
        return Framing::None;
    }
    message.framing().unwrap_or(Framing::UntilClose)
}

const LOOKS_LIKE: &[u8] = b"GET /evil HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n";

fn requests(manners: Manners, dice: &mut fastrand::Rng) -> Vec<Request> {
    let count = dice.usize(1..=5);
    let mut requests = Vec::with_capacity(count);
    while requests.len() < count {
        let request = request(requests.len(), manners, dice);
        let is_last = request.closes || matches!(request.bad, Some(Bad::Head | Bad::Chunks | Bad::Ambiguous));
        requests.push(request);
        // Sometimes more follows what ends the connection: none of it may reach a target.
        if is_last && (manners == Manners::Gentle || dice.usize(..4) > 0) {
            break;
        }
    }
    requests
}

fn request(index: usize, manners: Manners, dice: &mut fastrand::Rng) -> Request {
    let method = ["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE"][dice.usize(..9)];
    let is_1_1 = dice.usize(..6) > 0;
    let has_body = matches!(method, "POST" | "PUT" | "PATCH") && dice.usize(..8) > 0;
    let body = if has_body { wire::content(LOOKS_LIKE, dice) } else { Vec::new() };
    let framing = match (has_body, is_1_1 && dice.bool()) {
        (false, _) => Framing::None,
        (true, false) => Framing::Length(body.len()),
        (true, true) => Framing::Chunked,
    };
    let mut request = Request {
        method,
        path: format!("/r/{index}?seed"),
        is_1_1,
        framing,
        body,
        expects: is_1_1 && has_body && dice.usize(..4) == 0,
        closes: if is_1_1 { dice.usize(..12) == 0 } else { dice.bool() },
        bad: None,
    };
    if manners == Manners::Rough && dice.usize(..12) == 0 {
        match dice.usize(..4) {
            0 => request.bad = Some(Bad::Head),
            1 if request.framing == Framing::Chunked => request.bad = Some(Bad::Chunks),
            2 if matches!(method, "GET" | "HEAD") => {
                request.body = wire::content(LOOKS_LIKE, dice);
                request.body.push(b'.');
                request.framing = Framing::Length(request.body.len());
                request.bad = Some(Bad::Ambiguous);
            }
            3 if request.framing == Framing::None => {
                request.method = "TRACE";
                request.bad = Some(Bad::Method);
            }
            _ => {}
        }
    }
    request
}

fn segments(index: usize, request: &Request, pipelined: bool, dice: &mut fastrand::Rng) -> Vec<Segment> {
    let gate = if pipelined { Gate::Open } else { Gate::Responses(index) };
    let version = if request.is_1_1 { "HTTP/1.1" } else { "HTTP/1.0" };
    let mut head = format!("{} {} {version}\r\nHost: sim.example\r\n", request.method, request.path);
    match request.framing {
        Framing::Length(length) => head.extend(["Content-Length: ", &length.to_string(), "\r\n"]),
        Framing::Chunked => head += "Transfer-Encoding: chunked\r\n",
        Framing::None | Framing::UntilClose => {}
    }
    match (request.closes, request.is_1_1) {
        (true, true) => head += "Connection: close\r\n",
        (false, false) => head += "Connection: keep-alive\r\n",
        _ => {}
    }
    if request.expects {
        head += "Expect: 100-continue\r\n";
    }
    if dice.usize(..10) == 0 {
        head.extend(["X-Long: ", &"long ".repeat(dice.usize(1..3_000)), "\r\n"]);
    }
    if request.bad == Some(Bad::Head) {
        head = bad_head(head, dice);
    }
    head += "\r\n";
    if dice.usize(..10) == 0 {
        // Old clients send an empty line after a body (RFC 9112, 2.2).
        head.insert_str(0, "\r\n");
    }
    let body = match request.framing {
        Framing::Chunked => wire::chunked(&request.body, dice),
        _ => request.body.clone(),
    };
    let body = if request.bad == Some(Bad::Chunks) { broken(body, dice) } else { body };
    if request.expects {
        return vec![Segment { gate, bytes: head.into_bytes() }, Segment { gate: Gate::Continue(index), bytes: body }];
    }
    vec![Segment { gate, bytes: [head.into_bytes(), body].concat() }]
}

fn bad_head(head: String, dice: &mut fastrand::Rng) -> String {
    match dice.usize(..5) {
        0 => head + "Content-Length: 5\r\nContent-Length: 6\r\n",
        1 => head + "Transfer-Encoding: gzip\r\n",
        2 => head + "no field\r\n",
        3 => head.replacen("HTTP/1.", "HTTP/3.", 1),
        _ => format!("GET /{} HTTP/1.1\r\n", "long".repeat(5_000)),
    }
}

/// Chunks up to one that has no size.
fn broken(chunks: Vec<u8>, dice: &mut fastrand::Rng) -> Vec<u8> {
    let mut chunks = chunks;
    let end = chunks.windows(5).rposition(|end| end.starts_with(b"0\r\n")).unwrap_or(0);
    chunks.truncate(end);
    let line_start = chunks.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    chunks.truncate(line_start);
    chunks.extend_from_slice([b"zz\r\n".as_slice(), b"\n", b"-1\r\n", b"5 5\r\n"][dice.usize(..4)]);
    chunks
}
