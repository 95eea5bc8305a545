//! Groups against a scan of their rules from the top, the published examples, and the socket filter on a small machine
//! of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::filter::{self, NETWORK_HEADER, TCP_FLAGS, WHOLE_PACKET};
use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn rule(action: Action, sources: &[&str], transport: Option<Transport>, ports: &[RangeInclusive<u16>]) -> Rule {
    let sources = sources.iter().map(|text| text.parse().unwrap()).collect();
    Rule { action, sources, transport, ports: ports.to_vec() }
}

fn accept(source: &str) -> Rule {
    rule(Action::Accept, &[source], None, &[])
}

fn drop_(source: &str) -> Rule {
    rule(Action::Drop, &[source], None, &[])
}

fn verdict_of(rules: &[Rule], client: &str, port: u16) -> (bool, Option<usize>) {
    let verdict = SecurityGroup::new(rules.to_vec()).compile(Transport::Tcp, port).verdict(ip(client));
    (verdict.allowed, verdict.rule)
}

#[test]
fn r_a1_an_empty_group_accepts_and_one_with_rules_drops_whom_no_rule_is_about() {
    assert_eq!(verdict_of(&[], "203.0.113.7", 80), (true, None));
    assert_eq!(verdict_of(&[], "2001:db8::1", 80), (true, None));
    assert_eq!(verdict_of(&[accept("10.0.0.0/8")], "203.0.113.7", 80), (false, None));
    assert_eq!(verdict_of(&[drop_("10.0.0.0/8")], "203.0.113.7", 80), (false, None), "a list of drops lets nobody in");
}

#[test]
fn r_a1_the_first_rule_that_is_about_a_connection_decides() {
    let rules = [drop_("10.1.0.0/16"), accept("10.0.0.0/8"), drop_("10.1.2.3/32"), accept("10.1.2.0/24")];
    assert_eq!(verdict_of(&rules, "10.1.2.3", 80), (false, Some(0)));
    assert_eq!(verdict_of(&rules, "10.2.0.1", 80), (true, Some(1)));
    let reversed: Vec<Rule> = rules.into_iter().rev().collect();
    assert_eq!(verdict_of(&reversed, "10.1.2.3", 80), (true, Some(0)));
    assert_eq!(verdict_of(&reversed, "10.1.3.3", 80), (true, Some(2)), "the last one is never asked");
}

#[test]
fn r_a1_a_rule_is_about_its_ports_and_its_protocol_only() {
    let web = rule(Action::Accept, &[], Some(Transport::Tcp), &[80..=80, 443..=443, 1000..=2000]);
    for (port, allowed) in
        [(79, false), (80, true), (81, false), (443, true), (1000, true), (2000, true), (2001, false)]
    {
        assert_eq!(verdict_of(std::slice::from_ref(&web), "10.0.0.1", port).0, allowed, "port {port}");
    }
    let group = SecurityGroup::new(vec![web]);
    assert!(!group.compile(Transport::Udp, 80).verdict(ip("10.0.0.1")).allowed);
    let both = SecurityGroup::new(vec![rule(Action::Accept, &[], None, &[80..=80])]);
    assert!(both.compile(Transport::Udp, 80).verdict(ip("10.0.0.1")).allowed);
}

#[test]
fn r_a1_networks_of_one_family_hold_nobody_of_the_other() {
    let rules = [accept("0.0.0.0/0")];
    assert!(verdict_of(&rules, "10.0.0.1", 80).0);
    assert!(verdict_of(&rules, "::ffff:10.0.0.1", 80).0, "IPv4 in IPv6 form is IPv4");
    assert!(!verdict_of(&rules, "2001:db8::1", 80).0);
    assert!(!verdict_of(&[accept("::/0")], "10.0.0.1", 80).0);
    let anyone = rule(Action::Accept, &[], None, &[]);
    assert!(verdict_of(std::slice::from_ref(&anyone), "2001:db8::1", 80).0 && verdict_of(&[anyone], "10.0.0.1", 80).0);
}

