//! The access log from an entry to the line in its file.

mod files;
mod formats;
mod generated;
mod shards;
mod syslogs;

use std::net::SocketAddr;
use std::path::Path;

use super::entry::{Action, Entry, Kind, Line, Request, Rule, What};
use super::writer::Origin;
use crate::config::{AccessLog, LogFormat, LogTo};

const ORIGIN: Origin = Origin { shard: 3, started_at_us: 0x0056_ff00_0000_00aa };

/// A request that went as it should: ALB's own example, with a path.
fn request() -> Request<'static> {
    Request {
        kind: Kind::Http,
        number: 2,
        line: Line::Parsed { method: b"GET", uri: b"/a?b=c", version: "HTTP/1.1" },
        host: b"www.example.com",
        port: 80,
        status: Some(200),
        target_status: Some(200),
        request_us: Some(86),
        target_us: Some(1_048),
        response_us: Some(37),
        user_agent: b"curl/7.46.0",
        trace_id: b"Root=1-58337262-36d228ad5d99923122bbe354",
        domain_name: b"",
        rule: Rule::Default,
        action: Some(Action::Forward),
        redirect_url: b"",
        classification: "",
        classification_reason: "",
        transformed_host: b"",
        transformed_uri: b"",
        transform_status: "",
    }
}

fn entry<'a>(what: &What<'a>) -> Entry<'a> {
    Entry {
        ended_at_us: 1_530_570_180_186_641,
        lasted_us: 11_822_641,
        balancer: "edge",
        listener: "web",
        client: SocketAddr::from(([192, 168, 131, 39], 2817)),
        connection: 17,
        target_group: "my-targets",
        missed: &[],
        target: Some(SocketAddr::from(([10, 0, 0, 1], 80))),
        received_bytes: 34,
        sent_bytes: 366,
        queue_us: Some(11),
        connect_us: Some(70),
        first_byte_us: Some(1_134),
        reason: "",
        what: *what,
    }
}

/// A relayed connection that its client finished.
fn connection() -> Entry<'static> {
    entry(&What::Connection)
}

fn to_file(path: &Path) -> AccessLog {
    let to = LogTo::File { path: path.to_owned(), rotate_bytes: None, rotate_keep: 0 };
    AccessLog { to, format: LogFormat::Json }
}
