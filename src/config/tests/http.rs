//! Good configs of http listeners, rules and groups: what each key becomes.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::*;
use crate::l7::router::{
    Action, Condition, FixedResponse, Forward, PathMatch, QueryMatch, Redirect, Replace, Rewrite, Router, Rule,
    WeightedGroup,
};
use crate::l7::stickiness::of_rule;

/// A config that is good as it stands: one http listener, one http group. Keys of the listener, rules and further groups come
/// from the test.
fn with(listener: &str, group: &str) -> String {
    format!(
        "[[listener]]\nname = \"web\"\nprotocol = \"http\"\naddress = \"0.0.0.0:80\"\n{listener}\n\
         [[target_group]]\nname = \"app\"\nprotocol = \"http\"\ntarget = [{{ address = \"10.0.0.5\", port = 8080 }}]\n{group}\n"
    )
}

const FORWARD: &str = "default_action = { forward = \"app\" }\n";

fn http(listener: &str) -> Http {
    http_of(&good(&with(&format!("{FORWARD}{listener}"), "")))
}

fn http_of(snapshot: &Snapshot) -> Http {
    match &snapshot.listeners[0].service {
        Service::Http(http) => Http::clone(http),
        Service::Relay(_) | Service::FlashPolicy(_) => panic!("not http"),
    }
}

fn group(keys: &str) -> TargetGroup {
    TargetGroup::clone(&good(&with(FORWARD, keys)).groups[0])
}

fn http_group(keys: &str) -> HttpGroup {
    group(keys).http.expect("an http group")
}

fn forward_to(group: usize) -> Forward {
    Forward { groups: vec![WeightedGroup { group, weight: 1 }], group_stickiness: None, rewrite: None }
}

/// The router of a listener with these rules, which are those of `rules` as typed.
fn assert_rules(typed: &str, rules: Vec<Rule>) {
    let expected = Router::new(rules, Action::Forward(forward_to(0))).expect("good rules");
    assert_eq!(http(typed).router, expected, "{typed}");
}

fn assert_condition(typed: &str, conditions: Vec<Condition>) {
    let typed = format!("[[listener.rule]]\npriority = 1\naction = {{ forward = \"app\" }}\n{typed}\n");
    assert_rules(&typed, vec![Rule { priority: 1, conditions, action: Action::Forward(forward_to(0)) }]);
}

fn assert_action(typed: &str, action: Action) {
    let typed = format!("[[listener.rule]]\npriority = 1\naction = {typed}\n");
    assert_rules(&typed, vec![Rule { priority: 1, conditions: Vec::new(), action }]);
}

#[test]
fn r_l7_an_http_listener_has_the_documented_defaults() {
    let snapshot = good(&with(FORWARD, ""));
    let listener = &snapshot.listeners[0];
    assert_eq!((listener.protocol, listener.idle_timeout), (Protocol::Http, Duration::from_secs(60)));
    let http = http_of(&snapshot);
    assert_eq!(http.router.groups(), [0]);
    assert_eq!((http.hygiene, http.forwarded, http.trace_id), (Hygiene::Defensive, Forwarded::Append, false));
    let minute = Duration::from_secs(60);
    assert_eq!((http.header_timeout, http.body_timeout, http.send_timeout), (minute, minute, minute));
    assert_eq!((&http.server_header, http.body_bytes_max, http.error_pages.len()), (&None, None, 0));
    assert_eq!(snapshot.access_log, None);
}

#[test]
fn r_g1_an_http_group_has_the_documented_defaults() {
    let group = group("");
    let http = group.http.expect("an http group");
    assert_eq!((http.version, http.stickiness, http.location_repair), (HttpVersion::V1_1, None, true));
    assert_eq!((http.deregistration_delay, http.response_timeout), (Duration::from_secs(300), Duration::from_secs(60)));
    let keep_alive =
        KeepAlive { idle_max: 128, idle_timeout: Duration::from_secs(4), lifetime: Duration::from_secs(3600) };
    assert_eq!(http.keep_alive, keep_alive);
    let check = HttpCheck {
        path: "/".into(),
        host: None,
        method: CheckMethod::Head,
        version: HttpVersion::V1_1,
        matcher: vec![200..=399],
    };
    assert_eq!(group.health_check.expect("checks are on").protocol, CheckProtocol::Http(check));
}

