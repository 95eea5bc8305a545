//! The caller before an admin endpoint that the test plays, over a unix socket.

use std::path::PathBuf;

use hyper::Method;
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::address::Address;
use super::caller::{ANSWER_LIMIT, Caller};
use super::{Ask, encoded};
use crate::cli::trouble::{Exit, Trouble};

/// Answers each request with the next of the given bytes, and keeps what came.
struct Played {
    path: PathBuf,
    requests: mpsc::UnboundedReceiver<String>,
    _directory: tempfile::TempDir,
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Keep,
    Close,
}

impl Played {
    fn start(answers: Vec<String>, then: Then) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (note, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            while let Ok((mut client, _)) = listener.accept().await {
                while let Some(request) = head_and_body(&mut client).await {
                    note.send(request).unwrap();
                    let Some(answer) = answers.next() else { return std::future::pending().await };
                    client.write_all(answer.as_bytes()).await.unwrap();
                    if then == Then::Close {
                        break;
                    }
                }
            }
        });
        Played { path, requests, _directory: directory }
    }

    fn caller(&self, token: Option<&'static str>) -> Caller {
        Caller::new(Address::Unix(self.path.clone()), None, token.map(HeaderValue::from_static))
    }

    fn request(&mut self) -> String {
        self.requests.try_recv().expect("a request came")
    }
}

