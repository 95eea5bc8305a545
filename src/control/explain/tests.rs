//! Explanations by a snapshot, with no shard behind it, one that the test plays, or a real one.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::Value;
use tokio::time::Instant;

use super::*;
use crate::config::{Mode, parse};
use crate::control::change::Ledger;
use crate::control::shards::Shards;
use crate::control::state::{Given, Phase};
use crate::control::tests::played;
use crate::health::State;
use crate::shard::{Admits, Answer, GroupAnswer, Next, Order, Standing, TargetAnswer};

const CONFIG: &str = r#"
[[listener]]
name = "web"
protocol = "http"
address = "192.0.2.1:80"
default_action = { forward = "app" }
  [[listener.rule]]
  priority = 10
  host = ["img.example.com", "*.img.example.com"]
  path = ["/static/*", { prefix = "/s/" }, { regex = "^/v[0-9]+/" }]
  action = { forward = [{ group = "app", weight = 3 }, { group = "canary", weight = 1 }, { group = "off", weight = 0 }], group_stickiness = "60s" }
  [[listener.rule]]
  priority = 20
  method = ["PUT", "DELETE"]
  source_ip = ["198.51.100.0/24"]
  action = { fixed_response = { status = 403, content_type = "text/plain", body = "no" } }
  [[listener.rule]]
  priority = 30
  path = "/old/*"
  action = { redirect = { status = 301, host = "new.example.com" } }
  [[listener.rule]]
  priority = 40
  action = { forward = "canary", rewrite = { path = { regex = "^/a/(.*)$", with = "/b/$1" } } }
    [[listener.rule.header]]
    name = "X-Canary"
    values = ["yes"]
    [[listener.rule.query]]
    key = "canary"
    value = "*"

[[listener]]
name = "relay"
protocol = "tcp"
address = "192.0.2.1:90"
scheme = "internal"
default_action = { forward = "plain" }

[[listener]]
name = "closed"
protocol = "tcp"
address = "192.0.2.1:91"
default_action = { forward = "empty" }

[[listener]]
name = "old"
protocol = "http"
address = "192.0.2.1:81"
default_action = { forward = [{ group = "canary", weight = 1 }, { group = "ten", weight = 3 }] }
  [[listener.rule]]
  priority = 10
  path = "/ten*"
  action = { forward = "ten", rewrite = { path = { regex = "^/ten/bad(.*)$", with = "$1" } } }

[[target_group]]
name = "app"
protocol = "http"
stickiness = { type = "cookie", duration = "60s" }
target = [{ address = "10.0.0.1", port = 80 }]

[[target_group]]
name = "canary"
protocol = "http"
target = [{ address = "10.0.0.2", port = 80 }]

[[target_group]]
name = "off"
protocol = "http"

[[target_group]]
name = "plain"
protocol = "tcp"
target = [{ address = "10.0.0.3", port = 80 }]

[[target_group]]
name = "ten"
protocol = "http"
http_version = "1.0"
target = [{ address = "10.0.0.4", port = 80 }]

[[target_group]]
name = "empty"
protocol = "tcp"
"#;

static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(|| Arc::new(parse("t", CONFIG, Mode::Run).unwrap()));

fn control_of(shards: Shards) -> Arc<Control> {
    let control = Control::new(shards, Arc::clone(&SNAPSHOT), Ledger::of(&SNAPSHOT), Given::for_test());
    control.state().phase = Phase::Serving;
    control
}

fn asked(query: &str) -> Asked {
    Asked::parse(query).unwrap_or_else(|mistake| panic!("{query}: {mistake:?}"))
}

fn mistake(query: &str) -> String {
    Asked::parse(query).expect_err(query).what
}

async fn explained(query: &str) -> Explanation {
    explain(&control_of(Vec::new()), &asked(query)).await.unwrap_or_else(|error| panic!("{query}: {error:?}"))
}

/// Each rule that was tried, and whether each of its conditions holds.
fn tried(explanation: &Explanation) -> Vec<(u16, Vec<(String, bool)>)> {
    let of_rule = |rule: &Rule| {
        assert_eq!(rule.holds, rule.conditions.iter().all(|condition| condition.holds));
        rule.rule
    };
    let conditions = |rule: &Rule| rule.conditions.iter().map(|one| (one.kind.clone(), one.holds)).collect();
    explanation.rules.iter().map(|rule| (of_rule(rule), conditions(rule))).collect()
}

