//! Checks as a target sees them: how often, by which shards, from where.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::support::config::{Config, QUICK_CHECK};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{eventually, handlers, namespace, place};

/// The first check comes at once on every shard; from then on each keeps to its own half of the interval. The gaps between
/// one check and the next tell: bunched, every second gap would be next to nothing.
#[test]
fn r_h4_every_shard_checks_for_itself_and_their_checks_are_spread() {
    const INTERVAL_MS: u128 = 1000;
    let target = Target::start(handlers::identify("a"));
    let (mut config, _) = Config::relay(&[target.address]);
    config.app().check = r#"interval = "1s", timeout = "900ms""#.into();
    let weir = Weir::start(config);
    // Two first checks, two that fall in with their phase, then four intervals of two.
    let visits = eventually("ten checks", || Some(target.visits()).filter(|visits| visits.len() >= 12));
    let steady = &visits[4..12];
    let gaps: Vec<u128> = steady.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect();
    println!("gaps in ms: {gaps:?}");
    let (mut small, whole) = (gaps.clone(), (steady[7].at - steady[0].at).as_millis());
    small.sort_unstable();
    assert!(small[gaps.len() / 2] > INTERVAL_MS / 5, "the median gap is near half an interval: {gaps:?}");
    assert!(whole > 2 * INTERVAL_MS, "two checks an interval, not more: {gaps:?}");
    let rate = weir.target("app", target.address)["checks_per_second"].as_f64();
    assert_eq!(rate, Some(2.0), "the API tells what the target sees");
    let metrics = weir.metrics();
    for shard in ["0", "1"] {
        // Shards tell each other nothing: that it is healthy a shard knows from its own checks.
        assert_eq!(metrics.find("weir_target_healthy", &[("shard", shard)]), Some(1.0), "shard {shard}");
    }
}

#[test]
fn r_h7_checks_leave_from_the_configured_source() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, _) = Config::relay(&[target.address]);
    config.app().check = format!("{QUICK_CHECK}, source = \"127.0.0.9\"");
    let weir = Weir::start(config);
    weir.wait_for_state("app", target.address, "healthy");
    assert_eq!(target.visitors(), [IpAddr::from(Ipv4Addr::new(127, 0, 0, 9))].into());
}

#[test]
fn r_h7_checks_leave_from_the_listeners_address_by_default() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, _) = Config::relay(&[target.address]);
    config.listeners[0].address = place::free_on(Ipv4Addr::new(127, 0, 0, 8));
    config.app().check = QUICK_CHECK.into();
    let weir = Weir::start(config);
    weir.wait_for_state("app", target.address, "healthy");
    assert_eq!(target.visitors(), [IpAddr::from(Ipv4Addr::new(127, 0, 0, 8))].into());
}

#[test]
fn r_h4_a_shard_goes_by_its_own_checks_alone() {
    let mut target = Target::start(handlers::identify("a"));
    let (mut config, _) = Config::relay(&[target.address]);
    config.app().check = r#"interval = "1s", timeout = "900ms", healthy = 1, unhealthy = 1"#.into();
    let weir = Weir::start(config);
    weir.wait_for_state("app", target.address, "healthy");
    target.stop();
    let mut listens = false;
    // Half an interval apart the shards notice that it goes or comes; a busy machine may sleep through it once.
    let views = eventually("the shards differ for a while", || {
        let health = weir.health("app", target.address);
        if let Some(views) = health["shards"].as_array() {
            return Some(views.clone());
        }
        // Both have noticed, and we did not see it: once more, the other way round.
        match (listens, health["state"].as_str()) {
            (true, Some("healthy")) => target.stop(),
            (false, Some("unhealthy")) => target.listen(),
            _ => return None,
        }
        listens = !listens;
        None
    });
    let of = |shard: usize| &views[shard];
    assert_eq!((&of(0)["shard"], &of(1)["shard"], views.len()), (&0.into(), &1.into(), 2), "{views:?}");
    let states = [&of(0)["state"], &of(1)["state"]];
    assert!(states.contains(&&"healthy".into()) && states.contains(&&"unhealthy".into()), "{views:?}");
}

/// By the target's clock, over many intervals: what each check is late by must not add up. A machine that is busy for a moment
/// spoils the windows that hold the moment, not all of them.
#[test]
fn r_h2_checks_do_not_drift_from_their_interval() {
    const INTERVAL_MS: usize = 100;
    const INTERVALS: usize = 40;
    let target = Target::start(handlers::identify("a"));
    let (mut config, _) = Config::relay(&[target.address]);
    config.app().check = r#"interval = "100ms", timeout = "90ms""#.into();
    let _weir = Weir::start(config.shards(1));
    // The first one comes at once, out of its phase.
    let visits = eventually("many checks", || Some(target.visits()).filter(|visits| visits.len() > INTERVALS + 12));
    let spans = visits[1..].windows(INTERVALS + 1).map(|window| window[INTERVALS].at - window[0].at);
    let due = |span: std::time::Duration| usize::try_from(span.as_millis()).expect("seconds") / INTERVAL_MS;
    let off: Vec<usize> = spans.map(|span| due(span).abs_diff(INTERVALS)).collect();
    println!("checks too many or too few in {INTERVALS} intervals, by window: {off:?}");
    assert!(off.iter().any(|off| *off <= 1), "{off:?}");
}

/// The listener of the named address may stand behind one of any address.
#[test]
fn r_h7_checks_leave_from_the_named_address_of_several_listeners() {
    let named = IpAddr::from(Ipv4Addr::new(127, 0, 0, 7));
    let target = Target::start(handlers::identify("a"));
    let (mut config, _) = Config::relay(&[target.address]);
    config.listeners[0].address = place::everywhere();
    config.app().check = QUICK_CHECK.into();
    let weir = Weir::start(config.listener("named", place::free_on(named), "app"));
    weir.wait_for_state("app", target.address, "healthy");
    assert_eq!(target.visitors(), [named].into());
}

/// A loopback address reaches nobody but this host: checks of targets elsewhere leave from what the kernel chooses.
#[test]
fn r_h7_checks_of_a_target_elsewhere_do_not_leave_from_a_loopback_listener() {
    const NAME: &str = "checks::r_h7_checks_of_a_target_elsewhere_do_not_leave_from_a_loopback_listener";
    namespace::inside(NAME, &[ELSEWHERE], || {
        let target = Target::start_at(SocketAddr::new(ELSEWHERE.into(), 8080), handlers::identify("a"));
        let (mut config, web) = Config::relay(&[target.address]);
        assert!(web.ip().is_loopback());
        config.app().check = QUICK_CHECK.into();
        let weir = Weir::start(config);
        weir.wait_for_state("app", target.address, "healthy");
        assert_eq!(target.visitors(), [ELSEWHERE.into()].into(), "its own address: it is on this host after all");
    });
}

/// Not of the loopback network, though on the loopback device of a namespace.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
