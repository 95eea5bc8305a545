//! Generated configs: any text is survived, a valid one says what it was made from, and mistakes stay inside the file.

mod http;
mod typed;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::acl::{self, Gate, SecurityGroup, Transport};
use crate::inventory::{Addresses, CrossRegion, Door};
use typed::typed;

/// Snapshots that a config can describe. Maps and sets make names and addresses unique.
fn snapshot() -> impl Strategy<Value = Snapshot> {
    let state_dir = option::of("/[a-zA-Z/. \"\\\\]{0,40}".prop_map(Into::into));
    let places = (option::of(http::access_log()), state_dir);
    let head = (balancer(), cores(), admin(), places, option::of(responder()));
    (head, btree_map(name(), group(), 1..4)).prop_flat_map(
        |((balancer, cores, admin, (access_log, state_dir), responder), groups)| {
            let groups = groups.into_iter().map(|(name, group)| (name, group_at(group, &balancer)));
            let groups: Vec<_> = groups.map(|(name, group)| Arc::new(group_named(group, &name))).collect();
            btree_map(name(), listener(&groups), 0..5).prop_map(move |listeners| Snapshot {
                access_log: access_log.clone(),
                state_dir: state_dir.clone(),
                cookie_keys: resolve::keys_of_this_process(),
                webhook_keys: None,
                revision: 1,
                balancer: balancer.clone(),
                cores: cores.clone(),
                admin: admin.clone(),
                inventory: Arc::default(),
                inventory_of_file: Arc::default(),
                left_out: Vec::new(),
                warnings: Vec::new(),
                door: Door::Home,
                groups: groups.iter().map(|group| Arc::new(in_reach(group, &balancer))).collect(),
                listeners: (1000..)
                    .zip(listeners)
                    .map(|(port, (name, made))| named(&made, &balancer, &name, port))
                    .chain(responder.clone().map(|made| {
                        let made = Listener { scheme: balancer.scheme, ..made };
                        named(&made, &balancer, limits::FLASH_POLICY_NAME, made.address.port())
                    }))
                    .map(Arc::new)
                    .collect(),
            })
        },
    )
}

/// As the listener of this balancer, with a port of its own, for which its gate is made.
fn named(made: &Listener, balancer: &Balancer, name: &str, port: u16) -> Listener {
    let address = SocketAddr::new(made.address.ip(), port);
    let [own, balancers] = [&made.security_group, &balancer.security_group]
        .map(|group| Arc::new(group.compile(made.protocol.transport(), port)));
    let gate = Gate::new(balancers, own);
    let gate = match balancer.security_group_drop {
        SecurityGroupDrop::Reset => gate,
        SecurityGroupDrop::Silent => gate.with_filter(address),
    };
    Listener { name: name.into(), address, gate, ..made.clone() }
}

/// A sticky group's cookie is called after it, unless the config says otherwise.
fn group_named(group: TargetGroup, name: &str) -> TargetGroup {
    let mut group = TargetGroup { name: name.into(), ..group };
    if let Some(stickiness) = group.http.as_mut().and_then(|http| http.stickiness.as_mut())
        && stickiness.cookie.is_empty()
    {
        stickiness.cookie = format!("{}{name}", limits::COOKIE_PREFIX_DEFAULT).into();
    }
    group
}

/// To stay in a zone that is not known is a mistake, unless it is a tcp group's default.
fn in_reach(group: &TargetGroup, balancer: &Balancer) -> TargetGroup {
    let by_default = group.protocol == Protocol::Tcp && !limits::CROSS_ZONE_TCP_DEFAULT;
    let cross_zone = group.cross_zone || (balancer.zone.is_none() && !by_default);
    TargetGroup { cross_zone, ..group.clone() }
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._-]{1,80}"
}

fn text() -> impl Strategy<Value = Arc<str>> {
    name().prop_map(Arc::from)
}

fn scheme() -> impl Strategy<Value = Scheme> {
    select(vec![Scheme::InternetFacing, Scheme::Internal])
}

fn millis(range: &std::ops::RangeInclusive<Duration>) -> impl Strategy<Value = Duration> {
    let millis = |bound: &Duration| u64::try_from(bound.as_millis()).expect("limits are small");
    (millis(range.start())..=millis(range.end())).prop_map(Duration::from_millis)
}

