//! What one reload may change under established connections: a listener's group, name or address, a target's group, the
//! algorithm. Each time those who are connected stay, newcomers follow the new config, and every counter is its owner's.

use std::net::{SocketAddr, TcpStream};

use crate::support::config::{Config, Group};
use crate::support::load::{CLIENTS, Load};
use crate::support::target::Target;
use crate::support::weir::{Reload, Weir};
use crate::support::{client, handlers, place, wait_until};

#[test]
fn r_k1_a_listener_may_change_its_group_and_only_newcomers_notice() {
    let (a, b) = two_targets();
    let (config, web) = Config::relay(&[a.address]);
    let mut weir = Weir::start(config.group(Group::new("other").target(b.address, 10)));
    let (mut established, name) = client::greeted(web).expect("a greeting");
    assert_eq!(name, "a");
    weir.change(|config| config.listeners[0].group = "other".into());
    let newcomers = greetings(web, 10);
    assert!(newcomers.iter().all(|(_, name)| name == "b"), "{newcomers:?}");
    client::exchange(&mut established, b"through").expect("it stays with the target of the group before");
    assert_eq!(of_target(&weir, "weir_target_connections_active", "app", a.address), 1);
    assert_eq!(of_target(&weir, "weir_target_connections_total", "other", b.address), 10);
    assert_eq!(of_target(&weir, "weir_target_connections_total", "app", a.address), 1, "no newcomer");
    assert_eq!(weir.metric("weir_connections_accepted_total", &[("listener", "web")]), 11, "the listener is the same");
}

/// Under load all the time: were the port closed for a moment only, a client would be refused.
#[test]
fn r_k1_a_listener_may_be_renamed_and_its_port_never_closes() {
    let a = Target::start(handlers::greet_and_echo("a"));
    let (config, web) = Config::relay(&[a.address]);
    let mut weir = Weir::start(config);
    let (mut established, _) = client::greeted(web).expect("a greeting");
    let load = Load::start(web, 200, |web| client::greeted(web).map(|(_, name)| name));
    load.wait_for(100);
    weir.change(|config| config.listeners[0].name = "renamed".into());
    // Those that are on their way now are of either name.
    let before = load.done() + usize::from(CLIENTS);
    load.wait_for(100);
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "{} failed: {:?}", outcome.failures.len(), outcome.failures.first());
    client::exchange(&mut established, b"through").expect("it goes on");
    let all: usize = outcome.answers.values().sum();
    let metrics = weir.metrics();
    let renamed = metrics.count("weir_connections_accepted_total", &[("listener", "renamed")]);
    println!("{all} connections, {renamed} of them by the new name");
    assert!(renamed >= all - before, "all that came after the reload: {renamed} of {all}, {before} before");
    assert!(renamed <= all - 100, "counted from 0, and a hundred came before: {renamed} of {all}");
    assert_eq!(metrics.find("weir_connections_accepted_total", &[("listener", "web")]), None, "the old name is gone");
}

#[test]
fn r_k1_two_listeners_may_swap_their_addresses() {
    let (a, b) = two_targets();
    let (config, first) = Config::relay(&[a.address]);
    let second = place::free();
    let mut weir =
        Weir::start(config.listener("api", second, "other").group(Group::new("other").target(b.address, 10)));
    let (mut at_a, name_at_first) = client::greeted(first).expect("a greeting");
    let (mut at_b, name_at_second) = client::greeted(second).expect("a greeting");
    assert_eq!((&*name_at_first, &*name_at_second), ("a", "b"));
    weir.change(|config| {
        config.listeners[0].address = second;
        config.listeners[1].address = first;
    });
    assert!(greetings(first, 5).iter().all(|(_, name)| name == "b"), "the second listener is here now");
    assert!(greetings(second, 7).iter().all(|(_, name)| name == "a"), "and the first one there");
    for established in [&mut at_a, &mut at_b] {
        client::exchange(established, b"through").expect("it stays with its target");
    }
    let accepted = |listener| weir.metric("weir_connections_accepted_total", &[("listener", listener)]);
    assert_eq!((accepted("web"), accepted("api")), (1 + 7, 1 + 5), "counters belong to the names");
}

