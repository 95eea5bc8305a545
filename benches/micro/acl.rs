//! A client and a security group, which each new connection waits for: less than 200 ns among 100,000 rules.
//!
//!     client, another each time --Compiled::verdict--> accept or drop, checked against a scan ahead of measuring
//!
//! Clients are drawn from all over the address space, so that no part of the list stays nearer than the rest.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use criterion::Criterion;
use fastrand::Rng;
use ipnet::{Ipv4Net, Ipv6Net};

use weir::acl::{Action, Rule, SecurityGroup, Transport};

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("acl");
    for count in [10, 1_000, 100_000] {
        for (name, network, client) in [("v4", v4_network as Make<_>, v4 as Make<_>), ("v6", v6_network, v6)] {
            let mut rng = Rng::with_seed(17);
            let rules: Vec<Rule> = (0..count).map(|_| rule(&mut rng, network)).collect();
            let compiled = SecurityGroup::new(rules.clone()).compile(Transport::Tcp, 80);
            let clients: Vec<IpAddr> = (0..65_536).map(|_| client(&mut rng)).collect();
            for client in &clients[..100] {
                let first = rules.iter().position(|rule| rule.is_about_client(*client));
                assert_eq!(compiled.verdict(*client).rule, first, "{client}");
            }
            let mut turn = 0_usize;
            group.bench_function(format!("{name}/{count}"), |bencher| {
                bencher.iter(|| {
                    turn = turn.wrapping_add(1);
                    compiled.verdict(black_box(clients[turn % clients.len()])).allowed
                });
            });
        }
    }
    group.finish();
}

type Make<T> = fn(&mut Rng) -> T;

fn rule(rng: &mut Rng, network: Make<ipnet::IpNet>) -> Rule {
    let action = if rng.bool() { Action::Accept } else { Action::Drop };
    Rule { action, sources: vec![network(rng)], transport: None, ports: Vec::new() }
}

/// Most are small, as on a list of blocked addresses; a few are wide, and hold others.
fn v4_network(rng: &mut Rng) -> ipnet::IpNet {
    let length = rng.u8(20..=32);
    Ipv4Net::new_assert(Ipv4Addr::from_bits(rng.u32(..)), length).trunc().into()
}

fn v6_network(rng: &mut Rng) -> ipnet::IpNet {
    let length = rng.u8(24..=64);
    Ipv6Net::new_assert(Ipv6Addr::from_bits(rng.u128(..)), length).trunc().into()
}

fn v4(rng: &mut Rng) -> IpAddr {
    Ipv4Addr::from_bits(rng.u32(..)).into()
}

fn v6(rng: &mut Rng) -> IpAddr {
    Ipv6Addr::from_bits(rng.u128(..)).into()
}
