//! `[flash_policy]`: the responder is a listener of its own, and shares its port with none that serves (requirement L6).

use super::*;

/// Of a config that is good, with the responder last.
fn responder(text: &str) -> (Snapshot, Listener) {
    let snapshot = good(text);
    let listener = snapshot.listeners.last().map(|listener| Listener::clone(listener)).expect("a responder");
    assert!(matches!(listener.service, Service::FlashPolicy(_)), "{listener:?}");
    (snapshot, listener)
}

const ENABLED: &str = "[flash_policy]\nenabled = true\n";

#[test]
fn r_l6_the_responder_is_off_by_default_and_has_port_843_when_it_is_on() {
    assert_eq!(good(GOOD).listeners.len(), 1);
    assert_eq!(good(&format!("{GOOD}[flash_policy]\naddress = \"10.0.0.1:843\"\n")).listeners.len(), 1);
    let (snapshot, listener) = responder(&format!("{GOOD}{ENABLED}"));
    assert_eq!((listener.address, &*listener.name), (address("0.0.0.0:843"), "flash_policy"));
    assert_eq!(listener.service, Service::FlashPolicy(limits::FLASH_POLICY_DOCUMENT_DEFAULT.into()));
    assert!(snapshot.is_bound(&listener) && snapshot.groups_of(&listener).is_empty());
}

#[test]
fn r_l6_address_and_document_can_be_given() {
    let policy =
        "<cross-domain-policy><allow-access-from domain=\"example.com\" to-ports=\"80\"/></cross-domain-policy>";
    let text = format!("balancer.scheme = \"internal\"\n{ENABLED}address = \"[::1]:8843\"\ndocument = '{policy}'\n");
    let (_, listener) = responder(&text);
    assert_eq!((listener.address, listener.scheme), (address("[::1]:8843"), Scheme::Internal));
    assert_eq!(listener.service, Service::FlashPolicy(policy.into()));
}

/// A tcp listener of this address, whose group has these targets.
fn other(at: &str, targets: &str) -> String {
    format!(
        "[[listener]]\nname = \"x\"\nprotocol = \"tcp\"\naddress = \"{at}\"\ndefault_action = {{ forward = \"x\" }}\n\
         [[target_group]]\nname = \"x\"\nprotocol = \"tcp\"\ntarget = [{targets}]\n"
    )
}

const TARGET: &str = "{ address = \"10.0.0.5\", port = 1 }";

#[test]
fn r_l6_a_tcp_listener_without_targets_closes_the_port() {
    let is_bound = |responder_at: &str, others: &str| {
        let (snapshot, listener) = responder(&format!("{ENABLED}address = \"{responder_at}\"\n{others}"));
        snapshot.is_bound(&listener)
    };
    for (responder, other_at, bound) in [
        ("0.0.0.0:843", "0.0.0.0:843", false),
        ("0.0.0.0:843", "10.0.0.1:843", false),
        ("10.0.0.1:843", "0.0.0.0:843", false),
        ("10.0.0.1:843", "10.0.0.2:843", true),
        ("0.0.0.0:843", "0.0.0.0:844", true),
        ("0.0.0.0:843", "[::]:843", true),
    ] {
        assert_eq!(is_bound(responder, &other(other_at, "")), bound, "{responder} and {other_at}");
    }
    assert!(is_bound("0.0.0.0:843", &other("10.0.0.1:843", TARGET)), "one that serves is beside it");
}

#[test]
fn r_l6_a_listener_that_serves_and_the_responder_need_two_ports() {
    let at = format!("{ENABLED}address = \"10.0.0.1:843\"\n");
    let mend = "give each its own address, or set enabled = false";
    assert_eq!(
        printed(&format!("{at}{}", other("10.0.0.1:843", TARGET)), Mode::Run),
        [format!("lb.toml:3: [flash_policy]: address: port 843 is taken by listener \"x\" (line 7); {mend}")]
    );
    let http = other("10.0.0.1:843", "").replace("tcp", "http");
    assert_eq!(
        printed(&format!("{at}{http}"), Mode::Run),
        [format!("lb.toml:3: [flash_policy]: address: port 843 is taken by listener \"x\" (line 7); {mend}")]
    );
    assert_eq!(
        printed(&format!("{ENABLED}address = \"0.0.0.0:9900\"\n"), Mode::Run),
        [format!(
            "lb.toml:3: [flash_policy]: address: port 9900 is taken by [admin], which listens on 127.0.0.1:9900 by default; {mend}"
        )]
    );
    good(&format!("[flash_policy]\naddress = \"10.0.0.1:843\"\n{}", other("10.0.0.1:843", TARGET)));
}

#[test]
fn r_l6_values_of_the_responder() {
    let long = "x".repeat(limits::FLASH_POLICY_BYTES_MAX);
    for (typed, says) in [
        (
            "document = \"/etc/weir/policy.xml\"",
            "document: \"/etc/weir/policy.xml\" is not a policy: it has no <cross-domain-policy>; \
             write the document itself, in single quotes",
        ),
        (
            "document = \"<cross-domain-policy/>\\u0000\"",
            "document: a zero in the policy ends it for players; remove it",
        ),
        (
            &format!("document = \"<cross-domain-policy/>{long}\""),
            "document: the policy is longer than 16 KiB; shorten it",
        ),
        ("address = \"0.0.0.0:0\"", "address: port 0 cannot be reached by anyone; choose a port from 1 to 65535"),
    ] {
        let printed = printed(&format!("{ENABLED}{typed}\n"), Mode::Run);
        assert_eq!(printed, [format!("lb.toml:3: [flash_policy]: {says}")]);
    }
    let clb = format!("{ENABLED}address = \"0.0.0.0:844\"\n[balancer]\nport_policy = \"clb\"\n");
    assert!(printed(&clb, Mode::Run)[0].starts_with("lb.toml:3: [flash_policy]: address: port 844 is not among those"));
}

#[test]
fn r_l6_no_other_listener_has_the_responders_name() {
    let text = format!(
        "{ENABLED}{}",
        other("10.0.0.1:80", TARGET).replace(
            "name = \"x\"\nprotocol = \"tcp\"\naddress",
            "name = \"flash_policy\"\nprotocol = \"tcp\"\naddress"
        )
    );
    let says = "lb.toml:4: listener \"flash_policy\": name: the name is taken already (line 1); give each its own name";
    assert_eq!(printed(&text, Mode::Run), [says]);
}
