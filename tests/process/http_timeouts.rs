//! Those who are too slow: each timeout has its status, its counter and its reason in the log.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::support::config::Config;
use crate::support::http::{self, Client, Reader};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{PATIENCE, client, handlers, http_target, wait_until};

const SHORT: &str = "header_timeout = \"1s\"\nbody_timeout = \"1s\"\nsend_timeout = \"1s\"\nidle_timeout = \"1s\"";
const STEP: Duration = Duration::from_millis(100);

/// A balancer whose listener has the short timeouts, in front of a target that answers.
fn impatient() -> (Weir, SocketAddr, Target) {
    let target = http_target::start("a");
    let (mut config, web) = Config::http(&[target.address]);
    config.web().keys = SHORT.into();
    (Weir::start(config), web, target)
}

/// A byte now and then is no progress: the head as a whole has its time.
#[test]
fn r_l7_r_p6_a_head_that_trickles_is_408() {
    let (weir, web, target) = impatient();
    let mut client = Client::connect(web).expect("it listens");
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nX-Slow: ").expect("sent");
    let mut trickle = client.stream().try_clone().expect("dup");
    let trickler = thread::spawn(move || {
        // Until the balancer has enough.
        while trickle.write_all(b"x").is_ok() {
            thread::sleep(STEP);
        }
    });
    let answer = client.receive().expect("an answer");
    assert_eq!((answer.status(), answer.value("connection")), (408, "close"));
    drop(client);
    trickler.join().expect("no panic");
    assert_eq!(weir.failed("header_timeout", 1)["status"], 408);
    assert!(target.visits().is_empty());
}

#[test]
fn r_p6_a_target_that_never_says_100_is_504() {
    let (hand_over, _streams) = handlers::hand_over();
    let target = Target::start(hand_over);
    let (mut config, web) = Config::http(&[target.address]);
    config.app().keys = "response_timeout = \"1s\"".into();
    let weir = Weir::start(config);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(http::ask(web, request).expect("an answer").status(), 504);
    weir.failed("response_timeout", 1);
}

/// RFC 9112 2.2: old clients send one behind a body. The request that follows much later is another matter.
#[test]
fn r_l7_an_empty_line_ahead_of_a_request_takes_none_of_its_heads_time() {
    let target = http_target::start("a");
    let (mut config, web) = Config::http(&[target.address]);
    config.web().keys = "header_timeout = \"1s\"".into();
    let _weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    client.send("\r\n").expect("sent");
    thread::sleep(Duration::from_millis(1200));
    client.send("GET / HTTP/1.1\r\n").expect("sent");
    thread::sleep(STEP);
    client.send("Host: a.example\r\n\r\n").expect("sent");
    assert_eq!(client.receive().expect("an answer").text(), "a");
}

#[test]
fn r_m3_a_client_that_goes_in_the_middle_of_a_head_has_its_line() {
    let (weir, web, _target) = impatient();
    let mut client = Client::connect(web).expect("it listens");
    client.send("GET /half HTTP/1.1\r\nHost: a.exa").expect("sent");
    drop(client);
    assert_eq!(weir.failed("client_gone", 1)["status"], 460);
}

#[test]
fn r_p6_a_body_that_stands_still_is_408_and_one_that_moves_on_is_not() {
    let (weir, web, _target) = impatient();
    for body in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let answer = http::ask(web, format!("POST / HTTP/1.1\r\nHost: a.example\r\n{body}")).expect("an answer");
        assert_eq!((answer.status(), answer.value("connection")), (408, "close"));
    }
    assert_eq!(weir.failed("body_timeout", 2)["status"], 408);
    let mut client = Client::connect(web).expect("it listens");
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 15\r\n\r\n").expect("sent");
    for _ in 0..15 {
        thread::sleep(STEP);
        client.send("x").expect("it takes its time");
    }
    assert_eq!(client.receive().expect("an answer").text(), "a");
    assert_eq!(weir.metric("weir_http_errors_total", &[]), 2);
}

#[test]
fn r_l7_an_idle_http_connection_is_closed_in_order() {
    let (weir, web, _target) = impatient();
    let mut fresh = Client::connect(web).expect("it listens");
    assert!(fresh.sees_the_end(), "before its first request");
    let mut used = Client::connect(web).expect("it listens");
    for _ in 0..15 {
        assert_eq!(used.get("/").expect("requests postpone it").text(), "a");
        thread::sleep(STEP);
    }
    assert!(used.sees_the_end(), "after its last");
    weir.wait_for_connections(0);
    assert_eq!(weir.metric("weir_connections_closed_total", &[("reason", "idle_timeout")]), 2);
    assert_eq!(weir.metric("weir_http_errors_total", &[]), 0, "no request failed");
}

#[test]
fn r_p6_a_client_that_does_not_take_its_response_is_cut_off() {
    let endless = Target::start(std::sync::Arc::new(|stream| {
        let mut reader = Reader::new(stream);
        let _ = reader.head();
        let _ = reader.stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while reader.stream.write_all(&[b'x'; 16_384]).is_ok() {}
    }));
    let (mut config, web) = Config::http(&[endless.address]);
    config.web().keys = SHORT.into();
    let weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    client.send(http::get("/")).expect("sent");
    weir.failed("send_timeout", 1);
    weir.wait_for_connections(0);
    let end = client.into_stream().read_to_end(&mut Vec::new());
    assert!(end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "its response was cut short");
}

#[test]
fn r_p6_a_target_that_stops_in_the_middle_of_its_response_breaks_it() {
    let (hand_over, streams) = handlers::hand_over();
    let target = Target::start(hand_over);
    let (mut config, web) = Config::http(&[target.address]);
    config.app().keys = "response_timeout = \"1s\"".into();
    let weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    client.send(http::get("/")).expect("sent");
    let mut stream = streams.recv_timeout(PATIENCE).expect("a connection");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n").expect("sent");
    for _ in 0..14 {
        thread::sleep(STEP);
        stream.write_all(b"x").expect("as long as it goes on, it may");
    }
    assert!(client::is_reset(&client.receive()));
    weir.failed("response_timeout", 1);
    // The target is not left alone with it.
    wait_until("the target's connection ends", || stream.write_all(b"x").is_err());
}