fn balancer() -> impl Strategy<Value = Balancer> {
    let names = (text(), option::of(text()), option::of(text()), option::of(text()));
    let snat = btree_set(any::<bool>().prop_flat_map(private), 0..4);
    let drop_ = select(vec![SecurityGroupDrop::Reset, SecurityGroupDrop::Silent]);
    let guard = (security_group(), drop_);
    (names, scheme(), guard, any::<bool>(), option::of(select(vec![CrossRegion::Off, CrossRegion::Multi])), snat)
        .prop_map(
            |(
                (name, region, network, zone),
                scheme,
                (security_group, security_group_drop),
                cross_network,
                cross_region,
                snat,
            )| Balancer {
                // Without a region none is another one.
                cross_region: cross_region.filter(|_| region.is_some()).unwrap_or_default(),
                name,
                region,
                network,
                zone,
                scheme,
                security_group,
                security_group_drop,
                cross_network,
                snat_addresses: snat.into_iter().filter(|_| cross_network).collect(),
                target_addresses: Addresses::Private,
            },
        )
}

/// Where its targets are: beside the balancer, but for those in a data centre, if it may reach them.
fn group_at(mut group: TargetGroup, balancer: &Balancer) -> TargetGroup {
    for target in &mut group.targets {
        let same_family = |source: &IpAddr| source.is_ipv4() == target.address.is_ipv4();
        if target.kind == TargetKind::Idc && balancer.snat_addresses.iter().any(same_family) {
            continue;
        }
        if target.kind == TargetKind::Idc {
            target.kind = TargetKind::Cvm;
        }
        target.region.clone_from(&balancer.region);
        target.network.clone_from(&balancer.network);
    }
    group
}

/// Its port is none of the others'.
fn responder() -> impl Strategy<Value = Listener> {
    (any::<bool>().prop_flat_map(private), "[ -~]{0,40}").prop_map(|(ip, text)| Listener {
        name: limits::FLASH_POLICY_NAME.into(),
        protocol: Protocol::Tcp,
        address: SocketAddr::new(ip, 843),
        scheme: Scheme::default(),
        security_group: SecurityGroup::default(),
        gate: open_gate(),
        idle_timeout: limits::FLASH_POLICY_TIMEOUT,
        service: Service::FlashPolicy(format!("<cross-domain-policy>{text}").into()),
    })
}

/// That of a listener whose port is not known yet.
fn open_gate() -> Gate {
    let open = Arc::new(SecurityGroup::default().compile(Transport::Tcp, 1));
    Gate::new(Arc::clone(&open), open)
}

fn security_group() -> impl Strategy<Value = SecurityGroup> {
    let action = select(vec![acl::Action::Accept, acl::Action::Drop]);
    let transport = select(vec![None, Some(Transport::Tcp), Some(Transport::Udp)]);
    let ports = (limits::PORT, limits::PORT).prop_map(|(a, b)| a.min(b)..=a.max(b));
    let source =
        (any::<IpAddr>().prop_map(|address| address.to_canonical()), any::<u8>()).prop_map(|(address, length)| {
            let length = if address.is_ipv4() { length % 33 } else { length % 129 };
            IpNet::new(address, length).expect("lengths of its family").trunc()
        });
    let source =
        source.prop_filter("IPv4 in IPv6 form is refused", |network| network.addr().to_canonical() == network.addr());
    let rule = (action, vec(source, 0..3), transport, vec(ports, 0..3))
        .prop_map(|(action, sources, transport, ports)| acl::Rule { action, sources, transport, ports });
    vec(rule, 0..4).prop_map(SecurityGroup::new)
}

fn cores() -> impl Strategy<Value = Cores> {
    prop_oneof![
        Just(Cores::All),
        (1..=limits::CORES_MAX).prop_map(Cores::Count),
        btree_set(0..limits::CORES_MAX, 1..9).prop_map(|cores| Cores::List(cores.into_iter().collect())),
    ]
}

fn admin() -> impl Strategy<Value = Admin> {
    let local = prop_oneof![
        Just(AdminAddress::Tcp(address("127.0.0.1:9900"))),
        "/[a-z/. \"]{1,100}".prop_map(|path| AdminAddress::Unix(path.into())),
    ];
    (local, option::of("[a-zA-Z/. \"\\\\]{1,40}".prop_map(Into::into))).prop_map(|(listen, token_file)| Admin {
        listen,
        token_file,
        certificate: None,
    })
}

