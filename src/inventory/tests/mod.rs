//! The inventory by example: what each name stands for, and every reason for which one is not bound.

mod changes;
mod generated;
mod records;

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::*;
use crate::config::TargetKind;

/// The balancer's own network has `ins-1` with a second address on its primary interface and two on another; `vpc-2` in the
/// same region has `ins-2` at the address of `ins-1`, and another region has `ins-far`.
fn inventory() -> Inventory {
    from_json(json!({
        "instances": [
            { "id": "ins-1", "zone": "z-1", "address": "10.0.0.5" },
            { "id": "ins-2", "network": "vpc-2", "address": "10.0.0.5" },
            { "id": "ins-3", "region": "north", "network": "vpc-1", "address": "10.0.0.7", "zone": "z-2" },
            { "id": "ins-far", "region": "south", "network": "vpc-9", "address": "10.9.0.5" },
        ],
        "enis": [
            { "id": "eni-1", "instance_id": "ins-1", "addresses": ["10.0.0.5", "10.0.0.50"] },
            { "id": "eni-2", "instance_id": "ins-1", "addresses": ["10.0.0.51", "10.0.0.52"] },
            { "id": "eni-2b", "instance_id": "ins-2", "addresses": ["10.0.0.61"] },
            { "id": "eni-loose", "addresses": ["10.0.0.99"] },
            { "id": "eni-only", "instance_id": "ins-3", "addresses": ["10.0.0.7"] },
        ],
    }))
}

fn from_json(value: serde_json::Value) -> Inventory {
    let records: Records = serde_json::from_value(value).expect("good records");
    let mut inventory = Inventory::default();
    assert_eq!(inventory.merge(&records), []);
    inventory
}

fn place() -> Place {
    Place { region: Some(id("north")), network: Some(id("vpc-1")), ..Place::default() }
}

