//! Finding a request's rule, which each request waits for: less than a microsecond among a thousand.
//!
//!     router::Subject of a GET with eight fields --find--> the rule that was meant, which is checked ahead of measuring
//!
//! A case has its request fall under its last rule, or under none, so that no rule is spared.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::Criterion;

use weir::l7::framing::RequestHead;
use weir::l7::router::{Action, Condition, FixedResponse, PathMatch, Router, Rule, Subject};

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router");
    for case in cases() {
        let router = Router::new(case.rules, not_found()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let head = head(case.host, case.path);
        let find = || router.find(&subject(black_box(&head))).priority;
        assert_eq!(find(), case.expected, "{}", case.name);
        group.bench_function(case.name, |bencher| bencher.iter(find));
    }
    group.finish();
}

struct Case {
    name: &'static str,
    rules: Vec<Rule>,
    host: &'static str,
    path: &'static str,
    expected: Option<u16>,
}

fn cases() -> [Case; 8] {
    let deep = "/catalogue/items/17/pictures";
    [
        // 200 hosts with five paths each.
        Case {
            name: "hosts/1000",
            rules: numbered(1_000, |n| {
                vec![host(&format!("www{}.example.com", n % 200)), prefix(&format!("/{}/", n / 200))]
            }),
            host: "www199.example.com",
            path: "/4/a",
            expected: Some(1_000),
        },
        Case {
            name: "hosts/1000/unknown",
            rules: numbered(1_000, |n| {
                vec![host(&format!("www{}.example.com", n % 200)), prefix(&format!("/{}/", n / 200))]
            }),
            host: "www.example.org",
            path: "/4/a",
            expected: None,
        },
        // As many, each by a wildcard: the host is found by its suffix.
        Case {
            name: "hosts/1000/wildcard",
            rules: numbered(1_000, |n| {
                vec![host(&format!("*.h{}.example.com", n % 200)), prefix(&format!("/{}/", n / 200))]
            }),
            host: "www.h199.example.com",
            path: "/4/a",
            expected: Some(1_000),
        },
        Case {
            name: "headers/100",
            rules: numbered(100, |n| vec![header("X-Version", &format!("*version-{n}"))]),
            host: "www.example.com",
            path: "/",
            expected: Some(100),
        },
        // Nearly all end at the gate.
        Case {
            name: "prefixes/100",
            rules: numbered(100, |n| vec![prefix(&format!("/s{n}/api/"))]),
            host: "www.example.com",
            path: "/s99/api/a",
            expected: Some(100),
        },
        // Also where paths begin with the same sixteen bytes.
        Case {
            name: "prefixes/100/alike",
            rules: numbered(100, |n| vec![prefix(&format!("/catalogue/items/{n}/"))]),
            host: "www.example.com",
            path: "/catalogue/items/99/a",
            expected: Some(100),
        },
        Case {
            name: "expressions/100",
            rules: numbered(100, |n| vec![expression(&format!("^/s{n}/[a-z]+/v[0-9]+$"))]),
            host: "www.example.com",
            path: "/s99/api/v2",
            expected: Some(100),
        },
        // Nothing is known of where they match, so each is run.
        Case {
            name: "expressions/10/anywhere",
            rules: numbered(10, |n| vec![expression(&format!("/items/[0-9]+/pictures/{n}$"))]),
            host: "www.example.com",
            path: deep,
            expected: None,
        },
    ]
}

fn numbered(count: u16, conditions: impl Fn(u16) -> Vec<Condition>) -> Vec<Rule> {
    (0..count).map(|n| Rule { priority: n + 1, conditions: conditions(n), action: not_found() }).collect()
}

fn not_found() -> Action {
    Action::FixedResponse(FixedResponse { status: 404, content_type: "text/plain".into(), body: "".into() })
}

fn host(host: &str) -> Condition {
    Condition::Host(vec![host.into()])
}

fn prefix(prefix: &str) -> Condition {
    Condition::Path(vec![PathMatch::Prefix(prefix.into())])
}

fn expression(text: &str) -> Condition {
    Condition::Path(vec![PathMatch::Regex(text.into())])
}

fn header(name: &str, value: &str) -> Condition {
    Condition::Header { name: name.into(), values: vec![value.into()] }
}

fn head(host: &str, path: &str) -> RequestHead {
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html\r\n\
         Accept-Language: en\r\nAccept-Encoding: gzip\r\nCookie: a=1; b=2\r\nReferer: http://{host}/\r\n\
         X-Version: this-is-version-99\r\n\r\n"
    );
    let mut head = RequestHead::new();
    assert!(head.read(text.as_bytes()).is_ok_and(|read| read.complete));
    head
}

fn subject(head: &RequestHead) -> Subject<'_, RequestHead> {
    Subject {
        host: head.host(),
        path: head.path(),
        query: head.query(),
        method: head.method(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        fields: head,
    }
}