#[test]
fn r_a1_the_edges_of_a_network_are_in_it() {
    let rules = [accept("10.0.0.0/8"), accept("255.255.255.255/32"), accept("fd00::/8"), accept("ffff::/16")];
    for (client, allowed) in [
        ("9.255.255.255", false),
        ("10.0.0.0", true),
        ("10.255.255.255", true),
        ("11.0.0.0", false),
        ("0.0.0.0", false),
        ("255.255.255.254", false),
        ("255.255.255.255", true),
        ("::", false),
        ("fcff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
        ("fd00::", true),
        ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true),
        ("fe00::", false),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true),
    ] {
        assert_eq!(verdict_of(&rules, client, 80).0, allowed, "{client}");
    }
}

#[test]
fn ports_are_written_as_the_config_reads_them() {
    let written = |ports: &[RangeInclusive<u16>]| rule(Action::Accept, &[], None, ports).ports_text();
    assert_eq!(written(&[]), "ALL");
    assert_eq!(written(&[80..=80]), "80");
    assert_eq!(written(&[80..=80, 1000..=2000]), "80,1000-2000");
}

#[test]
fn ports_that_the_same_rules_are_about_share_what_is_compiled() {
    let mut compiler =
        Compiler::new(SecurityGroup::new(vec![accept("10.0.0.0/8"), rule(Action::Accept, &[], None, &[80..=90])]));
    let of = |port, compiler: &mut Compiler| compiler.compile(Transport::Tcp, port);
    let (http, other, far) = (of(80, &mut compiler), of(90, &mut compiler), of(91, &mut compiler));
    assert!(Arc::ptr_eq(&http, &other) && !Arc::ptr_eq(&http, &far));
    assert!(http.verdict(ip("203.0.113.7")).allowed && !far.verdict(ip("203.0.113.7")).allowed);
}

/// CLB's examples of access to a service on port 8080: who gets in with the rules as published, and with their order
/// reversed.
struct Example {
    name: &'static str,
    rules: Vec<Rule>,
    lets_in: [bool; 4],
    reversed: [bool; 4],
}

const CLIENT_A: &str = "203.0.113.1";
const CLIENT_B: &str = "203.0.113.2";
const BALANCER: &str = "10.0.0.9";
const STRANGER: &str = "198.51.100.1";

fn examples() -> [Example; 5] {
    let port = 8080..=8080;
    let one = |action, source: &str| rule(action, &[source], Some(Transport::Tcp), std::slice::from_ref(&port));
    let allow = |source| one(Action::Accept, source);
    let deny = |source| one(Action::Drop, source);
    let two_clients = vec![allow("203.0.113.1/32"), allow("203.0.113.2/32"), deny("0.0.0.0/0")];
    let with_balancer = vec![allow("203.0.113.1/32"), allow("203.0.113.2/32"), allow("10.0.0.9/32"), deny("0.0.0.0/0")];
    let blocklist = vec![deny("203.0.113.1/32"), deny("203.0.113.2/32"), allow("0.0.0.0/0")];
    [
        Example {
            name: "allow two clients",
            rules: two_clients,
            lets_in: [true, true, false, false],
            // The drop of all comes first, so nobody gets in.
            reversed: [false; 4],
        },
        Example { name: "open to all", rules: vec![allow("0.0.0.0/0")], lets_in: [true; 4], reversed: [true; 4] },
        Example {
            name: "internal",
            rules: with_balancer.clone(),
            lets_in: [true, true, true, false],
            reversed: [false; 4],
        },
        Example {
            name: "classic internal",
            rules: with_balancer,
            lets_in: [true, true, true, false],
            reversed: [false; 4],
        },
        Example {
            name: "blocklist",
            rules: blocklist,
            lets_in: [false, false, true, true],
            // The accept of all comes first, so the list blocks nobody.
            reversed: [true; 4],
        },
    ]
}

