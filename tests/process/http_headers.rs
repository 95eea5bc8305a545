//! What targets learn of clients, and what neither side gets to see (requirements C1, P1).

use std::net::SocketAddr;

use crate::support::config::Config;
use crate::support::http::{self, Message};
use crate::support::http_target::{self, Received};
use crate::support::target::Target;
use crate::support::weir::Weir;

fn recorded(keys: &str) -> (Weir, SocketAddr, Target, Received) {
    let (handler, received) = http_target::recording("a");
    let target = Target::start(handler);
    let (mut config, web) = Config::http(&[target.address]);
    config.web().keys = keys.into();
    (Weir::start(config), web, target, received)
}

/// What the target got of a request with these fields.
fn passed(web: SocketAddr, received: &Received, fields: &str) -> Message {
    let answer = http::ask(web, format!("GET /path?query HTTP/1.1\r\nHost: a.example:8080\r\n{fields}\r\n"));
    assert_eq!(answer.expect("an answer").status(), 200);
    received.lock().expect("no panic").pop().expect("it reached the target")
}

#[test]
fn r_c1_the_target_learns_the_clients_address_in_each_mode() {
    const CLAIMED: &str =
        "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 203.0.113.7\r\n";
    let cases = [
        ("append", "203.0.113.7, 127.0.0.1", "http", "own"),
        ("preserve", "203.0.113.7", "https", "1"),
        ("remove", "", "", ""),
    ];
    for (mode, forwarded_for, proto, port) in cases {
        let (_weir, web, _target, received) = recorded(&format!("x_forwarded_for = \"{mode}\""));
        let request = passed(web, &received, CLAIMED);
        let own = web.port().to_string();
        let port = if port == "own" { &own } else { port };
        assert_eq!(request.value("x-forwarded-for"), forwarded_for, "{mode}");
        assert_eq!((request.value("x-forwarded-proto"), request.value("x-forwarded-port")), (proto, port), "{mode}");
        assert_eq!(request.values("x-real-ip").collect::<Vec<_>>(), ["127.0.0.1"], "{mode}: the connection's");
        assert_eq!(request.value("host"), "a.example:8080", "{mode}");
    }
    let (_weir, web, _target, received) = recorded("");
    let request = passed(web, &received, "");
    assert_eq!(request.value("x-forwarded-for"), "127.0.0.1", "by default");
    assert_eq!(request.line, "GET /path?query HTTP/1.1");
}

#[test]
fn r_p1_fields_of_one_hop_do_not_pass() {
    let (_weir, web, _target, received) = recorded("");
    let request = passed(
        web,
        &received,
        "Connection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Passes: 1\r\n",
    );
    for name in ["connection", "x-mine", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(request.value(name), "", "{name}: {request:?}");
    }
    assert_eq!(request.value("x-passes"), "1");

    let target = Target::start(http_target::serve(|_| {
        http_target::response(
            "200 OK",
            "Connection: X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nServer: target/1\r\nX-Passes: 1\r\n",
            "a",
        )
    }));
    let (config, web) = Config::http(&[target.address]);
    let _weir = Weir::start(config);
    let answer = http::ask(web, http::get("/")).expect("an answer");
    for name in ["connection", "x-own", "keep-alive"] {
        assert_eq!(answer.value(name), "", "{name}: {answer:?}");
    }
    assert_eq!((answer.value("x-passes"), answer.value("server")), ("1", "target/1"));
}

#[test]
fn r_c1_a_trace_id_is_made_or_carried_on() {
    let (weir, web, _target, received) = recorded("trace_id = true");
    let made = passed(web, &received, "");
    let id = made.value("x-amzn-trace-id").to_owned();
    let parts: Vec<&str> = id.strip_prefix("Root=").expect("a root").split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [1, 8, 24], "{id}");
    weir.logged("the same id", |entry| entry["trace_id"] == id.as_str());
    let carried = passed(web, &received, "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\n");
    let carried = carried.value("x-amzn-trace-id");
    assert!(
        carried.starts_with("Self=1-") && carried.ends_with(";Root=1-67891233-abcdef012345678912345678"),
        "{carried}"
    );
    assert!(passed(web, &received, "").value("x-amzn-trace-id") != id, "each has its own");
}
