//! Reloads under load, and reloads of a broken file.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::config::{Config, NO_CHECK, QUICK_CHECK};
use crate::support::load::Load;
use crate::support::target::Target;
use crate::support::weir::{Reload, Weir};
use crate::support::{PATIENCE, client, handlers, place, wait_until};

const RELOADS: usize = 50;
const RELOAD_PAUSE: Duration = Duration::from_millis(100);

#[test]
#[ignore = "long: ./x test runs it"]
fn r_k1_50_reloads_under_load_fail_no_connection() {
    let _turn = place::turn();
    let targets = ["a", "b", "c"].map(|name| Target::start(handlers::identify(name)));
    let (config, web) = Config::relay(&targets.each_ref().map(|target| target.address));
    let mut weir = Weir::start(config);
    let other = place::free();
    let load = Load::start(web, 200, client::ask);
    for round in 0..RELOADS {
        weir.change(|config| toggle(config, round, targets[0].address, other));
        thread::sleep(RELOAD_PAUSE);
    }
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "{} failed: {:?}", outcome.failures.len(), outcome.failures.first());
    let answered: usize = outcome.answers.values().sum();
    println!("{answered} connections over {RELOADS} reloads: {:?}", outcome.answers);
    assert!(answered > RELOADS, "there was load all the time");
    assert_eq!(weir.metric("weir_config_reload_total", &[("result", "success")]), RELOADS);
}

/// Every kind of change that leaves the targets bound, in turn.
fn toggle(config: &mut Config, round: usize, target: SocketAddr, other: SocketAddr) {
    let odd = round / 5 % 2 == 1;
    match round % 5 {
        0 => config.app().set_weight(target, if odd { 10 } else { 0 }),
        1 => config.listeners[0].keys = if odd { String::new() } else { "idle_timeout = \"30s\"".into() },
        2 => config.app().keys = if odd { String::new() } else { "algorithm = \"least_connections\"".into() },
        3 => config.app().check = if odd { NO_CHECK.into() } else { QUICK_CHECK.into() },
        _ if odd => config.listeners.truncate(1),
        _ => *config = config.clone().listener("other", other, "app"),
    }
}

#[test]
fn r_k1_established_connections_live_through_reloads() {
    let target = Target::start(handlers::greet_and_echo("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start(config);
    let mut clients: Vec<_> = (0..20).map(|_| client::greeted(web).expect("a greeting").0).collect();
    for round in 0..6 {
        weir.change(|config| config.listeners[0].keys = format!("idle_timeout = \"{}s\"", 100 + round));
        for stream in &mut clients {
            client::exchange(stream, b"through").expect("it goes on");
        }
    }
    // Even those of a listener that is gone.
    weir.change(|config| config.listeners.clear());
    assert!(client::connect(web).is_err(), "nothing listens");
    for stream in &mut clients {
        client::exchange(stream, b"through").expect("it goes on");
    }
}

#[test]
fn r_k1_a_listener_may_move_to_another_address() {
    let target = Target::start(handlers::greet_and_echo("a"));
    let (config, old) = Config::relay(&[target.address]);
    let mut weir = Weir::start(config);
    let (mut stream, _) = client::greeted(old).expect("a greeting");
    let new = place::free();
    weir.change(|config| config.listeners[0].address = new);
    client::greeted(new).expect("it is there");
    assert!(client::connect(old).is_err(), "and no longer there");
    client::exchange(&mut stream, b"through").expect("who came by the old one stays");
}

/// A listener that cannot bind spoils the whole reload: half a config is none.
#[test]
fn r_k1_a_listener_whose_port_is_taken_changes_nothing() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start(config);
    let taken = TcpListener::bind(place::free()).expect("it is free");
    let taken_address = taken.local_addr().expect("bound");
    let free = place::free();
    let wanted = weir.config.clone().listener("free", free, "app").listener("taken", taken_address, "app").to_toml();
    assert_eq!(weir.reload(&wanted), Reload::Rejected);
    assert!(client::connect(free).is_err(), "nothing of it is in force");
    weir.says(&taken_address.to_string());
    assert_eq!(client::ask(web).expect("it serves on"), "a");
    drop(taken);
    assert_eq!(weir.reload(&wanted), Reload::Applied);
    assert_eq!(client::ask(free).expect("an answer"), "a");
}

#[test]
fn r_k1_a_broken_config_changes_nothing_and_the_log_says_where() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start(config);
    let good = weir.config.to_toml();
    let revision = weir.metric("weir_config_revision", &[]);
    for (broken, complaint) in [
        (good.replace("weight = 10", "weight = 101"), "weight: 101 is out of range"),
        (good.replace("forward = \"app\"", "forward = \"ap\""), "\"ap\""),
        (good.replace("[[listener]]", "[[listener"), "syntax"),
    ] {
        assert_ne!(broken, good);
        assert_eq!(weir.reload(&broken), Reload::Rejected);
        let line = 1 + broken.lines().zip(good.lines()).position(|(new, old)| new != old).expect("they differ");
        let place = format!("weir.toml:{line}:");
        wait_until(&format!("the log says {place} {complaint}"), || {
            weir.log().lines().any(|text| text.contains(&place) && text.contains(complaint))
        });
        assert_eq!(weir.metric("weir_config_revision", &[]), revision);
        assert_eq!(client::ask(web).expect("it serves on"), "a");
    }
    assert_eq!(weir.reload(&good), Reload::Applied, "a good one is taken again");
}