#[test]
fn r_a3_the_five_published_examples_let_in_whom_they_say_and_reversed_they_do_not() {
    let clients = [CLIENT_A, CLIENT_B, BALANCER, STRANGER];
    for Example { name, mut rules, lets_in, reversed } in examples() {
        assert_eq!(clients.map(|client| verdict_of(&rules, client, 8080).0), lets_in, "{name}");
        assert_eq!(clients.map(|client| verdict_of(&rules, client, 8081).0), [false; 4], "{name}: another port");
        rules.reverse();
        assert_eq!(clients.map(|client| verdict_of(&rules, client, 8080).0), reversed, "{name}, reversed");
    }
}

/// The definition: from the top, rule by rule.
fn scanned(rules: &[Rule], transport: Transport, port: u16, client: IpAddr) -> Verdict {
    let client = client.to_canonical();
    let is_about = |rule: &&Rule| rule.is_about_port(transport, port) && rule.is_about_client(client);
    match rules.iter().position(|rule| is_about(&rule)) {
        Some(index) => Verdict { allowed: rules[index].action == Action::Accept, rule: Some(index) },
        None => Verdict { allowed: rules.is_empty(), rule: None },
    }
}

/// Few enough different ones that rules overlap in every way, at both ends of the address space too.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let byte = || select(vec![0_u8, 1, 10, 127, 128, 254, 255]);
    (byte(), byte(), byte(), byte()).prop_map(|(a, b, c, d)| Ipv4Addr::new(a, b, c, d))
}

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    let group = || select(vec![0_u16, 1, 0x7fff, 0x8000, 0xffff]);
    vec(group(), 8).prop_map(|groups| <[u16; 8]>::try_from(groups).unwrap().into())
}

fn network() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (v4(), 0..=32_u8).prop_map(|(address, length)| Ipv4Net::new(address, length).unwrap().trunc().into()),
        (v6(), 0..=128_u8).prop_map(|(address, length)| Ipv6Net::new(address, length).unwrap().trunc().into()),
    ]
}

fn client() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        v4().prop_map(IpAddr::V4),
        v6().prop_map(IpAddr::V6),
        v4().prop_map(|address| IpAddr::V6(address.to_ipv6_mapped())),
    ]
}

const PORTS: [u16; 5] = [1, 80, 81, 443, 65_535];

fn any_rule() -> impl Strategy<Value = Rule> {
    let port = || select(PORTS.to_vec());
    let ports = (port(), port()).prop_map(|(a, b)| a.min(b)..=a.max(b));
    let transport = select(vec![None, Some(Transport::Tcp), Some(Transport::Udp)]);
    let action = select(vec![Action::Accept, Action::Drop]);
    (action, vec(network(), 0..3), transport, vec(ports, 0..3)).prop_map(|(action, sources, transport, ports)| Rule {
        action,
        sources,
        transport,
        ports,
    })
}

fn gate_of(balancer: &[Rule], listener: &[Rule], address: &str) -> Gate {
    let address: SocketAddr = address.parse().unwrap();
    let [balancer, listener] = [balancer, listener]
        .map(|rules| Arc::new(SecurityGroup::new(rules.to_vec()).compile(Transport::Tcp, address.port())));
    Gate::new(balancer, listener).with_filter(address)
}

