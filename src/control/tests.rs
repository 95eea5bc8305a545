//! Control beside shards that the test plays itself: it reads their mailboxes, or does not. The clock is tokio's, paused, so
//! seconds of waiting take none. Some tests run a real shard.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::change::{self, ChangeError, Ledger, NotApplied};
use super::host;
use super::reload::Reloading;
use super::reports::Reporter;
use super::run::{Signals, Source, serve_until_stopped};
use super::shards::{self, Handle, Life};
use super::state::{Control, Given, Phase};
use crate::access_log::SinkCounts;
use crate::config::{AccessLog, LogFormat, LogTo, Mode, Snapshot, parse};
use crate::ring::{Bell, RingCounts};
use crate::shard::{Apply, Mailbox, Order, SecurityGroupReport, ShardReport};

const SECOND: Duration = Duration::from_secs(1);

/// A shard, and its mailbox for the test to read. Its core is ten more than its number.
pub(super) fn played(id: usize) -> (Arc<Handle>, Receiver<Order>) {
    let (mailbox, orders) = Mailbox::new(Bell::new().expect("a descriptor"));
    (Arc::new(Handle::new(id, id + 10, mailbox)), orders)
}

fn control(shards: Vec<Arc<Handle>>) -> Arc<Control> {
    let empty = Snapshot { revision: 0, ..groups(0) };
    let control = Control::new(shards, Arc::new(empty.clone()), Ledger::of(&empty), Given::for_test());
    control.state().phase = Phase::Serving;
    control
}

/// Control of a real shard.
async fn started(core: usize) -> Arc<Control> {
    let given = Given::for_test();
    let empty = Arc::new(Snapshot { revision: 0, ..groups(0) });
    let shards = shards::start(&[core], &empty, &given.access_log).await.unwrap();
    let ledger = Ledger::of(&empty);
    let control = Control::new(shards, empty, ledger, given);
    control.state().phase = Phase::Serving;
    control
}

/// A snapshot with so many targets and no listener, so that nothing is bound.
fn groups(targets: usize) -> Snapshot {
    let targets: Vec<String> = (0..targets).map(|index| format!("{{address='10.0.0.{index}',port=80}}")).collect();
    let text = format!("[[target_group]]\nname='app'\nprotocol='tcp'\ntarget=[{}]\n", targets.join(","));
    parse("t", &text, Mode::Run).unwrap()
}

pub(super) fn report(shard: usize, revision: u64) -> Box<ShardReport> {
    Box::new(ShardReport {
        shard,
        core: shard + 10,
        revision,
        draining: false,
        connections: 0,
        connections_max: 0,
        ring: RingCounts::default(),
        access_log: SinkCounts::default(),
        security_group: SecurityGroupReport::default(),
        listeners: Vec::new(),
        groups: Vec::new(),
    })
}

/// Lets the tasks that can run do so; less than anything here waits for.
async fn a_moment() {
    sleep(Duration::from_millis(1)).await;
}

fn answer_ping(orders: &Receiver<Order>) {
    match orders.try_recv() {
        Ok(Order::Ping(answer)) => answer.send(()).unwrap(),
        other => panic!("not a ping: {other:?}"),
    }
}

fn take_apply(orders: &Receiver<Order>) -> Apply {
    match orders.try_recv() {
        Ok(Order::Apply(apply)) => apply,
        other => panic!("not a snapshot: {other:?}"),
    }
}

