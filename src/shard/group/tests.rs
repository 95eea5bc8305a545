//! What a group keeps of its targets from one snapshot to the next.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use quanta::Instant;

use super::{Group, Pick};
use crate::config::{Mode, Snapshot, parse};
use crate::health::{Failure, State};

/// Group `app` with one target, and the machine whose address that is, if one is known.
fn snapshot(target: &str, machine: Option<&str>) -> Snapshot {
    let machine = machine.map(|id| format!("[[instance]]\nid='{id}'\naddress='10.0.0.5'\n")).unwrap_or_default();
    let text = format!("[[target_group]]\nname='app'\nprotocol='tcp'\ntarget=[{{{target},port=80}}]\n{machine}");
    parse("t", &text, Mode::Run).unwrap_or_else(|errors| panic!("{errors}"))
}

fn apply(group: &Group, snapshot: &Snapshot) {
    let listening = vec![[10, 1, 0, 9].into()];
    group.apply(&snapshot.groups[0], snapshot, listening, (Instant::now(), SystemTime::UNIX_EPOCH));
}

#[test]
fn r_g3_an_address_that_is_another_machines_starts_over_and_one_whose_machine_is_heard_of_goes_on() {
    let at = |machine| snapshot("address='10.0.0.5'", machine);
    let group = Group::new(&at(None).groups[0], 0);
    apply(&group, &at(None));
    let target = Rc::clone(&group.targets()[0]);
    let check = group.config().health_check.clone().expect("tcp checks are the default");
    let after = |snapshot: &Snapshot| {
        group.observe(&target, Ok(Duration::ZERO), &check);
        target.recheck.set(false);
        apply(&group, snapshot);
        assert_eq!(target.recheck.get(), target.health.borrow().state() == State::Initial);
        target.health.borrow().state()
    };
    assert_eq!(after(&at(Some("ins-1"))), State::Healthy, "now one knows");
    assert_eq!(after(&at(None)), State::Healthy, "and for a time one does not");
    assert_eq!(after(&at(Some("ins-2"))), State::Initial);
    assert_eq!(after(&at(Some("ins-2"))), State::Healthy);
    assert_eq!(after(&snapshot("instance_id='ins-2'", Some("ins-2"))), State::Healthy, "by another name");
}

/// A target as a snapshot and its checks have it.
#[derive(Debug, Clone, Copy)]
struct Given {
    zone: Option<&'static str>,
    weight: u8,
    healthy: bool,
}

const HERE: &str = "gz-3";

fn any_given() -> impl Strategy<Value = Given> {
    let zone = prop_oneof![Just(Some(HERE)), Just(Some("gz-4")), Just(None)];
    (zone, 0..4_u8, any::<bool>()).prop_map(|(zone, weight, healthy)| Given { zone, weight, healthy })
}

fn zoned(algorithm: &str, targets: &[Given]) -> Snapshot {
    let target = |(number, target): (usize, &Given)| {
        let zone = target.zone.map(|zone| format!(",zone='{zone}'")).unwrap_or_default();
        format!("{{address='10.0.0.{}',port=80,weight={}{zone}}}", number + 1, target.weight)
    };
    let targets = targets.iter().enumerate().map(target).collect::<Vec<_>>().join(",");
    let text = format!(
        "[balancer]\nzone='{HERE}'\n[[target_group]]\nname='app'\nprotocol='tcp'\ncross_zone=false\n\
         algorithm='{algorithm}'\nhealth_check={{healthy=1,unhealthy=1}}\ntarget=[{targets}]\n"
    );
    parse("t", &text, Mode::Run).unwrap_or_else(|errors| panic!("{errors}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Through reloads that change weights, zones and who is there, and checks that change their minds.
    #[test]
    fn r_b3_r_w1_while_one_of_the_own_zone_may_serve_no_other_zone_gets_anything(
        algorithm in prop_oneof![Just("weighted_round_robin"), Just("least_connections")],
        rounds in prop::collection::vec(prop::collection::vec(any_given(), 1..8), 1..6),
    ) {
        let first = zoned(algorithm, &rounds[0]);
        let group = Group::new(&first.groups[0], 0);
        for targets_given in &rounds {
            apply(&group, &zoned(algorithm, targets_given));
            let check = group.config().health_check.clone().expect("tcp checks are the default");
            for (target, given) in group.targets().iter().zip(targets_given) {
                let outcome = if given.healthy { Ok(Duration::ZERO) } else { Err(Failure::Refused) };
                group.observe(target, outcome, &check);
            }
            let targets = group.targets();
            let serves = |given: &Given| given.weight > 0 && given.healthy;
            let at_home = |given: &Given| given.zone == Some(HERE);
            let stays = targets_given.iter().any(|given| serves(given) && at_home(given));
            let one_is_healthy = targets_given.iter().any(serves);
            for _ in 0..30 {
                let Pick::Target(picked) = group.pick(&[], [10, 1, 0, 1].into()) else {
                    prop_assert!(targets_given.iter().all(|given| given.weight == 0), "{:?}", targets_given);
                    continue;
                };
                // It stays open: least_connections goes elsewhere next, as far as it may.
                picked.claim().keep();
                let index = targets.iter().position(|target| Rc::ptr_eq(target, &picked)).expect("it is one of them");
                let given = targets_given[index];
                prop_assert!(given.weight > 0);
                prop_assert!(!one_is_healthy || given.healthy, "{given:?} of {targets_given:?}");
                prop_assert!(!stays || at_home(&given), "{given:?} of {targets_given:?}");
            }
        }
    }
}