#[test]
fn r_l4_an_http_listener_is_bound_without_a_target_too() {
    let text = with(FORWARD, "").replace("target = ", "# ");
    let snapshot = good(&text);
    assert!(snapshot.groups[0].targets.is_empty() && snapshot.is_bound(&snapshot.listeners[0]));
}

#[test]
fn keys_of_an_http_listener() {
    let http = http(
        "header_timeout = \"1s\"\nbody_timeout = \"2s\"\nsend_timeout = \"3s\"\nrequest_body_max = \"10MiB\"\n\
         hygiene = \"strictest\"\nx_forwarded_for = \"remove\"\ntrace_id = true\nserver_header = \"edge 1\"\n\
         [[listener.error_page]]\nstatus = 503\nfile = \"sorry.html\"\n\
         [[listener.error_page]]\nstatus = 502\nfile = \"b.txt\"\ncontent_type = \"text/plain\"\n",
    );
    let timeouts = [http.header_timeout, http.body_timeout, http.send_timeout];
    assert_eq!(timeouts, [1, 2, 3].map(Duration::from_secs));
    assert_eq!(http.body_bytes_max, NonZeroU64::new(10 << 20));
    assert_eq!((http.hygiene, http.forwarded, http.trace_id), (Hygiene::Strictest, Forwarded::Remove, true));
    assert_eq!(http.server_header.as_deref(), Some("edge 1"));
    let page = |status, content_type: &str, body: &str| ErrorPage {
        status,
        content_type: content_type.into(),
        body: body.as_bytes().into(),
    };
    assert_eq!(http.error_pages, [page(503, "text/html", "sorry.html"), page(502, "text/plain", "b.txt")]);
}

#[test]
fn sizes_are_numbers_of_bytes_or_have_a_unit() {
    for (typed, bytes) in [("1", 1), ("1_000", 1000), ("\"5\"", 5), ("\"64KiB\"", 65536), ("\"2 GiB\"", 2 << 30)] {
        assert_eq!(http(&format!("request_body_max = {typed}")).body_bytes_max, NonZeroU64::new(bytes), "{typed}");
    }
}

#[test]
fn r_r1_rules_go_by_priority_whatever_their_order_in_the_file() {
    let rule = |priority, host: &str| Rule {
        priority,
        conditions: vec![Condition::Host(vec![host.into()])],
        action: Action::Forward(forward_to(0)),
    };
    let typed = |priority, host: &str| {
        format!("[[listener.rule]]\npriority = {priority}\nhost = \"{host}\"\naction = {{ forward = \"app\" }}\n")
    };
    let typed = typed(50_000, "b.example.com") + &typed(1, "a.example.com");
    assert_rules(&typed, vec![rule(1, "a.example.com"), rule(50_000, "b.example.com")]);
}

