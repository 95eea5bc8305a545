//! The corpus of raw messages against the whole process: what reaches a target, what reaches a client, byte by byte.
//!
//!     requests:  case --client--> weir --> target that records, its own reading of every request --> as the case says
//!     responses: case --target--> weir --> client, byte by byte --> a next request must get its own answer
//!
//! `tests/framing.rs` drives the parser alone over it. Here a target gets a connection for each request, so that what it got
//! on one is one message: more requests than the case has would be more connections.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::config::Config;
use crate::support::http::{Kind, Reader};
use crate::support::target::{Handler, Target};
use crate::support::weir::Weir;
use crate::support::{client, http, http_target, place, wait_until};

#[path = "../support/corpus.rs"]
mod corpus;

use corpus::{Case, Outcome};

const MODES: [&str; 3] = ["monitor", "defensive", "strictest"];

/// Everything that came on each connection, by the order in which they began.
#[derive(Default)]
struct Tape {
    connections: Vec<Vec<u8>>,
    ended: usize,
}

type Tapes = Arc<Mutex<Tape>>;

/// A target that keeps every byte, and answers when it has one whole request.
fn recorder() -> (Handler, Tapes) {
    let tapes = Tapes::default();
    let tape = Arc::clone(&tapes);
    let handler = Arc::new(move |mut stream: TcpStream| {
        let index = {
            let mut tape = tape.lock().expect("no panic");
            tape.connections.push(Vec::new());
            tape.connections.len() - 1
        };
        let mut bytes = [0; 16_384];
        let mut answered = false;
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            let request = {
                let mut tape = tape.lock().expect("no panic");
                tape.connections[index].extend_from_slice(&bytes[..count]);
                tape.connections[index].clone()
            };
            if !answered && length(&request).is_some() {
                answered = true;
                let body: &[u8] = if request.starts_with(b"HEAD ") { b"" } else { b"ok" };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), body].concat());
            }
        }
        tape.lock().expect("no panic").ended += 1;
    });
    (handler, tapes)
}

/// Bytes of the request that `bytes` begins with, as a plain reader of RFC 9112 finds them; `None` while it is not whole.
fn length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if value("transfer-encoding:") == Some("chunked") {
        return chunked_length(&bytes[head..]).map(|body| head + body);
    }
    let body = value("content-length:").map_or(0, |length| length.parse().expect("a number"));
    let whole = head.saturating_add(body);
    (bytes.len() >= whole).then_some(whole)
}

fn chunked_length(bytes: &[u8]) -> Option<usize> {
    let line = |at: usize| bytes[at..].windows(2).position(|window| window == b"\r\n").map(|end| (at, at + end));
    let mut at = 0;
    loop {
        let (from, to) = line(at)?;
        let size = String::from_utf8_lossy(&bytes[from..to]).into_owned();
        let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("a chunk's size of {size:?}"));
        at = to + 2;
        if size == 0 {
            break;
        }
        at = at.saturating_add(size).saturating_add(2);
        if bytes.len() < at {
            return None;
        }
    }
    loop {
        let (from, to) = line(at)?;
        at = to + 2;
        if from == to {
            return Some(at);
        }
    }
}

#[test]
fn r_p5_each_raw_request_reaches_the_target_as_it_should_or_not_at_all() {
    let (handler, tapes) = recorder();
    let target = Target::start(handler);
    let (mut config, _) = Config::http(&[target.address]);
    config.listeners.clear();
    // What came stays as it is, and each request has a connection.
    config.app().keys = "keep_alive = { idle_max = 0 }".into();
    let places = MODES.map(|_| place::free());
    for (mode, place) in MODES.into_iter().zip(places) {
        let keys = format!("hygiene = \"{mode}\"\nx_forwarded_for = \"preserve\"");
        config = config.listener_with(mode, place, "app", &keys);
    }
    config.listeners.iter_mut().for_each(|listener| listener.protocol = "http");
    let _weir = Weir::start(config.shards(1));
    let cases = corpus::load("requests");
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        let mode = MODES.iter().position(|mode| *mode == case.setting("mode", "defensive")).expect("one of them");
        if let Err(what) = send(case, places[mode], &tapes) {
            failures.push(format!("== {}: {what}", case.name));
        }
    }
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Not served whatever its framing is (requirement P3).
fn is_refused_method(outcome: &Outcome) -> bool {
    outcome.bytes.starts_with(b"CONNECT ") || outcome.bytes.starts_with(b"TRACE ")
}

