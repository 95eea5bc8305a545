//! Zones: the balancer's own goes first where a group says so, and the others are there when it fails (requirement B3).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::support::config::{Config, QUICK_CHECK};
use crate::support::http::{self, Message};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{admin, client, handlers, http_target, place, wait_until};

const HERE: &str = "zone = \"gz-3\"";
const THERE: &str = "zone = \"gz-4\"";

/// A balancer in `HERE`, and targets with the zones they are in.
fn zoned(config: (Config, SocketAddr), zones: &[(SocketAddr, &str)]) -> (Config, SocketAddr) {
    let (mut config, web) = config;
    config.keys = HERE.into();
    zones.iter().for_each(|(target, zone)| config.app().set_keys(*target, *zone));
    (config, web)
}

/// Whom clients on connections of their own reach.
fn reached(web: SocketAddr) -> BTreeSet<String> {
    (0..30).map(|_| client::ask(web).expect("an answer")).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn r_b3_a_tcp_group_uses_its_own_zone_while_a_target_there_is_healthy() {
    let [mut a, mut b, c] = ["a", "b", "c"].map(|name| Target::start(handlers::identify(name)));
    let zones = [(a.address, HERE), (b.address, HERE), (c.address, THERE)];
    let (mut config, web) = zoned(Config::relay(&zones.map(|(target, _)| target)), &zones);
    config.app().check = QUICK_CHECK.into();
    let weir = Weir::start(config);
    zones.iter().for_each(|(target, _)| weir.wait_for_state("app", *target, "healthy"));
    assert_eq!(reached(web), names(&["a", "b"]));
    let shown = |target: SocketAddr| {
        let target = weir.target("app", target);
        (target["zone"].clone(), target["stands_by"].clone())
    };
    assert_eq!(shown(a.address), ("gz-3".into(), false.into()));
    assert_eq!(shown(c.address), ("gz-4".into(), true.into()), "who wonders why it gets nothing reads why");

    a.stop();
    weir.wait_for_state("app", a.address, "unhealthy");
    assert_eq!(reached(web), names(&["b"]), "one is enough");
    assert_eq!(weir.metric("weir_target_group_leaving_zone", &[("target_group", "app")]), 0);

    b.stop();
    weir.wait_for_state("app", b.address, "unhealthy");
    assert_eq!(reached(web), names(&["c"]));
    assert_eq!(shown(c.address), ("gz-4".into(), false.into()));
    assert_eq!(weir.metric("weir_target_group_leaving_zone", &[("target_group", "app")]), 2, "both shards");
    let groups = weir.json("/v1/target-groups");
    let group = admin::element(&groups["target_groups"], "name", "app").expect("it is listed");
    assert_eq!((&group["cross_zone"], &group["leaving_zone"]), (&false.into(), &true.into()), "{group}");

    b.listen();
    weir.wait_for_state("app", b.address, "healthy");
    assert_eq!(reached(web), names(&["b"]), "back by itself");
}

#[test]
fn r_b3_a_reload_that_changes_zones_is_in_effect_at_once() {
    let [a, b] = ["a", "b"].map(|name| Target::start(handlers::identify(name)));
    let zones = [(a.address, HERE), (b.address, THERE)];
    let (config, web) = zoned(Config::relay(&zones.map(|(target, _)| target)), &zones);
    let mut weir = Weir::start(config);
    assert_eq!(reached(web), names(&["a"]));
    weir.change(|config| config.keys = THERE.into());
    assert_eq!(reached(web), names(&["b"]), "the balancer is elsewhere now");
    weir.change(|config| config.app().set_keys(a.address, THERE));
    assert_eq!(reached(web), names(&["a", "b"]), "a target has moved");
    weir.change(|config| config.keys = HERE.into());
    assert_eq!(reached(web), names(&["a", "b"]), "nobody is where the balancer is");
    weir.change(|config| {
        config.app().set_keys(a.address, HERE);
        config.app().keys = "cross_zone = true".into();
    });
    assert_eq!(reached(web), names(&["a", "b"]), "zones are no matter");
    weir.change(|config| {
        config.app().keys.clear();
        config.app().set_weight(a.address, 0);
    });
    assert_eq!(reached(web), names(&["b"]), "a target that is drained does not hold its zone");
}

#[test]
fn r_b3_an_http_group_crosses_zones_unless_it_is_told_not_to() {
    let [a, b] = ["a", "b"].map(http_target::start);
    let zones = [(a.address, HERE), (b.address, THERE)];
    let (config, web) = zoned(Config::http(&zones.map(|(target, _)| target)), &zones);
    let mut weir = Weir::start(config);
    let visited = || (0..30).map(|_| http::visit(web).expect("an answer")).collect::<BTreeSet<_>>();
    assert_eq!(visited(), names(&["a", "b"]));
    weir.change(|config| config.app().keys = "cross_zone = false".into());
    assert_eq!(visited(), names(&["a"]));
}

/// It counts as healthy, as one that has just died does until its checks have failed.
#[test]
fn r_b3_r_b6_a_client_whose_zone_does_not_answer_is_served_by_another() {
    let dead = place::free();
    let elsewhere = Target::start(handlers::identify("elsewhere"));
    let zones = [(dead, HERE), (elsewhere.address, THERE)];
    let (config, web) = zoned(Config::relay(&zones.map(|(target, _)| target)), &zones);
    let weir = Weir::start(config);
    assert_eq!(reached(web), names(&["elsewhere"]));
    let failed = weir.metric("weir_target_connect_failures_total", &[("target", &dead.to_string())]);
    assert_eq!(failed, 30, "the own zone is tried first, each time");
}

#[test]
fn r_b3_r_s1_a_session_stays_with_its_target_wherever_that_is() {
    let [mut a, b] = ["a", "b"].map(http_target::start);
    let zones = [(a.address, HERE), (b.address, THERE)];
    let (mut config, web) = zoned(Config::http(&zones.map(|(target, _)| target)), &zones);
    config.app().check = QUICK_CHECK.into();
    config.app().keys = "cross_zone = false\nstickiness = { type = \"cookie\" }".into();
    let weir = Weir::start(config);
    weir.wait_for_state("app", a.address, "healthy");
    a.stop();
    weir.wait_for_state("app", a.address, "unhealthy");
    weir.wait_for_state("app", b.address, "healthy");
    let ask = |cookie: &str| {
        http::ask(web, format!("GET / HTTP/1.1\r\nHost: a.example\r\nCookie: {cookie}\r\n\r\n")).expect("an answer")
    };
    let first = ask("");
    assert_eq!(first.text(), "b");
    let cookie = session(&first);
    a.listen();
    weir.wait_for_state("app", a.address, "healthy");
    wait_until("others are at home again", || ask("").text() == "a");
    (0..10).for_each(|_| assert_eq!(ask(&cookie).text(), "b"));
}

fn session(answer: &Message) -> String {
    let set_cookie = answer.values("set-cookie").find(|line| line.starts_with("WEIR-")).expect("a cookie");
    set_cookie.split(';').next().unwrap_or_default().to_owned()
}