#[test]
fn r_r2_every_condition_is_read() {
    let some = |text: &str| vec![text.into()];
    assert_condition(
        "host = [\"www.example.com\", \"*.example.com\", \"?.a\", \"[::1]\"]",
        vec![Condition::Host(["www.example.com", "*.example.com", "?.a", "[::1]"].map(Into::into).into())],
    );
    assert_condition("host = \"a.example.com\"", vec![Condition::Host(some("a.example.com"))]);
    assert_condition(
        "path = [\"/a\", \"*.jpg\", { prefix = \"/b/\" }, { regex = \"^/v[0-9]+/\" }]",
        vec![Condition::Path(vec![
            PathMatch::Pattern("/a".into()),
            PathMatch::Pattern("*.jpg".into()),
            PathMatch::Prefix("/b/".into()),
            PathMatch::Regex("^/v[0-9]+/".into()),
        ])],
    );
    assert_condition("path = { prefix = \"/b/\" }", vec![Condition::Path(vec![PathMatch::Prefix("/b/".into())])]);
    assert_condition(
        "method = [\"GET\", \"M-SEARCH\"]",
        vec![Condition::Method(vec!["GET".into(), "M-SEARCH".into()])],
    );
    assert_condition(
        "source_ip = [\"10.0.0.0/8\", \"2001:db8::/32\"]",
        vec![Condition::SourceIp(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()])],
    );
    let query = |key: Option<&str>, value: &str| QueryMatch { key: key.map(Into::into), value: value.into() };
    assert_condition(
        "query = [{ key = \"v\", value = \"1\" }, { value = \"*x*\" }]",
        vec![Condition::Query(vec![query(Some("v"), "1"), query(None, "*x*")])],
    );
}

#[test]
fn r_r2_each_header_is_a_condition_of_its_own() {
    let header = |name: &str, values: &[&str]| Condition::Header {
        name: name.into(),
        values: values.iter().map(|value| Arc::from(*value)).collect(),
    };
    assert_condition(
        "header = [{ name = \"User-Agent\", values = [\"*Chrome*\", \"*Firefox*\"] }, { name = \"X-A\", values = \"1\" }]",
        vec![header("User-Agent", &["*Chrome*", "*Firefox*"]), header("X-A", &["1"])],
    );
}

#[test]
fn r_r3_forwards_to_several_groups_with_stickiness_and_rewrites() {
    let more = "[[target_group]]\nname = \"new\"\nprotocol = \"http\"\n";
    let typed = "default_action = { forward = [{ group = \"app\" }, { group = \"new\", weight = 999 }], group_stickiness = \"1h\", \
                 rewrite = { host = { regex = \"^www[.]\", with = \"\" }, path = { regex = \"^/a/(.*)\", with = \"/b/$1\" } } }";
    let http = http_of(&good(&with(typed, more)));
    let replace = |regex: &str, with: &str| Some(Replace { regex: regex.into(), with: with.into() });
    let forward = Forward {
        groups: vec![WeightedGroup { group: 0, weight: 1 }, WeightedGroup { group: 1, weight: 999 }],
        group_stickiness: Some(Arc::new(of_rule(None, Duration::from_secs(3600)))),
        rewrite: Some(Rewrite { host: replace("^www[.]", ""), path: replace("^/a/(.*)", "/b/$1") }),
    };
    assert_eq!(http.router, Router::new(Vec::new(), Action::Forward(forward)).expect("good"));
    assert_eq!(http.router.groups(), [0, 1]);
}

fn redirect(status: u16, parts: [&str; 5]) -> Action {
    let [protocol, host, port, path, query] = parts.map(Arc::from);
    Action::Redirect(Redirect { status, protocol, host, port, path, query })
}

#[test]
fn r_r3_what_a_redirect_does_not_name_stays_as_the_request_has_it() {
    assert_action(
        "{ redirect = { status = 302, path = \"/new/#{path}\" } }",
        redirect(302, ["#{protocol}", "#{host}", "#{port}", "/new/#{path}", "#{query}"]),
    );
    assert_action(
        "{ redirect = { status = 308, host = \"m.#{host}\", query = \"\" } }",
        redirect(308, ["#{protocol}", "m.#{host}", "#{port}", "/#{path}", ""]),
    );
    assert_action(
        "{ redirect = { status = 307, protocol = \"#{protocol}\", port = 8443 } }",
        redirect(307, ["#{protocol}", "#{host}", "8443", "/#{path}", "#{query}"]),
    );
}

