//! What rules do, by requirement. `model` holds the router against one that tries each rule in turn.

mod actions;
mod model;

use std::net::IpAddr;
use std::sync::Arc;

use super::*;

/// A header, as a list.
pub(super) struct List(pub(super) Vec<(String, String)>);

impl Fields for List {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.0.iter().filter(named).map(|field| field.1.as_bytes())
    }
}

/// `GET http://<url>`, with a header.
struct Request {
    method: &'static str,
    host: &'static str,
    target: &'static str,
    client: &'static str,
    fields: List,
}

fn get(host: &'static str, target: &'static str) -> Request {
    Request { method: "GET", host, target, client: "192.0.2.1", fields: List(Vec::new()) }
}

impl Request {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.0.push((name.into(), value.into()));
        self
    }

    /// Priority of the rule that it falls under.
    fn rule(&self, router: &Router) -> Option<u16> {
        let (path, query) =
            self.target.split_once('?').map_or((self.target, None), |(path, query)| (path, Some(query)));
        let subject = Subject {
            host: self.host.as_bytes(),
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
            method: self.method.as_bytes(),
            client: self.client.parse().unwrap(),
            fields: &self.fields,
        };
        router.find(&subject).priority
    }
}

fn to(group: usize) -> Action {
    let groups = vec![WeightedGroup { group, weight: 1 }];
    Action::Forward(Forward { groups, group_stickiness: None, rewrite: None })
}

fn rule(priority: u16, conditions: Vec<Condition>) -> Rule {
    Rule { priority, conditions, action: to(usize::from(priority)) }
}

fn router(rules: Vec<Rule>) -> Router {
    Router::new(rules, to(0)).unwrap()
}

fn texts(texts: &[&str]) -> Vec<Arc<str>> {
    texts.iter().map(|text| Arc::from(*text)).collect()
}

fn hosts(values: &[&str]) -> Condition {
    Condition::Host(texts(values))
}

fn paths(values: &[&str]) -> Condition {
    Condition::Path(values.iter().map(|path| PathMatch::Pattern((*path).into())).collect())
}

fn regex(text: &str) -> Condition {
    Condition::Path(vec![PathMatch::Regex(text.into())])
}

fn header(name: &str, values: &[&str]) -> Condition {
    Condition::Header { name: name.into(), values: texts(values) }
}

fn query(pairs: &[(Option<&str>, &str)]) -> Condition {
    let one = |(key, value): &(Option<&str>, &str)| QueryMatch { key: key.map(Arc::from), value: (*value).into() };
    Condition::Query(pairs.iter().map(one).collect())
}

fn error(rules: Vec<Rule>) -> RouterError {
    Router::new(rules, to(0)).unwrap_err()
}

#[test]
fn r_r1_the_first_rule_by_priority_wins_in_whatever_order_rules_come() {
    let router = router(vec![rule(20, vec![paths(&["/a*"])]), rule(10, vec![paths(&["/ab"])]), rule(30, Vec::new())]);
    assert_eq!(get("h", "/ab").rule(&router), Some(10));
    assert_eq!(get("h", "/abc").rule(&router), Some(20));
    assert_eq!(get("h", "/").rule(&router), Some(30));
}

#[test]
fn r_r1_all_conditions_must_hold_else_the_default_action_is_taken() {
    let router = router(vec![rule(
        1,
        vec![hosts(&["a.example"]), paths(&["/x"]), Condition::Method(texts(&["GET"])), header("X-A", &["1"])],
    )]);
    assert_eq!(get("a.example", "/x").with("x-a", "1").rule(&router), Some(1));
    assert_eq!(get("b.example", "/x").with("x-a", "1").rule(&router), None);
    assert_eq!(get("a.example", "/y").with("x-a", "1").rule(&router), None);
    assert_eq!(get("a.example", "/x").with("x-a", "2").rule(&router), None);
    assert_eq!(Request { method: "get", ..get("a.example", "/x").with("x-a", "1") }.rule(&router), None);
}

#[test]
fn r_r1_priority_decides_between_hosts_not_how_exact_they_are() {
    let by_priority = router(vec![
        rule(1, vec![hosts(&["*.com"])]),
        rule(2, vec![hosts(&["www.example.com"])]),
        rule(3, vec![hosts(&["*.example.com"])]),
        rule(4, vec![hosts(&["www.*"])]),
    ]);
    assert_eq!(get("www.example.com", "/").rule(&by_priority), Some(1));
    let as_clb = router(vec![
        rule(1, vec![hosts(&["www.example.com"])]),
        rule(2, vec![hosts(&["*.example.com"])]),
        rule(3, vec![hosts(&["www.*"])]),
    ]);
    assert_eq!(get("www.example.com", "/").rule(&as_clb), Some(1));
    assert_eq!(get("a.example.com", "/").rule(&as_clb), Some(2));
    assert_eq!(get("www.example.org", "/").rule(&as_clb), Some(3));
    assert_eq!(get("example.com", "/").rule(&as_clb), None);
}

