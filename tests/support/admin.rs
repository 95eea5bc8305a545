//! The admin endpoint as its users see it: HTTP, JSON, Prometheus text.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::client;

/// Answer to one request.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
    /// Of one that came too soon.
    pub retry_after: Option<Duration>,
}

/// `GET path`, one connection each.
pub fn get(from: SocketAddr, path: &str) -> io::Result<Reply> {
    get_on(client::connect(from)?, path)
}

/// As `get`, on a connection that is there already.
pub fn get_on(stream: impl Read + Write, path: &str) -> io::Result<Reply> {
    send_on(stream, &format!("GET {path}"), "", "")
}

/// `METHOD path` with these header lines, each with its CRLF, and this body.
pub fn send(to: SocketAddr, line: &str, headers: &str, body: &str) -> io::Result<Reply> {
    send_on(client::connect(to)?, line, headers, body)
}

fn send_on(mut stream: impl Read + Write, line: &str, headers: &str, body: &str) -> io::Result<Reply> {
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes())?;
    // An endpoint that has heard enough may answer and close ahead of the end.
    let _ = stream.write_all(body.as_bytes());
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let broken = || io::Error::other(format!("{line}: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let retry_after =
        headers.filter(|(name, _)| name.eq_ignore_ascii_case("retry-after")).find_map(|(_, value)| value.parse().ok());
    Ok(Reply { status, body: body.to_owned(), retry_after: retry_after.map(Duration::from_secs) })
}

/// One reading of /metrics.
#[derive(Debug)]
pub struct Metrics(Vec<Series>);

#[derive(Debug)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    pub fn parse(text: &str) -> Self {
        Metrics(text.lines().filter(|line| !line.starts_with('#')).filter_map(series).collect())
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Values of a label, each once.
    pub fn labels(&self, label: &str) -> BTreeSet<&str> {
        let labels = self.0.iter().flat_map(|series| &series.labels);
        labels.filter(|(name, _)| name == label).map(|(_, value)| &**value).collect()
    }

    /// Sum of the series of `name` that have these labels; `None` if there is none.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.0.iter().filter(|series| series.name == name && series.has(labels)).peekable();
        found.peek()?;
        Some(found.map(|series| series.value).sum())
    }

    /// As `find`, of a metric that counts something; what is not there has not been counted yet.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        let value = self.find(name, labels).unwrap_or(0.0);
        assert!(value >= 0.0 && value.fract() == 0.0, "{name} {labels:?} counts something: {value}");
        value as usize
    }
}

impl Series {
    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.iter().any(|(n, v)| n == name && v == value))
    }
}

/// `name{label="value",...} 1.5`; no label of ours holds a comma or a quote.
fn series(line: &str) -> Option<Series> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
    let labels = labels.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect();
    Some(Series { name: name.to_owned(), labels, value: value.parse().ok()? })
}

/// The one element of a JSON list that matches.
pub fn element<'a>(list: &'a Value, key: &str, wanted: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|element| element[key] == wanted)
}
