//! Security groups as an operator writes them (requirements A1, A2, A3).

use std::sync::Arc;

use super::*;
use crate::acl::{SocketFilter, Transport};

/// `GOOD` with rules of the balancer's and of the listener's group.
fn with_groups(balancer: &str, listener: &str) -> Snapshot {
    let own = format!("address = \"0.0.0.0:80\"\nsecurity_group = [{listener}]");
    good(&format!("[balancer]\nsecurity_group = [{balancer}]\n{}", GOOD.replace("address = \"0.0.0.0:80\"", &own)))
}

/// Which of these clients may connect to the listener.
fn lets_in<const N: usize>(snapshot: &Snapshot, clients: [&str; N]) -> [bool; N] {
    clients.map(|client| snapshot.listeners[0].gate.allows(client.parse().expect("an address")))
}

#[test]
fn r_a1_without_a_group_everyone_may_connect() {
    let everyone = ["203.0.113.7", "10.0.0.1", "2001:db8::1"];
    assert_eq!(lets_in(&good(GOOD), everyone), [true; 3]);
    assert_eq!(lets_in(&with_groups("", ""), everyone), [true; 3], "an empty list is as none");
}

#[test]
fn r_a1_the_balancers_group_and_the_listeners_must_both_accept() {
    let snapshot = with_groups(
        r#"{ action = "drop", source = "10.0.0.1" }, { action = "accept", source = ["10.0.0.0/8", "2001:db8::/32"] }"#,
        r#"{ action = "accept", source = "10.0.0.0/30" }, { action = "accept", source = "::/0" }"#,
    );
    let clients = ["10.0.0.1", "10.0.0.2", "10.0.0.4", "2001:db8::1", "2001:db9::1"];
    assert_eq!(lets_in(&snapshot, clients), [false, true, false, true, false]);
}

#[test]
fn r_a1_a_rule_says_whose_connections_by_which_protocol_to_which_port() {
    let rule = |keys: &str| with_groups(&format!("{{ action = \"accept\", {keys} }}"), "");
    for (keys, allowed) in [
        ("port = \"ALL\"", true),
        ("port = \"all\"", true),
        ("port = 80", true),
        ("port = 0x50", true),
        ("port = \"80\"", true),
        ("port = \"79, 81 , 80\"", true),
        ("port = \"79,1-100\"", true),
        ("port = 81", false),
        ("port = \"1-79,81-65535\"", false),
        ("protocol = \"all\"", true),
        ("protocol = \"tcp\"", true),
        ("protocol = \"udp\"", false),
        ("source = [\"203.0.113.0/24\", \"198.51.100.1\"]", false),
        ("source = \"10.0.0.1/32\", protocol = \"tcp\", port = \"80-80\"", true),
    ] {
        assert_eq!(lets_in(&rule(keys), ["10.0.0.1"]), [allowed], "{keys}");
    }
    let group = rule("protocol = \"udp\"").balancer.security_group;
    assert!(group.compile(Transport::Udp, 80).verdict("10.0.0.1".parse().expect("an address")).allowed);
}

#[test]
fn r_a1_the_order_is_that_of_the_file() {
    let blocklist = r#"{ action = "drop", source = "203.0.113.7" }, { action = "accept", source = "0.0.0.0/0" }"#;
    let reversed = r#"{ action = "accept", source = "0.0.0.0/0" }, { action = "drop", source = "203.0.113.7" }"#;
    assert_eq!(lets_in(&with_groups(blocklist, ""), ["203.0.113.7", "203.0.113.8"]), [false, true]);
    assert_eq!(lets_in(&with_groups(reversed, ""), ["203.0.113.7", "203.0.113.8"]), [true, true]);
}

#[test]
fn r_a1_http_listeners_have_groups_too() {
    let text = GOOD.replace("protocol = \"tcp\"", "protocol = \"http\"").replace(
        "address = \"0.0.0.0:80\"",
        "address = \"0.0.0.0:80\"\nsecurity_group = [{ action = \"accept\", source = \"10.0.0.0/8\" }]",
    );
    assert_eq!(lets_in(&good(&text), ["10.0.0.1", "203.0.113.7"]), [true, false]);
}

