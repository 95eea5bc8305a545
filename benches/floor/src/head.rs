//! The heads of HTTP/1.1, as far as the floor rewrites them: pure, bytes in, bytes and numbers out.
//!
//!     free bytes │ head as it came │ body ...        room of a receive
//!          │ head that goes on     │ body ...        ends where the other one did, so no byte of the body moves
//!
//! What goes on is the head without its hop-by-hop fields (RFC 9110 7.6.1) and with `lines` at its end; a field of these names that the
//! client sent stays ahead of ours. Where nothing is taken out, which is the common case, the head moves once and is not copied.
//! What needs more is refused: other framing than Content-Length, answers without a body of known length, HTTP/1.0, HEAD.

#![forbid(unsafe_code)]

use std::io::{Cursor, Write};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::ops::Range;

use httparse::{Header, Status};

/// What a head says.
#[derive(Debug)]
pub struct Head {
    /// With the empty line.
    pub length: usize,
    pub body_bytes: u64,
    /// The sender wants this exchange to be the last of its connection.
    pub closes: bool,
    /// Fields that do not go on, in order.
    cuts: Vec<Range<usize>>,
}

impl Head {
    /// The head that `bytes` begin with; none where it is not whole, or nothing that the floor speaks.
    #[inline]
    pub fn of_request(bytes: &[u8]) -> Option<Self> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let Ok(Status::Complete(length)) = request.parse_with_uninit_headers(bytes, &mut fields) else { return None };
        if matches!(request.method?, "HEAD" | "CONNECT") {
            return None;
        }
        Self::new(bytes, length, request.version?, request.headers, Some(0))
    }

    /// See `of_request`.
    #[inline]
    pub fn of_answer(bytes: &[u8]) -> Option<Self> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut answer = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let Ok(Status::Complete(length)) = config.parse_response_with_uninit_headers(&mut answer, bytes, &mut fields)
        else {
            return None;
        };
        // Interim ones, and those without a body whatever they say.
        if matches!(answer.code?, ..200 | 204 | 304) {
            return None;
        }
        Self::new(bytes, length, answer.version?, answer.headers, None)
    }

    #[inline]
    fn new(bytes: &[u8], length: usize, minor: u8, fields: &[Header<'_>], unsaid: Option<u64>) -> Option<Self> {
        // The parser takes bare line feeds as well.
        if minor != 1 || !bytes[..length].ends_with(b"\r\n\r\n") {
            return None;
        }
        let (mut body_bytes, mut has_cuts, mut closes) = (unsaid, false, false);
        for field in fields {
            match Kind::of(field.name) {
                Kind::EndToEnd => {}
                Kind::Length => body_bytes = Some(std::str::from_utf8(field.value).ok()?.parse().ok()?),
                Kind::Encoding => return None,
                Kind::HopByHop => has_cuts = true,
                Kind::Connection => {
                    has_cuts = true;
                    closes |= options(field).any(|option| option.eq_ignore_ascii_case(b"close"));
                }
            }
        }
        let cuts = if has_cuts { cuts(bytes, length, fields) } else { Vec::new() };
        Some(Self { length, body_bytes: body_bytes?, closes, cuts })
    }

    /// Puts the head that goes on in place of this one, which `room` has at `at`: where it begins. `lines` are whole ones, no longer
    /// than `at`.
    #[inline]
    pub fn rewrite(&self, room: &mut [u8], at: usize, lines: &[u8]) -> usize {
        if !self.cuts.is_empty() {
            return self.rewrite_cut(room, at, lines);
        }
        // Ahead of the empty line.
        let (start, end) = (at - lines.len(), at + self.length - 2);
        if !lines.is_empty() {
            room.copy_within(at..end, start);
            room[end - lines.len()..end].copy_from_slice(lines);
        }
        start
    }

    fn rewrite_cut(&self, room: &mut [u8], at: usize, lines: &[u8]) -> usize {
        let mut head = Vec::with_capacity(self.length + lines.len());
        let mut from = 0;
        for cut in &self.cuts {
            head.extend_from_slice(&room[at + from..at + cut.start]);
            from = cut.end;
        }
        head.extend_from_slice(&room[at + from..at + self.length - 2]);
        head.extend_from_slice(lines);
        head.extend_from_slice(b"\r\n");
        let end = at + self.length;
        room[end - head.len()..end].copy_from_slice(&head);
        end - head.len()
    }
}

/// What becomes of a field.
enum Kind {
    EndToEnd,
    Length,
    /// Not for the floor.
    Encoding,
    Connection,
    HopByHop,
}

impl Kind {
    #[inline]
    fn of(name: &str) -> Self {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            2 if is("te") => Self::HopByHop,
            7 if is("upgrade") || is("trailer") => Self::HopByHop,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            14 if is("content-length") => Self::Length,
            16 if is("proxy-connection") => Self::HopByHop,
            17 if is("transfer-encoding") => Self::Encoding,
            _ => Self::EndToEnd,
        }
    }
}

