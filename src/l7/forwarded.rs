//! What a target is told of the client (requirement C1), in ALB's words.
//!
//!     request's fields --dropped--> those that do not pass
//!                      `-write----> X-Forwarded-For, -Proto, -Port, X-Real-IP: finished lines; or 463
//!                      `-write_trace_id--> X-Amzn-Trace-Id
//!
//! | mode       | X-Forwarded-For               | -Proto, -Port | X-Real-IP |
//! |---|---|---|---|
//! | `append`   | received, then the client     | ours          | ours      |
//! | `preserve` | as received                   | as received   | ours      |
//! | `remove`   | none                          | none          | ours      |
//!
//! `X-Real-IP` is the address of the connection whatever a client claims, so a target that reads one field only reads that one.
//! Addresses are written as ALB does: IPv6 without brackets (RFC 5952), an IPv4-mapped one as IPv4, no port, no zone.
//!
//! Pure; nothing is allocated, and an address becomes text once a connection.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::net::IpAddr;
use std::ops::Range;

use crate::config::Forwarded;

use super::UrlScheme;

/// Who is at the other end of a connection, and how it came in. Made once a connection.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    text: [u8; ADDRESS_BYTES_MAX],
    text_bytes: u8,
    scheme: UrlScheme,
    port: u16,
}

/// What a trace id is made of, for one request.
#[derive(Debug, Clone, Copy)]
pub struct Trace {
    /// Unix seconds.
    pub now: u64,
    /// Random.
    pub id: [u8; 12],
}

/// `X-Forwarded-For` names more addresses than `ADDRESSES_MAX`: the request is answered with 463.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyAddresses;

impl Client {
    /// `port` is the one that the client connected to.
    #[must_use]
    pub fn new(address: IpAddr, scheme: UrlScheme, port: u16) -> Self {
        let mut text = [0; ADDRESS_BYTES_MAX];
        let mut rest = text.as_mut_slice();
        // No address is longer than the longest.
        let _ = write!(rest, "{}", address.to_canonical());
        let unused = rest.len();
        let text_bytes = u8::try_from(ADDRESS_BYTES_MAX - unused).unwrap_or(0);
        Client { text, text_bytes, scheme, port }
    }

    /// Its address as fields and logs have it.
    #[must_use]
    pub fn address(&self) -> &[u8] {
        &self.text[..usize::from(self.text_bytes)]
    }
}

/// Names of fields, in lower case, that do not pass to the target: those that `write` and `write_trace_id` put in their place,
/// and those that are not to arrive. `trace` is what `write_trace_id` is called with, if it is.
#[must_use]
pub fn dropped(mode: Forwarded, trace: Option<Trace>) -> &'static [&'static str] {
    match (mode, trace) {
        (Forwarded::Append | Forwarded::Remove, Some(_)) => &ALL,
        (Forwarded::Append | Forwarded::Remove, None) => &ALL[1..],
        (Forwarded::Preserve, Some(_)) => &ALL[..2],
        (Forwarded::Preserve, None) => &ALL[1..2],
    }
}

