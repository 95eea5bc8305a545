//! What a group keeps of its targets from one snapshot to the next.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use quanta::Instant;

use super::Group;
use crate::config::{Mode, Snapshot, parse};
use crate::health::State;

/// Group `app` with one target, and the machine whose address that is, if one is known.
fn snapshot(target: &str, machine: Option<&str>) -> Snapshot {
    let machine = machine.map(|id| format!("[[instance]]\nid='{id}'\naddress='10.0.0.5'\n")).unwrap_or_default();
    let text = format!("[[target_group]]\nname='app'\nprotocol='tcp'\ntarget=[{{{target},port=80}}]\n{machine}");
    parse("t", &text, Mode::Run).unwrap_or_else(|errors| panic!("{errors}"))
}

fn apply(group: &Group, snapshot: &Snapshot) {
    group.apply(&snapshot.groups[0], snapshot, true, (Instant::now(), SystemTime::UNIX_EPOCH));
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
