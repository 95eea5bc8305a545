//! The command line: what a person sees who starts it, checks a file, asks whether the host will do.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};

use crate::support::config::Config;
use crate::support::target::Target;
use crate::support::weir::{BINARY, Weir, run};
use crate::support::{admin, client, handlers, place, wait_until};

#[test]
fn r_l1_a_taken_address_is_an_error_that_names_both_lines() {
    let (config, web) = Config::relay(&[]);
    let text = config.listener("twin", web, "app").to_toml();
    let (status, said) = check(&text);
    assert_eq!(status, Some(1));
    let line_of = |name: &str| 1 + text.lines().position(|line| line.contains(name)).expect("it is there");
    // Both address lines are two below their name.
    let (first, second) = (line_of("\"web\""), line_of("\"twin\""));
    assert!(said.contains("\"twin\"") && said.contains("\"web\""), "{said}");
    let line = said.lines().find(|line| line.contains("twin")).expect("the culprit is named");
    let numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<usize>().ok());
    let numbers: Vec<_> = numbers.collect();
    let near = |place: usize| numbers.iter().any(|number| (place - 1..=place + 2).contains(number));
    assert!(near(first) && near(second), "lines {first} and {second}: {line}");
}

#[test]
fn r_l5_ports_below_1024_are_refused_under_the_clb_policy_and_taken_without_it() {
    let config = |policy: &str| {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 22);
        let text = Config::new().listener("web", address, "app").group(crate::support::config::Group::new("app"));
        text.to_toml().replace("[balancer]", &format!("[balancer]\nport_policy = \"{policy}\""))
    };
    let (status, said) = check(&config("clb"));
    assert_eq!(status, Some(1));
    assert!(said.contains("port 22") && said.contains("web"), "{said}");
    assert_eq!(check(&config("any")).0, Some(0));
    let allowed = config("clb").replace(":22\"", ":443\"");
    assert_eq!(check(&allowed).0, Some(0));
}

#[test]
fn r_k1_check_prints_every_mistake_with_its_line() {
    let (config, _) = Config::relay(&[place::free(), place::free()]);
    let text = config.to_toml().replace("weight = 10", "weight = 101").replace("name = \"web\"", "nane = \"web\"");
    let (status, said) = check(&text);
    assert_eq!(status, Some(1));
    for (number, line) in text.lines().enumerate() {
        if line.contains("weight = 101") || line.contains("nane") {
            assert!(said.contains(&format!("weir.toml:{}: ", number + 1)), "line {}: {line}\n{said}", number + 1);
        }
    }
    assert_eq!(said.matches("101 is out of range").count(), 2, "{said}");
}

#[test]
fn check_finds_nothing_wrong_with_the_sample_config() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/weir.toml");
    let output = run(&["check", "--config", sample]);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
}

#[test]
fn check_says_so_when_there_is_no_such_file() {
    let output = run(&["check", "--config", "/nonexistent/weir.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("/nonexistent/weir.toml"), "{}", text_of(&output));
}

#[test]
fn run_refuses_a_broken_config_with_the_same_words_as_check() {
    let (config, _) = Config::relay(&[place::free()]);
    let text = config.to_toml().replace("weight = 10", "weight = 101");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("weir.toml").display().to_string();
    fs::write(&path, text).expect("write the config");
    let (checked, ran) = (run(&["check", "--config", &path]), run(&["run", "--config", &path]));
    assert_eq!(ran.status.code(), Some(1));
    let complaint = "weight: 101 is out of range";
    assert!(text_of(&checked).contains(complaint) && text_of(&ran).contains(complaint), "{}", text_of(&ran));
}

#[test]
fn run_names_the_listener_whose_port_another_process_has() {
    let (config, web) = Config::relay(&[place::free()]);
    let taken = TcpListener::bind(web).expect("it is free");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("weir.toml").display().to_string();
    fs::write(&path, config.to_toml()).expect("write the config");
    let output = run(&["run", "--config", &path]);
    assert_eq!(output.status.code(), Some(1));
    let said = text_of(&output);
    assert!(said.contains("\"web\"") && said.contains(&taken.local_addr().expect("bound").to_string()), "{said}");
}

#[test]
fn a_second_balancer_cannot_share_the_ports_of_the_first() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let first = Weir::start(config);
    let mut second = first.config.clone();
    second.admin = place::free();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("weir.toml").display().to_string();
    fs::write(&path, second.to_toml()).expect("write the config");
    let output = run(&["run", "--config", &path]);
    assert_eq!(output.status.code(), Some(1), "{}", text_of(&output));
    assert_eq!(client::ask(web).expect("the first serves on"), "a");
}

#[test]
fn doctor_finds_nothing_here_that_keeps_weir_from_running() {
    let output = run(&["doctor"]);
    println!("{}", text_of(&output));
    assert_eq!(output.status.code(), Some(0));
}

/// On the ports that the README names, where they are free.
#[test]
fn demo_answers_on_8090_and_8080_from_three_targets() {
    let _turn = place::turn();
    let at = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let (tcp, http, admin) = (at(8090), at(8080), at(9900));
    for place in [tcp, http, admin] {
        if client::connect(place).map_or_else(|error| error.kind(), |_| ErrorKind::AddrInUse)
            != ErrorKind::ConnectionRefused
        {
            println!("skipped: {place} is taken");
            return;
        }
    }
    let folder = tempfile::tempdir().expect("a directory");
    let mut demo = Command::new(BINARY);
    let demo = demo.arg("demo").env("TMPDIR", folder.path()).stdout(Stdio::null());
    let mut demo = demo.spawn().expect("weir starts");
    let answers = std::panic::catch_unwind(|| {
        wait_until("the demo is ready", || admin::get(admin, "/readyz").is_ok_and(|reply| reply.status == 200));
        [tcp, http].map(|listener| {
            let answers = (0..12).map(|_| admin::get(listener, "/").expect("an answer").body);
            answers.collect::<std::collections::BTreeSet<_>>()
        })
    });
    demo.kill().expect("it runs");
    demo.wait().expect("it ran");
    let answers = answers.expect("the demo answers");
    for answers in answers {
        assert_eq!(answers.len(), 3, "each of the three says who it is: {answers:?}");
    }
}

fn check(text: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("weir.toml");
    fs::write(&path, text).expect("write the config");
    let output = run(&["check", "--config", &path.display().to_string()]);
    (output.status.code(), text_of(&output))
}

fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
