//! Any inventory, by any way to it: what always holds, held.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// One change of an inventory.
#[derive(Debug, Clone)]
enum Step {
    Instance(Instance),
    Eni(Eni),
    ScalingGroup(ScalingGroup),
    RemoveInstance(Id),
    RemoveEni(Id),
    RemoveScalingGroup(Id),
}

/// Few names, so that things meet.
fn one_of(prefix: &'static str, count: usize) -> impl Strategy<Value = Id> {
    (0..count).prop_map(move |number| id(&format!("{prefix}-{number}")))
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        12 => (1..12_u8).prop_map(|last| IpAddr::from([10, 0, 0, last])),
        1 => select(vec![ip("fd00::1"), ip("203.0.113.7"), ip("127.0.0.1"), ip("224.0.0.1")]),
    ]
}

fn instance() -> impl Strategy<Value = Instance> {
    let states = [InstanceState::Running, InstanceState::Stopped, InstanceState::Isolated, InstanceState::Released];
    let whereabouts = (option::of(one_of("r", 2)), option::of(one_of("n", 2)), option::of(one_of("z", 2)));
    let expires = option::of((0..2000_u64).prop_map(at));
    (one_of("i", 4), whereabouts, address(), select(states.to_vec()), expires, option::of(0..2_u32)).prop_map(
        |(id, (region, network, zone), address, state, expires, bandwidth)| Instance {
            id,
            region,
            network,
            zone,
            address,
            state,
            expires,
            bandwidth,
        },
    )
}

fn eni() -> impl Strategy<Value = Eni> {
    (one_of("e", 4), option::of(one_of("i", 4)), btree_set(address(), 0..3))
        .prop_map(|(id, instance_id, addresses)| Eni { id, instance_id, addresses })
}

fn scaling_group() -> impl Strategy<Value = ScalingGroup> {
    let association = (one_of("g", 3), 0..3_u16, 0..=102_u8);
    let association = association.prop_map(|(group, port, weight)| Association { group, port, weight });
    let health_type = select(vec![HealthType::Instance, HealthType::Elb]);
    let webhook = proptest::option::of(Just(WebhookUrl::new("https://a.internal/b").expect("a URL")));
    (one_of("s", 3), btree_set(one_of("i", 4), 0..4), vec(association, 0..3), health_type, webhook).prop_map(
        |(name, instances, target_groups, health_type, webhook)| ScalingGroup {
            name,
            instances,
            target_groups,
            health_type,
            webhook,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => instance().prop_map(Step::Instance),
        6 => eni().prop_map(Step::Eni),
        4 => scaling_group().prop_map(Step::ScalingGroup),
        1 => one_of("i", 4).prop_map(Step::RemoveInstance),
        1 => one_of("e", 4).prop_map(Step::RemoveEni),
        1 => one_of("s", 3).prop_map(Step::RemoveScalingGroup),
    ]
}

impl Step {
    fn take(self, inventory: &mut Inventory) -> Result<(), Refusal> {
        match self {
            Step::Instance(instance) => inventory.put_instance(instance)?,
            Step::Eni(eni) => inventory.put_eni(eni)?,
            Step::ScalingGroup(group) => inventory.put_scaling_group(group)?,
            Step::RemoveInstance(id) => drop(inventory.remove_instance(&id)),
            Step::RemoveEni(id) => drop(inventory.remove_eni(&id)),
            Step::RemoveScalingGroup(name) => drop(inventory.remove_scaling_group(&name)),
        }
        Ok(())
    }
}

fn any_inventory() -> impl Strategy<Value = Inventory> {
    vec(step(), 0..24).prop_map(|steps| {
        let mut inventory = Inventory::default();
        // Those that do not fit leave it as it is.
        steps.into_iter().for_each(|step| drop(step.take(&mut inventory)));
        inventory
    })
}

fn any_place() -> impl Strategy<Value = Place> {
    let modes = select(vec![CrossRegion::Off, CrossRegion::Single, CrossRegion::Multi]);
    let addresses = select(vec![Addresses::Private, Addresses::PrivateOrLoopback, Addresses::Any]);
    let snat = select(vec![vec![], vec![ip("10.0.0.9")], vec![ip("fd00::9")]]);
    (option::of(one_of("r", 2)), option::of(one_of("n", 2)), any::<bool>(), modes, addresses, snat).prop_map(
        |(region, network, cross_network, cross_region, addresses, snat_addresses)| Place {
            region,
            network,
            cross_network,
            cross_region,
            addresses,
            snat_addresses,
        },
    )
}

fn any_name() -> impl Strategy<Value = TargetName> {
    let kind = select(vec![TargetKind::Cvm, TargetKind::Eni, TargetKind::Idc]);
    (kind, option::of(one_of("i", 5)), option::of(one_of("e", 5)), option::of(address())).prop_map(
        |(kind, instance_id, eni_id, address)| TargetName {
            kind,
            // Mostly names that can be meant.
            instance_id: instance_id.filter(|_| kind == TargetKind::Cvm),
            eni_id: eni_id.filter(|_| kind == TargetKind::Eni),
            address,
        },
    )
}

fn is_alive(inventory: &Inventory, id: &Id) -> bool {
    inventory.instance(id).is_some_and(|instance| instance.state != InstanceState::Released)
}

/// What the header of the module promises, asked of the records alone.
fn holds(inventory: &Inventory) -> Result<(), TestCaseError> {
    for eni in inventory.enis() {
        prop_assert!(eni.instance_id.iter().all(|id| is_alive(inventory, id)), "{eni:?}");
    }
    for group in inventory.scaling_groups() {
        prop_assert!(group.instances.iter().all(|id| is_alive(inventory, id)), "{group:?}");
    }
    let mut seen = BTreeSet::new();
    for instance in inventory.instances().filter(|instance| is_alive(inventory, &instance.id)) {
        let own = inventory.enis().filter(|eni| eni.instance_id.as_ref() == Some(&instance.id));
        let mut addresses: Vec<IpAddr> = own.flat_map(|eni| eni.addresses.iter().copied()).collect();
        prop_assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len(), "two of its ENIs share one");
        addresses.push(instance.address);
        addresses.sort_unstable();
        addresses.dedup();
        for address in addresses {
            prop_assert!(seen.insert((&instance.region, &instance.network, address)), "two machines at {address}");
        }
    }
    Ok(())
}

