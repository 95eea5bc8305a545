//! Security groups: who gets in, what those see who do not, and what changes for whom when a list does. Clients come
//! from addresses of 127/8, all of which are this host's.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::config::{Config, Group};
use crate::support::target::Target;
use crate::support::weir::{Reload, Weir};
use crate::support::{client, handlers, place, wait_until};

const CLIENT_A: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 1);
const CLIENT_B: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 2);
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 9);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 10, 0, 1);

const A_AND_B: [&str; 2] =
    [r#"{ action = "accept", source = "127.9.0.1" }"#, r#"{ action = "accept", source = "127.9.0.2/32" }"#];
const ALL: &str = r#"{ action = "accept", source = "0.0.0.0/0" }"#;
const NOBODY: &str = r#"{ action = "drop", source = "0.0.0.0/0" }"#;

fn group(rules: &[&str]) -> String {
    format!("security_group = [{}]", rules.join(", "))
}

fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    client::connect_from(SocketAddr::new(from.into(), 0), to)
}

/// Whether a client is served; the other thing that may happen is a reset before any byte.
fn gets_in(from: Ipv4Addr, to: SocketAddr) -> bool {
    let connected = connect(from, to);
    let outcome = connected.and_then(|mut stream| client::read_to_the_end(&mut stream));
    let is_served = outcome.as_ref().is_ok_and(|bytes| *bytes > 0);
    assert!(is_served || client::is_reset(&outcome), "served or reset: {outcome:?}");
    is_served
}

