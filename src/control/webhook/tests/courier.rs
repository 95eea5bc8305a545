//! The task itself, beside shards that the test plays. The clock is tokio's, paused.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::run;
use super::turns::{DOWN, UP, asg, shard, snapshot};
use crate::config::Snapshot;
use crate::control::change::Ledger;
use crate::control::shards;
use crate::control::state::{Control, Given, Phase};
use crate::control::tests::played;
use crate::health::State;
use crate::metrics::WebhookCounts;
use crate::shard::Order;

/// Answers for so many seconds as a shard that sees its targets in these states. Gives how often it was asked for a report.
async fn play(orders: &Receiver<Order>, snapshot: &Snapshot, states: [State; 3], seconds: u64) -> usize {
    let mut asked = 0;
    for _ in 0..seconds * 10 {
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Ping(answer) => answer.send(()).expect("it is waited for"),
                Order::Report(answer) => {
                    asked += 1;
                    // A round that was given up is nobody's any more.
                    let _ = answer.send(Box::new(shard(snapshot, 0, states)));
                }
                other => panic!("not asked for here: {other:?}"),
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    asked
}

fn control(shards: shards::Shards, snapshot: &Arc<Snapshot>) -> Arc<Control> {
    let control = Control::new(shards, Arc::clone(snapshot), Ledger::of(snapshot), Given::for_test());
    control.state().phase = Phase::Serving;
    control
}

/// As `asg`, with a webhook where nobody listens.
fn unheard() -> Value {
    let mut group = asg();
    group["webhook"] = json!("http://127.0.0.1:1/");
    group
}

fn reports(control: &Control) -> u64 {
    control.webhooks.counts().iter().map(|counts: &WebhookCounts| counts.reports).sum()
}

#[tokio::test(start_paused = true)]
async fn r_g9_shards_are_asked_only_while_a_target_is_watched() {
    let (nothing, something) = (snapshot(json!([])), snapshot(json!([unheard()])));
    let (handle, orders) = played(0);
    let control = control(vec![handle], &nothing);
    let _running = tokio::spawn(run(Arc::clone(&control)));
    assert_eq!(play(&orders, &nothing, [DOWN, UP, UP], 5).await, 0);
    control.state().snapshot = Arc::clone(&something);
    let asked = play(&orders, &something, [DOWN, UP, UP], 5).await;
    assert!((3..=7).contains(&asked), "about once a second: {asked}");
    assert_eq!(reports(&control), 1);
    control.state().snapshot = nothing;
    play(&orders, &something, [DOWN, UP, UP], 1).await;
    assert_eq!(play(&orders, &something, [DOWN, UP, UP], 5).await, 0);
    assert!(control.webhooks.counts().is_empty(), "its figures go with it");
}

#[tokio::test(start_paused = true)]
async fn r_g9_a_stuck_shard_does_not_keep_a_target_from_being_reported() {
    let snapshot = snapshot(json!([unheard()]));
    let ((answers, orders), (stuck, _unread)) = (played(0), played(1));
    let control = control(vec![answers, stuck], &snapshot);
    let _watching = shards::watch(&control.shards);
    let _running = tokio::spawn(run(Arc::clone(&control)));
    play(&orders, &snapshot, [DOWN, UP, UP], 2).await;
    assert_eq!(reports(&control), 0, "the other shard may yet say that it is healthy");
    play(&orders, &snapshot, [DOWN, UP, UP], 10).await;
    assert_eq!(reports(&control), 1);
}

#[tokio::test(start_paused = true)]
async fn r_g9_a_balancer_that_stops_reports_nothing_new() {
    let snapshot = snapshot(json!([unheard()]));
    let (handle, orders) = played(0);
    let control = control(vec![handle], &snapshot);
    let _running = tokio::spawn(run(Arc::clone(&control)));
    play(&orders, &snapshot, [UP; 3], 2).await;
    control.state().phase = Phase::Draining;
    play(&orders, &snapshot, [DOWN; 3], 5).await;
    assert_eq!(reports(&control), 0);
}