#[test]
fn r_r2_a_host_matches_in_either_case_and_with_the_dot_of_a_full_name() {
    let router = router(vec![
        rule(1, vec![hosts(&["WWW.example.com", "b.example.org."])]),
        rule(2, vec![hosts(&["*.Example.com"])]),
        rule(3, vec![hosts(&["img?.example.net"])]),
        rule(4, vec![hosts(&["[::1]"])]),
    ]);
    for (host, priority) in [
        ("www.EXAMPLE.com", Some(1)),
        ("www.example.com.", Some(1)),
        ("b.example.org", Some(1)),
        ("a.b.example.COM", Some(2)),
        (".example.com", Some(2)),
        ("IMG7.example.net", Some(3)),
        ("img.example.net", None),
        ("[::1]", Some(4)),
        ("", None),
        (".", None),
    ] {
        assert_eq!(get(host, "/").rule(&router), priority, "{host}");
    }
}

#[test]
fn r_r2_a_rule_of_one_host_is_not_seen_by_another_and_one_of_several_is_seen_by_each() {
    let router = router(vec![
        rule(1, vec![hosts(&["a.example", "*.b.example", "c*"]), paths(&["/1"])]),
        rule(2, vec![hosts(&["a.example"])]),
    ]);
    for host in ["a.example", "x.b.example", "c1.example"] {
        assert_eq!(get(host, "/1").rule(&router), Some(1), "{host}");
    }
    assert_eq!(get("a.example", "/2").rule(&router), Some(2));
    assert_eq!(get("x.b.example", "/2").rule(&router), None);
}

#[test]
fn a_host_longer_than_any_name_falls_under_no_rule_with_a_host() {
    let long: &'static str = Box::leak(format!("{}.example.com", "a".repeat(300)).into_boxed_str());
    let router = router(vec![
        rule(1, vec![hosts(&["*.example.com"])]),
        rule(2, vec![hosts(&["*"])]),
        rule(3, vec![paths(&["/x"])]),
    ]);
    assert_eq!(get(long, "/").rule(&router), None);
    assert_eq!(get(long, "/x").rule(&router), Some(3));
    assert_eq!(get("short", "/x").rule(&router), Some(2));
}

#[test]
fn r_r2_a_path_matches_as_written_without_its_query() {
    let prefix = Condition::Path(vec![PathMatch::Prefix("/api/".into())]);
    let router = router(vec![
        rule(1, vec![paths(&["/exact", "/img/*/th?mb"])]),
        rule(2, vec![prefix]),
        rule(3, vec![regex("^/v[0-9]+/")]),
    ]);
    for (target, priority) in [
        ("/exact", Some(1)),
        ("/exact?a=/b", Some(1)),
        ("/Exact", None),
        ("/exact/", None),
        ("/%65xact", None),
        ("/img/a/b/thumb", Some(1)),
        ("/api/", Some(2)),
        ("/api/v1", Some(2)),
        ("/api", None),
        ("/x/api/", None),
        ("/v12/x", Some(3)),
        ("/v/x", None),
        ("*", None),
    ] {
        assert_eq!(get("h", target).rule(&router), priority, "{target}");
    }
}

#[test]
fn r_r2_texts_and_expressions_of_one_condition_are_alternatives() {
    let either = vec![PathMatch::Regex("[.]php$".into()), PathMatch::Pattern("/cgi/*".into())];
    let router = router(vec![rule(1, vec![Condition::Path(either), Condition::Method(texts(&["GET", "HEAD"]))])]);
    assert_eq!(get("h", "/a.php").rule(&router), Some(1));
    assert_eq!(get("h", "/cgi/a").rule(&router), Some(1));
    assert_eq!(get("h", "/a").rule(&router), None);
    assert_eq!(Request { method: "HEAD", ..get("h", "/a.php") }.rule(&router), Some(1));
    assert_eq!(Request { method: "POST", ..get("h", "/a.php") }.rule(&router), None);
}

#[test]
fn r_r2_any_field_of_a_name_may_match_and_several_header_conditions_all_must() {
    let router = router(vec![
        rule(1, vec![header("User-Agent", &["*Chrome*", "*Safari*"]), header("X-Beta", &["?"])]),
        rule(2, vec![header("user-agent", &["curl/*"])]),
        rule(3, vec![header("x-beta", &["no"])]),
    ]);
    assert_eq!(get("h", "/").with("user-agent", "a CHROME b").with("x-beta", "1").rule(&router), Some(1));
    assert_eq!(get("h", "/").with("user-agent", "a Chrome b").rule(&router), None);
    assert_eq!(get("h", "/").with("USER-AGENT", "curl/8").rule(&router), Some(2));
    assert_eq!(get("h", "/").with("x-beta", "yes").with("x-beta", "no").rule(&router), Some(3));
    assert_eq!(get("h", "/").rule(&router), None);
}

