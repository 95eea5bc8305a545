//! Shares, weight 0, unbinding, least connections.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread;

use crate::support::config::{Config, Group, QUICK_CHECK};
use crate::support::handlers::{self, End};
use crate::support::nginx::{self, Nginx};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{PATIENCE, client, place, wait_until};

const CONNECTIONS: usize = 6000;
const WEIGHTS: [u8; 3] = [10, 20, 30];

#[test]
fn r_w1_shares_of_6000_connections_are_exact() {
    shares_are_exact_to_one_per_target_and_shard(1);
}

#[test]
fn r_w1_shares_of_6000_connections_are_exact_across_shards() {
    shares_are_exact_to_one_per_target_and_shard(2);
}

fn shares_are_exact_to_one_per_target_and_shard(shards: usize) {
    if !nginx::is_installed() {
        return;
    }
    let targets = ["a", "b", "c"].map(Nginx::start);
    let web = place::free();
    let group = targets
        .iter()
        .zip(WEIGHTS)
        .fold(Group::new("app").check(QUICK_CHECK), |group, (target, weight)| group.target(target.address, weight));
    let weir = Weir::start(Config::new().shards(shards).listener("web", web, "app").group(group));
    for target in &targets {
        weir.wait_for_state("app", target.address, "healthy");
    }
    let answers = get_many(web, CONNECTIONS);
    assert_eq!(answers.values().sum::<usize>(), CONNECTIONS);
    let metrics = weir.metrics();
    let accepted =
        |shard: usize| metrics.count("weir_shard_connections_accepted_total", &[("shard", &shard.to_string())]);
    println!("connections by shard: {:?}", (0..shards).map(accepted).collect::<Vec<_>>());
    for ((target, name), weight) in targets.iter().zip(["a", "b", "c"]).zip(WEIGHTS) {
        let due = CONNECTIONS * usize::from(weight) / WEIGHTS.map(usize::from).iter().sum::<usize>();
        let served = answers[name];
        println!("weight {weight}: {served}");
        assert!(served.abs_diff(due) <= shards, "weight {weight}: {served}, {due} are due");
        assert_eq!(target.answered(), served, "what nginx itself says");
        let made = metrics.count("weir_target_connections_total", &[("target", &target.address.to_string())]);
        assert_eq!(made, served, "what is counted");
    }
}

/// Asks from as many threads as spread over the cores; every answer counts by its body.
fn get_many(web: SocketAddr, count: usize) -> BTreeMap<String, usize> {
    let answers = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..count / 8 {
                    let reply = crate::support::admin::get(web, "/").expect("nginx answers");
                    *answers.lock().expect("no panic under it").entry(reply.body).or_default() += 1;
                }
            });
        }
    });
    answers.into_inner().expect("no panic under it")
}

#[test]
fn r_w2_weight_zero_takes_nothing_new_and_keeps_what_is_established() {
    let (a, b) = (Target::start(handlers::greet_and_echo("a")), Target::start(handlers::greet_and_echo("b")));
    let (config, web) = Config::relay(&[a.address, b.address]);
    let mut weir = Weir::start(config);
    let mut clients: Vec<_> = (0..20).map(|_| client::greeted(web).expect("a greeting")).collect();
    assert!(clients.iter().any(|(_, name)| name == "a"));
    weir.change(|config| config.app().set_weight(a.address, 0));
    let before = a.visits().len();
    for _ in 0..40 {
        assert_eq!(client::greeted(web).expect("a greeting").1, "b");
    }
    assert_eq!(a.visits().len(), before);
    for (stream, _) in &mut clients {
        client::exchange(stream, b"still here").expect("established connections go on");
    }
    weir.change(|config| config.app().set_weight(a.address, 10));
    let names: Vec<_> = (0..40).map(|_| client::greeted(web).expect("a greeting").1).collect();
    assert!(names.iter().any(|name| name == "a"), "with a weight it takes connections again");
}

#[test]
fn r_w3_unbinding_resets_established_connections_on_both_sides() {
    let (greet, ends_of_a) = handlers::greet_and_report("a");
    let (a, b) = (Target::start(greet), Target::start(handlers::greet_and_echo("b")));
    let (config, web) = Config::relay(&[a.address, b.address]);
    let mut weir = Weir::start(config);
    let clients: Vec<_> = (0..20).map(|_| client::greeted(web).expect("a greeting")).collect();
    weir.change(|config| config.app().remove(a.address));
    let mut cut = 0;
    for (mut stream, name) in clients {
        if name == "b" {
            client::exchange(&mut stream, b"still here").expect("the other target's connections go on");
            continue;
        }
        assert!(client::sees_reset(&mut stream));
        assert_eq!(ends_of_a.recv_timeout(PATIENCE), Ok(End::Reset), "the target sees it too");
        cut += 1;
    }
    assert!(cut > 0);
    assert_eq!(weir.metric("weir_connections_closed_total", &[("reason", "target_unbound")]), cut);
    let before = a.visits().len();
    (0..20).for_each(|_| assert_eq!(client::greeted(web).expect("a greeting").1, "b"));
    assert_eq!(a.visits().len(), before, "nothing new arrives");
}

