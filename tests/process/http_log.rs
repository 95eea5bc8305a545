//! The access log and the metrics of requests (requirements M1, M3).

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::config::Config;
use crate::support::http::{self, Client};
use crate::support::load::Load;
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{http_target, wait_until};

#[test]
fn r_m3_each_request_has_a_line_of_json_with_what_became_of_it() {
    let target = Target::start(http_target::serve(|request| {
        let status = if request.path() == "/gone" { "410 Gone" } else { "200 OK" };
        http_target::response(status, "", "twelve bytes")
    }));
    let (config, web) = Config::http(&[target.address]);
    let weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    let port = client.stream().local_addr().expect("it has one").port();
    let fields = "Host: a.example:80\r\nUser-Agent: a \"test\"\\\r\n";
    let first =
        client.ask(format!("POST /it?q=1 HTTP/1.1\r\n{fields}Content-Length: 4\r\n\r\nbody")).expect("an answer");
    client.get("/gone").expect("an answer");
    let entry = weir.logged("the first request", |entry| entry["request"] == 1);
    let expected: [(&str, Value); 18] = [
        ("type", "http".into()),
        ("balancer", "test".into()),
        ("listener", "web".into()),
        ("client_ip", "127.0.0.1".into()),
        ("client_port", port.into()),
        ("method", "POST".into()),
        ("uri", "/it?q=1".into()),
        ("version", "HTTP/1.1".into()),
        ("host", "a.example".into()),
        ("port", web.port().into()),
        ("status", 200.into()),
        ("target_group", "app".into()),
        ("target", target.address.to_string().into()),
        ("target_status", 200.into()),
        ("sent_bytes", first.raw.len().into()),
        ("user_agent", "a \"test\"\\".into()),
        ("rule", 0.into()),
        ("action", "forward".into()),
    ];
    for (key, value) in expected {
        assert_eq!(entry[key], value, "{key}: {entry}");
    }
    for key in ["time", "created", "shard", "connection", "total_us", "request_us", "target_us", "response_us"] {
        assert!(!entry[key].is_null(), "{key}: {entry}");
    }
    assert_eq!(entry["classification"], Value::Null, "said of what does not comply only, as ALB does");
    let second = weir.logged("the second request", |entry| entry["request"] == 2);
    assert_eq!((&second["status"], &second["target_status"]), (&410.into(), &410.into()));
    assert_eq!(second["connection"], entry["connection"]);
    assert_eq!(second["reason"], Value::Null, "the target's own answer is no failure of ours: {second}");
}

#[test]
fn r_m3_in_albs_format_each_request_has_its_33_fields() {
    let target = http_target::start("a");
    let (mut config, web) = Config::http(&[target.address]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    config.access_log = Some(path.clone());
    config.access_log_keys = "format = \"alb\"".into();
    config.web().tables = "[[listener.rule]]\npriority = 7\npath = \"/moved\"\naction = { redirect = { status = 302, path = \"/there\" } }".into();
    let _weir = Weir::start(config);
    let agent = "Host: a.example\r\nUser-Agent: a \"quoted\" agent\r\n";
    for path in ["/it?q=1", "/moved"] {
        http::ask(web, format!("GET {path} HTTP/1.1\r\n{agent}\r\n")).expect("an answer");
    }
    http::ask(web, "nonsense\r\n\r\n").expect("an answer");
    wait_until("three lines", || lines(&path).len() == 3);
    let rows: Vec<Vec<String>> = lines(&path).iter().map(|line| fields(line)).collect();
    rows.iter().for_each(|row| assert_eq!(row.len(), 33, "{row:?}"));
    // In any order: each may have come to another shard.
    let asked = |what: &str| rows.iter().find(|row| row[12].contains(what)).expect(what);
    let (served, moved) = (asked("/it?q=1"), asked("/moved"));
    let refused = rows.iter().find(|row| row[8] == "400").expect("the one that is not HTTP");
    assert_eq!([&served[0], &served[2], &served[4]], ["http", "test", &target.address.to_string()]);
    assert_eq!([&served[8], &served[9]], ["200", "200"]);
    assert_eq!(served[12], format!("GET http://a.example:{}/it?q=1 HTTP/1.1", web.port()));
    assert!(served[13].starts_with("a ") && served[13].contains("quoted"), "{served:?}");
    assert_eq!([&served[20], &served[22], &served[27]], ["0", "forward", "-"]);
    assert_eq!([&moved[4], &moved[8], &moved[20], &moved[22]], ["-", "302", "7", "redirect"]);
    assert!(moved[23].ends_with("/there"), "{moved:?}");
    assert_eq!([&refused[8], &refused[27]], ["400", "Severe"]);
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Fields are separated by a space; those in quotes may have some.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ' ' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("never empty").push(character),
        }
    }
    fields
}