/// Whether a segment with these flags passes: the instructions, one by one, as the kernel documents them.
fn passes(program: &[Instruction], client: IpAddr, flags: u8) -> bool {
    let source: Vec<u8> = match client {
        IpAddr::V4(client) => [vec![0; 12], client.octets().to_vec()].concat(),
        IpAddr::V6(client) => [vec![0; 8], client.octets().to_vec()].concat(),
    };
    let (mut a, mut at) = (0_u32, 0_usize);
    loop {
        let step = program[at];
        at += 1;
        let k = step.k;
        match step.code {
            filter::LOAD_BYTE => a = if k == TCP_FLAGS { flags.into() } else { panic!("byte {k}") },
            filter::LOAD_WORD => {
                let offset = k.checked_sub(NETWORK_HEADER).expect("in the IP header") as usize;
                a = u32::from_be_bytes(source[offset..offset + 4].try_into().unwrap());
            }
            filter::AND => a &= k,
            filter::JUMP => at += k as usize,
            filter::JUMP_IF_EQUAL => at += usize::from(if a == k { step.if_true } else { step.if_false }),
            filter::JUMP_IF_NOT_LESS => at += usize::from(if a >= k { step.if_true } else { step.if_false }),
            filter::RETURN => return k == WHOLE_PACKET,
            code => panic!("no such instruction: {code:#x}"),
        }
    }
}

const SYN: u8 = 0x02;
const OTHER_SEGMENTS: [u8; 6] = [0x10, 0x12, 0x04, 0x14, 0x18, 0x11];

proptest! {
    #[test]
    fn a_compiled_group_says_what_a_scan_from_the_top_says(
        rules in vec(any_rule(), 0..12),
        clients in vec(client(), 1..20),
        transport in select(vec![Transport::Tcp, Transport::Udp]),
        port in select(PORTS.to_vec()),
    ) {
        let group = SecurityGroup::new(rules.clone());
        let compiled = group.compile(transport, port);
        for client in clients {
            prop_assert_eq!(compiled.verdict(client), scanned(&rules, transport, port, client), "{}", client);
        }
        prop_assert_eq!(&compiled, &*Compiler::new(group).compile(transport, port));
    }

    #[test]
    fn addresses_at_the_edges_of_each_rule_are_decided_as_by_a_scan(rules in vec(any_rule(), 1..12)) {
        let compiled = SecurityGroup::new(rules.clone()).compile(Transport::Tcp, 80);
        for network in rules.iter().flat_map(|rule| &rule.sources) {
            let beside = |address: IpAddr| match address {
                IpAddr::V4(a) => [a.to_bits().wrapping_sub(1), a.to_bits(), a.to_bits().wrapping_add(1)]
                    .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
                IpAddr::V6(a) => [a.to_bits().wrapping_sub(1), a.to_bits(), a.to_bits().wrapping_add(1)]
                    .map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
            };
            for client in beside(network.network()).into_iter().chain(beside(network.broadcast())) {
                prop_assert_eq!(compiled.verdict(client), scanned(&rules, Transport::Tcp, 80, client), "{}", client);
            }
        }
    }

    #[test]
    fn r_a2_the_socket_filter_drops_exactly_the_first_segments_of_those_who_are_dropped(
        balancer in vec(any_rule(), 0..8),
        listener in vec(any_rule(), 0..8),
        clients in vec(client(), 1..40),
        is_v6 in any::<bool>(),
    ) {
        let gate = gate_of(&balancer, &listener, if is_v6 { "[::]:80" } else { "0.0.0.0:80" });
        // A socket meets its own family only.
        let clients = clients.into_iter().map(|client| client.to_canonical());
        let clients = clients.filter(|client| client.is_ipv6() == is_v6);
        for client in clients {
            match &gate.filter {
                SocketFilter::On(program) => {
                    prop_assert_eq!(passes(program.instructions(), client, SYN), gate.allows(client), "{}", client);
                    // Congestion control may set two further flags in a SYN (RFC 3168, 6.1.1).
                    prop_assert_eq!(passes(program.instructions(), client, SYN | 0xc0), gate.allows(client));
                    for flags in OTHER_SEGMENTS {
                        prop_assert!(passes(program.instructions(), client, flags), "{} {:#x}", client, flags);
                    }
                }
                SocketFilter::Off => prop_assert!(gate.allows(client)),
                SocketFilter::TooLong => prop_assert!(false, "so few rules fit"),
            }
        }
    }
}

