//! Machines in the file: where targets get their addresses from, and what is wrong with either.

use std::time::Duration;

use super::*;
use crate::inventory::{CrossRegion, Door, HealthType, InstanceState, Record, Records, ScalingGroup};

/// The first line of what follows it is 5.
const BALANCER: &str = "[balancer]\nregion = \"north\"\nnetwork = \"vpc-1\"\n\n";

/// A group of these targets: a line each, from line 8 on where it comes behind `BALANCER`.
fn group(targets: &[&str]) -> String {
    let targets = repeated(targets.len(), |n| format!("  {{ {} }},\n", targets[n]));
    format!("[[target_group]]\nname = \"app\"\nprotocol = \"tcp\"\ntarget = [\n{targets}]\n")
}

fn instance(id: &str, address: &str, more: &str) -> String {
    format!("[[instance]]\nid = \"{id}\"\naddress = \"{address}\"\n{more}\n")
}

fn eni(id: &str, instance: &str, addresses: &str) -> String {
    format!("[[eni]]\nid = \"{id}\"\ninstance_id = \"{instance}\"\naddresses = [{addresses}]\n")
}

fn says(text: &str, lines: &[&str]) {
    assert_eq!(printed(text, Mode::Run), lines, "for\n{text}");
}

#[test]
fn r_g3_targets_get_their_addresses_from_the_inventory_wherever_it_stands() {
    let targets = group(&["instance_id = \"ins-1\", port = 80", "type = \"eni\", eni_id = \"eni-1\", port = 80"]);
    let machines =
        instance("ins-1", "10.0.0.5", "zone = \"z-1\"") + &eni("eni-1", "ins-1", "\"10.0.0.5\", \"10.0.0.6\"");
    let snapshot = good(&format!("{BALANCER}{targets}{machines}"));
    let [cvm, eni] = snapshot.groups[0].targets.as_slice() else { panic!("two targets") };
    assert_eq!((cvm.address, eni.address), (address("10.0.0.5:80"), address("10.0.0.6:80")));
    for target in [cvm, eni] {
        assert_eq!(target.instance_id.as_deref(), Some("ins-1"));
        assert_eq!((target.region.as_deref(), target.network.as_deref()), (Some("north"), Some("vpc-1")));
        assert_eq!(target.zone.as_deref(), Some("z-1"));
    }
    assert_eq!((cvm.eni_id.as_deref(), eni.eni_id.as_deref()), (None, Some("eni-1")));
    assert_eq!(&*eni.label, "10.0.0.6:80");
    assert_eq!(snapshot, good(&format!("{machines}{BALANCER}{targets}")));
}

#[test]
fn every_key_of_an_instance_is_kept() {
    let keys = "region = \"south\"\nnetwork = \"vpc-9\"\nstate = \"stopped\"\nexpires = \"1970-01-01T00:01:00Z\"\nbandwidth = 100";
    let snapshot = good(&instance("ins-1", "10.0.0.5", keys));
    let kept = snapshot.inventory.instance("ins-1").expect("it is there");
    assert_eq!((kept.region.as_deref(), kept.network.as_deref()), (Some("south"), Some("vpc-9")));
    assert_eq!((kept.state, kept.bandwidth), (InstanceState::Stopped, Some(100)));
    assert_eq!(kept.expires, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(60)));
}

#[test]
fn r_g2_two_names_of_one_address_are_one_target() {
    let targets = group(&["instance_id = \"ins-1\", port = 80", "address = \"10.0.0.5\", port = 80"]);
    let text = format!("{BALANCER}{targets}{}", instance("ins-1", "10.0.0.5", ""));
    says(
        &text,
        &["lb.toml:10: target group \"app\": target #2: 10.0.0.5:80 is in this group already (line 9); \
                   remove one of the two, or change its port"],
    );
}

