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

#[test]
fn a_head_without_end_is_a_bad_answer() {
    let peer = Peer::start(|requests| {
        requests.next()?;
        requests.answer(b"HTTP/1.1 200 OK\r\nX: ")?;
        loop {
            requests.answer(&[b'x'; 4096])?;
        }
    });
    let ran = load(&format!("http {} --count 4 --connections 2", peer.url()));
    ran.complains(1, &["no request got a good answer"]);
    assert_eq!(ran.results().errors[&ErrorKind::BadAnswer], 4);
}

#[test]
fn bytes_beyond_an_answer_are_a_bad_answer() {
    let peer = Peer::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more");
    let results = load(&format!("http {} --count 20 --connections 2", peer.url())).results();
    assert_eq!(results.requests, 20);
    assert!(results.errors[&ErrorKind::BadAnswer] >= 15, "{:?}", results.errors);
    assert!(results.error_examples[&ErrorKind::BadAnswer].contains("and more"), "{:?}", results.error_examples);
}

#[test]
fn an_answer_cut_short_is_an_error_of_its_request_alone() {
    let peer = Peer::start(|requests| {
        for _ in 0..9 {
            requests.next()?;
            requests.answer(OK)?;
        }
        requests.next()?;
        requests.answer(&OK[..OK.len() - 1])
    });
    let results = load(&format!("http {} --count 100 --connections 1", peer.url())).results();
    assert_eq!((results.requests, results.errors[&ErrorKind::Closed]), (90, 10));
}

/// As nginx does after `keepalive_requests`, but without saying so ahead.
#[test]
fn a_target_that_drops_its_connections_now_and_then_is_not_down() {
    for ends_by_reset in [false, true] {
        let peer = Peer::start(move |requests| {
            for _ in 0..10 {
                requests.next()?;
                requests.answer(OK)?;
            }
            requests.next()?;
            if ends_by_reset {
                requests.reset_at_end();
            }
            Ok(())
        });
        let ran = load(&format!("http {} --count 4400 --connections 4", peer.url()));
        let results = ran.results();
        assert_eq!(results.end, End::Complete, "{}", ran.err);
        let failed: u64 = results.errors.values().sum();
        assert_eq!(results.requests + failed, 4_400);
        // One in eleven, but for the last connections.
        assert!((396..=400).contains(&failed), "{:?}", results.errors);
        // A pause after each would be one of 10 ms at least.
        assert!(ran.took.as_secs() < 20, "{:?}", ran.took);
    }
}

#[test]
#[ignore = "long: ./x test runs it"]
fn a_target_that_resets_is_named_so() {
    let peer = Peer::start(|requests| {
        requests.next()?;
        requests.reset_at_end();
        Ok(())
    });
    let ran = load(&format!("http {} --duration 30s --connections 2", peer.url()));
    ran.complains(1, &["never answered", "reset"]);
    assert!(ran.results().errors[&ErrorKind::Reset] > 0);
}
