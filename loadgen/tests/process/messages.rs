//! Answers of every framing, and what is none.

use crate::support::{Peer, Server, load};
use weir_loadgen::record::ErrorKind;
use weir_loadgen::results::End;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn chunked_answers_end_where_their_framing_says() {
    let peer = Peer::answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n");
    let results = load(&format!("http {} --count 200 --connections 2", peer.url())).good();
    assert_eq!((results.requests, results.connections_opened), (200, 2));
}

#[test]
fn answers_without_a_length_end_with_their_connection() {
    let peer = Peer::start(|requests| {
        requests.next()?;
        requests.answer(b"HTTP/1.1 200 OK\r\n\r\nall that there is")
    });
    assert_eq!(load(&format!("http {} --count 50 --connections 2", peer.url())).good().requests, 50);
}

#[test]
fn answers_to_head_have_no_body() {
    let server = Server::start("http --response-size 5000");
    let results = load(&format!("http {} --method HEAD --count 200 --connections 2", server.url())).good();
    assert_eq!((results.requests, results.connections_opened), (200, 2));
    assert!(results.bytes_received < 200 * 200, "{}", results.bytes_received);
}

#[test]
#[ignore = "long: ./x test runs it"]
fn what_is_no_answer_is_shown() {
    let peer = Peer::start(|requests| {
        requests.next()?;
        requests.answer(b"SSH-2.0-\x1b[2Jhello\r\n")
    });
    let ran = load(&format!("http {} --connections 2 --duration 60s", peer.url()));
    ran.complains(1, &["bad answer", "SSH-2.0"]);
    assert!(!ran.out.contains('\x1b') && !ran.err.contains('\x1b'), "{:?}", ran.err);
    let results = ran.results();
    assert!(results.error_examples[&ErrorKind::BadAnswer].contains("SSH-2.0"), "{:?}", results.error_examples);
}
