//! Many connections at little memory; and running out of descriptors.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::config::{Config, Group};
use crate::support::http::{self, Client};
use crate::support::target::{Handler, Target};
use crate::support::weir::Weir;
use crate::support::{PATIENCE, client, eventually, handlers, http_target, place, proc, wait_until};

const IDLE_CONNECTIONS: usize = 9000;
/// User-space memory that an idle connection may cost.
const IDLE_BYTES_MAX: u64 = 2048;
/// Two a connection here, and some for everything else.
const DESCRIPTORS_NEEDED: usize = 2 * IDLE_CONNECTIONS + 200;

#[test]
#[ignore = "long: ./x test runs it"]
fn r_k5_9000_idle_connections_cost_2_kib_each_at_most_and_all_of_them_work() {
    let _turn = place::turn();
    if proc::raise_limit() < DESCRIPTORS_NEEDED {
        println!("skipped: this host allows less than {DESCRIPTORS_NEEDED} descriptors a process");
        return;
    }
    let (hand_over, streams) = handlers::hand_over();
    let target = Target::start(hand_over);
    let (config, web) = Config::relay(&[target.address]);
    // One shard: it may hold as many connections as the process's descriptors allow, however the clients fall.
    let weir = Weir::start(config.shards(1));
    // The first ones bring along what is there once: buffers, code pages.
    let mut clients: Vec<TcpStream> = (0..100).map(|number| idle_client(number, web)).collect();
    let mut targets: Vec<TcpStream> = streams.iter().take(clients.len()).collect();
    traffic_on_all(&mut clients, &mut targets);
    let before = weir.resident_bytes();

    for number in clients.len()..IDLE_CONNECTIONS {
        clients.push(idle_client(number, web));
        targets.push(streams.recv_timeout(PATIENCE).expect("it reaches the target"));
    }
    weir.wait_for_connections(IDLE_CONNECTIONS);
    let each = weir.resident_bytes().saturating_sub(before) / (IDLE_CONNECTIONS as u64 - 100);
    println!("{each} bytes of user-space memory an idle connection");
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes an idle connection");
    traffic_on_all(&mut clients, &mut targets);

    drop(clients);
    drop(targets);
    weir.wait_for_connections(0);
    assert_eq!(weir.metric("weir_connections_closed_total", &[("reason", "completed")]), IDLE_CONNECTIONS);
}

/// From one of many source addresses, so that no range of ports runs out.
fn idle_client(number: usize, web: SocketAddr) -> TcpStream {
    let last = u8::try_from(10 + number % 20).expect("below 30");
    client::connect_from(SocketAddr::new(Ipv4Addr::new(127, 0, 1, last).into(), 0), web).expect("it is accepted")
}

/// Every client sends its number, every target answers what it got, every client checks.
fn traffic_on_all(clients: &mut [TcpStream], targets: &mut [TcpStream]) {
    for (number, stream) in clients.iter_mut().enumerate() {
        stream.write_all(&number.to_be_bytes()).expect("sent");
    }
    let mut number = [0; size_of::<usize>()];
    for stream in targets {
        stream.read_exact(&mut number).expect("a number arrives");
        stream.write_all(&number).expect("sent");
    }
    for (expected, stream) in clients.iter_mut().enumerate() {
        stream.read_exact(&mut number).expect("an answer arrives");
        assert_eq!(usize::from_be_bytes(number), expected, "a connection's bytes are its own");
    }
}

/// Under a limit of 400 descriptors. Established connections hold on while newcomers are reset; once some leave, newcomers
/// are served again.
#[test]
fn r_k5_out_of_descriptors_newcomers_are_reset_and_established_connections_work() {
    let target = Target::start(handlers::greet_and_echo("a"));
    let (config, web) = Config::relay(&[target.address]);
    let weir = Weir::start_under(&["prlimit", "--nofile=400:400"], config.shards(1), &[]);
    let mut held = Vec::new();
    // Each is greeted by the target, or reset: anything else fails the test.
    let refused = eventually("the limit is reached", || match client::greeted(web) {
        Ok((stream, _)) => {
            held.push(stream);
            assert!(held.len() < 200, "400 descriptors cannot hold 200 connections");
            None
        }
        Err(error) => Some(error),
    });
    println!("{} connections at a limit of 400 descriptors; then: {refused}", held.len());
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(held.len() >= 100, "the reserve takes a part, not most of it: {}", held.len());
    (0..50).for_each(|_| assert!(client::greeted(web).is_err(), "nobody left yet"));
    let overload = || weir.metric("weir_connections_refused_total", &[("reason", "overload")]);
    wait_until("each is counted", || overload() == 51);
    for stream in &mut held {
        client::exchange(stream, b"still here").expect("established ones work");
    }

    held.truncate(held.len() - 20);
    weir.wait_for_connections(held.len());
    let newcomers: Vec<_> = (0..20).map(|_| client::greeted(web).expect("there is room again")).collect();
    assert!(client::greeted(web).is_err(), "and no more than that");
    drop(newcomers);
}

