//! `GET /v1/explain`: what it says would happen is what happens then, and a look changes nothing.

use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::config::{Config, Group, QUICK_CHECK};
use crate::support::http;
use crate::support::load::Load;
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{client, handlers, http_target, place, wait_until};

/// Whom an explanation without a request's parts is about.
const LOCAL: &str = "listener=web&client=127.0.0.1";

fn explain(weir: &Weir, query: &str) -> Value {
    weir.json(&format!("/v1/explain?{query}"))
}

/// What each shard says of a target: the code and the sentence.
fn why(explanation: &Value, address: SocketAddr) -> Vec<(String, String)> {
    let (ip, port) = (address.ip().to_string(), address.port());
    let shards = explanation["shards"].as_array().expect("shards").iter();
    let targets = shards.flat_map(|shard| shard["target_groups"].as_array().expect("groups"));
    let targets = targets.flat_map(|group| group["targets"].as_array().expect("targets"));
    let is_it = |target: &&Value| target["address"] == ip && target["port"] == port;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    targets.filter(is_it).map(|target| (text(&target["why"]), text(&target["text"]))).collect()
}

/// The same code by every shard.
fn agreed(explanation: &Value, address: SocketAddr) -> String {
    let mut codes: Vec<String> = why(explanation, address).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes.len(), 2, "two shards say something of {address}: {explanation}");
    codes.dedup();
    codes.join(" and ")
}