fn send(case: &Case, web: SocketAddr, tapes: &Tapes) -> Result<(), String> {
    *tapes.lock().expect("no panic") = Tape::default();
    let mut stream = client::connect(web).map_err(|error| error.to_string())?;
    // It may have heard enough before all is sent.
    let _ = stream.write_all(&case.sent);
    let mut reader = Reader::new(stream);
    let mut expected: Vec<&Outcome> = Vec::new();
    for outcome in &case.outcomes {
        let refused = is_refused_method(outcome);
        let status = match outcome.keyword.as_str() {
            "target" if refused => 405,
            "target" => 200,
            "status" => outcome.words[0].parse().map_err(|error| format!("{error}"))?,
            "broken" => 400,
            _ => 0,
        };
        let reaches = matches!(outcome.keyword.as_str(), "target" | "broken") || outcome.words[0] == "body";
        if reaches && !refused {
            expected.push(outcome);
        }
        if status == 0 {
            let wanted = outcome.bytes.len();
            let index = expected.len().wrapping_sub(1);
            if outcome.words[0] == "body" {
                wait_until(&format!("{}: what there is has arrived", case.name), || {
                    let tape = tapes.lock().expect("no panic");
                    tape.connections.get(index).is_some_and(|bytes| without_ours(bytes, web).len() >= wanted)
                });
            }
            break;
        }
        let kind = if outcome.bytes.starts_with(b"HEAD ") { Kind::BodilessResponse } else { Kind::Response };
        let answer = reader.message(kind).map_err(|error| format!("{outcome:?}: {error}"))?;
        let answer = answer.ok_or_else(|| format!("the connection ended ahead of {outcome:?}"))?;
        if answer.status() != status {
            return Err(format!("{}, and not {status}: {outcome:?}", answer.line));
        }
        let closes = outcome.keyword != "target" || outcome.words.iter().any(|word| word == "close");
        if closes && !refused && reader.head().map_err(|error| format!("its end: {error}"))?.is_some() {
            return Err("it goes on behind what should have been the last response".into());
        }
    }
    drop(reader);
    wait_until(&format!("{}: its connections to targets end", case.name), || {
        let tape = tapes.lock().expect("no panic");
        tape.connections.len() >= expected.len() && tape.ended == tape.connections.len()
    });
    let tape = tapes.lock().expect("no panic");
    if tape.connections.len() != expected.len() {
        return Err(format!("{} requests reached the target: {:?}", tape.connections.len(), shown(&tape.connections)));
    }
    for (outcome, bytes) in expected.into_iter().zip(&tape.connections) {
        let (got, expected) = (without_ours(bytes, web), without_real_ip(&outcome.bytes));
        let is_good = match outcome.keyword.as_str() {
            "target" => got == expected && length(bytes) == Some(bytes.len()),
            // Its end may overtake what came ahead of it.
            "broken" => (got.starts_with(&expected) || expected.starts_with(&got)) && length(bytes).is_none(),
            _ => got == expected && length(bytes).is_none(),
        };
        if !is_good {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            return Err(format!("{}: expected {:?}\ngot {:?}", outcome.keyword, text(&expected), text(&got)));
        }
    }
    Ok(())
}

/// Without what every request gets, and with the corpus's name for the address that it came to.
fn without_ours(bytes: &[u8], web: SocketAddr) -> Vec<u8> {
    let address = format!("Host: {web}\r\n");
    let bytes = without_real_ip(bytes);
    match bytes.windows(address.len()).position(|window| window == address.as_bytes()) {
        Some(at) => [&bytes[..at], b"Host: target.example\r\n", &bytes[at + address.len()..]].concat(),
        None => bytes,
    }
}

/// Ours is in the place of any other.
fn without_real_ip(bytes: &[u8]) -> Vec<u8> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !line.starts_with(b"X-Real-IP: "))
        .collect::<Vec<_>>()
        .concat()
}

fn shown(messages: &[Vec<u8>]) -> Vec<String> {
    messages.iter().map(|bytes| String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()).collect()
}

