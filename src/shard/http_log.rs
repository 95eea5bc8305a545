//! A request's line of the access log: what the exchange kept of it, in ALB's terms (requirement M3).

use std::rc::Rc;

use super::microseconds;
use super::run::Shard;
use super::table::Connection;
use crate::access_log::{Action, Entry, Kind, Line, Request, Rule, What};
use crate::l7::framing::Version;
use crate::l7::{Ends, Exchange, Record, Taken, Why};

/// Records the request, if a log is written.
pub(super) fn record(shard: &Shard, connection: &Rc<Connection>, ends: Ends, exchange: &Exchange) {
    let mut log = shard.access_log.borrow_mut();
    if !log.is_recording() {
        return;
    }
    let record = &exchange.record;
    let Some(terms) = &record.terms else { return };
    let lasted_us = microseconds(record.ended_at - record.started_at);
    let group = record.group.and_then(|index| terms.group(index)).map_or("", |(group, _)| &group.name);
    let target = record.targets.last().copied().filter(|_| record.leased_at.is_some());
    log.record(&Entry {
        ended_at_us: microseconds(record.started_unix) + lasted_us,
        lasted_us,
        balancer: &terms.snapshot.balancer.name,
        listener: &terms.listener.name,
        client: ends.client,
        connection: connection.number,
        target_group: group,
        target,
        missed: &record.missed,
        received_bytes: record.client_bytes,
        sent_bytes: record.sent_bytes,
        queue_us: record
            .head_at
            .filter(|_| target.is_some() || !record.missed.is_empty())
            .map(|at| microseconds(at - record.started_at)),
        connect_us: record.leased_at.zip(record.head_at).map(|(leased, head)| microseconds(leased - head)),
        first_byte_us: record.answered_at.map(|at| microseconds(at - record.started_at)),
        reason: record.why.map_or("", Why::as_str),
        what: What::Request(request(exchange, record, ends)),
    });
}

fn request<'e>(exchange: &'e Exchange, record: &'e Record, ends: Ends) -> Request<'e> {
    let head = &exchange.request;
    let complete = record.head_at.is_some();
    let times = record.leased_at.zip(record.answered_at);
    Request {
        kind: if record.upgraded { Kind::WebSocket } else { Kind::Http },
        number: record.number,
        line: if complete {
            Line::Parsed {
                method: head.method(),
                uri: head.target(),
                version: match head.version() {
                    Version::Http10 => "HTTP/1.0",
                    Version::Http11 => "HTTP/1.1",
                },
            }
        } else {
            Line::Raw(head.request_line())
        },
        host: if complete { head.host() } else { b"" },
        port: ends.local.port(),
        status: Some(record.status).filter(|status| *status != 0),
        target_status: record.target_status,
        request_us: times.map(|(leased, _)| microseconds(leased - record.started_at)),
        target_us: times.map(|(leased, answered)| microseconds(answered - leased)),
        // The head goes on in the turn in which it came.
        response_us: times.map(|_| 0),
        user_agent: if complete { head.values("user-agent").next().unwrap_or_default() } else { b"" },
        trace_id: &exchange.trace_id,
        domain_name: b"",
        rule: match (record.action, record.rule) {
            (Taken::Nothing, _) => Rule::None,
            (_, None) => Rule::Default,
            (_, Some(priority)) => Rule::Priority(priority),
        },
        action: match record.action {
            Taken::Nothing => None,
            Taken::Forward => Some(Action::Forward),
            Taken::Redirect => Some(Action::Redirect),
            Taken::FixedResponse => Some(Action::FixedResponse),
        },
        redirect_url: &exchange.redirect_url,
        classification: record.finding.reason.map_or("", |_| record.finding.class.as_str()),
        classification_reason: record.finding.reason.map_or("", |reason| reason.as_str()),
        transformed_host: &exchange.host,
        transformed_uri: &exchange.path,
        transform_status: record.transform_status,
    }
}
