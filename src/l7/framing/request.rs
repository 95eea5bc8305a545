//! A request's head: from its first byte to what the target gets.
//!
//! ```text
//!     pieces --lines--> a whole head --httparse--> fields --> target, Host, lengths, Connection --> RequestHead
//!                            `--mend (rare)--^                         `-- what cannot be: Refused
//!     RequestHead --write, edits--> the head as the target gets it
//! ```
//!
//! Always: no byte past the head's end is taken; the buffers are used again from request to request.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::body::BodyLength;
use super::fields::{self, Field, Kind, Options, Parsed};
use super::hygiene::{Class, Finding, Findings, Reason, Refused};
use super::length::{BadLength, Lengths};
use super::limits::{FIELD_BYTES_MAX, FIELDS_MAX, REQUEST_FIELDS_BYTES_MAX, REQUEST_LINE_BYTES_MAX};
use super::lines::{Bounds, Scanned, TooLong};
use super::mend;
use super::target::{self, Form, Parts};
use super::text::Text;
use super::write::{self, Fate, Names, Upgrade};

/// HTTP version, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and any later 1.x (RFC 9110, 2.5).
    #[default]
    Http11,
}

/// What a piece of input came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// So many bytes of it were taken, never one past the head's end.
    pub taken: usize,
    /// The head is complete.
    pub complete: bool,
}

/// A request's head, used again from request to request.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    text: Text,
    method_length: usize,
    /// Ranges count from the target's first byte, which follows the method and a space.
    target_length: usize,
    parts: Parts,
    version: Version,
    /// Where the authority is in `bytes`, and how much of it is the host.
    authority: Range<usize>,
    host_length: usize,
    lengths: Lengths,
    options: Options,
    expects_continue: bool,
    findings: Findings,
}

/// What the target gets otherwise than the client sent it.
#[derive(Debug, Clone, Copy)]
pub struct RequestEdits<'a> {
    /// What the target is spoken to with. HTTP/1.0 has no chunked bodies: such a request is not to be sent with it.
    pub version: Version,
    /// In place of path and query.
    pub path_and_query: Option<&'a [u8]>,
    /// In place of the authority, in `Host`. To be given where there is none: HTTP/1.0 may come without, and many targets refuse
    /// the empty one that 1.1 would then have.
    pub host: Option<&'a [u8]>,
    /// Further fields that do not pass, in lower case.
    pub drop: &'a [&'a str],
    /// Finished lines, each `Name: value` and CRLF.
    pub add: &'a [u8],
    /// Whether `Upgrade` passes.
    pub upgrade: Upgrade,
}

const BOUNDS: Bounds =
    Bounds { first_line: REQUEST_LINE_BYTES_MAX, one_field: FIELD_BYTES_MAX, all_fields: REQUEST_FIELDS_BYTES_MAX };

impl RequestHead {
    /// An empty one; it allocates with the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ready for the next request. Keeps a small capacity, gives a large one back.
    pub fn clear(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        *self = RequestHead { text, ..Self::default() };
    }

    /// Takes the next piece of input. Empty lines ahead of the request line are skipped (RFC 9112, 2.2).
    ///
    /// # Errors
    /// `Refused`: this request is not served in any mode, and nothing that follows it can be read.
    pub fn read(&mut self, input: &[u8]) -> Result<Read, Refused> {
        if let Some(length) = self.read_at_once(input) {
            self.understand()?;
            return Ok(Read { taken: length, complete: true });
        }
        let mut taken = 0;
        loop {
            let piece = &input[taken..];
            match self.text.lines.scan(&self.text.bytes, piece, &BOUNDS) {
                Ok(Scanned::Skip(length)) => {
                    self.text.bytes.clear();
                    taken += length;
                }
                Ok(Scanned::Open) => {
                    self.text.bytes.extend_from_slice(piece);
                    return Ok(Read { taken: input.len(), complete: false });
                }
                Ok(Scanned::End(length)) => {
                    self.text.bytes.extend_from_slice(&piece[..length]);
                    self.parse()?;
                    return Ok(Read { taken: taken + length, complete: true });
                }
                Err(too_long) => {
                    // What is kept is for the log.
                    let room = REQUEST_LINE_BYTES_MAX.saturating_sub(self.text.bytes.len());
                    self.text.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
                    return Err(refuse_length(too_long));
                }
            }
        }
    }

