//! What of the bench is pure, with made-up turns: ratios, warnings, the table, the chart, and what generators say.

#![forbid(unsafe_code)]
#![allow(dead_code, reason = "the rest of these modules measures, and is the bench's")]
#![allow(clippy::cast_precision_loss, reason = "as in the bench")]

mod chart;
mod comparison;
mod ending;
mod load;
mod measured;
mod median;
mod peers;
mod proc;
mod process;
mod scenarios;
mod table;

use std::collections::BTreeSet;

use comparison::{Comparison, compare};
use load::{Ask, Outcome, answer, rules, wrk};
use measured::{Measured, Turn, Unit};
use peers::{Duty, Kind};
use scenarios::{Group, SCENARIOS, Scenario, Work};

#[test]
fn a_ratio_is_taken_within_a_round_before_the_median() {
    // The machine is slower in each round; within a round Weir takes 1.1 of the floor and half of nginx.
    let turns: Vec<_> = [10.0, 20.0, 80.0]
        .iter()
        .zip(0..)
        .flat_map(|(&floor, round)| {
            [(Kind::Weir, floor * 1.1), (Kind::Floor, floor), (Kind::Nginx, floor * 2.2)]
                .map(|(peer, cpu_us)| turn(scenario("keepalive"), peer, round, cpu_us))
        })
        // The floor had no good turn in the last round: that round has no ratio to it.
        .filter(|turn| turn.peer != Kind::Floor || turn.round != 2)
        .collect();
    let comparison = compare(scenario("keepalive"), "64 connections", &turns);
    let weir = comparison.row(Kind::Weir).expect("it took part");
    assert_eq!(comparison.best, Some(Kind::Nginx), "neither Weir nor the floor is a peer");
    assert!(near(weir.to_floor, 1.1) && near(weir.to_best, 0.5), "{weir:?}");
    assert!((weir.medians[0] - 22.0).abs() < 1e-9, "{weir:?}");
    assert!(near(comparison.row(Kind::Nginx).and_then(|row| row.weir_to), 0.5), "{comparison:?}");
}

#[test]
fn noise_and_failures_are_said() {
    let mut turns: Vec<_> = (0..3).map(|round| turn(scenario("keepalive"), Kind::Weir, round, 10.0)).collect();
    assert!(compare(scenario("keepalive"), "", &turns).warnings.is_empty());
    turns[0].measured.foreign_share = 0.04;
    turns[1].measured.cpu_seconds *= 1.2;
    turns[2].measured.load.as_mut().expect("loaded").errors = 7;
    let warnings = compare(scenario("keepalive"), "", &turns).warnings.join("\n");
    for part in ["weir: 7 requests failed", "rounds differ by 20 %", "up to 4 % of a round"] {
        assert!(warnings.contains(part), "{part} is not in:\n{warnings}");
    }
}

#[test]
fn the_table_has_every_figure_and_a_dash_for_what_is_not_there() {
    let turns = [turn(scenario("keepalive"), Kind::Weir, 0, 8.0), turn(scenario("keepalive"), Kind::Envoy, 0, 16.0)];
    let text = table::render(scenario("keepalive"), &compare(scenario("keepalive"), "64 connections", &turns));
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["64", "connections"]);
    assert_eq!(lines[3][..6], ["weir", "8.00", "0.0%", "-", "0.500", "1.000"]);
    assert_eq!(lines[4][..6], ["envoy", "16.00", "0.0%", "-", "1.000", "0.500"]);
    assert!(text.contains("/ envoy"), "{text}");
}

