//! Release, machines and interfaces that move, scaling groups.

use super::*;

fn fate_of(inventory: &Inventory, place: &Place, held: &Bound, kind: TargetKind) -> Fate {
    let Bound { address, region, network, instance, eni, .. } = held;
    let held = Held {
        kind,
        address: *address,
        instance: instance.as_ref(),
        eni: eni.as_ref(),
        by_id: true,
        region: region.as_ref(),
        network: network.as_ref(),
    };
    fate(inventory, place, &held)
}

fn released(inventory: &Inventory, instance: &str) -> Inventory {
    let mut inventory = inventory.clone();
    let record = inventory.instance(instance).expect("it is there").clone();
    inventory.put_instance(Instance { state: InstanceState::Released, ..record }).expect("released");
    inventory
}

#[test]
fn r_g8_release_unbinds_an_instance_and_under_multi_only_a_near_one() {
    let inventory = inventory();
    let cvm = |place: &Place, instance: &str| bound(place, json!({ "instance_id": instance }));
    for cross_region in [CrossRegion::Off, CrossRegion::Single, CrossRegion::Multi] {
        let place = Place { cross_region, ..place() };
        let near = cvm(&place, "ins-1");
        let fate = |after: &Inventory, held| fate_of(after, &place, held, TargetKind::Cvm);
        assert_eq!(fate(&released(&inventory, "ins-1"), &near), Fate::Released, "{cross_region:?}");
        assert_eq!(fate(&released(&inventory, "ins-3"), &near), Fate::Bound(near.clone()), "another one's release");
        let eni = bound(&place, json!({ "type": "eni", "eni_id": "eni-2", "address": "10.0.0.51" }));
        assert_eq!(
            fate_of(&released(&inventory, "ins-1"), &place, &eni, TargetKind::Eni),
            Fate::Released,
            "its interfaces go with it"
        );
        if cross_region != CrossRegion::Off {
            let far = cvm(&place, "ins-far");
            let expected = if cross_region == CrossRegion::Multi { Fate::AsItWas } else { Fate::Released };
            assert_eq!(fate(&released(&inventory, "ins-far"), &far), expected, "{cross_region:?}");
        }
    }
}

#[test]
fn an_instance_that_is_forgotten_keeps_its_targets() {
    let mut after = inventory();
    let held = |instance: &str| bound(&place(), json!({ "instance_id": instance }));
    let (one, three) = (held("ins-1"), held("ins-3"));
    after.remove_instance("ins-1").expect("it was there");
    after.remove_instance("ins-3").expect("it was there");
    let fate = |after: &Inventory, held| fate_of(after, &place(), held, TargetKind::Cvm);
    assert_eq!(fate(&after, &three), Fate::AsItWas, "an interface has its address still");
    after.remove_eni("eni-1").expect("it was there");
    assert_eq!(fate(&after, &one), Fate::AsItWas, "in another network ins-2 has its address");
    after.remove_eni("eni-only").expect("it was there");
    let Fate::Bound(now) = fate(&after, &three) else { panic!("it stays") };
    assert_eq!((now.address, now.instance), (three.address, three.instance));
}

#[test]
fn an_instance_with_another_address_takes_its_target_along() {
    let mut after = inventory();
    let held = bound(&place(), json!({ "instance_id": "ins-1" }));
    let record = after.instance("ins-1").expect("it is there").clone();
    after.put_instance(Instance { address: ip("10.0.0.99"), ..record }).expect("it fits");
    let Fate::Bound(now) = fate_of(&after, &place(), &held, TargetKind::Cvm) else { panic!("it stays") };
    assert_eq!(now.address, ip("10.0.0.99"));
}

#[test]
fn an_eni_that_moves_keeps_its_target_and_one_that_left_the_balancers_reach_is_barred() {
    let held = bound(&place(), json!({ "type": "eni", "eni_id": "eni-2", "address": "10.0.0.51" }));
    let after = |instance: Option<&str>, addresses: &[&str]| {
        let mut inventory = inventory();
        let addresses = addresses.iter().map(|address| ip(address)).collect();
        inventory.put_eni(Eni { id: id("eni-2"), instance_id: instance.map(id), addresses }).expect("it moves");
        fate_of(&inventory, &place(), &held, TargetKind::Eni)
    };
    let both: &[&str] = &["10.0.0.51", "10.0.0.52"];
    let Fate::Bound(at_ins_3) = after(Some("ins-3"), both) else { panic!("it stays") };
    assert_eq!((at_ins_3.address, at_ins_3.instance.as_deref()), (held.address, Some("ins-3")));
    assert_eq!(at_ins_3.zone.as_deref(), Some("z-2"), "it is where its instance is");
    assert_eq!(after(Some("ins-1"), both), Fate::Bound(held.clone()), "it has not moved");
    assert_eq!(after(None, both), Fate::AsItWas, "on its way it keeps its target");
    for (instance, addresses, why) in [
        ("ins-3", &["10.0.0.52"][..], Why::Disagreement),
        ("ins-2", both, Why::OtherNetwork),
        ("ins-far", both, Why::OtherRegion),
    ] {
        let Fate::Barred(refusal) = after(Some(instance), addresses) else { panic!("{instance}: it is barred") };
        assert_eq!(refusal.why, why);
    }
    let mut moved_on = inventory();
    let addresses = both.iter().map(|address| ip(address)).collect();
    moved_on.put_eni(Eni { id: id("eni-2"), instance_id: Some(id("ins-3")), addresses }).expect("it moves");
    let fate = fate_of(&released(&moved_on, "ins-1"), &place(), &held, TargetKind::Eni);
    assert!(matches!(fate, Fate::Bound(_)), "it was gone before its old instance: {fate:?}");
}

fn scaling(name: &str, instances: &[&str], groups: &[(&str, u16, u8)]) -> ScalingGroup {
    let association =
        |(group, port, weight): &(&str, u16, u8)| Association { group: id(group), port: *port, weight: *weight };
    ScalingGroup {
        name: id(name),
        instances: instances.iter().map(|instance| id(instance)).collect(),
        target_groups: groups.iter().map(association).collect(),
        health_type: HealthType::default(),
        webhook: None,
    }
}

#[test]
fn r_g9_members_are_bound_with_the_scaling_groups_port_and_weight_the_first_by_name_deciding() {
    let mut inventory = inventory();
    let members = |inventory: &Inventory| {
        let members = inventory.members();
        let shown = members.iter().map(|((group, instance), member)| {
            let Association { port, weight, .. } = member.association;
            format!("{group} {instance} {port} {weight}")
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(members(&inventory), [""; 0]);
    inventory
        .put_scaling_group(scaling("b", &["ins-1", "ins-3"], &[("app", 80, 20), ("api", 90, 5)]))
        .expect("it fits");
    inventory.put_scaling_group(scaling("a", &["ins-1"], &[("app", 81, 30)])).expect("it fits");
    assert_eq!(members(&inventory), ["api ins-1 90 5", "api ins-3 90 5", "app ins-1 81 30", "app ins-3 80 20"]);
    inventory.remove_scaling_group("a").expect("it was there");
    assert_eq!(members(&inventory), ["api ins-1 90 5", "api ins-3 90 5", "app ins-1 80 20", "app ins-3 80 20"]);
    let after = released(&inventory, "ins-1");
    assert_eq!(members(&after), ["api ins-3 90 5", "app ins-3 80 20"], "a released instance is nobody's member");
}