/// Waits for a snapshot and confirms it.
async fn confirm(orders: &Receiver<Order>) -> usize {
    a_moment().await;
    let apply = take_apply(orders);
    apply.done.send(()).unwrap();
    apply.connections_max
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_answers_is_never_stuck() {
    let (shard, orders) = played(0);
    let control = control(vec![Arc::clone(&shard)]);
    let _watching = shards::watch(&control.shards);
    for _ in 0..5 {
        // Late, but in time.
        sleep(shards::STUCK_AFTER * 9 / 10).await;
        answer_ping(&orders);
        a_moment().await;
        assert_eq!(shard.pulse().life, Life::Answering);
        assert!(control.not_ready().is_empty());
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_does_not_answer_is_stuck_until_it_does() {
    let (good, answering) = played(0);
    let (bad, silent) = played(1);
    let control = control(vec![Arc::clone(&good), Arc::clone(&bad)]);
    let _watching = shards::watch(&control.shards);
    a_moment().await;
    answer_ping(&answering);
    sleep(shards::STUCK_AFTER * 9 / 10).await;
    assert_eq!(bad.pulse().life, Life::Answering, "not yet");
    answer_ping(&answering);
    sleep(SECOND).await;
    assert_eq!((good.pulse().life, bad.pulse().life), (Life::Answering, Life::Stuck));
    let reasons = control.not_ready();
    assert_eq!(reasons, ["shard 1 on core 11 is stuck: no answer for 3 s"]);

    sleep(60 * SECOND).await;
    answer_ping(&silent);
    assert!(silent.try_recv().is_err(), "a stuck shard owes one answer, not sixty");
    a_moment().await;
    assert_eq!(bad.pulse().life, Life::Answering);
    assert!(bad.pulse().answered_at.elapsed() < SECOND);
    sleep(SECOND).await;
    answer_ping(&silent);
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_thread_ended_is_not_ready_for_good() {
    let (shard, orders) = played(2);
    let control = control(vec![Arc::clone(&shard)]);
    let mut watching = shards::watch(&control.shards);
    drop(orders);
    watching.join_next().await.expect("one watcher").unwrap();
    assert_eq!(shard.pulse().life, Life::Ended);
    assert_eq!(control.not_ready(), ["shard 2 on core 12 has ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_a_shard_does_not_confirm_is_in_effect_and_says_where_not() {
    let (good, answering) = played(0);
    let (bad, silent) = played(1);
    let control = control(vec![good, bad]);
    let (applied, _) = tokio::join!(change::reload_as(&control, groups(1)), confirm(&answering));
    assert!(matches!(applied, Err(NotApplied::Unconfirmed { revision: 1, shards }) if shards == [1]));
    let state = control.state().clone();
    assert_eq!((state.snapshot.revision, state.revisions.len()), (1, 1));
    assert_eq!(state.reloads.last_success, None);

    let late = take_apply(&silent);
    assert_eq!(late.snapshot.revision, 1, "it waits in the mailbox until the shard comes round");
    assert!(late.done.send(()).is_err(), "nobody waits for it");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_all_confirm_is_a_success() {
    let (shard, orders) = played(0);
    let control = control(vec![shard]);
    let before = SystemTime::now();
    let (applied, _) = tokio::join!(change::reload_as(&control, groups(1)), confirm(&orders));
    assert!(applied.is_ok());
    assert!(control.state().reloads.last_success >= Some(before));
}

/// Signals are the process's: this test may run beside others that hear of none.
fn raise(signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
}

#[tokio::test]
async fn a_stop_is_heard_while_a_reload_waits_in_line_and_the_reload_then_changes_nothing() {
    let control = control(Vec::new());
    let mut signals = Signals::new().unwrap();
    let at_work = control.ledger.lock().await;
    raise(rustix::process::Signal::HUP);
    let stopping = async {
        // By then the reload waits in line.
        sleep(Duration::from_millis(200)).await;
        raise(rustix::process::Signal::TERM);
    };
    let stopped = async { tokio::join!(serve_until_stopped(&control, &mut signals), stopping) };
    timeout(10 * SECOND, stopped).await.expect("nobody waits for the ledger");
    control.state().phase = Phase::Draining;
    drop(at_work);
    while control.state().reloads.failed == 0 {
        a_moment().await;
    }
    assert_eq!(control.state().reloads.succeeded, 0);
}

#[tokio::test]
async fn a_reload_that_still_reads_when_a_drain_begins_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.toml");
    // So that reading takes longer than it takes to say that the process drains.
    std::fs::write(&path, "# nothing\n".repeat(300_000)).unwrap();
    let empty = Snapshot { revision: 0, ..groups(0) };
    let given = Given { source: Source::File(path), ..Given::for_test() };
    let control = Control::new(Vec::new(), Arc::new(empty.clone()), Ledger::of(&empty), given);
    control.state().phase = Phase::Serving;
    let draining = async { control.state().phase = Phase::Draining };
    let (reloaded, ()) = tokio::join!(change::reload(&control), draining);
    assert!(matches!(reloaded, Err(ChangeError::NotServing)), "{reloaded:?}");
    assert_eq!(control.state().snapshot.revision, 0);
}

#[tokio::test]
async fn reloads_that_are_asked_for_while_one_runs_are_one_more() {
    let control = control(Vec::new());
    let at_work = control.ledger.lock().await;
    let mut reloading = Reloading::default();
    (0..5).for_each(|_| reloading.ask(&control));
    drop(at_work);
    for succeeded in [1, 2] {
        timeout(10 * SECOND, reloading.go_on(&control)).await.expect("it ends");
        assert_eq!(control.state().reloads.succeeded, succeeded);
    }
    let further = timeout(Duration::from_millis(100), reloading.go_on(&control)).await;
    assert!(further.is_err(), "two, and no third");
    reloading.ask(&control);
    timeout(10 * SECOND, reloading.go_on(&control)).await.expect("it ends");
    assert_eq!(control.state().reloads.succeeded, 3);
}

#[tokio::test(start_paused = true)]
async fn r_k5_every_snapshot_sets_anew_how_many_connections_a_shard_may_hold() {
    let (shard, orders) = played(0);
    let control = control(vec![shard]);
    let mut held = Vec::new();
    for targets in [1, 40, 2] {
        let (applied, connections_max) = tokio::join!(change::reload_as(&control, groups(targets)), confirm(&orders));
        assert!(applied.is_ok());
        held.push(connections_max);
    }
    assert_eq!(held, [(1024 - 128 - 1) / 2, (1024 - 128 - 40) / 2, (1024 - 128 - 2) / 2]);
}

#[tokio::test]
async fn r_k5_a_running_shard_takes_over_how_many_connections_it_may_hold() {
    let core = host::allowed_cores()[0];
    let control = started(core).await;
    for (targets, expected) in [(1, (1024 - 128 - 1) / 2), (40, (1024 - 128 - 40) / 2)] {
        assert!(change::reload_as(&control, groups(targets)).await.is_ok());
        let reports = Reporter::new(&control.shards).gather().await;
        assert_eq!(reports[0].connections_max, expected);
    }
    shards::end(&control.shards);
}

#[tokio::test]
async fn a_group_that_no_listener_uses_does_not_fail_open() {
    let core = host::allowed_cores()[0];
    let control = started(core).await;
    assert!(change::reload_as(&control, groups(2)).await.is_ok());
    let reports = control.reporter.gather().await;
    assert_eq!(reports[0].groups[0].targets.len(), 2);
    assert!(!reports[0].groups[0].failing_open, "nobody sends to it, so it fails no way");
    shards::end(&control.shards);
}

#[tokio::test]
async fn r_m3_a_relayed_connection_is_a_line_of_the_access_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let to = LogTo::File { path: path.clone(), rotate_bytes: None, rotate_keep: 0 };
    let access_log = Some(AccessLog { to, format: LogFormat::Json });
    let (listener, refusing, answering) = (free_address(), free_address(), answering_target());
    let relaying = |target| Snapshot { access_log: access_log.clone(), ..relay(listener, target) };
    let control = started(host::allowed_cores()[0]).await;

    assert!(change::reload_as(&control, relaying(answering)).await.is_ok());
    assert_eq!(ask(listener).await, b"answer");
    let line = line(&path, 0).await;
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    assert_eq!([text("type"), text("listener"), text("target_group")], ["tcp", "web", "app"]);
    assert_eq!([text("target"), text("reason")], [answering.to_string(), String::new()]);
    assert_eq!((&line["received_bytes"], &line["sent_bytes"], &line["connection"]), (&4.into(), &6.into(), &1.into()));
    let us = |key: &str| line[key].as_u64().unwrap();
    assert!(us("queue_us") + us("connect_us") <= us("first_byte_us") && us("first_byte_us") <= us("total_us"));

    assert!(change::reload_as(&control, relaying(refusing)).await.is_ok());
    assert_eq!(ask(listener).await, b"");
    let line = self::line(&path, 1).await;
    assert_eq!((&line["reason"], &line["tried"]), (&"connect_failed".into(), &vec![refusing.to_string()].into()));

    let off = Snapshot { access_log: None, ..relay(listener, answering) };
    assert!(change::reload_as(&control, off).await.is_ok());
    assert_eq!(ask(listener).await, b"answer");
    assert!(change::reload_as(&control, relaying(answering)).await.is_ok());
    assert_eq!(ask(listener).await, b"answer");
    // A stop writes what is still with the shard.
    assert_eq!(shards::drain(&control.shards, SECOND).await, 0);
    shards::end(&control.shards);
    control.given.access_log.stop(10 * SECOND);
    let lines = std::fs::read_to_string(&path).unwrap();
    assert_eq!(lines.lines().count(), 3, "none while it was off:\n{lines}");
    assert!(lines.lines().last().unwrap().contains("\"connection\":4,"), "{lines}");
}

#[tokio::test]
async fn r_m3_an_access_log_that_cannot_be_opened_changes_nothing() {
    let (shard, orders) = played(0);
    let control = control(vec![shard]);
    let to = LogTo::File { path: "/nonexistent/access.log".into(), rotate_bytes: None, rotate_keep: 0 };
    let access_log = Some(AccessLog { to, format: LogFormat::Alb });
    let applied = change::reload_as(&control, Snapshot { access_log, ..groups(1) }).await;
    assert!(matches!(applied, Err(NotApplied::AccessLog(_))));
    assert!(orders.try_recv().is_err(), "no shard hears of it");
    assert_eq!(control.state().snapshot.revision, 0);
}

/// Nobody listens there: somebody did, so it was free.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A target that reads all that comes, then answers.
fn answering_target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            // A health check resets its connection.
            if client.read_to_end(&mut Vec::new()).is_ok() {
                let _ = client.write_all(b"answer");
            }
        }
    });
    address
}

fn relay(listener: SocketAddr, target: SocketAddr) -> Snapshot {
    let (ip, port) = (target.ip(), target.port());
    let text = format!(
        "[[listener]]\nname='web'\nprotocol='tcp'\naddress='{listener}'\ndefault_action={{forward='app'}}\n\
         [[target_group]]\nname='app'\nprotocol='tcp'\nretries=0\ntarget=[{{address='{ip}',port={port}}}]\n"
    );
    parse("t", &text, Mode::Demo).unwrap()
}

/// What the other end says, if it says anything.
async fn ask(address: SocketAddr) -> Vec<u8> {
    // A reset may be there before the connect is looked at.
    let Ok(mut connection) = TcpStream::connect(address).await else { return Vec::new() };
    let mut answer = Vec::new();
    if connection.write_all(b"ping").await.is_ok() && connection.shutdown().await.is_ok() {
        let _ = connection.read_to_end(&mut answer).await;
    }
    answer
}

/// A line of the log, once it is there.
async fn line(path: &Path, index: usize) -> Value {
    for _ in 0..1_000 {
        let text = std::fs::read_to_string(path).unwrap();
        if let Some(line) = text.split_inclusive('\n').nth(index).filter(|line| line.ends_with('\n')) {
            return serde_json::from_str(line).unwrap();
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("line {index} does not come");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_does_not_report_shows_what_it_said_last() {
    let (shard, orders) = played(0);
    let reporter = Reporter::new(&vec![shard]);
    let answer = async |revision| {
        a_moment().await;
        match orders.try_recv() {
            Ok(Order::Report(answer)) => answer.send(report(0, revision)),
            other => panic!("no report is asked for: {other:?}"),
        }
    };
    let revisions = async || reporter.gather().await.iter().map(|report| report.revision).collect::<Vec<_>>();
    assert_eq!(tokio::join!(revisions(), answer(7)).0, [7]);

    sleep(SECOND).await;
    assert_eq!(revisions().await, [7], "it is waited for, and then shows what it said last");
    sleep(SECOND).await;
    assert_eq!(revisions().await, [7]);
    // One order for both rounds. The answer is too late for either, so the next round asks again.
    assert!(answer(8).await.is_ok());
    assert!(orders.try_recv().is_err());
    sleep(SECOND).await;
    assert_eq!(tokio::join!(revisions(), answer(9)).0, [9]);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_soon_after_gets_the_same_reports() {
    let (shard, orders) = played(0);
    let reporter = Reporter::new(&vec![shard]);
    assert!(reporter.gather().await.is_empty(), "it never answered");
    assert!(reporter.gather().await.is_empty());
    assert_eq!(orders.try_iter().count(), 1, "one order, not two");
}
