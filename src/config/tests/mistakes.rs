//! What a bad config prints: exact lines, so that a change of wording or place is seen.

use super::*;
use crate::config::keys::{LATER, SECTIONS, Section};

/// Each snippet follows `GOOD`, whose last line is 11, so its own first line is 12.
fn expect(snippet: &str, lines: &[&str]) {
    assert_eq!(printed(&format!("{GOOD}{snippet}"), Mode::Run), lines, "for\n{snippet}");
}

#[test]
fn all_mistakes_of_a_file_are_shown_at_once_by_line() {
    let text = "\
[balancer]
nmae = \"edge\"
port_policy = \"clp\"

[[listener]]
name = \"web\"
protocol = \"tcp\"
address = \"0.0.0.0:80\"
idle_timeout = \"0s\"
default_action = { forward = \"ap\" }

[[target_group]]
name = \"app\"
protocol = \"tcp\"
retries = \"two\"
  [[target_group.target]]
  address = \"10.0.0.5\"
  port = 70000
  wieght = 1
";
    let lines = [
        "lb.toml:2: [balancer]: nmae: unknown key; did you mean \"name\"?",
        "lb.toml:3: [balancer]: port_policy: \"clp\" is not known; did you mean \"clb\"?",
        "lb.toml:9: listener \"web\": idle_timeout: \"0s\" is out of range; choose 1s to 6000s",
        "lb.toml:10: listener \"web\": default_action.forward: there is no target group \"ap\"; did you mean \"app\"?",
        "lb.toml:15: target group \"app\": retries: expected a whole number, found the string \"two\"; \
         write it in digits, without quotes",
        "lb.toml:18: target group \"app\": target #1: port: 70000 is out of range; choose 1 to 65535",
        "lb.toml:19: target group \"app\": target #1: wieght: unknown key; did you mean \"weight\"?",
    ];
    assert_eq!(printed(text, Mode::Run), lines);
}

#[test]
fn an_error_can_be_taken_apart() {
    let errors = parse("lb.toml", "[shards]\ncores = 0", Mode::Run).expect_err("no cores");
    let parts: Vec<_> = errors.iter().map(|e| (e.line, &*e.place, &*e.message, &*e.hint)).collect();
    assert_eq!(parts, [(Some(2), "[shards]: cores", "0 is out of range", "choose 1 to 1024")]);
    assert_eq!(errors.file(), "lb.toml");
}

#[test]
fn text_that_is_not_toml_is_shown_by_line_and_column() {
    let lines = [
        "lb.toml:1:8: syntax: string values must be quoted, expected literal string; correct the TOML here",
        "lb.toml:3:1: syntax: duplicate key; give it once: remove or rename one of the two",
    ];
    assert_eq!(printed("name = web\nb = 5\nb = 6\n", Mode::Run), lines);
}

#[test]
fn r_l1_a_second_listener_on_an_address_names_the_first() {
    let says = "lb.toml:15: listener \"api\": port 80 is taken by listener \"web\" (line 5); change one port or give each \
                its own address";
    expect(&listener("api", "0.0.0.0:80", ""), &[says]);
}

#[test]
fn a_listener_cannot_take_the_admin_endpoints_port() {
    let mend = "change one port or give each its own address";
    let by_default = "[admin], which listens on 127.0.0.1:9900 by default";
    expect(
        &listener("x", "0.0.0.0:9900", ""),
        &[&format!("lb.toml:15: listener \"x\": port 9900 is taken by {by_default}; {mend}")],
    );
    expect(
        &format!("{}[admin]\nlisten = \"0.0.0.0:99\"\ntoken_file = \"t\"\n", listener("x", "10.0.0.1:99", "")),
        &[&format!("lb.toml:15: listener \"x\": port 99 is taken by [admin] (line 19); {mend}")],
    );
    expect(&listener("x", "10.0.0.1:9900", ""), &[]);
    expect(&listener("x", "[::]:9900", ""), &[]);
}

#[test]
fn names_and_targets_occur_once_even_on_one_line() {
    let group = "[[target_group]]\nname = \"app\"\nprotocol = \"tcp\"\n\
                 target = [{ address = \"10.0.0.5\", port = 1 }, { address = \"10.0.0.5\", port = 1 }]\n";
    expect(
        &format!("{}{group}", listener("web", "0.0.0.0:81", "")),
        &[
            "lb.toml:13: listener \"web\": name: the name is taken already (line 3); give each its own name",
            "lb.toml:19: target group \"app\": name: the name is taken already (line 9); give each its own name",
            "lb.toml:21: target group \"app\": target #2: 10.0.0.5:1 is in this group already (line 21); \
         remove one of the two, or change its port",
        ],
    );
}

#[test]
fn a_listener_that_forwards_to_itself_is_refused() {
    let says = "lb.toml:15: listener \"x\": address: 10.0.0.5:8080 is also its target (line 11); give the target the \
                address of the machine that serves";
    expect(&listener("x", "10.0.0.5:8080", ""), &[says]);
}

#[test]
fn what_is_missing_is_said_at_the_head_of_its_table() {
    expect(
        "[[listener]]\n[[target_group]]\n[[target_group.target]]\n",
        &[
            "lb.toml:12: listener #2: name: missing; add name = \"web\"",
            "lb.toml:12: listener #2: protocol: missing; add protocol = \"tcp\" or protocol = \"http\"",
            "lb.toml:12: listener #2: address: missing; add address = \"0.0.0.0:80\"",
            "lb.toml:12: listener #2: default_action: missing; \
         add default_action = { forward = \"name of a target group\" }",
            "lb.toml:13: target group #2: name: missing; add name = \"app\"",
            "lb.toml:13: target group #2: protocol: missing; add protocol = \"tcp\" or protocol = \"http\"",
            "lb.toml:14: target group #2: target #1: port: missing; add port = 8080",
            "lb.toml:14: target group #2: target #1: address: missing; add address = \"10.0.0.5\"",
        ],
    );
}

/// A value of a listener after `GOOD`; it stands on line 18 in place of the one named.
fn expect_in_listener(key: &str, value: &str, says: &str) {
    let full = "[[listener]]\nname = \"x\"\nprotocol = \"tcp\"\naddress = \"10.0.0.1:81\"\n\
                default_action = { forward = \"app\" }\n";
    let rest: String = full.split_inclusive('\n').filter(|line| !line.starts_with(key)).collect();
    let line = 12 + rest.lines().count();
    expect(&format!("{rest}{key} = {value}\n"), &[&format!("lb.toml:{line}: listener \"x\": {key}{says}")]);
}

#[test]
fn values_of_a_listener() {
    let address_mend = "write an IP address and a port, such as \"0.0.0.0:80\" or \"[::]:80\"";
    for typed in ["\"example.com:80\"", "\"10.0.0.1\"", "\":80\"", "\"10.0.0.1:99999\"", "\"\""] {
        expect_in_listener("address", typed, &format!(": {typed} is not an address and port; {address_mend}"));
    }
    expect_in_listener(
        "address",
        "80",
        &format!(": expected an address and port, found the number 80; {address_mend}"),
    );
    for (key, value, says) in [
        ("address", "\"10.0.0.1:0\"", ": port 0 cannot be reached by anyone; choose a port from 1 to 65535"),
        ("address", "\"224.0.0.1:80\"", ": 224.0.0.1 is a multicast address; give the address of one machine"),
        ("address", "\"[::ffff:10.0.0.1]:80\"", ": ::ffff:10.0.0.1 is an IPv4 address in IPv6 form; write 10.0.0.1"),
        (
            "protocol",
            "\"https\"",
            ": \"https\" is not served: this version serves tcp and http; write protocol = \"tcp\" or protocol = \"http\"",
        ),
        ("protocol", "\"tpc\"", ": \"tpc\" is not known; did you mean \"tcp\"?"),
        ("scheme", "\"open\"", ": \"open\" is not known; choose \"internet-facing\" or \"internal\""),
        (
            "idle_timeout",
            "60",
            ": expected a duration, found the number 60; write a number and a unit in quotes, such as \"5s\" or \"300ms\"",
        ),
        (
            "idle_timeout",
            "\"soon\"",
            ": \"soon\" is not a duration; write a number and a unit in quotes, such as \"5s\" or \"300ms\"",
        ),
        ("idle_timeout", "\"6001s\"", ": \"6001s\" is out of range; choose 1s to 6000s"),
        ("default_action", "\"app\"", ": expected a table, found the string \"app\"; write it as { key = value }"),
        (
            "default_action",
            "{ forward = \"other\" }",
            ".forward: there is no target group \"other\"; add a [[target_group]] of that name",
        ),
        ("certificates", "[]", ": this version does not have this feature yet; remove the key"),
    ] {
        expect_in_listener(key, value, says);
    }
}

/// Lines of a target group after `GOOD`, the first on line 15, and what they print.
fn expect_in_group(lines: &str, says: &[&str]) {
    let says: Vec<_> = says.iter().map(|s| s.replace("GROUP", "target group \"x\"")).collect();
    let says: Vec<_> = says.iter().map(String::as_str).collect();
    expect(&format!("[[target_group]]\nname = \"x\"\nprotocol = \"tcp\"\n{lines}\n"), &says);
}

#[test]
fn values_of_a_target_group() {
    for (typed, says) in [
        (
            "algorithm = \"least_outstanding_requests\"",
            "algorithm: \"least_outstanding_requests\" counts requests, and a tcp group has connections only; \
             use \"least_connections\"",
        ),
        (
            "algorithm = \"maglev\"",
            "algorithm: \"maglev\" is not in this version; use \"weighted_round_robin\", or \"least_connections\" (tcp), \
             or \"least_outstanding_requests\" (http)",
        ),
        (
            "algorithm = \"least_conections\"",
            "algorithm: \"least_conections\" is not known; did you mean \"least_connections\"?",
        ),
        (
            "fail_open = \"yes\"",
            "fail_open: expected true or false, found the string \"yes\"; write true or false, without quotes",
        ),
        (
            "cross_zone = false",
            "cross_zone: targets of the balancer's zone cannot go first: nobody knows its zone; \
             add zone to [balancer], or remove it",
        ),
        ("connect_timeout = \"49ms\"", "connect_timeout: \"49ms\" is out of range; choose 50ms to 120s"),
        ("retries = 11", "retries: 11 is out of range; choose 0 to 10"),
        ("retries = -1", "retries: -1 is out of range; choose 0 to 10"),
        ("retries = 1.5", "retries: expected a whole number, found the number 1.5; write it in digits, without quotes"),
        ("slow_start = \"30s\"", "slow_start: this version does not have this feature yet; remove the key"),
        (
            "[target_group.target]",
            "target: expected a list of tables, found a table; head each one with [[target_group.target]]",
        ),
        ("target = [5]", "target: expected a table, found the number 5; write it as { key = value }"),
    ] {
        expect_in_group(typed, &[&format!("lb.toml:15: GROUP: {says}")]);
    }
}

#[test]
fn r_h2_values_of_a_health_check() {
    for (typed, says) in [
        (
            "protocol = \"grpc\"",
            "protocol: \"grpc\" checks are not in this version, which checks by tcp and http; \
             write protocol = \"tcp\" or \"http\", or \"none\" to switch checks off",
        ),
        ("port = 0", "port: 0 is out of range; choose 1 to 65535"),
        ("interval = \"301s\"", "interval: \"301s\" is out of range; choose 100ms to 300s"),
        ("timeout = \"61s\"", "timeout: \"61s\" is out of range; choose 50ms to 60s"),
        ("healthy = 0", "healthy: 0 is out of range; choose 1 to 10"),
        ("unhealthy = 11", "unhealthy: 11 is out of range; choose 1 to 10"),
        ("healty = 3", "healty: unknown key; did you mean \"healthy\"?"),
        (
            "matcher = \"200\"",
            "matcher: only an http check has it, and this one is tcp; remove it, or set protocol = \"http\"",
        ),
        (
            "timeout = \"5s\"",
            "timeout: timeout is 5s and must be below the interval of 5s; shorten the timeout or lengthen the interval",
        ),
        (
            "interval = \"1s\"",
            "timeout: timeout is 2s by default and must be below the interval of 1s; \
             shorten the timeout or lengthen the interval",
        ),
        ("source = \"0.0.0.0\"", "source: 0.0.0.0 is the unspecified address; give the address of one machine"),
    ] {
        let line = format!("health_check = {{ {typed} }}");
        expect_in_group(&line, &[&format!("lb.toml:15: GROUP: health_check.{says}")]);
    }
}

#[test]
fn r_h7_a_source_of_the_other_family_names_the_target_it_cannot_reach() {
    expect_in_group(
        "target = [{ address = \"fd00::5\", port = 1 }]\nhealth_check.source = \"10.0.0.1\"",
        &["lb.toml:16: GROUP: health_check.source: 10.0.0.1 is IPv4, and a target is IPv6 (line 15); \
         put targets of the other family into a group of their own"],
    );
}

#[test]
fn r_g3_values_of_a_target() {
    let address = "address = \"10.0.0.9\", port = 1";
    for (typed, says) in [
        (
            "type = \"cvm\", instance_id = \"ins-1\", port = 1",
            "instance_id: the inventory has no instance \"ins-1\" to look its address up; \
             add it to the inventory, or give the target's address too",
        ),
        (
            "type = \"eni\", eni_id = \"eni-1\", port = 1",
            "eni_id: the inventory has no ENI \"eni-1\" to look its address up; \
             add it to the inventory, or give the target's address too",
        ),
        (
            &format!("type = \"idc\", {address}"),
            "type: \"idc\" targets are outside the balancer's network; set cross_network = true in [balancer]",
        ),
        (
            &format!("type = \"eni\", instance_id = \"ins-1\", {address}"),
            "instance_id: only targets of type \"cvm\" have it; remove it, or set type = \"cvm\"",
        ),
        (
            &format!("eni_id = \"eni-1\", {address}"),
            "eni_id: only targets of type \"eni\" have it; remove it, or set type = \"eni\"",
        ),
        (
            &format!("zone = \"gz 3\", {address}"),
            "zone: \"gz 3\" is not a name; use 1 to 80 letters, digits, dots, underscores or hyphens",
        ),
        (&format!("weight = 101, {address}"), "weight: 101 is out of range; choose 0 to 100"),
        ("address = \"10.0.0.9\", port = 0", "port: 0 is out of range; choose 1 to 65535"),
        (
            "address = \"10.0.0.9:80\", port = 80",
            "address: \"10.0.0.9:80\" has a port; write \"10.0.0.9\" here and the port under its own key",
        ),
        (
            "address = \"app.example.com\", port = 80",
            "address: \"app.example.com\" is not an IP address; write an IP address, such as \"10.0.0.5\"",
        ),
        (
            "address = \"203.0.113.7\", port = 80",
            "address: 203.0.113.7 is not a private address; give the private address, or set \
             allow_public_targets = true in [balancer] (it allows loopback too)",
        ),
        (
            "address = \"127.0.0.1\", port = 80",
            "address: 127.0.0.1 is this machine itself; give the private address, or set \
             allow_public_targets = true in [balancer] (it allows loopback too)",
        ),
    ] {
        expect_in_group(&format!("target = [{{ {typed} }}]"), &[&format!("lb.toml:15: GROUP: target #1: {says}")]);
    }
}

#[test]
fn values_of_the_other_tables() {
    let name_mend = "use 1 to 80 letters, digits, dots, underscores or hyphens";
    let long = "x".repeat(81);
    for (typed, says) in [
        ("[balancer]\nname = \"a b\"", format!("[balancer]: name: \"a b\" is not a name; {name_mend}")),
        ("[balancer]\nzone = \"\"", format!("[balancer]: zone: \"\" is not a name; {name_mend}")),
        (
            &format!("[balancer]\nzone = \"{long}\""),
            format!("[balancer]: zone: \"{}\"... is not a name; {name_mend}", "x".repeat(80)),
        ),
        (
            "[balancer]\nclient_ip = \"none\"",
            "[balancer]: client_ip: this version does not have this feature yet; remove the key".into(),
        ),
        (
            "[balancer]\n\"\\n\" = 1",
            "[balancer]: \"\\n\": unknown key; the keys here are name, region, network, zone, scheme, \
             allow_public_targets, cross_network, cross_region, snat_addresses, port_policy, secret_file, \
             webhook_key_file, state_dir, security_group, security_group_drop"
                .into(),
        ),
        (
            "[balancer]\nstate_dir = \"\"",
            "[balancer]: state_dir: \"\" is not a path; name a folder, such as \"/var/lib/weir\"".into(),
        ),
        (
            "[balancer]\nstate_dir = true",
            "[balancer]: state_dir: expected a string, found true; put it in quotes".into(),
        ),
        ("[shards]\ncores = []", "[shards]: cores: the list is empty; name at least one core, or write \"all\"".into()),
        ("[shards]\ncores = [2, 2]", "[shards]: cores: core 2 is listed twice; list each core once".into()),
        ("[shards]\ncores = [1024]", "[shards]: cores: core 1024 is out of range; choose 0 to 1023".into()),
        (
            "[shards]\ncores = \"some\"",
            "[shards]: cores: expected cores, found the string \"some\"; write \"all\", a count such as 4, or a list such as [2, 3]"
                .into(),
        ),
        (
            "[admin]\nlisten = \"0.0.0.0:9900\"",
            "[admin]: listen: 0.0.0.0:9900 is reachable from other machines, and there is no token_file; \
             listen on loopback or a unix socket, or add token_file"
                .into(),
        ),
        (
            "[admin]\nlisten = \"unix:weir.sock\"",
            "[admin]: listen: \"weir.sock\" is not the path of a socket; write an absolute path of at most 107 bytes, \
             such as \"unix:/run/weir.sock\""
                .into(),
        ),
        (
            "[admin]\ntoken_file = \"\"",
            "[admin]: token_file: \"\" is not a path; name a file, such as \"/etc/weir/token\"".into(),
        ),
    ] {
        expect(typed, &[&format!("lb.toml:13: {says}")]);
    }
    expect("[[listner]]", &["lb.toml:12: listner: unknown key; did you mean \"listener\"?"]);
}

/// The reader takes each key of the list: a value of a type that no key has is refused as a value, not as unknown.
#[test]
fn every_key_of_the_list_is_read() {
    for section in SECTIONS {
        for key in section.keys {
            let text = format!("{}\n{key} = 1979-05-27\n", head(&section, key));
            let errors = printed(&text, Mode::Run);
            let says = format!("{key}: expected ");
            assert!(errors.iter().any(|e| e.contains(&says) && e.contains("found a date")), "{text}\n{errors:?}");
        }
    }
}

/// What opens a table of a section in which a key is then typed.
fn head(section: &Section, key: &str) -> String {
    let action = "[[listener]]\n[listener.default_action]\n";
    match section.title.trim_matches('`') {
        "The file" => String::new(),
        "security_group" => "[[listener]]\n[[listener.security_group]]".to_owned(),
        title @ ("[[listener.error_page]]" | "[[listener.rule]]") => format!("[[listener]]\n{title}"),
        title @ ("[[listener.rule.header]]" | "[[listener.rule.query]]") => {
            format!("[[listener]]\n[[listener.rule]]\n{title}")
        }
        "path" => "[[listener]]\n[[listener.rule]]\n[listener.rule.path]".to_owned(),
        "action` and `default_action" if ["group_stickiness", "rewrite"].contains(&key) => {
            format!("{action}forward = \"app\"")
        }
        "action` and `default_action" => action.to_owned(),
        "forward" => format!("{action}[[listener.default_action.forward]]"),
        "rewrite" => format!("{action}forward = \"app\"\n[listener.default_action.rewrite]"),
        "rewrite.host` and `rewrite.path" => {
            format!("{action}forward = \"app\"\n[listener.default_action.rewrite.path]")
        }
        title @ ("redirect" | "fixed_response") => format!("{action}[listener.default_action.{title}]"),
        title @ ("stickiness" | "keep_alive" | "health_check") => {
            format!("[[target_group]]\n[target_group.{title}]")
        }
        "[[target_group.target]]" => "[[target_group]]\n[[target_group.target]]".to_owned(),
        title @ "[[scaling_group.target_groups]]" => format!("[[scaling_group]]\n{title}"),
        title => title.to_owned(),
    }
}

#[test]
fn no_key_is_both_known_and_for_later() {
    for section in SECTIONS {
        assert!(section.keys.iter().all(|key| !LATER.contains(key)), "{}", section.title);
    }
}

#[test]
fn a_flood_of_mistakes_is_cut_and_counted() {
    let text = repeated(limits::ERRORS_SHOWN_MAX + 5, |n| format!("x{n} = 1\n"));
    let lines = printed(&text, Mode::Run);
    assert_eq!(lines.len(), limits::ERRORS_SHOWN_MAX + 1);
    assert_eq!(lines.last().map(String::as_str), Some("lb.toml: more errors, not shown: 5; mend these first"));
}

#[test]
fn of_a_large_file_that_is_not_toml_the_first_error_is_shown() {
    let text = "=\n".repeat(limits::SYNTAX_ERRORS_BYTES_MAX);
    let lines = printed(&text, Mode::Run);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("lb.toml:1:1: syntax: "), "{lines:?}");
}