/// Lines of fields that are hop-by-hop, by their own name or because Connection names them.
#[cold]
fn cuts(bytes: &[u8], length: usize, fields: &[Header<'_>]) -> Vec<Range<usize>> {
    let offset = |field: &Header<'_>| field.name.as_ptr().addr() - bytes.as_ptr().addr();
    let connections = || fields.iter().filter(|field| matches!(Kind::of(field.name), Kind::Connection));
    let is_cut = |field: &Header<'_>| match Kind::of(field.name) {
        Kind::Connection | Kind::HopByHop => true,
        // Nobody talks the end of a body away.
        Kind::Length | Kind::Encoding => false,
        Kind::EndToEnd => {
            connections().flat_map(options).any(|option| option.eq_ignore_ascii_case(field.name.as_bytes()))
        }
    };
    let ends = fields.iter().skip(1).map(offset).chain([length - 2]);
    fields.iter().zip(ends).filter(|(field, _)| is_cut(field)).map(|(field, end)| offset(field)..end).collect()
}

fn options<'head>(field: &Header<'head>) -> impl Iterator<Item = &'head [u8]> {
    field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// What a client's requests get: who it is.
#[derive(Clone)]
pub struct Lines {
    bytes: [u8; LINES_BYTES_MAX],
    length: usize,
}

impl Lines {
    /// For a client on a listener with this port.
    pub fn new(client: IpAddr, port: u16) -> Self {
        let client = client.to_canonical();
        let mut out = Cursor::new([0; LINES_BYTES_MAX]);
        let written = write!(
            out,
            "X-Forwarded-For: {client}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: {port}\r\nX-Real-IP: {client}\r\n"
        );
        written.expect("the longest address leaves room");
        Self { length: usize::try_from(out.position()).unwrap_or(0), bytes: out.into_inner() }
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// 72 bytes of names, 39 twice of addresses, 5 of a port, line ends.
pub const LINES_BYTES_MAX: usize = 192;
/// As many as a browser ever sends.
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"X-Real-IP: 10.0.0.1\r\n";

    /// The head of `text` and what follows it, as they go on.
    fn rewritten(read: fn(&[u8]) -> Option<Head>, text: &str, lines: &[u8]) -> String {
        let head = read(text.as_bytes()).expect("a head");
        let mut room = [&[b'?'; 64][..], text.as_bytes()].concat();
        let start = head.rewrite(&mut room, 64, lines);
        String::from_utf8(room[start..].to_vec()).expect("text")
    }

    #[test]
    fn a_request_goes_on_with_who_sent_it_and_its_body_stays_where_it_is() {
        let text = "POST /a?b HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\nhi";
        let head = Head::of_request(text.as_bytes()).expect("whole");
        assert_eq!((head.length, head.body_bytes, head.closes), (text.len() - 2, 2, false));
        let expected = "POST /a?b HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\nX-Real-IP: 10.0.0.1\r\n\r\nhi";
        assert_eq!(rewritten(Head::of_request, text, LINES), expected);
        assert_eq!(
            rewritten(Head::of_request, "GET / HTTP/1.1\r\n\r\n", b"A: b\r\n"),
            "GET / HTTP/1.1\r\nA: b\r\n\r\n"
        );
    }

    #[test]
    fn hop_by_hop_fields_stay_behind_and_those_that_connection_names() {
        let text = "GET / HTTP/1.1\r\nKeep-Alive: 5\r\nHost: c\r\nX-Hop: 1\r\nconnection: x-hop, Close\r\nTE: trailers\r\nA: b\r\n\r\n";
        assert!(Head::of_request(text.as_bytes()).is_some_and(|head| head.closes));
        let expected = "GET / HTTP/1.1\r\nHost: c\r\nA: b\r\nX-Real-IP: 10.0.0.1\r\n\r\n";
        assert_eq!(rewritten(Head::of_request, text, LINES), expected);
        // More is taken out than put in.
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5, max=100\r\n\r\nhi";
        assert_eq!(rewritten(Head::of_answer, text, b""), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    }

    #[test]
    fn an_answer_without_hop_by_hop_fields_goes_on_as_it_is() {
        let text = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(rewritten(Head::of_answer, text, b""), text);
    }

    #[test]
    fn what_it_does_not_speak_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\nHost: c\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\nHost: c\n\n",
            "HEAD / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "\0",
        ] {
            assert!(Head::of_request(text.as_bytes()).is_none(), "{text:?}");
        }
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ] {
            assert!(Head::of_answer(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn the_longest_lines_fit() {
        let client = "1111:2222:3333:4444:5555:6666:7777:8888".parse().expect("an address");
        let lines = Lines::new(client, 65_535);
        assert!(lines.as_bytes().ends_with(b"X-Real-IP: 1111:2222:3333:4444:5555:6666:7777:8888\r\n"));
        assert!(
            Lines::new("::ffff:10.0.0.1".parse().expect("an address"), 1)
                .as_bytes()
                .starts_with(b"X-Forwarded-For: 10.0.0.1\r\n")
        );
    }
}
