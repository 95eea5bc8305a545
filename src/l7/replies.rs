//! The balancer's own responses, whole: errors (requirement P6), fixed responses and redirects (R3, R5).
//!
//!     status, page -----.
//!     FixedResponse -----+--> status line, Date, Server, Content-Type, Content-Length, Connection, body --> out
//!     status, location -'
//!
//! Small and plain: a page is its status and phrase as text, nothing names a product or a version, and nothing of the request is repeated.
//! Always: `Content-Length` is that of the body that a GET would get, and HEAD gets none (RFC 9110, 8.6); 204, 205 and 304 have no
//! body (RFC 9110, 15.3.5, 15.3.6, 15.4.5); 405 says what is allowed, 408 closes.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime};

use super::framing::ClientConnection;
use super::router::FixedResponse;
use crate::config::ErrorPage;

/// What a response has besides its content.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// What becomes of the connection.
    pub connection: ClientConnection,
    /// Whether the body goes with it.
    pub body: Body,
    /// `Server`, where the listener has one.
    pub server: Option<&'a str>,
    /// `Date`: [`date`] of this second.
    pub date: &'a [u8; DATE_BYTES],
}

/// Whether a response has its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It has.
    Sent,
    /// It was asked for by HEAD.
    Withheld,
}

/// What a client that sent `Expect: 100-continue` gets before its body is wanted (RFC 9110, 10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Appends an error: the operator's page for this status where there is one, else the status and its phrase. 408 closes,
/// whatever the setting says: the client is in mid request (RFC 9110, 15.5.9).
pub fn error(status: u16, pages: &[ErrorPage], setting: &Setting<'_>, out: &mut Vec<u8>) {
    let mut setting = *setting;
    if status == 408 {
        setting.connection = ClientConnection::Close;
    }
    let extra: &[u8] = if status == 405 { ALLOW } else { b"" };
    if let Some(page) = pages.iter().find(|page| page.status == status) {
        write(status, &page.content_type, extra, &[&page.body], &setting, out);
        return;
    }
    let code = code(status);
    write(status, PLAIN, extra, &[&code, b" ", phrase(status).as_bytes(), b"\n"], &setting, out);
}

/// Appends the answer of a rule.
pub fn fixed(response: &FixedResponse, setting: &Setting<'_>, out: &mut Vec<u8>) {
    write(response.status, &response.content_type, b"", &[response.body.as_bytes()], setting, out);
}

