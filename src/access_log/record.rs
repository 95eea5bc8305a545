//! An entry as bytes, for the way from a shard to the writer: `encode` on the shard copies, `decode` on the writer borrows.
//!
//!     number (8 bytes) | address (tag, 4 or 16 bytes, port) | text (length in 2 bytes, cut at its limit)
//!
//! Both live in one process, so numbers are in its own order and there is no version. A record has no length: records are
//! read one after the other.
//! Always: `decode` after `encode` gives the same entry, but for what was cut.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::entry::{Action, Entry, Kind, Line, MISSED_MAX, Request, Rule, What, limits};

/// Longest record in bytes: every text at its limit, and 512 for all else (13 addresses of 19, 11 numbers of 8, 17 lengths, tags).
pub(super) const RECORD_BYTES_MAX: usize = 512
    + 8 * limits::NAME
    + limits::METHOD
    + 3 * limits::HOST
    + 2 * limits::URI
    + limits::USER_AGENT
    + limits::TRACE_ID
    + limits::REDIRECT_URL;
const _: () = assert!(limits::URI <= u16::MAX as usize);

/// No number: nothing that is measured in microseconds gets there.
const NONE: u64 = u64::MAX;

mod tag {
    pub(super) const NONE: u8 = 0;
    pub(super) const V4: u8 = 4;
    pub(super) const V6: u8 = 6;
    pub(super) const CONNECTION: u8 = 1;
    pub(super) const HTTP: u8 = 2;
    pub(super) const WEB_SOCKET: u8 = 3;
    pub(super) const PARSED: u8 = 1;
    pub(super) const RAW: u8 = 2;
    pub(super) const FORWARD: u8 = 1;
    pub(super) const REDIRECT: u8 = 2;
    pub(super) const FIXED_RESPONSE: u8 = 3;
    pub(super) const RULE_FAILED: u8 = 1;
    pub(super) const RULE_DEFAULT: u8 = 2;
    pub(super) const RULE: u8 = 3;
}

/// Appends `entry`. Allocates nothing while `out` has room for `RECORD_BYTES_MAX` more.
pub(super) fn encode(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let Entry { ended_at_us, lasted_us, connection, received_bytes, sent_bytes, .. } = *entry;
    let measured = [entry.queue_us, entry.connect_us, entry.first_byte_us].map(|us| us.unwrap_or(NONE));
    let [queue, connect, first_byte] = measured;
    numbers(&[ended_at_us, lasted_us, connection, received_bytes, sent_bytes, queue, connect, first_byte], out);
    address(Some(entry.client), out);
    address(entry.target, out);
    let missed = &entry.missed[entry.missed.len().saturating_sub(MISSED_MAX)..];
    // MISSED_MAX fits.
    out.push(missed.len().try_into().unwrap_or(0));
    missed.iter().for_each(|target| address(Some(*target), out));
    for name in [entry.balancer, entry.listener, entry.target_group, entry.reason] {
        text(name.as_bytes(), limits::NAME, out);
    }
    match &entry.what {
        What::Connection => out.push(tag::CONNECTION),
        What::Request(request) => encode_request(request, out),
    }
}

fn encode_request(request: &Request<'_>, out: &mut Vec<u8>) {
    out.push(match request.kind {
        Kind::Http => tag::HTTP,
        Kind::WebSocket => tag::WEB_SOCKET,
    });
    let [request_us, target_us, response_us] =
        [request.request_us, request.target_us, request.response_us].map(|us| us.unwrap_or(NONE));
    numbers(&[request_us, target_us, response_us], out);
    out.extend_from_slice(&request.number.to_ne_bytes());
    let (rule, priority) = match request.rule {
        Rule::None => (tag::NONE, 0),
        Rule::Failed => (tag::RULE_FAILED, 0),
        Rule::Default => (tag::RULE_DEFAULT, 0),
        Rule::Priority(priority) => (tag::RULE, priority),
    };
    // No status is 0 (RFC 9110 15).
    let shorts = [request.port, request.status.unwrap_or(0), request.target_status.unwrap_or(0), priority];
    shorts.iter().for_each(|short| out.extend_from_slice(&short.to_ne_bytes()));
    out.push(rule);
    out.push(match request.action {
        None => tag::NONE,
        Some(Action::Forward) => tag::FORWARD,
        Some(Action::Redirect) => tag::REDIRECT,
        Some(Action::FixedResponse) => tag::FIXED_RESPONSE,
    });
    match request.line {
        Line::Parsed { method, uri, version } => {
            out.push(tag::PARSED);
            text(method, limits::METHOD, out);
            text(uri, limits::URI, out);
            text(version.as_bytes(), limits::NAME, out);
        }
        Line::Raw(line) => {
            out.push(tag::RAW);
            text(line, limits::URI, out);
        }
    }
    text(request.host, limits::HOST, out);
    text(request.user_agent, limits::USER_AGENT, out);
    text(request.trace_id, limits::TRACE_ID, out);
    text(request.domain_name, limits::HOST, out);
    text(request.redirect_url, limits::REDIRECT_URL, out);
    text(request.classification.as_bytes(), limits::NAME, out);
    text(request.classification_reason.as_bytes(), limits::NAME, out);
    text(request.transformed_host, limits::HOST, out);
    text(request.transformed_uri, limits::URI, out);
    text(request.transform_status.as_bytes(), limits::NAME, out);
}

fn numbers(numbers: &[u64], out: &mut Vec<u8>) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_ne_bytes()));
}

