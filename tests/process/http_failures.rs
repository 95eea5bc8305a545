//! What clients are told when something is wrong, and what counters and access log say of it (requirement P6).

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::support::config::{Config, QUICK_CHECK};
use crate::support::http::{self, Client, Kind, Message, Reader};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{client, handlers, http_target, namespace, place};

/// Asks once; what the client was told must be this, counted and logged for this reason.
fn fails(weir: &Weir, web: SocketAddr, request: impl AsRef<[u8]>, status: u16, reason: &str) -> Message {
    let counted = || weir.metric("weir_http_errors_total", &[("reason", reason)]);
    let before = counted();
    let answer = http::ask(web, request).unwrap_or_else(|error| panic!("{reason}: {error}"));
    assert_eq!(answer.status(), status, "{reason}: {answer:?}");
    assert!(!answer.body.is_empty(), "{reason}: a page");
    weir.failed(reason, before + 1);
    let entry = weir.access_log().into_iter().rfind(|entry| entry["reason"] == reason).expect("it was there just now");
    assert_eq!(entry["status"], status, "{reason}");
    answer
}

#[test]
fn r_l4_r_p6_without_a_target_an_http_listener_answers_503() {
    let (config, web) = Config::http(&[]);
    let mut weir = Weir::start(config);
    fails(&weir, web, http::get("/"), 503, "no_target");
    let target = http_target::start("a");
    weir.change(|config| config.app().targets.push((target.address, 10)));
    assert_eq!(http::visit(web).expect("an answer"), "a");
    weir.change(|config| config.app().set_weight(target.address, 0));
    fails(&weir, web, http::get("/"), 503, "no_target");
    // The connection outlives it.
    let mut client = Client::connect(web).expect("it listens");
    assert_eq!(client.get("/").expect("an answer").status(), 503);
    weir.change(|config| config.app().set_weight(target.address, 10));
    assert_eq!(client.get("/").expect("on the same connection").text(), "a");
}

#[test]
fn r_b5_without_a_healthy_target_a_group_that_fails_closed_answers_503_and_one_that_fails_open_tries() {
    let (mut config, web) = Config::http(&[place::free()]);
    config.app().keys = "fail_open = false".into();
    config.app().check = QUICK_CHECK.into();
    let mut weir = Weir::start(config);
    let target = weir.config.groups[0].targets[0].0;
    weir.wait_for_state("app", target, "unhealthy");
    fails(&weir, web, http::get("/"), 503, "no_target");
    weir.change(|config| config.app().keys = String::new());
    fails(&weir, web, http::get("/"), 502, "connect_failed");
}

/// Where addresses mean something: on loopback everybody has the same one.
#[test]
fn r_b4_a_client_is_never_sent_to_its_own_address() {
    const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
    namespace::inside("http_failures::r_b4_a_client_is_never_sent_to_its_own_address", &[OWN, OTHER], || {
        let (own, other) = (place::free_on(OWN), place::free_on(OTHER));
        let _own = Target::start_at(own, http_target::named("own"));
        let _other = Target::start_at(other, http_target::named("other"));
        let (config, web) = Config::http(&[own, other]);
        let mut weir = Weir::start(config);
        let ask = |from: Ipv4Addr| {
            let mut stream = client::connect_from(SocketAddr::new(from.into(), 0), web).expect("it listens");
            stream.write_all(http::get("/").as_bytes()).expect("sent");
            Reader::new(stream).message(Kind::Response).expect("an answer").expect("a response")
        };
        (0..10).for_each(|_| assert_eq!(ask(OWN).text(), "other"));
        (0..10).for_each(|_| assert_eq!(ask(OTHER).text(), "own"));
        weir.change(|config| config.app().remove(other));
        assert_eq!(ask(OWN).status(), 503);
        assert_eq!(weir.failed("loopback", 1)["status"], 503);
        assert_eq!(ask(OTHER).text(), "own", "others still reach it");
    });
}