/// Appends a redirect. Bytes of `location` that no URL has are percent-encoded (RFC 3986, 2.1): parts of it come from the request,
/// and none of them may end the line.
pub fn redirect(status: u16, location: &[u8], setting: &Setting<'_>, out: &mut Vec<u8>) {
    write_head_start(status, setting, out);
    out.extend_from_slice(b"Location: ");
    for &byte in location {
        if byte.is_ascii_graphic() {
            out.push(byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    out.extend_from_slice(b"\r\n");
    let code = code(status);
    write_rest(status, PLAIN, &[&code, b" ", phrase(status).as_bytes(), b"\n"], setting, out);
}

/// `Date` of a second (RFC 9110, 5.6.7). For the shard to keep until the next one: it formats.
#[must_use]
pub fn date(unix_s: u64) -> [u8; DATE_BYTES] {
    // The format ends with the year 9999; a clock that says so is wrong.
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(unix_s.min(YEAR_9999_END_S));
    let text = httpdate::fmt_http_date(time);
    let mut date = [b' '; DATE_BYTES];
    let bytes = text.len().min(DATE_BYTES);
    date[..bytes].copy_from_slice(&text.as_bytes()[..bytes]);
    date
}

/// The phrase of a status (RFC 9110, 15; RFC 6585); of 463 and 464, which are ALB's, in our words. Empty for others.
#[must_use]
pub fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        460 => "Client Closed Request",
        463 => "Too Many Forwarded Addresses",
        464 => "Incompatible Protocol Version",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

fn write(status: u16, content_type: &str, extra: &[u8], body: &[&[u8]], setting: &Setting<'_>, out: &mut Vec<u8>) {
    write_head_start(status, setting, out);
    out.extend_from_slice(extra);
    write_rest(status, content_type, body, setting, out);
}

fn write_head_start(status: u16, setting: &Setting<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&code(status));
    // The space stays where there is no phrase (RFC 9112, 4).
    out.push(b' ');
    out.extend_from_slice(phrase(status).as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(setting.date);
    out.extend_from_slice(b"\r\n");
    if let Some(server) = setting.server {
        out.extend_from_slice(b"Server: ");
        out.extend_from_slice(server.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

fn write_rest(status: u16, content_type: &str, body: &[&[u8]], setting: &Setting<'_>, out: &mut Vec<u8>) {
    let content = content(status);
    let body = if content == Content::Some { body } else { &[] };
    let body_bytes: usize = body.iter().map(|part| part.len()).sum();
    if content == Content::Some && !content_type.is_empty() {
        out.extend_from_slice(b"Content-Type: ");
        out.extend_from_slice(content_type.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if content != Content::Impossible {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(itoa::Buffer::new().format(body_bytes).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(setting.connection.line());
    out.extend_from_slice(b"\r\n");
    if setting.body == Body::Sent {
        body.iter().for_each(|part| out.extend_from_slice(part));
    }
}

/// What a status lets a response have.
#[derive(PartialEq, Eq)]
enum Content {
    /// A body.
    Some,
    /// None, and a length of 0 says so.
    None,
    /// None, nor a length: the head is all.
    Impossible,
}

fn content(status: u16) -> Content {
    match status {
        204 | 304 => Content::Impossible,
        205 => Content::None,
        _ => Content::Some,
    }
}

/// A status has three digits.
fn code(status: u16) -> [u8; 3] {
    let digit = |place: u16| b'0' + u8::try_from(status / place % 10).unwrap_or(0);
    [digit(100), digit(10), digit(1)]
}

/// Length of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const DATE_BYTES: usize = 29;
/// 9999-12-31 23:59:59.
const YEAR_9999_END_S: u64 = 253_402_300_799;
const HEX: &[u8; 16] = b"0123456789ABCDEF";
const PLAIN: &str = "text/plain";
/// We refuse TRACE and CONNECT, and pass on whatever else comes; this names what is common (RFC 9110, 9.3; RFC 5789).
const ALLOW: &[u8] = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// The statuses that clients get (requirement P6); 460 is for the log.
    const STATUSES: [u16; 16] = [400, 403, 405, 408, 413, 414, 431, 460, 463, 464, 500, 501, 502, 503, 504, 505];
    const DATE: &[u8; DATE_BYTES] = b"Sun, 06 Nov 1994 08:49:37 GMT";
    const KEPT: Setting<'static> =
        Setting { connection: ClientConnection::KeepAlive, body: Body::Sent, server: None, date: DATE };

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before|".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().split_off(7)
    }

    fn error_text(status: u16, pages: &[ErrorPage], setting: &Setting<'_>) -> String {
        text(|out| error(status, pages, setting, out))
    }

    fn fixed_text(status: u16, body: &str, setting: &Setting<'_>) -> String {
        let response = FixedResponse { status, content_type: "text/html".into(), body: body.into() };
        text(|out| fixed(&response, setting, out))
    }

    /// Head and body. A body that is there has the length that the head says.
    fn parsed(response: &str) -> (&str, &str) {
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("Content-Length: "));
        assert!(body.is_empty() || length.unwrap().parse() == Ok(body.len()), "{response}");
        (head, body)
    }

    #[test]
    fn r_p6_an_error_is_a_small_plain_page_without_a_name_or_a_version() {
        assert_eq!(
            error_text(502, &[], &KEPT),
            "HTTP/1.1 502 Bad Gateway\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
             Content-Length: 16\r\n\r\n502 Bad Gateway\n"
        );
    }

    #[test]
    fn r_p6_every_status_has_a_phrase_and_the_length_of_its_page() {
        for status in STATUSES {
            let response = error_text(status, &[], &KEPT);
            let (head, body) = parsed(&response);
            assert!(!phrase(status).is_empty(), "{status}");
            assert_eq!(body, format!("{status} {}\n", phrase(status)));
            assert!(head.starts_with(&format!("HTTP/1.1 {status} {}\r\n", phrase(status))), "{head}");
        }
    }

    #[test]
    fn r_p6_the_operators_page_takes_the_place_of_ours_for_its_status_only() {
        let page = ErrorPage {
            status: 503,
            content_type: "text/html; charset=utf-8".into(),
            body: b"<h1>Back soon</h1>".as_slice().into(),
        };
        let response = error_text(503, std::slice::from_ref(&page), &KEPT);
        assert!(response.contains("Content-Type: text/html; charset=utf-8\r\nContent-Length: 18\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\n<h1>Back soon</h1>"), "{response}");
        assert_eq!(error_text(502, std::slice::from_ref(&page), &KEPT), error_text(502, &[], &KEPT));
    }

    #[test]
    fn r_p6_head_gets_the_head_of_the_same_response_and_no_body() {
        let page = ErrorPage { status: 503, content_type: "text/plain".into(), body: [7; 300].as_slice().into() };
        let head_only = Setting { body: Body::Withheld, ..KEPT };
        for status in STATUSES {
            let pages = std::slice::from_ref(&page);
            let (whole, cut) = (error_text(status, pages, &KEPT), error_text(status, pages, &head_only));
            let (head, body) = parsed(&whole);
            assert!(!body.is_empty());
            assert_eq!(parsed(&cut), (head, ""));
        }
    }

    #[test]
    fn r_p6_405_says_what_is_allowed_and_408_closes() {
        let page = ErrorPage { status: 405, content_type: "text/plain".into(), body: b"no".as_slice().into() };
        for pages in [&[][..], &[page]] {
            let response = error_text(405, pages, &KEPT);
            assert!(response.contains("\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"), "{response}");
        }
        for connection in [ClientConnection::KeepAlive, ClientConnection::KeepAliveForHttp10, ClientConnection::Close] {
            let response = error_text(408, &[], &Setting { connection, ..KEPT });
            assert_eq!(response.matches("Connection: ").count(), 1, "{response}");
            assert!(response.contains("\r\nConnection: close\r\n"), "{response}");
        }
    }

    #[test]
    fn r_p6_the_connection_is_named_as_told() {
        let of = |connection| error_text(503, &[], &Setting { connection, ..KEPT });
        assert!(!of(ClientConnection::KeepAlive).contains("Connection:"));
        assert!(of(ClientConnection::KeepAliveForHttp10).contains("\r\nConnection: keep-alive\r\n"));
        assert!(of(ClientConnection::Close).contains("\r\nConnection: close\r\n"));
    }

    #[test]
    fn r_p6_server_is_named_where_the_listener_has_one() {
        let response = error_text(503, &[], &Setting { server: Some("edge"), ..KEPT });
        assert!(response.contains("\r\nServer: edge\r\n"), "{response}");
        assert!(!error_text(503, &[], &KEPT).contains("Server:"));
    }

    #[test]
    fn r_r3_a_fixed_response_is_what_the_rule_says() {
        assert_eq!(
            fixed_text(299, "<p>é</p>", &KEPT),
            "HTTP/1.1 299 \r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n\
             <p>é</p>"
        );
        assert!(fixed_text(200, "", &KEPT).contains("Content-Length: 0\r\n"));
    }

    #[test]
    fn r_r3_statuses_that_have_no_body_get_none_whatever_the_rule_says() {
        for status in [204, 304] {
            let response = fixed_text(status, "text", &KEPT);
            assert!(response.ends_with("GMT\r\n\r\n") && !response.contains("Content-"), "{response}");
        }
        let response = fixed_text(205, "text", &KEPT);
        assert!(response.ends_with("GMT\r\nContent-Length: 0\r\n\r\n"), "{response}");
    }

    #[test]
    fn r_r5_a_redirect_names_the_other_place() {
        for status in [301, 302, 303, 307, 308] {
            let response = text(|out| redirect(status, b"https://www.example.com/movie/", &KEPT, out));
            let (head, body) = parsed(&response);
            assert!(head.contains("\r\nLocation: https://www.example.com/movie/\r\n"), "{head}");
            assert_eq!(body, format!("{status} {}\n", phrase(status)));
        }
    }

    #[test]
    fn r_r5_no_byte_of_a_location_ends_its_line() {
        let response = text(|out| redirect(301, "/a b\r\nSet-Cookie: c=d\0\u{7f}é%20".as_bytes(), &KEPT, out));
        assert!(response.contains("\r\nLocation: /a%20b%0D%0ASet-Cookie:%20c=d%00%7F%C3%A9%20\r\n"), "{response}");
    }

    #[test]
    fn a_date_is_an_imf_fixdate_of_any_second() {
        for (unix_s, text) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(String::from_utf8_lossy(&date(unix_s)), text);
        }
    }
}
