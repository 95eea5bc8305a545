//! Chunked framing (RFC 9112, 7.1), piece by piece, without a buffer.
//!
//! ```text
//!              .---------------------- CRLF -----------------------.
//!              v                                                    |
//!     Size --CRLF, size > 0--> Data --all of it--> DataCr --CR--> DataLf
//!      | `-- ';' or blanks --> Extension --CR--> SizeLf --LF--^ v
//!      `-- CRLF, size 0 ----------------------------------> Trailer --empty line--> Done
//!                                                            |  ^
//!                                                            v  | LF
//!                                               name --':'--> value --CR--> ...
//!     anything else: BadBody
//! ```
//!
//! What is canonical is passed as it is. Extensions are dropped (RFC 9112, 7.1.1 lets us, and nobody agrees where they end),
//! and so are leading zeros and trailer fields that must not come so late (RFC 9110, 6.5.1). A bare LF, blanks that no grammar
//! allows and sizes that overflow are errors: others read them in other ways.

use super::body::{BadBody, Form, Forward, Relayed};
use super::fields::{Kind, is_lookalike};
use super::length::is_token_byte;
use super::limits::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, TRAILER_BYTES_MAX, TRAILER_NAME_BYTES_MAX};

#[derive(Debug, Clone, Copy)]
pub(super) struct Chunks {
    state: State,
    /// What is left of the chunk; while its size is read, the size so far.
    left: u64,
    /// Of the size, leading zeros included.
    digits: u8,
    extension_bytes: u16,
    trailer_bytes: u16,
    name_length: u8,
    name: [u8; TRAILER_NAME_BYTES_MAX],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// Behind the size: blanks, which only an extension may follow.
    Blanks,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line of the trailer section.
    Trailer,
    TrailerName,
    /// The line's name is too long to pass.
    LongName,
    TrailerValue(Fate),
    TrailerLf(Fate),
    LastLf,
    Done,
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Drop,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Chunks {
            state: State::Size,
            left: 0,
            digits: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            name_length: 0,
            name: [0; TRAILER_NAME_BYTES_MAX],
        }
    }

    /// As `Body::relay`.
    pub(super) fn relay(&mut self, input: &[u8], form: Form, out: &mut Vec<u8>) -> Result<Relayed, BadBody> {
        let framing = if form == Form::Payload { Fate::Drop } else { Fate::Pass };
        let mut output = Output { input, at: 0, out, forward: Forward::AsIs, framing };
        let mut payload = 0;
        while output.at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                payload += self.data(&mut output);
            } else if let Err(why) = self.step(&mut output) {
                self.state = State::Broken;
                return Err(BadBody { why });
            }
        }
        Ok(Relayed { taken: output.at, payload, end: self.state == State::Done, forward: output.forward })
    }

    fn data(&mut self, output: &mut Output<'_>) -> usize {
        let room = output.input.len() - output.at;
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(room);
        output.pass(taken);
        self.left -= taken as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        taken
    }

    /// One byte of framing.
    fn step(&mut self, output: &mut Output<'_>) -> Result<(), &'static str> {
        let byte = output.input[output.at];
        match (self.state, byte) {
            (State::Size, _) if byte.is_ascii_hexdigit() => self.digit(byte, output)?,
            (State::Size | State::Extension, b'\r') => self.size_ends(output)?,
            (State::Size | State::Blanks, b';') => self.extension(State::Extension, output)?,
            (State::Size | State::Blanks, b' ' | b'\t') => self.extension(State::Blanks, output)?,
            (State::Extension, _) if is_text(byte) => self.extension(State::Extension, output)?,
            (State::SizeLf, b'\n') => {
                output.frame(Fate::Pass);
                self.state = if self.left == 0 { State::Trailer } else { State::Data };
            }
            (State::DataCr, b'\r') => {
                output.frame(Fate::Pass);
                self.state = State::DataLf;
            }
            (State::DataLf, b'\n') => {
                output.frame(Fate::Pass);
                self.digits = 0;
                self.state = State::Size;
            }
            (State::Size | State::Blanks, _) => return Err("bad chunk size"),
            (State::Extension | State::SizeLf, _) => return Err("bad chunk extension, or a bare CR or LF behind it"),
            (State::DataCr | State::DataLf, _) => return Err("chunk is longer than its size"),
            _ => self.trailer(byte, output)?,
        }
        Ok(())
    }

    /// Zeros are held back until it is known that they do not lead.
    fn digit(&mut self, byte: u8, output: &mut Output<'_>) -> Result<(), &'static str> {
        self.digits += 1;
        if self.digits > CHUNK_SIZE_DIGITS_MAX {
            return Err("chunk size has too many digits");
        }
        let value = (byte as char).to_digit(16).unwrap_or(0);
        self.left = self.left << 4 | u64::from(value);
        if self.left > 0 {
            output.frame(Fate::Pass);
        } else if output.input.get(output.at + 1) == Some(&b'\r') {
            // The last chunk as everybody writes it.
            output.frame(Fate::Pass);
            output.frame(Fate::Pass);
            self.state = State::SizeLf;
        } else {
            output.frame(Fate::Drop);
        }
        Ok(())
    }

    fn size_ends(&mut self, output: &mut Output<'_>) -> Result<(), &'static str> {
        if self.digits == 0 {
            return Err("chunk without a size");
        }
        if self.left == 0 {
            output.insert(b"0");
        }
        output.frame(Fate::Pass);
        self.state = State::SizeLf;
        Ok(())
    }

    fn extension(&mut self, next: State, output: &mut Output<'_>) -> Result<(), &'static str> {
        self.extension_bytes += 1;
        if self.digits == 0 || self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX {
            return Err(if self.digits == 0 { "chunk without a size" } else { "chunk extensions are too long" });
        }
        output.frame(Fate::Drop);
        self.state = next;
        Ok(())
    }

    fn trailer(&mut self, byte: u8, output: &mut Output<'_>) -> Result<(), &'static str> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err("trailer fields are too long");
        }
        self.state = match (self.state, byte) {
            (State::Trailer, b'\r') => {
                output.frame(Fate::Pass);
                State::LastLf
            }
            (State::LastLf, b'\n') => {
                output.frame(Fate::Pass);
                State::Done
            }
            (State::Trailer, _) if is_token_byte(byte) => {
                self.name_length = 0;
                self.hold(byte, output)
            }
            (State::TrailerName, _) if is_token_byte(byte) => self.hold(byte, output),
            (State::TrailerName, b':') => {
                let name = &self.name[..usize::from(self.name_length)];
                let fate = if is_forbidden(name) { Fate::Drop } else { Fate::Pass };
                if fate == Fate::Pass {
                    output.insert(name);
                }
                output.frame(fate);
                State::TrailerValue(fate)
            }
            (State::LongName, b':') => {
                output.frame(Fate::Drop);
                State::TrailerValue(Fate::Drop)
            }
            (State::LongName, _) if is_token_byte(byte) => {
                output.frame(Fate::Drop);
                State::LongName
            }
            (State::TrailerValue(fate), _) if is_text(byte) => {
                output.frame(fate);
                State::TrailerValue(fate)
            }
            (State::TrailerValue(fate), b'\r') => {
                output.frame(fate);
                State::TrailerLf(fate)
            }
            (State::TrailerLf(fate), b'\n') => {
                output.frame(fate);
                State::Trailer
            }
            _ => return Err("bad trailer field"),
        };
        Ok(())
    }

    fn hold(&mut self, byte: u8, output: &mut Output<'_>) -> State {
        output.frame(Fate::Drop);
        let Some(place) = self.name.get_mut(usize::from(self.name_length)) else { return State::LongName };
        *place = byte;
        self.name_length += 1;
        State::TrailerName
    }
}

/// The output of one piece: the piece itself until something else goes out than came in.
struct Output<'a> {
    input: &'a [u8],
    /// What was taken of it.
    at: usize,
    out: &'a mut Vec<u8>,
    forward: Forward,
    /// Whether framing passes at all.
    framing: Fate,
}

impl Output<'_> {
    /// Content: passes.
    fn pass(&mut self, length: usize) {
        if self.forward == Forward::Rewritten {
            self.out.extend_from_slice(&self.input[self.at..self.at + length]);
        }
        self.at += length;
    }

    /// A byte of framing.
    fn frame(&mut self, fate: Fate) {
        if fate == Fate::Pass && self.framing == Fate::Pass {
            return self.pass(1);
        }
        self.rewrite();
        self.at += 1;
    }

    /// Framing that was held back.
    fn insert(&mut self, held: &[u8]) {
        if self.framing == Fate::Pass {
            self.rewrite();
            self.out.extend_from_slice(held);
        }
    }

    fn rewrite(&mut self) {
        if self.forward == Forward::AsIs {
            self.out.extend_from_slice(&self.input[..self.at]);
            self.forward = Forward::Rewritten;
        }
    }
}