#[test]
fn r_p6_each_failure_of_a_target_has_its_status_and_reason() {
    const LONG: usize = 40_000;
    let target = Target::start(http_target::serve(|request| match request.path() {
        // Nothing, and the end.
        "/nothing" => b"Connection: close"[..0].to_vec(),
        "/garbage" => b"SSH-2.0-OpenSSH_9.2p1\r\nConnection: close\r\n\r\n".to_vec(),
        "/long" => http_target::response("200 OK", &format!("X-Long: {}\r\n", "x".repeat(LONG)), "body"),
        "/lengths" => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody".to_vec(),
        "/switch" => b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".to_vec(),
        "/late" => {
            std::thread::sleep(std::time::Duration::from_secs(5));
            http_target::ok("late")
        }
        _ => http_target::ok("good"),
    }));
    let (mut config, web) = Config::http(&[target.address]);
    config.app().keys = "response_timeout = \"1s\"".into();
    let weir = Weir::start(config);
    for path in ["/garbage", "/long", "/lengths", "/switch"] {
        let answer = fails(&weir, web, http::get(path), 502, "bad_response");
        assert!(answer.value("server").is_empty(), "nothing that the target said: {answer:?}");
    }
    fails(&weir, web, http::get("/late"), 504, "response_timeout");
    assert_eq!(http::visit(web).expect("an answer"), "good");
    assert_eq!(weir.metric("weir_http_responses_total", &[("code_class", "5xx")]), 5);
}

#[test]
fn r_p6_a_target_that_closes_without_an_answer_is_502() {
    let target = Target::start(handlers::reset_after_a_byte());
    let (config, web) = Config::http(&[target.address]);
    let weir = Weir::start(config);
    fails(&weir, web, http::get("/"), 502, "target_closed");
    fails(&weir, web, http::post("/", b"body"), 502, "target_closed");
    let silent = Target::start(Arc::new(|stream| drop(Reader::new(stream).head())));
    let (config, web) = Config::http(&[silent.address]);
    let weir = Weir::start(config);
    fails(&weir, web, http::get("/"), 502, "target_closed");
    assert_eq!(silent.visits().len(), 1, "it was asked once: a new connection is no stale one");
}

#[test]
fn r_p6_a_target_that_refuses_is_502_and_one_that_never_answers_a_connect_is_504() {
    let (config, web) = Config::http(&[place::free()]);
    let weir = Weir::start(config);
    let answer = fails(&weir, web, http::get("/"), 502, "connect_failed");
    assert!(answer.value("content-type").starts_with("text/plain"));
    let target = http_target::start("a");
    target.fall_silent();
    let (mut config, web) = Config::http(&[target.address]);
    config.app().keys = "connect_timeout = \"300ms\"".into();
    let weir = Weir::start(config);
    fails(&weir, web, http::get("/"), 504, "connect_timeout");
}