#[test]
fn r_g3_r_g7_what_the_inventory_has_against_a_target_is_said_where_it_is_typed() {
    let machines = instance("ins-1", "10.0.0.5", "")
        + &instance("ins-2", "10.0.0.6", "state = \"isolated\"")
        + &instance("ins-3", "10.0.0.7", "network = \"vpc-2\"")
        + &eni("eni-1", "ins-1", "\"10.0.0.9\"");
    for (target, line) in [
        (
            "instance_id = \"ins-1\", address = \"10.0.0.9\"",
            "address: the primary address of instance \"ins-1\" is 10.0.0.5, not 10.0.0.9; \
             bind 10.0.0.9 as type = \"eni\", eni_id = \"eni-1\"",
        ),
        (
            "instance_id = \"ins-2\"",
            "instance_id: instance \"ins-2\" is isolated; take it out of isolation, or bind another one",
        ),
        (
            "instance_id = \"ins-3\"",
            "instance_id: instance \"ins-3\" is in network \"vpc-2\", and the balancer in network \"vpc-1\"; \
             bind one of the balancer's own network, or set cross_network = true in [balancer]",
        ),
        (
            "type = \"eni\", address = \"10.0.0.5\"",
            "address: 10.0.0.5 is the primary address of instance \"ins-1\"; \
             set type = \"cvm\" and instance_id = \"ins-1\"",
        ),
        ("weight = 1", "address: missing; add address = \"10.0.0.5\""),
    ] {
        let text = format!("{BALANCER}{}{machines}", group(&[&format!("{target}, port = 80")]));
        says(&text, &[&format!("lb.toml:9: target group \"app\": target #1: {line}")]);
    }
}

#[test]
fn records_that_do_not_fit_are_said_at_their_lines() {
    let text = instance("ins-1", "10.0.0.5", "")
        + &instance("ins-1", "10.0.0.6", "")
        + &instance("ins-2", "10.0.0.5", "")
        + &eni("eni-1", "ins-9", "\"10.0.0.9\"")
        + "[[eni]]\naddresses = [\"10.0.0.8\", \"x\"]\n[[instance]]\nexpires = \"soon\"\nbandwidth = -1\nstate = \"gone\"\n";
    says(
        &text,
        &[
            "lb.toml:5: instance \"ins-1\": there is another instance called \"ins-1\"; give each its own",
            "lb.toml:9: instance \"ins-2\": 10.0.0.5 is an address of instance \"ins-1\" already; \
             give each its own, or name the network that it is in",
            "lb.toml:13: ENI \"eni-1\": there is no instance \"ins-9\"; add the instance first",
            "lb.toml:17: ENI #2: id: missing; add id = \"eni-1\"",
            "lb.toml:18: ENI #2: addresses: \"x\" is not an IP address; write an IP address, such as \"10.0.0.5\"",
            "lb.toml:19: instance #4: id: missing; add id = \"ins-1\"",
            "lb.toml:19: instance #4: address: missing; add address = \"10.0.0.5\"",
            "lb.toml:20: instance #4: expires: \"soon\" is not a time; write it in quotes, such as \"2027-01-31T00:00:00Z\"",
            "lb.toml:21: instance #4: bandwidth: -1 is out of range; choose 0 to 1000000",
            "lb.toml:22: instance #4: state: \"gone\" is not known; \
             choose \"running\" or \"stopped\" or \"isolated\" or \"released\"",
        ],
    );
}

#[test]
fn r_g8_targets_of_instances_that_are_released_or_have_expired_are_left_out_and_said() {
    let targets = group(&[
        "instance_id = \"ins-1\", port = 80",
        "instance_id = \"ins-2\", port = 80",
        "instance_id = \"ins-3\", port = 80",
    ]);
    let machines = instance("ins-1", "10.0.0.5", "state = \"released\"")
        + &instance("ins-2", "10.0.0.6", "expires = \"1970-01-01T00:00:00Z\"")
        + &instance("ins-3", "10.0.0.7", "expires = \"1970-01-01T00:00:01Z\"");
    let snapshot = good(&format!("{BALANCER}{targets}{machines}"));
    let left: Vec<_> = snapshot.groups[0].targets.iter().map(|target| target.address).collect();
    assert_eq!(left, [address("10.0.0.7:80")]);
    assert_eq!(
        snapshot.left_out,
        [
            "lb.toml:9: target group \"app\": target #1: instance \"ins-1\" is released; bind another one",
            "lb.toml:10: target group \"app\": target #2: instance \"ins-2\" expired at 1970-01-01T00:00:00Z; \
             renew it, or bind another one",
        ]
    );
}

