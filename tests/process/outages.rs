//! Targets that go away under load and come back.

use std::io;
use std::net::SocketAddr;

use crate::support::config::{Config, QUICK_CHECK};
use crate::support::load::{CLIENTS, Load};
use crate::support::nginx::{self, Nginx};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{admin, client, handlers, place, wait_until};

/// New connections a second.
const RATE: u32 = 500;

/// The target stops as a process does that is told to: what it accepted it serves, then its port is closed. What a process
/// held that died on the spot no balancer can save; the next test counts that.
#[test]
fn r_b6_r_h3_a_target_that_goes_away_under_load_costs_no_client_a_failure() {
    let _turn = place::turn();
    let mut targets = ["a", "b", "c"].map(|name| Target::start(handlers::identify(name)));
    let (mut config, web) = Config::relay(&targets.each_ref().map(|target| target.address));
    config.app().check = QUICK_CHECK.into();
    let weir = Weir::start(config);
    for target in &targets {
        weir.wait_for_state("app", target.address, "healthy");
    }
    let load = Load::start(web, RATE, client::ask);
    load.wait_for(1000);
    targets[1].stop();
    weir.wait_for_state("app", targets[1].address, "unhealthy");
    assert_eq!(weir.health("app", targets[1].address)["reason"], "Target.FailedHealthChecks");
    let gone = connections_to(&weir, targets[1].address);
    load.wait_for(1000);
    assert!(connections_to(&weir, targets[1].address) == gone, "nothing is sent to it any more");
    targets[1].listen();
    weir.wait_for_state("app", targets[1].address, "healthy");
    wait_until("it serves again", || connections_to(&weir, targets[1].address) > gone + 100);
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "{} failed: {:?}", outcome.failures.len(), outcome.failures.first());
    println!("answers: {:?}", outcome.answers);
}

/// Killed on the spot: whoever was connected to it loses that connection, nobody else loses anything.
#[test]
fn r_b6_r_h3_a_killed_target_costs_only_the_connections_that_it_held() {
    if !nginx::is_installed() {
        return;
    }
    let _turn = place::turn();
    let mut targets = ["a", "b", "c"].map(Nginx::start);
    let (mut config, web) = Config::relay(&targets.each_ref().map(|target| target.address));
    config.app().check = QUICK_CHECK.into();
    let weir = Weir::start(config);
    for target in &targets {
        weir.wait_for_state("app", target.address, "healthy");
    }
    let load = Load::start(web, RATE, get);
    load.wait_for(1000);
    targets[2].kill();
    weir.wait_for_state("app", targets[2].address, "unhealthy");
    load.wait_for(1000);
    let outcome = load.stop();
    weir.wait_for_connections(0);
    let metrics = weir.metrics();
    let closed = |reason| metrics.count("weir_connections_closed_total", &[("reason", reason)]);
    println!("{} connections died with the target: {:?}", outcome.failures.len(), outcome.failures);
    assert!(closed("connect_failed") == 0 && closed("no_target") == 0 && closed("host") == 0);
    assert!(
        outcome.failures.len() <= usize::from(CLIENTS),
        "no more than were connected at that moment: {:?}",
        outcome.failures
    );
    assert!(closed("target_failed") <= usize::from(CLIENTS));
}

fn get(web: SocketAddr) -> io::Result<String> {
    Ok(admin::get(web, "/")?.body)
}

fn connections_to(weir: &Weir, target: SocketAddr) -> usize {
    weir.metric("weir_target_connections_total", &[("target", &target.to_string())])
}