fn address(address: Option<SocketAddr>, out: &mut Vec<u8>) {
    match address {
        None => return out.push(tag::NONE),
        Some(SocketAddr::V4(v4)) => {
            out.push(tag::V4);
            out.extend_from_slice(&v4.ip().octets());
        }
        Some(SocketAddr::V6(v6)) => {
            out.push(tag::V6);
            out.extend_from_slice(&v6.ip().octets());
        }
    }
    out.extend_from_slice(&address.map_or(0, |address| address.port()).to_ne_bytes());
}

fn text(bytes: &[u8], limit: usize, out: &mut Vec<u8>) {
    let bytes = &bytes[..bytes.len().min(limit)];
    // Every limit fits.
    let length = u16::try_from(bytes.len()).unwrap_or(0);
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(bytes);
}

/// These bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Takes the first record from `bytes`. `missed` is where its targets of that name are put.
///
/// # Errors
/// These are no records.
pub(super) fn decode<'e, 'b: 'e>(
    bytes: &mut &'b [u8],
    missed: &'e mut Vec<SocketAddr>,
) -> Result<Entry<'e>, Unreadable> {
    let mut reader = Reader(bytes);
    let ended_at_us = reader.number()?;
    let lasted_us = reader.number()?;
    let connection = reader.number()?;
    let received_bytes = reader.number()?;
    let sent_bytes = reader.number()?;
    let queue_us = reader.measured()?;
    let connect_us = reader.measured()?;
    let first_byte_us = reader.measured()?;
    let client = reader.address()?.ok_or(Unreadable)?;
    let target = reader.address()?;
    missed.clear();
    for _ in 0..reader.byte()? {
        missed.push(reader.address()?.ok_or(Unreadable)?);
    }
    let balancer = reader.name()?;
    let listener = reader.name()?;
    let target_group = reader.name()?;
    let reason = reader.name()?;
    let what = match reader.byte()? {
        tag::CONNECTION => What::Connection,
        tag::HTTP => What::Request(decode_request(Kind::Http, &mut reader)?),
        tag::WEB_SOCKET => What::Request(decode_request(Kind::WebSocket, &mut reader)?),
        _ => return Err(Unreadable),
    };
    *bytes = reader.0;
    Ok(Entry {
        ended_at_us,
        lasted_us,
        balancer,
        listener,
        client,
        connection,
        target_group,
        missed,
        target,
        received_bytes,
        sent_bytes,
        queue_us,
        connect_us,
        first_byte_us,
        reason,
        what,
    })
}

fn decode_request<'a>(kind: Kind, reader: &mut Reader<'a>) -> Result<Request<'a>, Unreadable> {
    let request_us = reader.measured()?;
    let target_us = reader.measured()?;
    let response_us = reader.measured()?;
    let number = u32::from_ne_bytes(reader.array()?);
    let port = reader.short()?;
    let status = reader.short().map(|status| (status > 0).then_some(status))?;
    let target_status = reader.short().map(|status| (status > 0).then_some(status))?;
    let priority = reader.short()?;
    let rule = match reader.byte()? {
        tag::NONE => Rule::None,
        tag::RULE_FAILED => Rule::Failed,
        tag::RULE_DEFAULT => Rule::Default,
        tag::RULE => Rule::Priority(priority),
        _ => return Err(Unreadable),
    };
    let action = match reader.byte()? {
        tag::NONE => None,
        tag::FORWARD => Some(Action::Forward),
        tag::REDIRECT => Some(Action::Redirect),
        tag::FIXED_RESPONSE => Some(Action::FixedResponse),
        _ => return Err(Unreadable),
    };
    let line = match reader.byte()? {
        tag::PARSED => Line::Parsed { method: reader.text()?, uri: reader.text()?, version: reader.name()? },
        tag::RAW => Line::Raw(reader.text()?),
        _ => return Err(Unreadable),
    };
    Ok(Request {
        kind,
        number,
        line,
        host: reader.text()?,
        port,
        status,
        target_status,
        request_us,
        target_us,
        response_us,
        user_agent: reader.text()?,
        trace_id: reader.text()?,
        domain_name: reader.text()?,
        rule,
        action,
        redirect_url: reader.text()?,
        classification: reader.name()?,
        classification_reason: reader.name()?,
        transformed_host: reader.text()?,
        transformed_uri: reader.text()?,
        transform_status: reader.name()?,
    })
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(*first)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        self.array().map(|[byte]| byte)
    }

    fn short(&mut self) -> Result<u16, Unreadable> {
        self.array().map(u16::from_ne_bytes)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        self.array().map(u64::from_ne_bytes)
    }

    fn measured(&mut self) -> Result<Option<u64>, Unreadable> {
        self.number().map(|us| (us != NONE).then_some(us))
    }

    fn address(&mut self) -> Result<Option<SocketAddr>, Unreadable> {
        let ip: IpAddr = match self.byte()? {
            tag::NONE => return Ok(None),
            tag::V4 => Ipv4Addr::from(self.array::<4>()?).into(),
            tag::V6 => Ipv6Addr::from(self.array::<16>()?).into(),
            _ => return Err(Unreadable),
        };
        Ok(Some(SocketAddr::new(ip, self.short()?)))
    }

    fn text(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = usize::from(self.short()?);
        let (text, rest) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(text)
    }

    /// A name of the config is never cut in a character's middle: none is so long. Were it, its whole characters are left.
    fn name(&mut self) -> Result<&'a str, Unreadable> {
        self.text().map(|text| text.utf8_chunks().next().map_or("", |chunk| chunk.valid()))
    }
}
