//! SIGTERM: no new connections, established ones finish, until a deadline or a second signal.

use std::io::ErrorKind;

use crate::support::config::Config;
use crate::support::handlers::{self, End};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{PATIENCE, client, wait_until};

#[test]
fn r_k3_a_stop_closes_the_port_and_waits_for_established_connections() {
    let target = Target::start(handlers::greet_and_echo("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start_under(&[], config, &["--drain", "10m"]);
    let mut clients: Vec<_> = (0..10).map(|_| client::greeted(web).expect("a greeting").0).collect();
    weir.signal("TERM");
    wait_until("the port is closed", || {
        client::connect(web).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    let ready = weir.get("/readyz").expect("the admin endpoint answers while it drains");
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert_eq!(weir.get("/livez").expect("it answers").status, 200);
    while let Some(mut stream) = clients.pop() {
        client::exchange(&mut stream, b"still here").expect("established connections go on");
    }
    assert_eq!(weir.wait_for_end().code(), Some(0), "it ends by itself when they have");
}

#[test]
fn r_k3_a_stop_without_connections_ends_at_once() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start_under(&[], config, &["--drain", "10m"]);
    client::ask(web).expect("an answer");
    weir.signal("TERM");
    assert_eq!(weir.wait_for_end().code(), Some(0));
}

#[test]
fn r_k3_at_the_deadline_what_is_left_is_reset_on_both_sides() {
    let (greet, ends) = handlers::greet_and_report("a");
    let target = Target::start(greet);
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start_under(&[], config, &["--drain", "1s"]);
    let (mut stream, _) = client::greeted(web).expect("a greeting");
    weir.signal("TERM");
    assert!(client::sees_reset(&mut stream));
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(End::Reset));
    assert_eq!(weir.wait_for_end().code(), Some(0));
}

#[test]
fn r_k3_a_second_signal_stops_at_once() {
    let target = Target::start(handlers::greet_and_echo("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start_under(&[], config, &["--drain", "10m"]);
    let (mut stream, _) = client::greeted(web).expect("a greeting");
    weir.signal("TERM");
    wait_until("it drains", || client::connect(web).is_err());
    client::exchange(&mut stream, b"still here").expect("it waits");
    weir.signal("TERM");
    weir.wait_for_end();
    assert!(client::exchange(&mut stream, b"still here").is_err(), "the connection is gone");
}

#[test]
fn r_k3_a_reload_while_draining_opens_nothing_again() {
    let target = Target::start(handlers::greet_and_echo("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start_under(&[], config, &["--drain", "10m"]);
    let (mut stream, _) = client::greeted(web).expect("a greeting");
    weir.signal("TERM");
    wait_until("it drains", || client::connect(web).is_err());
    weir.signal("HUP");
    weir.says("not reloading");
    assert!(client::connect(web).is_err());
    client::exchange(&mut stream, b"still here").expect("it waits");
    drop(stream);
    assert_eq!(weir.wait_for_end().code(), Some(0));
}
