//! The status page in a real browser, and the events behind it.

use std::io::{BufRead, BufReader, Write};
use std::thread;

use serde_json::Value;

use crate::support::config::{Config, QUICK_CHECK};
use crate::support::load::Load;
use crate::support::target::Target;
use crate::support::tls::Issuer;
use crate::support::weir::Weir;
use crate::support::{client, handlers, http, http_target, is_installed, place, python, wait_until, write_secret};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn r_m4_the_page_shows_everything_live_in_chromium() {
    let target = http_target::start("a");
    let (mut config, web) = Config::http(&[target.address, place::free()]);
    config.app().check = QUICK_CHECK.into();
    let weir = Weir::start(config);
    let load = Load::start(web, 20, http::visit);
    load.wait_for(20);
    in_chromium(&["looks", &url(&weir)]);
    let failures = load.stop().failures;
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn r_m4_with_the_token_the_page_changes_weights_by_keyboard_in_chromium() {
    let directory = tempfile::tempdir().expect("a directory");
    let token_file = directory.path().join("token");
    write_secret(&token_file, TOKEN);
    let target = Target::start(handlers::identify("a"));
    let (mut config, _) = Config::relay(&[target.address]);
    config.admin_keys = format!("token_file = \"{}\"", token_file.display());
    config.keys = format!("state_dir = \"{}\"", directory.path().join("state").display());
    let weir = Weir::start(config);
    in_chromium(&["acts", &url(&weir), TOKEN]);
}

#[test]
fn r_m4_over_https_the_page_is_live_and_changes_weights_in_chromium() {
    let issuer = Issuer::new();
    write_secret(issuer.path("token"), TOKEN);
    let target = Target::start(handlers::identify("a"));
    let (mut config, _) = Config::relay(&[target.address]);
    config.admin_keys = format!("token_file = \"{}\"", issuer.path("token").display());
    config.keys = format!("state_dir = \"{}\"", issuer.path("state").display());
    issuer.certify(&mut config);
    let weir = Weir::start(config);
    in_chromium(&["acts", &url(&weir), TOKEN]);
}

#[test]
fn r_m4_the_page_says_that_the_balancer_is_gone_and_goes_on_when_it_is_back_in_chromium() {
    let directory = tempfile::tempdir().expect("a directory");
    let said = |word: &str| wait_until(word, || directory.path().join(word).exists());
    let target = Target::start(handlers::identify("a"));
    let (config, _) = Config::relay(&[target.address]);
    let first = Weir::start(config.clone());
    let arguments = ["survives".to_owned(), url(&first), directory.path().display().to_string()];
    thread::scope(|scope| {
        let page = scope.spawn(|| in_chromium(&arguments.each_ref().map(String::as_str)));
        if !is_installed("chromium") {
            return;
        }
        said("live");
        drop(first);
        said("gone");
        let mut second = Weir::start(config);
        said("back");
        second.change(|config| config.app().set_weight(target.address, 0));
        page.join().expect("the page shows it");
    });
}

#[test]
fn r_m4_events_say_what_the_api_says() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let weir = Weir::start(config);
    (0..7).for_each(|_| assert_eq!(client::ask(web).expect("an answer"), "a"));
    weir.wait_for_connections(0);
    let event = first_event(&weir);
    let [shown, answered] = [&event["listeners"][0], &weir.json("/v1/listeners")["listeners"][0]];
    for key in ["name", "protocol", "address", "port", "bound", "target_groups", "client_bytes", "target_bytes"] {
        assert_eq!(shown[key], answered[key], "{key}");
    }
    assert_eq!((&shown["accepted"], &shown["active"]), (&7.into(), &0.into()), "{shown}");
    assert_eq!(shown["closed"], serde_json::json!({ "completed": 7 }));
    assert_eq!(shown["latency"]["duration"]["count"], answered["latency"]["duration"]["count"]);
    let [shown, answered] = [&event["target_groups"][0]["targets"][0], &weir.target("app", target.address)];
    for key in ["address", "port", "weight"] {
        assert_eq!(shown[key], answered[key], "{key}");
    }
    assert_eq!((&shown["state"], &shown["connections"]), (&"healthy".into(), &7.into()), "{shown}");
    let shards = event["shards"].as_array().expect("a list");
    let accepted: u64 = shards.iter().filter_map(|shard| shard["report"]["accepted"].as_u64()).sum();
    assert_eq!((shards.len(), accepted), (2, 7), "{shards:?}");
    assert_eq!(event["revisions"][0]["revision"], event["balancer"]["revision"]);
}

#[test]
fn r_m4_an_event_tells_a_targets_5xx_from_what_the_balancer_refuses_or_answers_itself() {
    let failing = Target::start(http_target::serve(|_| b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec()));
    let (mut config, web) = Config::http(&[failing.address]);
    config.web().tables = r#"
        [[listener.rule]]
        priority = 1
        path = "/closed"
        action = { fixed_response = { status = 503 } }
        "#
    .into();
    let weir = Weir::start(config.shards(1));
    for (line, status, times) in [("GET /", 503, 2), ("GET /closed", 503, 1), ("TRACE /", 405, 5)] {
        for _ in 0..times {
            let answer = http::ask(web, format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("an answer");
            assert_eq!(answer.status(), status, "{line}");
        }
    }
    weir.wait_for_connections(0);
    let event = first_event(&weir);
    let counted = &event["listeners"][0]["http"];
    assert_eq!((&counted["requests"], &counted["target_5xx"]), (&8.into(), &2.into()), "{counted}");
    assert_eq!(counted["responses"], serde_json::json!([0, 0, 0, 5, 3]));
    assert_eq!(counted["errors"], serde_json::json!({ "method_not_allowed": 5 }));
}

fn url(weir: &Weir) -> String {
    let scheme = if weir.config.admin_issuer.is_some() { "https" } else { "http" };
    format!("{scheme}://{}/", weir.config.admin)
}

/// Runs a scenario of tests/support/python/page.py.
fn in_chromium(arguments: &[&str]) {
    if !is_installed("chromium") {
        return;
    }
    let Some(python) = python::with("json") else { return };
    python::succeeds(python, "page.py", arguments);
}

/// The first of `GET /v1/events`.
fn first_event(weir: &Weir) -> Value {
    let mut stream = client::connect(weir.config.admin).expect("the admin endpoint answers");
    write!(stream, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("an event"));
    let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).expect("an event");
    serde_json::from_str(&data).expect("JSON")
}
