//! The admin endpoint: what Prometheus, probes and people read.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::support::config::{Config, QUICK_CHECK};
use crate::support::load::Load;
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{admin, client, handlers, is_installed, place, wait_until};

#[test]
fn r_m1_promtool_accepts_the_metrics_under_load() {
    let targets = ["a", "b"].map(|name| Target::start(handlers::identify(name)));
    let dead = place::free();
    let (mut config, web) = Config::relay(&[targets[0].address, targets[1].address, dead]);
    config.app().check = QUICK_CHECK.into();
    let weir = Weir::start(config);
    if !is_installed("promtool") {
        return;
    }
    let load = Load::start(web, 200, client::ask);
    weir.wait_for_state("app", dead, "unhealthy");
    for _ in 0..5 {
        load.wait_for(100);
        promtool_accepts(&weir.get("/metrics").expect("/metrics").body);
    }
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
}

/// DNS rebinding: a page of evil.example, whose name leads here by now, asks what its browser takes for its own place.
#[test]
fn without_a_token_nothing_is_shown_to_a_page_of_another_name_that_leads_here() {
    let (config, _) = Config::relay(&[]);
    let weir = Weir::start(config);
    let status = |path: &str, host: &str| {
        let mut stream = client::connect(weir.config.admin).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer[9..12].to_owned()
    };
    let by_address = weir.config.admin.to_string();
    for path in ["/v1/inventory", "/v1/balancer", "/v1/openapi.json", "/metrics"] {
        assert_eq!(status(path, "evil.example:9900"), "403", "{path}");
        assert_eq!([status(path, &by_address), status(path, "localhost")], ["200", "200"], "{path}");
    }
    for path in ["/", "/livez", "/readyz"] {
        assert_eq!(status(path, "evil.example:9900"), "200", "{path}: it shows nothing");
    }
}

fn promtool_accepts(metrics: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is installed");
    promtool.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{metrics}");
}

#[test]
fn r_m1_connections_and_bytes_are_counted_for_listener_and_target() {
    let target = Target::start(handlers::greet_and_echo("a"));
    let (config, web) = Config::relay(&[target.address]);
    let weir = Weir::start(config);
    let (mut stream, _) = client::greeted(web).expect("a greeting");
    client::exchange(&mut stream, &[7; 10_000]).expect("echoed");
    let name = target.address.to_string();
    let of_listener = [("listener", "web")];
    let of_target = [("target_group", "app"), ("target", name.as_str())];
    assert_eq!(weir.metric("weir_connections_active", &of_listener), 1);
    assert_eq!(weir.metric("weir_target_connections_active", &of_target), 1);
    drop(stream);
    weir.wait_for_connections(0);
    let metrics = weir.metrics();
    // The greeting is the name and a line end.
    for (metric, labels, count) in [
        ("weir_connections_accepted_total", &of_listener[..], 1),
        ("weir_connections_closed_total", &[("listener", "web"), ("reason", "completed")], 1),
        ("weir_listener_client_bytes_total", &of_listener, 10_000),
        ("weir_listener_target_bytes_total", &of_listener, 10_002),
        ("weir_target_connections_total", &of_target, 1),
        ("weir_target_sent_bytes_total", &of_target, 10_000),
        ("weir_target_received_bytes_total", &of_target, 10_002),
    ] {
        assert!(metrics.count(metric, labels) == count, "{metric} {labels:?}: {:?}", metrics.find(metric, labels));
    }
}

#[test]
fn r_m1_durations_are_counted_as_histograms() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let weir = Weir::start(config);
    (0..30).for_each(|_| assert_eq!(client::ask(web).expect("an answer"), "a"));
    weir.wait_for_connections(0);
    let metrics = weir.metrics();
    for histogram in
        ["weir_connect_duration_seconds", "weir_first_byte_duration_seconds", "weir_connection_duration_seconds"]
    {
        let of = |part: &str, labels: &[(&str, &str)]| metrics.find(&format!("{histogram}_{part}"), labels);
        assert_eq!(of("count", &[("listener", "web")]), Some(30.0), "{histogram}");
        assert_eq!(of("bucket", &[("listener", "web"), ("le", "+Inf")]), Some(30.0), "{histogram}");
        assert!(of("sum", &[("listener", "web")]) > Some(0.0), "{histogram}");
    }
}

#[test]
fn the_process_is_live_and_ready_and_unknown_paths_are_said_to_be() {
    let (config, _) = Config::relay(&[]);
    let weir = Weir::start(config);
    for path in ["/livez", "/readyz", "/metrics", "/v1/balancer", "/v1/revisions"] {
        assert_eq!(weir.get(path).expect("an answer").status, 200, "{path}");
    }
    let missing = weir.get("/v1/nothing").expect("an answer");
    assert_eq!(missing.status, 404);
    let error: serde_json::Value = serde_json::from_str(&missing.body).expect("errors are JSON");
    assert!(error["error"]["code"].is_string() && error["error"]["message"].is_string(), "{error}");
}

#[test]
fn the_api_lists_listeners_groups_and_shards_as_they_are() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let other = place::free();
    let empty = crate::support::config::Group::new("empty");
    let weir = Weir::start(config.listener("other", other, "empty").group(empty));
    let listeners = weir.json("/v1/listeners");
    let shown = |name: &str| admin::element(&listeners["listeners"], "name", name).expect("it is listed").clone();
    assert_eq!((&shown("web")["address"], &shown("web")["port"]), (&web.ip().to_string().into(), &web.port().into()));
    assert_eq!((&shown("web")["bound"], &shown("other")["bound"]), (&true.into(), &false.into()), "{listeners}");
    let shards = weir.json("/v1/shards");
    assert_eq!(shards["shards"].as_array().map(Vec::len), Some(2), "{shards}");
    let groups = weir.json("/v1/target-groups");
    let app = admin::element(&groups["target_groups"], "name", "app").expect("it is listed");
    assert_eq!((&app["targets"], &app["targets_healthy"]), (&1.into(), &1.into()), "{app}");
    let shown = weir.target("app", target.address);
    assert_eq!((&shown["weight"], &shown["type"]), (&10.into(), &"cvm".into()), "{shown}");
}

/// What is readable by all must not slow anybody down: many readers at once, and clients are served.
#[test]
fn many_readers_of_the_metrics_do_not_disturb_clients() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let weir = Weir::start(config);
    let admin_address = weir.config.admin;
    let readers = Load::start(admin_address, 100, |from| Ok(admin::get(from, "/metrics")?.status.to_string()));
    let load = Load::start(web, 100, client::ask);
    load.wait_for(300);
    let (load, readers) = (load.stop(), readers.stop());
    assert!(load.failures.is_empty() && readers.failures.is_empty(), "{:?} {:?}", load.failures, readers.failures);
    assert_eq!(readers.answers.keys().collect::<Vec<_>>(), ["200"]);
    wait_until("all are gone", || weir.metric("weir_connections_active", &[]) == 0);
}