#[test]
fn r_r2_rules_may_look_at_more_fields_than_are_remembered() {
    let rules = (1..=9).map(|n| rule(n, vec![header(&format!("x-{n}"), &["1"])])).collect();
    let router = router(rules);
    assert_eq!(get("h", "/").with("x-9", "1").rule(&router), Some(9));
    assert_eq!(get("h", "/").with("x-7", "0").with("x-7", "1").rule(&router), Some(7));
}

#[test]
fn r_r2_some_parameter_of_the_query_has_key_and_value() {
    let router = router(vec![
        rule(1, vec![query(&[(Some("version"), "v1"), (Some("ab*"), "1")])]),
        rule(2, vec![query(&[(None, "*example*")]), query(&[(Some("x"), "")])]),
    ]);
    for (target, priority) in [
        ("/?version=V1", Some(1)),
        ("/?a&VERSION=v1", Some(1)),
        ("/?version=v1=", None),
        ("/?abc=1", Some(1)),
        ("/?q=an+EXAMPLE+of&x", Some(2)),
        ("/?q=an+example+of&x=", Some(2)),
        ("/?q=an+example+of", None),
        ("/?q=an+example+of&x=1", None),
        ("/?", None),
        ("/", None),
        ("/?&&&", None),
    ] {
        assert_eq!(get("h", target).rule(&router), priority, "{target}");
    }
}

#[test]
fn r_r2_a_source_is_the_address_of_the_connection() {
    let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
    let router = router(vec![rule(1, vec![Condition::SourceIp(networks.to_vec())])]);
    let from = |client| Request { client, ..get("h", "/").with("x-forwarded-for", "10.0.0.1") }.rule(&router);
    assert_eq!(from("10.255.0.1"), Some(1));
    assert_eq!(from("::ffff:10.0.0.1"), Some(1));
    assert_eq!(from("2001:db8::1"), Some(1));
    assert_eq!(from("11.0.0.1"), None);
    assert_eq!(from("2001:db9::1"), None);
}

#[test]
fn r_r1_priorities_are_unique_and_in_range() {
    let twice = error(vec![rule(7, Vec::new()), rule(3, Vec::new()), rule(7, Vec::new())]);
    assert_eq!((twice.priority, &*twice.what), (Some(7), "two rules have priority 7"));
    assert_eq!(error(vec![rule(0, Vec::new())]).priority, Some(0));
    assert_eq!(error(vec![rule(50_001, Vec::new())]).mend, "choose one from 1 to 50000");
    assert!(Router::new(vec![rule(1, Vec::new()), rule(50_000, Vec::new())], to(0)).is_ok());
}

#[test]
fn r_r2_conditions_that_cannot_be_meant_are_refused() {
    for conditions in [
        vec![hosts(&[])],
        vec![hosts(&[""])],
        vec![hosts(&[&"a".repeat(256)])],
        vec![paths(&[])],
        vec![Condition::Method(Vec::new())],
        vec![header("x", &[])],
        vec![query(&[])],
        vec![Condition::SourceIp(Vec::new())],
        vec![hosts(&["a"]), hosts(&["b"])],
        vec![paths(&["/a"]), regex("/b")],
        vec![regex("(")],
    ] {
        let error = error(vec![rule(1, Vec::new()), rule(9, conditions.clone())]);
        assert_eq!(error.priority, Some(9), "{conditions:?}");
        assert!(!error.what.is_empty() && !error.mend.is_empty());
    }
}

#[test]
fn an_error_names_the_rule_or_the_default_action() {
    let nowhere = Action::Forward(Forward { groups: Vec::new(), group_stickiness: None, rewrite: None });
    let error = Router::new(Vec::new(), nowhere.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the default action: it names no target group, so no request can be forwarded; give one group a weight of 1 or more"
    );
    let error = Router::new(vec![Rule { action: nowhere, ..rule(4, Vec::new()) }], to(0)).unwrap_err();
    assert!(error.to_string().starts_with("the rule of priority 4: "));
}

#[test]
fn routers_are_equal_when_their_rules_are() {
    let one = || vec![rule(1, vec![regex("^/a")]), rule(2, vec![hosts(&["a"])])];
    let reversed = || one().into_iter().rev().collect();
    assert_eq!(router(one()), router(reversed()));
    assert_eq!(router(one()).clone(), router(one()));
    assert_ne!(router(one()), router(vec![rule(1, vec![regex("^/a")])]));
    assert_ne!(router(one()), Router::new(one(), to(1)).unwrap());
}

#[test]
fn groups_are_those_that_rules_forward_to() {
    let pair = |groups: [usize; 2]| Forward {
        groups: groups.map(|group| WeightedGroup { group, weight: 1 }).to_vec(),
        group_stickiness: None,
        rewrite: None,
    };
    let rules = vec![Rule { action: Action::Forward(pair([7, 2])), ..rule(1, Vec::new()) }, rule(2, Vec::new())];
    assert_eq!(Router::new(rules, to(7)).unwrap().groups(), [2, 7]);
}

/// A client's address, for where it does not matter.
fn nobody() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}