/// 100 clients whose requests go to three groups in turn, under a limit that has room for two connections each: what is idle
/// to the groups before gives way to what is needed now.
#[test]
fn r_k5_idle_target_connections_give_way_when_descriptors_run_short() {
    const CLIENTS: usize = 100;
    let (weir, web, _targets) = three_groups(CLIENTS);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(web).expect("there is room")).collect();
    ["a", "b", "c", "a"].iter().for_each(|name| all_ask(&mut clients, name));
    assert_eq!(weir.metric("weir_http_errors_total", &[]), 0);
}

/// Clients that only connect take the room of as many idle connections to targets as they are, and the oldest of those.
#[test]
fn r_k5_no_more_idle_target_connections_go_than_descriptors_are_missing() {
    const CLIENTS: usize = 70;
    const TOO_MANY: usize = 5;
    let (weir, web, _targets) = three_groups(CLIENTS);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(web).expect("there is room")).collect();
    ["a", "b"].iter().for_each(|name| all_ask(&mut clients, name));
    let idle = |group| weir.metric("weir_target_connections_idle", &[("target_group", group)]);
    wait_until("all are idle", || (idle("app"), idle("b")) == (CLIENTS, CLIENTS));
    let most = 2 * weir.metric("weir_shard_connections_max", &[]);
    // All that may be open at once are: src/shard/run.rs, make_room.
    let room = most - most / 16 - 3 * CLIENTS;
    clients.extend((0..room).map(|_| Client::connect(web).expect("there is room")));
    weir.wait_for_connections(CLIENTS + room);
    assert_eq!((idle("app"), idle("b")), (CLIENTS, CLIENTS));
    clients.extend((0..TOO_MANY).map(|_| Client::connect(web).expect("there is room")));
    weir.wait_for_connections(clients.len());
    let left = idle("app");
    assert!(left <= CLIENTS - TOO_MANY && left + TOO_MANY + most / 64 >= CLIENTS, "{left} of {CLIENTS} are left");
    assert_eq!(idle("b"), CLIENTS, "they have been idle for less long");
}

/// Under 400 descriptors: requests for `/b` and `/c` go to groups `b` and `c`, others to `app`, whose target is `a`. Each target
/// answers `count` requests at a time.
fn three_groups(count: usize) -> (Weir, SocketAddr, [Target; 3]) {
    let targets = ["a", "b", "c"].map(|name| Target::start(all_at_once(name, count)));
    let (mut config, web) = Config::http(&[targets[0].address]);
    config = config.group(Group::http("b").target(targets[1].address, 10));
    config = config.group(Group::http("c").target(targets[2].address, 10));
    config.groups.iter_mut().for_each(|group| group.keys = "keep_alive = { idle_timeout = \"1h\" }".into());
    config.web().tables = r#"
        [[listener.rule]]
        priority = 1
        path = "/b"
        action = { forward = "b" }
        [[listener.rule]]
        priority = 2
        path = "/c"
        action = { forward = "c" }
        "#
    .into();
    (Weir::start_under(&["prlimit", "--nofile=400:400"], config.shards(1), &[]), web, targets)
}

/// Each client asks for the target of this name; all of their requests are in flight at once.
fn all_ask(clients: &mut [Client], name: &str) {
    clients.iter_mut().for_each(|client| client.send(http::get(&format!("/{name}"))).expect("sent"));
    for client in clients {
        assert_eq!(client.receive().expect("an answer").text(), name);
    }
}

/// Answers with its name once `count` requests are there at once, and again with the next `count`.
fn all_at_once(name: &str, count: usize) -> Handler {
    let (answer, arrived) = (http_target::ok(name), AtomicUsize::new(0));
    http_target::serve(move |_| {
        let turn = arrived.fetch_add(1, Ordering::Relaxed) / count;
        wait_until("the others are there too", || arrived.load(Ordering::Relaxed) >= (turn + 1) * count);
        answer.clone()
    })
}

/// What is gone is given back: as many descriptors as before, after far more connections than there are descriptors.
#[test]
fn r_k5_descriptors_and_buffers_do_not_leak() {
    let targets = ["a", "b"].map(|name| Target::start(handlers::identify(name)));
    let (mut config, web) = Config::relay(&[targets[0].address, place::free(), targets[1].address]);
    config.app().keys = "connect_timeout = \"1s\"".into();
    let weir = Weir::start(config);
    (0..50).for_each(|_| drop(client::ask(web).expect("an answer")));
    weir.wait_for_connections(0);
    let before = proc::count(weir.pid());
    for round in 0..2000 {
        let Ok(stream) = client::connect(web) else { panic!("it is accepted") };
        // Some leave in order, some with a reset, some while the target is still being connected.
        if round % 3 == 0 {
            handlers::reset(stream);
        }
    }
    weir.wait_for_connections(0);
    // One more or less: the admin endpoint's own connection.
    wait_until("descriptors are given back", || proc::count(weir.pid()) <= before + 1);
    assert_eq!(client::ask(web).expect("an answer").len(), 1);
    weir.wait_for_connections(0);
    for gauge in ["weir_ring_sockets", "weir_ring_buffers_leased", "weir_ring_strays_total"] {
        wait_until(&format!("{gauge} is 0"), || weir.metric(gauge, &[]) == 0);
    }
}
