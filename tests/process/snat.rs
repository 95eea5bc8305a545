//! Targets in a data centre of one's own: connections to them leave from the SNAT pool (requirement G5). In network namespaces,
//! where a test has addresses and ports to itself.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use crate::support::config::{Config, Group, QUICK_CHECK};
use crate::support::target::Target;
use crate::support::weir::{Reload, Weir};
use crate::support::{client, handlers, http, http_target, namespace, place, wait_until};

/// Not of the loopback network, though on the loopback device of a namespace.
const FAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 77, 1)), 8080);
const SNAT: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 8), Ipv4Addr::new(10, 77, 0, 9)];
/// Of this host, and not of the pool.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Of nobody.
const NOT_OURS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 99);
const ADDRESSES: [Ipv4Addr; 4] = [Ipv4Addr::new(192, 168, 77, 1), SNAT[0], SNAT[1], NEAR];

/// One listener before one idc target, with this pool.
fn config(pool: &[Ipv4Addr]) -> (Config, SocketAddr) {
    let (mut config, web) = Config::relay(&[]);
    let pool: Vec<_> = pool.iter().map(|address| format!("\"{address}\"")).collect();
    config.keys = format!("cross_network = true\nsnat_addresses = [{}]", pool.join(", "));
    config.app().keys = idc(FAR);
    (config.shards(1), web)
}

fn idc(target: SocketAddr) -> String {
    format!("target = [{{ type = \"idc\", address = \"{}\", port = {} }}]", target.ip(), target.port())
}

fn sources(target: &Target) -> Vec<IpAddr> {
    target.visits().iter().map(|visit| visit.from.ip()).collect()
}

#[test]
fn r_g5_connections_to_idc_targets_leave_from_the_snat_pool_in_turns() {
    const NAME: &str = "snat::r_g5_connections_to_idc_targets_leave_from_the_snat_pool_in_turns";
    namespace::inside(NAME, &ADDRESSES, || {
        let far = Target::start_at(FAR, handlers::identify("far"));
        let near = Target::start_at(SocketAddr::new(NEAR.into(), 8080), handlers::identify("near"));
        let (config, web) = config(&SNAT);
        let own = place::free();
        let config = config.listener("own", own, "own").group(Group::new("own").target(near.address, 10));
        let mut weir = Weir::start(config);
        for _ in 0..6 {
            assert_eq!(client::ask(web).expect("an answer"), "far");
        }
        let [a, b] = SNAT.map(IpAddr::from);
        assert_eq!(sources(&far), [a, b, a, b, a, b]);
        assert_eq!(client::ask(own).expect("an answer"), "near");
        assert!(!near.visitors().contains(&a) && !near.visitors().contains(&b), "others leave as they did");
        assert_eq!(weir.target("app", FAR)["type"], "idc");

        weir.change(|config| config.keys = config.keys.replace(&format!("\"{}\", ", SNAT[0]), ""));
        for _ in 0..3 {
            assert_eq!(client::ask(web).expect("an answer"), "far");
        }
        assert_eq!(sources(&far)[6..], [b; 3], "the pool is what the config says now");
    });
}

#[test]
fn r_g5_requests_and_checks_of_idc_targets_leave_from_the_snat_pool_too() {
    const NAME: &str = "snat::r_g5_requests_and_checks_of_idc_targets_leave_from_the_snat_pool_too";
    namespace::inside(NAME, &ADDRESSES, || {
        let far = Target::start_at(FAR, http_target::named("far"));
        let (mut config, web) = config(&SNAT);
        config.web().protocol = "http";
        config.app().protocol = "http";
        config.app().check = QUICK_CHECK.into();
        let weir = Weir::start(config);
        weir.wait_for_state("app", FAR, "healthy");
        wait_until("checks have come from both", || far.visitors().len() == 2);
        assert_eq!(http::visit(web).expect("an answer"), "far");
        assert_eq!(far.visitors(), SNAT.map(IpAddr::from).into());
    });
}

/// The first address of the pool is not this host's: no check, and no connection, can leave from there.
#[test]
fn r_g5_a_check_leaves_from_the_next_address_where_one_cannot_be_used() {
    const NAME: &str = "snat::r_g5_a_check_leaves_from_the_next_address_where_one_cannot_be_used";
    namespace::inside(NAME, &ADDRESSES, || {
        let far = Target::start_at(FAR, handlers::identify("far"));
        let (mut config, _) = config(&[NOT_OURS, SNAT[0]]);
        config.app().check = QUICK_CHECK.into();
        let weir = Weir::start(config);
        let checks = |result| weir.metric("weir_target_checks_total", &[("result", result)]);
        wait_until("each address has had its turn", || checks("succeeded") >= 4);
        assert_eq!((checks("not_made"), checks("failed")), (0, 0));
        assert_eq!(far.visitors(), [IpAddr::from(SNAT[0])].into());
    });
}

