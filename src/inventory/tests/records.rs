//! What is taken into the inventory, and what is not.

use super::*;

fn wrong(value: serde_json::Value) -> String {
    match serde_json::from_value::<Records>(value) {
        Ok(records) => {
            let refused = Inventory::default().merge(&records);
            refused.first().unwrap_or_else(|| panic!("taken: {records:?}")).1.to_string()
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_written_is_read_again() {
    let records: Records = serde_json::from_value(json!({
        "instances": [{
            "id": "ins-1", "region": "north", "network": "vpc-1", "zone": "z-1", "address": "fd00::5", "state": "stopped",
            "expires": "2027-01-31T00:00:00Z", "bandwidth": 100,
        }],
        "enis": [{ "id": "eni-1", "instance_id": "ins-1", "addresses": ["fd00::6"] }],
        "scaling_groups": [
            { "name": "asg-1", "instances": ["ins-1"], "target_groups": [{ "group": "app", "port": 80 }] },
        ],
    }))
    .expect("good records");
    let written = serde_json::to_value(&records).expect("JSON");
    assert_eq!(written["instances"][0]["expires"], "2027-01-31T00:00:00Z");
    assert_eq!(written["scaling_groups"][0]["target_groups"][0]["weight"], 10, "the default");
    assert_eq!(serde_json::from_value::<Records>(written).expect("what was written"), records);
    assert_eq!(from_json(json!({})), Inventory::default());
}

#[test]
fn unknown_fields_and_bad_values_are_refused() {
    let instance = |key: &str, value: serde_json::Value| {
        let mut record = json!({ "id": "ins-1", "address": "10.0.0.5" });
        record[key] = value;
        wrong(json!({ "instances": [record] }))
    };
    for (key, value, says) in [
        ("adress", json!("10.0.0.5"), "unknown field `adress`"),
        ("id", json!(""), "\"\" is not a name; use 1 to 80 letters, digits, dots, underscores or hyphens"),
        ("zone", json!("a b"), "\"a b\" is not a name"),
        ("state", json!("gone"), "unknown variant `gone`"),
        ("expires", json!("tomorrow"), "not a time such as \"2027-01-31T00:00:00Z\""),
        ("bandwidth", json!(-1), "integer `-1`, expected a whole number"),
        ("address", json!("app.example.com"), "invalid IP address"),
        ("address", json!("224.0.0.1"), "224.0.0.1 is a multicast address; give the address of one machine"),
    ] {
        let error = instance(key, value);
        assert!(error.contains(says), "{key}: {error}");
    }
    for (value, says) in [
        (json!({ "hosts": [] }), "unknown field `hosts`"),
        (json!({ "enis": [{ "id": "eni-1", "addresses": [] }] }), "an interface has one address at least"),
        (
            json!({ "enis": [{ "id": "eni-1", "instance_id": "ins-1", "addresses": ["10.0.0.5"] }] }),
            "there is no instance \"ins-1\"; add the instance first",
        ),
        (json!({ "scaling_groups": [{ "name": "a", "instances": ["ins-1"] }] }), "there is no instance \"ins-1\""),
        (
            json!({ "scaling_groups": [{ "name": "a", "target_groups": [{ "group": "app", "port": 0 }] }] }),
            "target group \"app\": port 0 cannot be reached by anyone; choose a port from 1 to 65535",
        ),
        (
            json!({ "scaling_groups": [{ "name": "a", "target_groups": [{ "group": "app", "port": 1, "weight": 101 }] }] }),
            "target group \"app\": weight 101 is out of range; choose 0 to 100",
        ),
        (
            json!({ "scaling_groups": [
                { "name": "a", "target_groups": [{ "group": "app", "port": 1 }, { "group": "app", "port": 2 }] },
            ] }),
            "target group \"app\" is named twice; keep one of the two",
        ),
        (json!({ "scaling_groups": [{ "name": "a", "health_type": "ELB" }] }), "unknown variant `ELB`"),
        (
            json!({ "scaling_groups": [{ "name": "a", "health_type": "elb", "webhook": "a.internal" }] }),
            "\"a.internal\" is not a URL; write one such as \"https://autoscaler.internal/weir\"",
        ),
        (
            json!({ "scaling_groups": [{ "name": "a", "health_type": "elb" }] }),
            "health_type \"elb\" has no webhook to report to; add webhook",
        ),
        (
            json!({ "scaling_groups": [{ "name": "a", "webhook": "https://a.internal/b" }] }),
            "nothing is reported to webhook with health_type \"instance\"; set health_type = \"elb\"",
        ),
    ] {
        let error = wrong(value);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn an_id_is_one_things_and_an_address_one_machines_in_its_network() {
    let instance = |id: &str, network: &str, address: &str| json!({ "id": id, "network": network, "address": address });
    let twice = wrong(json!({ "instances": [instance("a", "n", "10.0.0.1"), instance("a", "n", "10.0.0.2")] }));
    assert_eq!(twice, "instance \"a\" is there twice; give each once");
    let taken = wrong(json!({ "instances": [instance("a", "n", "10.0.0.1"), instance("b", "n", "10.0.0.1")] }));
    let mend = "give each its own, or name the network that it is in";
    assert_eq!(taken, format!("10.0.0.1 is an address of instance \"a\" already; {mend}"));
    from_json(json!({ "instances": [instance("a", "n", "10.0.0.1"), instance("b", "m", "10.0.0.1")] }));
    let two = |address: &str| {
        json!({
            "instances": [instance("a", "n", "10.0.0.1"), instance("b", "n", "10.0.0.2")],
            "enis": [{ "id": "e", "instance_id": "a", "addresses": [address] }],
        })
    };
    assert_eq!(wrong(two("10.0.0.2")), format!("10.0.0.2 is an address of instance \"b\" already; {mend}"));
    let inventory = from_json(two("10.0.0.3"));
    let eni = Eni { id: id("f"), instance_id: Some(id("b")), addresses: [ip("10.0.0.3")].into() };
    let refusal = inventory.clone().put_eni(eni).expect_err("it is the other's");
    assert_eq!(refusal.to_string(), format!("10.0.0.3 is an address of ENI \"e\" already; {mend}"));
}

#[test]
fn an_instance_that_moves_takes_its_interfaces_addresses_along() {
    let mut inventory = from_json(json!({
        "instances": [
            { "id": "a", "network": "n", "address": "10.0.0.1" },
            { "id": "b", "network": "m", "address": "10.0.0.9" },
        ],
        "enis": [{ "id": "e", "instance_id": "a", "addresses": ["10.0.0.9"] }],
    }));
    let moved = Instance { network: Some(id("m")), ..inventory.instance("a").expect("there").clone() };
    let before = inventory.clone();
    assert_eq!(inventory.put_instance(moved).expect_err("10.0.0.9 is b's there").why, Why::Taken);
    assert_eq!(inventory, before, "what is refused changes nothing");
}

#[test]
fn an_instance_that_is_gone_or_released_lets_go_of_all_it_had() {
    let all = || {
        from_json(json!({
            "instances": [{ "id": "a", "address": "10.0.0.1" }],
            "enis": [{ "id": "e", "instance_id": "a", "addresses": ["10.0.0.2"] }],
            "scaling_groups": [{ "name": "g", "instances": ["a"] }],
        }))
    };
    let (mut removed, mut released) = (all(), all());
    removed.remove_instance("a").expect("it was there");
    let instance = released.instance("a").expect("it is there").clone();
    released.put_instance(Instance { state: InstanceState::Released, ..instance.clone() }).expect("released");
    for inventory in [&removed, &released] {
        assert_eq!(inventory.eni("e").expect("it stays").instance_id, None);
        assert!(inventory.scaling_group("g").expect("it stays").instances.is_empty());
        let heir = Instance { id: id("b"), ..instance.clone() };
        assert!(inventory.clone().put_instance(heir).is_ok(), "the address is free");
    }
    assert!(removed.instance("a").is_none() && released.instance("a").is_some());
    let eni = Eni { id: id("e"), instance_id: Some(id("a")), addresses: [ip("10.0.0.2")].into() };
    assert_eq!(released.put_eni(eni).expect_err("a is released").why, Why::Released);
}

#[test]
fn merging_keeps_what_is_there_and_says_what_does_not_fit() {
    let mut file = from_json(json!({ "instances": [{ "id": "a", "address": "10.0.0.1" }] }));
    let api = serde_json::from_value(json!({
        "instances": [{ "id": "a", "address": "10.0.0.3" }, { "id": "b", "address": "10.0.0.1" }, { "id": "c", "address": "10.0.0.4" }],
        "scaling_groups": [{ "name": "g", "instances": ["c"] }],
    }))
    .expect("good records");
    let refused: Vec<_> = file.merge(&api).iter().map(|(which, refusal)| (which.to_string(), refusal.why)).collect();
    assert_eq!(refused, [("instance \"b\"".to_owned(), Why::Taken)], "b has the address of a");
    assert_eq!(file.instances().map(|instance| &*instance.id).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(file.instance("a").expect("it is there").address, ip("10.0.0.1"), "the first one stays");
    assert!(file.scaling_group("g").is_some());
}