/// Requirements G3 to G7 of a target that is bound, asked rule by rule.
fn is_allowed(inventory: &Inventory, place: &Place, name: &TargetName, bound: &Bound) -> Result<(), TestCaseError> {
    let address = bound.address;
    prop_assert!(name.address.is_none_or(|named| named == address));
    prop_assert!(!address.is_multicast());
    prop_assert!(place.addresses == Addresses::Any || address != ip("203.0.113.7"));
    prop_assert!(place.addresses != Addresses::Private || !address.is_loopback());
    if name.kind == TargetKind::Idc {
        prop_assert!(
            place.cross_network && place.snat_addresses.iter().any(|snat| snat.is_ipv4() == address.is_ipv4())
        );
        return Ok(());
    }
    if place.cross_region == CrossRegion::Off {
        prop_assert_eq!(&bound.region, &place.region);
        prop_assert!(place.cross_network || bound.network == place.network);
    }
    let Some(instance) = bound.instance.as_ref().and_then(|id| inventory.instance(id)) else { return Ok(()) };
    prop_assert!(matches!(instance.state, InstanceState::Running | InstanceState::Stopped));
    prop_assert!(instance.expires.is_none_or(|expires| expires > at(1000)) && instance.bandwidth != Some(0));
    match &bound.eni {
        None => prop_assert_eq!(address, instance.address),
        Some(eni) => {
            let eni = inventory.eni(eni).expect("an ENI that leads to an instance is known");
            prop_assert!(eni.addresses.contains(&address) && address != instance.address);
            prop_assert_eq!(eni.instance_id.as_ref(), Some(&instance.id));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_way_to_an_inventory_keeps_its_promises_and_what_is_refused_changes_nothing(steps in vec(step(), 0..40)) {
        let mut inventory = Inventory::default();
        for step in steps {
            let before = inventory.clone();
            if step.take(&mut inventory).is_err() {
                prop_assert_eq!(&inventory, &before);
            }
            holds(&inventory)?;
        }
        let mut records = Records::default();
        inventory.instances().cloned().for_each(|instance| records.put(Record::Instance(instance)));
        inventory.enis().cloned().for_each(|eni| records.put(Record::Eni(eni)));
        inventory.scaling_groups().cloned().for_each(|group| records.put(Record::ScalingGroup(group)));
        let written = serde_json::to_string(&records).expect("JSON");
        let read: Records = serde_json::from_str(&written).expect("what was written is good");
        let mut again = Inventory::default();
        prop_assert_eq!(again.merge(&read), Vec::new());
        prop_assert_eq!(again, inventory);
    }

    #[test]
    fn r_g7_what_is_bound_may_be_bound(inventory in any_inventory(), place in any_place(), name in any_name()) {
        match bind(&inventory, &place, &name, at(1000)) {
            Ok(bound) => {
                is_allowed(&inventory, &place, &name, &bound)?;
                prop_assert_eq!(rebind(&inventory, &place, &name), Ok(bound), "what may be bound may stay");
            }
            Err(refusal) => prop_assert!(!refusal.what.is_empty() && !refusal.mend.is_empty(), "{refusal:?}"),
        }
    }

    #[test]
    fn r_g3_an_instance_is_the_same_by_id_and_by_address_and_id(inventory in any_inventory(), place in any_place()) {
        for instance in inventory.instances() {
            let by_id = TargetName { kind: TargetKind::Cvm, instance_id: Some(instance.id.clone()), eni_id: None, address: None };
            let by_both = TargetName { address: Some(instance.address), ..by_id.clone() };
            let (by_id, by_both) = (bind(&inventory, &place, &by_id, at(0)), bind(&inventory, &place, &by_both, at(0)));
            prop_assert_eq!(by_id, by_both);
        }
    }

    #[test]
    fn r_g8_what_is_bound_is_unbound_by_release_and_by_no_other_record(
        inventory in any_inventory(), place in any_place(), name in any_name(), steps in vec(step(), 0..12),
    ) {
        let Ok(bound) = bind(&inventory, &place, &name, at(1000)) else { return Ok(()) };
        let held = Held {
            kind: name.kind,
            address: bound.address,
            instance: bound.instance.as_ref(),
            eni: bound.eni.as_ref(),
            by_id: name.instance_id.is_some(),
            region: bound.region.as_ref(),
            network: bound.network.as_ref(),
        };
        prop_assert_eq!(fate(&inventory, &place, &held), Fate::Bound(bound.clone()), "nothing happened");
        let mut after = inventory.clone();
        steps.into_iter().for_each(|step| drop(step.take(&mut after)));
        let state = held.instance.and_then(|id| after.instance(id)).map(|instance| instance.state);
        match fate(&after, &place, &held) {
            Fate::Bound(now) if name.kind == TargetKind::Idc => prop_assert_eq!(now, bound),
            Fate::Bound(_) | Fate::AsItWas => {}
            Fate::Released => prop_assert_eq!(state, Some(InstanceState::Released)),
            Fate::Barred(refusal) => prop_assert!(!refusal.what.is_empty() && !refusal.mend.is_empty()),
        }
    }

    #[test]
    fn r_g6_only_multi_leads_back_home(regions in vec(vec(option::of(select(vec!["r-0", "r-1"])), 0..3), 0..12)) {
        let place = Place { region: Some(id("r-0")), cross_region: CrossRegion::Single, ..Place::default() };
        let mut door = Door::Home;
        for regions in regions {
            let goes_home = regions.first().is_some_and(|first| *first == Some("r-0"));
            match pass(&place, door, regions.iter().copied()) {
                Ok(after) => {
                    prop_assert!(regions.windows(2).all(|pair| pair[0] == pair[1]));
                    prop_assert!(door == Door::Home || (after == Door::Away && !goes_home));
                    door = after;
                }
                Err((index, _)) => prop_assert!(index.is_some_and(|index| index < regions.len())),
            }
        }
    }

    #[test]
    fn any_text_is_survived_where_an_id_or_a_time_is_expected(text in "(?s).{0,120}", time in "[0-9TZ:. +é-]{0,32}") {
        let _ = Id::new(text.as_str());
        for expires in [text, time] {
            let record = json!({ "id": "i", "address": "10.0.0.1", "expires": expires });
            if let Ok(instance) = serde_json::from_value::<Instance>(record) {
                prop_assert!(serde_json::to_value(&instance).is_ok());
            }
        }
    }
}