/// Between two connections there is always one check.
#[test]
fn r_g5_checks_take_no_turn_of_the_connections() {
    const NAME: &str = "snat::r_g5_checks_take_no_turn_of_the_connections";
    namespace::inside(NAME, &ADDRESSES, || {
        let far = Target::start_at(FAR, handlers::identify("far"));
        let checked = Target::start_at(SocketAddr::new(FAR.ip(), 8081), handlers::identify("checked"));
        let (mut config, web) = config(&SNAT);
        config.app().check = format!("{QUICK_CHECK}, port = 8081");
        let weir = Weir::start(config);
        weir.wait_for_state("app", FAR, "healthy");
        let [a, b] = SNAT.map(IpAddr::from);
        for _ in 0..6 {
            let before = sources(&checked).len();
            wait_until("it is checked", || sources(&checked).len() > before);
            assert_eq!(client::ask(web).expect("an answer"), "far");
        }
        assert_eq!(sources(&far), [a, b, a, b, a, b]);
        assert_eq!(checked.visitors(), [a, b].into());
    });
}

/// A kept connection is used while it is as a new one would be: from the pool as it is now, or not from the pool.
#[test]
fn r_g5_kept_connections_go_when_the_way_to_their_target_changes() {
    const NAME: &str = "snat::r_g5_kept_connections_go_when_the_way_to_their_target_changes";
    namespace::inside(NAME, &ADDRESSES, || {
        let far = Target::start_at(FAR, http_target::named("far"));
        let (mut config, web) = config(&SNAT);
        config.web().protocol = "http";
        config.app().protocol = "http";
        config.app().keys += "\nkeep_alive = { idle_timeout = \"1h\" }";
        let mut weir = Weir::start(config);
        let idle = |weir: &Weir| weir.metric("weir_target_connections_idle", &[]);
        let visit = || {
            assert_eq!(http::visit(web).expect("an answer"), "far");
            sources(&far)
        };
        let [a, b] = SNAT.map(IpAddr::from);
        assert_eq!(visit(), [a]);
        weir.change(|config| config.app().keys += "\nretries = 1");
        assert_eq!(visit(), [a], "it is used again");

        weir.change(|config| config.keys = config.keys.replace(&format!("\"{}\", ", SNAT[0]), ""));
        assert_eq!(idle(&weir), 0, "it left from what is no more in the pool");
        assert_eq!(visit(), [a, b]);
        weir.change(|config| config.app().keys = config.app().keys.replace("idc", "cvm"));
        assert_eq!(idle(&weir), 0);
        assert!(!SNAT.map(IpAddr::from).contains(&visit()[2]), "the pool is for idc targets");
        weir.change(|config| config.app().keys = config.app().keys.replace("cvm", "idc"));
        assert_eq!(idle(&weir), 0);
        assert_eq!(visit()[3], b);
    });
}

/// Four ports for outgoing connections, and an address more for the pool than the host has.
#[test]
fn r_g5_an_address_without_a_free_port_gives_way_to_the_next() {
    const NAME: &str = "snat::r_g5_an_address_without_a_free_port_gives_way_to_the_next";
    namespace::inside(NAME, &ADDRESSES, || {
        let far = Target::start_at(FAR, handlers::greet_and_echo("far"));
        let (config, web) = config(&[NOT_OURS, SNAT[0], SNAT[1]]);
        let weir = Weir::start(config);
        weir.says("nothing can leave from 10.77.0.99 of snat_addresses");
        fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003").expect("the namespace has its own");
        // Clients have addresses of their own, and a port that is not one of the four: the kernel shares none that is bound.
        let client = |number: u8| client::connect_from(SocketAddr::from(([127, 99, 0, number], 50_000)), web);
        let mut held: Vec<TcpStream> = (1..=8).map(|number| client(number).expect("it is accepted")).collect();
        for stream in &mut held {
            let mut greeting = [0; 4];
            std::io::Read::read_exact(stream, &mut greeting).expect("a greeting");
            assert_eq!(&greeting, b"far\n");
        }
        let by_source = far.visits().iter().fold(BTreeMap::<IpAddr, usize>::new(), |mut counts, visit| {
            *counts.entry(visit.from.ip()).or_default() += 1;
            counts
        });
        assert_eq!(by_source, SNAT.map(|address| (IpAddr::from(address), 4)).into(), "all ports of both are taken");
        assert!(client::newcomer_is_reset(client(9)), "there is no ninth");
        drop(held);
        fs::write("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999").expect("the namespace has its own");
        assert_eq!(weir.target("app", FAR)["connections"]["failed"]["no_source_port"], 1);
    });
}

#[test]
fn r_g5_without_cross_network_or_a_pool_an_idc_target_is_refused_and_nothing_changes() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut config = config;
    config.app().targets.clear();
    config.app().keys =
        format!("target = [{{ address = \"{}\", port = {} }}]", target.address.ip(), target.address.port());
    let mut weir = Weir::start(config);
    let mut with_idc = weir.config.clone();
    with_idc.app().keys = idc(FAR);
    assert_eq!(weir.reload(&with_idc.to_toml()), Reload::Rejected);
    weir.says("\"idc\" targets are outside the balancer's network; set cross_network = true in [balancer]");
    with_idc.keys = "cross_network = true".into();
    assert_eq!(weir.reload(&with_idc.to_toml()), Reload::Rejected);
    weir.says("there is no IPv4 address that connections to \"idc\" targets can leave from");
    assert_eq!(client::ask(web).expect("an answer"), "a");
}