fn id(text: &str) -> Id {
    Id::new(text).expect("an id")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn name(value: serde_json::Value) -> TargetName {
    serde_json::from_value(value).expect("a name")
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn bound(place: &Place, value: serde_json::Value) -> Bound {
    let name = name(value);
    bind(&inventory(), place, &name, at(0)).unwrap_or_else(|refusal| panic!("{name:?}: {refusal}"))
}

/// Why a name is not bound, and what is printed.
fn refused(place: &Place, value: serde_json::Value) -> (Why, Field, String) {
    refused_by(&inventory(), place, value)
}

fn refused_by(inventory: &Inventory, place: &Place, value: serde_json::Value) -> (Why, Field, String) {
    let name = name(value);
    match bind(inventory, place, &name, at(1000)) {
        Ok(bound) => panic!("{name:?} is bound to {bound:?}"),
        Err(refusal) => (refusal.why, refusal.field, refusal.to_string()),
    }
}

fn expect(refused: (Why, Field, String), why: Why, field: Field, says: &str) {
    let (actual_why, actual_field, actual) = refused;
    assert_eq!((actual_why, actual_field, &*actual), (why, field, says));
}

#[test]
fn r_g3_a_cvm_target_is_named_by_id_address_or_both() {
    for value in [
        json!({ "instance_id": "ins-1" }),
        json!({ "address": "10.0.0.5" }),
        json!({ "type": "cvm", "instance_id": "ins-1", "address": "10.0.0.5" }),
    ] {
        let expected = Bound {
            address: ip("10.0.0.5"),
            region: Some(id("north")),
            network: Some(id("vpc-1")),
            zone: Some(id("z-1")),
            instance: Some(id("ins-1")),
            eni: None,
        };
        assert_eq!(bound(&place(), value), expected);
    }
}

#[test]
fn r_g3_id_and_address_must_agree() {
    let mend = "remove one of the two, or correct it";
    expect(
        refused(&place(), json!({ "instance_id": "ins-1", "address": "10.0.0.7" })),
        Why::Disagreement,
        Field::Address,
        &format!("the primary address of instance \"ins-1\" is 10.0.0.5, not 10.0.0.7; {mend}"),
    );
    expect(
        refused(&place(), json!({ "instance_id": "ins-l", "address": "10.0.0.5" })),
        Why::Disagreement,
        Field::InstanceId,
        &format!("10.0.0.5 is an address of instance \"ins-1\", not of \"ins-l\"; {mend}"),
    );
    expect(
        refused(&place(), json!({ "type": "eni", "eni_id": "eni-2", "address": "10.0.0.50" })),
        Why::Disagreement,
        Field::Address,
        &format!("10.0.0.50 is not an address of ENI \"eni-2\", which has 10.0.0.51, 10.0.0.52; {mend}"),
    );
    expect(
        refused(&place(), json!({ "type": "eni", "eni_id": "eni-9", "address": "10.0.0.50" })),
        Why::Disagreement,
        Field::EniId,
        &format!("10.0.0.50 is an address of ENI \"eni-1\", not of \"eni-9\"; {mend}"),
    );
}

#[test]
fn r_g3_an_eni_target_is_any_other_address_of_an_attached_interface() {
    for (value, address, eni) in [
        (json!({ "type": "eni", "eni_id": "eni-1" }), "10.0.0.50", "eni-1"),
        (json!({ "type": "eni", "address": "10.0.0.51" }), "10.0.0.51", "eni-2"),
        (json!({ "type": "eni", "eni_id": "eni-2", "address": "10.0.0.52" }), "10.0.0.52", "eni-2"),
    ] {
        let bound = bound(&place(), value);
        assert_eq!((bound.address, bound.eni, bound.instance), (ip(address), Some(id(eni)), Some(id("ins-1"))));
        assert_eq!(bound.zone, Some(id("z-1")), "it is where its instance is");
    }
}

#[test]
fn r_g3_the_primary_address_is_a_cvms_and_the_others_are_not() {
    let mend = "set type = \"cvm\" and instance_id = \"ins-1\"";
    for value in [
        json!({ "type": "eni", "address": "10.0.0.5" }),
        json!({ "type": "eni", "eni_id": "eni-1", "address": "10.0.0.5" }),
    ] {
        let says = format!("10.0.0.5 is the primary address of instance \"ins-1\"; {mend}");
        expect(refused(&place(), value), Why::WrongType, Field::Address, &says);
    }
    expect(
        refused(&place(), json!({ "type": "eni", "eni_id": "eni-only" })),
        Why::WrongType,
        Field::EniId,
        "10.0.0.7 is the primary address of instance \"ins-3\"; set type = \"cvm\" and instance_id = \"ins-3\"",
    );
    expect(
        refused(&place(), json!({ "address": "10.0.0.51" })),
        Why::WrongType,
        Field::Address,
        "10.0.0.51 is an address of ENI \"eni-2\", not a machine's primary one; set type = \"eni\"",
    );
    expect(
        refused(&place(), json!({ "instance_id": "ins-1", "address": "10.0.0.51" })),
        Why::WrongType,
        Field::Address,
        "the primary address of instance \"ins-1\" is 10.0.0.5, not 10.0.0.51; \
         bind 10.0.0.51 as type = \"eni\", eni_id = \"eni-2\"",
    );
}

#[test]
fn r_g3_an_eni_must_be_attached_and_its_address_clear() {
    for value in [json!({ "type": "eni", "eni_id": "eni-loose" }), json!({ "type": "eni", "address": "10.0.0.99" })] {
        let (why, _, says) = refused(&place(), value);
        assert_eq!(why, Why::Detached);
        assert_eq!(says, "ENI \"eni-loose\" is attached to no instance; attach it first");
    }
    expect(
        refused(&place(), json!({ "type": "eni", "eni_id": "eni-2" })),
        Why::Ambiguous,
        Field::EniId,
        "ENI \"eni-2\" has several addresses: 10.0.0.51, 10.0.0.52; add address = the one that is meant",
    );
}

#[test]
fn what_the_inventory_does_not_know_is_taken_at_its_word() {
    let cvm = bound(&place(), json!({ "instance_id": "ins-new", "address": "10.0.0.200" }));
    assert_eq!((cvm.address, cvm.instance), (ip("10.0.0.200"), Some(id("ins-new"))));
    assert_eq!((cvm.region, cvm.network, cvm.zone), (Some(id("north")), Some(id("vpc-1")), None));
    let eni = bound(&place(), json!({ "type": "eni", "eni_id": "eni-new", "address": "10.0.0.201" }));
    assert_eq!((eni.eni, eni.instance), (Some(id("eni-new")), None));
    let mend = "add it to the inventory, or give the target's address too";
    expect(
        refused(&place(), json!({ "instance_id": "ins-new" })),
        Why::UnknownInstance,
        Field::InstanceId,
        &format!("the inventory has no instance \"ins-new\" to look its address up; {mend}"),
    );
    expect(
        refused(&place(), json!({ "type": "eni", "eni_id": "eni-new" })),
        Why::UnknownEni,
        Field::EniId,
        &format!("the inventory has no ENI \"eni-new\" to look its address up; {mend}"),
    );
}

#[test]
fn a_name_has_the_ids_of_its_type() {
    for (value, field, owner) in [
        (json!({ "eni_id": "eni-2", "address": "10.0.0.51" }), Field::EniId, "eni"),
        (json!({ "type": "eni", "instance_id": "ins-1" }), Field::InstanceId, "cvm"),
        (json!({ "type": "idc", "instance_id": "ins-1", "address": "10.0.0.51" }), Field::InstanceId, "cvm"),
        (json!({ "type": "idc", "eni_id": "eni-1", "address": "10.0.0.51" }), Field::EniId, "eni"),
    ] {
        let says = format!("only targets of type \"{owner}\" have it; remove it, or set type = \"{owner}\"");
        expect(refused(&place(), value), Why::StrayId, field, &says);
    }
    for kind in ["cvm", "eni", "idc"] {
        let says = "missing; add address = \"10.0.0.5\"";
        expect(refused(&place(), json!({ "type": kind })), Why::NothingNamed, Field::Address, says);
    }
}

#[test]
fn r_g4_addresses_are_private_unless_leave_is_given() {
    let mend = "give the private address, or set allow_public_targets = true in [balancer] (it allows loopback too)";
    for kind in ["cvm", "eni"] {
        expect(
            refused(&place(), json!({ "type": kind, "address": "203.0.113.7" })),
            Why::NotPrivate,
            Field::Address,
            &format!("203.0.113.7 is not a private address; {mend}"),
        );
    }
    let says = format!("127.0.0.1 is this machine itself; {mend}");
    expect(refused(&place(), json!({ "address": "127.0.0.1" })), Why::NotPrivate, Field::Address, &says);
    let demo = Place { addresses: Addresses::PrivateOrLoopback, ..place() };
    assert_eq!(bound(&demo, json!({ "address": "127.0.0.1" })).address, ip("127.0.0.1"));
    assert_eq!(refused(&demo, json!({ "address": "203.0.113.7" })).0, Why::NotPrivate);
    let any = Place { addresses: Addresses::Any, ..place() };
    assert_eq!(bound(&any, json!({ "address": "203.0.113.7" })).address, ip("203.0.113.7"));
    for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "::ffff:10.0.0.5"] {
        assert_eq!(refused(&any, json!({ "address": address })).0, Why::NotAMachine, "{address} is never good");
    }
}

#[test]
fn r_g4_the_address_of_an_instance_is_no_more_public_than_one_that_is_named() {
    let inventory = from_json(json!({ "instances": [{ "id": "ins-p", "address": "203.0.113.7" }] }));
    let (why, field, _) = refused_by(&inventory, &place(), json!({ "instance_id": "ins-p" }));
    assert_eq!((why, field), (Why::NotPrivate, Field::InstanceId));
}

#[test]
fn r_g5_idc_targets_need_crossing_and_an_address_to_leave_from() {
    let idc = json!({ "type": "idc", "address": "192.168.7.7" });
    let says = "\"idc\" targets are outside the balancer's network; set cross_network = true in [balancer]";
    expect(refused(&place(), idc.clone()), Why::NoCrossNetwork, Field::Type, says);
    let mut crossing = Place { cross_network: true, ..place() };
    let says = "there is no IPv4 address that connections to \"idc\" targets can leave from; \
                add one of this machine's to snat_addresses in [balancer], such as \"10.0.0.9\"";
    expect(refused(&crossing, idc.clone()), Why::NoSnatAddress, Field::Type, says);
    crossing.snat_addresses = vec![ip("fd00::9")];
    assert_eq!(refused(&crossing, idc.clone()).0, Why::NoSnatAddress, "of the target's family");
    crossing.snat_addresses.push(ip("10.0.0.9"));
    let bound = bound(&crossing, idc);
    assert_eq!((bound.address, bound.region, bound.network), (ip("192.168.7.7"), None, None));
    expect(
        refused(&crossing, json!({ "type": "idc", "address": "10.0.0.51" })),
        Why::WrongType,
        Field::Type,
        "10.0.0.51 is an address of ENI \"eni-2\" in the balancer's own network; set type = \"eni\"",
    );
}

#[test]
fn r_g5_a_data_centre_may_use_the_addresses_of_another_network() {
    let crossing = Place { cross_network: true, snat_addresses: vec![ip("10.0.0.9")], ..place() };
    let bound = bound(&crossing, json!({ "type": "idc", "address": "10.9.0.5" }));
    assert_eq!(bound.instance, None, "it is not ins-far");
}

#[test]
fn r_g6_targets_of_another_region_need_cross_region() {
    let far = json!({ "instance_id": "ins-far" });
    let says = "instance \"ins-far\" is in region \"south\", and the balancer in region \"north\"; \
                bind one of the balancer's own region, or set cross_region = \"single\" or \"multi\" in [balancer]";
    expect(refused(&place(), far.clone()), Why::OtherRegion, Field::InstanceId, says);
    let crossing_networks = Place { cross_network: true, ..place() };
    assert_eq!(refused(&crossing_networks, far.clone()).0, Why::OtherRegion);
    for cross_region in [CrossRegion::Single, CrossRegion::Multi] {
        let bound = bound(&Place { cross_region, ..place() }, far.clone());
        assert_eq!((bound.region, bound.network), (Some(id("south")), Some(id("vpc-9"))));
    }
}

#[test]
fn r_g6_a_balancer_that_does_not_say_where_it_is_hears_what_to_say() {
    let nowhere = Place::default();
    let (why, _, says) = refused(&nowhere, json!({ "instance_id": "ins-far" }));
    assert_eq!(why, Why::OtherRegion);
    let mend = "say where the balancer is: region = \"south\" in [balancer]";
    assert!(says.contains("and the balancer in no region") && says.contains(mend), "{says}");
    assert_eq!(bound(&nowhere, json!({ "instance_id": "ins-1" })).region, None);
}

#[test]
fn r_g7_targets_of_another_network_need_crossing() {
    let other = json!({ "instance_id": "ins-2" });
    let says = "instance \"ins-2\" is in network \"vpc-2\", and the balancer in network \"vpc-1\"; \
                bind one of the balancer's own network, or set cross_network = true in [balancer]";
    expect(refused(&place(), other.clone()), Why::OtherNetwork, Field::InstanceId, says);
    let (why, field, _) = refused(&place(), json!({ "type": "eni", "address": "10.0.0.61" }));
    assert_eq!((why, field), (Why::OtherNetwork, Field::Address));
    for crossing in [
        Place { cross_network: true, ..place() },
        Place { cross_region: CrossRegion::Single, ..place() },
        Place { cross_region: CrossRegion::Multi, ..place() },
    ] {
        assert_eq!(bound(&crossing, other.clone()).network, Some(id("vpc-2")));
    }
}

#[test]
fn r_g7_an_address_that_two_networks_use_is_the_near_one() {
    let crossing = Place { cross_network: true, ..place() };
    assert_eq!(bound(&crossing, json!({ "address": "10.0.0.5" })).instance, Some(id("ins-1")));
    let elsewhere = Place { network: Some(id("vpc-3")), ..crossing };
    let inventory = from_json(json!({
        "instances": [
            { "id": "ins-1", "network": "vpc-1", "address": "10.0.0.5" },
            { "id": "ins-2", "network": "vpc-2", "address": "10.0.0.5" },
        ],
    }));
    expect(
        refused_by(&inventory, &elsewhere, json!({ "address": "10.0.0.5" })),
        Why::Ambiguous,
        Field::Address,
        "10.0.0.5 is an address of instance \"ins-1\" and of instance \"ins-2\"; name the instance or the ENI by its id",
    );
}

#[test]
fn r_g7_an_instance_that_is_isolated_expired_or_without_bandwidth_is_not_bound() {
    let instance = |keys: serde_json::Value| {
        let mut record = json!({ "id": "ins-1", "address": "10.0.0.5" });
        record.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        from_json(json!({
            "instances": [record],
            "enis": if keys["state"] == "released" { json!([]) } else {
                json!([{ "id": "eni-1", "instance_id": "ins-1", "addresses": ["10.0.0.50"] }])
            },
        }))
    };
    for (keys, why, says) in [
        (json!({ "state": "isolated" }), Why::Isolated, "is isolated; take it out of isolation, or bind another one"),
        (json!({ "state": "released" }), Why::Released, "is released; bind another one"),
        (
            json!({ "expires": "1970-01-01T00:16:40Z" }),
            Why::Expired,
            "expired at 1970-01-01T00:16:40Z; renew it, or bind another one",
        ),
        (json!({ "bandwidth": 0 }), Why::NoBandwidth, "has a bandwidth of 0; give it some, or bind another one"),
    ] {
        let inventory = instance(keys);
        let says = format!("instance \"ins-1\" {says}");
        expect(refused_by(&inventory, &place(), json!({ "instance_id": "ins-1" })), why, Field::InstanceId, &says);
        if why != Why::Released {
            let eni = json!({ "type": "eni", "eni_id": "eni-1" });
            expect(refused_by(&inventory, &place(), eni.clone()), why, Field::EniId, &says);
            assert!(rebind(&inventory, &place(), &name(eni)).is_ok(), "what is bound already stays");
        }
    }
    for keys in [
        json!({ "state": "stopped" }),
        json!({ "state": "running", "bandwidth": 1 }),
        json!({ "expires": "1970-01-01T00:16:41Z" }),
    ] {
        let bound = bind(&instance(keys.clone()), &place(), &name(json!({ "instance_id": "ins-1" })), at(1000));
        assert!(bound.is_ok(), "{keys}");
    }
}

#[test]
fn r_g6_under_single_targets_that_have_left_do_not_come_back() {
    let single = Place { cross_region: CrossRegion::Single, ..place() };
    let pass = |place: &Place, before, regions: &[&str]| {
        pass(place, before, regions.iter().map(|region| Some(*region))).map_err(|(index, refusal)| (index, refusal.why))
    };
    assert_eq!(pass(&single, Door::Home, &[]), Ok(Door::Home));
    assert_eq!(pass(&single, Door::Home, &["north", "north"]), Ok(Door::Home));
    assert_eq!(pass(&single, Door::Home, &["south", "south"]), Ok(Door::Away));
    assert_eq!(pass(&single, Door::Home, &["south", "south", "north"]), Err((Some(2), Why::SeveralRegions)));
    assert_eq!(pass(&single, Door::Away, &[]), Ok(Door::Away), "it stays open while there is no target");
    assert_eq!(pass(&single, Door::Away, &["east"]), Ok(Door::Away));
    assert_eq!(pass(&single, Door::Away, &["north"]), Err((Some(0), Why::OneWay)));
    assert_eq!(pass(&place(), Door::Away, &[]), Err((None, Why::OneWay)), "off is home");
    let multi = Place { cross_region: CrossRegion::Multi, ..place() };
    assert_eq!(pass(&multi, Door::Away, &["north", "south"]), Ok(Door::Home), "multi may come back");
    assert_eq!(pass(&place(), Door::Home, &["north"]), Ok(Door::Home));
}