/// Appends the lines that go in place of what was dropped. `received` are the values of the request's `X-Forwarded-For`
/// fields, in order: several become one (RFC 9110, 5.3).
///
/// # Errors
/// More than 30 addresses came, in whichever mode (ALB); nothing is appended.
pub fn write<'v>(
    mode: Forwarded,
    client: &Client,
    received: impl Iterator<Item = &'v [u8]>,
    out: &mut Vec<u8>,
) -> Result<(), TooManyAddresses> {
    let start = out.len();
    out.extend_from_slice(b"X-Forwarded-For: ");
    let mut address_count = 0;
    for value in received.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty()) {
        address_count += addresses(value).count();
        if address_count > ADDRESSES_MAX {
            out.truncate(start);
            return Err(TooManyAddresses);
        }
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    match mode {
        Forwarded::Append => write_how_it_came_in(client, out),
        Forwarded::Preserve | Forwarded::Remove => out.truncate(start),
    }
    out.extend_from_slice(b"X-Real-IP: ");
    out.extend_from_slice(client.address());
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn write_how_it_came_in(client: &Client, out: &mut Vec<u8>) {
    out.extend_from_slice(client.address());
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
    out.extend_from_slice(client.scheme.as_str().as_bytes());
    out.extend_from_slice(b"\r\nX-Forwarded-Port: ");
    out.extend_from_slice(itoa::Buffer::new().format(client.port).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends `X-Amzn-Trace-Id` and says where in `out` its value is, for the log. `received` is the value that came.
///
/// None came: `Root=1-TIME-ID`. One with a root: `Self=1-TIME-ID;` goes ahead of it, in place of the `Self` of a balancer before
/// us. One without: it gets a root. Other fields of it stay.
pub fn write_trace_id(received: Option<&[u8]>, trace: Trace, out: &mut Vec<u8>) -> Range<usize> {
    let fields = || received.unwrap_or_default().split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let has_root = fields().any(|field| begins_with(field, b"Root="));

    out.extend_from_slice(b"X-Amzn-Trace-Id: ");
    let start = out.len();
    out.extend_from_slice(if has_root { b"Self=1-" } else { b"Root=1-" });
    // Eight digits, as the format has (until the year 2106).
    push_hex(&trace.now.to_be_bytes()[4..], out);
    out.push(b'-');
    push_hex(&trace.id, out);
    for field in fields().filter(|field| !field.is_empty() && !begins_with(field, b"Self=")) {
        out.push(b';');
        out.extend_from_slice(field);
    }
    let value = start..out.len();
    out.extend_from_slice(b"\r\n");
    value
}

fn addresses(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').filter(|address| !address.trim_ascii().is_empty())
}

fn begins_with(field: &[u8], name: &[u8]) -> bool {
    field.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(bytes.iter().flat_map(|&byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
}

/// What may not pass: its first two and all but its first are what the modes drop.
const ALL: [&str; 5] = ["x-amzn-trace-id", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"];
/// Most addresses in `X-Forwarded-For`; ALB answers more with 463.
const ADDRESSES_MAX: usize = 30;
/// Longest address: eight groups of four digits. (What is IPv4 inside IPv6 is written as IPv4.)
const ADDRESS_BYTES_MAX: usize = 39;

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "203.0.113.7";

    fn client(address: &str) -> Client {
        Client::new(address.parse().unwrap(), UrlScheme::Http, 8080)
    }

    fn lines(mode: Forwarded, address: &str, received: &[&str]) -> Result<String, TooManyAddresses> {
        let mut out = b"before|".to_vec();
        let written = write(mode, &client(address), received.iter().map(|value| value.as_bytes()), &mut out);
        let text = String::from_utf8(out).unwrap().split_off("before|".len());
        if written.is_err() {
            assert_eq!(text, "");
        }
        written.map(|()| text)
    }

    fn traced(received: Option<&str>) -> String {
        let mut out = b"before|".to_vec();
        let trace = Trace { now: 0x6789_1233, id: [0xab, 0xcd, 0xef, 1, 0x23, 0x45, 0x67, 0x89, 1, 0x23, 0x45, 0x67] };
        let value = write_trace_id(received.map(str::as_bytes), trace, &mut out);
        let line = String::from_utf8(out[7..].to_vec()).unwrap();
        let value = String::from_utf8(out[value].to_vec()).unwrap();
        assert_eq!(line, format!("X-Amzn-Trace-Id: {value}\r\n"));
        value
    }

    #[test]
    fn r_c1_append_adds_the_client_to_what_came_and_says_how_it_came_in() {
        let rest = "X-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\nX-Real-IP: 203.0.113.7\r\n";
        for (received, list) in [
            (&[][..], "203.0.113.7"),
            (&["198.51.100.1"], "198.51.100.1, 203.0.113.7"),
            (&[" 198.51.100.1,10.0.0.1 "], "198.51.100.1,10.0.0.1, 203.0.113.7"),
            (&["198.51.100.1", "10.0.0.1, 10.0.0.2"], "198.51.100.1, 10.0.0.1, 10.0.0.2, 203.0.113.7"),
            (&["", " ", "unknown"], "unknown, 203.0.113.7"),
        ] {
            let lines = lines(Forwarded::Append, CLIENT, received);
            assert_eq!(lines, Ok(format!("X-Forwarded-For: {list}\r\n{rest}")), "{received:?}");
        }
    }

    #[test]
    fn r_c1_preserve_and_remove_add_the_real_address_only() {
        for mode in [Forwarded::Preserve, Forwarded::Remove] {
            assert_eq!(lines(mode, CLIENT, &["198.51.100.1"]), Ok("X-Real-IP: 203.0.113.7\r\n".to_owned()));
        }
    }

    #[test]
    fn r_c1_what_a_client_claims_passes_only_where_the_mode_lets_it() {
        let trace = Some(Trace { now: 0, id: [0; 12] });
        let forwarded = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"];
        for (mode, passes) in [(Forwarded::Append, false), (Forwarded::Preserve, true), (Forwarded::Remove, false)] {
            for trace in [None, trace] {
                let dropped = dropped(mode, trace);
                assert!(dropped.contains(&"x-real-ip"), "{mode:?}");
                assert_eq!(dropped.contains(&"x-amzn-trace-id"), trace.is_some(), "{mode:?}");
                for name in forwarded {
                    assert_eq!(dropped.contains(&name), !passes, "{mode:?} {name}");
                }
            }
        }
    }

    #[test]
    fn r_c1_an_https_client_is_told_apart() {
        let mut out = Vec::new();
        let client = Client::new(CLIENT.parse().unwrap(), UrlScheme::Https, 443);
        write(Forwarded::Append, &client, std::iter::empty(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n"), "{text}");
    }

    #[test]
    fn r_c1_addresses_have_no_brackets_and_an_ipv4_client_of_an_ipv6_socket_is_ipv4() {
        for (address, text) in [
            ("2001:DB8::21f:5bff:febf:ce22", "2001:db8::21f:5bff:febf:ce22"),
            ("::1", "::1"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:1db8:3333:4444:5555:6666:7777:8888", "2001:1db8:3333:4444:5555:6666:7777:8888"),
            ("255.255.255.255", "255.255.255.255"),
        ] {
            assert_eq!(client(address).address(), text.as_bytes());
        }
    }

    #[test]
    fn r_p6_more_than_30_forwarded_addresses_are_refused_however_they_are_cut_up() {
        let list = |count: usize| vec!["10.0.0.1"; count].join(", ");
        for mode in [Forwarded::Append, Forwarded::Preserve, Forwarded::Remove] {
            assert!(lines(mode, CLIENT, &[&list(30)]).is_ok());
            assert!(lines(mode, CLIENT, &[&list(15), "", &list(15), " , ,"]).is_ok());
            assert_eq!(lines(mode, CLIENT, &[&list(31)]), Err(TooManyAddresses));
            assert_eq!(lines(mode, CLIENT, &[&list(15), &list(16)]), Err(TooManyAddresses));
            assert_eq!(lines(mode, CLIENT, &["a"; 31]), Err(TooManyAddresses));
        }
    }

    #[test]
    fn a_request_without_a_trace_id_gets_a_root() {
        for received in [None, Some(""), Some(" ; ")] {
            assert_eq!(traced(received), "Root=1-67891233-abcdef012345678901234567", "{received:?}");
        }
    }

    #[test]
    fn a_trace_id_with_a_root_gets_our_self_in_place_of_the_one_before() {
        for (received, rest) in [
            ("Root=1-1-2", "Root=1-1-2"),
            ("Root=1-1-2;CalledFrom=app", "Root=1-1-2;CalledFrom=app"),
            ("Self=1-3-4;Root=1-1-2", "Root=1-1-2"),
            ("root=1-1-2; self=1-3-4 ; a=b", "root=1-1-2;a=b"),
        ] {
            assert_eq!(
                traced(Some(received)),
                format!("Self=1-67891233-abcdef012345678901234567;{rest}"),
                "{received}"
            );
        }
    }

    #[test]
    fn a_trace_id_without_a_root_gets_one_and_keeps_its_other_fields() {
        for (received, rest) in [("CalledFrom=app", ";CalledFrom=app"), ("Self=1-3-4", ""), ("Rooted=1", ";Rooted=1")] {
            assert_eq!(traced(Some(received)), format!("Root=1-67891233-abcdef012345678901234567{rest}"), "{received}");
        }
    }
}
