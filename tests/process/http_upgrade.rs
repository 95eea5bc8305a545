//! `Upgrade`: after 101 the two sides talk as over tcp, with the idle timeout, and through drains (requirement P3).

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use crate::support::config::Config;
use crate::support::http::{self, Client, Reader};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{PATIENCE, client, handlers, http_target, wait_until};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";

struct Setting {
    weir: Weir,
    web: SocketAddr,
    target: Target,
    streams: Receiver<TcpStream>,
}

fn setting(keys: &str, group_keys: &str, arguments: &[&str]) -> Setting {
    let (hand_over, streams) = handlers::hand_over();
    let target = Target::start(hand_over);
    let (mut config, web) = Config::http(&[target.address]);
    config.web().keys = keys.into();
    config.app().keys = group_keys.into();
    Setting { weir: Weir::start_under(&[], config, arguments), web, target, streams }
}

impl Setting {
    /// An upgraded connection: the client's side and the target's.
    fn upgraded(&self) -> (TcpStream, TcpStream) {
        let mut client = Client::connect(self.web).expect("it listens");
        client.send(ASK).expect("sent");
        let mut reader = Reader::new(self.streams.recv_timeout(PATIENCE).expect("a connection"));
        let head = reader.head().expect("a head").expect("a request");
        assert_eq!((head.value("upgrade"), head.value("sec-websocket-version")), ("websocket", "13"));
        assert!(head.value("connection").eq_ignore_ascii_case("upgrade"), "{head:?}");
        reader.stream.write_all(SWITCH.as_bytes()).expect("sent");
        let answer = client.receive().expect("an answer");
        assert_eq!(
            (answer.status(), answer.value("upgrade"), answer.value("sec-websocket-accept")),
            (101, "websocket", "x")
        );
        assert!(answer.value("connection").eq_ignore_ascii_case("upgrade"), "{answer:?}");
        (client.into_stream(), reader.stream)
    }
}

/// Both sides hear each other.
fn talk(client: &mut TcpStream, target: &mut TcpStream) {
    let mut heard = [0; 4];
    client.write_all(b"ping").and_then(|()| target.read_exact(&mut heard)).expect("to the target");
    assert_eq!(&heard, b"ping");
    target.write_all(b"pong").and_then(|()| client.read_exact(&mut heard)).expect("to the client");
    assert_eq!(&heard, b"pong");
}

#[test]
fn r_p3_after_101_bytes_pass_both_ways_and_each_side_may_finish_first() {
    let setting = setting("", "", &[]);
    let (mut client, mut target) = setting.upgraded();
    (0..10).for_each(|_| talk(&mut client, &mut target));
    client.shutdown(Shutdown::Write).expect("open");
    assert_eq!(target.read(&mut [0]).expect("an ordered end"), 0);
    target.write_all(b"the last word").expect("this direction is open");
    drop(target);
    let mut last = String::new();
    client.read_to_string(&mut last).expect("an ordered end");
    assert_eq!(last, "the last word");
    let entry = setting.weir.logged("the upgrade", |entry| entry["status"] == 101);
    assert_eq!(entry["type"], "ws");
    assert_eq!(setting.weir.metric("weir_http_upgraded_total", &[]), 1);
    assert_eq!(setting.weir.metric("weir_http_errors_total", &[]), 0);
}

/// Neither side waits for the other's head: what follows it belongs to the new protocol.
#[test]
fn r_p3_what_came_right_behind_the_heads_is_passed_on() {
    let Setting { weir: _weir, web, streams, target: _target } = setting("", "", &[]);
    let mut client = Client::connect(web).expect("it listens");
    client.send(format!("{ASK}early client")).expect("sent");
    let mut reader = Reader::new(streams.recv_timeout(PATIENCE).expect("a connection"));
    reader.head().expect("a head").expect("a request");
    reader.stream.write_all(format!("{SWITCH}early target").as_bytes()).expect("sent");
    assert_eq!(client.receive().expect("an answer").status(), 101);
    let mut stream = client.into_stream();
    // The client helper may have read on.
    stream.write_all(b"!").expect("sent");
    assert_eq!(reader.exactly(13).expect("all of it"), b"early client!");
    drop(reader);
    client::read_to_the_end(&mut stream).expect("an ordered end");
}

