//! ALB's text format: 33 fields, a space between two (Application Load Balancer, "Access log entries").
//!
//! A relayed connection gets the type `tcp`, which ALB does not have, and a dash for all that only a request has.
//! What clients sent is in quotes. A quote, a backslash, and everything that is not printable ASCII is written as `\xHH`; so is
//! a space where a field or a part of one may have none. So no client can end a field or a line.

use std::io::Write;
use std::net::SocketAddr;

use super::entry::{Entry, Line, Request, Rule, What};
use super::text;
use super::writer::Origin;

/// Appends the line of `entry`, with its end.
pub(super) fn write(entry: &Entry<'_>, origin: &Origin, out: &mut Vec<u8>) {
    match &entry.what {
        What::Request(request) => write_request(entry, request, origin, out),
        What::Connection => write_connection(entry, origin, out),
    }
    out.push(b'\n');
}

fn write_request(entry: &Entry<'_>, request: &Request<'_>, origin: &Origin, out: &mut Vec<u8>) {
    let times = [request.request_us, request.target_us, request.response_us];
    head(entry, request.kind.as_str(), times, [request.status, request.target_status], out);
    out.push(b'"');
    request_line(request, out);
    out.extend_from_slice(b"\" ");
    quoted(request.user_agent, out);
    no_tls(out);
    bare(entry.target_group.as_bytes(), out);
    quoted(request.trace_id, out);
    quoted(request.domain_name, out);
    // The certificate.
    quoted(b"", out);
    match request.rule {
        Rule::None => out.push(b'-'),
        Rule::Failed => out.extend_from_slice(b"-1"),
        Rule::Default => out.push(b'0'),
        Rule::Priority(priority) => text::number(priority.into(), out),
    }
    out.push(b' ');
    begun(entry, out);
    quoted(request.action.map_or("", |action| action.as_str()).as_bytes(), out);
    quoted(request.redirect_url, out);
    quoted(entry.reason.as_bytes(), out);
    targets(entry, request.target_status, out);
    quoted(request.classification.as_bytes(), out);
    quoted(request.classification_reason.as_bytes(), out);
    trace(entry, origin, out);
    quoted(request.transformed_host, out);
    quoted(request.transformed_uri, out);
    quoted(request.transform_status.as_bytes(), out);
    // The space after the last.
    out.pop();
}

fn write_connection(entry: &Entry<'_>, origin: &Origin, out: &mut Vec<u8>) {
    // The Classic balancer's fields for TCP: until the target is connected, then until its first byte, then nothing.
    let connected = entry.queue_us.zip(entry.connect_us).map(|(queue, connect)| queue.saturating_add(connect));
    let answered = connected.zip(entry.first_byte_us).map(|(connected, first)| first.saturating_sub(connected));
    head(entry, "tcp", [connected, answered, answered.map(|_| 0)], [None, None], out);
    out.extend_from_slice(b"\"- - -\" ");
    quoted(b"", out);
    no_tls(out);
    bare(entry.target_group.as_bytes(), out);
    // Trace id, domain name, certificate; no rule.
    out.extend_from_slice(b"\"-\" \"-\" \"-\" - ");
    begun(entry, out);
    quoted(if entry.target.is_some() { b"forward" } else { b"" }, out);
    // Redirect.
    quoted(b"", out);
    quoted(entry.reason.as_bytes(), out);
    targets(entry, None, out);
    out.extend_from_slice(b"\"-\" \"-\" ");
    trace(entry, origin, out);
    out.extend_from_slice(b"\"-\" \"-\" \"-\"");
}

/// Fields 1 to 12.
fn head(entry: &Entry<'_>, kind: &str, times: [Option<u64>; 3], statuses: [Option<u16>; 2], out: &mut Vec<u8>) {
    bare(kind.as_bytes(), out);
    text::time(entry.ended_at_us, out);
    out.push(b' ');
    bare(entry.balancer.as_bytes(), out);
    address_or_dash(Some(entry.client), out);
    out.push(b' ');
    address_or_dash(entry.target, out);
    out.push(b' ');
    for time in times {
        seconds(time, out);
    }
    for status in statuses {
        number_or_dash(status.map(u64::from), out);
        out.push(b' ');
    }
    for bytes in [entry.received_bytes, entry.sent_bytes] {
        text::number(bytes, out);
        out.push(b' ');
    }
}