#[test]
fn r_g8_under_multi_a_released_instance_of_another_region_stays_bound() {
    let text = |region: &str| {
        let targets = group(&["instance_id = \"ins-1\", port = 80"]);
        let machine = instance("ins-1", "10.0.0.5", &format!("state = \"released\"\nregion = \"{region}\""));
        format!("{}{targets}{machine}", BALANCER.replace("\n\n", "\ncross_region = \"multi\"\n"))
    };
    assert_eq!(good(&text("south")).groups[0].targets.len(), 1);
    assert_eq!(good(&text("north")).groups[0].targets.len(), 0);
}

#[test]
fn r_g5_r_g6_crossing_is_as_the_balancer_says() {
    let head = |keys: &str| format!("[balancer]\nregion = \"north\"\n{keys}\n");
    let snapshot =
        good(&head("cross_network = true\ncross_region = \"multi\"\nsnat_addresses = [\"10.0.0.9\", \"fd00::9\"]"));
    let balancer = &snapshot.balancer;
    assert_eq!((balancer.cross_network, balancer.cross_region), (true, CrossRegion::Multi));
    assert_eq!(
        balancer.place().snat_addresses,
        ["10.0.0.9", "fd00::9"].map(|ip| ip.parse::<std::net::IpAddr>().expect("one"))
    );
    for (keys, line) in [
        (
            "cross_region = \"single\"\ncross_network = true",
            "3: [balancer]: cross_region: \"single\" and cross_network exclude each other; \
             set cross_region = \"multi\", or remove cross_network",
        ),
        (
            "snat_addresses = [\"10.0.0.9\"]",
            "3: [balancer]: snat_addresses: only connections to \"idc\" targets leave from it, and those need \
             cross_network; add cross_network = true, or remove it",
        ),
        (
            "cross_network = true\nsnat_addresses = [\"10.0.0.9\",\n\"10.0.0.9\"]",
            "5: [balancer]: snat_addresses: 10.0.0.9 is listed twice (line 4); list each address once",
        ),
        (
            "cross_network = true\nsnat_addresses = \"0.0.0.0\"",
            "4: [balancer]: snat_addresses: 0.0.0.0 is the unspecified address; give the address of one machine",
        ),
        (
            "cross_network = true\nsnat_addresses = []",
            "4: [balancer]: snat_addresses: the list is empty; name at least one value, or remove the key",
        ),
    ] {
        says(&head(keys), &[&format!("lb.toml:{line}")]);
    }
    says(
        "balancer.cross_region = \"multi\"",
        &["lb.toml:1: [balancer]: cross_region: without a region of the balancer's own none is another one; \
           add region = \"name of its region\""],
    );
    let many: Vec<_> = (0..=limits::SNAT_ADDRESSES_MAX).map(|n| format!("\"10.0.1.{n}\"")).collect();
    let errors = printed(&head(&format!("cross_network = true\nsnat_addresses = [{}]", many.join(", "))), Mode::Run);
    assert_eq!(errors, ["lb.toml:4: [balancer]: snat_addresses: there are 65 addresses; list at most 64"]);
}

#[test]
fn r_g5_idc_targets_have_neither_region_nor_network() {
    let balancer = BALANCER.replace("\n\n", "\ncross_network = true\nsnat_addresses = [\"10.0.0.9\"]\n");
    let snapshot = good(&format!("{balancer}{}", group(&["type = \"idc\", address = \"192.168.0.1\", port = 80"])));
    let target = &snapshot.groups[0].targets[0];
    assert_eq!((target.kind, target.region.as_deref(), target.network.as_deref()), (TargetKind::Idc, None, None));
}

