//! Where a body ends, and in which form it is passed on.
//!
//! ```text
//!     BodyLength --Body::new--> relay(piece) --> taken, payload, end; AsIs: the piece itself, or what is in `out`
//!                                 ^      |           chunked --> chunks.rs
//!                                 `------'  until end; `ended` when the sender's stream ends first
//! ```
//!
//! Always: no byte past the body's end is taken; the bytes that are passed on do not depend on how the input was cut up
//! (but for the chunks that `Form::Chunked` makes, one for each piece).

use super::chunks::Chunks;

/// How a body is framed (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// By chunks.
    Chunked,
    /// Until the sender closes: responses only.
    UntilClose,
}

/// What the receiver gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The framing that came.
    AsReceived,
    /// No chunk framing.
    Payload,
    /// Chunk framing, added where none came.
    Chunked,
}

/// What to send on of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// `input[..taken]` as it is.
    AsIs,
    /// What was appended to `out`.
    Rewritten,
}

/// What a piece of input came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    /// So many bytes of it were taken, never one past the body's end.
    pub taken: usize,
    /// Bytes of content among them.
    pub payload: usize,
    /// The body is complete.
    pub end: bool,
    /// What to send on.
    pub forward: Forward,
}

/// Chunk framing that cannot be read. Nothing may be sent on any more, and both connections are to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadBody {
    /// What is wrong, for the log.
    pub why: &'static str,
}

/// The sender's stream ended ahead of the body's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated;

/// A body on its way.
#[derive(Debug, Clone, Copy)]
pub struct Body(State);

#[derive(Debug, Clone, Copy)]
enum State {
    Done,
    /// Bytes left, never 0.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

impl Body {
    /// What ends a body of `Form::Chunked` whose sender closed.
    pub const LAST_CHUNK: &'static [u8] = b"0\r\n\r\n";

    /// At its beginning.
    #[must_use]
    pub fn new(length: BodyLength) -> Self {
        Body(match length {
            BodyLength::None | BodyLength::Length(0) => State::Done,
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::Chunked(Chunks::new()),
            BodyLength::UntilClose => State::UntilClose,
        })
    }

    /// All of it came.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Takes from the front of `input`.
    ///
    /// # Errors
    /// `BadBody`, then and ever after; what was appended to `out` is not to be sent.
    pub fn relay(&mut self, input: &[u8], form: Form, out: &mut Vec<u8>) -> Result<Relayed, BadBody> {
        let taken = match &mut self.0 {
            State::Done => 0,
            State::UntilClose => input.len(),
            State::Length(left) => {
                // More than usize::MAX left is more than any input has.
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.0 = State::Done;
                }
                taken
            }
            State::Chunked(chunks) => {
                let relayed = chunks.relay(input, form, out)?;
                if relayed.end {
                    self.0 = State::Done;
                }
                return Ok(relayed);
            }
        };
        let forward = if form == Form::Chunked { Forward::Rewritten } else { Forward::AsIs };
        if form == Form::Chunked && taken > 0 {
            chunk(&input[..taken], out);
            if self.is_done() {
                out.extend_from_slice(Self::LAST_CHUNK);
            }
        }
        Ok(Relayed { taken, payload: taken, end: self.is_done(), forward })
    }

    /// The sender's stream ended. With `Form::Chunked` the last chunk is then still to be sent.
    ///
    /// # Errors
    /// `Truncated`: the body is not complete, and must not look so to the receiver.
    pub fn ended(&mut self) -> Result<(), Truncated> {
        match self.0 {
            State::Done | State::UntilClose => {
                self.0 = State::Done;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(Truncated),
        }
    }
}

/// `payload` as one chunk.
fn chunk(payload: &[u8], out: &mut Vec<u8>) {
    let digits = (usize::BITS - payload.len().leading_zeros()).div_ceil(4);
    for shift in (0..digits).rev() {
        out.push(b"0123456789abcdef"[payload.len() >> (4 * shift) & 15]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}