#[test]
fn r_k1_a_pipe_in_the_place_of_the_config_file_changes_nothing_and_holds_nobody_up() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start(config);
    let good = weir.config.to_toml();
    std::fs::remove_file(weir.config_path()).expect("it is there");
    assert!(Command::new("mkfifo").arg(weir.config_path()).status().expect("mkfifo").success());
    weir.signal("HUP");
    wait_until("it is counted", || weir.metric("weir_config_reload_total", &[("result", "failure")]) > 0);
    weir.says("it is a pipe");
    assert_eq!(client::ask(web).expect("it serves on"), "a");
    assert_eq!(weir.reload(&good), Reload::Applied, "a file is taken again");
    weir.signal("TERM");
    assert_eq!(weir.wait_for_end().code(), Some(0));
}

/// As systemd wants it of `Type=notify`: a reload that begins also ends, and the last word of a stop is that it stops.
#[test]
fn systemd_hears_of_each_reload_that_it_begins_and_ends_and_of_none_once_weir_stops() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).expect("a socket");
    let (say, heard) = mpsc::channel();
    // Who does not listen holds up who speaks: the socket's queue is short.
    thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok(length) = systemd.recv(&mut bytes) {
            let word = String::from_utf8_lossy(&bytes[..length]).lines().next().unwrap_or_default().to_owned();
            if say.send(word).is_err() {
                return;
            }
        }
    });
    let hear = || heard.recv_timeout(PATIENCE).expect("a word");
    let (config, _) = Config::relay(&[]);
    let variable = format!("NOTIFY_SOCKET={}", path.display());
    let mut weir = Weir::start_under(&["env", &variable], config, &[]);
    assert_eq!(hear(), "READY=1");
    (0..10).for_each(|_| weir.signal("HUP"));
    wait_until("it reloads", || weir.metric("weir_config_reload_total", &[("result", "success")]) > 0);
    (0..10).for_each(|_| weir.signal("HUP"));
    weir.signal("TERM");
    assert_eq!(weir.wait_for_end().code(), Some(0));
    let mut before = Vec::new();
    while before.last().is_none_or(|word| word != "STOPPING=1") {
        before.push(hear());
    }
    before.pop();
    let after: Vec<String> = heard.try_iter().collect();
    let pair = ["RELOADING=1", "READY=1"];
    assert!(
        before.len() >= 2 && before.iter().enumerate().all(|(index, word)| word == pair[index % 2]),
        "{before:?}, {after:?}"
    );
    assert!(after.iter().all(|word| !pair.contains(&word.as_str())), "{before:?}, {after:?}");
}

#[test]
fn r_k1_a_config_file_that_is_gone_changes_nothing() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let weir = Weir::start(config);
    std::fs::remove_file(weir.config_path()).expect("it is there");
    weir.signal("HUP");
    wait_until("it is counted", || weir.metric("weir_config_reload_total", &[("result", "failure")]) > 0);
    assert_eq!(client::ask(web).expect("it serves on"), "a");
}
