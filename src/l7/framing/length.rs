//! How long a body is: `Transfer-Encoding` and `Content-Length` (RFC 9112, 6).
//!
//! ```text
//!     Transfer-Encoding  Content-Length
//!     -                  -               request: none; response: until close
//!     -                  n               n bytes
//!     chunked            -               chunked
//!     chunked            n               request: chunked, and an ambiguous one; response: bad
//!     -                  n, n            n bytes; in a request ambiguous, or severe in a list
//!     -                  n, m            nobody knows: refused
//!     anything else      any             refused
//! ```

use super::fields::{Field, Kind, elements};

/// What the two fields say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools)] // Each is something that was there or was not.
pub(super) struct Lengths {
    /// `Content-Length`, if it is there.
    pub(super) content_length: Option<u64>,
    /// It was there twice, with the same number.
    pub(super) is_duplicate: bool,
    /// It stands in the head as we would write it.
    pub(super) is_plain: bool,
    /// `Transfer-Encoding: chunked`.
    pub(super) is_chunked: bool,
    /// The coding was in a list with empty elements.
    pub(super) has_odd_coding: bool,
    /// A number was in a list.
    pub(super) has_list: bool,
}

/// Why the two fields cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadLength {
    /// Not a number, or none that fits.
    ContentLength,
    /// Two numbers.
    ContentLengths,
    /// Not a list of codings, or `chunked` is not its end.
    TransferEncoding,
    /// `chunked` twice.
    ChunkedTwice,
    /// A coding that we do not know.
    UnknownCoding,
}

impl BadLength {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            BadLength::ContentLength => "Content-Length is not a number",
            BadLength::ContentLengths => "Content-Length twice, with different numbers",
            BadLength::TransferEncoding => "Transfer-Encoding does not end in chunked",
            BadLength::ChunkedTwice => "Transfer-Encoding: chunked twice",
            BadLength::UnknownCoding => "unknown transfer coding",
        }
    }
}

impl Lengths {
    /// Takes in one field more; to be called for every `Content-Length` and `Transfer-Encoding`, in order.
    pub(super) fn add(&mut self, field: &Field, bytes: &[u8]) -> Result<(), BadLength> {
        let value = field.value(bytes);
        match field.kind {
            Kind::ContentLength => self.add_content_length(value, field.is_canonical),
            Kind::TransferEncoding => self.add_transfer_encoding(value),
            _ => Ok(()),
        }
    }

    fn add_content_length(&mut self, value: &[u8], is_canonical: bool) -> Result<(), BadLength> {
        let is_first = self.content_length.is_none();
        for element in value.split(|byte| *byte == b',') {
            let number = number(super::fields::trim(element)).ok_or(BadLength::ContentLength)?;
            match self.content_length.replace(number) {
                Some(before) if before != number => return Err(BadLength::ContentLengths),
                Some(_) => self.is_duplicate = true,
                None => {}
            }
        }
        self.has_list |= memchr::memchr(b',', value).is_some();
        // Leading zeros are legal, and somebody may take them for an octal number.
        self.is_plain =
            is_first && !self.is_duplicate && is_canonical && (value.len() == 1 || value.first() != Some(&b'0'));
        Ok(())
    }

    fn add_transfer_encoding(&mut self, value: &[u8]) -> Result<(), BadLength> {
        let mut codings = 0;
        for coding in elements(value) {
            codings += 1;
            if coding.eq_ignore_ascii_case(b"chunked") {
                if std::mem::replace(&mut self.is_chunked, true) {
                    return Err(BadLength::ChunkedTwice);
                }
            } else if self.is_chunked || !is_token(coding) {
                return Err(BadLength::TransferEncoding);
            } else {
                return Err(BadLength::UnknownCoding);
            }
        }
        if codings == 0 {
            return Err(BadLength::TransferEncoding);
        }
        self.has_odd_coding |= memchr::memchr(b',', value).is_some();
        Ok(())
    }
}

/// `1*DIGIT` that fits.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// `1*tchar` (RFC 9110, 5.6.2).
#[must_use]
pub fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte))
}

/// tchar (RFC 9110, 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[usize::from(byte)]
}

static TOKEN_BYTES: [bool; 256] = alphanumerics_and(b"!#$%&'*+-.^_`|~");

/// Which bytes are letters, digits or of these, to be looked up.
pub(super) const fn alphanumerics_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0u8;
    loop {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}