#[test]
fn r_a2_a_filter_is_made_where_it_is_asked_for_and_someone_is_dropped() {
    let rules = r#"security_group = [{ action = "accept", source = "10.0.0.0/8" }]"#;
    let filter = |keys: &str| good(&format!("[balancer]\n{keys}\n{GOOD}")).listeners[0].gate.filter.clone();
    let silent = "security_group_drop = \"silent\"";
    assert_eq!(filter(rules), SocketFilter::Off);
    assert_eq!(filter(silent), SocketFilter::Off);
    assert_eq!(filter(&format!("{rules}\nsecurity_group_drop = \"reset\"")), SocketFilter::Off);
    assert!(matches!(filter(&format!("{rules}\n{silent}")), SocketFilter::On(_)));
    assert_eq!(good(&format!("[balancer]\n{silent}\n")).balancer.security_group_drop, SecurityGroupDrop::Silent);
}

#[test]
fn r_a1_a_hundred_thousand_rules_are_read() {
    let rules = repeated(100_000, |n| {
        format!(
            "[[balancer.security_group]]\naction = \"drop\"\nsource = \"10.{}.{}.{}\"\n",
            n >> 16,
            (n >> 8) & 255,
            n & 255
        )
    });
    let snapshot = good(&format!("{rules}{GOOD}"));
    assert_eq!(snapshot.balancer.security_group.rules().len(), 100_000);
    let verdict = snapshot.listeners[0].gate.balancer.verdict("10.1.134.159".parse().expect("an address"));
    assert_eq!(verdict.rule, Some(99_999));
}

#[test]
fn r_a1_mistakes_in_rules_say_which_rule_and_how_to_mend_it() {
    let ports = "write \"ALL\", a port such as 80, or ports and ranges of them in quotes: \"80,443,1000-2000\"";
    let network = "write a network or an address, such as \"10.0.0.0/8\" or \"203.0.113.7\"";
    let range = "choose ports from 1 to 65535, the lower first";
    for (typed, says) in [
        ("source = \"10.0.0.1\"", "action: missing; add action = \"accept\" or action = \"drop\"".to_owned()),
        ("action = \"deny\"", "action: \"deny\" is not known; choose \"accept\" or \"drop\"".into()),
        ("action = \"acept\"", "action: \"acept\" is not known; did you mean \"accept\"?".into()),
        ("action = \"drop\", port = 0", "port: 0 is out of range; choose 1 to 65535".into()),
        ("action = \"drop\", port = \"0\"", format!("port: \"0\" is no range of ports; {range}")),
        ("action = \"drop\", port = \"80,70000\"", format!("port: \"70000\" is no range of ports; {range}")),
        ("action = \"drop\", port = \"90-80\"", format!("port: \"90-80\" is no range of ports; {range}")),
        ("action = \"drop\", port = \"80,\"", format!("port: \"\" is no port and no range of ports; {ports}")),
        ("action = \"drop\", port = \"80-\"", format!("port: \"80-\" is no port and no range of ports; {ports}")),
        ("action = \"drop\", port = \"http\"", format!("port: \"http\" is no port and no range of ports; {ports}")),
        ("action = \"drop\", port = [80]", format!("port: expected ports, found a list; {ports}")),
        (
            "action = \"drop\", protocol = \"icmp\"",
            "protocol: \"icmp\" is not known; choose \"all\" or \"tcp\" or \"udp\"".into(),
        ),
        (
            "action = \"drop\", source = []",
            "source: the list is empty; name at least one value, or remove the key".into(),
        ),
        (
            "action = \"drop\", source = 5",
            format!("source: expected a network or an address, found the number 5; {network}"),
        ),
        (
            "action = \"drop\", source = \"example.com\"",
            format!("source: \"example.com\" is no network and no address; {network}"),
        ),
        (
            "action = \"drop\", source = \"10.0.0.0/33\"",
            "source: \"10.0.0.0/33\" is not a network; write an address and a prefix length, such as \"10.0.0.0/8\""
                .into(),
        ),
        (
            "action = \"drop\", source = [\"10.0.0.0/8\", \"10.0.0.1/8\"]",
            "source: 10.0.0.1/8 has bits beyond its prefix length; write \"10.0.0.0/8\", or \"10.0.0.1/32\"".into(),
        ),
        (
            "action = \"drop\", source = \"::ffff:10.0.0.1\"",
            "source: ::ffff:10.0.0.1 is IPv4 in IPv6 form, and clients are compared as IPv4; write \"10.0.0.1\"".into(),
        ),
        ("action = \"drop\", ports = 80", "ports: unknown key; did you mean \"port\"?".into()),
    ] {
        let rules = format!("security_group = [{{ action = \"accept\" }}, {{ {typed} }}]");
        let balancer = printed(&format!("[balancer]\n{rules}\n{GOOD}"), Mode::Run);
        assert_eq!(balancer, [format!("lb.toml:2: [balancer]: security group rule #2: {says}")]);
        let text = format!("{GOOD}{}", listener("x", "0.0.0.0:81", &rules));
        assert_eq!(printed(&text, Mode::Run), [format!("lb.toml:17: listener \"x\": security group rule #2: {says}")]);
    }
}