#[test]
fn r_g6_under_single_all_targets_are_in_one_region() {
    let text = |targets: &[&str]| {
        let balancer = BALANCER.replace("\n\n", "\ncross_region = \"single\"\n");
        let machine = |id: &str, address: &str, region: &str| instance(id, address, &format!("region = \"{region}\""));
        let machines = machine("near", "10.0.0.5", "north") + &machine("far", "10.9.0.5", "south");
        format!("{balancer}{}{machines}", group(targets))
    };
    let (near, far) = ("instance_id = \"near\", port = 80", "instance_id = \"far\", port = 80");
    assert_eq!(good(&text(&[far, "instance_id = \"far\", port = 81"])).groups[0].targets.len(), 2);
    says(
        &text(&[near, far]),
        &[
            "lb.toml:10: target group \"app\": target #2: with cross_region = \"single\" all targets are in one region: \
           this one is in region \"south\", others are in region \"north\"; move them to one region, or set \
           cross_region = \"multi\" in [balancer]",
        ],
    );
}

#[test]
fn r_g9_members_of_a_scaling_group_are_bound_with_its_port_and_weight() {
    let machines = instance("ins-1", "10.0.0.5", "") + &instance("ins-2", "10.0.0.6", "");
    let scaling = "[[scaling_group]]\nname = \"asg\"\ninstances = [\"ins-1\", \"ins-2\"]\n\
                   target_groups = [{ group = \"app\", port = 8080, weight = 20 }]\n";
    let targets = group(&["instance_id = \"ins-1\", port = 8080, weight = 1"]);
    let snapshot = good(&format!("{BALANCER}{targets}{machines}{scaling}"));
    let bound: Vec<_> = snapshot.groups[0].targets.iter().map(|target| (target.address, target.weight)).collect();
    let expected = [(address("10.0.0.5:8080"), 1), (address("10.0.0.6:8080"), 20)];
    assert_eq!(bound, expected, "what the file lists itself is as it says");
    says(
        &format!("{BALANCER}{targets}{machines}{}", scaling.replace("\"app\"", "\"ap\"")),
        &["lb.toml:19: scaling group \"asg\": target_groups: there is no target group \"ap\"; did you mean \"app\"?"],
    );
    good("[[scaling_group]]\nname = \"asg\"\ninstances = []\n");
}

#[test]
fn r_g9_a_scaling_group_may_be_reported_to_a_webhook_whose_reports_are_signed() {
    let scaling = |keys: &str| format!("[[scaling_group]]\nname = \"asg\"\n{keys}\n");
    let reported = |keys: &str| {
        let snapshot = good(&format!("[balancer]\nwebhook_key_file = \"webhook.key\"\n{}", scaling(keys)));
        assert!(snapshot.webhook_keys.is_some());
        let group = snapshot.inventory.scaling_group("asg").expect("it is there").clone();
        assert_eq!(snapshot.check_webhook(&group), Ok(()));
        group.reported_to().map(ToString::to_string)
    };
    let elb = "health_type = \"elb\"\nwebhook = \"https://autoscaler.internal/weir\"";
    assert_eq!(reported(elb).as_deref(), Some("https://autoscaler.internal"));
    assert_eq!(reported(""), None);
    assert_eq!(reported("health_type = \"instance\""), None);
    for (keys, says) in [
        (
            "health_type = \"elb\"",
            "1: scaling group \"asg\": health_type \"elb\" has no webhook to report to; add webhook = \
                                   \"https://autoscaler.internal/weir\", or set health_type = \"instance\"",
        ),
        (
            "webhook = \"http://a\"",
            "1: scaling group \"asg\": nothing is reported to webhook with health_type \"instance\"; set \
                                   health_type = \"elb\", or remove webhook",
        ),
        (
            "health_type = \"ec2\"",
            "3: scaling group \"asg\": health_type: that is \"instance\" here; write health_type = \"instance\"",
        ),
        (
            "health_type = \"ELB\"",
            "3: scaling group \"asg\": health_type: \"ELB\" is not known; choose \"instance\" or \"elb\"",
        ),
        (
            "health_type = true",
            "3: scaling group \"asg\": health_type: expected a string, found true; put it in quotes",
        ),
        (
            "health_type = \"elb\"\nwebhook = \"a\"",
            "4: scaling group \"asg\": webhook: \"a\" is not a URL; write one such as \
                                   \"https://autoscaler.internal/weir\"",
        ),
        (
            elb,
            "1: scaling group \"asg\": webhook: there is no webhook_key_file in [balancer], and reports to a webhook are \
               signed; add webhook_key_file = \"webhook.key\" to [balancer]",
        ),
    ] {
        says_of(&scaling(keys), says);
    }
}