/// What the target of the response cases says to the first request on a connection.
#[derive(Default)]
struct Script {
    says: Vec<u8>,
    closes: bool,
}

#[test]
fn r_p1_each_raw_response_reaches_the_client_as_it_should_and_the_next_request_gets_its_own() {
    let script = Arc::new(Mutex::new(Script::default()));
    let played = Arc::clone(&script);
    let target = Target::start(Arc::new(move |stream: TcpStream| {
        let mut reader = Reader::new(stream);
        while let Ok(Some(request)) = reader.message(Kind::Request) {
            if request.path() == "/next" {
                let _ = reader.stream.write_all(&http_target::ok("next"));
                continue;
            }
            let (says, closes) = {
                let script = played.lock().expect("no panic");
                (script.says.clone(), script.closes)
            };
            if reader.stream.write_all(&says).is_err() || closes {
                return;
            }
        }
    }));
    let (mut config, web) = Config::http(&[target.address]);
    config.app().keys = "location_repair = false\nresponse_timeout = \"1s\"".into();
    let _weir = Weir::start(config.shards(1));
    let cases = corpus::load("responses");
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        *script.lock().expect("no panic") =
            Script { says: case.sent.clone(), closes: case.setting("end", "open") == "close" };
        if let Err(what) = receive(case, web) {
            failures.push(format!("== {}: {what}", case.name));
        }
    }
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn receive(case: &Case, web: SocketAddr) -> Result<(), String> {
    let (method, version) = (case.setting("request", "GET"), case.setting("speaks", "1.1"));
    let switches = case.outcomes.iter().any(|outcome| outcome.keyword == "client" && outcome.words[0] == "101");
    let upgrade = if switches { "Connection: upgrade\r\nUpgrade: websocket\r\n" } else { "" };
    let mut stream = client::connect(web).map_err(|error| error.to_string())?;
    write!(stream, "{method} /case HTTP/{version}\r\nHost: a.example\r\n{upgrade}\r\n")
        .map_err(|error| error.to_string())?;
    let mut reader = Reader::new(stream);
    for outcome in &case.outcomes {
        match (outcome.keyword.as_str(), outcome.words.first().map_or("", String::as_str)) {
            ("client", _) => expect(&mut reader, &outcome.bytes)?,
            ("rest", _) => {}
            ("bad", "head") => return status(&mut reader, 502),
            ("incomplete", "head") => return status(&mut reader, 504),
            // The reset may overtake what came ahead of it.
            _ => return reset_within(&mut reader, &outcome.bytes),
        }
    }
    if switches {
        return Ok(());
    }
    if version == "1.0" {
        return reader.head().map_err(|error| error.to_string())?.map_or(Ok(()), |more| Err(format!("more: {more:?}")));
    }
    reader.stream.write_all(http::get("/next").as_bytes()).map_err(|error| error.to_string())?;
    let next = reader.message(Kind::Response).map_err(|error| format!("the next request: {error}"))?;
    match next {
        Some(next) if next.text() == "next" => Ok(()),
        other => Err(format!("the next request got {other:?}")),
    }
}

/// Nothing but this head, or a part of it, and of its body what was whole; then a reset.
fn reset_within(reader: &mut Reader, head: &[u8]) -> Result<(), String> {
    let mut got = Vec::new();
    let end = reader.stream.read_to_end(&mut got);
    let is_reset = end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
    let begins = got.starts_with(head) || head.starts_with(&got);
    if is_reset && begins { Ok(()) } else { Err(format!("not a reset: {end:?} {:?}", String::from_utf8_lossy(&got))) }
}

fn expect(reader: &mut Reader, bytes: &[u8]) -> Result<(), String> {
    let got = reader
        .exactly(bytes.len())
        .map_err(|error: io::Error| format!("{error}; of {:?}", String::from_utf8_lossy(bytes)))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if got == bytes { Ok(()) } else { Err(format!("expected {:?}\ngot {:?}", text(bytes), text(&got))) }
}

fn status(reader: &mut Reader, status: u16) -> Result<(), String> {
    match reader.message(Kind::Response).map_err(|error| error.to_string())? {
        Some(answer) if answer.status() == status => Ok(()),
        other => Err(format!("not {status}: {other:?}")),
    }
}
