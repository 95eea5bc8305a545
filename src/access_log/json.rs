//! One JSON object a line (RFC 8259). What there is none of is left out.
//!
//! Texts of clients are escaped: quote, backslash, and every control character, with DEL and C1, which a terminal would obey.
//! What is not UTF-8 becomes U+FFFD.

use super::entry::{Entry, Line, Request, Rule, What};
use super::text;
use super::writer::Origin;

/// Appends the line of `entry`, with its end.
pub(super) fn write(entry: &Entry<'_>, origin: &Origin, out: &mut Vec<u8>) {
    let mut object = Object { out, next: b'{' };
    object.time("time", entry.ended_at_us);
    object.time("created", entry.ended_at_us.saturating_sub(entry.lasted_us));
    match &entry.what {
        What::Connection => object.text("type", b"tcp"),
        What::Request(request) => object.text("type", request.kind.as_str().as_bytes()),
    }
    object.text("balancer", entry.balancer.as_bytes());
    object.text("listener", entry.listener.as_bytes());
    object.number("shard", origin.shard);
    object.number("connection", entry.connection);
    object.key("client_ip");
    object.display(entry.client.ip());
    object.number("client_port", entry.client.port().into());
    if let What::Request(request) = &entry.what {
        request_line(request, &mut object);
        object.some("status", request.status.map(u64::from));
    }
    object.text("reason", entry.reason.as_bytes());
    object.text("target_group", entry.target_group.as_bytes());
    if let Some(target) = entry.target {
        object.key("target");
        object.display(target);
    }
    if let What::Request(request) = &entry.what {
        object.some("target_status", request.target_status.map(u64::from));
    }
    tried(entry, &mut object);
    object.number("received_bytes", entry.received_bytes);
    object.number("sent_bytes", entry.sent_bytes);
    object.number("total_us", entry.lasted_us);
    object.some("queue_us", entry.queue_us);
    object.some("connect_us", entry.connect_us);
    object.some("first_byte_us", entry.first_byte_us);
    if let What::Request(request) = &entry.what {
        rest_of_request(request, &mut object);
    }
    object.end();
}

fn request_line(request: &Request<'_>, object: &mut Object<'_>) {
    object.number("request", request.number.into());
    match request.line {
        Line::Parsed { method, uri, version } => {
            object.text("method", method);
            object.text("uri", uri);
            object.text("version", version.as_bytes());
        }
        Line::Raw(line) => object.text("request_line", line),
    }
    object.text("scheme", request.kind.scheme().as_bytes());
    object.text("host", request.host);
    object.number("port", request.port.into());
}

/// Only where there is more to say than `target` does.
fn tried(entry: &Entry<'_>, object: &mut Object<'_>) {
    if entry.missed.is_empty() {
        return;
    }
    object.key("tried");
    let mut next = b'[';
    for target in entry.missed.iter().chain(&entry.target) {
        object.out.push(next);
        object.display(target);
        next = b',';
    }
    object.out.push(b']');
}

fn rest_of_request(request: &Request<'_>, object: &mut Object<'_>) {
    object.some("request_us", request.request_us);
    object.some("target_us", request.target_us);
    object.some("response_us", request.response_us);
    match request.rule {
        Rule::None => {}
        Rule::Failed => {
            object.key("rule");
            object.out.extend_from_slice(b"-1");
        }
        Rule::Default => object.number("rule", 0),
        Rule::Priority(priority) => object.number("rule", priority.into()),
    }
    object.text("action", request.action.map_or("", |action| action.as_str()).as_bytes());
    object.text("redirect_url", request.redirect_url);
    object.text("user_agent", request.user_agent);
    object.text("trace_id", request.trace_id);
    object.text("domain_name", request.domain_name);
    object.text("classification", request.classification.as_bytes());
    object.text("classification_reason", request.classification_reason.as_bytes());
    object.text("transformed_host", request.transformed_host);
    object.text("transformed_uri", request.transformed_uri);
    object.text("transform_status", request.transform_status.as_bytes());
}

/// An object that is being written.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// What comes ahead of the next key.
    next: u8,
}

impl Object<'_> {
    /// Keys are ours, and plain.
    fn key(&mut self, key: &str) {
        self.out.push(self.next);
        self.next = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        text::number(number, self.out);
    }

    fn some(&mut self, key: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    fn time(&mut self, key: &str, unix_us: u64) {
        self.key(key);
        self.out.push(b'"');
        text::time(unix_us, self.out);
        self.out.push(b'"');
    }

    /// A value that needs no escapes.
    fn display(&mut self, value: impl std::fmt::Display) {
        use std::io::Write;
        // Writing to a vector does not fail.
        let _ = write!(self.out, "\"{value}\"");
    }

    fn text(&mut self, key: &str, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.key(key);
        self.out.push(b'"');
        for chunk in bytes.utf8_chunks() {
            escape(chunk.valid(), self.out);
            if !chunk.invalid().is_empty() {
                self.out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
        self.out.push(b'"');
    }

    fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }
}

fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((at, special)) =
        rest.char_indices().find(|(_, char)| matches!(char, '"' | '\\') || char.is_control())
    {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + special.len_utf8()..];
        match special {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            control => {
                let code = control as usize;
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[code >> 4 & 0xf], HEX[code & 0xf]]);
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
}

const HEX: &[u8; 16] = b"0123456789abcdef";
