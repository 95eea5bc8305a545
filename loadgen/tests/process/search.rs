//! The highest rate that holds an objective, where it is known: connections over delay.

use crate::support::{Loadgen, Server, load};

/// 4 connections, 20 ms an answer: 200 a second.
const CAPACITY: f64 = 200.0;

#[test]
#[ignore = "long: ./x test runs it"]
fn the_highest_rate_is_found_and_found_again() {
    let server = Server::start("http --delay 20ms");
    let found: Vec<f64> = (0..2)
        .map(|_| {
            let line = "--find-max --slo p99<150ms,errors<2% --connections 4 --duration 700ms";
            let ran = load(&format!("http {} {line}", server.url()));
            let results = ran.good();
            let search = results.search.as_ref().expect("it searched");
            assert!(search.trials.len() >= 6, "{}", search.trials.len());
            assert!((results.settings.rate.expect("the best trial's") - search.rate).abs() < 1e-9);
            let said = ran.out.lines().find(|line| line.contains("holds")).unwrap_or_else(|| panic!("{}", ran.out));
            assert!(said.contains("p99<150ms"), "{said}");
            search.rate
        })
        .collect();
    for rate in &found {
        assert!((rate / CAPACITY - 1.0).abs() < 0.1, "{rate} a second, of {CAPACITY}");
    }
    assert!((found[0] / found[1] - 1.0).abs() < 0.05, "{found:?}");
}

#[test]
#[ignore = "long: ./x test runs it"]
fn an_objective_that_nothing_holds_is_said_so() {
    let server = Server::start("http --delay 20ms");
    let ran = load(&format!("http {} --find-max --slo p99<10ms --connections 4 --duration 200ms", server.url()));
    ran.complains(1, &["no rate holds the objective"]);
}

#[test]
#[ignore = "long: ./x test runs it"]
fn a_search_that_finds_nothing_still_says_what_it_tried() {
    let server = Server::start("http --delay 20ms");
    let ran = load(&format!("http {} --find-max --slo p99<10ms --connections 4 --duration 200ms", server.url()));
    let search = ran.results().search.expect("it searched");
    assert!(search.rate.abs() < 1e-9 && search.trials.len() > 10, "{search:?}");
    assert!(search.trials.iter().all(|trial| trial.broken.is_some()), "{search:?}");
}

#[test]
#[ignore = "long: ./x test runs it"]
fn errors_that_the_objective_allows_do_not_end_the_search_at_nothing() {
    let server = Server::start("http --delay 20ms --error-rate 3%");
    let line = "--find-max --slo p99<150ms,errors<20% --connections 4 --duration 500ms";
    let ran = load(&format!("http {} {line}", server.url()));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let rate = ran.results().search.expect("it searched").rate;
    assert!((rate / CAPACITY - 1.0).abs() < 0.15, "{rate} a second, of {CAPACITY}");
}

#[test]
#[ignore = "long: ./x test runs it"]
fn a_search_that_is_interrupted_keeps_its_trials() {
    let server = Server::start("http --delay 5ms");
    let running = Loadgen::load(&format!("http {} --find-max --slo p99<1s --duration 1s", server.url()));
    std::thread::sleep(std::time::Duration::from_secs(5));
    running.signal("INT");
    let ran = running.wait();
    ran.complains(130, &["interrupted"]);
    assert!(!ran.results().search.expect("it searched").trials.is_empty());
}
