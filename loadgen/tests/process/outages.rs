//! Targets that die, hang, come back; a run that is interrupted: partial results, a message, an exit code that is not 0.

use std::thread;
use std::time::Duration;

use crate::support::{Loadgen, Peer, Server, load};
use weir_loadgen::record::ErrorKind;
use weir_loadgen::results::End;

#[test]
#[ignore = "long: ./x test runs it"]
fn a_target_that_dies_half_way_ends_the_run_with_when_and_why() {
    for pace in ["", "--rate 200"] {
        let mut server = Server::start("http --delay 1ms");
        let running = Loadgen::load(&format!("http {} --connections 8 --duration 60s {pace}", server.url()));
        thread::sleep(Duration::from_secs(1));
        server.kill();
        let ran = running.wait();
        ran.complains(1, &["stopped answering after", "refused", "until then"]);
        assert!(ran.took.as_secs() < 20, "{:?}", ran.took);
        assert!(ran.out.contains("stopped answering") && ran.out.contains("p99"), "{}", ran.out);
        let results = ran.results();
        let End::TargetDown { at_s, error } = &results.end else { panic!("{:?}", results.end) };
        assert!((0.3..5.0).contains(at_s), "{at_s}");
        assert!(error.contains("refused"), "{error}");
        assert!(results.requests > 50, "{}", results.requests);
        // With the time in which it might have come back.
        assert!((3.0..12.0).contains(&results.seconds), "{}", results.seconds);
        if pace.is_empty() {
            assert_eq!(results.unsent, 0);
        } else {
            // What was due until it gave up, not what would have been.
            assert!((100..4_000).contains(&results.unsent), "{}", results.unsent);
        }
    }
}

#[test]
#[ignore = "long: ./x test runs it"]
fn a_target_that_comes_back_in_time_is_loaded_on() {
    let mut server = Server::start("http --delay 1ms");
    let address = server.address.to_string();
    let running = Loadgen::load(&format!("http {} --connections 4 --rate 200 --duration 3500ms", server.url()));
    thread::sleep(Duration::from_millis(700));
    server.kill();
    thread::sleep(Duration::from_millis(700));
    let _again = Server::start_on(&address, "http --delay 1ms");
    let ran = running.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let results = ran.results();
    assert_eq!(results.end, End::Complete);
    assert!(results.errors.contains_key(&ErrorKind::Refused), "{:?}", results.errors);
    assert!(results.latency.max_us > 300_000.0, "who waited for it counts: {} us", results.latency.max_us);
    let last = results.series.iter().rev().find(|point| point.requests > 0).expect("answers");
    assert!(last.at_s > 3.0, "until {} s", last.at_s);
}

#[test]
#[ignore = "long: ./x test runs it"]
fn a_target_that_hangs_is_a_run_of_timeouts() {
    let peer = Peer::start(|requests| {
        while requests.next()?.is_some() {}
        Ok(())
    });
    let ran = load(&format!("http {} --connections 4 --duration 30s --timeout 200ms", peer.url()));
    ran.complains(1, &["never answered", "timed out"]);
    assert!(ran.took.as_secs() < 20, "{:?}", ran.took);
    let results = ran.results();
    assert_eq!(results.requests, 0);
    assert!(results.errors[&ErrorKind::Timeout] >= 8, "{:?}", results.errors);
    assert!(ran.out.contains("timed out") && ran.out.contains("200ms"), "which time-out it was: {}", ran.out);
}

#[test]
fn a_timeout_of_some_answers_leaves_the_others_alone() {
    let server = Server::start("http --delay 80%:1ms,20%:400ms");
    let ran = load(&format!("http {} --connections 8 --duration 1500ms --timeout 100ms", server.url()));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let results = ran.results();
    assert_eq!(results.errors.keys().collect::<Vec<_>>(), [&ErrorKind::Timeout], "{:?}", results.error_examples);
    assert!(results.requests > 2 * results.errors[&ErrorKind::Timeout], "{} {:?}", results.requests, results.errors);
    assert!(results.latency.max_us < 300_000.0, "{} us", results.latency.max_us);
}

#[test]
fn an_interrupted_run_reports_what_ran_until_then() {
    let server = Server::start("http --delay 1ms");
    for (signal, pace) in [("INT", "--rate 500"), ("TERM", "")] {
        let running = Loadgen::load(&format!("http {} --connections 4 --duration 60s {pace}", server.url()));
        thread::sleep(Duration::from_secs(1));
        running.signal(signal);
        let ran = running.wait();
        ran.complains(130, &["interrupted"]);
        assert!(ran.out.contains("Interrupted") && ran.out.contains("p99"), "{}", ran.out);
        let results = ran.results();
        assert_eq!(results.end, End::Interrupted);
        assert!(results.requests > 100, "{}", results.requests);
        assert!((0.3..5.0).contains(&results.seconds), "{}", results.seconds);
        assert!(results.unsent < 50, "what was not due yet is not missing: {}", results.unsent);
    }
}

#[test]
fn an_interruption_in_a_stall_does_not_leave_the_stall_out() {
    let server = Server::start("http --delay 1ms --stall 59s --stall-every 60s");
    let running =
        Loadgen::load(&format!("http {} --connections 4 --rate 200 --duration 60s --timeout 30s", server.url()));
    thread::sleep(Duration::from_millis(2_500));
    running.signal("INT");
    let results = running.wait().results();
    assert!(results.seconds > 1.5, "{} s measured, of which a second was answered", results.seconds);
    assert!(results.rate < 150.0, "{} of 200 a second", results.rate);
    assert!(results.unsent > 100, "{} were due and waited", results.unsent);
}

#[test]
fn a_server_ends_by_a_signal_in_order() {
    let running = Loadgen::start(&["serve", "http", "--listen", "127.0.0.1:0"]);
    thread::sleep(Duration::from_millis(500));
    running.signal("TERM");
    let ran = running.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with("listening on 127.0.0.1:"), "{}", ran.out);
}

#[test]
#[ignore = "long: ./x test runs it"]
fn a_target_that_falls_silent_near_the_end_is_not_a_complete_run() {
    for pace in ["", "--rate 200"] {
        let server = Server::start("http --delay 1ms");
        let running =
            Loadgen::load(&format!("http {} --connections 4 --duration 3s --timeout 2s {pace}", server.url()));
        thread::sleep(Duration::from_millis(1_200));
        // Too late for every client to have run into its time-out before the end.
        server.freeze();
        let ran = running.wait();
        ran.complains(1, &["stopped answering after"]);
        assert!(ran.results().requests > 50);
    }
}

#[test]
#[ignore = "long: ./x test runs it"]
fn a_core_that_has_sent_its_share_does_not_wait_for_a_dead_target() {
    let mut server = Server::start("http --delay 20ms");
    // Core 0 has two of the three connections, and ends first.
    let running = Loadgen::load(&format!("http {} --count 160 --cores 0,1 --connections 3", server.url()));
    thread::sleep(Duration::from_millis(1_300));
    server.kill();
    let ran = running.wait();
    ran.complains(1, &["stopped answering after"]);
    assert!(ran.took.as_secs() < 20, "{:?}", ran.took);
    assert!((80..160).contains(&ran.results().requests), "{}", ran.results().requests);
}
