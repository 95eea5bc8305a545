//! The Flash policy responder: what it answers, what it does not, and who has its port (requirement L6).

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::support::config::{Config, Group};
use crate::support::target::Target;
use crate::support::weir::{Reload, Weir};
use crate::support::{client, handlers, place, wait_until};

const REQUEST: &[u8] = b"<policy-file-request/>\0";
const POLICY: &str =
    "<cross-domain-policy><allow-access-from domain=\"example.com\" to-ports=\"*\"/></cross-domain-policy>";

/// A balancer with nothing but a responder.
fn responder() -> (Config, SocketAddr) {
    let address = place::free();
    let mut config = Config::new();
    config.tables = tables(address);
    (config, address)
}

fn tables(address: SocketAddr) -> String {
    format!("[flash_policy]\nenabled = true\naddress = \"{address}\"\ndocument = '{POLICY}'\n")
}

/// Sends pieces and reads to the end.
fn told(at: SocketAddr, pieces: &[&[u8]]) -> String {
    let mut stream = client::connect(at).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    for piece in pieces {
        // Closed on us already, perhaps.
        let _ = stream.write_all(piece);
    }
    read(stream)
}

fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text, and an orderly end");
    answer
}

fn closed(weir: &Weir, reason: &str) -> usize {
    weir.metric("weir_connections_closed_total", &[("listener", "flash_policy"), ("reason", reason)])
}

#[test]
fn r_l6_the_request_gets_the_policy_and_a_close() {
    let (config, at) = responder();
    let weir = Weir::start(config);
    assert_eq!(told(at, &[REQUEST]), POLICY);
    let bytes: Vec<&[u8]> = REQUEST.chunks(1).collect();
    assert_eq!(told(at, &bytes), POLICY, "byte by byte");
    for _ in 0..50 {
        assert_eq!(told(at, &[REQUEST]), POLICY);
    }
    wait_until("it is counted", || closed(&weir, "completed") == 52);
}

#[test]
fn r_l6_anything_else_is_closed_without_an_answer() {
    let (config, at) = responder();
    let weir = Weir::start(config);
    let others: [&[u8]; 4] =
        [b"GET / HTTP/1.1\r\n\r\n", b"<policy-file-request/>\n", b"<policy-file-request/>\0 ", b"\0"];
    for sent in others {
        assert_eq!(told(at, &[sent]), "", "{sent:?}");
    }
    let mut stream = client::connect(at).expect("it listens");
    stream.write_all(&REQUEST[..22]).expect("it takes the beginning");
    stream.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(read(stream), "", "22 bytes are not the request");
    wait_until("it is counted", || closed(&weir, "unknown_request") == 5);
    assert_eq!(told(at, &[REQUEST]), POLICY, "it goes on");
}

#[test]
fn r_l6_a_client_that_asks_nothing_is_closed_without_an_answer() {
    let (config, at) = responder();
    let weir = Weir::start(config);
    let (silent, mut half) = (client::connect(at).expect("it listens"), client::connect(at).expect("it listens"));
    half.write_all(&REQUEST[..10]).expect("it takes the beginning");
    assert_eq!(read(silent), "");
    assert_eq!(read(half), "");
    wait_until("it is counted", || closed(&weir, "idle_timeout") == 2);
}

#[test]
fn r_l6_nothing_listens_unless_it_is_enabled_and_a_reload_switches_it() {
    let (mut config, at) = responder();
    config.tables = tables(at).replace("true", "false");
    let mut weir = Weir::start(config);
    let is_refused = || client::connect(at).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    assert!(is_refused());
    weir.change(|config| config.tables = tables(at));
    assert_eq!(told(at, &[REQUEST]), POLICY);
    weir.change(|config| config.tables = tables(at).replace("example.com", "other.example"));
    assert_eq!(told(at, &[REQUEST]), POLICY.replace("example.com", "other.example"), "another document");
    weir.change(|config| config.tables.clear());
    wait_until("it is gone", is_refused);
}

#[test]
fn r_l6_a_tcp_listener_without_targets_closes_the_port() {
    let target = Target::start(handlers::identify("a"));
    let (config, at) = responder();
    let mut weir = Weir::start(config);
    assert_eq!(told(at, &[REQUEST]), POLICY);
    weir.change(|config| {
        *config = config.clone().listener("flash", at, "app").group(Group::new("app"));
    });
    wait_until("the port is closed", || {
        client::connect(at).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    });
    let mut config = weir.config.clone();
    config.groups[0] = Group::new("app").target(target.address, 10);
    assert_eq!(weir.reload(&config.to_toml()), Reload::Rejected, "with targets there are two for one port");
    weir.says("[flash_policy]: address: port");
    weir.change(|config| {
        config.listeners.clear();
        config.groups.clear();
    });
    assert_eq!(told(at, &[REQUEST]), POLICY, "it is back");
}

#[test]
fn r_l6_a_reload_hands_the_port_over_to_a_listener_and_back() {
    let target = Target::start(handlers::identify("a"));
    let (config, at) = responder();
    let mut weir = Weir::start(config);
    for _ in 0..5 {
        assert_eq!(told(at, &[REQUEST]), POLICY);
        weir.change(|config| {
            config.tables.clear();
            *config = config.clone().listener("app", at, "app").group(Group::new("app").target(target.address, 10));
        });
        assert_eq!(client::ask(at).expect("an answer"), "a");
        weir.change(|config| {
            config.tables = tables(at);
            config.listeners.clear();
            config.groups.clear();
        });
    }
    assert_eq!(told(at, &[REQUEST]), POLICY);
}
