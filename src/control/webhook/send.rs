//! One attempt to deliver a report: one connection, one POST, one status.
//!
//!     resolve --> connect --> TLS --> POST, signed --> status --> Outcome
//!     `------------ all of it within ATTEMPT_LIMIT ---------'
//!
//! Redirects are not followed, and of a body no more is read than lets the receiver end in order: the status has said it.
//! A name is looked up on a thread of tokio's, so a resolver that hangs holds up nothing here.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::outbox::Attempt;
use crate::config::WebhookKeys;
use crate::tls;

/// Its status is there within this, or the attempt has failed. Ours: a receiver has only to note it. Standard Webhooks, written for the whole internet, has three
/// times as much.
pub(super) const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer's body has to come.
const BODY_LIMIT: Duration = Duration::from_secs(1);
/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Of an answer's body no more is read.
const BODY_BYTES_MAX: usize = 64 << 10;

type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// 2xx.
    Delivered,
    /// 410: the receiver wants no more of these.
    Gone,
    /// Anything else.
    Failed {
        why: Failed,
        /// For the log.
        said: String,
        /// What the receiver asks for.
        retry_after: Option<Duration>,
    },
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// No connection: its name is not known, nobody listens, no way there.
    Connect,
    /// The TLS handshake failed: a certificate that this host does not trust, say.
    Tls,
    /// No status in time.
    Timeout,
    /// The connection broke off, or what came is not HTTP.
    Closed,
    /// A status other than 2xx.
    Status,
}

impl Failed {
    pub(super) const ALL: [Failed; 5] = [Failed::Connect, Failed::Tls, Failed::Timeout, Failed::Closed, Failed::Status];

    /// As metrics write it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Failed::Connect => "connect",
            Failed::Tls => "tls",
            Failed::Timeout => "timeout",
            Failed::Closed => "closed",
            Failed::Status => "status",
        }
    }
}

/// Sends a report once.
pub(super) async fn send(attempt: &Attempt, keys: &WebhookKeys) -> Outcome {
    let response = match timeout(ATTEMPT_LIMIT, post(attempt, keys)).await {
        Ok(Ok(response)) => response,
        Ok(Err(failed)) => return failed,
        Err(_) => return failed(Failed::Timeout, format!("no answer within {} s", ATTEMPT_LIMIT.as_secs())),
    };
    let outcome = outcome_of(response.status(), response.headers(), SystemTime::now());
    // What it answers is known: whether its body comes is no matter.
    let _ = timeout(BODY_LIMIT, read_up(response)).await;
    outcome
}

async fn post(attempt: &Attempt, keys: &WebhookKeys) -> Result<Response<Incoming>, Outcome> {
    let Attempt { report, webhook } = attempt;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let request = Request::post(webhook.uri().clone())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("weir/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &*report.id)
        .header("webhook-timestamp", now)
        .header("webhook-signature", keys.sign(&report.id, now, &report.body))
        .body(Full::new(Bytes::copy_from_slice(report.body.as_bytes())))
        .map_err(|error| failed(Failed::Connect, error.to_string()))?;
    let sent = if webhook.uri().scheme_str() == Some("https") {
        https().await.map_err(|error| failed(Failed::Tls, error.to_string()))?.request(request)
    } else {
        one_connection_each().build(HttpConnector::new()).request(request)
    };
    sent.await.map_err(|error| failed(why(&error), said(&error)))
}

/// The host's certificates are read for each attempt: one that is put there counts from then on.
async fn https() -> io::Result<Https> {
    let client = tokio::task::spawn_blocking(|| tls::client(tls::issuers_of_the_system()));
    let trusts_nobody = || {
        io::Error::other(
            "this host trusts no issuer of certificates: install ca-certificates, or look at SSL_CERT_FILE and SSL_CERT_DIR",
        )
    };
    let client = client.await.map_err(io::Error::other)?.ok_or_else(trusts_nobody)?;
    let builder = HttpsConnectorBuilder::new().with_tls_config(Arc::unwrap_or_clone(client));
    Ok(one_connection_each().build(builder.https_only().enable_http1().build()))
}

fn one_connection_each() -> hyper_util::client::legacy::Builder {
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_max_idle_per_host(0).retry_canceled_requests(false).http1_max_buf_size(HEAD_BYTES_MAX);
    client
}

/// Standard Webhooks 1.0.0, "Delivery success and failure".
fn outcome_of(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Outcome {
    if status.is_success() {
        return Outcome::Delivered;
    }
    if status == StatusCode::GONE {
        return Outcome::Gone;
    }
    let asks = headers.get(header::RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
    let moved =
        if status.is_redirection() { "; redirects are not followed: name the new place in webhook" } else { "" };
    Outcome::Failed { why: Failed::Status, said: format!("it answered {}{moved}", status.as_u16()), retry_after: asks }
}

/// Seconds or a date: RFC 9110, 10.2.3.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

async fn read_up(response: Response<Incoming>) {
    let mut body = response.into_body();
    let mut bytes = 0;
    while bytes < BODY_BYTES_MAX && !body.is_end_stream() {
        let Some(Ok(frame)) = body.frame().await else { return };
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}

fn failed(why: Failed, said: String) -> Outcome {
    Outcome::Failed { why, said, retry_after: None }
}

fn why(error: &hyper_util::client::legacy::Error) -> Failed {
    if causes(error).any(<dyn Error>::is::<rustls::Error>) {
        Failed::Tls
    } else if error.is_connect() {
        Failed::Connect
    } else {
        Failed::Closed
    }
}

/// The error that lies deepest says most; what is around it says where.
fn said(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = causes(error).skip(1).map(ToString::to_string).collect();
    // An error that wraps another one may print as it.
    texts.dedup();
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

/// The error and what it is of. `io::Error` does not name the one that it wraps as its source.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'e (dyn Error + 'static) = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}
