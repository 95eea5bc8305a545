//! Where messages end (RFC 9112, section 6): the same for requests and answers, once their heads are understood.
//!
//!     Head --whole--> Counted --all bytes--> Head
//!      ^         |--> ChunkSize <--> ChunkData, ChunkEnd; size 0 --> Trailers --> Head
//!      |         |--> UntilEnd, which the connection's end makes whole
//!      `---------'    no body, or an interim answer
//!
//! A head that equals the one before it means the same again and is not parsed: clients and servers repeat themselves, and to
//! compare is much cheaper than to parse.

/// What a head says.
pub trait Meaning: Clone {
    /// Length and meaning of the head that `bytes` begin with; `None` while its end is missing.
    ///
    /// # Errors
    /// It is none.
    fn parse(bytes: &[u8]) -> Result<Option<(usize, Self)>, BadMessage>;

    /// What follows the head. `to_head`: the message answers a HEAD request.
    fn body(&self, to_head: bool) -> Body;
}

/// What follows a head.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Nothing: the message is whole.
    None,
    /// So many bytes.
    Counted(u64),
    /// Chunks.
    Chunked,
    /// Everything until the connection ends.
    #[default]
    UntilEnd,
    /// Another head: this one was an interim answer.
    Head,
}

/// Something that is no message, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMessage(pub String);

/// Reads the messages that come on one connection.
#[derive(Debug)]
pub struct MessageReader<M> {
    state: State,
    /// The first part of a head or of a line of chunked framing, whose rest is still to come.
    partial: Vec<u8>,
    current: Option<M>,
    /// The last head that came in one piece.
    last: Option<(Vec<u8>, M)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Counted(u64),
    UntilEnd,
    ChunkSize,
    ChunkData(u64),
    /// The line end after a chunk's data.
    ChunkEnd,
    Trailers,
}

impl<M: Meaning> Default for MessageReader<M> {
    fn default() -> Self {
        MessageReader { state: State::Head, partial: Vec::new(), current: None, last: None }
    }
}

impl<M: Meaning> MessageReader<M> {
    /// Takes bytes of one message, up to its end: how many, and what its head said when it is whole.
    ///
    /// # Errors
    /// They are no message.
    pub fn feed(&mut self, to_head: bool, bytes: &[u8]) -> Result<(usize, Option<M>), BadMessage> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (taken, whole) = match self.state {
                State::Head => self.read_head(to_head, rest)?,
                State::Counted(left) => {
                    let taken = least(left, rest.len());
                    self.state = State::Counted(left - taken as u64);
                    (taken, left == taken as u64)
                }
                State::UntilEnd => (rest.len(), false),
                State::ChunkData(left) => {
                    let taken = least(left, rest.len());
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                    (taken, false)
                }
                State::ChunkSize | State::ChunkEnd | State::Trailers => self.read_line(rest)?,
            };
            at += taken;
            if whole {
                self.state = State::Head;
                return Ok((at, self.current.take()));
            }
        }
        Ok((at, None))
    }

    /// The connection has ended: what the head of the message said which that makes whole.
    pub fn end(&mut self) -> Option<M> {
        self.current.take().filter(|_| self.state == State::UntilEnd)
    }

    /// How many bytes belong to the head, and whether the message is whole with it.
    fn read_head(&mut self, to_head: bool, bytes: &[u8]) -> Result<(usize, bool), BadMessage> {
        let held = self.partial.len();
        if held == 0
            && let Some((last, meaning)) = &self.last
            && bytes.starts_with(last)
        {
            let (length, meaning) = (last.len(), meaning.clone());
            return Ok((length, self.begin_body(to_head, meaning)));
        }
        if held > 0 {
            self.partial.extend_from_slice(bytes);
        }
        let parsed = M::parse(if held > 0 { &self.partial } else { bytes })?;
        let Some((length, meaning)) = parsed else {
            if held == 0 {
                self.partial.extend_from_slice(bytes);
            }
            return if self.partial.len() > HEAD_BYTES_MAX {
                Err(BadMessage(format!("a head of more than {HEAD_BYTES_MAX} bytes")))
            } else {
                Ok((bytes.len(), false))
            };
        };
        if held == 0 {
            self.last = Some((bytes[..length].to_vec(), meaning.clone()));
        }
        self.partial.clear();
        Ok((length - held, self.begin_body(to_head, meaning)))
    }

    /// After a head: whether the message is whole already.
    fn begin_body(&mut self, to_head: bool, meaning: M) -> bool {
        let body = meaning.body(to_head);
        self.current = Some(meaning);
        self.state = match body {
            Body::None | Body::Counted(0) => return true,
            Body::Head => State::Head,
            Body::Counted(length) => State::Counted(length),
            Body::Chunked => State::ChunkSize,
            Body::UntilEnd => State::UntilEnd,
        };
        false
    }

    /// A line of the chunked framing, which may come in pieces.
    fn read_line(&mut self, bytes: &[u8]) -> Result<(usize, bool), BadMessage> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.partial.extend_from_slice(bytes);
            return if self.partial.len() > LINE_BYTES_MAX {
                Err(BadMessage(format!("a line of chunked framing of more than {LINE_BYTES_MAX} bytes")))
            } else {
                Ok((bytes.len(), false))
            };
        };
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(&bytes[..=end]);
        let mut whole = false;
        match self.state {
            State::ChunkSize => {
                self.state = match chunk_size(&line)? {
                    0 => State::Trailers,
                    size => State::ChunkData(size),
                };
            }
            State::ChunkEnd if line == b"\r\n" => self.state = State::ChunkSize,
            State::ChunkEnd => return Err(BadMessage("a chunk longer than its size".to_owned())),
            _ => whole = line == b"\r\n",
        }
        line.clear();
        self.partial = line;
        Ok((end + 1, whole))
    }
}

