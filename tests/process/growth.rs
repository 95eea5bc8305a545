//! What is gone leaves nothing behind: thousands of changes, each about a target that there never was before.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;

use crate::support::admin::Metrics;
use crate::support::config::{Config, Group, QUICK_CHECK};
use crate::support::target::{Handler, Target};
use crate::support::weir::Weir;
use crate::support::{client, handlers, http, http_target, place, wait_until};

/// Targets that come and go, one of the http group and one of the tcp group in turn.
const TARGETS: u16 = 1_000;
/// By then everything is there that there is once.
const WARM: u16 = 250;
/// Memory that may come on top after that: allocators and pools settle late.
const GROWTH_BYTES_MAX: u64 = 4 << 20;
/// A deadline more for a check that is under way, or a connection of the test's own.
const FEW: usize = 20;

/// What must not grow.
#[derive(Debug)]
struct Held {
    series: usize,
    timers: usize,
    sockets: usize,
    descriptors: usize,
    resident_bytes: u64,
}

impl Held {
    fn by(weir: &Weir, metrics: &Metrics) -> Held {
        Held {
            series: metrics.len(),
            timers: metrics.count("weir_ring_timers", &[]),
            sockets: metrics.count("weir_ring_sockets", &[]),
            descriptors: metrics.count("process_open_fds", &[]),
            resident_bytes: weir.resident_bytes(),
        }
    }

    fn is_hardly_more_than(&self, before: &Held) -> bool {
        let counts = |held: &Held| [held.series, held.timers, held.sockets, held.descriptors];
        counts(self).iter().zip(counts(before)).all(|(now, before)| *now <= before + FEW)
            && self.resident_bytes <= before.resident_bytes + GROWTH_BYTES_MAX
    }
}

fn texts<'t>(texts: impl IntoIterator<Item = &'t String>) -> BTreeSet<&'t str> {
    texts.into_iter().map(String::as_str).collect()
}

/// A target on all addresses of this host: at each of them it is another one, and answers.
fn everywhere(handler: Handler) -> Target {
    Target::start_at(place::everywhere(), handler)
}

/// The target as the `number`th.
fn at(target: &Target, number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::new(Ipv4Addr::new(127, 77, high, low).into(), target.address.port())
}

#[test]
#[ignore = "long: ./x test runs it"]
fn r_k5_r_g10_two_thousand_changes_by_the_api_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a directory");
    let (by_http, by_tcp) = (everywhere(http_target::named("a")), everywhere(handlers::identify("a")));
    let (mut config, web) = Config::http(&[]);
    let db = place::free();
    config = config.listener("db", db, "db").group(Group::new("db"));
    for group in &mut config.groups {
        (group.keys, group.check) = ("managed = \"api\"".into(), QUICK_CHECK.into());
    }
    config.keys = format!("state_dir = \"{}\"", folder.path().display());
    let weir = Weir::start(config);

    let target = |number: u16| {
        if number.is_multiple_of(2) { ("app", at(&by_http, number)) } else { ("db", at(&by_tcp, number)) }
    };
    let send = |method: &str, number: u16| {
        let (group, address) = target(number);
        let body = json!({ "targets": [{ "address": address.ip(), "port": address.port() }] });
        weir.send(&format!("{method} /v1/target-groups/{group}/targets"), &body);
    };
    let held = |number: u16| {
        weir.wait_for_connections(0);
        let metrics = weir.metrics();
        let targets = [number - 1, number].map(|number| target(number).1.to_string());
        assert_eq!(metrics.labels("target"), texts(&targets), "who leaves takes its series along");
        let held = Held::by(&weir, &metrics);
        println!("after {number} targets: {held:?}");
        held
    };
    let mut warm = None;
    for number in 0..TARGETS {
        send("POST", number);
        if number >= 2 {
            send("DELETE", number - 2);
        }
        if number % 10 == 9 {
            // So that there is something to count, and a connection to keep.
            assert_eq!(http::visit(web).expect("an answer"), "a");
            assert_eq!(client::ask(db).expect("an answer"), "a");
        }
        if number == WARM {
            warm = Some(held(number));
        }
    }
    let warm = warm.expect("it was passed");
    wait_until("hardly more is held", || held(TARGETS - 1).is_hardly_more_than(&warm));
}

/// Each has another listener, group and target, and a longer list of rules.
#[test]
fn r_k1_r_k5_what_reloads_rename_leaves_nothing_behind() {
    let target = everywhere(http_target::named("a"));
    let (config, web) = Config::http(&[at(&target, 0)]);
    let mut weir = Weir::start(config);
    let mut warm = None;
    for number in 1..=30 {
        weir.change(|config| {
            let app = format!("app-{number}");
            *config.app() = Group::http(&app).target(at(&target, number), 10).check(QUICK_CHECK);
            let rules = vec!["{ action = \"accept\" }"; usize::from(number)].join(", ");
            config.web().keys = format!("security_group = [{rules}]");
            (config.web().name, config.web().group) = (format!("web-{number}"), app);
        });
        assert_eq!(http::visit(web).expect("an answer"), "a");
        let metrics = weir.metrics();
        let [web, app] = ["web", "app"].map(|name| format!("{name}-{number}"));
        assert_eq!((metrics.labels("listener"), metrics.labels("target_group")), (texts([&web]), texts([&app])));
        assert_eq!(metrics.labels("target"), texts([&at(&target, number).to_string()]));
        if number == 5 {
            warm = Some(Held::by(&weir, &metrics));
        }
    }
    let warm = warm.expect("it was passed");
    let rules_more = 25;
    wait_until("hardly more is held", || {
        let mut now = Held::by(&weir, &weir.metrics());
        now.series -= rules_more;
        println!("{warm:?}, then {now:?}");
        now.is_hardly_more_than(&warm)
    });
}
