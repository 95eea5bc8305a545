//! The page's files and the stream of events over a real socket.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::events::SUBSCRIBERS_MAX;
use super::{ASSETS, is_open};
use crate::control::admin::tests::{Endpoint, TOKEN, error_code};
use crate::control::tests::played;
use crate::shard::Order;

const PATIENCE: Duration = Duration::from_secs(600);

/// A client of `/v1/events`.
struct Subscriber {
    client: UnixStream,
    /// What came and is not read yet.
    text: String,
}

impl Subscriber {
    /// One that has its first event, or the answer that it got instead.
    async fn start(endpoint: &Endpoint) -> Self {
        let mut client = UnixStream::connect(&endpoint.path).await.unwrap();
        client.write_all(b"GET /v1/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut subscriber = Subscriber { client, text: String::new() };
        subscriber.read_until("\n\n").await;
        subscriber
    }

    /// Reads on until `end` is there; `false` at the end of the connection.
    async fn read_until(&mut self, end: &str) -> bool {
        while !self.text.contains(end) {
            let mut bytes = [0; 4096];
            let count = timeout(PATIENCE, self.client.read(&mut bytes)).await.expect("an answer").unwrap();
            if count == 0 {
                return false;
            }
            self.text += std::str::from_utf8(&bytes[..count]).unwrap();
        }
        true
    }

    /// The next event; `None` at the end of the stream.
    async fn event(&mut self) -> Option<Value> {
        if !self.read_until("\n\n").await {
            return None;
        }
        let (before, rest) = self.text.split_once("\n\n").unwrap();
        // Chunk sizes and the head stand before it.
        let event = serde_json::from_str(before.split_once("data: ").unwrap().1).unwrap();
        self.text = rest.to_owned();
        Some(event)
    }
}

#[tokio::test(flavor = "current_thread")]
async fn r_m4_the_page_needs_no_token_and_what_it_shows_does() {
    let endpoint = Endpoint::start(Some(TOKEN));
    for asset in &ASSETS {
        assert_eq!(endpoint.get(asset.path).await, (200, asset.text.to_owned()), "{}", asset.path);
    }
    for path in ["/v1/events", "/page", "/page/", "/page/page.css/", "//", "/page/page.js%00"] {
        let (status, body) = endpoint.get(path).await;
        assert_eq!((status, error_code(&body).as_str()), (401, "unauthorized"), "{path}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_browser_is_told_to_run_and_reach_nothing_but_the_page() {
    let endpoint = Endpoint::start(None);
    for asset in &ASSETS {
        let mut client = UnixStream::connect(&endpoint.path).await.unwrap();
        let request = format!("HEAD {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", asset.path);
        client.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        client.read_to_string(&mut head).await.unwrap();
        let value = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            line.unwrap_or_else(|| panic!("{name} is missing: {head}")).to_owned()
        };
        assert_eq!(value("content-type"), asset.media_type);
        assert_eq!([value("x-content-type-options"), value("referrer-policy")], ["nosniff", "no-referrer"]);
        let policy = value("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        for forbidden in ["unsafe", "*", "http:", "https:", "data:"] {
            assert!(!policy.contains(forbidden), "{forbidden}: {policy}");
        }
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'none'"), "{policy}");
    }
}

/// What the policy forbids is not there, so nothing of the page is missing under it; nor is anything from outside.
#[test]
fn the_page_is_whole_without_a_network() {
    let page = ASSETS[0].text;
    for inline in ["<style", " style=", "<script>", " onclick", " onload", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
    for asset in &ASSETS {
        // The name of a language, which nobody fetches.
        let text = asset.text.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http://", "https://", "//cdn", "@import", "url("] {
            assert!(!text.contains(outside), "{}: {outside}", asset.path);
        }
        for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"] {
            assert!(!text.contains(markup), "{}: {markup}", asset.path);
        }
    }
}

#[test]
fn every_file_of_the_page_is_asked_for_and_every_file_that_is_asked_for_is_there() {
    let all: String = ASSETS.iter().map(|asset| asset.text).collect();
    for asset in &ASSETS[1..] {
        let name = asset.path.trim_start_matches("/page/");
        assert!(all.contains(&format!("\"page/{name}\"")) || all.contains(&format!("\"./{name}\"")), "{name} is used");
    }
    for import in all.split("from \"./").skip(1).filter_map(|rest| rest.split_once('"')) {
        assert!(is_open(&format!("/page/{}", import.0)), "there is no {}", import.0);
    }
    for id in all.split("byId(\"").skip(1).filter_map(|rest| rest.split_once('"')) {
        assert!(ASSETS[0].text.contains(&format!("id=\"{}\"", id.0)), "the page has no {}", id.0);
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn an_event_says_everything_at_a_glance() {
    let (shard, _orders) = played(3);
    let endpoint = Endpoint::before(vec![shard], None);
    let event = Subscriber::start(&endpoint).await.event().await.unwrap();
    assert_eq!(event["balancer"]["phase"], "starting");
    assert_eq!(event["why_nothing_changes"], "weir is starting or stopping; see /readyz, and ask again");
    assert_eq!(event["listeners"], Value::Array(Vec::new()));
    let group = &event["target_groups"][0];
    assert_eq!(
        (&group["name"], &group["left_out"], &group["states"]["unknown"]),
        (&"app".into(), &0.into(), &1.into())
    );
    let target = &group["targets"][0];
    assert_eq!((&target["address"], &target["port"]), (&"10.0.0.1".into(), &80.into()));
    assert_eq!((&target["weight"], &target["state"]), (&10.into(), &"unknown".into()));
    let shard = &event["shards"][0];
    assert_eq!((&shard["shard"], &shard["core"], &shard["report"]), (&3.into(), &13.into(), &Value::Null));
    assert_eq!(event["revisions"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn one_event_a_second_is_made_for_all() {
    let (shard, orders) = played(0);
    let endpoint = Endpoint::before(vec![shard], None);
    let mut first = Subscriber::start(&endpoint).await;
    let mut second = Subscriber::start(&endpoint).await;
    assert_eq!(first.event().await, second.event().await, "who comes later gets the latest");
    let mut times = Vec::new();
    for _ in 0..5 {
        let (one, other) = tokio::join!(first.event(), second.event());
        assert_eq!(one, other);
        times.push(one.unwrap()["elapsed_seconds"].as_f64().unwrap());
    }
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1.0), "{times:?}");
    // A shard that does not answer owes one report, however long it takes.
    assert_eq!(orders.try_iter().filter(|order| matches!(order, Order::Report(_))).count(), 1);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn nothing_is_asked_of_the_shards_when_nobody_listens() {
    let (shard, orders) = played(0);
    let endpoint = Endpoint::before(vec![shard], None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(orders.try_iter().count(), 0);
    let subscriber = Subscriber::start(&endpoint).await;
    for order in orders.try_iter() {
        drop(order);
    }
    drop(subscriber);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = orders.try_iter().count();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(orders.try_iter().count(), 0, "after {asked} on the way out");
}

#[tokio::test(flavor = "current_thread")]
async fn subscribers_are_bounded_and_one_that_leaves_makes_room() {
    let endpoint = Endpoint::start(None);
    let mut subscribers = Vec::new();
    for _ in 0..SUBSCRIBERS_MAX {
        let mut subscriber = Subscriber::start(&endpoint).await;
        assert!(subscriber.event().await.is_some());
        subscribers.push(subscriber);
    }
    let (status, body) = endpoint.get("/v1/events").await;
    assert_eq!((status, error_code(&body).as_str()), (503, "too_many_subscribers"));
    assert_eq!(endpoint.get("/livez").await.0, 200, "others are served");
    subscribers.pop();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let mut subscriber = Subscriber::start(&endpoint).await;
        if subscriber.text.starts_with("HTTP/1.1 200 ") {
            assert!(subscriber.event().await.is_some());
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", subscriber.text);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_stream_ends_in_order_before_its_connection_is_cut() {
    let endpoint = Endpoint::start(None);
    let mut subscriber = Subscriber::start(&endpoint).await;
    let mut events = 0;
    while subscriber.event().await.is_some() {
        events += 1;
    }
    assert!((90..=101).contains(&events), "{events}");
    assert!(subscriber.text.trim_start().ends_with("0\r\n\r\n"), "{:?}", subscriber.text);
}

#[tokio::test(flavor = "current_thread")]
async fn events_and_the_page_can_only_be_read() {
    let endpoint = Endpoint::start(None);
    for path in ["/", "/page/page.js", "/v1/events"] {
        let (status, body) = endpoint.send(&format!("POST {path}"), "").await;
        assert_eq!((status, error_code(&body).as_str()), (405, "method_not_allowed"), "{path}");
    }
}
