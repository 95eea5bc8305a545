//! A scrape of made-up reports, read back line by line.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

use super::targets::STATES;
use super::{Heartbeat, Process, Scrape, WebhookCounts, names, sum_of_rules, worst_state};
use crate::access_log::{SinkCounts, WriteCounts};
use crate::acl::{Action, RULES_COUNTED_MAX, Rule, RuleCounts, SecurityGroup, Verdict};
use crate::config::{Protocol, TargetKind};
use crate::health::{Failure, State};
use crate::l7::Why;
use crate::ring::RingCounts;
use crate::shard::{
    CheckCounts, CloseReason, GroupReport, HttpCounts, ListenerCounts, ListenerReport, RefuseReason,
    SecurityGroupReport, ShardReport, TargetCounts, TargetReport,
};

#[test]
fn listeners_are_summed_over_shards() {
    let samples = samples(&scrape_of_two_shards());
    let web = "{listener=\"web\",protocol=\"tcp\"}";
    assert_eq!(samples[&format!("weir_connections_accepted_total{web}")], "10");
    assert_eq!(samples[&format!("weir_listener_client_bytes_total{web}")], "18446744073709551000");
    assert_eq!(samples[&format!("weir_listener_bound{web}")], "0", "one shard does not accept");
    assert_eq!(
        samples["weir_connections_closed_total{listener=\"web\",protocol=\"tcp\",reason=\"idle_timeout\"}"],
        "4"
    );
    assert_eq!(samples[&format!("weir_connect_duration_seconds_count{web}")], "2");
    assert_eq!(samples["weir_connect_duration_seconds_bucket{listener=\"web\",protocol=\"tcp\",le=\"0.0005\"}"], "2");
    assert_eq!(samples["weir_connect_duration_seconds_bucket{listener=\"web\",protocol=\"tcp\",le=\"0.0001\"}"], "0");
}

#[test]
fn r_g9_reports_to_webhooks_are_counted_by_scaling_group_and_reason() {
    let samples = samples(&scrape_of_two_shards());
    let of = |name: &str, more: &str| &*samples[&format!("weir_webhook_{name}{{scaling_group=\"asg\"{more}}}")];
    assert_eq!([of("reports_total", ""), of("delivered_total", ""), of("reports_waiting", "")], ["9", "5", "3"]);
    assert_eq!(of("attempts_failed_total", ",reason=\"timeout\""), "4");
    assert_eq!(["expired", "gone"].map(|reason| of("dropped_total", &format!(",reason=\"{reason}\""))), ["1", "0"]);
}

#[test]
fn r_a2_what_each_rule_of_a_security_group_decided_is_summed_over_shards() {
    let samples = samples(&scrape_of_two_shards());
    let balancer = |rule, action| {
        &samples[&format!("weir_security_group_connections_total{{rule=\"{rule}\",action=\"{action}\"}}")]
    };
    assert_eq!([balancer("1", "drop"), balancer("2", "accept"), balancer("none", "drop")], ["10", "4", "2"]);
    let of_listener = |rule: &str, action: &str| {
        let labels = format!("listener=\"web\",rule=\"{rule}\",action=\"{action}\"");
        &samples[&format!("weir_listener_security_group_connections_total{{{labels}}}")]
    };
    assert_eq!([of_listener("1", "drop"), of_listener("2", "accept"), of_listener("none", "drop")], ["0", "10", "0"]);
}

#[test]
fn r_a2_of_a_long_security_group_the_first_rules_are_shown_and_the_others_summed() {
    let actions: Vec<Action> =
        (0..RULES_COUNTED_MAX + 4).map(|n| if n % 4 == 0 { Action::Accept } else { Action::Drop }).collect();
    let group = group_of(&actions);
    let mut counts = RuleCounts::new(&group);
    for (rule, action) in actions.iter().enumerate() {
        counts.count(Verdict { allowed: *action == Action::Accept, rule: Some(rule) });
    }
    counts.count(Verdict { allowed: false, rule: None });
    let report = SecurityGroupReport { group: group.clone(), counts };
    let of_another = SecurityGroupReport { group: two_rules(), counts: decided([9, 9], 9) };
    let sum = sum_of_rules(&group, &[&report, &of_another, &report]);
    assert_eq!(sum.by_rule, [2; RULES_COUNTED_MAX]);
    assert_eq!((sum.beyond, sum.unmatched), (Some([2, 6]), 2));
}