    /// The common case, without a look at each line: a head that is whole in the first piece, is past no limit, and
    /// has nothing to mend. Anything else goes the long way; tests compare the two.
    fn read_at_once(&mut self, input: &[u8]) -> Option<usize> {
        let length = self.parse_strictly(self.text.at_once(input)?)?;
        self.text.bytes.extend_from_slice(&input[..length]);
        Some(length)
    }

    /// Bytes that it keeps allocated.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.text.bytes.capacity() + self.text.fields.capacity() * size_of::<Field>()
    }

    fn parse(&mut self) -> Result<(), Refused> {
        let bytes = std::mem::take(&mut self.text.bytes);
        let length = self.parse_strictly(&bytes);
        self.text.bytes = bytes;
        if length == Some(self.text.bytes.len()) { self.understand() } else { self.mend() }
    }

    #[cold]
    fn mend(&mut self) -> Result<(), Refused> {
        let mut mended = Vec::with_capacity(self.text.bytes.len() + FIELDS_MAX);
        mend::request(&self.text.bytes, &self.text.lines, &mut self.findings, &mut mended)?;
        // What it still does not take is too long: folded, or encoded.
        let length = self.parse_strictly(&mended).ok_or(FIELD_TOO_LONG)?;
        if length != mended.len() {
            return Err(Refused::bad("head cannot be read", Reason::BadHeader));
        }
        self.text.bytes = mended;
        self.understand()
    }

    /// By httparse: notes what `bytes` begin with, if that is a head with nothing to mend, and says how long it is.
    fn parse_strictly(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut parsed: Parsed<'_> = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let parse = request.parse_with_uninit_headers(bytes, &mut parsed);
        let (Ok(httparse::Status::Complete(length)), Some(method), Some(path)) = (parse, request.method, request.path)
        else {
            return None;
        };
        self.method_length = method.len();
        self.target_length = path.len();
        self.version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let line_length = method.len() + path.len() + "  HTTP/1.1".len();
        if bytes.get(line_length..line_length + 2) != Some(b"\r\n") || !bytes[..length].ends_with(b"\r\n") {
            return None;
        }
        fields::note(bytes, request.headers, &mut self.text.fields)?;
        Some(length)
    }

    /// What the fields mean together.
    fn understand(&mut self) -> Result<(), Refused> {
        if self.target_length > REQUEST_LINE_BYTES_MAX {
            return Err(refuse_length(TooLong::FirstLine));
        }
        let method = &self.text.bytes[..self.method_length];
        let target_at = self.method_length + 1;
        self.parts =
            target::parse(method, &self.text.bytes[target_at..target_at + self.target_length], &mut self.findings)?;
        let mut host = None;
        for field in &self.text.fields {
            match field.kind {
                Kind::Plain | Kind::HopByHop | Kind::Upgrade => {}
                Kind::Host => {
                    if host.replace(*field).is_some() {
                        return Err(Refused::bad("Host twice", Reason::BadHeader));
                    }
                }
                Kind::ContentLength | Kind::TransferEncoding => {
                    self.lengths.add(field, &self.text.bytes).map_err(refuse_lengths)?;
                }
                Kind::Connection => self.options.add(field.value(&self.text.bytes)),
                Kind::Expect => {
                    self.expects_continue |= field.value(&self.text.bytes).eq_ignore_ascii_case(b"100-continue");
                }
                Kind::Lookalike => self.findings.add(Class::Ambiguous, Reason::SuspiciousHeader),
            }
        }
        self.find_authority(host, target_at)?;
        self.weigh();
        Ok(())
    }

    /// RFC 9112, 3.2: one `Host` and no more in 1.1, well formed in any version; the authority of the target wins.
    fn find_authority(&mut self, host: Option<Field>, target_at: usize) -> Result<(), Refused> {
        let by_host = match host {
            None if self.version == Version::Http11 => return Err(Refused::bad("no Host", Reason::BadHeader)),
            None => 0..0,
            Some(field) => {
                let by_host = field.value_at as usize..field.value_at as usize + usize::from(field.value_length);
                let split = target::split_authority(&self.text.bytes[by_host.clone()]);
                self.host_length = split.ok_or(Refused::bad("malformed Host", Reason::BadHeader))?.host_length;
                by_host
            }
        };
        self.authority = by_host.clone();
        let Some(by_target) = &self.parts.authority else { return Ok(()) };
        self.authority = target_at + by_target.start..target_at + by_target.end;
        self.host_length = target::split_authority(self.authority()).map_or(0, |split| split.host_length);
        if host.is_some() && !self.text.bytes[by_host].eq_ignore_ascii_case(self.authority()) {
            self.findings.add(Class::Ambiguous, Reason::AmbiguousUri);
        }
        Ok(())
    }

    /// What is odd about the lengths, given method and version.
    fn weigh(&mut self) {
        let Lengths { content_length, is_duplicate, is_chunked, has_odd_coding, has_list, .. } = self.lengths;
        if self.options.names_essential {
            self.findings.add(Class::Ambiguous, Reason::SuspiciousHeader);
        }
        if content_length.is_none() && !is_chunked {
            return;
        }
        if is_chunked && self.version == Version::Http10 {
            self.findings.add(Class::Severe, Reason::UndefinedTransferEncodingSemantics);
        }
        if is_chunked && content_length.is_some() {
            self.findings.add(Class::Ambiguous, Reason::BothTeClPresent);
        }
        if has_odd_coding {
            self.findings.add(Class::Severe, Reason::BadTransferEncoding);
        }
        if has_list {
            self.findings.add(Class::Severe, Reason::BadContentLength);
        }
        if is_duplicate {
            self.findings.add(Class::Ambiguous, Reason::DuplicateContentLength);
        }
        if !matches!(self.method(), b"GET" | b"HEAD") {
            return;
        }
        match content_length {
            _ if is_chunked => self.findings.add(Class::Ambiguous, Reason::UndefinedTransferEncodingSemantics),
            Some(0) => self.findings.add(Class::Acceptable, Reason::GetHeadZeroContentLength),
            _ => self.findings.add(Class::Ambiguous, Reason::UndefinedContentLengthSemantics),
        }
    }

    /// Some byte of a request came; empty lines ahead of it are none.
    #[must_use]
    pub fn is_started(&self) -> bool {
        !matches!(self.text.bytes.as_slice(), [] | [b'\r'])
    }

    /// Nothing is kept of what came, if anything did: empty lines.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.text.bytes.is_empty()
    }

    /// As far as it came, also of a refused head: for the log. Not escaped.
    #[must_use]
    pub fn request_line(&self) -> &[u8] {
        let bytes = &self.text.bytes[..self.text.bytes.len().min(REQUEST_LINE_BYTES_MAX)];
        let line = memchr::memchr(b'\n', bytes).map_or(bytes, |end| &bytes[..end]);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// The method; case matters (RFC 9110, 9.1).
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.text.bytes.get(..self.method_length).unwrap_or_default()
    }

    /// The response to it has no body.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// It asks for a tunnel.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.method() == b"CONNECT"
    }

    /// It may be sent twice (RFC 9110, 9.2.2).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method(), b"GET" | b"HEAD" | b"PUT" | b"DELETE" | b"OPTIONS" | b"TRACE")
    }

    /// The request target as it came.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        let at = self.method_length + 1;
        self.text.bytes.get(at..at + self.target_length).unwrap_or_default()
    }

    /// Path of origin-form or absolute-form; `*`; empty for CONNECT.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        match self.parts.form {
            Form::Absolute if self.parts.path.is_empty() => {
                // RFC 9112, 3.2.4.
                if self.method() == b"OPTIONS" && self.parts.query.is_none() { b"*" } else { b"/" }
            }
            _ => &self.target()[self.parts.path.clone()],
        }
    }

    /// What follows the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        self.parts.query.clone().map(|query| &self.target()[query])
    }

    /// `host[:port]` of absolute-form, else of `Host`; empty when HTTP/1.0 sent none.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        &self.text.bytes[self.authority.clone()]
    }

    /// The authority without its port; brackets are kept.
    #[must_use]
    pub fn host(&self) -> &[u8] {
        &self.authority()[..self.host_length]
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Name and value of each field, as received.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.text.fields()
    }

    /// The values of the fields of this name, any case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.text.values(name)
    }

    /// How its body is framed: never `UntilClose`.
    #[must_use]
    pub fn body(&self) -> BodyLength {
        match self.lengths {
            Lengths { is_chunked: true, .. } => BodyLength::Chunked,
            Lengths { content_length: Some(length), .. } => BodyLength::Length(length),
            _ => BodyLength::None,
        }
    }

    /// The client would like to send another request (RFC 9112, 9.3), and where that would begin is beyond doubt.
    #[must_use]
    pub fn wants_keep_alive(&self) -> bool {
        !self.options.close
            && !self.findings.is_end_in_doubt
            && (self.version == Version::Http11 || self.options.keep_alive)
    }

    /// What it wants to go on with, in 1.1 and where `Connection` says so (RFC 9110, 7.8). Never another HTTP or TLS,
    /// behind which nothing could be checked.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.text.upgrade(self.options, self.version)
    }

    /// The client waits for 100 before it sends the body. Other expectations pass to the target, whose affair they are
    /// (RFC 9110, 10.1.1); in HTTP/1.0 there is none.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.expects_continue && self.version == Version::Http11
    }

    /// The worst thing about it.
    #[must_use]
    pub fn finding(&self) -> Finding {
        self.findings.worst
    }

    /// Appends the head as the target gets it. Only after `complete`.
    pub fn write(&self, edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
        self.write_request_line(edits, out);
        let host = edits.host.or((self.parts.form == Form::Absolute).then(|| self.authority()));
        let names = Names::new(edits.drop);
        let has_expect = self.version == Version::Http11 && edits.version == Version::Http11;
        let mut has_host = false;
        let fate = |field: &Field| match field.kind {
            Kind::Plain => self.text.fate_of_plain(field, self.options, &names),
            Kind::Host => {
                has_host = true;
                host.map_or(Fate::Keep, Fate::Replace)
            }
            Kind::ContentLength if self.lengths.is_plain && !self.lengths.is_chunked => Fate::Keep,
            Kind::Expect if has_expect => self.text.fate_of_plain(field, self.options, &names),
            _ => Fate::Drop,
        };
        write::fields(&self.text.bytes, &self.text.fields, fate, out);
        if !has_host && (host.is_some() || edits.version == Version::Http11) {
            // RFC 9112, 3.2: 1.1 has one, though it be empty.
            write::line(b"Host", host.unwrap_or_default(), out);
        }
        match self.body() {
            BodyLength::Length(length) if !self.lengths.is_plain => write::content_length(length, out),
            BodyLength::Chunked if edits.version == Version::Http11 => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            }
            _ => {}
        }
        if let (Upgrade::Pass, Version::Http11, Some(protocol)) = (edits.upgrade, edits.version, self.upgrade()) {
            write::upgrade(protocol, out);
        }
        out.extend_from_slice(edits.add);
        out.extend_from_slice(b"\r\n");
    }

    fn write_request_line(&self, edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method());
        out.push(b' ');
        match (edits.path_and_query, self.parts.form) {
            (Some(replaced), _) => out.extend_from_slice(replaced),
            (None, Form::Authority) => out.extend_from_slice(self.target()),
            (None, _) => {
                out.extend_from_slice(self.path());
                if let Some(query) = self.query() {
                    out.push(b'?');
                    out.extend_from_slice(query);
                }
            }
        }
        out.extend_from_slice(match edits.version {
            Version::Http10 => b" HTTP/1.0\r\n",
            Version::Http11 => b" HTTP/1.1\r\n",
        });
    }
}

const FIELD_TOO_LONG: Refused = Refused::too_long(431, "a field is too long");

#[cold]
fn refuse_length(too_long: TooLong) -> Refused {
    match too_long {
        TooLong::FirstLine => Refused::too_long(414, "the request line is too long"),
        TooLong::Field => FIELD_TOO_LONG,
        TooLong::Fields => Refused::too_long(431, "the fields are too long"),
        TooLong::FieldCount => Refused::too_long(431, "too many fields"),
        TooLong::EmptyLines => Refused::bad("too many empty lines ahead of a request", Reason::BadMethod),
    }
}

#[cold]
fn refuse_lengths(bad: BadLength) -> Refused {
    let (status, reason) = match bad {
        BadLength::ContentLength => (400, Reason::BadContentLength),
        BadLength::ContentLengths => (400, Reason::MultipleContentLength),
        BadLength::TransferEncoding => (400, Reason::BadTransferEncoding),
        BadLength::ChunkedTwice => (400, Reason::MultipleTransferEncodingChunked),
        // RFC 9112, 6.1.
        BadLength::UnknownCoding => (501, Reason::BadTransferEncoding),
    };
    Refused::new(status, bad.as_str(), reason)
}
