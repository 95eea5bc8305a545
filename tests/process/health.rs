//! Health: states with reasons and hints, the port that is checked, no checks at all; fail open and fail closed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::config::{Config, Group, NO_CHECK, QUICK_CHECK};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{client, eventually, handlers, place, wait_until};

#[test]
fn r_h3_a_target_goes_through_initial_healthy_unhealthy_and_comes_back_by_itself() {
    let mut target = Target::start(handlers::identify("a"));
    target.fall_silent();
    let (mut config, _) = Config::relay(&[target.address]);
    config.app().check = r#"interval = "3s", timeout = "2500ms", healthy = 2, unhealthy = 1"#.into();
    let mut weir = Weir::start(config);
    let first = weir.health("app", target.address);
    assert_eq!(first["state"], "initial", "{first}");
    assert!(first["reason"].as_str().is_some_and(|reason| reason.starts_with("Elb.")), "{first}");
    weir.wait_for_state("app", target.address, "unhealthy");
    assert_eq!(weir.health("app", target.address)["reason"], "Target.Timeout");
    // It was slow so that the first state could be seen; no longer.
    weir.change(|config| config.app().check = QUICK_CHECK.into());
    target.stop();
    target.listen();
    weir.wait_for_state("app", target.address, "healthy");
    assert!(weir.health("app", target.address)["reason"].is_null(), "a healthy target needs none");
    target.stop();
    weir.wait_for_state("app", target.address, "unhealthy");
    assert_eq!(weir.health("app", target.address)["reason"], "Target.FailedHealthChecks");
}

/// A listener that comes back to a group finds its targets unchecked: what was known of them is old.
#[test]
fn r_h3_a_group_that_is_used_again_is_checked_at_once_however_long_its_interval() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, _) = Config::relay(&[target.address]);
    config.app().check = r#"protocol = "tcp", interval = "300s", timeout = "2s""#.into();
    let mut weir = Weir::start(config.group(Group::new("other").target(target.address, 10)));
    for _ in 0..4 {
        weir.wait_for_state("app", target.address, "healthy");
        weir.change(|config| config.web().group = "other".into());
        weir.change(|config| config.web().group = "app".into());
    }
    weir.wait_for_state("app", target.address, "healthy");
}

#[test]
fn r_h5_the_api_tells_the_last_check_its_error_and_a_hint() {
    let mut target = Target::start(handlers::identify("a"));
    let (mut config, _) = Config::relay(&[target.address]);
    config.app().check = QUICK_CHECK.into();
    let weir = Weir::start(config);
    weir.wait_for_state("app", target.address, "healthy");
    let check = &weir.health("app", target.address)["last_check"];
    assert!(check["latency_us"].is_number() && check["at"].is_string() && check["failure"].is_null(), "{check}");
    target.stop();
    weir.wait_for_state("app", target.address, "unhealthy");
    let check = &weir.health("app", target.address)["last_check"];
    assert_eq!(check["failure"], "refused", "{check}");
    assert!(check["hint"].as_str().is_some_and(|hint| hint.contains("nothing listens")), "{check}");
}