#[test]
fn each_shard_says_how_it_sees_a_target() {
    let samples = samples(&scrape_of_two_shards());
    assert_eq!(samples["weir_target_healthy{target_group=\"app\",target=\"10.0.0.1:80\",shard=\"0\"}"], "1");
    assert_eq!(samples["weir_target_healthy{target_group=\"app\",target=\"10.0.0.1:80\",shard=\"1\"}"], "0");
    assert_eq!(samples["weir_target_group_targets{target_group=\"app\",state=\"unhealthy\"}"], "1");
    assert_eq!(samples["weir_target_group_targets{target_group=\"app\",state=\"healthy\"}"], "0");
}

#[test]
fn r_b3_shards_that_leave_their_zone_are_counted() {
    let samples = samples(&scrape_of_two_shards());
    assert_eq!(samples["weir_target_group_leaving_zone{target_group=\"app\"}"], "1");
}

#[test]
fn connect_failures_are_summed_by_cause() {
    let samples = samples(&scrape_of_two_shards());
    let failures = |cause| {
        samples
            .get(&format!(
                "weir_target_connect_failures_total{{target_group=\"app\",target=\"10.0.0.1:80\",reason=\"{cause}\"}}"
            ))
            .map(String::as_str)
    };
    assert_eq!(failures("refused"), Some("6"));
    assert_eq!(failures("timeout"), None);
}

#[test]
fn r_h4_the_true_rate_of_checks_is_shown() {
    let samples = samples(&scrape_of_two_shards());
    assert_eq!(samples["weir_target_group_checks_per_second{target_group=\"app\"}"], "4", "2 shards, every 500 ms");
}

#[test]
fn a_stuck_shard_is_named_and_its_age_told() {
    let samples = samples(&scrape_of_two_shards());
    assert_eq!(samples["weir_shard_stuck{shard=\"0\"}"], "0");
    assert_eq!(samples["weir_shard_stuck{shard=\"1\"}"], "1");
    assert_eq!(samples["weir_shard_answer_age_seconds{shard=\"1\"}"], "4.5");
}

#[test]
fn dropped_lines_of_the_log_are_counted() {
    assert_eq!(samples(&scrape_of_two_shards())["weir_log_lines_dropped_total"], "5");
}

#[test]
fn r_m3_what_the_access_log_lost_is_counted_by_reason() {
    let samples = samples(&scrape_of_two_shards());
    assert_eq!(samples["weir_access_log_records_total"], "100");
    assert_eq!(samples["weir_access_log_dropped_total{reason=\"queue_full\"}"], "8");
    assert_eq!(samples["weir_access_log_dropped_total{reason=\"write_failed\"}"], "3");
    assert_eq!(samples["weir_access_log_write_errors_total"], "2");
}

#[test]
fn every_metric_is_in_a_full_scrape() {
    let text = scrape_of_two_shards().to_text();
    for metric in names::ALL {
        let heads = text.matches(&format!("# TYPE {} {}\n", metric.name, metric.kind.as_str())).count();
        assert_eq!(heads, 1, "{}", metric.name);
    }
}

#[test]
fn no_series_comes_twice() {
    let text = scrape_of_two_shards().to_text();
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(samples(&scrape_of_two_shards()).len(), lines);
}

#[test]
fn the_worst_state_stands_for_all_shards() {
    let of = |states: &[State]| worst_state(states.iter().copied());
    assert_eq!(of(&[State::Healthy, State::Healthy]), Some(State::Healthy));
    assert_eq!(of(&[State::Healthy, State::Initial]), Some(State::Initial));
    assert_eq!(of(&[State::Initial, State::Unhealthy, State::Healthy]), Some(State::Unhealthy));
    assert_eq!(of(&[]), None);
}

#[test]
fn the_documentation_names_every_reason_and_state() {
    let refused: Vec<&str> = RefuseReason::ALL.iter().map(|reason| reason.as_str()).collect();
    let closed: Vec<&str> = CloseReason::ALL.iter().map(|reason| reason.as_str()).collect();
    let states = STATES.map(State::as_str);
    let rows = [("`reason` of refused connections", &*refused), ("`reason` of closed connections", &*closed)];
    let errors = Why::ALL.map(Why::as_str);
    let error_row = "`reason` of HTTP errors, with the status that the client gets where it can still be told";
    for (label, values) in rows.into_iter().chain([("`state`", &states[..]), (error_row, &errors[..])]) {
        let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| {label} |"))).expect(label);
        let missing = values.iter().find(|value| !row.contains(&format!("`{value}`")));
        assert_eq!(missing, None, "docs/metrics.md, {label}");
    }
}

