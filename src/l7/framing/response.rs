//! A response's head: from its first byte to what the client gets.
//!
//! ```text
//!     pieces --lines--> a whole head --httparse--> fields --> lengths, Connection --> ResponseHead
//!                            `--mend (rare)--^                   `-- what cannot be: BadResponse (502)
//!     ResponseHead --write, edits--> the head as the client gets it, always HTTP/1.1 (RFC 9110, 6.2)
//! ```
//!
//! A target is trusted more than a client: what RFC 9112 has a proxy mend is mended, and there are no classes. What would let
//! one response look like two is refused all the same.
//! Always: no byte past the head's end is taken; the buffers are used again from response to response.

use std::mem::MaybeUninit;

use super::body::BodyLength;
use super::fields::{self, Field, Kind, Options, Parsed};
use super::length::Lengths;
use super::limits::{FIELD_BYTES_MAX, FIELDS_MAX, RESPONSE_HEAD_BYTES_MAX};
use super::lines::{Bounds, Scanned, TooLong};
use super::mend;
use super::request::{Read, Version};
use super::text::Text;
use super::write::{self, Fate, Names, Upgrade};

/// A response that cannot be passed on: the client gets 502, or a reset if some of it was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadResponse {
    /// What is wrong, for the log.
    pub why: &'static str,
}

/// A response's head, used again from response to response.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    text: Text,
    status: u16,
    version: Version,
    reason_length: usize,
    lengths: Lengths,
    options: Options,
}

/// What the client gets otherwise than the target sent it.
#[derive(Debug, Clone, Copy)]
pub struct ResponseEdits<'a> {
    /// What becomes of the client's connection.
    pub connection: ClientConnection,
    /// How the body is framed.
    pub length: Length,
    /// Further fields that do not pass, in lower case.
    pub drop: &'a [&'a str],
    /// Finished lines, each `Name: value` and CRLF.
    pub add: &'a [u8],
    /// Whether `Upgrade` passes; then nothing else is said of the connection.
    pub upgrade: Upgrade,
}

/// What a response says about the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientConnection {
    /// It is kept, as 1.1 has it: nothing is said.
    KeepAlive,
    /// `Connection: keep-alive`, for a client of HTTP/1.0 that asked for it.
    KeepAliveForHttp10,
    /// `Connection: close`.
    Close,
}

impl ClientConnection {
    /// The field line that says so, if one does.
    #[must_use]
    pub fn line(self) -> &'static [u8] {
        match self {
            ClientConnection::KeepAlive => b"",
            ClientConnection::KeepAliveForHttp10 => b"Connection: keep-alive\r\n",
            ClientConnection::Close => b"Connection: close\r\n",
        }
    }
}

/// How the body is framed for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// As it came.
    AsReceived,
    /// By chunks, though it came until close.
    Chunked,
    /// Until close, though it came by chunks: for HTTP/1.0.
    Closing,
}

const BOUNDS: Bounds =
    Bounds { first_line: RESPONSE_HEAD_BYTES_MAX, one_field: FIELD_BYTES_MAX, all_fields: RESPONSE_HEAD_BYTES_MAX };

impl ResponseHead {
    /// An empty one; it allocates with the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ready for the next response. Keeps a small capacity, gives a large one back.
    pub fn clear(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        *self = ResponseHead { text, ..Self::default() };
    }

    /// Takes the next piece of input.
    ///
    /// # Errors
    /// `BadResponse`: nothing of this target's connection can be read any more.
    pub fn read(&mut self, input: &[u8]) -> Result<Read, BadResponse> {
        if let Some(length) = self.read_at_once(input) {
            self.understand()?;
            return Ok(Read { taken: length, complete: true });
        }
        match self.text.lines.scan(&self.text.bytes, input, &BOUNDS).map_err(too_long)? {
            Scanned::Skip(_) => Err(BadResponse { why: "an empty line in place of a status line" }),
            Scanned::Open => {
                self.text.bytes.extend_from_slice(input);
                self.check_length()?;
                Ok(Read { taken: input.len(), complete: false })
            }
            Scanned::End(length) => {
                self.text.bytes.extend_from_slice(&input[..length]);
                self.check_length()?;
                self.parse()?;
                Ok(Read { taken: length, complete: true })
            }
        }
    }

    /// The common case, without a look at each line: as for requests.
    fn read_at_once(&mut self, input: &[u8]) -> Option<usize> {
        let length = self.parse_strictly(self.text.at_once(input)?)?;
        self.text.bytes.extend_from_slice(&input[..length]);
        Some(length)
    }

    fn check_length(&self) -> Result<(), BadResponse> {
        if self.text.bytes.len() > RESPONSE_HEAD_BYTES_MAX { Err(too_long(TooLong::Fields)) } else { Ok(()) }
    }

    fn parse(&mut self) -> Result<(), BadResponse> {
        let bytes = std::mem::take(&mut self.text.bytes);
        let length = self.parse_strictly(&bytes);
        self.text.bytes = bytes;
        if length != Some(self.text.bytes.len()) {
            self.mend()?;
        }
        self.understand()
    }

    #[cold]
    fn mend(&mut self) -> Result<(), BadResponse> {
        let mut mended = Vec::with_capacity(self.text.bytes.len() + FIELDS_MAX);
        mend::response(&self.text.bytes, &mut mended).map_err(|why| BadResponse { why })?;
        let length = self.parse_strictly(&mended);
        let is_read = length == Some(mended.len());
        self.text.bytes = mended;
        if is_read { Ok(()) } else { Err(BadResponse { why: "head cannot be read" }) }
    }

