//! A request and its response: bodies whole in both directions, early answers, and either side gone in the middle.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::thread;

use sha2::{Digest, Sha256};

use crate::support::config::Config;
use crate::support::http::{self, Client, Kind, Message, Reader};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{PATIENCE, client, handlers, http_target, wait_until};

const MIB: usize = 1 << 20;
/// A prime: no buffer boundary of anybody falls on the pattern's.
const PIECE_BYTES: usize = 99_991;

/// A balancer before one target whose connections the test plays.
fn played() -> (Weir, SocketAddr, Target, Receiver<TcpStream>) {
    let (hand_over, streams) = handlers::hand_over();
    let target = Target::start(hand_over);
    let (config, web) = Config::http(&[target.address]);
    (Weir::start(config), web, target, streams)
}

/// The next connection that reaches the target, with a request's head read from it.
fn accept(streams: &Receiver<TcpStream>) -> (Reader, Message) {
    let mut reader = Reader::new(streams.recv_timeout(PATIENCE).expect("a connection"));
    let head = reader.head().expect("a head").expect("a request");
    (reader, head)
}

fn pattern() -> Vec<u8> {
    (0..PIECE_BYTES).map(|index| u8::try_from(index * 31 % 253).unwrap_or(0)).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Framing {
    Length,
    Chunked,
}

impl Framing {
    fn field(self, bytes: usize) -> String {
        match self {
            Framing::Length => format!("Content-Length: {bytes}"),
            Framing::Chunked => "Transfer-Encoding: chunked".into(),
        }
    }
}

/// Sends so many bytes of the pattern; their hash.
fn send_body(stream: &mut impl Write, bytes: usize, framing: Framing) -> io::Result<[u8; 32]> {
    let (pattern, mut hash, mut left) = (pattern(), Sha256::new(), bytes);
    while left > 0 {
        let piece = &pattern[..left.min(PIECE_BYTES)];
        if framing == Framing::Chunked {
            write!(stream, "{:x}\r\n", piece.len())?;
        }
        stream.write_all(piece)?;
        if framing == Framing::Chunked {
            stream.write_all(b"\r\n")?;
        }
        hash.update(piece);
        left -= piece.len();
    }
    if framing == Framing::Chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(hash.finalize().into())
}

/// A request and a response with bodies of so many bytes, at once: each side sends before it has received.
fn both_ways(bytes: usize, framing: Framing) {
    let (_weir, web, _target, streams) = played();
    let target = thread::spawn(move || {
        let mut reader = Reader::new(streams.recv_timeout(PATIENCE).expect("a connection"));
        let mut stream = reader.stream.try_clone().expect("dup");
        let sender = thread::spawn(move || {
            write!(stream, "HTTP/1.1 200 OK\r\n{}\r\n\r\n", framing.field(bytes)).expect("the client reads");
            send_body(&mut stream, bytes, framing).expect("the client reads")
        });
        let request = reader.message(Kind::Request).expect("a whole request").expect("a request");
        (hash(&request.body), sender.join().expect("it sends"))
    });
    let mut stream = client::connect(web).expect("it listens");
    let mut reader = Reader::new(stream.try_clone().expect("dup"));
    let sender = thread::spawn(move || {
        write!(stream, "POST / HTTP/1.1\r\nHost: a.example\r\n{}\r\n\r\n", framing.field(bytes)).expect("it reads");
        send_body(&mut stream, bytes, framing).expect("it reads")
    });
    let response = reader.message(Kind::Response).expect("a whole response").expect("a response");
    let ((received_up, sent_down), sent_up) = (target.join().expect("no panic"), sender.join().expect("no panic"));
    assert_eq!(response.body.len(), bytes);
    assert!(received_up == sent_up, "client to target");
    assert!(hash(&response.body) == sent_down, "target to client");
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[test]
fn r_p1_bodies_of_1_mib_arrive_whole_both_ways_at_once() {
    both_ways(MIB, Framing::Length);
    both_ways(MIB, Framing::Chunked);
}

#[test]
fn r_p1_bodies_of_100_mib_arrive_whole_both_ways_at_once() {
    both_ways(100 * MIB, Framing::Length);
    both_ways(100 * MIB, Framing::Chunked);
}

#[test]
fn r_p1_an_answer_to_half_a_request_is_delivered_and_the_connection_closed() {
    let (_weir, web, _target, streams) = played();
    let mut client = Client::connect(web).expect("it listens");
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000000\r\n\r\n").expect("sent");
    client.send(vec![b'x'; MIB]).expect("sent");
    let (mut target, _) = accept(&streams);
    let answer = http_target::response("403 Forbidden", "Connection: close\r\n", "no more of this");
    target.stream.write_all(&answer).expect("sent");
    // With bytes unread its close is a reset, as real ones are.
    drop(target);
    let answer = client.receive().expect("it is delivered");
    assert_eq!(
        (answer.status(), answer.text().as_str(), answer.value("connection")),
        (403, "no more of this", "close")
    );
    assert!(client.sees_the_end());
}

#[test]
fn r_p1_after_an_early_answer_the_rest_of_the_request_still_arrives() {
    let (_weir, web, _target, streams) = played();
    let mut client = Client::connect(web).expect("it listens");
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nfirst").expect("sent");
    let (mut target, _) = accept(&streams);
    assert_eq!(target.exactly(5).expect("it streams"), b"first");
    target.stream.write_all(&http_target::ok("early")).expect("sent");
    assert_eq!(client.receive().expect("an answer").text(), "early");
    client.send("other").expect("sent");
    assert_eq!(target.exactly(5).expect("it still streams"), b"other");
    client.send(http::get("/next")).expect("sent");
    let next = target.head().expect("on the same connection").expect("a request");
    assert_eq!(next.path(), "/next");
    target.stream.write_all(&http_target::ok("next")).expect("sent");
    assert_eq!(client.receive().expect("an answer").text(), "next");
}

#[test]
fn r_p1_interim_responses_pass() {
    let (_weir, web, _target, streams) = played();
    let mut client = Client::connect(web).expect("it listens");
    client
        .send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        .expect("sent");
    let (mut target, head) = accept(&streams);
    assert_eq!(head.value("expect"), "100-continue");
    target.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").expect("sent");
    assert_eq!(client.receive().expect("an interim one").status(), 100);
    client.send("body").expect("sent");
    assert_eq!(target.exactly(4).expect("the body"), b"body");
    target.stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").expect("sent");
    let hints = client.receive().expect("an interim one");
    assert_eq!((hints.status(), hints.value("link")), (103, "</a.css>"));
    target.stream.write_all(&http_target::ok("done")).expect("sent");
    assert_eq!(client.receive().expect("the final one").text(), "done");
}

/// What the target of a request sees when its client goes: the end of its connection, whatever it is at.
#[test]
fn r_p6_a_client_that_goes_ends_the_targets_work() {
    let (weir, web, _target, streams) = played();
    let waits_for_an_answer = |client: Client| drop(client);
    let resets = |client: Client| handlers::reset(client.into_stream());
    for (round, leave) in [waits_for_an_answer as fn(Client), resets].into_iter().enumerate() {
        let mut client = Client::connect(web).expect("it listens");
        client.send(http::get("/slow")).expect("sent");
        let (mut target, _) = accept(&streams);
        leave(client);
        // The end, or a reset: no answer is wanted any more.
        assert!(!matches!(target.head(), Ok(Some(_))));
        let entry = weir.failed("client_gone", round + 1);
        assert_eq!(entry["status"], 460);
    }
    assert_eq!(weir.metric("weir_http_errors_total", &[]), 2);
}

#[test]
fn r_p6_a_client_that_goes_in_the_middle_of_its_body_leaves_the_target_with_a_truncated_one() {
    let (weir, web, _target, streams) = played();
    for (round, framing) in [Framing::Length, Framing::Chunked].into_iter().enumerate() {
        let mut client = Client::connect(web).expect("it listens");
        let piece = if framing == Framing::Chunked { "5\r\nfirst\r\n" } else { "first" };
        let head = format!("POST / HTTP/1.1\r\nHost: a.example\r\n{}\r\n\r\n{piece}", framing.field(10));
        client.send(head).expect("sent");
        let (mut target, _) = accept(&streams);
        target.exactly(piece.len()).expect("what there is");
        drop(client);
        assert!(target.exactly(1).is_err(), "the end, and nothing that completes it");
        weir.failed("client_gone", round + 1);
    }
}

#[test]
fn r_p6_a_client_that_goes_in_the_middle_of_a_response_ends_the_targets_work() {
    let (weir, web, _target, streams) = played();
    let mut client = Client::connect(web).expect("it listens");
    client.send(http::get("/endless")).expect("sent");
    let (mut target, _) = accept(&streams);
    target.stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").expect("sent");
    let mut one = [0];
    client.stream().read_exact(&mut one).expect("the response begins");
    drop(client);
    let ended = (0..100_000).find(|_| target.stream.write_all(b"1\r\nx\r\n").is_err());
    assert!(ended.is_some(), "the target can stop");
    weir.failed("client_gone", 1);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Death {
    Closes,
    Resets,
}

/// A response that is cut short never looks complete, however its end was to be found.
#[test]
fn r_b6_a_target_that_dies_in_the_middle_of_a_body_breaks_the_response() {
    let (weir, web, _target, streams) = played();
    let cases = [
        ("Content-Length: 10\r\n\r\nhalf", Death::Closes),
        ("Content-Length: 10\r\n\r\nhalf", Death::Resets),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", Death::Closes),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", Death::Resets),
        ("Transfer-Encoding: chunked\r\n\r\na\r\nhalf", Death::Closes),
        ("\r\nhalf", Death::Resets),
    ];
    for (round, (rest, death)) in cases.into_iter().enumerate() {
        for version in ["1.1", "1.0"] {
            let mut client = Client::connect(web).expect("it listens");
            client.send(format!("GET / HTTP/{version}\r\nHost: a.example\r\n\r\n")).expect("sent");
            let (mut target, _) = accept(&streams);
            write!(target.stream, "HTTP/1.1 200 OK\r\n{rest}").expect("sent");
            let mut one = [0];
            client.stream().read_exact(&mut one).expect("the response begins");
            match death {
                Death::Closes => drop(target),
                Death::Resets => handlers::reset(target.stream),
            }
            let mut rest_of_it = Vec::new();
            let end = client.into_stream().read_to_end(&mut rest_of_it);
            let is_reset = end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
            assert!(is_reset, "HTTP/{version} {rest:?} {death:?}: {:?}", String::from_utf8_lossy(&rest_of_it));
        }
        weir.failed("target_closed", 2 * (round + 1));
    }
    // One that ends with its connection is complete.
    let mut client = Client::connect(web).expect("it listens");
    client.send(http::get("/")).expect("sent");
    let (mut target, _) = accept(&streams);
    target.stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall").expect("sent");
    drop(target);
    assert_eq!(client.receive().expect("it is complete").text(), "all");
}

/// RFC 9112 9.3: answers come in the order of the requests, each whole.
#[test]
fn r_p1_pipelined_requests_are_answered_in_order() {
    let target =
        Target::start(http_target::serve(|request| http_target::ok(format!("{}{}", request.path(), request.text()))));
    let (config, web) = Config::http(&[target.address]);
    let weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    let mut requests = Vec::new();
    for number in 0..20 {
        let body = format!("body {number}").into_bytes();
        requests.extend(if number % 3 == 0 {
            http::post(&format!("/{number}"), &body)
        } else {
            http::get(&format!("/{number}")).into_bytes()
        });
    }
    client.send(&requests).expect("sent");
    for number in 0..20 {
        let body = if number % 3 == 0 { format!("body {number}") } else { String::new() };
        assert_eq!(client.receive().expect("an answer").text(), format!("/{number}{body}"));
    }
    // Also in pieces of one byte, which no head or body may mind.
    for piece in requests.chunks(1) {
        client.send(piece).expect("sent");
    }
    (0..20).for_each(|_| assert_eq!(client.receive().expect("an answer").status(), 200));
    wait_until("all are counted", || weir.metric("weir_http_requests_total", &[]) == 40);
}

#[test]
fn r_p6_an_answer_of_ours_does_not_wait_for_the_rest_of_the_body_and_the_connection_is_kept() {
    let (config, web) = Config::http(&[]);
    let _weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello").expect("sent");
        assert_eq!(client.receive().expect("an answer ahead of the body's end").status(), 503);
        client.send("world").expect("sent");
    }
}
