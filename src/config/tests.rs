//! The config as an operator meets it: good files give the snapshot they say, bad ones every mistake with its line.

mod admin;
mod files;
mod flash;
mod generated;
mod http;
mod inventory;
mod mistakes;
mod mistakes_http;
mod security_group;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::files::Content;
use super::*;

/// A config that is good as it stands: one listener, one group, one target. Tests put mistakes behind it.
const GOOD: &str = r#"
[[listener]]
name = "web"
protocol = "tcp"
address = "0.0.0.0:80"
default_action = { forward = "app" }

[[target_group]]
name = "app"
protocol = "tcp"
target = [{ address = "10.0.0.5", port = 8080 }]
"#;

/// A disk on which each file holds its own path, but for a few by whose names tests ask for something else.
fn disk(path: &Path, bytes_max: usize) -> io::Result<Content> {
    let name = path.to_str().unwrap_or_default();
    let mode = if name.contains("open") { 0o100_644 } else { 0o100_640 };
    let bytes = match name {
        name if name.contains("missing") => return Err(io::Error::from_raw_os_error(2)),
        name if name.contains("large") => vec![b'x'; bytes_max],
        name if name.contains("short") => b"0123456789\n".to_vec(),
        name if name.ends_with("expired-admin.pem") => admin::PAIRS.expired.certificate.clone().into_bytes(),
        name if name.ends_with("other-admin.key") => admin::PAIRS.expired.key.clone().into_bytes(),
        name if name.ends_with("admin.pem") => admin::PAIRS.good.certificate.clone().into_bytes(),
        name if name.ends_with("admin.key") => admin::PAIRS.good.key.clone().into_bytes(),
        name if name.contains("webhook") => b"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n".to_vec(),
        name if name.contains("secret") => format!("{}\n", "5a".repeat(32)).into_bytes(),
        name => name.as_bytes().to_vec(),
    };
    Ok(Content { bytes, mode })
}

fn parse_on_disk(text: &str, mode: Mode) -> Result<Snapshot, Errors> {
    parse_beside(&Known::default(), text, mode)
}

fn parse_beside(known: &Known, text: &str, mode: Mode) -> Result<Snapshot, Errors> {
    let files = Files { folder: Path::new(""), read: &disk };
    parse_with("lb.toml", text, mode, &files, (known, SystemTime::UNIX_EPOCH))
}

fn good(text: &str) -> Snapshot {
    parse_on_disk(text, Mode::Run).unwrap_or_else(|errors| panic!("refused:\n{errors}"))
}

