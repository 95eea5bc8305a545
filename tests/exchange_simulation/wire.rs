//! HTTP/1 as the test itself reads and writes it: small, strict, and nothing of `framing` in it.
//!
//! It reads what the balancer sent, so whatever it cannot read is a failure.

use std::fmt::Write as _;

/// A message, as far as it came.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Request line or status line.
    pub line: String,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub complete: bool,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Message {
    /// The one value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|field| field.0 == name).map(|field| field.1.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        value
    }

    /// Word of the first line.
    pub fn word(&self, index: usize) -> &str {
        self.line.split(' ').nth(index).unwrap_or_default()
    }

    pub fn status(&self) -> u16 {
        assert_eq!(self.word(0), "HTTP/1.1", "{self:?}");
        self.word(1).parse().unwrap_or_else(|_| panic!("no status: {self:?}"))
    }

    pub fn closes(&self) -> bool {
        self.value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// As its own fields say; `None` where they say nothing.
    pub fn framing(&self) -> Option<Framing> {
        match (self.value("transfer-encoding"), self.value("content-length")) {
            (Some("chunked"), None) => Some(Framing::Chunked),
            (None, Some(length)) => Some(Framing::Length(length.parse().expect("a length"))),
            (None, None) => None,
            _ => panic!("framing in doubt: {self:?}"),
        }
    }
}

/// Reads message after message from a stream.
#[derive(Default)]
pub struct Reader {
    head: Vec<u8>,
    /// The message whose head is complete.
    pub message: Option<Message>,
    framing: Option<Framing>,
    chunk: Chunk,
    line: Vec<u8>,
    left: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    #[default]
    Size,
    Data,
    DataEnd,
    Trailer,
}

impl Reader {
    /// Takes from the front of `bytes`, never past the end of a message; the caller then takes the message out.
    /// `framing` tells how the body of a message is framed.
    pub fn read(&mut self, bytes: &[u8], framing: impl Fn(&Message) -> Framing) -> usize {
        let mut at = 0;
        while self.message.is_none() {
            let Some(byte) = bytes.get(at) else { return at };
            at += 1;
            self.head.push(*byte);
            if self.head.ends_with(b"\r\n\r\n") {
                let message = head(&std::mem::take(&mut self.head));
                self.begin(message, &framing);
            }
        }
        at + self.body(&bytes[at..])
    }

    fn begin(&mut self, message: Message, framing: &impl Fn(&Message) -> Framing) {
        let framing = framing(&message);
        self.framing = Some(framing);
        self.left = if let Framing::Length(length) = framing { length } else { 0 };
        self.chunk = Chunk::Size;
        let complete = matches!(framing, Framing::None | Framing::Length(0));
        self.message = Some(Message { complete, ..message });
    }

    fn body(&mut self, bytes: &[u8]) -> usize {
        let Some(message) = &mut self.message else { return 0 };
        let mut at = 0;
        while !message.complete && at < bytes.len() {
            match self.framing {
                Some(Framing::UntilClose) => {
                    message.body.extend_from_slice(&bytes[at..]);
                    at = bytes.len();
                }
                Some(Framing::Length(_)) => {
                    at += data(message, &mut self.left, &bytes[at..]);
                    message.complete = self.left == 0;
                }
                Some(Framing::Chunked) if self.chunk == Chunk::Data => {
                    at += data(message, &mut self.left, &bytes[at..]);
                    if self.left == 0 {
                        self.chunk = Chunk::DataEnd;
                    }
                }
                Some(Framing::Chunked) => {
                    self.line.push(bytes[at]);
                    at += 1;
                    if self.line.ends_with(b"\n") {
                        let line = std::mem::take(&mut self.line);
                        self.chunk = chunk_line(self.chunk, &line, &mut self.left, message);
                    }
                }
                Some(Framing::None) | None => unreachable!("a body that is not there goes on"),
            }
        }
        at
    }

    /// The message that is complete.
    pub fn take_complete(&mut self) -> Option<Message> {
        self.message.take_if(|message| message.complete)
    }

    /// The stream ended in order.
    pub fn end(&mut self) {
        if self.framing == Some(Framing::UntilClose)
            && let Some(message) = &mut self.message
        {
            message.complete = true;
        }
    }
}

fn data(message: &mut Message, left: &mut usize, bytes: &[u8]) -> usize {
    let count = bytes.len().min(*left);
    message.body.extend_from_slice(&bytes[..count]);
    *left -= count;
    count
}

fn chunk_line(chunk: Chunk, line: &[u8], left: &mut usize, message: &mut Message) -> Chunk {
    let line = line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("a bare LF in chunk framing: {line:?}"));
    match (chunk, line) {
        (Chunk::DataEnd, []) => Chunk::Size,
        (Chunk::Trailer, []) => {
            message.complete = true;
            Chunk::Size
        }
        (Chunk::Trailer, _) => {
            assert!(line.starts_with(b"X-Sum"), "a trailer that must not pass: {line:?}");
            Chunk::Trailer
        }
        (Chunk::Size, _) => {
            let size = std::str::from_utf8(line).ok().and_then(|line| usize::from_str_radix(line, 16).ok());
            *left = size.unwrap_or_else(|| panic!("no chunk size: {:?}", String::from_utf8_lossy(line)));
            if *left == 0 { Chunk::Trailer } else { Chunk::Data }
        }
        (Chunk::DataEnd | Chunk::Data, _) => panic!("a chunk is longer than its size: {line:?}"),
    }
}

fn head(bytes: &[u8]) -> Message {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("head: {:?}", String::from_utf8_lossy(bytes)));
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    assert!(line.contains("HTTP/1."), "not a first line: {text:?}");
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("not a field: {line:?} of {text:?}"));
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Message { line, fields: fields.collect(), ..Message::default() }
}

/// `body` in chunks of odd sizes, with what is legal and unusual here and there.
pub fn chunked(body: &[u8], dice: &mut fastrand::Rng) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    let piece_max = [1, 7, 300, 20_000][dice.usize(..4)].max(body.len() / 50);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(dice.usize(1..=piece_max).min(rest.len()));
        rest = after;
        let mut size = String::new();
        let _ = match dice.usize(..8) {
            0 => write!(size, "{:06X}", piece.len()),
            1 => write!(size, "{:x};name=\"value\"", piece.len()),
            _ => write!(size, "{:x}", piece.len()),
        };
        for part in [size.as_bytes(), b"\r\n", piece, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(match dice.usize(..6) {
        0 => b"000\r\n\r\n".as_slice(),
        1 => b"0\r\nX-Sum: 12\r\nContent-Length: 5\r\n\r\n",
        _ => b"0\r\n\r\n",
    });
    out
}

/// Content that looks like messages: whoever loses his place in it finds some.
pub fn content(looks_like: &[u8], dice: &mut fastrand::Rng) -> Vec<u8> {
    let most = [0, 1, 30, 30, 700, 3_000, 30_000, 120_000][dice.usize(..8)];
    let length = dice.usize(..=most);
    let mut content = Vec::with_capacity(length + looks_like.len());
    if dice.bool() {
        content.extend((0..dice.usize(..40)).map(|_| dice.u8(..)));
    }
    while content.len() < length {
        content.extend_from_slice(looks_like);
    }
    content.truncate(length);
    content
}
