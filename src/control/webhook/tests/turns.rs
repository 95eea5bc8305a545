//! Who is reported, by what shards say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::report::Report;
use super::super::turns::{Turn, Watch};
use crate::config::{Mode, Snapshot, TargetKind, WebhookKeys, parse};
use crate::control::tests::report as empty_report;
use crate::health::{Failure, LastCheck, Reason, State};
use crate::shard::{CheckCounts, GroupReport, ShardReport, TargetCounts, TargetReport};

/// Two instances of scaling group `asg` in `app`, the second one of weight 0, and a target of nobody's.
const CONFIG: &str = r#"
[[instance]]
id = "ins-1"
address = "10.0.0.1"
[[instance]]
id = "ins-2"
address = "10.0.0.2"
[[instance]]
id = "ins-3"
address = "10.0.0.3"
[[target_group]]
name = "other"
protocol = "tcp"
target = [{ instance_id = "ins-1", port = 80 }]
[[target_group]]
name = "app"
protocol = "tcp"
target = [{ instance_id = "ins-1", port = 80 }, { instance_id = "ins-2", port = 80, weight = 0 }, { instance_id = "ins-3", port = 80 }]
"#;

pub(super) fn snapshot(scaling_groups: Value) -> Arc<Snapshot> {
    let mut snapshot = parse("t", CONFIG, Mode::Run).expect("good");
    snapshot.webhook_keys = WebhookKeys::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").ok();
    let inventory = Arc::make_mut(&mut snapshot.inventory);
    let groups: Vec<_> = serde_json::from_value(scaling_groups).expect("scaling groups");
    groups.into_iter().for_each(|group| inventory.put_scaling_group(group).expect("it fits"));
    Arc::new(snapshot)
}

pub(super) fn asg() -> Value {
    json!({
        "name": "asg", "instances": ["ins-1", "ins-2"], "target_groups": [{ "group": "app", "port": 80 }],
        "health_type": "elb", "webhook": "http://a/",
    })
}