#[test]
fn r_g9_a_webhook_key_is_read_from_a_file_that_others_cannot_read() {
    for (file, says) in [
        ("missing", "missing cannot be read: No such file or directory (os error 2); check the path"),
        (
            "secret",
            "secret: line 1: a key is whsec_ and the base64 of 24 to 64 random bytes; make one: echo \"whsec_$(openssl rand -base64 \
             32)\"",
        ),
        ("large", "large is larger than 16 KiB; shorten it, or name another file"),
        (
            "open-webhook",
            "open-webhook is open to every account of this machine (mode 0644); make a new one, and keep others out: chmod 640 \
             open-webhook",
        ),
    ] {
        let text = format!("[balancer]\nwebhook_key_file = \"{file}\"\n");
        says_of(&text, &format!("2: [balancer]: webhook_key_file: {says}"));
    }
}

#[test]
fn r_g9_a_scaling_group_from_beside_the_file_has_its_webhook_checked_against_the_files_key() {
    let elb = "{\"name\":\"asg\",\"health_type\":\"elb\",\"webhook\":\"http://a/\"}";
    let group: ScalingGroup = serde_json::from_str(elb).expect("a scaling group");
    let refusal = good("").check_webhook(&group).expect_err("nothing to sign with");
    assert_eq!((refusal.why.as_str(), refusal.field.as_str()), ("no_webhook_key", "webhook"));
    let of_instances = ScalingGroup { health_type: HealthType::Instance, webhook: None, ..group };
    assert_eq!(good("").check_webhook(&of_instances), Ok(()));
}

fn says_of(text: &str, line: &str) {
    says(text, &[&format!("lb.toml:{line}")]);
}

#[test]
fn a_group_that_the_api_manages_lists_no_targets() {
    let managed =
        |targets: &str| format!("[[target_group]]\nname = \"app\"\nprotocol = \"tcp\"\nmanaged = \"api\"\n{targets}");
    assert_eq!(good(&managed("")).groups[0].managed, Managed::Api);
    assert_eq!(good(GOOD).groups[0].managed, Managed::File);
    says(
        &managed("target = [{ address = \"10.0.0.5\", port = 80 }]"),
        &[
            "lb.toml:5: target group \"app\": target #1: the targets of this group are bound by the API (managed = \"api\"); \
           remove those of the file, or remove managed",
        ],
    );
}

/// What the API knows of `ins-1` and `ins-2`, in these states.
fn beside(states: [InstanceState; 2]) -> Known {
    let mut records = Records::default();
    for (number, state) in (1..).zip(states) {
        let record =
            serde_json::json!({ "id": format!("ins-{number}"), "address": format!("10.0.0.{number}"), "state": state });
        records.put(Record::Instance(serde_json::from_value(record).expect("a record")));
    }
    Known { records, ..Known::default() }
}