#[test]
fn r_p3_a_target_that_declines_answers_as_usual_and_connections_are_kept() {
    let target = Target::start(http_target::serve(|request| http_target::ok(request.value("upgrade"))));
    let (config, web) = Config::http(&[target.address]);
    let weir = Weir::start(config.shards(1));
    let mut client = Client::connect(web).expect("it listens");
    for _ in 0..3 {
        assert_eq!(client.ask(ASK).expect("an answer").text(), "websocket");
        assert_eq!(client.get("/").expect("an answer").text(), "", "nothing is left of it");
    }
    assert_eq!(target.visits().len(), 1);
    assert_eq!(weir.metric("weir_http_upgraded_total", &[]), 0);
}

/// A client of HTTP/1.0 cannot ask, and an `Upgrade` that Connection does not name is no wish (RFC 9110 7.8).
#[test]
fn r_p3_without_a_proper_wish_nothing_is_upgraded() {
    let (handler, received) = http_target::recording("a");
    let target = Target::start(handler);
    let (config, web) = Config::http(&[target.address]);
    let _weir = Weir::start(config);
    for request in [ASK.replace("HTTP/1.1", "HTTP/1.0"), ASK.replace(", Upgrade", "")] {
        assert_eq!(http::ask(web, request).expect("an answer").text(), "a");
    }
    let received = received.lock().expect("no panic");
    assert!(received.iter().all(|request| request.value("upgrade").is_empty()), "{received:?}");
}

#[test]
fn r_p3_a_101_that_does_not_say_to_what_is_no_response() {
    let setting = setting("", "", &[]);
    let mut client = Client::connect(setting.web).expect("it listens");
    client.send(ASK).expect("sent");
    let mut reader = Reader::new(setting.streams.recv_timeout(PATIENCE).expect("a connection"));
    reader.head().expect("a head").expect("a request");
    reader.stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").expect("sent");
    assert_eq!(client.receive().expect("an answer").status(), 502);
    setting.weir.failed("bad_response", 1);
}

#[test]
fn r_p3_r_l7_an_upgraded_connection_that_falls_silent_is_closed_on_both_sides() {
    let setting = setting("idle_timeout = \"1s\"", "", &[]);
    let (mut client, mut target) = setting.upgraded();
    for _ in 0..15 {
        talk(&mut client, &mut target);
        thread::sleep(Duration::from_millis(100));
    }
    // How it ends does not matter to either: that it does.
    let _ = client.read_to_end(&mut Vec::new());
    let _ = target.read_to_end(&mut Vec::new());
    setting.weir.failed("idle_timeout", 1);
    setting.weir.wait_for_connections(0);
}

#[test]
fn r_p3_r_w2_an_upgraded_connection_goes_on_at_weight_0_and_through_reloads() {
    let mut setting = setting("", "", &[]);
    let (mut client, mut target) = setting.upgraded();
    let address = setting.target.address;
    setting.weir.change(|config| config.app().set_weight(address, 0));
    talk(&mut client, &mut target);
    setting.weir.change(|config| config.web().keys = "idle_timeout = \"30s\"".into());
    talk(&mut client, &mut target);
    setting.weir.change(|config| config.listeners.clear());
    talk(&mut client, &mut target);
}

#[test]
fn r_p3_r_w3_an_upgraded_connection_of_an_unbound_target_has_its_deregistration_delay() {
    let mut setting = setting("", "deregistration_delay = \"2s\"", &[]);
    let (mut client, mut target) = setting.upgraded();
    setting.weir.change(|config| config.app().targets.clear());
    talk(&mut client, &mut target);
    assert_eq!(http::ask(setting.web, http::get("/")).expect("an answer").status(), 503, "nothing new arrives");
    assert!(client::sees_reset(&mut client));
    assert!(client::sees_reset(&mut target));
    setting.weir.failed("deregistered", 1);
}

#[test]
fn r_p3_r_k3_an_upgraded_connection_goes_on_while_the_process_drains_until_the_deadline() {
    let mut setting = setting("", "", &["--drain", "2s"]);
    let (mut client, mut target) = setting.upgraded();
    setting.weir.signal("TERM");
    wait_until("the port is closed", || client::connect(setting.web).is_err());
    talk(&mut client, &mut target);
    assert!(client::sees_reset(&mut client));
    assert!(client::sees_reset(&mut target));
    assert_eq!(setting.weir.wait_for_end().code(), Some(0));
}