/// What the headers of a message say about its end and its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    pub(super) length: Option<u64>,
    pub(super) is_chunked: bool,
    pub(super) keeps_alive: bool,
}

impl Framing {
    /// Of a message of HTTP/1.`minor` with these headers.
    pub(super) fn read(minor: Option<u8>, headers: &[httparse::Header<'_>]) -> Result<Self, BadMessage> {
        let mut framing = Framing { length: None, is_chunked: false, keeps_alive: minor == Some(1) };
        for field in headers {
            let value = field.value.trim_ascii();
            if field.name.eq_ignore_ascii_case("content-length") {
                let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                if length.is_none() || framing.length.is_some_and(|before| Some(before) != length) {
                    return Err(BadMessage(format!("Content-Length: {}", escaped(value))));
                }
                framing.length = length;
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                // The only coding that anybody uses; another one is read as this one, and fails.
                framing.is_chunked = true;
            } else if field.name.eq_ignore_ascii_case("connection") {
                let has = |option: &str| {
                    let mut given = value.split(|byte| *byte == b',');
                    given.any(|given| given.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
                };
                framing.keeps_alive = !has("close") && (framing.keeps_alive || has("keep-alive"));
            }
        }
        Ok(framing)
    }

    /// The body that follows, or what holds where nothing is said.
    pub(super) fn body(self, unsaid: Body) -> Body {
        match (self.is_chunked, self.length) {
            (true, _) => Body::Chunked,
            (false, Some(length)) => Body::Counted(length),
            (false, None) => unsaid,
        }
    }
}

/// What came, as it may be shown.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let dots = if shown.len() < bytes.len() { "..." } else { "" };
    format!("\"{}\"{dots}", shown.escape_ascii())
}

fn least(left: u64, room: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(room)
}

fn chunk_size(line: &[u8]) -> Result<u64, BadMessage> {
    match httparse::parse_chunk_size(line) {
        Ok(httparse::Status::Complete((_, size))) => Ok(size),
        _ => Err(BadMessage(format!("no chunk size: {}", escaped(line)))),
    }
}

const HEAD_BYTES_MAX: usize = 256 * 1024;
const LINE_BYTES_MAX: usize = 16 * 1024;
const SHOWN_BYTES: usize = 60;
/// Headers of a message.
pub(super) const HEADERS_MAX: usize = 128;
