//! How many requests, when, for how long, on which cores.

use std::thread;
use std::time::Duration;

use crate::support::{Loadgen, Peer, Server, load};

#[test]
fn a_count_is_met_exactly() {
    let server = Server::start("http");
    for line in [
        "--count 1 --connections 64",
        "--count 777 --connections 3",
        "--count 200 --connections 4 --rate 400",
        "--count 200 --connections 4 --rate 400 --warm-up 200ms",
        "--count 301 --connections 4 --cores 0,1",
        "--count 300 --connections 5 --pipeline 7",
        "--count 300 --connections 4 --arrivals poisson --rate 600",
    ] {
        let ran = load(&format!("http {} {line}", server.url()));
        let results = ran.good();
        let count: u64 = line.split(' ').nth(1).and_then(|count| count.parse().ok()).expect("a count");
        assert_eq!((results.requests, results.unsent), (count, 0), "{line}");
        assert!(ran.took.as_secs() < 20, "{line}: {:?}", ran.took);
    }
}

#[test]
fn the_rate_that_was_asked_for_is_kept() {
    let server = Server::start("http");
    for (rate, line) in [(500.0, "--rate 500"), (500.0, "--rate 0.5k --cores 0,1"), (80.0, "--rate 80 --pipeline 4")] {
        let results = load(&format!("http {} {line} --connections 8 --duration 1s", server.url())).good();
        assert!((results.rate / rate - 1.0).abs() < 0.02, "{line}: {}", results.rate);
        assert_eq!(results.unsent, 0, "{line}");
    }
}

#[test]
fn requests_of_a_low_rate_are_due_from_the_start_on() {
    let server = Server::start("http");
    let ran = load(&format!("http {} --rate 0.5 --duration 1s", server.url()));
    let results = ran.good();
    assert_eq!(results.requests, 1);
    assert!(!ran.out.contains("fell short"), "{}", ran.out);
}

#[test]
fn arrivals_by_chance_are_not_taken_for_a_shortfall() {
    let server = Server::start("http");
    for seed in 1..=6 {
        let line = format!("--rate 300 --arrivals poisson --duration 300ms --connections 8 --seed {seed}");
        let ran = load(&format!("http {} {line}", server.url()));
        assert_eq!(ran.good().unsent, 0);
        assert!(!ran.out.contains("fell short"), "{}", ran.out);
    }
}

/// Held up as a busy machine might, but longer.
#[test]
fn requests_due_while_the_generator_was_held_up_at_the_end_are_sent_late_and_not_dropped() {
    let server = Server::start("http");
    let running = Loadgen::load(&format!("http {} --rate 50 --connections 64 --duration 1s", server.url()));
    thread::sleep(Duration::from_millis(700));
    running.signal("STOP");
    thread::sleep(Duration::from_millis(700));
    running.signal("CONT");
    let results = running.wait().good();
    assert_eq!((results.requests, results.unsent), (50, 0));
    assert!(results.latency.max_us > 300_000.0, "late, from when they were due: {} us", results.latency.max_us);
}

#[test]
fn what_a_slow_server_leaves_no_connection_for_is_reported() {
    let server = Server::start("http --delay 50ms");
    // Two connections are good for 40 a second.
    let ran = load(&format!("http {} --rate 200 --connections 2 --duration 1500ms", server.url()));
    let results = ran.good();
    assert!((40..=62).contains(&results.requests), "{}", results.requests);
    assert_eq!(results.requests + results.unsent, 300);
    assert!(ran.out.contains("fell short") && ran.out.contains("never sent"), "{}", ran.out);
    assert!(results.latency.max_us > 500_000.0, "those that were sent waited: {} us", results.latency.max_us);
}

#[test]
fn ramp_up_and_warm_up_are_not_measured() {
    let peer = Peer::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let line = format!("http {} --rate 200 --ramp-up 500ms --warm-up 500ms --duration 500ms -c 4", peer.url());
    let results = load(&line).good();
    assert!(results.requests.abs_diff(100) <= 2, "{}", results.requests);
    assert!((results.seconds - 0.5).abs() < 1e-9, "{}", results.seconds);
    // 50 in the ramp, 100 in the warm-up.
    let sent = peer.heard().len() as u64 - results.requests;
    assert!(sent.abs_diff(150) <= 4, "{sent}");
    let unmeasured = results.series.iter().filter(|point| !point.measured).map(|point| point.requests).sum::<u64>();
    assert!(unmeasured.abs_diff(150) <= 40, "{unmeasured}");
}

#[test]
fn thinking_time_is_spent_between_requests() {
    let server = Server::start("http");
    let results = load(&format!("http {} --connections 4 --think 50ms --duration 1s", server.url())).good();
    // 20 a connection at most, and the first ones.
    assert!((40..=84).contains(&results.requests), "{}", results.requests);
    assert!(results.latency.p50_us < 40_000.0, "it is no part of the latency: {} us", results.latency.p50_us);
}

#[test]
fn two_cores_run_an_executor_each_and_are_added_up() {
    let server = Server::start("http --delay 20ms --cores 0,1");
    let results = load(&format!("http {} --connections 8 --cores 0,1 --duration 1s", server.url())).good();
    assert_eq!((results.settings.threads, results.connections_opened), (2, 8));
    // All eight worked: half of them are good for 200.
    assert!((210..=408).contains(&results.requests), "{}", results.requests);
    let points: u64 = results.series.iter().map(|point| point.requests).sum();
    // The series has the answers besides that came as the run had ended: one of each client at most.
    assert!((0..=8).contains(&(points - results.requests)), "{points} and {}", results.requests);
}

#[test]
fn thousands_of_connections_are_made() {
    let server = Server::start("http");
    let results = load(&format!("http {} --connections 3000 --count 6000", server.url())).good();
    assert_eq!(results.requests, 6_000);
}

#[test]
fn answers_that_come_after_the_end_do_not_add_to_a_closed_loop_s_rate() {
    let server = Server::start("http --delay 700ms");
    let results = load(&format!("http {} --connections 10 --duration 1s", server.url())).good();
    assert_eq!(results.requests, 10, "the second ten came at 1.4 s");
}

#[test]
fn the_first_requests_of_an_open_loop_do_not_wait_for_their_connections() {
    let server = Server::start("http");
    let results = load(&format!("http {} --connections 50 --rate 200 --duration 500ms", server.url())).good();
    assert_eq!(results.connections_opened, 0, "they were there before");
}