#[test]
fn r_r5_a_redirect_to_another_scheme_goes_to_its_port_unless_it_names_one() {
    for (typed, protocol, port) in [
        ("protocol = \"https\"", "https", "443"),
        ("protocol = \"http\"", "http", "80"),
        ("protocol = \"https\", port = 8443", "https", "8443"),
        ("protocol = \"https\", port = \"#{port}\"", "https", "#{port}"),
    ] {
        let typed = format!("{{ redirect = {{ status = 301, {typed} }} }}");
        assert_action(&typed, redirect(301, [protocol, "#{host}", port, "/#{path}", "#{query}"]));
    }
}

#[test]
fn r_r3_fixed_responses() {
    let fixed = |status, content_type: &str, body: &str| {
        Action::FixedResponse(FixedResponse { status, content_type: content_type.into(), body: body.into() })
    };
    assert_action("{ fixed_response = { status = 204 } }", fixed(204, "text/plain", ""));
    let body = "x".repeat(1024);
    assert_action(
        &format!("{{ fixed_response = {{ status = 599, content_type = \"application/json\", body = \"{body}\" }} }}"),
        fixed(599, "application/json", &body),
    );
}

#[test]
fn r_r3_each_rule_has_a_cookie_of_its_own_for_its_group() {
    let rule = |priority| {
        format!(
            "[[listener.rule]]\npriority = {priority}\naction = {{ forward = \"app\", group_stickiness = \"1s\" }}\n"
        )
    };
    let rules: Vec<_> = [1, 2]
        .map(|priority| {
            let group_stickiness = Some(Arc::new(of_rule(Some(priority), Duration::from_secs(1))));
            Rule {
                priority,
                conditions: Vec::new(),
                action: Action::Forward(Forward { group_stickiness, ..forward_to(0) }),
            }
        })
        .into();
    assert_rules(&(rule(1) + &rule(2)), rules);
}

#[test]
fn r_l9_a_listener_with_a_thousand_rules() {
    let rules = repeated(1000, |n| {
        format!(
            "[[listener.rule]]\npriority = {}\nhost = \"h{n}.example.com\"\naction = {{ forward = \"app\" }}\n",
            n + 1
        )
    });
    assert_eq!(http(&rules).router.groups(), [0]);
}

#[test]
fn a_listener_that_only_answers_needs_no_group() {
    let text = "[[listener]]\nname = \"r\"\nprotocol = \"http\"\naddress = \"0.0.0.0:80\"\n\
                default_action = { redirect = { status = 301, protocol = \"https\" } }\n";
    let snapshot = good(text);
    assert!(snapshot.groups_of(&snapshot.listeners[0]).is_empty());
    assert!(snapshot.is_bound(&snapshot.listeners[0]));
}

#[test]
fn r_s1_a_sticky_group_has_a_cookie_of_its_own() {
    let sticky = http_group("stickiness = { type = \"cookie\", duration = \"10s\" }").stickiness.expect("sticky");
    let expected = Stickiness {
        cookie: "WEIR-app".into(),
        app_cookie: None,
        duration: Duration::from_secs(10),
        secure: false,
        same_site: None,
    };
    assert_eq!(sticky, expected);
}

#[test]
fn r_s2_an_application_cookie_has_a_companion() {
    let keys = "stickiness = { type = \"app_cookie\", app_cookie = \"JSESSIONID\", cookie = \"__Host-lb\", secure = true, \
                same_site = \"none\" }";
    let expected = Stickiness {
        cookie: "__Host-lb".into(),
        app_cookie: Some("JSESSIONID".into()),
        duration: Duration::from_secs(86400),
        secure: true,
        same_site: Some(SameSite::None),
    };
    assert_eq!(http_group(keys).stickiness, Some(expected));
}

#[test]
fn keys_of_an_http_group() {
    let http = http_group(
        "http_version = \"1.0\"\nderegistration_delay = \"0s\"\nresponse_timeout = \"1s\"\nlocation_repair = false\n\
         keep_alive = { idle_max = 0, idle_timeout = \"30s\", lifetime = \"24h\" }\nalgorithm = \"least_outstanding_requests\"\n",
    );
    let keep_alive =
        KeepAlive { idle_max: 0, idle_timeout: Duration::from_secs(30), lifetime: Duration::from_secs(86400) };
    assert_eq!((http.version, http.location_repair, http.keep_alive), (HttpVersion::V1_0, false, keep_alive));
    assert_eq!((http.deregistration_delay, http.response_timeout), (Duration::ZERO, Duration::from_secs(1)));
}

