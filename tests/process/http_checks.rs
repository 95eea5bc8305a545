//! Health checks by HTTP: what is asked, which answers are good, and what that does to traffic (requirements H1, H3).

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::config::Config;
use crate::support::http::{self, Message};
use crate::support::target::{Handler, Target};
use crate::support::weir::Weir;
use crate::support::{http_target, wait_until};

const QUICK: &str = "interval = \"200ms\", timeout = \"150ms\", healthy = 2, unhealthy = 2";

/// A target whose `/healthz` answers with a status that the test sets.
fn switchable(name: &'static str) -> (Handler, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let answered = Arc::clone(&status);
    let handler = http_target::serve(move |request: &Message| match request.path() {
        "/healthz" if request.method() == "HEAD" => {
            format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\n\r\n", answered.load(Ordering::Relaxed)).into_bytes()
        }
        "/healthz" => http_target::response(&format!("{} X", answered.load(Ordering::Relaxed)), "", "health"),
        _ => http_target::ok(name),
    });
    (handler, status)
}

#[test]
fn r_h1_r_h3_a_target_that_answers_500_is_left_out_and_comes_back_by_itself() {
    let ((a, status_of_a), (b, _status)) = (switchable("a"), switchable("b"));
    let (a, b) = (Target::start(a), Target::start(b));
    let (mut config, web) = Config::http(&[a.address, b.address]);
    config.app().check = format!("protocol = \"http\", path = \"/healthz\", {QUICK}");
    let weir = Weir::start(config);
    [&a, &b].iter().for_each(|target| weir.wait_for_state("app", target.address, "healthy"));
    status_of_a.store(500, Ordering::Relaxed);
    weir.wait_for_state("app", a.address, "unhealthy");
    assert_eq!(weir.health("app", a.address)["reason"], "Target.ResponseCodeMismatch");
    (0..20).for_each(|_| assert_eq!(http::visit(web).expect("an answer"), "b"));
    status_of_a.store(204, Ordering::Relaxed);
    weir.wait_for_state("app", a.address, "healthy");
    wait_until("it takes requests again", || http::visit(web).expect("an answer") == "a");
}

#[test]
fn r_h1_the_check_asks_what_the_group_says() {
    for (check, line, host) in [
        (
            "path = \"/healthz?deep=1\", host = \"app.example\", method = \"GET\", version = \"1.0\"",
            "GET /healthz?deep=1 HTTP/1.0",
            "app.example",
        ),
        ("", "HEAD / HTTP/1.1", "own"),
    ] {
        let received = http_target::Received::default();
        let kept = Arc::clone(&received);
        let target = Target::start(http_target::serve(move |request| {
            kept.lock().expect("no panic").push(request.clone());
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
        }));
        let (mut config, _) = Config::http(&[target.address]);
        let separator = if check.is_empty() { "" } else { ", " };
        config.app().check = format!("protocol = \"http\", {check}{separator}{QUICK}");
        let weir = Weir::start(config);
        weir.wait_for_state("app", target.address, "healthy");
        let received = received.lock().expect("no panic");
        let own = target.address.to_string();
        assert_eq!(
            (received[0].line.as_str(), received[0].value("host")),
            (line, if host == "own" { &own } else { host })
        );
    }
}

#[test]
fn r_h1_the_matcher_says_which_answers_are_good() {
    for (matcher, status, state) in [
        ("200-299", 302, "unhealthy"),
        ("200-399", 302, "healthy"),
        ("200,404", 404, "healthy"),
        ("200,404", 403, "unhealthy"),
        ("500-599", 503, "healthy"),
    ] {
        let (handler, answered) = switchable("a");
        answered.store(status, Ordering::Relaxed);
        let target = Target::start(handler);
        let (mut config, _) = Config::http(&[target.address]);
        config.app().check = format!("protocol = \"http\", path = \"/healthz\", matcher = \"{matcher}\", {QUICK}");
        let weir = Weir::start(config);
        println!("{matcher}: {status}");
        weir.wait_for_state("app", target.address, state);
    }
}

#[test]
fn r_h1_r_h5_what_is_no_http_answer_is_a_failure_with_its_name() {
    let silent: Handler = Arc::new(|stream| {
        let _held = stream;
        thread::sleep(Duration::from_millis(500));
    });
    let garbage: Handler = Arc::new(|mut stream| drop(stream.write_all(b"220 mail.example ESMTP\r\n")));
    for (handler, reason) in [(silent, "Target.Timeout"), (garbage, "Target.FailedHealthChecks")] {
        let target = Target::start(handler);
        let (mut config, _) = Config::http(&[target.address]);
        config.app().check = format!("protocol = \"http\", {QUICK}");
        let weir = Weir::start(config);
        weir.wait_for_state("app", target.address, "unhealthy");
        let health = weir.health("app", target.address);
        assert_eq!(health["reason"], reason, "{health}");
    }
}

/// The default of an http group: its checks are http, too.
#[test]
fn r_h1_a_tcp_group_may_be_checked_by_http_and_an_http_group_by_tcp() {
    let (handler, status) = switchable("a");
    status.store(500, Ordering::Relaxed);
    let target = Target::start(handler);
    for (protocol, check, state) in [
        ("http", format!("path = \"/healthz\", {QUICK}"), "unhealthy"),
        ("http", format!("protocol = \"tcp\", {QUICK}"), "healthy"),
        ("tcp", format!("protocol = \"http\", path = \"/healthz\", {QUICK}"), "unhealthy"),
    ] {
        let (mut config, _) = Config::http(&[target.address]);
        config.web().protocol = protocol;
        config.app().protocol = protocol;
        config.app().check = check;
        let weir = Weir::start(config);
        weir.wait_for_state("app", target.address, state);
    }
}