fn targets_of(explanation: &Value) -> Vec<&str> {
    explanation["outcome"]["targets"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn the_target_that_is_said_to_be_next_gets_the_next_request_and_a_look_takes_no_turn() {
    let targets = ["a", "b", "c"].map(http_target::start);
    let (mut config, web) = Config::http(&targets.each_ref().map(|target| target.address));
    config.app().set_weight(targets[1].address, 30);
    let weir = Weir::start(config.shards(1));
    for _ in 0..30 {
        for _ in 0..3 {
            explain(&weir, LOCAL);
        }
        let explanation = explain(&weir, LOCAL);
        let next = targets_of(&explanation).join(" ");
        let answer = http::visit(web).expect("an answer");
        let target = targets.iter().zip(["a", "b", "c"]).find(|(_, name)| *name == answer).expect("one of them").0;
        assert_eq!(next, target.address.to_string(), "{explanation}");
    }
    assert_eq!(weir.metric("weir_target_requests_total", &[]), 30);
    assert_eq!(weir.metric("weir_http_requests_total", &[]), 30, "an explanation is no request");
}

#[test]
fn a_tcp_connection_is_explained_on_every_shard() {
    let targets = ["a", "b"].map(|name| Target::start(handlers::identify(name)));
    let (config, web) = Config::relay(&targets.each_ref().map(|target| target.address));
    let mut weir = Weir::start(config);
    let explanation = explain(&weir, LOCAL);
    assert_eq!(explanation["protocol"], "tcp");
    assert_eq!((&explanation["request"], &explanation["rules"]), (&Value::Null, &Value::Array(Vec::new())));
    // Shards begin at different targets.
    assert_eq!(targets_of(&explanation).len(), 2, "{explanation}");
    let next = targets_of(&explanation).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let answer = client::ask(web).expect("an answer");
    let target = targets.iter().zip(["a", "b"]).find(|(_, name)| *name == answer).expect("one of them").0;
    assert!(next.contains(&target.address.to_string()), "{explanation}");

    weir.change(|config| config.app().targets.clear());
    let explanation = explain(&weir, LOCAL);
    assert_eq!(explanation["outcome"]["kind"], "connection_refused");
    assert_eq!(explanation["connection"]["reason"], "not_listening");
    assert!(explanation["shards"].as_array().expect("shards").iter().all(|shard| shard["admits"] == false));
}

#[test]
fn every_other_target_says_why_not_on_every_shard() {
    let (finish, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let busy = Target::start(http_target::serve(move |_| {
        let _ = wait.lock().expect("no panic under it").recv_timeout(Duration::from_secs(60));
        http_target::ok("busy")
    }));
    let (good, drained, dead) = (http_target::start("good"), http_target::start("drained"), place::free());
    let (mut config, web) = Config::http(&[busy.address]);
    config.app().check = QUICK_CHECK.into();
    let mut weir = Weir::start(config);
    weir.wait_for_state("app", busy.address, "healthy");
    let request = thread::spawn(move || http::visit(web));
    wait_until("it is in flight", || weir.metric("weir_target_connections_active", &[]) == 1);
    weir.change(|config| {
        config.app().remove(busy.address);
        config.app().targets.extend([(good.address, 10), (drained.address, 0), (dead, 10)]);
    });
    weir.wait_for_state("app", good.address, "healthy");
    weir.wait_for_state("app", dead, "unhealthy");

    let explanation = explain(&weir, LOCAL);
    assert_eq!(agreed(&explanation, good.address), "next");
    assert_eq!(agreed(&explanation, drained.address), "weight_zero");
    assert_eq!(agreed(&explanation, dead), "not_healthy");
    let (_, text) = &why(&explanation, dead)[0];
    assert!(text.starts_with("it is unhealthy, Target.FailedHealthChecks; refused: nothing listens"), "{text}");
    // One shard had the request.
    let unbound = why(&explanation, busy.address);
    assert_eq!(unbound.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>(), ["unbound"], "{explanation}");
    finish.send(()).expect("it waits");
    assert_eq!(request.join().expect("no panic").expect("an answer"), "busy");
    wait_until("it is forgotten", || why(&explain(&weir, LOCAL), busy.address).is_empty());

    weir.change(|config| {
        config.app().set_weight(good.address, 0);
        config.app().keys = "fail_open = false".into();
    });
    let explanation = explain(&weir, LOCAL);
    assert_eq!(
        (&explanation["outcome"]["kind"], &explanation["outcome"]["status"]),
        (&"no_target".into(), &503.into())
    );
    assert_eq!(explanation["shards"][0]["target_groups"][0]["next"], Value::Null);
    assert!(http::visit(web).is_err(), "503 it is");
}

#[test]
fn the_rule_that_is_named_is_the_one_that_a_request_falls_under() {
    let (app, b) = (http_target::start("app"), http_target::start("b"));
    let (mut config, web) = Config::http(&[app.address]);
    config = config.group(Group::http("b").target(b.address, 10));
    config.web().tables = r#"
        [[listener.rule]]
        priority = 10
        host = ["api.example", "*.api.example"]
        action = { forward = "b" }
        [[listener.rule]]
        priority = 20
        path = ["/img/*.png", { regex = "^/v[0-9]+/" }]
        method = ["GET", "HEAD"]
        action = { forward = "b" }
        [[listener.rule]]
        priority = 30
        action = { fixed_response = { status = 418 } }
          [[listener.rule.header]]
          name = "X-Preview"
          values = ["yes", "1*"]
        [[listener.rule]]
        priority = 40
        path = "/old"
        action = { redirect = { status = 301, path = "/new" } }
        "#
    .into();
    // Which numbers connections in their order.
    let weir = Weir::start(config.shards(1));
    let cases = [
        ("GET", "/", "api.example", ""),
        ("GET", "/", "V1.API.example", ""),
        ("GET", "/", "example", ""),
        ("GET", "/img/x.png", "example", ""),
        ("DELETE", "/v1/", "example", ""),
        ("GET", "/v1/?x=1", "example", ""),
        ("GET", "/", "example", "X-Preview: 12"),
        ("GET", "/old", "example", "X-Preview: no"),
        ("TRACE", "/", "example", ""),
        ("GET", "/a b", "example", ""),
        ("GET", "/", "two..hosts,one", ""),
    ];
    let mut explained = Vec::new();
    for (method, path, host, field) in cases {
        let header = if field.is_empty() { String::new() } else { format!("&header={}", field.replace(' ', "+")) };
        let path_in_query = path.replace('?', "%3F").replace(' ', "+");
        let explanation = explain(&weir, &format!("{LOCAL}&method={method}&host={host}&path={path_in_query}{header}"));
        let line = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{line}\r\n");
        let answer = http::ask(web, request).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let outcome = &explanation["outcome"];
        let expected = outcome["status"].as_u64().unwrap_or(200);
        assert_eq!(u64::from(answer.status()), expected, "{method} {path} {host}: {explanation}");
        if outcome["kind"] == "redirect" {
            assert_eq!(answer.value("location"), explanation["action"]["location"].as_str().unwrap_or_default());
        }
        let rules = explanation["rules"].as_array().expect("rules");
        let holds: Vec<&Value> = rules.iter().filter(|rule| rule["holds"] == true).map(|rule| &rule["rule"]).collect();
        assert!(holds.len() <= 1 && rules.last().is_none_or(|last| last["holds"] == true), "{explanation}");
        explained.push(holds.first().map_or(Value::Null, |rule| (*rule).clone()));
    }
    weir.logged("all of them", |entry| entry["connection"] == cases.len());
    let mut entries = weir.access_log();
    entries.sort_by_key(|entry| entry["connection"].as_u64());
    let logged: Vec<Value> = entries.into_iter().map(|entry| entry["rule"].clone()).collect();
    assert_eq!(explained, logged);
}

#[test]
fn what_a_group_or_the_balancer_refuses_is_told_as_it_is_answered() {
    let (app, ten) = (http_target::start("app"), http_target::start("ten"));
    let (mut config, web) = Config::http(&[app.address]);
    let mut group = Group::http("ten").target(ten.address, 10);
    group.keys = "http_version = \"1.0\"".into();
    config = config.group(group);
    config.web().tables = r#"
        [[listener.rule]]
        priority = 10
        path = "/ten*"
        action = { forward = "ten", rewrite = { path = { regex = "^/ten/bad(.*)$", with = "$1" } } }
        "#
    .into();
    let weir = Weir::start(config);
    let forwarded = format!("X-Forwarded-For: {}", vec!["192.0.2.1"; 31].join(","));
    let chunked = "Transfer-Encoding: chunked";
    for (path, fields, status) in [
        ("/ten", vec![], 200),
        ("/ten", vec![chunked], 464),
        ("/ten", vec![&*forwarded], 463),
        ("/ten", vec![chunked, &forwarded], 464),
        ("/ten/bad", vec![&*forwarded], 500),
        ("/ten/bad", vec![chunked, &forwarded], 464),
        ("/", vec![chunked], 200),
        ("/", vec![chunked, &forwarded], 463),
    ] {
        let headers: Vec<String> = fields.iter().map(|field| format!("&header={}", field.replace(' ', "+"))).collect();
        let explanation = explain(&weir, &format!("{LOCAL}&method=POST&path={path}{}", headers.concat()));
        let outcome = &explanation["outcome"];
        assert_eq!(outcome["status"].as_u64().unwrap_or(200), status, "{path} {fields:?}: {outcome}");
        assert_eq!(targets_of(&explanation).is_empty(), status != 200, "{path} {fields:?}: {outcome}");
        let lines = [&fields[..], &["\r\n"]].concat().join("\r\n");
        let body = if fields.contains(&chunked) { "0\r\n\r\n" } else { "" };
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{lines}{body}");
        let answer = http::ask(web, request).unwrap_or_else(|error| panic!("{path} {fields:?}: {error}"));
        assert_eq!(u64::from(answer.status()), status, "{path} {fields:?}");
    }
}

#[test]
fn a_session_counts_only_where_its_cookie_is_given() {
    let targets = ["a", "b", "c"].map(http_target::start);
    let (mut config, web) = Config::http(&targets.each_ref().map(|target| target.address));
    config.app().keys = "stickiness = { type = \"cookie\" }".into();
    let mut weir = Weir::start(config);
    let answer = http::ask(web, http::get("/")).expect("an answer");
    let cookie = answer.value("set-cookie").split(';').next().unwrap_or_default().replace('=', "%3D");
    let mine = targets.iter().zip(["a", "b", "c"]).find(|(_, name)| *name == answer.text()).expect("one of them").0;
    let other = targets.iter().find(|target| target.address != mine.address).expect("there are three").address;

    let of_group = |explanation: &Value| explanation["action"]["groups"][0]["session"]["brought"].clone();
    let without = explain(&weir, LOCAL);
    assert_eq!(of_group(&without), "nothing");
    assert!(!why(&without, other)[0].0.contains("session"), "{without}");
    let query = format!("{LOCAL}&header=Cookie:+{cookie}");
    // At weight 0 it goes on.
    weir.change(|config| config.app().set_weight(mine.address, 0));
    let with = explain(&weir, &query);
    assert_eq!((of_group(&with), agreed(&with, mine.address).as_str()), ("accepted".into(), "next"), "{with}");
    assert_eq!(agreed(&with, other), "session_elsewhere");
    assert_eq!(with["shards"][1]["target_groups"][0]["next"]["by"], "session");
    weir.change(|config| config.app().remove(mine.address));
    let gone = explain(&weir, &query);
    assert_eq!(gone["shards"][0]["target_groups"][0]["next"]["by"], "turn", "{gone}");
}

#[test]
fn group_stickiness_leaves_nothing_to_chance() {
    let (app, b) = (http_target::start("app"), http_target::start("b"));
    let (mut config, web) = Config::http(&[app.address]);
    config = config.group(Group::http("b").target(b.address, 10));
    config.web().tables = r#"
        [[listener.rule]]
        priority = 7
        path = "/x"
        action = { forward = [{ group = "app", weight = 1 }, { group = "b", weight = 3 }], group_stickiness = "60s" }
        "#
    .into();
    let weir = Weir::start(config);
    let groups = |query: &str| {
        let explanation = explain(&weir, &format!("{LOCAL}&path=/x{query}"));
        let groups = explanation["action"]["groups"].as_array().expect("groups").clone();
        let chances = groups.iter().map(|group| group["chance"].as_f64().unwrap_or_default()).collect::<Vec<_>>();
        let chosen = groups.iter().map(|group| group["chosen"].clone()).collect::<Vec<_>>();
        let asked = explanation["shards"][0]["target_groups"].as_array().map(Vec::len);
        (chances, chosen, asked)
    };
    assert_eq!(groups(""), (vec![0.25, 0.75], vec!["by_weight".into(), "by_weight".into()], Some(2)));
    let answer = http::ask(web, http::get("/x")).expect("an answer");
    let cookie = answer.value("set-cookie").split(';').next().unwrap_or_default().replace('=', "%3D");
    let mut chances = vec![0.0, 1.0];
    let mut chosen: Vec<Value> = vec!["session_elsewhere".into(), "by_session".into()];
    if answer.text() == "app" {
        chances.reverse();
        chosen.reverse();
    }
    assert_eq!(groups(&format!("&header=Cookie:+{cookie}")), (chances, chosen, Some(1)));
}

#[test]
fn what_cannot_be_explained_is_refused_with_a_code_a_message_and_a_hint() {
    let target = Target::start(handlers::identify("a"));
    let (config, _) = Config::relay(&[target.address]);
    let weir = Weir::start(config);
    for (query, status, code) in [
        ("", 400, "bad_parameter"),
        ("?listener=web", 400, "bad_parameter"),
        ("?listener=web&client=nobody", 400, "bad_parameter"),
        ("?listener=web&client=::1", 422, "invalid"),
        ("?listener=web&client=127.0.0.1&path=/", 422, "invalid"),
        ("?listener=web&client=127.0.0.1&colour=blue", 400, "bad_parameter"),
        ("?listener=web&client=127.0.0.1&header=%0d%0a:", 400, "bad_parameter"),
        ("?listener=%ff&client=127.0.0.1", 400, "bad_parameter"),
        ("?listener=nobody&client=127.0.0.1", 404, "not_found"),
    ] {
        let reply = weir.get(&format!("/v1/explain{query}")).expect("an answer");
        let error: Value = serde_json::from_str(&reply.body).expect("errors are JSON");
        let error = &error["error"];
        assert_eq!((reply.status, error["code"].as_str()), (status, Some(code)), "{query}: {}", reply.body);
        for part in ["message", "hint"] {
            assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "{query}: {}", reply.body);
        }
    }
}

#[test]
fn many_who_ask_about_a_group_of_a_thousand_do_not_disturb_clients() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.app().targets.extend((81..1_080).map(|port| (SocketAddr::from(([10, 1, 2, 3], port)), 0)));
    let weir = Weir::start(config);
    let load = Load::start(web, 100, client::ask);
    let (weir, admin) = (&weir, weir.config.admin);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..5 {
                    let reply = crate::support::admin::get(admin, &format!("/v1/explain?{LOCAL}")).expect("an answer");
                    let explanation: Value = serde_json::from_str(&reply.body).expect("JSON");
                    let targets = explanation["shards"][1]["target_groups"][0]["targets"].as_array().map(Vec::len);
                    assert_eq!((reply.status, targets), (200, Some(1_000)));
                }
            });
        }
    });
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(weir.get("/readyz").expect("an answer").status, 200);
}
