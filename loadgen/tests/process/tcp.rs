//! TCP: sizes, long answers, a connection for each request, resets.

use crate::support::{Server, load};
use weir_loadgen::record::ErrorKind;

#[test]
fn requests_and_answers_have_the_sizes_that_were_asked_for() {
    let server = Server::start("tcp --request-size 1000 --response-size 300");
    let line = format!("tcp {} --request-size 1000 --response-size 300 --count 500 --connections 4", server.address);
    let results = load(&line).good();
    assert_eq!((results.requests, results.bytes_sent, results.bytes_received), (500, 500_000, 150_000));
    assert_eq!(results.settings.mode, "tcp");
    assert!(results.statuses.is_empty());
}

#[test]
fn answers_of_ten_mebibytes_come_whole() {
    const BYTES: u64 = 10 << 20;
    let server = Server::start(&format!("tcp --response-size {BYTES}"));
    let line = format!("tcp {} --response-size {BYTES} --count 8 --connections 2", server.address);
    let results = load(&line).good();
    assert_eq!((results.requests, results.bytes_received), (8, 8 * BYTES));
}

#[test]
fn each_request_may_have_a_connection() {
    let server = Server::start("tcp");
    let results = load(&format!("tcp {} --count 200 --connections 8 --connection-per-request", server.address)).good();
    assert_eq!((results.requests, results.connections_opened), (200, 200));
}

#[test]
fn in_open_loop_a_connection_is_part_of_what_is_waited_for() {
    let server = Server::start("tcp");
    let line = format!("tcp {} --rate 200 --duration 1s --connection-per-request --connections 8", server.address);
    let results = load(&line).good();
    assert_eq!((results.requests, results.connections_opened), (200, 200));
    assert!(results.latency.min_us >= results.service.expect("an open loop has both").min_us);
}

#[test]
fn pipelined_requests_are_answered_each() {
    let server = Server::start("tcp --request-size 10 --response-size 70000");
    let line = "--request-size 10 --response-size 70000 --count 500 --connections 2 --pipeline 16";
    let results = load(&format!("tcp {} {line}", server.address)).good();
    assert_eq!((results.requests, results.bytes_received), (500, 500 * 70_000));
}

#[test]
fn resets_are_counted_and_the_rest_goes_on() {
    let server = Server::start("tcp --delay 1ms --error-rate 10%");
    let results = load(&format!("tcp {} --count 1000 --connections 8", server.address)).results();
    let failed = results.errors[&ErrorKind::Reset];
    assert_eq!(results.requests + failed, 1_000);
    // Five deviations.
    assert!(failed.abs_diff(100) < 48, "{failed}");
}