#[test]
fn r_a1_a_group_is_a_list_of_tables() {
    let mend = "write it as security_group = [{ key = value }]";
    let says = |typed: &str| printed(&format!("[balancer]\nsecurity_group = {typed}\n{GOOD}"), Mode::Run);
    let place = "lb.toml:2: [balancer]: security_group: expected a list of tables, found";
    assert_eq!(says("{ action = \"accept\" }"), [format!("{place} a table; {mend}")]);
    assert_eq!(says("\"accept\""), [format!("{place} the string \"accept\"; {mend}")]);
    let silent = printed("[balancer]\nsecurity_group_drop = \"quiet\"", Mode::Run);
    assert_eq!(
        silent,
        ["lb.toml:2: [balancer]: security_group_drop: \"quiet\" is not known; choose \"reset\" or \"silent\""]
    );
}

#[test]
fn a_reload_keeps_lists_and_listeners_that_it_leaves_as_they_were() {
    let rules = |source: &str| format!("security_group = [{{ action = \"drop\", source = \"{source}\" }}]");
    let text = |balancer: &str, of_x: &str, retries: u8| {
        let x = listener("x", "0.0.0.0:81", &rules(of_x));
        let y = listener("y", "0.0.0.0:82", &rules("10.9.0.0/16"));
        format!("[balancer]\n{}\n{GOOD}retries = {retries}\n{x}{y}", rules(balancer))
    };
    let before = good(&text("10.0.0.0/8", "10.1.0.0/16", 1));
    let after = |text: &str| {
        let after = good(text);
        let shared = good(text).sharing_with(&before);
        assert_eq!(Snapshot { cookie_keys: after.cookie_keys.clone(), ..shared.clone() }, after, "it says the same");
        let balancer = shared.balancer.security_group.is_same(&before.balancer.security_group);
        let listeners = ["x", "y"].map(|name| {
            let [old, new] = [&before, &shared].map(|snapshot| {
                snapshot.listeners.iter().find(|listener| &*listener.name == name).expect("it is there")
            });
            (Arc::ptr_eq(old, new), new.security_group.is_same(&old.security_group))
        });
        (balancer, listeners)
    };
    assert_eq!(after(&text("10.0.0.0/8", "10.1.0.0/16", 2)), (true, [(true, true); 2]));
    assert_eq!(after(&text("10.0.0.0/8", "10.2.0.0/16", 1)), (true, [(false, false), (true, true)]));
    // A listener has the balancer's list compiled in.
    assert_eq!(after(&text("10.0.0.0/9", "10.1.0.0/16", 1)), (false, [(false, true); 2]));
}