const DOCUMENT: &str = include_str!("../../docs/metrics.md");

/// Series to value.
fn samples(scrape: &Scrape) -> HashMap<String, String> {
    let text = scrape.to_text();
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    samples.map(|(series, value)| (series.to_owned(), value.to_owned())).collect()
}

fn scrape_of_two_shards() -> Scrape {
    let stuck_age = Duration::from_millis(4500);
    Scrape {
        reports: Arc::new(vec![
            Arc::new(report(0, 7, State::Healthy, 18_446_744_073_709_550_999)),
            Arc::new(report(1, 3, State::Unhealthy, 1)),
        ]),
        heartbeats: vec![
            Heartbeat { shard: 0, stuck: false, age: Duration::from_millis(10) },
            Heartbeat { shard: 1, stuck: true, age: stuck_age },
        ],
        revision: 3,
        log_lines_dropped: 5,
        access_log: WriteCounts { dropped: 3, errors: 2 },
        webhooks: vec![WebhookCounts {
            scaling_group: "asg".into(),
            reports: 9,
            delivered: 5,
            failed: vec![("timeout", 4)],
            dropped: vec![("expired", 1), ("gone", 0)],
            waiting: 3,
        }],
        last_success: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1)),
        admin_certificate_expires: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(2)),
        process: Process::now(SystemTime::UNIX_EPOCH),
        ..Scrape::default()
    }
}

fn report(shard: usize, accepted: u64, state: State, client_bytes: u64) -> ShardReport {
    ShardReport {
        shard,
        core: shard,
        revision: 3,
        draining: false,
        connections: 1,
        connections_max: 100,
        ring: RingCounts::default(),
        access_log: SinkCounts { records: 50, dropped: 4 },
        security_group: SecurityGroupReport { group: two_rules(), counts: decided([accepted, 2], 1) },
        listeners: vec![listener(accepted, client_bytes, shard == 0)],
        groups: vec![GroupReport {
            name: "app".into(),
            failing_open: false,
            leaving_zone: shard == 0,
            targets: vec![target(state)],
        }],
    }
}

fn two_rules() -> SecurityGroup {
    group_of(&[Action::Drop, Action::Accept])
}

/// By `two_rules`.
fn decided(by_rule: [u64; 2], unmatched: u64) -> RuleCounts {
    RuleCounts { by_rule: by_rule.into(), beyond: None, unmatched }
}

fn group_of(actions: &[Action]) -> SecurityGroup {
    let rule = |action: &Action| Rule { action: *action, sources: Vec::new(), transport: None, ports: Vec::new() };
    SecurityGroup::new(actions.iter().map(rule).collect())
}

fn listener(accepted: u64, client_bytes: u64, bound: bool) -> ListenerReport {
    let mut connect_us = Histogram::new_with_bounds(1, 1_000_000, 2).unwrap();
    connect_us.record(400).unwrap();
    let mut counts = ListenerCounts { accepted, client_bytes, ..ListenerCounts::default() };
    counts.closed[CloseReason::IdleTimeout as usize] = 2;
    ListenerReport {
        name: "web".into(),
        protocol: Protocol::Tcp,
        address: SocketAddr::from(([127, 0, 0, 1], 80)),
        bound,
        kernel_drops: 3,
        counts,
        security_group: SecurityGroupReport { group: two_rules(), counts: decided([0, accepted], 0) },
        first_byte_us: connect_us.clone(),
        duration_us: connect_us.clone(),
        request_us: connect_us.clone(),
        http: Some(HttpCounts { requests: 7, classes: [0, 6, 0, 1, 0], ..HttpCounts::default() }),
        connect_us,
    }
}

fn target(state: State) -> TargetReport {
    TargetReport {
        address: SocketAddr::from(([10, 0, 0, 1], 80)),
        label: "10.0.0.1:80".into(),
        kind: TargetKind::Cvm,
        weight: 10,
        stands_by: false,
        state,
        reason: None,
        since: SystemTime::UNIX_EPOCH,
        last_check: None,
        check_interval: Some(Duration::from_millis(500)),
        counts: TargetCounts { connect_failures: vec![(Failure::Refused, 3)], ..TargetCounts::default() },
        checks: CheckCounts::default(),
    }
}
