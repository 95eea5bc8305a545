//! What a request's head becomes on its way to a target, and a response's on its way to the client.
//!
//! Whole heads are written by `framing`; here is decided with what.

use std::io::Write as _;
use std::net::SocketAddr;

use super::exchange::Exchange;
use super::relay::Fit;
use crate::config::{HttpGroup, HttpVersion};
use crate::l7::UrlScheme;
use crate::l7::forwarded::{self, Trace};
use crate::l7::framing::{
    Body, BodyLength, ClientConnection, Form, Length, RequestEdits, RequestHead, ResponseEdits, Upgrade, Verdict,
    Version,
};
use crate::l7::location;
use crate::l7::router::{Origin, Original, Redirect, Rewriter, Transform};
use crate::l7::sessions;
use crate::l7::why::Why;
use crate::l7::world::{Lease, Terms, World};

/// Writes the head as targets of the group get it into `exchange.to_target`, in place of what is there.
pub(super) fn write_request<W: World>(
    exchange: &mut Exchange,
    world: &W,
    terms: &Terms,
    group: &HttpGroup,
    rewriter: Option<&Rewriter>,
) -> Result<(), Why> {
    for rewritten in [&mut exchange.path, &mut exchange.host, &mut exchange.trace_id] {
        rewritten.clear();
    }
    rewrite(exchange, rewriter)?;
    let Exchange { request, lines, to_target, path, host, trace_id, scratch, .. } = exchange;
    let mode = terms.http.forwarded;
    lines.clear();
    let received = request.values("x-forwarded-for");
    forwarded::write(mode, world.client(), received, lines).map_err(|_| Why::ForwardedTooLong)?;
    let trace = terms.http.trace_id.then(|| trace(world));
    if let Some(trace) = trace {
        let value = forwarded::write_trace_id(request.values("x-amzn-trace-id").next(), trace, lines);
        trace_id.extend_from_slice(&lines[value]);
    }
    let host = match written(host) {
        None if request.authority().is_empty() => {
            // HTTP/1.0 may name none; HTTP/1.1 must, and there it means where the client came to.
            scratch.clear();
            let _ = write!(scratch, "{}", world.ends().local);
            Some(&scratch[..])
        }
        host => host,
    };
    let edits = RequestEdits {
        version: if group.version == HttpVersion::V1_0 { Version::Http10 } else { Version::Http11 },
        path_and_query: written(path),
        host,
        drop: forwarded::dropped(mode, trace),
        add: lines,
        upgrade: if group.version == HttpVersion::V1_0 { Upgrade::Drop } else { Upgrade::Pass },
    };
    to_target.clear();
    request.write(&edits, to_target.bytes());
    Ok(())
}

fn written(rewritten: &[u8]) -> Option<&[u8]> {
    (!rewritten.is_empty()).then_some(rewritten)
}

/// Writes what the rule makes of path and host into `exchange.path` and `exchange.host`.
fn rewrite(exchange: &mut Exchange, rewriter: Option<&Rewriter>) -> Result<(), Why> {
    let Some(rewriter) = rewriter else { return Ok(()) };
    let Exchange { request, scratch, path, host, record, .. } = exchange;
    let transform = rewriter.rewrite(&Original::of(request), scratch, path, host);
    record.transform_status = transform.as_str();
    if transform == Transform::Success { Ok(()) } else { Err(Why::RewriteFailed) }
}

/// Writes where a rule's redirect points into `exchange.redirect_url`. A request without `Host` came to `local`.
pub(super) fn write_location(exchange: &mut Exchange, redirect: &Redirect, local: SocketAddr) -> Result<(), Why> {
    let Exchange { request, redirect_url, .. } = exchange;
    let address;
    let authority = match request.authority() {
        [] => {
            address = local.to_string();
            address.as_bytes()
        }
        authority => authority,
    };
    let origin = Origin { scheme: UrlScheme::Http, authority, path: request.path(), query: request.query() };
    redirect.write_location(&origin, redirect_url).map_err(|_| Why::UriTooLong)
}

fn trace<W: World>(world: &W) -> Trace {
    let mut id = [0; 12];
    id[..8].copy_from_slice(&world.roll().to_be_bytes());
    id[8..].copy_from_slice(&world.roll().to_be_bytes()[4..]);
    Trace { now: world.unix_time().as_secs(), id }
}

/// Writes the head of the target's final response for the client, and decides how its body goes and which of the two
/// connections can serve another request.
pub(super) fn write_response<W: World>(
    exchange: &mut Exchange,
    world: &W,
    terms: &Terms,
    lease: &W::Lease,
    upload_over: bool,
) -> Fit {
    let length = exchange.response.body(exchange.request.is_head());
    let delivery = Delivery::new(length, exchange.request.version());
    let fit = fit(exchange, world, terms, length, upload_over, delivery.ends_itself);
    let dropped = write_lines(exchange, world, terms, lease);
    exchange.download = Body::new(length);
    exchange.download_form = delivery.form;
    let Exchange { request, response, to_client, lines, record, .. } = exchange;
    let out = to_client.bytes();
    let before = out.len();
    let edits = ResponseEdits {
        connection: client_connection(request, fit.client),
        length: delivery.length,
        drop: dropped.names(),
        add: lines,
        upgrade: Upgrade::Drop,
    };
    response.write(&edits, out);
    record.sent_bytes += (out.len() - before) as u64;
    record.status = response.status();
    record.target_status = Some(response.status());
    record.answered_at = Some(world.now());
    fit
}