#[test]
fn r_g7_what_becomes_of_an_instance_beside_the_file_makes_no_good_file_bad() {
    let targets = group(&["instance_id = \"ins-1\", port = 80", "instance_id = \"ins-2\", port = 80"]);
    let bound = |known: &Known, text: &str| {
        let snapshot = parse_beside(known, text, Mode::Run)?;
        Ok::<_, Errors>(snapshot.groups[0].targets.iter().map(|target| target.address).collect::<Vec<_>>())
    };
    let both = ["10.0.0.1:80", "10.0.0.2:80"].map(address).to_vec();
    let text = format!("{BALANCER}{targets}");
    assert_eq!(bound(&beside([InstanceState::Running, InstanceState::Running]), &text), Ok(both.clone()));
    assert_eq!(bound(&beside([InstanceState::Running, InstanceState::Isolated]), &text), Ok(both));
    let released = beside([InstanceState::Released, InstanceState::Running]);
    assert_eq!(bound(&released, &text), Ok(vec![address("10.0.0.2:80")]));
    // What the file says of it counts.
    let own = format!("{text}{}", instance("ins-1", "10.0.0.9", ""));
    assert_eq!(bound(&released, &own), Ok(["10.0.0.9:80", "10.0.0.2:80"].map(address).to_vec()));
    let in_the_way = format!("{text}{}", instance("ins-9", "10.0.0.2", ""));
    let known = beside([InstanceState::Running, InstanceState::Running]);
    let errors = bound(&known, &in_the_way).expect_err("ins-2 is left out, so nobody knows it").to_string();
    assert!(errors.contains("the inventory has no instance \"ins-2\""), "{errors}");
}

#[test]
fn r_g6_under_single_a_balancer_that_has_left_its_region_does_not_come_back() {
    let text = |mode: &str, region: &str| {
        let balancer = BALANCER.replace("\n\n", &format!("\ncross_region = \"{mode}\"\n"));
        let machine = instance("ins-1", "10.0.0.5", &format!("region = \"{region}\""));
        format!("{balancer}{}{machine}", group(&["instance_id = \"ins-1\", port = 80"]))
    };
    let after = |door, mode, region| {
        let known = Known { door, ..Known::default() };
        parse_beside(&known, &text(mode, region), Mode::Run)
            .map(|snapshot| snapshot.door)
            .map_err(|errors| errors.to_string())
    };
    assert_eq!(after(Door::Home, "single", "north"), Ok(Door::Home));
    assert_eq!(after(Door::Home, "single", "south"), Ok(Door::Away));
    let mend = "set cross_region = \"multi\" in [balancer]: from there targets may come back";
    let back = format!(
        "lb.toml:9: target group \"app\": target #1: the targets have left region \"north\" for good under \
         cross_region = \"single\"; {mend}"
    );
    assert_eq!(after(Door::Away, "single", "north"), Err(back));
    let off = format!(
        "lb.toml:4: [balancer]: cross_region: under cross_region = \"single\" the targets have left the balancer's own \
         region for good; {mend}"
    );
    assert_eq!(after(Door::Away, "off", "north"), Err(off));
    assert_eq!(after(Door::Away, "multi", "north"), Ok(Door::Home));
}

#[test]
fn r_g3_a_target_is_left_out_while_its_interface_is_said_beside_the_file_to_be_detached() {
    let targets = group(&["type = \"eni\", eni_id = \"eni-1\", port = 80", "address = \"10.0.0.7\", port = 80"]);
    let mut records = Records::default();
    let eni = serde_json::json!({ "id": "eni-1", "addresses": ["10.0.0.6"] });
    records.put(Record::Eni(serde_json::from_value(eni).expect("a record")));
    let known = Known { records, ..Known::default() };
    let text = format!("{BALANCER}{targets}");
    let snapshot = parse_beside(&known, &text, Mode::Run).expect("good");
    assert_eq!(
        snapshot.groups[0].targets.iter().map(|target| target.address).collect::<Vec<_>>(),
        [address("10.0.0.7:80")]
    );
    let detached = "ENI \"eni-1\" is attached to no instance; attach it first";
    assert_eq!(snapshot.left_out, [format!("lb.toml:9: target group \"app\": target #1: {detached}")]);
    let own = "[[eni]]\nid = \"eni-1\"\naddresses = [\"10.0.0.6\"]\n";
    says(&format!("{text}{own}"), &[&format!("lb.toml:9: target group \"app\": target #1: eni_id: {detached}")]);
}