#[test]
fn r_a1_both_groups_must_accept_and_each_rule_is_counted() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.keys =
        group(&[r#"{ action = "drop", source = "127.9.0.1" }"#, r#"{ action = "accept", source = "127.0.0.0/8" }"#]);
    config.listeners[0].keys = group(&[r#"{ action = "accept", source = "127.9.0.0/16", port = "1-65535" }"#]);
    let weir = Weir::start(config);
    assert_eq!([CLIENT_A, CLIENT_B, BALANCER, STRANGER].map(|from| gets_in(from, web)), [false, true, true, false]);
    let refused = || weir.metric("weir_connections_refused_total", &[("reason", "security_group")]);
    wait_until("two are refused", || refused() == 2);
    let counted = |metric, rule| weir.metric(metric, &[("rule", rule)]);
    let balancer = |rule| counted("weir_security_group_connections_total", rule);
    let listener = |rule| counted("weir_listener_security_group_connections_total", rule);
    assert_eq!([balancer("1"), balancer("2"), balancer("none")], [1, 3, 0]);
    assert_eq!([listener("1"), listener("none")], [2, 1]);

    let shown = weir.json("/v1/listeners")["listeners"][0]["security_group"].clone();
    assert_eq!(shown["rules"][0]["connections"], 2, "{shown}");
    assert_eq!(
        (&shown["rules"][0]["source"][0], &shown["rules"][0]["port"]),
        (&"127.9.0.0/16".into(), &"1-65535".into())
    );
    assert_eq!(shown["unmatched"]["connections"], 1, "{shown}");
    let shown = weir.json("/v1/balancer")["security_group"].clone();
    assert_eq!(
        (&shown["rules"][0]["action"], &shown["rules"][0]["connections"]),
        (&"drop".into(), &1.into()),
        "{shown}"
    );
    assert_eq!(target.visits().len(), 2, "no target hears of those who are dropped");
}

#[test]
fn r_a1_a_rule_is_about_the_listeners_own_port() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    let other = place::free();
    config.keys =
        group(&[&format!(r#"{{ action = "accept", source = "0.0.0.0/0", protocol = "tcp", port = {} }}"#, web.port())]);
    let _weir = Weir::start(config.listener("other", other, "app"));
    assert!(gets_in(CLIENT_A, web) && !gets_in(CLIENT_A, other));
}

#[test]
fn r_a1_ipv6_clients_need_a_rule_of_their_own() {
    let target = Target::start(handlers::identify("a"));
    let address = place::free_on(Ipv6Addr::LOCALHOST);
    let config = Config::new()
        .listener_with("web", address, "app", &group(&[ALL]))
        .group(Group::new("app").target(target.address, 10));
    let mut weir = Weir::start(config);
    assert!(client::newcomer_is_reset(client::connect(address)));
    weir.change(|config| config.web().keys = group(&[ALL, r#"{ action = "accept", source = "::1" }"#]));
    assert_eq!(client::ask(address).expect("an answer"), "a");
}

#[test]
fn r_a2_a_change_is_about_new_connections_at_once_and_leaves_those_that_run() {
    let target = Target::start(handlers::greet_and_echo("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.listeners[0].keys = group(&[ALL]);
    let mut weir = Weir::start(config);
    let (mut stream, _) = client::greeted(web).expect("a greeting");
    weir.change(|config| config.web().keys = group(&[NOBODY]));
    weir.on_every_shard(|| assert!(client::newcomer_is_reset(client::connect(web))));
    client::exchange(&mut stream, b"still here").expect("it lives");
    weir.change(|config| config.web().keys = group(&[ALL]));
    weir.on_every_shard(|| _ = client::greeted(web).expect("a greeting"));
}

#[test]
fn r_a2_a_reload_that_leaves_the_rules_leaves_their_counts() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.listeners[0].keys = group(&[ALL]);
    let mut weir = Weir::start(config);
    assert!(gets_in(CLIENT_A, web));
    let counted = |weir: &Weir| weir.metric("weir_listener_security_group_connections_total", &[("rule", "1")]);
    wait_until("it is counted", || counted(&weir) == 1);
    weir.change(|config| config.app().keys = "retries = 1".into());
    assert_eq!(counted(&weir), 1);
    weir.change(|config| config.web().keys = group(&A_AND_B));
    assert_eq!(counted(&weir), 0, "rule 1 is another one now");
}

#[test]
fn r_a2_an_http_listener_resets_those_who_are_dropped_too() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::http(&[target.address]);
    config.listeners[0].keys = group(&A_AND_B);
    let weir = Weir::start(config);
    assert!(client::newcomer_is_reset(connect(STRANGER, web)));
    wait_until("it is counted", || weir.metric("weir_connections_refused_total", &[("reason", "security_group")]) == 1);
}

#[test]
fn r_a1_a_mistake_in_a_rule_changes_nothing_and_says_where() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.listeners[0].keys = group(&[NOBODY]);
    let mut weir = Weir::start(config);
    let mut broken = weir.config.clone();
    broken.listeners[0].keys = group(&[r#"{ action = "accept", source = "127.9.0.1/16" }"#]);
    assert_eq!(weir.reload(&broken.to_toml()), Reload::Rejected);
    assert!(!gets_in(CLIENT_A, web), "the list of before goes on");
    weir.says("listener \"web\": security group rule #1: source: 127.9.0.1/16 has bits");
}

/// Its name and rules, who gets in, and who does with the order reversed.
type Example<'r> = (&'static str, Vec<&'r str>, [bool; 4], [bool; 4]);

/// The published examples, whose service is on one port: who gets in, and who does with the order reversed.
#[test]
fn r_a3_the_five_published_examples_let_in_whom_they_say_and_reversed_they_do_not() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start(config);
    let [a, b] = A_AND_B;
    let balancer = r#"{ action = "accept", source = "127.9.0.9" }"#;
    let (drop_a, drop_b) = (a.replace("accept", "drop"), b.replace("accept", "drop"));
    let examples: [Example<'_>; 5] = [
        ("allow two clients", vec![a, b, NOBODY], [true, true, false, false], [false; 4]),
        ("open to all", vec![ALL], [true; 4], [true; 4]),
        ("internal", vec![a, b, balancer, NOBODY], [true, true, true, false], [false; 4]),
        ("classic internal", vec![a, b, balancer, NOBODY], [true, true, true, false], [false; 4]),
        ("blocklist", vec![&drop_a, &drop_b, ALL], [false, false, true, true], [true; 4]),
    ];
    for (name, mut rules, lets_in, reversed) in examples {
        for (order, expected) in [("as published", lets_in), ("reversed", reversed)] {
            let port = format!(r#", protocol = "tcp", port = {} }}"#, web.port());
            let rules_here: Vec<String> = rules.iter().map(|rule| rule.replace(" }", &port)).collect();
            let keys = group(&rules_here.iter().map(String::as_str).collect::<Vec<_>>());
            weir.change(|config| config.web().keys = keys);
            let got_in = [CLIENT_A, CLIENT_B, BALANCER, STRANGER].map(|from| gets_in(from, web));
            assert_eq!(got_in, expected, "{name}, {order}");
            rules.reverse();
        }
    }
}

const SILENT: &str = "security_group_drop = \"silent\"";

/// Long enough for a handshake on loopback, and for a SYN that is sent again.
const CONNECT_LIMIT: Duration = Duration::from_millis(1_500);

/// Whether nothing at all comes back to a client that connects: no handshake, no reset.
fn hears_nothing(from: impl Into<IpAddr>, to: SocketAddr) -> bool {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(from.into(), 0).into()).expect("an address of this host");
    let connected = socket.connect_timeout(&to.into(), CONNECT_LIMIT);
    connected.is_err_and(|error| error.kind() == ErrorKind::TimedOut)
}

/// A connection to target `a`, which has said its name.
fn greeted_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let mut stream = connect(from, to).expect("it is let in");
    stream.read_exact(&mut [0; 2]).expect("a greeting");
    stream
}

fn kernel_drops(weir: &Weir) -> usize {
    weir.metric("weir_listener_kernel_drops_total", &[("listener", "web")])
}

#[test]
fn r_a2_silent_whoever_is_dropped_gets_no_answer_and_others_are_served() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.keys = format!("{SILENT}\n{}", group(&[r#"{ action = "drop", source = "127.9.0.1" }"#, ALL]));
    let weir = Weir::start(config);
    assert!(gets_in(CLIENT_B, web), "the rest is served");
    assert_eq!(kernel_drops(&weir), 0);
    assert!(hears_nothing(CLIENT_A, web));
    assert!(kernel_drops(&weir) > 0, "the kernel counts what the filter takes");
    assert!(gets_in(CLIENT_B, web));
    let counted = |name| weir.metric(name, &[]);
    assert_eq!(counted("weir_connections_accepted_total"), 2, "no shard hears of the others");
    assert_eq!(counted("weir_connections_refused_total"), 0);
}

#[test]
fn r_a2_silent_ipv6_clients_too() {
    let target = Target::start(handlers::identify("a"));
    let address = place::free_on(Ipv6Addr::LOCALHOST);
    let rules = |action| group(&[&format!(r#"{{ action = "{action}", source = "::1" }}"#), r#"{ action = "accept" }"#]);
    let mut config = Config::new()
        .listener_with("web", address, "app", &rules("drop"))
        .group(Group::new("app").target(target.address, 10));
    config.keys = SILENT.into();
    let mut weir = Weir::start(config);
    assert!(hears_nothing(Ipv6Addr::LOCALHOST, address));
    weir.change(|config| config.web().keys = rules("accept"));
    assert_eq!(client::ask(address).expect("an answer"), "a");
}

#[test]
fn r_a2_silent_a_change_reaches_the_filter_of_every_shard_and_leaves_connections_that_run() {
    let target = Target::start(handlers::greet_and_echo("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.keys = SILENT.into();
    let mut weir = Weir::start(config);
    let (mut stream, _) = client::greeted(web).expect("a greeting");
    weir.change(|config| config.web().keys = group(&[r#"{ action = "accept", source = "127.9.0.0/16" }"#]));
    // Who is let in proves that the shard which the other one meets is each of them.
    weir.on_every_shard(|| {
        assert!(hears_nothing(STRANGER, web));
        drop(greeted_from(CLIENT_A, web));
    });
    client::exchange(&mut stream, &vec![7; 100_000]).expect("its segments pass, though its address is dropped by now");
    let mut inside = greeted_from(CLIENT_A, web);
    // It inherits the filter; when a list changes, the old one must not cut it off.
    weir.change(|config| config.web().keys = group(&[NOBODY]));
    assert!(hears_nothing(CLIENT_A, web) && hears_nothing(STRANGER, web));
    client::exchange(&mut inside, &vec![9; 100_000]).expect("it lives");

    // Who waits is served as soon as the list lets it in: its SYN comes again.
    let waiting = thread::spawn(move || connect(STRANGER, web).map(drop));
    let before = kernel_drops(&weir);
    wait_until("it has been dropped", || kernel_drops(&weir) > before);
    weir.change(|config| config.web().keys = String::new());
    waiting.join().expect("no panic").expect("it is connected after all");
    weir.change(|config| {
        config.keys = String::new();
        config.web().keys = group(&[NOBODY]);
    });
    weir.on_every_shard(|| assert!(client::newcomer_is_reset(connect(STRANGER, web)), "no shard keeps its filter"));
}

#[test]
fn r_a2_silent_a_list_that_fits_no_filter_is_said_and_resets_at_accept() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    let scattered: Vec<String> =
        (0..250).flat_map(|c| (0..20).map(move |d| format!("\"127.8.{c}.{}\"", d * 2))).collect();
    let long = group(&[&format!(r#"{{ action = "drop", source = [{}] }}"#, scattered.join(",")), ALL]);
    config.keys = SILENT.into();
    // So many that comparisons alone do not reach, and few enough for the 20 KiB that older kernels have for a filter.
    let fits = group(&[&format!(r#"{{ action = "drop", source = [{}] }}"#, scattered[..250].join(",")), ALL]);
    config.listeners[0].keys = fits;
    let mut weir = Weir::start(config);
    let dropped = Ipv4Addr::new(127, 8, 0, 2);
    assert!(hears_nothing(dropped, web) && gets_in(Ipv4Addr::new(127, 8, 0, 3), web));
    assert!(hears_nothing(Ipv4Addr::new(127, 8, 12, 18), web) && gets_in(Ipv4Addr::new(127, 8, 12, 19), web));
    weir.change(|config| config.web().keys = long);
    weir.says("take more than the 4096 instructions");
    weir.on_every_shard(|| assert!(!gets_in(dropped, web) && gets_in(CLIENT_A, web)));
}
