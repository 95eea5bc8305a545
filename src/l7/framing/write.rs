//! A head as the other side gets it: from the fields that we understood, one by one.
//!
//! ```text
//!     fields --left out? written anew?--> runs of lines that stand in the bytes as we would write them --> out, a copy a run
//! ```
//!
//! Always: what decides about framing (`Content-Length`, `Transfer-Encoding`, `Connection`) comes out of what was decided, not
//! out of what was received; a line is copied only where it was checked byte by byte and has our form.

use super::fields::{Field, Kind, elements, is_protected};

/// Whether `Upgrade` passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// `Connection: upgrade` and `Upgrade`, if the message asks for it.
    Pass,
    /// Neither.
    Drop,
}

/// What becomes of a field.
pub(super) enum Fate<'a> {
    Keep,
    Drop,
    /// Kept with another value.
    Replace(&'a [u8]),
}

/// Copies what stays of `fields`.
pub(super) fn fields<'a>(bytes: &[u8], fields: &[Field], mut fate: impl FnMut(&Field) -> Fate<'a>, out: &mut Vec<u8>) {
    let mut run = 0..0;
    for field in fields {
        match fate(field) {
            Fate::Drop => {}
            Fate::Keep if field.is_canonical => {
                let at = field.name_at as usize;
                if at != run.end {
                    out.extend_from_slice(&bytes[run.clone()]);
                    run.start = at;
                }
                run.end = field.end();
            }
            Fate::Keep => {
                out.extend_from_slice(&bytes[std::mem::take(&mut run)]);
                line(field.name(bytes), field.value(bytes), out);
            }
            Fate::Replace(value) => {
                out.extend_from_slice(&bytes[std::mem::take(&mut run)]);
                line(field.name(bytes), value, out);
            }
        }
    }
    out.extend_from_slice(&bytes[run]);
}

/// `Name: value` and CRLF.
pub(super) fn line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// `Connection: upgrade` and `Upgrade`.
pub(super) fn upgrade(protocol: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Connection: upgrade\r\n");
    line(b"Upgrade", protocol, out);
}

/// `Content-Length: n` and CRLF.
pub(super) fn content_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Length: ");
    decimal(length, out);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn decimal(mut number: u64, out: &mut Vec<u8>) {
    // 20 digits hold u64::MAX.
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // A remainder of 10 fits any integer.
        #[allow(clippy::cast_possible_truncation)]
        let digit = (number % 10) as u8;
        digits[at] = b'0' + digit;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The names that a caller wants left out, with their lengths in a word: most fields are told apart by that alone.
pub(super) struct Names<'a> {
    names: &'a [&'a str],
    lengths: u64,
}

impl<'a> Names<'a> {
    pub(super) fn new(names: &'a [&'a str]) -> Self {
        let lengths = names.iter().fold(0, |lengths, name| lengths | Self::bit(name.len()));
        Names { names, lengths }
    }

    pub(super) fn contain(&self, name: &[u8]) -> bool {
        self.lengths & Self::bit(name.len()) != 0
            && self.names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
    }

    fn bit(length: usize) -> u64 {
        1 << length.min(63)
    }
}

/// `Connection` of this message names `field`, and may (RFC 9110, 7.6.1).
pub(super) fn is_named_by_connection(field: &Field, bytes: &[u8], fields: &[Field]) -> bool {
    let name = field.name(bytes);
    let names_it =
        |connection: &Field| elements(connection.value(bytes)).any(|option| option.eq_ignore_ascii_case(name));
    fields.iter().filter(|other| other.kind == Kind::Connection).any(names_it) && !is_protected(name)
}