#[test]
fn r_h1_an_http_check_says_what_it_asks_and_wants() {
    let keys = "health_check = { protocol = \"http\", path = \"/up?x=1\", host = \"app.example.com:8080\", method = \"GET\", \
                version = \"1.0\", matcher = \"200, 204-299,418\", port = 81 }";
    let check = group(keys).health_check.expect("checks are on");
    let expected = HttpCheck {
        path: "/up?x=1".into(),
        host: Some("app.example.com:8080".into()),
        method: CheckMethod::Get,
        version: HttpVersion::V1_0,
        matcher: vec![200..=200, 204..=299, 418..=418],
    };
    assert_eq!((check.protocol, check.port), (CheckProtocol::Http(expected), Some(81)));
}

#[test]
fn r_h1_checks_need_not_speak_what_the_group_does() {
    assert_eq!(group("health_check.protocol = \"tcp\"").health_check.expect("on").protocol, CheckProtocol::Tcp);
    assert_eq!(group("health_check.protocol = \"none\"").health_check, None);
    let tcp = GOOD.replace("target = ", "health_check.protocol = \"http\"\ntarget = ");
    let check = good(&tcp).groups[0].health_check.clone().expect("on");
    assert!(matches!(check.protocol, CheckProtocol::Http(_)));
    let check = group("http_version = \"1.0\"").health_check.expect("on");
    assert!(matches!(check.protocol, CheckProtocol::Http(check) if check.version == HttpVersion::V1_0));
}

#[test]
fn r_m3_the_access_log_goes_to_a_file_stdout_or_syslog() {
    let log = |keys: &str| good(&format!("[access_log]\n{keys}")).access_log.expect("a log");
    assert_eq!(log("path = \"stdout\"\nformat = \"alb\""), AccessLog { to: LogTo::Stdout, format: LogFormat::Alb });
    assert_eq!(log("path = \"syslog\""), AccessLog { to: LogTo::Syslog, format: LogFormat::Json });
    let file = |rotate_bytes: Option<u64>, rotate_keep| LogTo::File {
        path: "/var/log/a.log".into(),
        rotate_bytes: rotate_bytes.and_then(NonZeroU64::new),
        rotate_keep,
    };
    assert_eq!(log("path = \"/var/log/a.log\"").to, file(None, 10));
    let rotated = log("path = \"/var/log/a.log\"\nrotate_size = \"100MiB\"\nrotate_keep = 3");
    assert_eq!(rotated.to, file(Some(100 << 20), 3));
}

#[test]
fn relative_paths_begin_in_the_configs_folder() {
    let text = with(&format!("{FORWARD}error_page = [{{ status = 503, file = \"sorry.html\" }}]"), "")
        + "[admin]\ntoken_file = \"token\"\n[access_log]\npath = \"logs/a.log\"\n[balancer]\nsecret_file = \"secret\"\nstate_dir = \"state\"\n";
    let files = Files { folder: Path::new("/etc/weir"), read: &disk };
    let snapshot =
        parse_with("lb.toml", &text, Mode::Run, &files, (&Known::default(), SystemTime::UNIX_EPOCH)).expect("good");
    assert_eq!(&*http_of(&snapshot).error_pages[0].body, b"/etc/weir/sorry.html");
    assert_eq!(snapshot.admin.token_file.as_deref(), Some(Path::new("/etc/weir/token")));
    assert_eq!(snapshot.state_dir.as_deref(), Some(Path::new("/etc/weir/state")));
    let Some(AccessLog { to: LogTo::File { path, .. }, .. }) = snapshot.access_log else { panic!("no file") };
    assert_eq!(path, Path::new("/etc/weir/logs/a.log"));
}
