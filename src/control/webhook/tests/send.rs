//! One attempt against receivers that behave, and those that do not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::super::outbox::Attempt;
use super::super::send::{Failed, Outcome, retry_after, send};
use super::{report, url};
use crate::config::WebhookKeys;

/// What the receiver does once it has the request.
#[derive(Debug, Clone, Copy)]
enum Then {
    Answer(&'static str),
    Reset,
    Hang,
    /// A head, and then a byte of the body now and then.
    Trickle(&'static str),
    /// A body as fast as it goes, until nobody takes it; then how long it was is the second that was seen.
    Flood(&'static str),
}

type Requests = Arc<Mutex<Vec<String>>>;

async fn receiver(then: Then) -> (SocketAddr, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(receive(stream, then, Arc::clone(&seen)));
        }
    });
    (address, requests)
}

async fn receive(mut stream: TcpStream, then: Then, seen: Requests) {
    let mut request = Vec::new();
    // The body of every report here ends in a brace.
    while !request.ends_with(b"}") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    seen.lock().expect("no panic under it").push(String::from_utf8(request).expect("text"));
    match then {
        Then::Answer(text) => drop(stream.write_all(text.as_bytes()).await),
        Then::Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER"),
        Then::Hang => sleep(Duration::from_secs(3600)).await,
        Then::Trickle(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        }
        Then::Flood(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            let mut written: u64 = 0;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {
                written += 4096;
            }
            seen.lock().expect("no panic under it").push(written.to_string());
        }
    }
}

fn keys() -> WebhookKeys {
    WebhookKeys::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").expect("a key")
}

async fn send_to(webhook: &str) -> Outcome {
    send(&Attempt { report: report("asg", 7, Instant::now()), webhook: url(webhook) }, &keys()).await
}

async fn sent_to(then: Then) -> (Outcome, Vec<String>) {
    let (address, requests) = receiver(then).await;
    let outcome = send_to(&format!("http://{address}/weir?key=1")).await;
    let requests = requests.lock().expect("no panic under it").clone();
    (outcome, requests)
}

fn failed(outcome: Outcome) -> (Failed, String, Option<Duration>) {
    match outcome {
        Outcome::Failed { why, said, retry_after } => (why, said, retry_after),
        other => panic!("it failed: {other:?}"),
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn r_g9_a_report_is_posted_with_its_id_a_time_and_a_signature() {
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let (outcome, requests) = sent_to(Then::Answer(OK)).await;
    assert_eq!(outcome, Outcome::Delivered);
    let [request] = requests.as_slice() else { panic!("one request: {requests:?}") };
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    assert_eq!(head.lines().next(), Some("POST /weir?key=1 HTTP/1.1"));
    assert_eq!(body, "{\"number\":7}");
    let field = |name: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    assert_eq!((field("webhook-id"), field("content-type")), (Some("msg_7"), Some("application/json")));
    assert!(field("host").is_some_and(|host| host.starts_with("127.0.0.1:")));
    let timestamp: u64 = field("webhook-timestamp").and_then(|value| value.parse().ok()).expect("seconds");
    assert!(timestamp >= before);
    assert_eq!(field("webhook-signature"), Some(&*keys().sign("msg_7", timestamp, body)));
}

#[tokio::test]
async fn r_g9_a_2xx_delivers_a_410_ends_it_and_all_else_fails() {
    for (answer, expected) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", Outcome::Delivered),
        ("HTTP/1.0 202 Accepted\r\n\r\nfine", Outcome::Delivered),
        ("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", Outcome::Gone),
    ] {
        assert_eq!(sent_to(Then::Answer(answer)).await.0, expected, "{answer}");
    }
    for (answer, says, asks) in [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "it answered 500", None),
        ("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "it answered 401", None),
        ("HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", "it answered 429", Some(7)),
        ("HTTP/1.1 503 Busy\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", "it answered 503", None),
    ] {
        let asks = asks.map(Duration::from_secs);
        assert_eq!(failed(sent_to(Then::Answer(answer)).await.0), (Failed::Status, says.to_owned(), asks));
    }
}

#[tokio::test]
async fn r_g9_a_redirect_is_not_followed() {
    let (elsewhere, requests) = receiver(Then::Answer(OK)).await;
    let redirect = format!("HTTP/1.1 307 Go\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n");
    let (outcome, _) = sent_to(Then::Answer(redirect.leak())).await;
    let (why, said, _) = failed(outcome);
    assert_eq!(
        (why, &*said),
        (Failed::Status, "it answered 307; redirects are not followed: name the new place in webhook")
    );
    assert!(requests.lock().expect("no panic under it").is_empty());
}

#[tokio::test]
async fn r_g9_a_connection_that_breaks_off_or_speaks_no_http_is_a_failure() {
    for then in [
        Then::Reset,
        Then::Answer(""),
        Then::Answer("HTTP/1.1 200"),
        Then::Answer("SSH-2.0-OpenSSH_9.9\r\n"),
        Then::Flood("HTTP/1.1 200 OK\r\nX: "),
    ] {
        let (why, said, _) = failed(sent_to(then).await.0);
        assert_eq!(why, Failed::Closed, "{then:?}: {said}");
        assert!(!said.is_empty());
    }
}

#[tokio::test]
async fn r_g9_where_nobody_listens_there_is_no_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let (why, said, _) = failed(send_to(&format!("http://{address}/")).await);
    assert_eq!(why, Failed::Connect);
    assert!(said.contains("Connection refused"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn r_g9_a_receiver_that_hangs_is_given_up() {
    let (why, said, _) = failed(sent_to(Then::Hang).await.0);
    assert_eq!((why, &*said), (Failed::Timeout, "no answer within 5 s"));
}

#[tokio::test]
async fn r_g9_a_body_that_is_slow_or_endless_is_not_waited_for() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
    assert_eq!(sent_to(Then::Trickle(head)).await.0, Outcome::Delivered);
    let (address, seen) = receiver(Then::Flood(head)).await;
    assert_eq!(send_to(&format!("http://{address}/")).await, Outcome::Delivered);
    let written = async {
        loop {
            if let Some(written) = seen.lock().expect("no panic under it").get(1) {
                return written.parse::<u64>().expect("a number");
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    let written = timeout(Duration::from_secs(20), written).await.expect("it is hung up on");
    // What was read, and what the kernel holds for both sides: by Linux' own settings 6 MiB and 4 MiB at most.
    assert!(written < 16 << 20, "{written} bytes: time ended it, not their number");
}

#[tokio::test]
async fn r_g9_a_receiver_of_https_that_speaks_no_tls_fails_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(OK.as_bytes()).await;
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    let (why, said, _) = failed(send_to(&format!("https://{address}/")).await);
    assert_eq!(why, Failed::Tls, "{said}");
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
    for (value, expected) in [
        ("0", Some(0)),
        (" 120 ", Some(120)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
    ] {
        assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
    }
}

proptest! {
    #[test]
    fn no_retry_after_upsets_it(value in "\\PC{0,40}|[0-9]{0,30}") {
        let _ = retry_after(&value, SystemTime::UNIX_EPOCH);
    }
}