#[test]
fn r_h1_a_check_of_its_own_port_decides() {
    let target = Target::start(handlers::identify("a"));
    let mut checked = Target::start_at(place::free_on(target.address.ip()), handlers::identify("check"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.app().check = format!("{QUICK_CHECK}, port = {}", checked.address.port());
    let weir = Weir::start(config);
    weir.wait_for_state("app", target.address, "healthy");
    assert!(target.visits().is_empty(), "checks go to the other port");
    assert_eq!(client::ask(web).expect("an answer"), "a");
    checked.stop();
    weir.wait_for_state("app", target.address, "unhealthy");
}

#[test]
fn r_h2_without_checks_a_target_counts_as_healthy() {
    let dead = place::free();
    let (config, _) = Config::relay(&[dead]);
    let weir = Weir::start(config);
    let health = weir.health("app", dead);
    assert_eq!((&health["state"], &health["reason"]), (&"healthy".into(), &"Target.HealthCheckDisabled".into()));
}

#[test]
fn r_h2_checks_switched_off_by_reload_turn_an_unhealthy_target_healthy() {
    let dead = place::free();
    let (mut config, _) = Config::relay(&[dead]);
    config.app().check = QUICK_CHECK.into();
    let mut weir = Weir::start(config);
    weir.wait_for_state("app", dead, "unhealthy");
    weir.change(|config| config.app().check = NO_CHECK.into());
    weir.wait_for_state("app", dead, "healthy");
}

#[test]
fn r_h3_a_group_that_no_listener_names_is_unused_and_not_checked() {
    let target = Target::start(handlers::identify("a"));
    let config = Config::new().group(Group::new("app").check(QUICK_CHECK).target(target.address, 10));
    let weir = Weir::start(config);
    let shown = weir.health("app", target.address);
    assert_eq!((&shown["state"], &shown["reason"]), (&"unused".into(), &"Target.NotInUse".into()));
    assert!(target.visits().is_empty());
}

#[test]
fn r_b5_with_no_healthy_target_a_group_that_fails_open_sends_to_all() {
    // Healthy by its port, unhealthy by its check: nothing listens on the port that is checked.
    let targets = ["a", "b"].map(|name| Target::start(handlers::identify(name)));
    let (mut config, web) = Config::relay(&targets.each_ref().map(|target| target.address));
    config.app().check = format!("{QUICK_CHECK}, port = {}", place::free().port());
    let weir = Weir::start(config);
    for target in &targets {
        weir.wait_for_state("app", target.address, "unhealthy");
    }
    let names: BTreeSet<_> = (0..20).map(|_| client::ask(web).expect("an answer")).collect();
    assert_eq!(names, ["a".to_owned(), "b".to_owned()].into());
}

#[test]
fn r_b5_with_no_healthy_target_a_group_that_fails_closed_refuses() {
    let target = Target::start(handlers::identify("a"));
    let mut checked = Target::start_at(place::free_on(target.address.ip()), handlers::identify("check"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.app().check = format!("{QUICK_CHECK}, port = {}", checked.address.port());
    config.app().keys = "fail_open = false".into();
    let weir = Weir::start(config);
    weir.wait_for_state("app", target.address, "healthy");
    assert_eq!(client::ask(web).expect("an answer"), "a");
    checked.stop();
    weir.wait_for_state("app", target.address, "unhealthy");
    assert!(client::newcomer_is_reset(client::connect(web)), "the port stays open");
    wait_until("it is counted", || weir.metric("weir_connections_closed_total", &[("reason", "no_target")]) > 0);
    checked.listen();
    weir.wait_for_state("app", target.address, "healthy");
    assert_eq!(client::ask(web).expect("an answer"), "a");
}

#[test]
fn r_b6_a_client_does_not_notice_that_its_first_target_refuses() {
    let (dead, target) = (place::free(), Target::start(handlers::identify("a")));
    let (config, web) = Config::relay(&[dead, target.address]);
    let weir = Weir::start(config);
    (0..40).for_each(|_| assert_eq!(client::ask(web).expect("an answer"), "a"));
    let labels = [("target", dead.to_string())];
    let failed = weir.metric("weir_target_connect_failures_total", &[("target", &labels[0].1), ("reason", "refused")]);
    assert!(failed > 0, "it was tried first now and then");
}

#[test]
fn r_b6_a_client_does_not_notice_that_its_first_target_never_answers() {
    let (silent, target) = (Target::start(handlers::identify("silent")), Target::start(handlers::identify("a")));
    silent.fall_silent();
    let (mut config, web) = Config::relay(&[silent.address, target.address]);
    config.app().keys = "connect_timeout = \"100ms\"".into();
    let weir = Weir::start(config);
    (0..10).for_each(|_| assert_eq!(client::ask(web).expect("an answer"), "a"));
    let name = silent.address.to_string();
    let failed = weir.metric("weir_target_connect_failures_total", &[("target", &name), ("reason", "timeout")]);
    assert!(failed > 0);
}

#[test]
fn r_b6_when_every_target_that_may_be_tried_fails_the_client_is_reset() {
    let dead = [place::free(), place::free(), place::free()];
    let (mut config, web) = Config::relay(&dead);
    config.app().keys = "retries = 1".into();
    let weir = Weir::start(config);
    assert!(client::newcomer_is_reset(client::connect(web)));
    let metrics = eventually("it is counted", || {
        let metrics = weir.metrics();
        (metrics.count("weir_connections_closed_total", &[("reason", "connect_failed")]) > 0).then_some(metrics)
    });
    let tried = metrics.count("weir_target_connect_failures_total", &[]);
    assert_eq!(tried, 2, "one attempt and one retry");
    // No third one comes later.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(weir.metric("weir_target_connect_failures_total", &[]), 2);
}