/// To its old group the target is unbound (requirement W3): what it had there is reset, and its new group begins afresh.
#[test]
fn r_k1_r_w3_a_target_may_move_to_another_group() {
    let (a, b) = two_targets();
    let (config, web) = Config::relay(&[a.address, b.address]);
    let c = Target::start(handlers::greet_and_echo("c"));
    let api = place::free();
    let other = Group::new("other").target(c.address, 10);
    let mut weir = Weir::start(config.shards(1).listener("api", api, "other").group(other));
    let (moved, mut staying): (Vec<_>, Vec<_>) = greetings(web, 10).into_iter().partition(|(_, name)| name == "b");
    staying.extend(greetings(api, 2));
    weir.change(|config| {
        config.groups[0].remove(b.address);
        config.groups[1].targets.push((b.address, 10));
    });
    let cut = moved.len();
    for (mut stream, _) in moved {
        assert!(client::sees_reset(&mut stream), "unbound from the group that it came by");
    }
    for (stream, name) in &mut staying {
        client::exchange(stream, b"through").unwrap_or_else(|error| panic!("{name} did not move: {error}"));
    }
    assert_eq!(weir.metric("weir_connections_closed_total", &[("reason", "target_unbound")]), cut);
    assert!(greetings(web, 10).iter().all(|(_, name)| name == "a"), "the old group is without it");
    assert_eq!(greetings(api, 10).iter().filter(|(_, name)| name == "b").count(), 5, "the new one has it");
    assert_eq!(of_target(&weir, "weir_target_connections_total", "other", b.address), 5, "counted from 0");
    let of_old_group = [("target_group", "app"), ("target", &*b.address.to_string())];
    assert_eq!(weir.metrics().find("weir_target_connections_total", &of_old_group), None);
}

/// The second one comes while the first may still be on its way: the file of the last signal is what counts.
#[test]
fn r_k1_a_reload_right_after_a_reload_is_not_lost() {
    let (a, b) = two_targets();
    let (config, web) = Config::relay(&[a.address]);
    let weir = Weir::start(config.group(Group::new("other").target(b.address, 10)));
    let (mut established, _) = client::greeted(web).expect("a greeting");
    let with_group = |group: &str| {
        let mut config = weir.config.clone();
        config.listeners[0].group = group.into();
        config.to_toml()
    };
    let (first, second) = (with_group("other"), with_group("app"));
    for (text, name) in [(&first, "b"), (&second, "a")].repeat(5) {
        // Two in a row that do not wait for each other, the second with the text that must win.
        let before = if name == "a" { &first } else { &second };
        weir.write_and_signal(before);
        weir.write_and_signal(text);
        wait_until("the last text is in force", || greetings(web, 4).iter().all(|(_, greeted)| greeted == name));
    }
    assert_eq!(weir.metric("weir_config_reload_total", &[("result", "failure")]), 0);
    weir.wait_for_connections(1);
    client::exchange(&mut established, b"through").expect("it goes on");
}

#[test]
fn r_k1_the_algorithm_may_change() {
    let (a, b) = two_targets();
    let (config, web) = Config::relay(&[a.address, b.address]);
    let mut weir = Weir::start(config.shards(1));
    let mut held: Vec<_> = greetings(web, 20).into_iter().filter(|(_, name)| name == "a").collect();
    weir.wait_for_connections(held.len());
    assert_eq!(held.len(), 10, "they take turns");
    weir.change(|config| config.app().keys = "algorithm = \"least_connections\"".into());
    // What is held already counts for the new algorithm.
    let refill = greetings(web, 10);
    assert!(refill.iter().all(|(_, name)| name == "b"), "{refill:?}");
    weir.change(|config| config.app().keys = "algorithm = \"weighted_round_robin\"".into());
    drop(refill);
    weir.wait_for_connections(held.len());
    assert_eq!(greetings(web, 10).iter().filter(|(_, name)| name == "a").count(), 5, "they take turns again");
    for (stream, _) in &mut held {
        client::exchange(stream, b"through").expect("it goes on");
    }
    let made = |target| of_target(&weir, "weir_target_connections_total", "app", target);
    assert_eq!((made(a.address), made(b.address)), (10 + 5, 10 + 10 + 5), "counted on across the changes");
}

#[test]
fn r_k1_a_reload_that_changes_nothing_resets_no_counter() {
    let (a, b) = two_targets();
    let (config, web) = Config::relay(&[a.address, b.address]);
    let mut weir = Weir::start(config);
    let mut held = greetings(web, 10);
    let text = weir.config.to_toml();
    (0..5).for_each(|_| assert_eq!(weir.reload(&text), Reload::Applied));
    for (stream, _) in &mut held {
        client::exchange(stream, b"through").expect("it goes on");
    }
    let metrics = weir.metrics();
    assert_eq!(metrics.count("weir_connections_accepted_total", &[("listener", "web")]), 10);
    assert_eq!(metrics.count("weir_target_connections_total", &[("target_group", "app")]), 10);
    assert_eq!(metrics.count("weir_connections_active", &[]), 10);
}

fn two_targets() -> (Target, Target) {
    (Target::start(handlers::greet_and_echo("a")), Target::start(handlers::greet_and_echo("b")))
}

fn greetings(to: SocketAddr, count: usize) -> Vec<(TcpStream, String)> {
    (0..count).map(|_| client::greeted(to).expect("a greeting")).collect()
}

fn of_target(weir: &Weir, metric: &str, group: &str, target: SocketAddr) -> usize {
    weir.metric(metric, &[("target_group", group), ("target", &target.to_string())])
}
