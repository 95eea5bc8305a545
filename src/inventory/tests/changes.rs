//! Release, interfaces that move, scaling groups.

use std::net::SocketAddr;

use super::*;

fn binding<'t>(group: &'t str, address: &str, instance: &'t str, region: &'t str) -> Binding<'t> {
    let address = SocketAddr::new(ip(address), 80);
    Binding { group, address, kind: TargetKind::Cvm, instance: Some(instance), eni: None, region: Some(region) }
}

#[test]
fn r_g8_release_unbinds_an_instance_and_under_multi_only_a_near_one() {
    let bindings = [
        binding("app", "10.0.0.5", "ins-1", "north"),
        binding("api", "10.0.0.5", "ins-1", "north"),
        binding("app", "10.0.0.50", "ins-1", "north"),
        binding("app", "10.9.0.5", "ins-far", "south"),
        binding("app", "10.0.0.7", "ins-3", "north"),
    ];
    let gone = |cross_region, instance| {
        let place = Place { cross_region, ..place() };
        released(&place, instance, bindings).len()
    };
    for cross_region in [CrossRegion::Off, CrossRegion::Single, CrossRegion::Multi] {
        assert_eq!(gone(cross_region, "ins-1"), 3, "{cross_region:?}: all of it, in every group");
        assert_eq!(gone(cross_region, "ins-9"), 0);
    }
    assert_eq!(gone(CrossRegion::Single, "ins-far"), 1);
    assert_eq!(gone(CrossRegion::Multi, "ins-far"), 0, "it stays until somebody unbinds it");
}

#[test]
fn an_eni_that_moves_keeps_its_target_which_is_rechecked() {
    let target = |address: &str| Binding {
        kind: TargetKind::Eni,
        eni: Some("eni-2"),
        ..binding("app", address, "ins-1", "north")
    };
    let (stays, other) = (target("10.0.0.51"), binding("app", "10.0.0.5", "ins-1", "north"));
    let after = |instance: Option<&str>, addresses: &[&str]| {
        let mut inventory = inventory();
        let addresses = addresses.iter().map(|address| ip(address)).collect();
        inventory.put_eni(Eni { id: id("eni-2"), instance_id: instance.map(id), addresses }).expect("it moves");
        moved(&inventory, &place(), &id("eni-2"), [stays, other])
    };
    let both: &[&str] = &["10.0.0.51", "10.0.0.52"];
    let at_ins_3 = after(Some("ins-3"), both);
    let [(binding, Moved::Recheck(bound))] = at_ins_3.as_slice() else { panic!("{at_ins_3:?}") };
    assert_eq!((*binding, bound.instance.as_deref(), bound.zone.as_deref()), (stays, Some("ins-3"), Some("z-2")));
    assert_eq!(after(Some("ins-1"), both), [], "it has not moved");
    assert_eq!(after(None, both), [], "on its way it keeps its target");
    for (instance, addresses, why) in [
        ("ins-3", &["10.0.0.52"][..], Why::Disagreement),
        ("ins-2", both, Why::OtherNetwork),
        ("ins-far", both, Why::OtherRegion),
    ] {
        let fates = after(Some(instance), addresses);
        let [(_, Moved::Unbind(refusal))] = fates.as_slice() else { panic!("{instance}: {fates:?}") };
        assert_eq!(refusal.why, why);
    }
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

fn with(groups: &[ScalingGroup]) -> Inventory {
    let mut inventory = inventory();
    groups.iter().for_each(|group| inventory.put_scaling_group(group.clone()).expect("it fits"));
    inventory
}

fn join(group: &str, instance: &str, port: u16, weight: u8) -> Scaled {
    Scaled::Join { target_group: id(group), instance: id(instance), port, weight }
}

fn leave(group: &str, instance: &str) -> Scaled {
    Scaled::Leave { target_group: id(group), instance: id(instance) }
}

#[test]
fn r_g9_instances_that_join_or_leave_are_bound_or_unbound_with_the_groups_port_and_weight() {
    let both = [("app", 8080, 20), ("api", 9090, 10)];
    let one = with(&[scaling("asg", &["ins-1"], &both)]);
    let other = with(&[scaling("asg", &["ins-3"], &both)]);
    assert_eq!(scaled(&inventory(), &one), [join("api", "ins-1", 9090, 10), join("app", "ins-1", 8080, 20)]);
    let swap =
        [leave("api", "ins-1"), leave("app", "ins-1"), join("api", "ins-3", 9090, 10), join("app", "ins-3", 8080, 20)];
    assert_eq!(scaled(&one, &other), swap);
    assert_eq!(scaled(&one, &one), []);
    let fewer = with(&[scaling("asg", &["ins-1"], &both[..1])]);
    assert_eq!(scaled(&one, &fewer), [leave("api", "ins-1")], "the group lost a target group");
    assert_eq!(scaled(&one, &inventory()), [leave("api", "ins-1"), leave("app", "ins-1")], "the group is gone");
}

#[test]
fn r_g9_another_default_is_for_those_who_join_later() {
    let before = with(&[scaling("asg", &["ins-1"], &[("app", 80, 10)])]);
    let after = with(&[scaling("asg", &["ins-1", "ins-3"], &[("app", 81, 50)])]);
    assert_eq!(scaled(&before, &after), [join("app", "ins-3", 81, 50)]);
}

#[test]
fn r_g9_who_is_in_two_scaling_groups_of_a_target_group_leaves_it_with_the_second() {
    let app = [("app", 80, 10)];
    let two = with(&[scaling("a", &["ins-1"], &app), scaling("b", &["ins-1"], &app)]);
    let one = with(&[scaling("b", &["ins-1"], &app)]);
    assert_eq!(scaled(&two, &one), []);
    assert_eq!(scaled(&one, &inventory()), [leave("app", "ins-1")]);
}

#[test]
fn r_g8_release_decides_about_a_released_instance_not_its_scaling_group() {
    let before = with(&[scaling("asg", &["ins-1"], &[("app", 80, 10)])]);
    let mut after = before.clone();
    after.remove_instance("ins-1").expect("it was there");
    assert_eq!(scaled(&before, &after), []);
}