fn listener(groups: &[Arc<TargetGroup>]) -> impl Strategy<Value = Listener> + use<> {
    let ip = any::<bool>().prop_flat_map(private);
    (ip, scheme(), security_group(), millis(&limits::IDLE_TIMEOUT), service(groups)).prop_map(
        |(ip, scheme, security_group, idle_timeout, service)| {
            let protocol = match service {
                Service::Relay(_) | Service::FlashPolicy(_) => Protocol::Tcp,
                Service::Http(_) => Protocol::Http,
            };
            Listener {
                name: "".into(),
                protocol,
                address: SocketAddr::new(ip, 1),
                scheme,
                security_group,
                gate: open_gate(),
                idle_timeout,
                service,
            }
        },
    )
}

/// A listener may have groups of its protocol only.
fn service(groups: &[Arc<TargetGroup>]) -> BoxedStrategy<Service> {
    let (http, tcp): (Vec<_>, Vec<_>) = (0..groups.len()).partition(|index| groups[*index].protocol == Protocol::Http);
    let http = http::http(http).prop_map(|http| Service::Http(Arc::new(http)));
    if tcp.is_empty() {
        return http.boxed();
    }
    prop_oneof![http, select(tcp).prop_map(Service::Relay)].boxed()
}

/// A group's targets and the source of its checks are of one family.
fn group() -> impl Strategy<Value = TargetGroup> {
    any::<bool>().prop_flat_map(group_of_family)
}

fn group_of_family(is_v6: bool) -> impl Strategy<Value = TargetGroup> {
    let algorithm = |protocol| match protocol {
        Protocol::Tcp => select(vec![Algorithm::WeightedRoundRobin, Algorithm::LeastConnections]),
        Protocol::Http => select(vec![Algorithm::WeightedRoundRobin, Algorithm::LeastOutstandingRequests]),
    };
    let kind = prop_oneof![
        algorithm(Protocol::Tcp).prop_map(|algorithm| (algorithm, None)),
        (algorithm(Protocol::Http), http::group()).prop_map(|(algorithm, http)| (algorithm, Some(http))),
    ];
    let targets = btree_map((private(is_v6), 5000..=u16::MAX), target(), 0..6);
    let whose = select(vec![Managed::File, Managed::Api]);
    let may = (any::<bool>(), any::<bool>());
    let rest = (option::of(check(is_v6)), may, millis(&limits::CONNECT_TIMEOUT), limits::RETRIES, whose);
    (kind, rest, targets).prop_map(
        |((algorithm, http), (health_check, (fail_open, cross_zone), connect_timeout, retries, managed), targets)| {
            TargetGroup {
                name: "".into(),
                protocol: if http.is_some() { Protocol::Http } else { Protocol::Tcp },
                algorithm,
                health_check,
                fail_open,
                cross_zone,
                connect_timeout,
                retries,
                http,
                targets: match managed {
                    Managed::File => targets.into_iter().map(|((ip, port), target)| placed(target, ip, port)).collect(),
                    Managed::Api => Vec::new(),
                },
                managed,
            }
        },
    )
}

/// 10/8, or `fd00::/16` with a random end.
fn private(is_v6: bool) -> impl Strategy<Value = IpAddr> {
    any::<[u8; 3]>().prop_map(move |[b, c, d]| {
        if is_v6 {
            return IpAddr::V6(Ipv6Addr::new(0xfd00, 0, b.into(), 0, 0, 0, c.into(), d.into()));
        }
        IpAddr::V4(Ipv4Addr::new(10, b, c, d))
    })
}

fn check(is_v6: bool) -> impl Strategy<Value = HealthCheck> {
    let timing = (millis(&limits::HEALTH_INTERVAL), millis(&limits::HEALTH_TIMEOUT))
        .prop_filter("the timeout is below the interval", |(interval, timeout)| timeout < interval);
    let threshold = || limits::HEALTH_THRESHOLD;
    let rest = (option::of(limits::PORT), threshold(), threshold(), option::of(private(is_v6)));
    let protocol = prop_oneof![Just(CheckProtocol::Tcp), http::check().prop_map(CheckProtocol::Http)];
    (timing, rest, protocol).prop_map(|((interval, timeout), (port, healthy, unhealthy, source), protocol)| {
        HealthCheck {
            protocol,
            port,
            interval,
            timeout,
            healthy_threshold: healthy,
            unhealthy_threshold: unhealthy,
            source,
        }
    })
}

fn target() -> impl Strategy<Value = Target> {
    let kind = select(vec![TargetKind::Cvm, TargetKind::Eni, TargetKind::Idc]);
    (kind, option::of(text()), option::of(text()), limits::WEIGHT).prop_map(|(kind, id, zone, weight)| {
        let (instance_id, eni_id) = match kind {
            TargetKind::Cvm => (id, None),
            TargetKind::Eni => (None, id),
            TargetKind::Idc => (None, None),
        };
        Target {
            address: address("10.0.0.1:1"),
            label: "".into(),
            kind,
            instance_id,
            eni_id,
            region: None,
            network: None,
            zone,
            weight,
        }
    })
}