/// Neither side waits for anything when it happens: both are in the middle of sending.
#[test]
fn r_w3_unbinding_cuts_bulk_in_full_flow_on_both_sides() {
    let (hand_over, streams) = handlers::hand_over();
    let a = Target::start(hand_over);
    let (config, web) = Config::relay(&[a.address]);
    let mut weir = Weir::start(config);
    let client_side = client::connect(web).expect("it listens");
    let target_side = streams.recv_timeout(PATIENCE).expect("a connection");
    let ends = [&client_side, &target_side].map(|side| {
        let (mut read, write) = (side.try_clone().expect("dup"), side.try_clone().expect("dup"));
        let sender = thread::spawn(move || send_until_cut(write));
        (thread::spawn(move || client::read_to_the_end(&mut read)), sender)
    });
    wait_until("both are in full flow", || weir.metric("weir_listener_client_bytes_total", &[]) > 10_000_000);
    weir.change(|config| config.app().targets.clear());
    for (reader, sender) in ends {
        // A socket tells of its reset once: to whoever asks first.
        let (received, sent) = (reader.join().expect("no panic"), sender.join().expect("no panic"));
        assert!(client::is_reset(&received) || client::is_reset(&sent), "cut off: {received:?}, {sent:?}");
    }
    weir.wait_for_connections(0);
}

fn send_until_cut(mut stream: TcpStream) -> io::Result<()> {
    loop {
        stream.write_all(&[7; 16_384])?;
    }
}

#[test]
fn r_w3_unbinding_the_last_target_resets_and_closes_the_port() {
    let a = Target::start(handlers::greet_and_echo("a"));
    let (config, web) = Config::relay(&[a.address]);
    let mut weir = Weir::start(config);
    let (mut stream, _) = client::greeted(web).expect("a greeting");
    weir.change(|config| config.app().targets.clear());
    assert!(client::sees_reset(&mut stream));
    wait_until("the port is closed", || {
        client::connect(web).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    });
}

/// One shard, so that one balancer sees every connection.
#[test]
fn r_b1_least_connections_evens_out_what_is_held() {
    let targets = ["a", "b", "c"].map(|name| Target::start(handlers::greet_and_echo(name)));
    let (mut config, web) = Config::relay(&targets.each_ref().map(|target| target.address));
    config.app().keys = "algorithm = \"least_connections\"".into();
    let weir = Weir::start(config.shards(1));
    let mut held: Vec<_> = (0..30).map(|_| client::greeted(web).expect("a greeting")).collect();
    assert_eq!(count_by_name(&held), [("a".into(), 10), ("b".into(), 10), ("c".into(), 10)].into());
    held.retain(|(_, name)| name != "b");
    weir.wait_for_connections(held.len());
    let refill: Vec<_> = (0..10).map(|_| client::greeted(web).expect("a greeting")).collect();
    assert_eq!(count_by_name(&refill), [("b".into(), 10)].into(), "all go where fewest are");
}

#[test]
fn r_b1_least_connections_counts_by_weight() {
    let (light, heavy) =
        (Target::start(handlers::greet_and_echo("light")), Target::start(handlers::greet_and_echo("heavy")));
    let (mut config, web) = Config::relay(&[light.address, heavy.address]);
    config.app().keys = "algorithm = \"least_connections\"".into();
    config.app().set_weight(heavy.address, 30);
    let _weir = Weir::start(config.shards(1));
    let held: Vec<_> = (0..40).map(|_| client::greeted(web).expect("a greeting")).collect();
    assert_eq!(count_by_name(&held), [("heavy".into(), 30), ("light".into(), 10)].into());
}

#[test]
fn r_b1_round_robin_spreads_the_turns_of_a_heavy_target() {
    let targets = ["a", "b"].map(|name| Target::start(handlers::identify(name)));
    let (mut config, web) = Config::relay(&targets.each_ref().map(|target| target.address));
    config.app().set_weight(targets[0].address, 20);
    let _weir = Weir::start(config.shards(1));
    let turns: String = (0..30).map(|_| client::ask(web).expect("an answer")).collect();
    assert!(!turns.contains("aaa") && !turns.contains("bb"), "{turns}");
}

fn count_by_name<T>(held: &[(T, String)]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (_, name) in held {
        *counts.entry(name.clone()).or_default() += 1;
    }
    counts
}