/// Every second address of a network is dropped: two cuts each.
fn scattered(count: u32) -> Vec<Rule> {
    let networks = (0..count).map(|n| IpNet::from(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + 2 * n))));
    let drop_ = Rule { action: Action::Drop, sources: networks.collect(), transport: None, ports: Vec::new() };
    vec![drop_, rule(Action::Accept, &[], None, &[])]
}

#[test]
fn r_a2_a_long_list_makes_long_jumps_and_still_says_the_same() {
    let gate = gate_of(&scattered(900), &[], "0.0.0.0:80");
    let SocketFilter::On(program) = &gate.filter else { panic!("it fits: {:?}", gate.filter) };
    assert!(program.instructions().iter().any(|step| step.code == filter::JUMP), "comparisons alone do not reach");
    for bits in 0x09ff_fff0..0x0a00_0000 + 2 * 910 {
        let client = IpAddr::V4(Ipv4Addr::from_bits(bits));
        assert_eq!(passes(program.instructions(), client, SYN), gate.allows(client), "{client}");
    }
}

#[test]
fn r_a2_a_list_that_does_not_fit_into_a_program_is_told_apart() {
    for count in [2_000, 100_000] {
        let gate = gate_of(&scattered(count), &[], "0.0.0.0:80");
        assert_eq!(gate.filter, SocketFilter::TooLong);
        assert!(!gate.allows(ip("10.0.0.2")) && gate.allows(ip("10.0.0.3")));
    }
    let fits = |count| match gate_of(&scattered(count), &[], "0.0.0.0:80").filter {
        SocketFilter::On(program) => {
            assert!(program.instructions().len() <= INSTRUCTIONS_MAX);
            true
        }
        _ => false,
    };
    assert!(fits(1_000) && !fits(1_030), "the limit is where four instructions an address meet it");
}

/// As docs/config.md says.
#[test]
fn r_a2_hundreds_of_ipv6_addresses_and_networks_fit() {
    for (count, length) in [(200_u128, 128), (400, 64), (1_000, 32)] {
        let spread = |n: u128| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let network = |n| IpNet::from(Ipv6Net::new(Ipv6Addr::from_bits(spread(n)), length).unwrap().trunc());
        let sources = (0..count).map(network).collect();
        let rules = [
            Rule { action: Action::Drop, sources, transport: None, ports: Vec::new() },
            rule(Action::Accept, &[], None, &[]),
        ];
        let gate = gate_of(&rules, &[], "[::]:80");
        let SocketFilter::On(program) = &gate.filter else { panic!("{count} of /{length} do not fit") };
        for client in (0..count).map(|n| IpAddr::V6(Ipv6Addr::from_bits(spread(n)))) {
            assert!(!passes(program.instructions(), client, SYN), "{client}");
        }
    }
}

#[test]
fn r_a2_a_gate_that_drops_nobody_of_the_sockets_family_needs_no_filter() {
    let only_v6 = [drop_("2001:db8::/32"), rule(Action::Accept, &[], None, &[])];
    assert_eq!(gate_of(&only_v6, &[], "0.0.0.0:80").filter, SocketFilter::Off);
    assert!(matches!(gate_of(&only_v6, &[], "[::]:80").filter, SocketFilter::On(_)));
    assert_eq!(gate_of(&[], &[], "0.0.0.0:80").filter, SocketFilter::Off);
}

#[test]
fn both_groups_must_accept() {
    let gate = gate_of(&[drop_("10.0.0.1/32"), accept("10.0.0.0/8")], &[accept("10.0.0.0/30")], "0.0.0.0:80");
    let allowed = ["10.0.0.1", "10.0.0.2", "10.0.0.4", "11.0.0.1"].map(|client| gate.allows(ip(client)));
    assert_eq!(allowed, [false, true, false, false]);
}