/// How a body goes to the client.
struct Delivery {
    length: Length,
    form: Form,
    /// The client can tell its end without the connection's.
    ends_itself: bool,
}

impl Delivery {
    fn new(length: BodyLength, client: Version) -> Self {
        match (length, client) {
            (BodyLength::UntilClose, Version::Http11) => {
                Delivery { length: Length::Chunked, form: Form::Chunked, ends_itself: true }
            }
            (BodyLength::UntilClose, Version::Http10) => {
                Delivery { length: Length::AsReceived, form: Form::AsReceived, ends_itself: false }
            }
            (BodyLength::Chunked, Version::Http10) => {
                Delivery { length: Length::Closing, form: Form::Payload, ends_itself: false }
            }
            _ => Delivery { length: Length::AsReceived, form: Form::AsReceived, ends_itself: true },
        }
    }
}

fn fit<W: World>(
    exchange: &Exchange,
    world: &W,
    terms: &Terms,
    length: BodyLength,
    upload_over: bool,
    ends_itself: bool,
) -> Fit {
    let Exchange { request, response, record, verdict, body_bytes, .. } = exchange;
    // What was asked in 1.0 has its connection to itself, whatever version the answer claims.
    let group = record.group.and_then(|index| terms.group(index));
    let is_kept = group.is_some_and(|(_, http)| http.version == HttpVersion::V1_1) && response.wants_keep_alive();
    // With the final response a client that waits for 100 need not send its body (RFC 9110 10.1.1): then nobody knows where
    // its next request begins.
    let body_settled = upload_over || !request.expects_continue() || *body_bytes > 0;
    let target = is_kept && length != BodyLength::UntilClose && *verdict == Verdict::Serve && body_settled;
    let client = request.wants_keep_alive() && ends_itself && *verdict == Verdict::Serve && !world.is_finishing();
    Fit { client: client && (upload_over || target), target }
}

/// Names of fields that do not pass, because ours are in their place.
#[derive(Default)]
struct Dropped {
    names: [&'static str; 3],
    count: usize,
}

impl Dropped {
    fn names(&self) -> &[&'static str] {
        &self.names[..self.count]
    }

    fn add(&mut self, name: &'static str) {
        self.names[self.count] = name;
        self.count += 1;
    }
}

/// Writes the lines that the response gets: cookies, `Server`, repaired places.
fn write_lines<W: World>(exchange: &mut Exchange, world: &W, terms: &Terms, lease: &W::Lease) -> Dropped {
    let Exchange { request, response, lines, record, session, scratch, host, .. } = exchange;
    let mut dropped = Dropped::default();
    lines.clear();
    if let Some(server) = &terms.http.server_header {
        dropped.add("server");
        for part in [b"Server: ", server.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    let Some((group, http)) = record.group.and_then(|index| terms.group(index)) else { return dropped };
    if let (Some(stickiness), Some(tag)) = (&http.stickiness, lease.tag()) {
        let now = world.unix_time().as_secs();
        sessions::write_target_cookie((request, response), terms, (group, stickiness), tag, now, lines);
    }
    if let Some(stickiness) = session.group_stickiness() {
        sessions::write_group_cookie(terms, record.rule, stickiness, group, world.unix_time().as_secs(), lines);
    }
    if http.location_repair {
        let target_authority = if host.is_empty() { request.authority() } else { host };
        let ends = location::Ends {
            scheme: UrlScheme::Http,
            authority: request.authority(),
            target_authority,
            target: lease.address(),
        };
        for (name, line) in [("location", &b"Location: "[..]), ("content-location", b"Content-Location: ")] {
            let Some(value) = response.values(name).next() else { continue };
            scratch.clear();
            if location::repair(value, &ends, scratch) {
                dropped.add(name);
                for part in [line, scratch, b"\r\n"] {
                    lines.extend_from_slice(part);
                }
            }
        }
    }
    dropped
}

/// Passes a 1xx on.
pub(super) fn write_interim(exchange: &mut Exchange) {
    let edits = ResponseEdits {
        connection: ClientConnection::KeepAlive,
        length: Length::AsReceived,
        drop: &[],
        add: &[],
        upgrade: Upgrade::Drop,
    };
    let out = exchange.to_client.bytes();
    let before = out.len();
    exchange.response.write(&edits, out);
    exchange.record.sent_bytes += (out.len() - before) as u64;
}

/// Passes a 101 on: both sides leave HTTP (RFC 9110 7.8).
pub(super) fn write_switch<W: World>(exchange: &mut Exchange, world: &W) {
    let edits = ResponseEdits {
        connection: ClientConnection::Close,
        length: Length::AsReceived,
        drop: &[],
        add: &[],
        upgrade: Upgrade::Pass,
    };
    let Exchange { response, to_client, record, .. } = exchange;
    let out = to_client.bytes();
    let before = out.len();
    response.write(&edits, out);
    record.sent_bytes += (out.len() - before) as u64;
    record.status = 101;
    record.target_status = Some(101);
    record.answered_at = Some(world.now());
}

/// What the client is told of its connection.
pub(super) fn client_connection(request: &RequestHead, stays: bool) -> ClientConnection {
    match (stays, request.version()) {
        (true, Version::Http11) => ClientConnection::KeepAlive,
        (true, Version::Http10) => ClientConnection::KeepAliveForHttp10,
        (false, _) => ClientConnection::Close,
    }
}
