//! What is sent, and where an answer ends: pure, bytes in, a decision out.

use std::sync::Arc;

use weir::ring::BUFFER_BYTES;

use crate::http::{self, Answered, BadMessage, MessageReader};

/// What a run sends.
#[derive(Debug, Clone)]
pub enum Workload {
    /// Requests and answers of fixed sizes on TCP connections.
    Tcp {
        /// What is sent.
        request: Arc<[u8]>,
        /// Bytes that come back.
        response_bytes: u64,
    },
    /// HTTP/1.1.
    Http(http::Requests),
    /// Datagrams of fixed size, each answered by one that begins with the same eight bytes.
    Udp {
        /// Bytes of a request, `UDP_NUMBER_BYTES` at least.
        request_bytes: usize,
        /// Bytes of an answer; 0 takes any size.
        response_bytes: usize,
    },
}

/// A datagram begins with its number, which its answer repeats.
pub const UDP_NUMBER_BYTES: usize = 8;
/// Bytes of no meaning, in requests and answers.
pub(crate) static FILLER: [u8; BUFFER_BYTES] = [b'x'; BUFFER_BYTES];

impl Workload {
    /// As results call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "tcp",
            Self::Http(_) => "http",
            Self::Udp { .. } => "udp",
        }
    }

    /// Which of its requests comes next.
    pub fn pick(&self, dice: &mut fastrand::Rng) -> usize {
        match self {
            Self::Http(requests) => requests.pick(dice),
            _ => 0,
        }
    }

    /// The bytes of request `index`.
    ///
    /// # Panics
    /// There is no such request.
    #[must_use]
    pub fn request(&self, index: usize) -> &[u8] {
        match self {
            Self::Tcp { request, .. } => request,
            Self::Http(requests) => &requests.get(index).bytes,
            // Made for each datagram, as they are numbered.
            Self::Udp { .. } => &[],
        }
    }

    /// A reader of a new connection's answers.
    #[must_use]
    pub fn reader(&self) -> Reader {
        match self {
            Self::Http(_) => Reader::Http(Box::default()),
            Self::Tcp { response_bytes, .. } => Reader::Counted { each: *response_bytes, left: *response_bytes },
            Self::Udp { .. } => Reader::Counted { each: 0, left: 0 },
        }
    }
}

/// Finds where each answer of a connection ends.
#[derive(Debug)]
pub enum Reader {
    /// After so many bytes.
    Counted {
        /// Bytes of an answer.
        each: u64,
        /// Of the current one.
        left: u64,
    },
    /// Where RFC 9112 says.
    Http(Box<MessageReader<Answered>>),
}

/// A whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// HTTP only.
    pub status: Option<u16>,
    /// The connection may be used again.
    pub keeps_alive: bool,
}

impl Reader {
    /// Takes bytes of the answer to request `index`, up to its end: how many, and the answer when it is whole.
    ///
    /// # Errors
    /// They are no answer.
    pub fn feed(
        &mut self,
        workload: &Workload,
        index: usize,
        bytes: &[u8],
    ) -> Result<(usize, Option<Answer>), BadMessage> {
        match self {
            Self::Counted { each, left } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                let whole = (*left == 0).then_some(Answer { status: None, keeps_alive: true });
                if whole.is_some() {
                    *left = *each;
                }
                Ok((taken, whole))
            }
            Self::Http(reader) => {
                let is_head = matches!(workload, Workload::Http(requests) if requests.get(index).is_head);
                let (taken, whole) = reader.feed(is_head, bytes)?;
                Ok((taken, whole.map(Answer::from)))
            }
        }
    }

    /// The target has finished sending: the answer which that makes whole.
    pub fn end(&mut self) -> Option<Answer> {
        match self {
            Self::Counted { .. } => None,
            Self::Http(reader) => reader.end().map(Answer::from),
        }
    }
}

impl From<Answered> for Answer {
    fn from(answered: Answered) -> Self {
        Answer { status: Some(answered.status), keeps_alive: answered.keeps_alive }
    }
}
