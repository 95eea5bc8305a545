//! What a comparison says, and when it holds its tongue.

use super::*;
use crate::output::samples::{self, Scenario};
use crate::record::ErrorKind;
use proptest::prelude::*;

fn told(a: &Results, b: &Results) -> String {
    compare(("a.json", a), ("b.json", b)).unwrap()
}

#[test]
fn the_same_run_twice_has_no_difference_and_no_warning() {
    let run = samples::open_loop();
    let text = told(&run, &run);
    assert!(text.contains("no difference beyond the noise"), "{text}");
    assert!(text.contains("1.000"), "{text}");
    assert!(!text.contains("Not the same work") && !text.contains("a.json:"), "{text}");
}

#[test]
fn another_seed_of_the_same_work_is_noise() {
    let text = told(&samples::open_loop(), &Scenario { seed: 8, ..Scenario::usual() }.run());
    assert!(text.contains("no difference beyond the noise"), "{text}");
}

#[test]
fn a_rate_beyond_the_spread_is_a_difference() {
    let mut faster = samples::open_loop();
    faster.rate *= 1.1;
    let text = told(&samples::open_loop(), &faster);
    assert!(text.contains("Rate: b.json is faster by 10.0 %: 400/s is beyond"), "{text}");
    let text = told(&faster, &samples::open_loop());
    assert!(text.contains("Rate: a.json is faster by 10.0 %"), "{text}");
}

#[test]
fn three_intervals_say_nothing_about_noise() {
    let mut run = samples::open_loop();
    run.series.truncate(6);
    assert!(told(&run, &run).contains("fewer than 4 measured intervals"));
}

#[test]
fn percentiles_come_from_the_distribution() {
    let (mut a, b) = (samples::open_loop(), Scenario { slowness: 2.0, ..Scenario::usual() }.run());
    a.latency.p50_us = 1e9;
    let text = told(&a, &b);
    let p50 = text.lines().find(|line| line.trim_start().starts_with("p50 ")).unwrap();
    assert!(!p50.contains("1000 s"), "{p50}");
    let ratio: f64 = p50.split_whitespace().last().unwrap().parse().unwrap();
    assert!((1.99..2.01).contains(&ratio), "{p50}");
}

#[test]
fn work_that_differs_is_named() {
    let a = samples::open_loop();
    let mut b = samples::open_loop();
    b.settings.connections = 50;
    b.settings.target = "http://127.0.0.1:8081/".into();
    b.settings.command = "http http://127.0.0.1:8081/ -c 50 --duration 30s --body-size 1k".into();
    b.seconds = 60.0;
    let text = told(&a, &b);
    let expected = "Not the same work: target http://127.0.0.1:8080/ against http://127.0.0.1:8081/; \
                    connections 100 against 50; length 30.0 s against 60.0 s; options nothing against --body-size 1k.";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn where_results_go_is_not_work() {
    let a = samples::open_loop();
    let mut b = samples::open_loop();
    b.settings.command = "http --json b.json http://127.0.0.1:8080/ -c 100 --plot=b.svg --duration 30s".into();
    assert!(!told(&a, &b).contains("Not the same work"));
}

#[test]
fn what_the_settings_tell_is_not_told_twice() {
    let a = samples::open_loop();
    let mut b = samples::open_loop();
    b.settings.rate = Some(20_000.0);
    b.settings.command = format!("{} -r 20k", a.settings.command.replace("-c 100", "--connections 100"));
    let text = told(&a, &b);
    assert!(text.contains("pace 4,000 requests/s against 20,000 requests/s."), "{text}");
}

#[test]
fn open_and_closed_loops_are_compared_from_sending() {
    let text = told(&samples::stalled(), &samples::closed_loop());
    assert!(text.contains("Latency from sending"), "{text}");
    assert!(text.contains("a.json is an open loop and b.json a closed one"), "{text}");
    let p99 = text.lines().find(|line| line.trim_start().starts_with("p99 ")).unwrap();
    assert!(p99.contains(" us"), "the stall is in the waiting, not in the service: {p99}");
}

#[test]
fn errors_and_short_ends_are_warned_of() {
    let a = samples::open_loop();
    let mut b = samples::open_loop();
    b.errors.insert(ErrorKind::Reset, 7);
    b.end = End::TargetDown { at_s: 9.0, error: "connection reset".into() };
    let text = told(&a, &b);
    assert!(text.contains("b.json: The target stopped answering 9.00 s into the run"), "{text}");
    assert!(text.contains("b.json: 7 of "), "{text}");
}

#[test]
fn a_run_without_answers_has_no_percentiles_and_no_ratio() {
    let text = told(&samples::all_errors(), &samples::open_loop());
    let p99 = text.lines().find(|line| line.trim_start().starts_with("p99 ")).unwrap();
    assert!(p99.contains("no good answer") && p99.ends_with('-'), "{p99}");
}

#[test]
fn a_histogram_that_does_not_decode_is_named_by_its_run() {
    let a = samples::open_loop();
    let mut b = samples::open_loop();
    b.latency.histogram = "AAAA".into();
    let error = compare(("a.json", &a), ("b.json", &b)).unwrap_err().to_string();
    assert!(error.starts_with("b.json: the histogram does not decode"), "{error}");
}

proptest! {
    #[test]
    fn any_two_results_compare(a in samples::any_results(), b in samples::any_results()) {
        prop_assert!(compare(("a", &a), ("b", &b)).is_ok());
    }
}
