//! HTTP as it is sent: what a target sees of requests, connections and URLs.

use std::collections::BTreeMap;
use std::fs;

use crate::support::{Loadgen, Peer, Server, load};
use weir_loadgen::record::ErrorKind;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const OK_CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[test]
fn connections_are_kept_and_used_again() {
    let server = Server::start("http --delay 1ms");
    // A bare warm-up, so that what is opened while it measures is none.
    let results = load(&format!("http {} --connections 4 --warm-up 300ms --duration 700ms", server.url())).good();
    assert!(results.requests > 100, "{}", results.requests);
    assert_eq!(results.connections_opened, 0);
    assert_eq!(results.statuses, BTreeMap::from([("2xx".to_owned(), results.requests)]));
}

#[test]
fn a_connection_for_each_request_is_asked_to_close() {
    let peer = Peer::answering(OK);
    let results = load(&format!("http {} --count 50 --connections 4 --connection-per-request", peer.url())).good();
    assert_eq!((results.requests, results.connections_opened), (50, 50));
    let heard = peer.heard();
    assert_eq!(heard.len(), 50);
    assert!(text(&heard[0]).contains("Connection: close\r\n"), "{}", text(&heard[0]));
}

#[test]
fn a_target_that_closes_after_each_answer_costs_connections_and_no_errors() {
    let peer = Peer::start(|requests| {
        if requests.next()?.is_some() {
            requests.answer(OK_CLOSE)?;
        }
        Ok(())
    });
    let results = load(&format!("http {} --count 50 --connections 4", peer.url())).good();
    assert_eq!(results.requests, 50);
    assert!(results.connections_opened >= 50, "{}", results.connections_opened);
}

#[test]
fn a_pipeline_keeps_as_many_requests_under_way_as_it_may() {
    // A target that answers when it has all eight.
    let peer = Peer::start(|requests| {
        loop {
            for _ in 0..8 {
                if requests.next()?.is_none() {
                    return Ok(());
                }
            }
            requests.answer(&OK.repeat(8))?;
        }
    });
    let results = load(&format!("http {} --count 400 --connections 1 --pipeline 8", peer.url())).good();
    assert_eq!(results.requests, 400);
    assert_eq!(results.connections_opened, 1);
}

#[test]
fn a_very_deep_pipeline_loses_nothing() {
    let server = Server::start("http --response-size 2000");
    let ran = load(&format!("http {} --count 20000 --connections 2 --pipeline 5000", server.url()));
    assert_eq!(ran.good().requests, 20_000);
}

#[test]
fn urls_come_by_weight_and_the_same_seed_draws_the_same() {
    let draw = |seed: u32| {
        let peer = Peer::answering(OK);
        let base = peer.url();
        let line = format!("http 7@{base}a 2@{base}b {base}c?d=e --count 1000 --connections 1 --seed {seed}");
        assert_eq!(load(&line).good().requests, 1_000);
        let paths = peer.heard().into_iter().map(|request| text(&request).split(' ').nth(1).unwrap_or("").to_owned());
        paths.collect::<Vec<_>>()
    };
    let first = draw(5);
    let share = |path: &str| first.iter().filter(|drawn| *drawn == path).count();
    // Four deviations.
    assert!(share("/a").abs_diff(700) < 60, "{}", share("/a"));
    assert!(share("/b").abs_diff(200) < 52, "{}", share("/b"));
    assert_eq!(share("/a") + share("/b") + share("/c?d=e"), 1_000);
    assert_eq!(first, draw(5));
    assert_ne!(first, draw(6));
}

#[test]
fn method_headers_and_body_arrive_as_they_were_given() {
    let peer = Peer::answering(OK);
    let url = format!("{}path?query=1", peer.url());
    let ran = Loadgen::start(&[
        "http",
        &url,
        "-X",
        "PUT",
        "-H",
        "X-Api-Key: a:b",
        "-H",
        "Host: other.example",
        "--body",
        "hello world",
        "-n",
        "1",
        "-c",
        "1",
    ])
    .wait();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let expected = "PUT /path?query=1 HTTP/1.1\r\nX-Api-Key: a:b\r\nHost: other.example\r\nContent-Length: 11\r\n\r\n\
        hello world";
    assert_eq!(peer.heard().iter().map(|request| text(request)).collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_body_from_a_file_arrives_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("body");
    let body: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(&path, &body).expect("write the body");
    let peer = Peer::answering(OK);
    let line = format!("http {} --method POST --body-file {} --count 20 --connections 2", peer.url(), path.display());
    assert_eq!(load(&line).good().requests, 20);
    let heard = peer.heard();
    assert_eq!(heard.len(), 20);
    assert!(heard.iter().all(|request| request.ends_with(&body) && request.starts_with(b"POST / HTTP/1.1\r\n")));
}

#[test]
fn urls_of_other_hosts_go_where_connect_to_says() {
    let peer = Peer::answering(OK);
    let line = format!("http http://a.invalid/ http://b.invalid:81/ --connect-to {} -n 40 -c 1", peer.address);
    assert_eq!(load(&line).good().requests, 40);
    let heard: Vec<String> = peer.heard().iter().map(|request| text(request)).collect();
    for host in ["Host: a.invalid\r\n", "Host: b.invalid:81\r\n"] {
        assert!(heard.iter().any(|request| request.contains(host)), "{host}");
    }
}

#[test]
fn statuses_of_errors_are_counted_and_not_measured() {
    let server = Server::start("http --delay 1ms --error-rate 20%");
    let results = load(&format!("http {} --count 2000 --connections 16", server.url())).results();
    let failed = results.errors[&ErrorKind::Status5xx];
    assert_eq!(results.requests + failed, 2_000);
    // Five deviations.
    assert!(failed.abs_diff(400) < 90, "{failed}");
    assert_eq!(results.latency.decode().expect("its own histogram").len(), results.requests);
    assert_eq!(results.statuses["5xx"], failed);
    assert_eq!(results.statuses["2xx"], results.requests);
    assert_eq!(results.errors.len(), 1, "{:?}", results.errors);
}

#[test]
fn a_run_without_one_good_answer_is_an_error() {
    let server = Server::start("http --error-rate 100%");
    let ran = load(&format!("http {} --count 20 --connections 2", server.url()));
    ran.complains(1, &["no request got a good answer"]);
    assert_eq!(ran.results().errors[&ErrorKind::Status5xx], 20);
}

#[test]
fn ipv6_is_spoken() {
    let server = Server::start_on("[::1]:0", "http");
    assert!(server.address.is_ipv6());
    assert_eq!(load(&format!("http {} --count 50 --connections 2", server.url())).good().requests, 50);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