fn watch(snapshot: &Arc<Snapshot>) -> Watch {
    let mut watch = Watch::default();
    watch.follow(snapshot);
    watch
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn target(address: SocketAddr, state: State, since: u64) -> TargetReport {
    let failure = (state == State::Unhealthy).then_some(Failure::Status(503));
    TargetReport {
        address,
        label: address.to_string().into(),
        kind: TargetKind::Cvm,
        weight: 10,
        stands_by: false,
        state,
        reason: failure.map(|_| Reason::ResponseCodeMismatch),
        since: at(since),
        last_check: Some(LastCheck { at: at(since), latency: None, failure }),
        check_interval: None,
        counts: TargetCounts::default(),
        checks: CheckCounts::default(),
    }
}

/// A shard that sees the three targets of `app` in these states since its own number's second, and all others healthy.
pub(super) fn shard(snapshot: &Snapshot, number: usize, states: [State; 3]) -> ShardReport {
    let groups = snapshot.groups.iter().map(|group| GroupReport {
        name: Arc::clone(&group.name),
        failing_open: false,
        leaving_zone: false,
        targets: (group.targets.iter().enumerate())
            .map(|(index, bound)| {
                let state = if &*group.name == "app" { states[index] } else { State::Healthy };
                target(bound.address, state, number as u64)
            })
            .collect(),
    });
    ShardReport { groups: groups.collect(), ..*empty_report(number, 1) }
}

pub(super) const UP: State = State::Healthy;
pub(super) const DOWN: State = State::Unhealthy;

fn turns(watch: &mut Watch, shards: &[ShardReport]) -> Vec<Turn> {
    watch.turns(&shards.iter().collect::<Vec<_>>())
}

fn who(turns: &[Turn]) -> Vec<&str> {
    turns.iter().map(|turn| &*turn.instance_id).collect()
}

#[test]
fn r_g9_a_target_that_turns_unhealthy_is_reported_once() {
    let snapshot = snapshot(json!([asg()]));
    let mut watch = watch(&snapshot);
    let mut look = |states: [State; 3]| {
        let shards = [shard(&snapshot, 1, states), shard(&snapshot, 2, states)];
        turns(&mut watch, &shards)
    };
    assert_eq!(look([UP, UP, UP]), []);
    let turned = look([DOWN, UP, DOWN]);
    assert_eq!(who(&turned), ["ins-1"], "the third is no instance of the scaling group's");
    let [turn] = turned.as_slice() else { panic!("one") };
    assert_eq!(
        (&*turn.scaling_group, &*turn.target_group, turn.target.to_string()),
        ("asg", "app", "10.0.0.1:80".into())
    );
    assert_eq!((turn.since, turn.at, turn.reason), (at(1), at(2), Some(Reason::ResponseCodeMismatch)));
    assert_eq!((turn.weight, turn.targets, turn.targets_healthy), (10, 3, 1));
    assert_eq!(look([DOWN, UP, DOWN]), []);
    let turned = look([DOWN, DOWN, UP]);
    assert_eq!((who(&turned), turned[0].weight), (vec!["ins-2"], 0), "at weight 0 it is expected to work, too");
    assert_eq!(look([UP, DOWN, UP]), []);
    assert_eq!(who(&look([DOWN, DOWN, UP])), ["ins-1"], "it was healthy since");
}

#[test]
fn r_g9_what_no_check_has_found_unhealthy_is_not_reported() {
    let snapshot = snapshot(json!([asg()]));
    let mut watch = watch(&snapshot);
    for state in [State::Initial, State::Draining, State::Unused, UP] {
        assert_eq!(turns(&mut watch, &[shard(&snapshot, 1, [state; 3])]), [], "{state:?}");
    }
    assert_eq!(turns(&mut watch, &[]), [], "no shard answers");
    assert_eq!(who(&turns(&mut watch, &[shard(&snapshot, 1, [DOWN, State::Initial, UP])])), ["ins-1"]);
}

#[test]
fn r_g9_one_shard_alone_reports_nothing() {
    let snapshot = snapshot(json!([asg()]));
    let mut watch = watch(&snapshot);
    let [up, down] = [[UP; 3], [DOWN, UP, UP]];
    let mut look = |one, other| {
        let shards = [shard(&snapshot, 1, one), shard(&snapshot, 2, other)];
        turns(&mut watch, &shards).len()
    };
    assert_eq!([look(down, up), look(up, down), look(down, up)], [0; 3]);
    assert_eq!(look(down, down), 1);
    assert_eq!([look(up, down), look(down, down), look(down, up), look(down, down)], [0; 4], "flapping on one shard");
    assert_eq!([look(up, up), look(down, down)], [0, 1]);
}

#[test]
fn r_g9_a_target_that_was_well_between_two_looks_is_reported_again() {
    let snapshot = snapshot(json!([asg()]));
    let mut watch = watch(&snapshot);
    let mut look = |since: [u64; 2]| {
        let mut shards = [1, 2].map(|number| shard(&snapshot, number, [DOWN, UP, UP]));
        for (shard, since) in shards.iter_mut().zip(since) {
            shard.groups[1].targets[0].since = at(since);
        }
        turns(&mut watch, &shards).len()
    };
    assert_eq!([look([1, 2]), look([1, 2]), look([4, 3]), look([4, 3])], [1, 0, 1, 0]);
    assert_eq!(
        [look([5, 3]), look([5, 6]), look([5, 7]), look([8, 9])],
        [0, 0, 0, 1],
        "one shard after the other is none"
    );
}

#[test]
fn r_g9_a_shard_that_does_not_know_the_target_yet_is_waited_for() {
    let snapshot = snapshot(json!([asg()]));
    let mut watch = watch(&snapshot);
    let down = shard(&snapshot, 1, [DOWN, UP, UP]);
    let old = ShardReport { groups: Vec::new(), ..shard(&snapshot, 2, [UP; 3]) };
    assert_eq!(turns(&mut watch, &[down.clone(), old]), []);
    // Shards on another snapshot have their groups and targets in another order.
    let mut reversed = shard(&snapshot, 2, [DOWN, UP, UP]);
    reversed.groups.reverse();
    reversed.groups.iter_mut().for_each(|group| group.targets.reverse());
    assert_eq!(who(&turns(&mut watch, &[down, reversed])), ["ins-1"]);
}

#[test]
fn r_g9_only_scaling_groups_of_type_elb_whose_reports_can_be_signed_are_watched() {
    let of_instances = json!([{
        "name": "asg", "instances": ["ins-1"], "target_groups": [{ "group": "app", "port": 80 }],
    }]);
    assert!(watch(&snapshot(of_instances)).is_empty());
    let elsewhere = json!([{
        "name": "asg", "instances": ["ins-1"], "target_groups": [{ "group": "none", "port": 80 }],
        "health_type": "elb", "webhook": "http://a/",
    }]);
    assert!(watch(&snapshot(elsewhere)).is_empty());
    let signed = snapshot(json!([asg()]));
    assert!(!watch(&signed).is_empty());
    assert!(watch(&Arc::new(Snapshot { webhook_keys: None, ..Snapshot::clone(&signed) })).is_empty());
}

#[test]
fn r_g9_what_was_reported_stays_so_through_a_reload_unless_it_is_another_target() {
    let before = snapshot(json!([asg()]));
    let mut watch = watch(&before);
    let down = |snapshot: &Snapshot| [shard(snapshot, 1, [DOWN, UP, UP])];
    assert_eq!(turns(&mut watch, &down(&before)).len(), 1);
    let mut with_another = asg();
    with_another["name"] = json!("asg-2");
    let after = snapshot(json!([asg(), with_another]));
    watch.follow(&after);
    let turned = turns(&mut watch, &down(&after));
    assert_eq!(turned.iter().map(|turn| &*turn.scaling_group).collect::<Vec<_>>(), ["asg-2"]);
    let none = snapshot(json!([]));
    watch.follow(&none);
    assert_eq!(turns(&mut watch, &down(&none)), []);
    watch.follow(&after);
    assert_eq!(turns(&mut watch, &down(&after)).len(), 2, "it was not watched meanwhile");
}

#[test]
fn r_g9_a_report_says_who_why_and_how_the_group_is() {
    let snapshot = snapshot(json!([asg()]));
    let shards = [1, 2].map(|number| shard(&snapshot, number, [DOWN, UP, UP]));
    let turn = turns(&mut watch(&snapshot), &shards).remove(0);
    let now = Instant::now();
    let report = Report::new(&turn, "edge-1", 0x2a, now);
    assert_eq!(&*report.id, "msg_0000000000000000000000000000002a");
    assert_eq!(&*report.about, "instance \"ins-1\" (10.0.0.1:80 of target group \"app\")");
    assert_eq!(
        serde_json::from_str::<Value>(&report.body).expect("JSON"),
        json!({
            "type": "target.unhealthy",
            "timestamp": "1970-01-01T00:00:02.000Z",
            "data": {
                "balancer": "edge-1", "scaling_group": "asg", "instance_id": "ins-1", "target_group": "app",
                "target": "10.0.0.1:80", "weight": 10, "reason": "Target.ResponseCodeMismatch", "failure": "status",
                "errno": null, "status": 503, "since": "1970-01-01T00:00:01.000Z", "targets": 3, "targets_healthy": 2,
            },
        })
    );
}

proptest! {
    /// By hand: all say so now, and since the last time that all said so, there was a time when nobody did.
    #[test]
    fn r_g9_a_turn_is_from_nobody_to_everybody(history in vec([select(vec![UP, DOWN, State::Initial]), select(vec![UP, DOWN])], 0..40)) {
        let snapshot = snapshot(json!([asg()]));
        let mut watch = watch(&snapshot);
        for (step, views) in history.iter().enumerate() {
            let shards: Vec<ShardReport> =
                views.iter().zip(1..).map(|(state, number)| shard(&snapshot, number, [*state, UP, UP])).collect();
            let turned = !turns(&mut watch, &shards).is_empty();
            let all = |views: &[State; 2]| *views == [DOWN; 2];
            let since = history[..step].iter().rposition(all).map_or(0, |last| last + 1);
            let is_first = !history[..step].iter().any(all);
            let nobody = history[since..step].iter().any(|views| !views.contains(&DOWN));
            prop_assert_eq!(turned, all(views) && (is_first || nobody), "step {}", step);
        }
    }
}