/// Of a value or an extension (RFC 9110, 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Must not come as late as this: framing, routing, authentication, or how to read the content (RFC 9110, 6.5.1). A target that
/// merges trailers into the fields would act on what no one checked.
fn is_forbidden(name: &[u8]) -> bool {
    const NAMES: [&str; 32] = [
        "age",
        "authorization",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-location",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "expires",
        "forwarded",
        "location",
        "max-forwards",
        "origin",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "range",
        "referer",
        "retry-after",
        "set-cookie",
        "status",
        "trailer",
        "user-agent",
        "vary",
        "via",
        "warning",
        "www-authenticate",
        "x-http-method-override",
        "x-real-ip",
    ];
    const PREFIXES: [&str; 4] = ["if-", "x-amzn-", "x-forwarded-", "sec-"];
    // As CGI and its kin read names.
    let is = |other: &str, name: &[u8]| {
        name.len() == other.len()
            && name
                .iter()
                .zip(other.bytes())
                .all(|(byte, other)| byte.to_ascii_lowercase() == other || (*byte == b'_' && other == b'-'))
    };
    Kind::of(name) != Kind::Plain
        || is_lookalike(name)
        || ["host", "te", "upgrade", "keep-alive", "proxy-connection"].iter().any(|other| is(other, name))
        || NAMES.iter().any(|other| is(other, name))
        || PREFIXES.iter().any(|prefix| name.get(..prefix.len()).is_some_and(|start| is(prefix, start)))
}
