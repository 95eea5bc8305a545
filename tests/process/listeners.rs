//! Where clients connect: addresses, bound or not, schemes, idle timeouts.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::config::{Config, Group};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{client, handlers, namespace, place, wait_until};

#[test]
fn r_l1_listeners_on_several_addresses_each_answer_for_their_own_group() {
    let targets = ["a", "b", "c"].map(|name| (name, Target::start(handlers::identify(name))));
    let addresses: [SocketAddr; 3] = [
        place::free_on(Ipv4Addr::LOCALHOST),
        place::free_on(Ipv4Addr::new(127, 0, 0, 2)),
        place::free_on(Ipv6Addr::LOCALHOST),
    ];
    let mut config = Config::new();
    for ((name, target), address) in targets.iter().zip(addresses) {
        config = config.listener(name, address, name).group(Group::new(name).target(target.address, 10));
    }
    let weir = Weir::start(config);
    for ((name, _), address) in targets.iter().zip(addresses) {
        assert_eq!(client::ask(address).expect("an answer"), *name);
        assert_eq!(weir.metric("weir_connections_accepted_total", &[("listener", name)]), 1);
    }
}

#[test]
fn r_l1_one_port_on_two_addresses_is_two_listeners() {
    let (a, b) = (Target::start(handlers::identify("a")), Target::start(handlers::identify("b")));
    let first = place::free();
    let second = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 3).into(), first.port());
    let config = Config::new()
        .listener("a", first, "a")
        .listener("b", second, "b")
        .group(Group::new("a").target(a.address, 10))
        .group(Group::new("b").target(b.address, 10));
    let _weir = Weir::start(config);
    assert_eq!(client::ask(first).expect("an answer"), "a");
    assert_eq!(client::ask(second).expect("an answer"), "b");
}

#[test]
fn r_l2_all_bytes_of_a_connection_reach_the_target_that_it_began_with() {
    let targets = ["a", "b", "c"].map(|name| Target::start(handlers::greet_and_echo(name)));
    let (config, web) = Config::relay(&targets.each_ref().map(|target| target.address));
    let _weir = Weir::start(config);
    let mut clients: Vec<_> = (0..30).map(|_| client::greeted(web).expect("a greeting").0).collect();
    // Each echo comes from the one thread that holds this connection at its target, so an answer proves the target.
    for turn in 0..20 {
        for (number, stream) in clients.iter_mut().enumerate() {
            client::exchange(stream, format!("client {number}, turn {turn}").as_bytes()).expect("its own bytes");
        }
    }
    let made: usize = targets.iter().map(|target| target.visits().len()).sum();
    assert_eq!(made, clients.len(), "one connection to a target for each client");
}

#[test]
fn r_l4_without_a_target_connections_are_refused_and_a_bound_one_is_reached() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[]);
    let mut weir = Weir::start(config);
    assert_eq!(client::ask(web).expect_err("nothing listens").kind(), ErrorKind::ConnectionRefused);
    weir.change(|config| config.app().targets.push((target.address, 10)));
    assert_eq!(client::ask(web).expect("an answer"), "a");
    weir.change(|config| config.app().targets.clear());
    wait_until("the port is closed", || {
        client::ask(web).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

#[test]
fn r_l4_a_target_of_weight_0_is_bound_so_the_port_stays_open() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.app().set_weight(target.address, 0);
    let weir = Weir::start(config);
    assert!(client::newcomer_is_reset(client::connect(web)), "the handshake is answered, but nobody may serve it");
    wait_until("it is counted", || weir.metric("weir_connections_closed_total", &[("reason", "no_target")]) == 1);
    assert!(target.visits().is_empty());
}

#[test]
fn r_l7_an_idle_connection_is_closed_on_both_sides() {
    let (greet, ends) = handlers::greet_and_report("a");
    let target = Target::start(greet);
    let (mut config, web) = Config::relay(&[target.address]);
    config.listeners[0].keys = "idle_timeout = \"1s\"".into();
    let weir = Weir::start(config);
    let (mut stream, _) = client::greeted(web).expect("a greeting");
    assert!(client::sees_reset(&mut stream), "cut off, so a reset");
    assert_eq!(ends.recv_timeout(crate::support::PATIENCE), Ok(handlers::End::Reset));
    wait_until("it is counted", || weir.metric("weir_connections_closed_total", &[("reason", "idle_timeout")]) > 0);
}

#[test]
fn r_l7_traffic_postpones_the_idle_timeout() {
    let target = Target::start(handlers::greet_and_echo("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    // Far more than a pause below, even where the machine is busy.
    config.listeners[0].keys = "idle_timeout = \"4s\"".into();
    let weir = Weir::start(config);
    let (mut busy, _) = client::greeted(web).expect("a greeting");
    let (mut idle, _) = client::greeted(web).expect("a greeting");
    let idle_ends = thread::spawn(move || client::sees_reset(&mut idle));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(6) {
        client::exchange(&mut busy, b"still here").expect("it lives as long as it talks");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(idle_ends.join().expect("no panic"), "the one that was silent as long is gone");
    client::exchange(&mut busy, b"still here").expect("it lives");
    assert_eq!(weir.metric("weir_connections_closed_total", &[("reason", "idle_timeout")]), 1);
}

#[test]
fn r_l8_an_internal_listener_takes_private_clients() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.listeners[0].keys = "scheme = \"internal\"".into();
    let _weir = Weir::start(config);
    assert_eq!(client::ask(web).expect("loopback is private"), "a");
}

/// A public client needs a public address: one of TEST-NET-3, on the loopback device of a network namespace of this test.
#[test]
fn r_l8_an_internal_listener_resets_public_clients() {
    const NAME: &str = "listeners::r_l8_an_internal_listener_resets_public_clients";
    namespace::inside(NAME, &[PUBLIC], public_clients_at_an_internal_listener);
}

const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

fn public_clients_at_an_internal_listener() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    let open = place::free();
    config.listeners[0].keys = "scheme = \"internal\"".into();
    let weir = Weir::start(config.listener("open", open, "app"));
    let from = |to| client::connect_from(SocketAddr::new(PUBLIC.into(), 0), to);
    assert!(client::newcomer_is_reset(from(web)), "reset before any byte");
    let mut welcome = from(open).expect("an internet-facing listener");
    assert_eq!(client::read_to_the_end(&mut welcome).expect("an answer"), 1);
    assert_eq!(client::ask(web).expect("a private client at the same listener"), "a");
    let refused =
        |listener| weir.metric("weir_connections_refused_total", &[("listener", listener), ("reason", "scheme")]);
    assert_eq!((refused("web"), refused("open")), (1, 0));
}
