//! The endpoint over a real socket, with no shard behind it, or one that the test plays.

mod openapi;
mod refusals;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::Door;
use crate::config::{Admin, AdminAddress, Mode, parse};
use crate::control::change::Ledger;
use crate::control::shards::{self, Shards};
use crate::control::state::{Control, Given, Phase};
use crate::control::tests::played;
use crate::shard::Order;

pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const CONFIG: &str = "[[target_group]]\nname='app'\nprotocol='tcp'\ntarget=[{address='10.0.0.1',port=80}]\n";

pub(super) struct Endpoint {
    control: Arc<Control>,
    pub(super) path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Endpoint {
    pub(super) fn start(token: Option<&str>) -> Self {
        Self::before(Vec::new(), token)
    }

    pub(super) fn before(shards: Shards, token: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let token_file = token.map(|token| {
            let path = directory.path().join("token");
            std::fs::write(&path, token).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        });
        let door =
            Door::open(&Admin { listen: AdminAddress::Unix(path.clone()), token_file, certificate: None }).unwrap();
        let snapshot = Arc::new(parse("t", CONFIG, Mode::Run).unwrap());
        let control = Control::new(shards, Arc::clone(&snapshot), Ledger::of(&snapshot), Given::for_test());
        tokio::spawn(door.serve(Arc::clone(&control)));
        Endpoint { control, path, _directory: directory }
    }

    /// Status and body.
    pub(super) async fn send(&self, request: &str, headers: &str) -> (u16, String) {
        self.send_whole(request, headers, "").await
    }

    /// As `send`, with a body, whose length is among the headers.
    pub(super) async fn send_whole(&self, request: &str, headers: &str, body: &str) -> (u16, String) {
        let answer = self.exchange(request, headers, body).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// Sends a request, and does not wait for its answer.
    pub(super) async fn begin(&self, request: &str, body: &str) -> UnixStream {
        let mut client = UnixStream::connect(&self.path).await.unwrap();
        let length = body.len();
        let text = format!("{request} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        client.write_all(text.as_bytes()).await.unwrap();
        client
    }

    /// All that comes back.
    pub(super) async fn exchange(&self, request: &str, headers: &str, body: &str) -> String {
        let mut client = UnixStream::connect(&self.path).await.unwrap();
        let text = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n{body}");
        // An endpoint that has heard enough may answer and close ahead of the end: a reset follows its answer.
        let _ = client.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(5), client.read_to_end(&mut answer)).await.expect("an answer");
        String::from_utf8(answer).unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path}"), "").await
    }
}

pub(super) fn error_code(body: &str) -> String {
    let error: Value = serde_json::from_str(body).unwrap();
    assert!(error["error"]["message"].is_string() && error["error"]["hint"].is_string(), "{body}");
    error["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "current_thread")]
async fn errors_are_json_with_a_code_and_a_hint() {
    let endpoint = Endpoint::start(None);
    let (status, body) = endpoint.get("/nothing").await;
    assert_eq!((status, error_code(&body).as_str()), (404, "not_found"));
    let (status, body) = endpoint.get("/v1/target-groups/nobody/targets").await;
    assert_eq!((status, error_code(&body).as_str()), (404, "not_found"));
    let (status, body) = endpoint.send("DELETE /v1/listeners", "").await;
    assert_eq!((status, error_code(&body).as_str()), (405, "method_not_allowed"));
}

#[tokio::test(flavor = "current_thread")]
async fn everything_but_liveness_and_readiness_needs_the_token() {
    let endpoint = Endpoint::start(Some(TOKEN));
    endpoint.control.state().phase = Phase::Serving;
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for path in ["/metrics", "/v1/balancer", "/v1/explain", "/nothing", "/livez/", "//livez"] {
        let (status, body) = endpoint.get(path).await;
        assert_eq!((status, error_code(&body).as_str()), (401, "unauthorized"), "{path}");
    }
    assert_eq!(endpoint.send("GET /v1/balancer", &bearer).await.0, 200);
    assert_eq!(endpoint.send("GET /nothing", &bearer).await.0, 404);
    assert_eq!(endpoint.get("/livez").await.0, 200);
    assert_eq!(endpoint.get("/readyz").await.0, 200);
}

#[tokio::test(flavor = "current_thread")]
async fn readiness_says_why_not() {
    let endpoint = Endpoint::start(None);
    let (status, body) = endpoint.get("/readyz").await;
    assert!(status == 503 && body.starts_with("starting"), "{body}");
    endpoint.control.state().phase = Phase::Serving;
    assert_eq!(endpoint.get("/readyz").await, (200, "ok\n".to_owned()));
    endpoint.control.state().phase = Phase::Draining;
    let (status, body) = endpoint.get("/readyz").await;
    assert!(status == 503 && body.starts_with("draining"), "{body}");
    assert_eq!(endpoint.get("/livez").await.0, 200, "a draining process is alive");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_stuck_shard_is_named_by_readiness_and_metrics_until_it_answers() {
    let (shard, orders) = played(3);
    let endpoint = Endpoint::before(vec![shard], None);
    endpoint.control.state().phase = Phase::Serving;
    let _watching = shards::watch(&endpoint.control.shards);
    sleep(shards::STUCK_AFTER + Duration::from_secs(1)).await;
    let (status, body) = endpoint.get("/readyz").await;
    assert_eq!((status, body.as_str()), (503, "shard 3 on core 13 is stuck: no answer for 4 s\n"));
    assert!(endpoint.get("/metrics").await.1.contains("\nweir_shard_stuck{shard=\"3\"} 1\n"));
    assert_eq!(endpoint.get("/livez").await.0, 200, "the process is alive");

    for order in orders.try_iter() {
        if let Order::Ping(answer) = order {
            answer.send(()).unwrap();
        }
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(endpoint.get("/readyz").await, (200, "ok\n".to_owned()));
    assert!(endpoint.get("/metrics").await.1.contains("\nweir_shard_stuck{shard=\"3\"} 0\n"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_target_that_no_shard_knows_yet_is_shown_as_such() {
    let endpoint = Endpoint::start(None);
    let (status, body) = endpoint.get("/v1/target-groups/app/targets").await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_str(&body).unwrap();
    let target = &answer["targets"][0];
    assert_eq!((&target["address"], &target["port"]), (&"10.0.0.1".into(), &80.into()));
    assert_eq!(target["health"]["state"], "unknown");
}

#[tokio::test(flavor = "current_thread")]
async fn a_head_that_is_too_large_is_refused() {
    let endpoint = Endpoint::start(None);
    let mut client = UnixStream::connect(&endpoint.path).await.unwrap();
    let head = format!("GET /livez HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(20_000));
    // It does not read all of it, so what follows the answer may be a reset.
    let _ = client.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(5), client.read_to_end(&mut answer)).await.expect("closed");
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", answer.escape_ascii());
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_client_that_says_nothing_is_left() {
    let endpoint = Endpoint::start(None);
    let mut client = UnixStream::connect(&endpoint.path).await.unwrap();
    client.write_all(b"GET /li").await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(60), client.read_to_end(&mut answer)).await.expect("closed").unwrap();
    assert!(answer.is_empty());
}