#[test]
fn a_peer_that_cannot_take_part_has_a_reason() {
    for scenario in SCENARIOS {
        let why = (scenario.group == Group::L4).then_some(peers::NO_TCP_PROXY);
        assert_eq!(scenario.why_absent(Kind::H2o), why, "{}", scenario.name);
    }
    assert!(SCENARIOS.iter().all(|scenario| scenario.why_absent(Kind::Weir).is_none()));
    assert!(scenario("reload").why_absent(Kind::Envoy).is_some() && scenario("idle").why_absent(Kind::Floor).is_some());
    assert!(scenario("http-rules").why_absent(Kind::Floor).is_some());
    assert!(scenario("http-logged").why_absent(Kind::Haproxy).is_some_and(|why| why.contains("syslog")));
}

#[test]
fn words_select_scenarios_once_and_in_order() {
    let names = |words: &[&str]| -> Vec<_> {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        scenarios::select(&words).iter().map(|scenario| scenario.name).collect()
    };
    assert_eq!(names(&["idle", "keepalive", "idle"]), ["keepalive", "idle"]);
    assert_eq!(names(&["l4", "l7"]), names(&["all", "bulk"]));
    assert_eq!(names(&["all"]).len(), SCENARIOS.len());
    assert!(names(&["l7"]).iter().all(|name| name.starts_with("http-")) && names(&["l7"]).len() > 5);
    let mut words = scenarios::words();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), scenarios::words().len(), "a word that means two things");
}

#[test]
fn an_http_scenario_has_a_balancer_that_speaks_http() {
    for scenario in SCENARIOS {
        assert_eq!(scenario.duty == Duty::Relay, scenario.group == Group::L4, "{}", scenario.name);
        let ruled = scenario.cases.iter().all(|case| case.load.ask == Ask::Ruled);
        assert_eq!(scenario.duty == Duty::HttpRules, ruled, "{}: rules are for those who ask by them", scenario.name);
    }
}

#[test]
fn there_is_a_url_for_each_of_a_thousand_rules() {
    let rules: BTreeSet<_> = rules::rules().collect();
    assert_eq!((rules.len(), rules::hosts().collect::<BTreeSet<_>>().len()), (1_000, 200));
    for url in rules::urls() {
        let (host, path) =
            url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a host and a path");
        let path = format!("/{path}");
        let holds = |(of, prefix): &&(String, String)| of == host && path.starts_with(prefix.as_str());
        assert_eq!(rules.iter().filter(holds).count(), 1, "{url}");
    }
    assert_eq!(rules::urls().count(), 1_000);
    let (host, path) = rules::first();
    assert_eq!(rules::urls().next(), Some(format!("http://{host}{path}")));
}

#[test]
fn bulk_is_counted_by_the_body_that_is_large() {
    assert_eq!((Ask::Post(65_536).body_bytes(), Ask::Get(1_000).body_bytes()), (65_536, 1_000));
    let mib = Unit::Mib.count(32, Ask::Post(65_536).body_bytes());
    assert!((mib - 2.0).abs() < 1e-9, "{mib}");
}

