//! Where a redirect leads (requirements R3, R5).
//!
//!     #{protocol} :// #{host} : #{port} /#{path} ? #{query}       each part a template of its own; its text stays in its part
//!
//! `#{path}` is the path without its first slash, as in ALB: `/#{path}` is the same path, `/#{path}/` has a slash more.
//! The port is that of the URL that the client used: a listener's own would be wrong behind a host that maps 443 to 8443.
//! Always: what is not visible ASCII is written as `%XX`, so nothing that a client sends ends the line or begins another.
#![forbid(unsafe_code)]

use super::rule::Redirect;
use crate::l7::UrlScheme;

/// The URL that a client used.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Its scheme.
    pub scheme: UrlScheme,
    /// `host[:port]`, not empty.
    pub authority: &'a [u8],
    /// With its slash.
    pub path: &'a [u8],
    /// Without its question mark.
    pub query: Option<&'a [u8]>,
}

/// A redirect's URL is longer than `LOCATION_BYTES_MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocationTooLong;

/// Longest URL that a redirect leads to. Ours, ALB's is 8 KiB: a longer one could not be asked for, as 16 KiB is the longest
/// request line.
pub const LOCATION_BYTES_MAX: usize = 16 << 10;

impl Redirect {
    /// Appends the URL that a request to `origin` is redirected to.
    ///
    /// # Errors
    /// It would be too long; `out` is as it was.
    pub fn write_location(&self, origin: &Origin<'_>, out: &mut Vec<u8>) -> Result<(), LocationTooLong> {
        let start = out.len();
        let written = self.write(origin, &mut Room { out: &mut *out, end: start + LOCATION_BYTES_MAX });
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write(&self, origin: &Origin<'_>, room: &mut Room<'_>) -> Result<(), LocationTooLong> {
        let values = Values::new(origin);
        let start = room.out.len();
        values.write(&self.protocol, room)?;
        let is_default: &[u8] = if room.out[start..].eq_ignore_ascii_case(b"https") { b"443" } else { b"80" };
        room.append(b"://")?;
        values.write(&self.host, room)?;
        room.append(b":")?;
        let port = room.out.len();
        values.write(&self.port, room)?;
        if &room.out[port..] == is_default {
            room.out.truncate(port - 1);
        }
        values.write(&self.path, room)?;
        room.append(b"?")?;
        let query = room.out.len();
        values.write(&self.query, room)?;
        if room.out.len() == query {
            room.out.truncate(query - 1);
        }
        Ok(())
    }
}

/// What the placeholders stand for.
struct Values<'a> {
    origin: &'a Origin<'a>,
    host: &'a [u8],
    port: &'a [u8],
}

impl<'a> Values<'a> {
    fn new(origin: &'a Origin<'a>) -> Self {
        let default: &[u8] = if origin.scheme == UrlScheme::Https { b"443" } else { b"80" };
        let authority = origin.authority;
        // A colon within brackets is an address's.
        let colon = memchr::memrchr(b':', authority).filter(|at| !authority[*at..].contains(&b']'));
        let (host, port) = colon.map_or((authority, &b""[..]), |at| (&authority[..at], &authority[at + 1..]));
        Values { origin, host, port: if port.is_empty() { default } else { port } }
    }

    fn write(&self, template: &str, room: &mut Room<'_>) -> Result<(), LocationTooLong> {
        let mut rest = template;
        while let Some(at) = rest.find("#{") {
            room.append(&rest.as_bytes()[..at])?;
            rest = &rest[at..];
            let Some(placeholder) = Placeholder::at_start_of(rest) else { break };
            room.append(self.value(placeholder))?;
            rest = &rest[placeholder.as_str().len()..];
        }
        room.append(rest.as_bytes())
    }

    fn value(&self, placeholder: Placeholder) -> &[u8] {
        match placeholder {
            Placeholder::Protocol => self.origin.scheme.as_str().as_bytes(),
            Placeholder::Host => self.host,
            Placeholder::Port => self.port,
            Placeholder::Path => self.origin.path.strip_prefix(b"/").unwrap_or(self.origin.path),
            Placeholder::Query => self.origin.query.unwrap_or_default(),
        }
    }
}

/// What a redirect can take over from the request. ALB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    Protocol,
    Host,
    Port,
    Path,
    Query,
}

impl Placeholder {
    pub(super) const ALL: [Placeholder; 5] =
        [Placeholder::Protocol, Placeholder::Host, Placeholder::Port, Placeholder::Path, Placeholder::Query];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Placeholder::Protocol => "#{protocol}",
            Placeholder::Host => "#{host}",
            Placeholder::Port => "#{port}",
            Placeholder::Path => "#{path}",
            Placeholder::Query => "#{query}",
        }
    }

    pub(super) fn at_start_of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|placeholder| text.starts_with(placeholder.as_str()))
    }
}

/// A URL on its way, and how far it may go.
struct Room<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
}

impl Room<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), LocationTooLong> {
        // Also ahead of the loop: a long value is not written only to be thrown away.
        if bytes.len() > self.end - self.out.len() {
            return Err(LocationTooLong);
        }
        for &byte in bytes {
            if byte.is_ascii_graphic() {
                self.out.push(byte);
            } else {
                let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
                self.out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        if self.out.len() > self.end { Err(LocationTooLong) } else { Ok(()) }
    }
}