#[test]
fn a_question_is_read_as_forms_are_sent() {
    let asked =
        asked("listener=web&client=%3A%3Affff%3A192.0.2.7&path=/a+b/%C3%A4&header=X-A:+1&header=x-a%3A2&&query=q=1");
    assert_eq!((asked.listener.as_str(), asked.client.to_string().as_str()), ("web", "192.0.2.7"));
    assert_eq!((asked.path.as_deref(), asked.query.as_deref()), (Some("/a b/\u{e4}"), Some("q=1")));
    assert_eq!(asked.headers, [("X-A".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())]);
    let whole = Asked::parse("listener=web&client=1.1.1.1&path=/a?b=1%3F").unwrap();
    assert_eq!((whole.path.as_deref(), whole.query.as_deref()), (Some("/a"), Some("b=1?")));
}

#[test]
fn what_cannot_be_meant_is_said() {
    for (query, what) in [
        ("", "listener is missing"),
        ("client=1.1.1.1", "listener is missing"),
        ("listener=web", "client is missing"),
        ("listener=web&client=", "client is \"\", which is no IP address"),
        ("listener=web&client=1.1.1.1:80", "client is \"1.1.1.1:80\", which is no IP address"),
        ("listener=web&client=1.1.1.1&client=1.1.1.1", "client is given twice"),
        ("listener=web&client=1.1.1.1&pth=/", "there is no parameter \"pth\""),
        ("listener=web&client=1.1.1.1&path=a", "path is \"a\""),
        ("listener=web&client=1.1.1.1&path=", "path is \"\""),
        ("listener=web&client=1.1.1.1&path=/?a&query=b", "path has a query, and query is given as well"),
        ("listener=web&client=1.1.1.1&path=/%0d%0aX:1", "path has a line end in it"),
        ("listener=web&client=1.1.1.1&header=X:a%0ab", "header has a line end in it"),
        ("listener=web&client=1.1.1.1&host=a%00", "host has a line end in it"),
        ("listener=web&client=1.1.1.1&path=/%ff", "\"/%ff\" is not UTF-8 when decoded"),
        ("listener=web&client=1.1.1.1&method=GET+/", "\"GET /\" is no method"),
        ("listener=web&client=1.1.1.1&header=X", "header \"X\" has no colon"),
        ("listener=web&client=1.1.1.1&header=X+Y:1", "\"X Y\" is no name of a header"),
        ("listener=web&client=1.1.1.1&header=HOST:a", "Host is not given as a header"),
    ] {
        assert_eq!(mistake(query), what, "{query}");
    }
    let long = mistake(&format!("listener=web&client={}", "1".repeat(5_000)));
    assert!(long.len() < 200, "{long}");
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

proptest! {
    #[test]
    fn any_text_is_a_question_or_a_mistake(text in any::<String>()) {
        let _ = Asked::parse(&text);
    }

    #[test]
    fn any_question_about_a_request_is_explained(
        method in "[A-Z]{1,7}", path in any::<String>(), query in any::<Option<String>>(),
        host in "[a-z.:\\[\\]0-9 ]{0,9}", headers in prop::collection::vec("[A-Za-z-]{1,9}: ?\\PC{0,9}", 0..5),
    ) {
        let mut question = format!("listener=web&client=192.0.2.9&method={method}&host={}", encoded(&host));
        let _ = write!(question, "&path={}", encoded(&format!("/{}", path.replace(['\r', '\n', '\0', '?'], ""))));
        if let Some(text) = &query {
            let _ = write!(question, "&query={}", encoded(&text.replace(['\r', '\n', '\0'], "")));
        }
        for header in headers.iter().filter(|header| !header.to_lowercase().starts_with("host:")) {
            let _ = write!(question, "&header={}", encoded(header));
        }
        let explained = request::explain(&SNAPSHOT, &SNAPSHOT.listeners[0], &asked(&question), 1_800_000_000);
        let explained = explained.expect("it is one request");
        let refused = explained.request.is_some_and(|request| request.refused.is_some());
        prop_assert_eq!(explained.rules.iter().filter(|rule| rule.holds).count(), usize::from(!refused));
        prop_assert_eq!(explained.action.is_some(), !refused);
    }
}

#[tokio::test]
async fn every_rule_above_says_which_condition_does_not_hold() {
    let explanation = explained("listener=web&client=198.51.100.9&host=a.img.example.com&path=/x").await;
    assert_eq!(
        tried(&explanation),
        [
            (10, vec![("host".into(), true), ("path".into(), false)]),
            (20, vec![("method".into(), false), ("source_ip".into(), true)]),
            (30, vec![("path".into(), false)]),
            (40, vec![("query".into(), false), ("header".into(), false)]),
            (0, vec![]),
        ]
    );
    assert_eq!(explanation.rules_not_reached, 0);
    let path = &explanation.rules[0].conditions[1];
    assert_eq!(path.wanted, ["/static/*", "prefix /s/", "regex ^/v[0-9]+/"]);
    assert_eq!(path.given, ["/x"]);
    let header = &explanation.rules[3].conditions[1];
    assert_eq!((header.name.as_deref(), header.wanted.as_slice()), (Some("X-Canary"), &["yes".to_owned()][..]));
    assert!(header.given.is_empty() && explanation.rules[3].conditions[0].given.is_empty());
    assert!(explanation.outcome.text.starts_with("the default action forwards to app;"), "{:?}", explanation.outcome);
}

#[tokio::test]
async fn rules_below_the_one_that_holds_are_only_counted() {
    let explanation = explained("listener=web&client=198.51.100.9&method=PUT&host=img.example.com").await;
    assert_eq!(
        tried(&explanation),
        [
            (10, vec![("host".into(), true), ("path".into(), false)]),
            (20, vec![("method".into(), true), ("source_ip".into(), true)])
        ]
    );
    assert_eq!(explanation.rules_not_reached, 2);
    assert_eq!((explanation.outcome.kind, explanation.outcome.status), (OutcomeKind::FixedResponse, Some(403)));
    assert!(matches!(explanation.action, Some(Action::FixedResponse { body, .. }) if body == "no"));
}

#[tokio::test]
async fn a_redirect_tells_where_to_and_a_rewrite_what_the_target_gets() {
    let explanation = explained("listener=web&client=192.0.2.9&path=/old/a&query=b=1&host=www.example.com").await;
    let location = "http://new.example.com/old/a?b=1".to_owned();
    assert_eq!(explanation.action, Some(Action::Redirect { status: 301, location }));
    assert_eq!(explanation.outcome.kind, OutcomeKind::Redirect);

    let explanation = explained("listener=web&client=192.0.2.9&path=/a/x?canary=&header=x-canary:YES").await;
    let Some(Action::Forward { path_and_query, host, refused, .. }) = &explanation.action else { panic!("a forward") };
    assert_eq!((path_and_query.as_deref(), host.as_deref(), refused), (Some("/b/x?canary="), None, &None));
    let request = explanation.request.unwrap();
    assert_eq!((request.method.as_str(), request.host.as_str()), ("GET", "192.0.2.1"), "as one who types the address");
}

#[tokio::test]
async fn groups_have_their_chance_and_without_a_cookie_no_session() {
    let explanation = explained("listener=web&client=192.0.2.9&host=img.example.com&path=/s/").await;
    let Some(Action::Forward { groups, session, .. }) = &explanation.action else { panic!("a forward") };
    let chances: Vec<_> = groups.iter().map(|group| (&*group.target_group, group.chance, group.chosen)).collect();
    let by_weight = Chosen::ByWeight;
    assert_eq!(chances, [("app", 0.75, by_weight), ("canary", 0.25, by_weight), ("off", 0.0, by_weight)]);
    assert_eq!(session.as_ref().map(|session| session.brought), Some(Brought::Nothing));
    assert_eq!(groups[0].session.as_ref().map(|session| session.brought), Some(Brought::Nothing));
    assert_eq!(groups[1].session, None);
    assert!(explanation.outcome.text.starts_with("rule 10 forwards to app or canary;"), "{:?}", explanation.outcome);

    let cookies = "header=Cookie:+WEIRTG10=forged;+WEIR-app=forged";
    let explanation =
        explained(&format!("listener=web&client=192.0.2.9&host=img.example.com&path=/s/&{cookies}")).await;
    let Some(Action::Forward { groups, session, .. }) = &explanation.action else { panic!("a forward") };
    assert_eq!(session.as_ref().map(|session| session.brought), Some(Brought::NotAccepted));
    assert_eq!(groups[0].session.as_ref().map(|session| session.brought), Some(Brought::NotAccepted));
    assert!(groups[0].chance > 0.7 && groups[0].chosen == Chosen::ByWeight, "{groups:?}");
}

#[tokio::test]
async fn what_the_listener_refuses_is_refused_ahead_of_the_rules() {
    for (query, status, reason) in [
        ("method=CONNECT&path=/", 400, "bad_request"),
        ("method=TRACE", 405, "method_not_allowed"),
        ("host=a+b", 400, "bad_request"),
        ("header=Transfer-Encoding:gzip", 501, "not_implemented"),
        ("header=Content-Length:1&header=Content-Length:2", 400, "bad_request"),
    ] {
        let explanation = explained(&format!("listener=web&client=192.0.2.9&{query}")).await;
        let refused = explanation.request.and_then(|request| request.refused).unwrap_or_else(|| panic!("{query}"));
        assert_eq!((refused.status, refused.reason.as_str()), (status, reason), "{query}");
        assert_eq!((explanation.rules, explanation.action), (Vec::new(), None), "{query}");
        assert_eq!((explanation.outcome.kind, explanation.outcome.status), (OutcomeKind::RequestRefused, Some(status)));
    }
    let many = vec!["192.0.2.1"; 31].join(",");
    let explanation = explained(&format!("listener=web&client=192.0.2.9&header=X-Forwarded-For:{many}")).await;
    assert_eq!((explanation.outcome.kind, explanation.outcome.status), (OutcomeKind::RequestRefused, Some(463)));
}

#[tokio::test]
async fn the_request_is_told_as_it_was_read_and_not_as_it_was_asked() {
    for (query, expected) in [
        ("path=/v/a%23b&host=+a.example:81+", ("a.example:81", "/v/a", None)),
        ("path=/v?b=1%23c", ("192.0.2.1", "/v", Some("b=1"))),
        // It is mended, though the listener refuses it then.
        ("path=/v/a+b", ("192.0.2.1", "/v/a%20b", None)),
        ("path=/v&host=a+b", ("a b", "/v", None)),
    ] {
        let request = explained(&format!("listener=web&client=192.0.2.9&{query}")).await.request.unwrap();
        assert_eq!((&*request.host, &*request.path, request.query.as_deref()), expected, "{query}");
    }
}

const CHUNKED: &str = "method=POST&header=Transfer-Encoding:chunked";

#[tokio::test]
async fn a_group_refuses_ahead_of_the_head_that_its_target_would_get() {
    let many = format!("header=X-Forwarded-For:{}", vec!["192.0.2.1"; 31].join(","));
    for (query, status) in [
        (format!("path=/ten&{CHUNKED}"), Some(464)),
        (format!("path=/ten&{CHUNKED}&{many}"), Some(464)),
        (format!("path=/ten/bad&{CHUNKED}&{many}"), Some(464)),
        (format!("path=/ten/bad&{many}"), Some(500)),
        (format!("path=/ten&{many}"), Some(463)),
        (format!("path=/&{CHUNKED}&{many}"), None),
    ] {
        let outcome = explained(&format!("listener=old&client=192.0.2.9&{query}")).await.outcome;
        assert_eq!((outcome.kind, outcome.status), (OutcomeKind::RequestRefused, status), "{query}: {}", outcome.text);
        let both = outcome.text.contains("463") && outcome.text.contains("464");
        assert_eq!(both, status.is_none(), "{query}: {}", outcome.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_refuses_the_request_is_asked_for_no_target() {
    let (shard, orders) = played(0);
    let control = control_of(vec![shard]);
    let asked = asked(&format!("listener=old&client=192.0.2.9&{CHUNKED}"));
    let playing = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let Ok(Order::Explain(question, reply)) = orders.try_recv() else { panic!("it is asked") };
        let targets = vec![TargetAnswer {
            address: "10.0.0.2:80".parse().unwrap(),
            weight: 10,
            state: State::Healthy,
            reason: None,
            failure: None,
            active: 0,
            standing: Standing::Next,
        }];
        let of_group = |(name, _): &(Arc<str>, _)| GroupAnswer {
            name: Arc::clone(name),
            failing_open: false,
            next: Next::ByTurn(0),
            targets: targets.clone(),
            unbound: Vec::new(),
        };
        let groups = question.groups.iter().map(of_group).collect();
        reply.send(Box::new(Answer { revision: 1, admits: Admits::Yes, groups })).unwrap();
    };
    let (explanation, ()) = tokio::join!(explain(&control, &asked), playing);
    let Explanation { outcome, shards, .. } = explanation.unwrap();
    let groups: Vec<&str> = shards[0].target_groups.iter().map(|group| &*group.target_group).collect();
    assert_eq!((groups, outcome.kind), (vec!["canary"], OutcomeKind::Target));
    assert!(
        outcome.text.starts_with("the default action forwards to canary or ten (answered with 464: "),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn where_no_shard_takes_the_connection_nothing_else_matters() {
    let (shard, orders) = played(0);
    let control = control_of(vec![shard]);
    let asked = asked("listener=web&client=192.0.2.9&method=TRACE");
    let playing = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let Ok(Order::Explain(_, reply)) = orders.try_recv() else { panic!("it is asked") };
        reply.send(Box::new(answer(Admits::Draining))).unwrap();
    };
    let (explanation, ()) = tokio::join!(explain(&control, &asked), playing);
    let outcome = explanation.unwrap().outcome;
    assert_eq!((outcome.kind, outcome.status), (OutcomeKind::ConnectionRefused, None));
}

#[tokio::test]
async fn a_tcp_listener_has_no_rules_and_refuses_as_it_would() {
    let explanation = explained("listener=relay&client=10.1.2.3").await;
    assert_eq!((explanation.request, explanation.rules), (None, Vec::new()));
    assert!(explanation.connection.accepted);
    assert_eq!(explanation.outcome.kind, OutcomeKind::Unknown, "there is no shard");
    let explanation = explained("listener=relay&client=8.8.8.8").await;
    assert_eq!(explanation.connection.reason.as_deref(), Some("scheme"));
    assert_eq!(explanation.outcome.kind, OutcomeKind::ConnectionRefused);
    let explanation = explained("listener=closed&client=8.8.8.8").await;
    assert_eq!(explanation.connection.reason.as_deref(), Some("not_listening"));

    let control = control_of(Vec::new());
    let refused = explain(&control, &asked("listener=relay&client=10.1.2.3&path=/")).await;
    assert!(matches!(refused, Err(Unexplained::Mistake(mistake)) if mistake.what.contains("is tcp")));
    let refused = explain(&control, &asked("listener=web&client=2001:db8::1")).await;
    assert!(matches!(refused, Err(Unexplained::Mistake(mistake)) if mistake.what.starts_with("no IPv6 client")));
    let refused = explain(&control, &asked("listener=wbe&client=192.0.2.9")).await;
    assert!(matches!(refused, Err(Unexplained::NoListener(name)) if name == "wbe"));
}

fn answer(admits: Admits) -> Answer {
    let group = GroupAnswer {
        name: "plain".into(),
        failing_open: false,
        next: Next::Nobody,
        targets: Vec::new(),
        unbound: vec![("10.0.0.9:80".parse().unwrap(), 2)],
    };
    Answer { revision: 1, admits, groups: vec![group] }
}

#[tokio::test(start_paused = true)]
async fn every_shard_is_asked_and_one_that_does_not_answer_holds_nobody_up_for_long() {
    let ((good, asked_good), (silent, asked_silent)) = (played(0), played(1));
    let control = control_of(vec![good, silent]);
    let asked = asked("listener=relay&client=10.1.2.3");
    let playing = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let Ok(Order::Explain(question, reply)) = asked_good.try_recv() else { panic!("it is asked") };
        assert_eq!((&*question.listener, question.groups.len()), ("relay", 1));
        assert_eq!((&*question.groups[0].0, question.client), ("plain", "10.1.2.3".parse().unwrap()));
        reply.send(Box::new(answer(Admits::Yes))).unwrap();
    };
    let (explanation, ()) = tokio::join!(explain(&control, &asked), playing);
    let shards = explanation.unwrap().shards;
    assert_eq!((shards[0].admits, shards[0].revision, &shards[0].reason), (true, Some(1), &None));
    let unbound = &shards[0].target_groups[0].targets[0];
    assert_eq!((unbound.why, unbound.active, unbound.weight), (Standing::Unbound, 2, None));
    assert_eq!((shards[1].admits, shards[1].revision, shards[1].reason.as_deref()), (false, None, Some("no_answer")));
    assert!(asked_silent.try_recv().is_ok());
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_often_waits_for_others_who_ask() {
    let (shard, orders) = played(0);
    let control = control_of(vec![shard]);
    tokio::spawn(async move {
        loop {
            while let Ok(Order::Explain(_, reply)) = orders.try_recv() {
                reply.send(Box::new(answer(Admits::Draining))).unwrap();
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    });
    let asked = asked("listener=relay&client=10.1.2.3");
    let began = Instant::now();
    for _ in 0..11 {
        let explanation = explain(&control, &asked).await.unwrap();
        assert_eq!(explanation.outcome.kind, OutcomeKind::ConnectionRefused);
    }
    assert!(began.elapsed() >= Duration::from_millis(200), "ten pauses, by a clock that the test moves");
}

#[tokio::test(start_paused = true)]
async fn whoever_hangs_up_is_no_faster() {
    let (shard, orders) = played(0);
    let control = control_of(vec![shard]);
    let asked = asked("listener=relay&client=10.1.2.3");
    let began = Instant::now();
    for _ in 0..200 {
        let left = tokio::time::timeout(Duration::from_millis(1), explain(&control, &asked)).await;
        assert!(left.is_err(), "the shard answers nobody");
    }
    let pauses = began.elapsed().as_millis() / 20;
    let questions = orders.try_iter().count();
    assert!(questions > 1, "who gives up while it waits holds nobody up");
    assert!(questions as u128 <= pauses + 1, "{questions} in {pauses} pauses, by a clock that the test moves");
}

#[test]
fn an_explanation_reads_back_as_it_was_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for query in ["listener=relay&client=10.1.2.3", "listener=web&client=192.0.2.9&host=img.example.com&path=/s/"] {
        let explanation = runtime.block_on(explained(query));
        let text = serde_json::to_string(&explanation).unwrap();
        assert_eq!(serde_json::from_str::<Explanation>(&text).unwrap(), explanation);
    }
}

/// Every key of an object, and of those within.
fn keys_of(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            keys.insert(key.clone());
            keys_of(value, keys);
        }),
        Value::Array(values) => values.iter().for_each(|value| keys_of(value, keys)),
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn the_documentation_names_every_key_and_every_reason() {
    let documentation = include_str!("../../../docs/explain.md");
    let (shard, orders) = played(0);
    let control = control_of(vec![shard]);
    let playing = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let Ok(Order::Explain(_, reply)) = orders.try_recv() else { panic!("it is asked") };
        reply.send(Box::new(answer(Admits::Yes))).unwrap();
    };
    let relayed = asked("listener=relay&client=10.1.2.3");
    let (relayed, ()) = tokio::join!(explain(&control, &relayed), playing);
    let mut keys = BTreeSet::new();
    for explanation in [
        relayed.unwrap(),
        explained("listener=web&client=192.0.2.9&host=img.example.com&path=/s/").await,
        explained("listener=web&client=192.0.2.9&path=/old/").await,
        explained("listener=web&client=198.51.100.9&method=PUT").await,
        explained("listener=web&client=192.0.2.9&method=TRACE").await,
    ] {
        keys_of(&serde_json::to_value(explanation).unwrap(), &mut keys);
    }
    assert!(keys.len() > 40, "{keys:?}");
    let reasons = [
        Standing::Next,
        Standing::WeightZero,
        Standing::Loopback,
        Standing::NotHealthy,
        Standing::OtherZone,
        Standing::SessionElsewhere,
        Standing::NotItsTurn,
        Standing::Unbound,
    ];
    let reasons = reasons.map(|reason| serde_json::to_value(reason).unwrap().as_str().unwrap().to_owned());
    for word in keys.into_iter().chain(reasons) {
        assert!(documentation.contains(&format!("`{word}`")), "docs/explain.md does not name {word}");
    }
}