/// ALB: method, then `scheme://host:port` and the path, then the version; dashes for what could not be read.
fn request_line(request: &Request<'_>, out: &mut Vec<u8>) {
    let (method, uri, version) = match request.line {
        Line::Parsed { method, uri, version } => (method, uri, version),
        Line::Raw(_) => (&b""[..], &b""[..], ""),
    };
    part(method, out);
    out.push(b' ');
    // Another form than a path (RFC 9112 3.2) is no URL's end: it stands alone.
    if uri.is_empty() || uri.starts_with(b"/") {
        out.extend_from_slice(request.kind.scheme().as_bytes());
        out.extend_from_slice(b"://");
        part(request.host, out);
        out.push(b':');
        text::number(request.port.into(), out);
    }
    part(uri, out);
    out.push(b' ');
    part(version.as_bytes(), out);
}

fn no_tls(out: &mut Vec<u8>) {
    out.extend_from_slice(b"- - ");
}

fn begun(entry: &Entry<'_>, out: &mut Vec<u8>) {
    text::time(entry.ended_at_us.saturating_sub(entry.lasted_us), out);
    out.push(b' ');
}

/// Every target that was tried, and what each said. Only the last one can have answered.
fn targets(entry: &Entry<'_>, status: Option<u16>, out: &mut Vec<u8>) {
    list(entry.missed.iter().copied().chain(entry.target), text::address, out);
    let statuses = entry.missed.iter().map(|_| None).chain(entry.target.map(|_| status));
    list(statuses, |status, out| number_or_dash(status.map(u64::from), out), out);
}

fn list<T>(values: impl Iterator<Item = T>, write: impl Fn(T, &mut Vec<u8>), out: &mut Vec<u8>) {
    out.push(b'"');
    let mut values = values.peekable();
    if values.peek().is_none() {
        out.push(b'-');
    }
    while let Some(value) = values.next() {
        write(value, out);
        if values.peek().is_some() {
            out.push(b' ');
        }
    }
    out.extend_from_slice(b"\" ");
}

/// The connection's own id, in ALB's form: one for all lines of a connection, unique across shards and restarts.
fn trace(entry: &Entry<'_>, origin: &Origin, out: &mut Vec<u8>) {
    let (started, shard, connection) =
        (origin.started_at_us & LOW_56, origin.shard & 0xffff, entry.connection & LOW_56);
    // Writing to a vector does not fail.
    let _ = write!(out, "TID_{started:014x}{shard:04x}{connection:014x} ");
}

/// With millisecond precision; -1 for none.
fn seconds(us: Option<u64>, out: &mut Vec<u8>) {
    match us {
        None => out.extend_from_slice(b"-1"),
        Some(us) => {
            text::number(us / 1_000_000, out);
            let milliseconds = us / 1_000 % 1_000;
            out.push(b'.');
            for unit in [100, 10, 1] {
                text::number(milliseconds / unit % 10, out);
            }
        }
    }
    out.push(b' ');
}

fn address_or_dash(address: Option<SocketAddr>, out: &mut Vec<u8>) {
    match address {
        Some(address) => text::address(address, out),
        None => out.push(b'-'),
    }
}

fn number_or_dash(number: Option<u64>, out: &mut Vec<u8>) {
    match number {
        Some(number) => text::number(number, out),
        None => out.push(b'-'),
    }
}

/// A field in quotes; a dash for nothing.
fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape(bytes, |byte| byte == b' ', out);
    out.extend_from_slice(b"\" ");
}

/// A field without quotes.
fn bare(bytes: &[u8], out: &mut Vec<u8>) {
    part(bytes, out);
    out.push(b' ');
}

/// What may hold no space.
fn part(bytes: &[u8], out: &mut Vec<u8>) {
    escape(bytes, |_| false, out);
}

fn escape(bytes: &[u8], also_plain: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    if bytes.is_empty() {
        out.push(b'-');
    }
    let is_plain = |byte: u8| (byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') || also_plain(byte);
    let mut rest = bytes;
    while let Some(plain) = rest.iter().position(|byte| !is_plain(*byte)) {
        out.extend_from_slice(&rest[..plain]);
        let byte = usize::from(rest[plain]);
        out.extend_from_slice(&[b'\\', b'x', HEX[byte >> 4], HEX[byte & 0xf]]);
        rest = &rest[plain + 1..];
    }
    out.extend_from_slice(rest);
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";
/// 14 digits of the 32 that ALB's ids have.
const LOW_56: u64 = (1 << 56) - 1;