fn placed(target: Target, ip: IpAddr, port: u16) -> Target {
    let address = SocketAddr::new(ip, port);
    Target { address, label: address.to_string().into(), ..target }
}

/// Every error is on a line that the text has, and they come in order.
fn errors_are_inside(text: &str) -> Result<(), TestCaseError> {
    let Err(errors) = parse_on_disk(text, Mode::Run) else { return Ok(()) };
    let lines: Vec<_> = errors.iter().map(|error| error.line.unwrap_or(0)).collect();
    prop_assert!(!lines.is_empty() && lines.is_sorted(), "{lines:?}");
    let last = text.split('\n').count();
    prop_assert!(lines.iter().all(|line| (1..=last).contains(line)), "{errors}\nin {last} lines");
    prop_assert!(errors.iter().all(|error| !error.message.is_empty() && !error.hint.is_empty()), "{errors}");
    Ok(())
}

/// What a slip of the hand does to a config.
#[derive(Debug, Clone)]
enum Slip {
    RemoveLine(Index),
    RepeatLine(Index),
    SwapLines(Index, Index),
    Replace(Index, usize, String),
}

fn slip() -> impl Strategy<Value = Slip> {
    let snippet = prop_oneof!["[\\[\\]{}=\"'#.,\\n0-9a-z-]{0,6}", "\\PC{0,4}"];
    prop_oneof![
        any::<Index>().prop_map(Slip::RemoveLine),
        any::<Index>().prop_map(Slip::RepeatLine),
        any::<(Index, Index)>().prop_map(|(a, b)| Slip::SwapLines(a, b)),
        (any::<Index>(), 0..12_usize, snippet).prop_map(|(at, chars, new)| Slip::Replace(at, chars, new)),
    ]
}

fn slipped(text: &str, slip: &Slip) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let count = lines.len();
    match slip {
        Slip::RemoveLine(at) => drop(lines.remove(at.index(count))),
        Slip::RepeatLine(at) => lines.push(lines[at.index(count)]),
        Slip::SwapLines(a, b) => lines.swap(a.index(count), b.index(count)),
        Slip::Replace(at, removed, new) => {
            let at = at.index(text.chars().count());
            let (before, after) = (text.chars().take(at), text.chars().skip(at + removed));
            return before.chain(new.chars()).chain(after).collect();
        }
    }
    lines.join("\n")
}

proptest! {
    #[test]
    fn a_valid_config_gives_the_snapshot_it_describes(snapshot in snapshot()) {
        let text = typed(&snapshot);
        match parse_on_disk(&text, Mode::Run) {
            Ok(parsed) => prop_assert_eq!(parsed, snapshot),
            Err(errors) => prop_assert!(false, "{errors}\nin\n{text}"),
        }
    }

    #[test]
    fn slips_in_a_valid_config_are_survived_and_shown_inside_the_file(
        snapshot in snapshot(),
        slips in vec(slip(), 1..6),
    ) {
        let text = slips.iter().fold(typed(&snapshot), |text, slip| if text.is_empty() { text } else { slipped(&text, slip) });
        errors_are_inside(&text)?;
    }

    #[test]
    fn any_text_is_survived(text in "(?s).{0,200}", bits in "[\\[\\]{}=\"'#.,\\n\\r\\t0-9a-z_ :-]{0,200}") {
        errors_are_inside(&text)?;
        errors_are_inside(&bits)?;
    }

    #[test]
    fn any_value_under_any_key_is_survived(
        key in select(keys::SECTIONS.iter().flat_map(|section| section.keys).copied().collect::<Vec<_>>()),
        value in prop_oneof![
            "\"[0-9a-z.:/ -]{0,24}\"",
            "-?[0-9]{1,40}",
            "0x[0-9a-f]{1,20}",
            "[0-9]{1,3}\\.[0-9]{1,3}",
            "(\\[|\\{){1,100}",
            select(vec!["{}".to_owned(), "[]".to_owned(), "true".to_owned(), "nan".to_owned(), "[[[]]]".to_owned()]),
        ],
    ) {
        for section in keys::SECTIONS {
            let head = section.title.trim_matches('`');
            let head = if head.starts_with('[') { head } else { "" };
            errors_are_inside(&format!("{head}\n{key} = {value}"))?;
        }
    }
}