    /// By httparse: notes what `bytes` begin with, if that is a head with nothing to mend, and says how long it is.
    fn parse_strictly(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut parsed: Parsed<'_> = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parse = config.parse_response_with_uninit_headers(&mut response, bytes, &mut parsed);
        let Ok(httparse::Status::Complete(length)) = parse else { return None };
        self.status = response.code?;
        self.version = if response.version == Some(0) { Version::Http10 } else { Version::Http11 };
        self.reason_length = response.reason.map_or(0, str::len);
        fields::note(bytes, response.headers, &mut self.text.fields)?;
        Some(length)
    }

    fn understand(&mut self) -> Result<(), BadResponse> {
        if self.status < 100 {
            return Err(BadResponse { why: "status below 100" });
        }
        for field in &self.text.fields {
            match field.kind {
                Kind::ContentLength | Kind::TransferEncoding => {
                    self.lengths.add(field, &self.text.bytes).map_err(|bad| BadResponse { why: bad.as_str() })?;
                }
                Kind::Connection => self.options.add(field.value(&self.text.bytes)),
                _ => {}
            }
        }
        if self.lengths.is_chunked && self.lengths.content_length.is_some() {
            // RFC 9112, 6.3: ought to be handled as an error. It might be an attempt at response splitting.
            return Err(BadResponse { why: "Transfer-Encoding and Content-Length" });
        }
        if self.lengths.is_chunked && self.version == Version::Http10 {
            return Err(BadResponse { why: "Transfer-Encoding in HTTP/1.0" });
        }
        Ok(())
    }

    /// Some byte of a response came.
    #[must_use]
    pub fn is_started(&self) -> bool {
        !self.text.bytes.is_empty()
    }

    /// The status, 100 to 999.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The version that the target speaks.
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

    /// How its body is framed (RFC 9112, 6.3); `head_request`: it answers HEAD.
    #[must_use]
    pub fn body(&self, head_request: bool) -> BodyLength {
        if head_request || self.is_without_length() || self.status == 304 {
            return BodyLength::None;
        }
        match self.lengths {
            Lengths { is_chunked: true, .. } => BodyLength::Chunked,
            Lengths { content_length: Some(length), .. } => BodyLength::Length(length),
            _ => BodyLength::UntilClose,
        }
    }

    /// 1xx and 204: no body, and no field that says how long it is (RFC 9110, 8.6; RFC 9112, 6.1).
    fn is_without_length(&self) -> bool {
        self.status < 200 || self.status == 204
    }

    /// The target would take another request (RFC 9112, 9.3), if the body has an end.
    #[must_use]
    pub fn wants_keep_alive(&self) -> bool {
        !self.options.close && (self.version == Version::Http11 || self.options.keep_alive)
    }

    /// What it goes on with (RFC 9110, 7.8). Never another HTTP or TLS,
    /// behind which nothing could be checked.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.text.upgrade(self.options, self.version)
    }

    /// Appends the head as the client gets it. Only after `complete`.
    pub fn write(&self, edits: &ResponseEdits<'_>, out: &mut Vec<u8>) {
        // Behind `HTTP/1.x `; what follows the status is text that was checked.
        out.extend_from_slice(b"HTTP/1.1 ");
        write::decimal(self.status.into(), out);
        out.push(b' ');
        out.extend_from_slice(self.reason());
        out.extend_from_slice(b"\r\n");
        let names = Names::new(edits.drop);
        let keeps_length = self.lengths.is_plain && !self.is_without_length();
        let fate = |field: &Field| match field.kind {
            Kind::Plain | Kind::Host | Kind::Expect => self.text.fate_of_plain(field, self.options, &names),
            Kind::ContentLength if keeps_length => Fate::Keep,
            _ => Fate::Drop,
        };
        write::fields(&self.text.bytes, &self.text.fields, fate, out);
        self.write_length(edits.length, out);
        match self.upgrade().filter(|_| edits.upgrade == Upgrade::Pass) {
            Some(protocol) => write::upgrade(protocol, out),
            None => out.extend_from_slice(edits.connection.line()),
        }
        out.extend_from_slice(edits.add);
        out.extend_from_slice(b"\r\n");
    }

    fn write_length(&self, length: Length, out: &mut Vec<u8>) {
        if self.is_without_length() || self.status == 304 && self.lengths.is_chunked {
            return;
        }
        match (length, self.lengths) {
            (_, Lengths { content_length: Some(length), is_plain: false, .. }) => write::content_length(length, out),
            (Length::AsReceived, Lengths { is_chunked: true, .. })
            | (Length::Chunked, Lengths { content_length: None, .. }) => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            }
            _ => {}
        }
    }

    /// The reason phrase: it follows `HTTP/1.x 200 `.
    fn reason(&self) -> &[u8] {
        const AT: usize = "HTTP/1.1 200 ".len();
        self.text.bytes.get(AT..AT + self.reason_length).unwrap_or_default()
    }
}

#[cold]
fn too_long(too_long: TooLong) -> BadResponse {
    let why = match too_long {
        TooLong::FieldCount => "too many fields",
        TooLong::Field => "a field is too long",
        TooLong::FirstLine | TooLong::Fields | TooLong::EmptyLines => "head is too long",
    };
    BadResponse { why }
}
