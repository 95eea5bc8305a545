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
/// Connections that say nothing until the target is gone.
const IDLE: usize = 12;

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

/// Killed on the spot: whoever was connected to it loses that connection, nobody else loses anything, and once it runs again
/// it is back by itself. What it held is counted while it is frozen: that is when nothing comes or goes.
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
    let idle: Vec<_> = (0..IDLE).map(|_| client::connect(web).expect("it is accepted")).collect();
    weir.wait_for_connections(IDLE);
    let killed = targets[2].address;
    wait_until("all are connected", || connections_to(&weir, killed) == active(&weir, killed));
    let idle_held = active(&weir, killed);

    let load = Load::start(web, RATE, get);
    load.wait_for(500);
    targets[2].freeze();
    let clients = usize::from(CLIENTS);
    wait_until("every client of the load has come to it", || active(&weir, killed) == idle_held + clients);
    let held = active(&weir, killed);
    targets[2].kill();
    weir.wait_for_state("app", killed, "unhealthy");
    load.wait_for(500);
    let outcome = load.stop();
    println!("held: {held}, {idle_held} of them idle; failed: {:?}", outcome.failures);
    assert!(!outcome.failures.is_empty() && outcome.failures.len() <= held - idle_held, "what it held, nothing else");
    let answers = idle.into_iter().map(|stream| admin::get_on(stream, "/").is_ok());
    assert_eq!(answers.filter(|answered| !answered).count(), idle_held, "of the idle ones too");
    // The kernel ends in order what a killed process had read all of, so not each was reset.
    assert!(closed(&weir, "target_failed") <= held);

    targets[2].start_again();
    weir.wait_for_state("app", killed, "healthy");
    let before = targets[2].answered();
    let load = Load::start(web, RATE, get);
    wait_until("it serves again", || targets[2].answered() > before + 50);
    // And once more, in full flow: what it holds just then is no more than there are clients.
    targets[2].kill();
    weir.wait_for_state("app", killed, "unhealthy");
    let outcome = load.stop();
    println!("in full flow: {:?}", outcome.failures);
    assert!(outcome.failures.len() <= clients, "{:?}", outcome.failures);
    weir.wait_for_connections(0);
    assert!(["connect_failed", "no_target", "host"].iter().all(|reason| closed(&weir, reason) == 0));
}

fn closed(weir: &Weir, reason: &str) -> usize {
    weir.metric("weir_connections_closed_total", &[("reason", reason)])
}

fn active(weir: &Weir, target: SocketAddr) -> usize {
    weir.metric("weir_target_connections_active", &[("target", &target.to_string())])
}

fn get(web: SocketAddr) -> io::Result<String> {
    Ok(admin::get(web, "/")?.body)
}

fn connections_to(weir: &Weir, target: SocketAddr) -> usize {
    weir.metric("weir_target_connections_total", &[("target", &target.to_string())])
}