/// The errors as printed, a line each.
fn printed(text: &str, mode: Mode) -> Vec<String> {
    match parse_on_disk(text, mode) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

fn repeated(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn an_empty_config_accepts_nothing_and_has_the_defaults() {
    let snapshot = good("");
    assert_eq!(snapshot.revision, 1);
    assert_eq!(&*snapshot.balancer.name, "weir");
    assert_eq!(snapshot.balancer.scheme, Scheme::InternetFacing);
    assert_eq!(snapshot.cores, Cores::All);
    let listen = AdminAddress::Tcp(address("127.0.0.1:9900"));
    assert_eq!(snapshot.admin, Admin { listen, token_file: None, certificate: None });
    assert_eq!(snapshot.state_dir, None);
    assert!(snapshot.listeners.is_empty() && snapshot.groups.is_empty());
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let snapshot = good(GOOD);
    let listener = &snapshot.listeners[0];
    assert_eq!(listener.address, address("0.0.0.0:80"));
    assert_eq!(listener.scheme, Scheme::InternetFacing);
    assert_eq!(listener.idle_timeout, Duration::from_secs(350));
    let group = snapshot.groups_of(listener)[0];
    assert_eq!(&*group.name, "app");
    assert_eq!(group.algorithm, Algorithm::WeightedRoundRobin);
    assert_eq!((group.fail_open, group.retries, group.connect_timeout), (true, 2, Duration::from_secs(4)));
    assert_eq!(group.health_check, Some(default_check()));
    let target = &group.targets[0];
    assert_eq!((target.address, target.weight, target.kind), (address("10.0.0.5:8080"), 10, TargetKind::Cvm));
    assert_eq!(&*target.label, "10.0.0.5:8080");
}

fn default_check() -> HealthCheck {
    HealthCheck {
        protocol: CheckProtocol::Tcp,
        port: None,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        healthy_threshold: 3,
        unhealthy_threshold: 3,
        source: None,
    }
}

#[test]
fn r_h2_checks_can_be_switched_off() {
    let text = GOOD.replace("target = ", "health_check = { protocol = \"none\" }\ntarget = ");
    assert_eq!(good(&text).groups[0].health_check, None);
}

#[test]
fn r_l8_a_listener_without_scheme_takes_the_balancers() {
    let text = format!(
        "balancer.scheme = \"internal\"\n{GOOD}{}",
        listener("pub", "0.0.0.0:81", "scheme = \"internet-facing\"")
    );
    let snapshot = good(&text);
    assert_eq!(snapshot.listeners[0].scheme, Scheme::Internal);
    assert_eq!(snapshot.listeners[1].scheme, Scheme::InternetFacing);
}

fn listener(name: &str, address: &str, more: &str) -> String {
    format!(
        "[[listener]]\nname = \"{name}\"\nprotocol = \"tcp\"\naddress = \"{address}\"\n\
         default_action = {{ forward = \"app\" }}\n{more}\n"
    )
}

#[test]
fn r_l1_a_wildcard_and_a_specific_address_may_share_a_port() {
    let others = ["10.0.0.1:80", "[::]:80", "[fd00::1]:80", "0.0.0.0:81"];
    let listeners: String = others.iter().enumerate().map(|(n, at)| listener(&format!("l{n}"), at, "")).collect();
    let bound: Vec<_> = good(&format!("{GOOD}{listeners}")).listeners.iter().map(|l| l.address).collect();
    assert_eq!(bound[1..], others.map(address));
}

#[test]
fn r_l5_the_clb_port_policy_allows_its_ports_only() {
    for (port, allowed) in [(21, true), (80, true), (843, true), (1023, false), (1024, true), (22, false)] {
        let text = format!("balancer.port_policy = \"clb\"\n{GOOD}{}", listener("x", &format!("10.0.0.1:{port}"), ""));
        assert_eq!(printed(&text, Mode::Run).is_empty(), allowed, "port {port}");
    }
}

#[test]
fn r_g4_loopback_targets_need_the_demo_or_leave_and_public_ones_need_leave() {
    let allowed = |target: &str, before: &str, mode| {
        printed(&format!("{before}\n{}", GOOD.replace("10.0.0.5", target)), mode).is_empty()
    };
    let leave = "balancer.allow_public_targets = true";
    for (target, demo) in [("127.0.0.1", true), ("::1", true), ("203.0.113.7", false), ("2001:db8::1", false)] {
        assert!(!allowed(target, "", Mode::Run), "{target}");
        assert_eq!(allowed(target, "", Mode::Demo), demo, "{target} in the demo");
        assert!(allowed(target, leave, Mode::Run), "{target} with leave");
    }
    for target in ["10.0.0.1", "172.31.255.255", "192.168.0.1", "100.127.0.1", "fd12::1"] {
        assert!(allowed(target, "", Mode::Run), "{target}");
    }
    for target in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "fe80::1", "::ffff:10.0.0.5"] {
        assert!(!allowed(target, leave, Mode::Demo), "{target} is never good");
    }
}

#[test]
fn r_g2_one_address_with_two_ports_is_two_targets() {
    let text = GOOD.replace("8080 }]", "8080 }, { address = \"10.0.0.5\", port = 8081, weight = 0 }]");
    let weights: Vec<_> = good(&text).groups[0].targets.iter().map(|t| (t.address.port(), t.weight)).collect();
    assert_eq!(weights, [(8080, 10), (8081, 0)]);
}

#[test]
fn r_h7_checks_leave_from_the_configured_address() {
    let text = GOOD.replace("target = ", "health_check = { source = \"10.0.0.1\", port = 99 }\ntarget = ");
    let check = good(&text).groups[0].health_check.clone().expect("checks are on");
    assert_eq!((check.source, check.port), (Some(address("10.0.0.1:1").ip()), Some(99)));
}

#[test]
fn r_l8_private_sources_are_those_no_internet_router_forwards() {
    let private = [
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "169.254.1.1",
        "127.0.0.1",
        "127.255.255.255",
        "::1",
        "fc00::",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
    ];
    let public = [
        "9.255.255.255",
        "11.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "0.0.0.0",
        "8.8.8.8",
        "255.255.255.255",
        "::",
        "::2",
        "fbff::1",
        "fe00::1",
        "fec0::1",
        "2001:db8::1",
        "::ffff:8.8.8.8",
    ];
    for (list, expected) in [(&private[..], true), (&public[..], false)] {
        for ip in list {
            assert_eq!(is_private(ip.parse().expect("an address")), expected, "{ip}");
        }
    }
}

#[test]
fn r_b3_a_tcp_group_stays_in_its_zone_and_an_http_group_crosses_unless_they_say_otherwise() {
    let group = |name: &str, protocol: &str, keys: &str| {
        format!("[[target_group]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\n{keys}\n")
    };
    let groups = [
        group("a", "tcp", ""),
        group("b", "http", ""),
        group("c", "tcp", "cross_zone = true"),
        group("d", "http", "cross_zone = false"),
    ];
    let snapshot = good(&format!("balancer.zone = \"gz-3\"\n{}", groups.concat()));
    assert_eq!(snapshot.groups.iter().map(|group| group.cross_zone).collect::<Vec<_>>(), [false, true, true, false]);
}

#[test]
fn r_b3_a_zone_goes_first_where_balancer_and_targets_have_one() {
    let own_zone = |balancer: &str, group: &str, target: &str| {
        let text =
            GOOD.replace("target = ", &format!("{group}\ntarget = ")).replace("8080 }", &format!("8080{target} }}"));
        let snapshot = good(&format!("{balancer}\n{text}"));
        snapshot.groups[0].own_zone(&snapshot.balancer).cloned()
    };
    let (here, there) = ("balancer.zone = \"gz-3\"", ", zone = \"gz-4\"");
    assert_eq!(own_zone(here, "", there).as_deref(), Some("gz-3"));
    assert_eq!(own_zone(here, "", ""), None, "no target says where it is");
    assert_eq!(own_zone("", "", there), None, "the balancer does not");
    assert_eq!(own_zone(here, "cross_zone = true", there), None);
}

#[test]
fn cores_are_all_a_count_or_a_list() {
    for (typed, cores) in [
        ("\"all\"", Cores::All),
        ("4", Cores::Count(4)),
        ("0x10", Cores::Count(16)),
        ("[3, 0]", Cores::List(vec![3, 0])),
    ] {
        assert_eq!(good(&format!("shards.cores = {typed}")).cores, cores);
    }
}

#[test]
fn the_admin_endpoint_is_on_loopback_a_unix_socket_or_behind_a_token() {
    let listen = |keys: &str| good(&format!("[admin]\n{keys}")).admin;
    assert_eq!(listen("listen = \"unix:/run/weir.sock\"").listen, AdminAddress::Unix("/run/weir.sock".into()));
    assert_eq!(listen("listen = \"[::1]:9900\"").listen, AdminAddress::Tcp(address("[::1]:9900")));
    let remote = listen("listen = \"10.0.0.1:9900\"\ntoken_file = \"/etc/weir/token\"");
    assert_eq!(remote.token_file.as_deref(), Some(Path::new("/etc/weir/token")));
}

#[test]
fn r_l9_fifty_listeners_and_a_group_of_a_thousand_targets() {
    let targets = repeated(1000, |n| {
        format!("[[target_group.target]]\naddress = \"10.0.{}.{}\"\nport = 80\n", n / 250, n % 250 + 1)
    });
    let listeners = repeated(50, |n| listener(&format!("l{n}"), &format!("0.0.0.0:{}", 2000 + n), ""));
    let snapshot = good(&format!("{listeners}[[target_group]]\nname = \"app\"\nprotocol = \"tcp\"\n{targets}"));
    assert_eq!(snapshot.listeners.len(), 50);
    assert_eq!(snapshot.groups[0].targets.len(), 1000);
    assert_eq!(snapshot.groups[0].targets[999].address, address("10.0.3.250:80"));
}