#[test]
fn r_m3_rotation_by_size_and_reopening_lose_no_line_of_a_request() {
    let target = http_target::start("a");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    let (mut config, web) = Config::http(&[target.address]);
    config.access_log = Some(path.clone());
    config.access_log_keys = "rotate_size = \"1MiB\"\nrotate_keep = 100".into();
    let mut weir = Weir::start(config);
    let load = Load::start(web, 1000, |web| {
        let agent = "x".repeat(8000);
        http::good(http::ask(web, format!("GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {agent}\r\n\r\n"))?)
    });
    load.wait_for(100);
    fs::rename(&path, directory.path().join("moved.log")).expect("there is a file");
    let text = weir.config.to_toml();
    weir.reload(&text);
    wait_until("it was rotated twice", || directory.path().join("access.log.2").exists());
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures.first());
    let written = || -> usize {
        let files = fs::read_dir(directory.path()).expect("our own directory");
        files.map(|file| lines(&file.expect("readable").path()).len()).sum()
    };
    // A shard waits for nobody: where the writer gets no time on a busy machine, lines are dropped, and counted.
    let without_line = || weir.metric("weir_access_log_dropped_total", &[("reason", "queue_full")]);
    wait_until("a line each", || written() + without_line() == outcome.answers["a"]);
    assert!(without_line() < written(), "most are there");
}

#[test]
fn r_m1_requests_are_counted_for_listener_and_target() {
    let target = Target::start(http_target::serve(|request| {
        let status = match request.path() {
            "/404" => "404 Not Found",
            "/500" => "500 Internal Server Error",
            "/302" => "302 Found",
            _ => "200 OK",
        };
        http_target::response(status, "", "body")
    }));
    let (config, web) = Config::http(&[target.address]);
    let weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    for path in ["/", "/", "/", "/302", "/404", "/404", "/500"] {
        client.get(path).expect("an answer");
    }
    http::ask(web, "nonsense\r\n\r\n").expect("an answer");
    http::ask(web, "GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n").expect("an answer");
    let address = target.address.to_string();
    wait_until("all are counted", || weir.metric("weir_http_requests_total", &[("listener", "web")]) == 9);
    let metrics = weir.metrics();
    for (class, all, of_target) in [("2xx", 4, 4), ("3xx", 1, 1), ("4xx", 3, 2), ("5xx", 1, 1)] {
        assert_eq!(metrics.count("weir_http_responses_total", &[("code_class", class)]), all, "{class}");
        let labels = [("target", address.as_str()), ("code_class", class)];
        assert_eq!(metrics.count("weir_target_responses_total", &labels), of_target, "{class}");
    }
    assert_eq!(metrics.count("weir_target_requests_total", &[("target", &address)]), 8);
    assert_eq!(metrics.count("weir_target_connections_active", &[("target", &address)]), 0);
    for histogram in ["weir_http_request_duration_seconds_count", "weir_first_byte_duration_seconds_count"] {
        assert!(metrics.count(histogram, &[("listener", "web")]) >= 8, "{histogram}");
    }
    let classified = |class| metrics.count("weir_http_requests_classified_total", &[("class", class)]);
    assert!(
        classified("Compliant") >= 7 && classified("Severe") + classified("Ambiguous") + classified("Acceptable") >= 1
    );
}