#[test]
fn results_of_weir_loadgen_are_read() {
    let outcome = answer::parse(RESULTS.replace("HOW", r#""how":"complete""#).as_bytes(), "").expect("complete");
    assert_eq!((outcome.requests, outcome.errors, outcome.unsent), (1000, 5, 1));
    assert_eq!((outcome.p50_us, outcome.p99_9_us, outcome.max_us), (10.0, Some(40.0), Some(50.0)));
    let down = RESULTS.replace("HOW", r#""how":"target_down","at_s":1.25,"error":"connection refused""#);
    let error = answer::parse(down.as_bytes(), "").expect_err("it went down").to_string();
    assert!(error.contains("1.2 s: connection refused"), "{error}");
    let error = answer::parse(b"", "no such option\n").expect_err("nothing written").to_string();
    assert!(error.contains("no such option"), "{error}");
}

#[test]
fn what_wrk_says_is_read() {
    let outcome = wrk::parse(WRK).expect("numbers");
    assert_eq!((outcome.requests, outcome.seconds, outcome.errors), (275_665, 3.0, 15));
    assert_eq!((outcome.p50_us, outcome.p99_us, outcome.p99_9_us), (571.0, 1020.0, None));
    assert!(wrk::parse("unable to connect to 127.0.0.1:1 Connection refused").is_err());
}

/// Every scenario with made-up figures, in `target/tmp/side_by_side.svg` to be looked at.
#[test]
fn the_chart_has_a_panel_a_scenario_and_keeps_inside() {
    let comparisons: Vec<_> = SCENARIOS.iter().flat_map(made_up).collect();
    let svg = chart::svg(&comparisons).expect("drawn");
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("side_by_side.svg");
    std::fs::write(&path, &svg).expect("target/tmp is ours");
    for comparison in &comparisons {
        assert!(svg.contains(&comparison.case), "{} is not in the chart", comparison.case);
    }
    assert!(SCENARIOS.iter().all(|scenario| svg.contains(scenario.title)));
    assert!(svg.contains("37 failed") && svg.contains("0 failed"), "of the reloads");
    assert!(!svg.contains("=\"-"), "something lies outside");
}

#[test]
fn a_chart_of_nothing_is_a_chart() {
    assert!(chart::svg(&[]).is_ok_and(|svg| svg.contains("</svg>")));
}

/// Costs of about what is to be expected, a little different in each case.
fn made_up(scenario: &'static Scenario) -> Vec<Comparison> {
    const COSTS: [(Kind, f64); 6] = [
        (Kind::Weir, 10.6),
        (Kind::Floor, 10.0),
        (Kind::Nginx, 11.4),
        (Kind::Haproxy, 12.3),
        (Kind::Envoy, 44.0),
        (Kind::H2o, 12.9),
    ];
    let cost = |kind, cost, case: usize| match kind {
        Kind::Floor => cost,
        _ => cost * (1.0 + case as f64 / 20.0),
    };
    let table = |(case, name): (usize, &str)| {
        let playing = COSTS.into_iter().filter(|(kind, _)| scenario.why_absent(*kind).is_none());
        let turns: Vec<_> = playing.map(|(kind, typical)| turn(scenario, kind, 0, cost(kind, typical, case))).collect();
        compare(scenario, name, &turns)
    };
    scenario.cases.iter().map(|case| case.name).enumerate().map(table).collect()
}

/// One whose first figure is proportional to `cost`.
fn turn(scenario: &'static Scenario, peer: Kind, round: u32, cost: f64) -> Turn {
    let load = Outcome {
        requests: 1_000_000,
        seconds: 5.0,
        p50_us: cost * 30.0,
        p99_us: cost * 100.0,
        p99_9_us: Some(cost * 150.0),
        max_us: Some(cost * 400.0),
        errors: if scenario.work == Work::Reload && peer == Kind::Haproxy { 37 } else { 0 },
        unsent: 0,
    };
    let measured = Measured {
        connections: 64,
        units: 1e6,
        cpu_seconds: cost,
        seconds: 5.0,
        rss_start_bytes: 1 << 20,
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
        rss_bytes: (1 << 20) + (cost * 65_536.0) as u64,
        load: Some(load),
        ..Measured::default()
    };
    Turn { scenario: scenario.name, case: String::new(), round, peer, measured }
}

fn scenario(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a scenario of the table")
}

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 1e-9)
}

const RESULTS: &str = r#"{"format":1,"generator":"weir-loadgen 0.1.0","end":{HOW},"seconds":5.0,"requests":1000,"rate":200.0,
    "unsent":1,"errors":{"reset":2,"timeout":3},
    "latency":{"mean_us":12.0,"p50_us":10.0,"p99_us":30.0,"p99_9_us":40.0,"p99_99_us":45.0,"max_us":50.0}}"#;

const WRK: &str = "Running 3s test @ http://127.0.0.1:1/
  1 threads and 64 connections
  Latency Distribution
     50%  571.00us
     75%  600.00us
     99%    1.02ms
  275665 requests in 3.00s, 45.22MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 12
Requests/sec:  91888.33
";
