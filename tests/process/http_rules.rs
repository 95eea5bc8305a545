//! Rules of a running listener: who decides, and what is done (requirements R1 to R5).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use crate::support::config::{Config, Group};
use crate::support::http::{self, Client, Message};
use crate::support::http_target::{self, Received};
use crate::support::nginx::{self, Nginx};
use crate::support::place;
use crate::support::target::Target;
use crate::support::weir::Weir;

/// Groups `app`, `b` and `c`, each of one target with its name, and these rules.
fn ruled(rules: &str) -> (Weir, SocketAddr, [Target; 3], [Received; 3]) {
    let ((app, from_app), (b, from_b), (c, from_c)) =
        (http_target::recording("app"), http_target::recording("b"), http_target::recording("c"));
    let targets = [app, b, c].map(Target::start);
    let (mut config, web) = Config::http(&[targets[0].address]);
    for (name, target) in [("b", &targets[1]), ("c", &targets[2])] {
        config = config.group(Group::http(name).target(target.address, 10));
    }
    config.web().tables = rules.into();
    (Weir::start(config), web, targets, [from_app, from_b, from_c])
}

fn ask(web: SocketAddr, line: &str, fields: &str) -> Message {
    let host = if fields.contains("Host:") { "" } else { "Host: a.example\r\n" };
    http::ask(web, format!("{line} HTTP/1.1\r\n{host}{fields}\r\n")).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn r_l3_r_r1_r_r2_each_request_goes_where_the_first_rule_that_holds_says() {
    let (weir, web, _targets, _) = ruled(
        r#"
        [[listener.rule]]
        priority = 50
        path = "/both"
        action = { forward = "c" }
        [[listener.rule]]
        priority = 10
        host = ["api.example", "*.api.example"]
        action = { forward = "b" }
        [[listener.rule]]
        priority = 20
        path = ["/img/*.png", { prefix = "/static/" }, { regex = "^/v[0-9]+/" }]
        method = ["GET", "HEAD"]
        action = { forward = "b" }
        [[listener.rule]]
        priority = 30
        action = { forward = "c" }
          [[listener.rule.header]]
          name = "X-Preview"
          values = ["yes", "1*"]
          [[listener.rule.query]]
          key = "preview"
          value = "*"
        [[listener.rule]]
        priority = 40
        path = "/both"
        action = { forward = "b" }
        [[listener.rule]]
        priority = 60
        path = "/local"
        source_ip = ["127.0.0.0/8", "10.0.0.0/8"]
        action = { forward = "b" }
        [[listener.rule]]
        priority = 61
        path = "/remote"
        source_ip = "10.0.0.0/8"
        action = { forward = "b" }
        "#,
    );
    let cases = [
        ("GET /", "", "app", 0),
        ("GET /", "Host: api.example\r\n", "b", 10),
        ("GET /", "Host: API.Example:80\r\n", "b", 10),
        ("GET /", "Host: v1.api.example\r\n", "b", 10),
        ("GET /", "Host: api.example.org\r\n", "app", 0),
        ("GET http://api.example/", "Host: api.example\r\n", "b", 10),
        ("GET /img/a/b.png", "", "b", 20),
        ("GET /img/a.jpg", "", "app", 0),
        ("GET /static/", "", "b", 20),
        ("GET /v12/x", "", "b", 20),
        ("GET /V12/x", "", "app", 0),
        ("DELETE /v12/x", "", "app", 0),
        ("GET /?preview=x", "X-Preview: Yes\r\n", "c", 30),
        ("GET /?a=1&preview=", "x-preview: no\r\nx-preview: 123\r\n", "c", 30),
        ("GET /?preview=x", "X-Preview: no\r\n", "app", 0),
        ("GET /", "X-Preview: yes\r\n", "app", 0),
        ("GET /both", "", "b", 40),
        ("GET /local", "", "b", 60),
        ("GET /remote", "X-Forwarded-For: 10.0.0.1\r\n", "app", 0),
    ];
    // On one connection: each request is on its own.
    let mut client = Client::connect(web).expect("it listens");
    for (line, fields, name, _) in cases {
        let host = if fields.contains("Host:") { "" } else { "Host: a.example\r\n" };
        let answer = client.ask(format!("{line} HTTP/1.1\r\n{host}{fields}\r\n")).expect("an answer");
        assert_eq!(answer.text(), name, "{line} {fields:?}");
    }
    weir.logged("all of them", |entry| entry["request"] == cases.len());
    let rules: Vec<u64> = weir.access_log().iter().filter_map(|entry| entry["rule"].as_u64()).collect();
    assert_eq!(rules, cases.map(|(_, _, _, rule)| rule));
}

#[test]
fn r_r3_r_r5_redirects_and_fixed_responses_are_answered_at_once() {
    let (weir, web, targets, _) = ruled(
        r#"
        [[listener.rule]]
        priority = 1
        path = "/movie"
        action = { redirect = { status = 301, path = "/#{path}/" } }
        [[listener.rule]]
        priority = 2
        host = "secure.example"
        action = { redirect = { status = 308, protocol = "https" } }
        [[listener.rule]]
        priority = 3
        host = "old.example"
        action = { redirect = { status = 302, host = "new.example", query = "from=old&#{query}" } }
        [[listener.rule]]
        priority = 4
        path = "/robots.txt"
        action = { fixed_response = { status = 200, content_type = "text/plain", body = "Disallow: /\n" } }
        [[listener.rule]]
        priority = 5
        path = "/teapot"
        action = { fixed_response = { status = 418 } }
        "#,
    );
    let port = web.port();
    let redirects = [
        (
            format!("GET /movie?id=1 HTTP/1.1\r\nHost: www.example:{port}"),
            301,
            format!("http://www.example:{port}/movie/?id=1"),
        ),
        ("GET /movie HTTP/1.1\r\nHost: www.example".into(), 301, "http://www.example/movie/".into()),
        (
            format!("POST /a/b?c HTTP/1.1\r\nContent-Length: 0\r\nHost: secure.example:{port}"),
            308,
            "https://secure.example/a/b?c".into(),
        ),
        ("GET /x?y=1 HTTP/1.1\r\nHost: old.example".into(), 302, "http://new.example/x?from=old&y=1".into()),
    ];
    let mut client = Client::connect(web).expect("it listens");
    for (request, status, location) in redirects {
        let answer = client.ask(format!("{request}\r\n\r\n")).expect("an answer");
        assert_eq!((answer.status(), answer.value("location")), (status, location.as_str()), "{request}");
        weir.logged("the redirect", |entry| entry["redirect_url"] == location.as_str());
    }
    let robots = client.get("/robots.txt").expect("an answer");
    assert_eq!(
        (robots.status(), robots.value("content-type"), robots.text().as_str()),
        (200, "text/plain", "Disallow: /\n")
    );
    let teapot = client.get("/teapot").expect("an answer");
    assert_eq!((teapot.status(), teapot.body.len()), (418, 0));
    // What came with a request is out of the way of the next.
    assert_eq!(client.ask(http::post("/teapot", &[b'x'; 10_000])).expect("an answer").status(), 418);
    assert_eq!(client.get("/").expect("an answer").text(), "app");
    assert_eq!(targets[0].visits().len(), 1);
    assert_eq!(weir.metric("weir_http_errors_total", &[]), 0);
}

#[test]
fn r_r3_a_rewrite_changes_what_the_target_sees() {
    let (weir, web, _targets, [_, from_b, _]) = ruled(
        r#"
        [[listener.rule]]
        priority = 1
        path = { prefix = "/v1/" }
        action = { forward = "b", rewrite = { host = { regex = "^.*$", with = "api.internal" }, path = { regex = "^/v[0-9]+/(.*)", with = "/api/$1" } } }
        "#,
    );
    assert_eq!(ask(web, "GET /v1/users?id=7", "Host: api.example:80\r\n").text(), "b");
    let received = from_b.lock().expect("no panic");
    assert_eq!(received[0].line, "GET /api/users?id=7 HTTP/1.1");
    assert_eq!(received[0].values("host").collect::<Vec<_>>(), ["api.internal:80"], "the port stays");
    let entry = weir.logged("the rewrite", |entry| entry["transformed_uri"].is_string());
    assert_eq!((&entry["uri"], &entry["host"]), (&"/v1/users?id=7".into(), &"api.example".into()), "{entry}");
}

#[test]
fn r_r3_groups_get_their_share_and_group_stickiness_keeps_a_client() {
    const ASKED: usize = 1000;
    let (_weir, web, _targets, _) = ruled(
        r#"
        [[listener.rule]]
        priority = 1
        path = "/sticky"
        action = { forward = [{ group = "b", weight = 1 }, { group = "c", weight = 1 }], group_stickiness = "1h" }
        [[listener.rule]]
        priority = 2
        action = { forward = [{ group = "app", weight = 0 }, { group = "b", weight = 900 }, { group = "c", weight = 100 }] }
        "#,
    );
    let mut client = Client::connect(web).expect("it listens");
    let mut shares = BTreeMap::new();
    for _ in 0..ASKED {
        *shares.entry(client.get("/").expect("an answer").text()).or_insert(0) += 1;
    }
    // By chance, and 10 standard deviations are not.
    assert!(!shares.contains_key("app") && (10..=200).contains(&shares["c"]), "{shares:?}");
    let mut seen = BTreeMap::new();
    for _ in 0..40 {
        let first = ask(web, "GET /sticky", "");
        let cookie = first.value("set-cookie").split(';').next().expect("a cookie").to_owned();
        for _ in 0..3 {
            let next = ask(web, "GET /sticky", &format!("Cookie: {cookie}\r\n"));
            assert_eq!(next.text(), first.text(), "{cookie}");
            assert!(!next.value("set-cookie").is_empty(), "refreshed");
        }
        *seen.entry(first.text()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "clients are spread: {seen:?}");
}

/// The trailing slash of a folder: nginx on 8081 redirects `/movie` to `http://host:8081/movie/`, where no client gets.
#[test]
fn r_r4_a_real_servers_redirect_to_its_own_port_leads_back_to_the_balancer() {
    if !nginx::is_installed() {
        return;
    }
    let nginx = Nginx::start_with("root html; location /other { return 301 http://other.example:8081/; }");
    nginx.file("movie/index.html", b"a movie");
    let (config, web) = Config::http(&[nginx.address]);
    let mut weir = Weir::start(config);
    let leads_to = |host: &str| {
        let answer = ask(web, "GET /movie", &format!("Host: {host}\r\n"));
        assert_eq!(answer.status(), 301);
        answer.value("location").to_owned()
    };
    assert_eq!(leads_to("www.example.com"), "http://www.example.com/movie/");
    assert_eq!(
        leads_to(&format!("www.example.com:{}", web.port())),
        format!("http://www.example.com:{}/movie/", web.port())
    );
    assert_eq!(leads_to(&web.to_string()), format!("http://{web}/movie/"));
    assert_eq!(ask(web, "GET /movie/", "").text(), "a movie");
    assert_eq!(ask(web, "GET /other", "").value("location"), "http://other.example:8081/", "somewhere else stays");
    weir.change(|config| config.app().keys = "location_repair = false".into());
    assert_eq!(leads_to("www.example.com"), format!("http://www.example.com:{}/movie/", nginx.address.port()));
}

#[test]
fn r_g1_one_group_serves_several_listeners_and_rules() {
    let (target, second) = (http_target::start("a"), place::free());
    let (mut config, web) = Config::http(&[target.address]);
    config = config.listener("second", second, "app");
    config.listeners[1].protocol = "http";
    config.web().tables = "[[listener.rule]]\npriority = 1\npath = \"/x\"\naction = { forward = \"app\" }".into();
    let weir = Weir::start(config.shards(1));
    for (to, path) in [(web, "/"), (web, "/x"), (second, "/")] {
        assert_eq!(http::ask(to, http::get(path)).expect("an answer").text(), "a");
    }
    assert_eq!(target.visits().len(), 1, "and its kept connections serve all of them");
    assert_eq!(weir.metric("weir_http_requests_total", &[("listener", "web")]), 2);
    assert_eq!(weir.metric("weir_http_requests_total", &[("listener", "second")]), 1);
}

#[test]
fn r_l9_fifty_listeners_with_a_hundred_rules_and_a_hundred_groups_serve() {
    let targets = ["a", "b"].map(http_target::start);
    let mut config = Config::new().shards(1);
    for group in 0..100 {
        config = config.group(Group::http(&format!("g{group}")).target(targets[group % 2].address, 10));
    }
    let mut rules = String::new();
    for rule in 1..=100 {
        let _ = write!(
            rules,
            "[[listener.rule]]\npriority = {rule}\nhost = \"h{}.example\"\npath = {{ prefix = \"/p{rule}/\" }}\n\
             action = {{ forward = \"g{}\" }}\n",
            rule % 10,
            rule - 1
        );
    }
    let places: Vec<SocketAddr> = (0..50).map(|_| place::free()).collect();
    for (index, place) in places.iter().enumerate() {
        config = config.listener(&format!("l{index}"), *place, "g0");
        config.listeners[index].protocol = "http";
        config.listeners[index].tables.clone_from(&rules);
    }
    let _weir = Weir::start(config);
    for place in places {
        for (rule, name) in [(1, "a"), (2, "b"), (57, "a"), (100, "b")] {
            let fields = format!("Host: h{}.example\r\n", rule % 10);
            assert_eq!(ask(place, &format!("GET /p{rule}/x"), &fields).text(), name);
        }
    }
}

/// One shard, so that one balancer sees every request.
#[test]
fn r_b1_least_outstanding_requests_sends_where_fewest_are_in_flight() {
    let (hand_over, streams) = crate::support::handlers::hand_over();
    let (busy, free) = (Target::start(hand_over), http_target::start("free"));
    let (mut config, web) = Config::http(&[busy.address, free.address]);
    config.app().keys = "algorithm = \"least_outstanding_requests\"".into();
    let _weir = Weir::start(config.shards(1));
    // The first that reaches the busy one stays there.
    let mut held = Vec::new();
    while held.is_empty() {
        let mut client = Client::connect(web).expect("it listens");
        client.send(http::get("/")).expect("sent");
        match streams.recv_timeout(std::time::Duration::from_millis(300)) {
            Ok(stream) => held.push((client, stream)),
            Err(_) => assert_eq!(client.receive().expect("an answer").text(), "free"),
        }
    }
    for _ in 0..20 {
        assert_eq!(http::visit(web).expect("an answer"), "free");
    }
    assert!(streams.try_recv().is_err(), "nothing more while that one is in flight");
}
