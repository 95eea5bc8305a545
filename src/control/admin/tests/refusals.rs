//! What is no good request, and what it is told.

use super::{Endpoint, error_code};
use crate::control::admin::bounds::WAITING_MAX;
use crate::control::state::Phase;

/// An endpoint that serves, and has no `state_dir`: what would be a change is refused as a conflict.
fn serving() -> Endpoint {
    let endpoint = Endpoint::start(None);
    endpoint.control.state().phase = Phase::Serving;
    endpoint
}

async fn told(endpoint: &Endpoint, request: &str, headers: &str, body: &str) -> (u16, String) {
    let headers = format!("{headers}Content-Length: {}\r\n", body.len());
    let (status, answer) = endpoint.send_whole(request, &headers, body).await;
    (status, error_code(&answer))
}

const REGISTER: &str = "POST /v1/target-groups/app/targets";
const GOOD: &str = "{\"targets\":[{\"address\":\"10.0.0.5\",\"port\":80}]}";

#[tokio::test(flavor = "current_thread")]
async fn a_path_that_is_not_utf_8_is_told_so() {
    let endpoint = serving();
    for request in
        ["GET /v1/target-groups/%ff/targets", "POST /v1/target-groups/%c3%28/targets", "POST /v1/revisions/%ff/restore"]
    {
        assert_eq!(told(&endpoint, request, "", "").await, (400, "bad_request".into()), "{request}");
    }
    let (status, body) = endpoint.get("/v1/target-groups/a%20%0ab/targets").await;
    assert_eq!((status, error_code(&body).as_str()), (404, "not_found"));
    assert!(body.contains(r#"the name \"a \\nb\""#), "{body}");
    let (status, _) = endpoint.get("/v1/target-groups/%61pp/targets").await;
    assert_eq!(status, 200, "it is decoded");
}

#[tokio::test(flavor = "current_thread")]
async fn a_method_that_a_path_does_not_know_is_told_those_that_it_knows() {
    let endpoint = serving();
    for (request, allow) in [
        ("DELETE /v1/listeners", "GET,HEAD"),
        ("GET /v1/reload", "POST"),
        ("PUT /v1/target-groups/app/targets", "GET,HEAD,POST,PATCH,DELETE"),
        ("TRACE /metrics", "GET,HEAD"),
        ("OPTIONS /", "GET,HEAD"),
    ] {
        let answer = endpoint.exchange(request, "", "").await;
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 405 "), "{request}: {answer}");
        assert!(head.contains(&format!("\r\nallow: {}\r\n", allow.to_lowercase())), "{request}: {answer}");
        assert_eq!(told(&endpoint, request, "", "").await.1, "method_not_allowed", "{request}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_head_request_is_answered_as_a_get_without_its_body() {
    let endpoint = serving();
    for (path, status) in [("/v1/shards", 200), ("/nothing", 404), ("/v1/target-groups/nobody/targets", 404)] {
        let answer = endpoint.exchange(&format!("HEAD {path}"), "", "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.contains("\r\ncontent-type: application/json\r\n"), "{answer}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_body_is_json_whatever_its_type_says() {
    let endpoint = serving();
    for content_type in ["", "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: text/plain\r\n"] {
        assert_eq!(told(&endpoint, REGISTER, content_type, GOOD).await, (409, "conflict".into()), "{content_type}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_body_is_of_objects_by_their_keys_each_once() {
    let endpoint = serving();
    for body in [
        "[[{\"port\":80}]]",
        "{\"targets\":[[\"10.0.0.5\",80]]}",
        "{\"targets\":[{\"address\":\"10.0.0.5\",\"port\":80,\"port\":81}]}",
        "{\"targets\":[{\"address\":\"10.0.0.5\",\"port\":80.5}]}",
        "{\"targets\":[]} {}",
        "null",
        "",
    ] {
        for method in ["POST", "PATCH", "DELETE"] {
            let request = format!("{method} /v1/target-groups/app/targets");
            assert_eq!(told(&endpoint, &request, "", body).await, (400, "bad_request".into()), "{method} {body}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_body_says_comes_back_cut_and_escaped() {
    let endpoint = serving();
    let long = "\u{e4}".repeat(100_000);
    let put = "PUT /v1/inventory/instances/ins-1";
    for (request, body, begins) in [
        (REGISTER, format!("{{\"{long}\":1}}"), "the body cannot be read: unknown field `\u{e4}\u{e4}"),
        (
            REGISTER,
            "{\"a\\n\\u001b[2J\\u202e\":1}".to_owned(),
            "the body cannot be read: unknown field `a\\n\\u{1b}[2J\\u{202e}`",
        ),
        (
            REGISTER,
            "{\"targets\":\"80\"}".to_owned(),
            "the body cannot be read: invalid type: string \"80\", expected ",
        ),
        (put, format!("{{\"{long}\":1}}"), "instance \"ins-1\": unknown field `\u{e4}"),
        (put, format!("{{\"id\":\"{long}\"}}"), "the path is of instance \"ins-1\", and the body has id \"\u{e4}"),
        (
            put,
            format!("{{\"id\":{{\"\u{202e}\":\"{long}\"}}}}"),
            "the path is of instance \"ins-1\", and the body has id {\"\\u{202e}",
        ),
    ] {
        let headers = format!("Content-Length: {}\r\n", body.len());
        let (status, answer) = endpoint.send_whole(request, &headers, &body).await;
        let error: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert_eq!(status, 400, "{message}");
        assert!(message.starts_with(begins), "{message}\n{begins}");
        assert!(message.chars().count() < 400, "{message}");
        assert_eq!(message.ends_with(" ..."), body.len() > 1_000, "{message}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_body_that_is_too_large_is_not_read_to_its_end() {
    let endpoint = serving();
    let body = "x".repeat((1 << 20) + 1);
    for request in [REGISTER, "POST /v1/reload", "POST /v1/revisions/1/restore"] {
        assert_eq!(told(&endpoint, request, "", &body).await, (413, "too_large".into()), "{request}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn terms_that_cannot_be_read_are_no_terms() {
    let endpoint = serving();
    let too_long = format!("Idempotency-Key: {}", "k".repeat(129));
    for header in [
        "If-Match: +1",
        "If-Match: \"1",
        "If-Match: 1, 2",
        "If-Match: *",
        "If-Match:",
        "If-Match: 99999999999999999999",
        "Idempotency-Key:",
        "Idempotency-Key: a b",
        "Idempotency-Key: \u{e4}",
        &too_long,
    ] {
        let told = told(&endpoint, REGISTER, &format!("{header}\r\n"), GOOD).await;
        assert_eq!(told, (400, "bad_request".into()), "{header}");
    }
    let headers = "If-Match: \"77\"\r\nIdempotency-Key: k\r\n";
    assert_eq!(told(&endpoint, REGISTER, headers, GOOD).await, (412, "other_revision".into()));
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn more_changes_than_the_time_gives_are_told_when_to_come_again_and_reads_go_on() {
    let endpoint = serving();
    while endpoint.control.bounds.enter().is_ok() {}
    for request in [REGISTER, "POST /v1/reload", "POST /v1/revisions/1/restore"] {
        let headers = format!("Content-Length: {}\r\n", GOOD.len());
        let answer = endpoint.exchange(request, &headers, GOOD).await;
        assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
        assert!(answer.contains("\"code\":\"too_many_requests\""), "{answer}");
    }
    assert_eq!(endpoint.get("/v1/target-groups").await.0, 200);
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(told(&endpoint, REGISTER, "", GOOD).await, (409, "conflict".into()));
}

#[tokio::test(flavor = "current_thread")]
async fn changes_wait_for_the_one_at_work_as_far_as_there_is_room_and_also_when_their_clients_are_gone() {
    let endpoint = serving();
    let at_work = endpoint.control.ledger.lock().await;
    let waiting = (0..WAITING_MAX).map(|_| endpoint.begin(REGISTER, GOOD)).collect::<Vec<_>>();
    let waiting = futures_util::future::join_all(waiting).await;
    let is_full = || endpoint.control.bounds.is_full();
    while !is_full() {
        tokio::task::yield_now().await;
    }
    drop(waiting);
    let answer = endpoint.exchange(REGISTER, &format!("Content-Length: {}\r\n", GOOD.len()), GOOD).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert_eq!(endpoint.get("/v1/target-groups").await.0, 200);
    drop(at_work);
    while is_full() {
        tokio::task::yield_now().await;
    }
    assert_eq!(told(&endpoint, REGISTER, "", GOOD).await, (409, "conflict".into()));
}
