//! The fields of a head: where each is in its bytes, and what it is to us.
//!
//! ```text
//!     name --length, then letters--> Kind --> what is kept, written anew or left out (write.rs)
//!     values of Connection --> Options
//! ```

use super::limits::{FIELD_BYTES_MAX, FIELDS_MAX};

/// A field line that was read: offsets into the head's bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name_at: u32,
    pub(super) value_at: u32,
    pub(super) name_length: u16,
    pub(super) value_length: u16,
    pub(super) kind: Kind,
    /// Stands in the bytes as it is written: `Name: value` and CRLF.
    pub(super) is_canonical: bool,
}

/// What a field is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Passes, unless `Connection` or the caller names it.
    Plain,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    Expect,
    /// `Keep-Alive`, `Proxy-Connection`, `TE`, `HTTP2-Settings`: for this connection alone (RFC 9110, 7.6.1).
    HopByHop,
    /// Others may take it for `Content-Length` or `Transfer-Encoding`; it never passes.
    Lookalike,
}

impl Kind {
    pub(super) fn of(name: &[u8]) -> Kind {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        match name.len() {
            2 if is("te") => Kind::HopByHop,
            4 if is("host") => Kind::Host,
            6 if is("expect") => Kind::Expect,
            7 if is("upgrade") => Kind::Upgrade,
            10 if is("connection") => Kind::Connection,
            10 if is("keep-alive") => Kind::HopByHop,
            14 if is("content-length") => Kind::ContentLength,
            14 if is("http2-settings") => Kind::HopByHop,
            16 if is("proxy-connection") => Kind::HopByHop,
            17 if is("transfer-encoding") => Kind::TransferEncoding,
            13.. if is_lookalike(name) => Kind::Lookalike,
            _ => Kind::Plain,
        }
    }
}

/// The letters of `Content-Length` or `Transfer-Encoding` with anything else between them: CGI and its kin turn `_` into
/// `-`, and some parsers skip what they do not know.
pub(super) fn is_lookalike(name: &[u8]) -> bool {
    let letters = || name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
    // Most names are told apart by their first letter.
    match letters().next() {
        Some(b'c') => letters().eq(*b"contentlength"),
        Some(b't') => letters().eq(*b"transferencoding"),
        _ => false,
    }
}

impl Field {
    pub(super) fn name<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let at = self.name_at as usize;
        &bytes[at..at + usize::from(self.name_length)]
    }

    pub(super) fn value<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let at = self.value_at as usize;
        &bytes[at..at + usize::from(self.value_length)]
    }

    /// Where its line ends, if it is canonical.
    pub(super) fn end(&self) -> usize {
        self.value_at as usize + usize::from(self.value_length) + 2
    }
}

/// Where httparse puts what it finds.
pub(super) type Parsed<'b> = [std::mem::MaybeUninit<httparse::Header<'b>>; FIELDS_MAX];

/// Notes where `parsed` are in `bytes`; `None` if one is too long, which a folded one may be, or does not end in CRLF.
pub(super) fn note(bytes: &[u8], parsed: &[httparse::Header<'_>], fields: &mut Vec<Field>) -> Option<()> {
    let base = bytes.as_ptr().addr();
    fields.clear();
    for header in parsed {
        let name_at = header.name.as_ptr().addr() - base;
        let value_at = header.value.as_ptr().addr() - base;
        let name_end = name_at + header.name.len();
        let value_end = value_at + header.value.len();
        let ends_in_crlf = bytes.get(value_end..value_end + 2) == Some(b"\r\n");
        if header.name.len() + header.value.len() > FIELD_BYTES_MAX || !(ends_in_crlf || is_end(&bytes[value_end..])) {
            return None;
        }
        fields.push(Field {
            name_at: u32::try_from(name_at).ok()?,
            value_at: u32::try_from(value_at).ok()?,
            name_length: u16::try_from(header.name.len()).ok()?,
            value_length: u16::try_from(header.value.len()).ok()?,
            kind: Kind::of(header.name.as_bytes()),
            is_canonical: ends_in_crlf && value_at == name_end + 2 && bytes[name_end..value_at] == *b": ",
        });
    }
    Some(())
}

/// Blanks, and CRLF.
fn is_end(text: &[u8]) -> bool {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    text[blanks..].starts_with(b"\r\n")
}

/// What `Connection` says (RFC 9110, 7.6.1).
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)] // Each is an option that was there or was not.
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// It names fields besides, so each has to be looked up.
    pub(super) names_fields: bool,
    /// It names one that decides about framing or routing.
    pub(super) names_essential: bool,
}

impl Options {
    pub(super) fn add(&mut self, value: &[u8]) {
        for option in elements(value) {
            let is = |text: &str| option.eq_ignore_ascii_case(text.as_bytes());
            if is("close") {
                self.close = true;
            } else if is("keep-alive") {
                self.keep_alive = true;
            } else if is("upgrade") {
                self.upgrade = true;
            } else if is("host") || is("content-length") || is("transfer-encoding") {
                self.names_essential = true;
            } else {
                self.names_fields = true;
            }
        }
    }
}

/// What `Upgrade` asks for, unless that is another HTTP or TLS: behind h2c the target would read requests that nobody here
/// has looked at, and we could not tell (RFC 9113, 3.1 has taken it back).
pub(super) fn protocol(value: &[u8]) -> Option<&[u8]> {
    let is_another_http = |protocol: &[u8]| {
        let starts =
            |with: &str| protocol.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
        starts("h2") || starts("http") || starts("tls")
    };
    let mut protocols = elements(value).peekable();
    protocols.peek()?;
    if protocols.any(is_another_http) { None } else { Some(value) }
}

/// The elements of a list that are not empty (RFC 9110, 5.6.1).
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Without optional whitespace at both ends (RFC 9110, 5.6.3).
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A field that `Connection` cannot take away, whoever asks: end-to-end fields that later stations decide by. Otherwise a
/// client could hide from the target what the balancer, or a station before it, says about it.
pub(super) fn is_protected(name: &[u8]) -> bool {
    const NAMES: [&str; 7] =
        ["authorization", "cache-control", "cookie", "forwarded", "set-cookie", "via", "x-real-ip"];
    const PREFIXES: [&str; 3] = ["content-", "x-forwarded-", "x-amzn-"];
    NAMES.iter().any(|protected| name.eq_ignore_ascii_case(protected.as_bytes()))
        || PREFIXES
            .iter()
            .any(|prefix| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes())))
}