/// As far as a request goes by its Content-Length.
async fn head_and_body(client: &mut UnixStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.map_or(0, |length| length.parse().unwrap()) == body.len() {
                return Some(text);
            }
        }
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn answer(status: &str, body: &Value) -> String {
    let body = body.to_string();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn get(path: &str) -> Ask {
    Ask { method: Method::GET, path: path.to_owned(), headers: Vec::new(), body: None }
}

fn patch(body: Value) -> Ask {
    Ask { method: Method::PATCH, path: "/v1/x".to_owned(), headers: Vec::new(), body: Some(body) }
}

/// The trouble with one answer.
async fn trouble(answers: Vec<String>, then: Then, ask: &Ask) -> Trouble {
    Played::start(answers, then).caller(None).ask(ask).await.unwrap_err()
}

#[tokio::test(flavor = "current_thread")]
async fn each_request_has_a_connection_of_its_own() {
    for then in [Then::Keep, Then::Close] {
        let answers = (0..3).map(|number| answer("200 OK", &json!({ "number": number }))).collect();
        let mut played = Played::start(answers, then);
        let caller = played.caller(None);
        for number in 0..3 {
            let path = format!("/v1/{number}?a=%20");
            assert_eq!(caller.ask(&get(&path)).await.unwrap(), json!({ "number": number }));
            let request = played.request();
            let begin = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
            assert!(request.starts_with(&begin), "{request}");
            assert!(!request.contains("authorization") && !request.contains("content-type"), "{request}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_change_carries_token_and_body() {
    let mut played = Played::start(vec![answer("200 OK", &json!({ "revision": 2 }))], Then::Keep);
    let ask = patch(json!({ "targets": [] }));
    assert_eq!(played.caller(Some("Bearer secret")).ask(&ask).await.unwrap(), json!({ "revision": 2 }));
    let request = played.request();
    assert!(
        request.starts_with("PATCH /v1/x HTTP/1.1\r\n") && request.ends_with("\r\n\r\n{\"targets\":[]}"),
        "{request}"
    );
    assert!(request.contains("\r\nauthorization: Bearer secret\r\n"), "{request}");
    assert!(request.contains("\r\ncontent-type: application/json\r\n"), "{request}");
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_without_content_is_none() {
    let played = Played::start(vec!["HTTP/1.1 204 No Content\r\n\r\n".to_owned()], Then::Keep);
    assert_eq!(played.caller(None).ask(&patch(json!({}))).await.unwrap(), Value::Null);
}

#[tokio::test(flavor = "current_thread")]
async fn an_error_of_the_api_is_told_in_its_words_and_no_control_of_it_is() {
    let error = json!({ "error": { "code": "not_found", "message": "no \u{1b}[31m group", "hint": "GET lists them" } });
    let trouble = trouble(vec![answer("404 Not Found", &error)], Then::Keep, &get("/v1/x")).await;
    assert_eq!(trouble.exit(), Exit::Failed);
    assert_eq!(trouble.to_string(), "no \\u{1b}[31m group; GET lists them (404 not_found)");
}

#[tokio::test(flavor = "current_thread")]
async fn a_refused_token_says_which_file_it_comes_from() {
    for (token, words) in [(None, "--token-file"), (Some("Bearer secret"), "does not take this token")] {
        let error = json!({ "error": { "code": "unauthorized", "message": "no", "hint": "none" } });
        let played = Played::start(vec![answer("401 Unauthorized", &error)], Then::Keep);
        let trouble = played.caller(token).ask(&get("/v1/x")).await.unwrap_err();
        assert_eq!(trouble.exit(), Exit::Unauthorized);
        let said = trouble.to_string();
        assert!(said.contains(words) && said.contains("[admin] token_file") && !said.contains("secret"), "{said}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_that_is_not_of_the_api_is_said_to_be_none() {
    let page = "<html>";
    for (status, body) in
        [("200 OK", page), ("404 Not Found", page), ("500 Internal Server Error", "{}"), ("301 Moved", "")]
    {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let trouble = trouble(vec![answer], Then::Keep, &get("/v1/x")).await;
        assert_eq!(trouble.exit(), Exit::Failed, "{status}");
        let said = trouble.to_string();
        assert!(said.contains("none of weir's API") && said.contains(&status[..3]), "{said}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_change_that_was_given_up_on_is_in_doubt_and_one_that_was_refused_is_not() {
    let error = |code: &str| json!({ "error": { "code": code, "message": "no", "hint": "none" } });
    for (answer, exit) in [
        (answer("503 Service Unavailable", &error("timeout")), Exit::NoAnswer),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_owned(), Exit::NoAnswer),
        (answer("503 Service Unavailable", &error("state")), Exit::Failed),
        (answer("409 Conflict", &error("timeout")), Exit::Failed),
    ] {
        let said = trouble(vec![answer.clone()], Then::Keep, &patch(json!({}))).await;
        assert_eq!(said.exit(), exit, "{answer}");
        assert_eq!(said.to_string().contains("is not known"), exit == Exit::NoAnswer, "{said}");
        assert_eq!(trouble(vec![answer], Then::Keep, &get("/v1/x")).await.exit(), Exit::Failed);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_no_whole_answer_is_no_answer() {
    for (bytes, words) in [
        ("SSH-2.0-OpenSSH_9.9\r\n", "not HTTP"),
        ("", "closed before"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "end of file before"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "closed before"),
    ] {
        let trouble = trouble(vec![bytes.to_owned()], Then::Close, &get("/v1/x")).await;
        assert_eq!(trouble.exit(), Exit::NoAnswer, "{bytes}");
        assert!(trouble.to_string().contains(words), "{bytes}: {trouble}");
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn an_endpoint_that_says_nothing_is_left_and_a_change_is_then_in_doubt() {
    for (ask, words) in [(get("/v1/x"), "/readyz"), (patch(json!({})), "whether the change was made is not known")] {
        let trouble = trouble(Vec::new(), Then::Keep, &ask).await;
        assert_eq!(trouble.exit(), Exit::NoAnswer);
        let said = trouble.to_string();
        assert!(said.contains(words) && said.contains(&format!("{ANSWER_LIMIT:?}")), "{said}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn nobody_there_is_said_with_what_to_look_at() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = taken.local_addr().unwrap();
    drop(taken);
    for address in [Address::Tcp(gone.to_string()), Address::Unix("/nowhere/weir.sock".into())] {
        let place = address.to_string();
        let trouble = Caller::new(address, None, None).ask(&get("/v1/x")).await.unwrap_err();
        assert_eq!(trouble.exit(), Exit::NoAnswer);
        let said = trouble.to_string();
        assert!(said.contains(&place) && said.contains("is weir running") && said.contains("--admin"), "{said}");
    }
}

#[test]
fn a_name_in_a_path_cannot_leave_its_segment() {
    assert_eq!(encoded("app-1._~"), "app-1._~");
    assert_eq!(encoded("a/b?c#d e%\u{e4}"), "a%2Fb%3Fc%23d%20e%25%C3%A4");
}