/// What never reaches a target, whatever the rules say.
#[test]
fn r_p6_r_p3_each_refused_request_has_its_status_and_reason_and_reaches_nobody() {
    let (handler, received) = http_target::recording("a");
    let target = Target::start(handler);
    let (mut config, web) = Config::http(&[target.address]);
    config.web().keys = "request_body_max = \"10KiB\"".into();
    let weir = Weir::start(config);
    let long = "x".repeat(20_000);
    let many = "X-Field: some value of this one here\r\n".repeat(99);
    let large = format!("X-Large: {}\r\n", "y".repeat(16_000)).repeat(5);
    let addresses = vec!["10.0.0.1"; 31].join(", ");
    let head = |line: &str, fields: &str| format!("{line}\r\nHost: a.example\r\n{fields}\r\n");
    let chunk = format!("2800\r\n{}\r\n1\r\nz\r\n0\r\n\r\n", "z".repeat(10_240));
    let cases = [
        (head("GET / HTTP/1.1", "Host: b.example\r\n"), 400, "bad_request"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "bad_request"),
        (head("POST / HTTP/1.1", "Content-Length: 1, 2\r\n"), 400, "bad_request"),
        (head("GET / HTTP/1.1", "Bad Field: 1\r\n"), 400, "bad_request"),
        ("\u{16}\u{3}\u{1} a TLS hello\r\n\r\n".to_owned(), 400, "bad_request"),
        (head("CONNECT a.example:443 HTTP/1.1", ""), 405, "method_not_allowed"),
        (head("TRACE / HTTP/1.1", ""), 405, "method_not_allowed"),
        (head("POST / HTTP/1.1", "Content-Length: 10241\r\n"), 413, "body_too_large"),
        (head("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n") + &chunk, 413, "body_too_large"),
        (head(&format!("GET /{long} HTTP/1.1"), ""), 414, "uri_too_long"),
        (head("GET / HTTP/1.1", &format!("X-Long: {long}\r\n")), 431, "headers_too_large"),
        (head("GET / HTTP/1.1", &large), 431, "headers_too_large"),
        (head("GET / HTTP/1.1", &format!("{many}{many}")), 431, "headers_too_large"),
        (head("GET / HTTP/1.1", &format!("X-Forwarded-For: {addresses}\r\n")), 463, "forwarded_too_long"),
        (head("POST / HTTP/1.1", "Transfer-Encoding: gzip\r\n"), 501, "not_implemented"),
        (head("GET / HTTP/2.0", ""), 505, "version_not_supported"),
    ];
    for (request, status, reason) in cases {
        let answer = fails(&weir, web, &request, status, reason);
        if status != 463 && status != 405 {
            assert_eq!(answer.value("connection"), "close", "{reason}");
        }
    }
    // The chunked one was found out on its way; it arrives nowhere as a whole.
    assert_eq!(received.lock().expect("no panic").len(), 0, "{received:?}");
    let good = [http::post("/", &[b'x'; 10_240]), http::get("/").into_bytes()];
    good.iter().for_each(|request| assert_eq!(http::ask(web, request).expect("an answer").status(), 200));
    assert_eq!(received.lock().expect("no panic").len(), 2);
}

#[test]
fn r_p6_a_body_of_unknown_length_for_targets_of_1_0_is_464() {
    let (handler, received) = http_target::recording("a");
    let target = Target::start(handler);
    let (mut config, web) = Config::http(&[target.address]);
    config.app().keys = "http_version = \"1.0\"".into();
    let weir = Weir::start(config);
    let chunked = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    fails(&weir, web, chunked, 464, "version_mismatch");
    assert_eq!(http::ask(web, http::post("/", b"known")).expect("an answer").text(), "a");
    let received = received.lock().expect("no panic");
    assert!(received[0].line.ends_with("HTTP/1.0") && received.len() == 1, "{received:?}");
}

#[test]
fn r_p6_the_operators_pages_and_server_name_are_used() {
    let page = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(page.path(), "<p>come back later").expect("write it");
    let target = http_target::start("a");
    let (mut config, web) = Config::http(&[]);
    config.web().keys = "server_header = \"edge\"".into();
    let path = page.path().display();
    config.web().tables = format!(
        "[[listener.error_page]]\nstatus = 503\nfile = \"{path}\"\ncontent_type = \"text/html; charset=utf-8\""
    );
    let mut weir = Weir::start(config);
    let answer = fails(&weir, web, http::get("/"), 503, "no_target");
    assert_eq!(answer.text(), "<p>come back later");
    assert_eq!((answer.value("content-type"), answer.value("server")), ("text/html; charset=utf-8", "edge"));
    let answer = fails(&weir, web, "BAD\r\n\r\n", 400, "bad_request");
    assert!(answer.text() != "<p>come back later" && answer.value("server") == "edge");
    let mut client = Client::connect(web).expect("it listens");
    client.send("HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n").expect("sent");
    let head = client.receive_head().expect("a head");
    assert_eq!((head.status(), head.value("content-length")), (503, "18"));
    weir.change(|config| config.app().targets.push((target.address, 10)));
    assert_eq!(client.get("/").expect("nothing is left of it").value("server"), "edge");
}
