mod machines;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::config::{Mode, parse};
use crate::inventory::Door;

/// Its listener has the address of no target below, but in one test.
const FILE: &str = r#"
    [[listener]]
    name = "web"
    protocol = "http"
    address = "10.0.0.1:80"
    default_action = { forward = "own" }

    [[target_group]]
    name = "own"
    protocol = "http"
    managed = "api"

    [[target_group]]
    name = "files"
    protocol = "tcp"
    [[target_group.target]]
    address = "10.0.0.5"
    port = 80
    weight = 10
    [[target_group.target]]
    address = "10.0.0.6"
    port = 80
    weight = 20
"#;

fn base() -> Snapshot {
    parse("test.toml", FILE, Mode::Run).unwrap()
}

fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(address(last), port)
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn new(last: u8, port: u16) -> NewTarget {
    let (instance_id, eni_id, zone) = (None, None, None);
    NewTarget { kind: TargetKind::Cvm, instance_id, eni_id, address: Some(address(last)), port, zone, weight: None }
}

fn of_group(group: &str, change: TargetsChange) -> Change {
    Change::Targets { group: group.into(), change }
}

fn register(targets: Vec<NewTarget>) -> Change {
    of_group("own", TargetsChange::Register(targets))
}

fn deregister(targets: Vec<Which>) -> Change {
    of_group("own", TargetsChange::Deregister(targets))
}

fn update(group: &str, last: u8, port: u16, weight: Option<u8>, new_port: Option<u16>) -> Change {
    of_group(group, TargetsChange::Update(vec![an_update(last, port, weight, new_port)]))
}

fn an_update(last: u8, port: u16, weight: Option<u8>, new_port: Option<u16>) -> TargetUpdate {
    TargetUpdate { address: Some(address(last)), instance_id: None, eni_id: None, port, weight, new_port }
}

fn which(last: u8, port: u16) -> Which {
    Which { address: Some(address(last)), instance_id: None, eni_id: None, port }
}

fn made(changes: &Changes, change: &Change) -> Changes {
    changes.apply(&base(), change, SystemTime::UNIX_EPOCH).unwrap_or_else(|refused| panic!("{refused}"))
}

fn refused(changes: &Changes, change: &Change) -> (RefusedCode, String) {
    let refused = changes.apply(&base(), change, SystemTime::UNIX_EPOCH).expect_err("it is refused");
    (refused.code, refused.to_string())
}

fn targets(changes: &Changes, group: &str) -> Vec<(SocketAddr, u8)> {
    let snapshot = changes.over(&base(), Door::Home).snapshot;
    let group = snapshot.groups.iter().find(|other| &*other.name == group).unwrap();
    group.targets.iter().map(|target| (target.address, target.weight)).collect()
}

#[test]
fn r_g10_targets_join_change_and_leave_a_group_of_the_apis() {
    let changes = made(&Changes::default(), &register(vec![new(5, 80), new(5, 81), new(6, 80)]));
    assert_eq!(targets(&changes, "own"), [(at(5, 80), 10), (at(5, 81), 10), (at(6, 80), 10)]);
    let changes = made(&changes, &update("own", 5, 81, Some(0), None));
    let changes = made(&changes, &update("own", 6, 80, Some(7), Some(8080)));
    assert_eq!(targets(&changes, "own"), [(at(5, 80), 10), (at(5, 81), 0), (at(6, 8080), 7)]);
    let gone = deregister(vec![which(5, 80), which(6, 8080)]);
    let changes = made(&changes, &gone);
    assert_eq!(targets(&changes, "own"), [(at(5, 81), 0)]);
    let changes = made(&changes, &deregister(vec![which(5, 81)]));
    assert_eq!(changes, Changes::default(), "nothing is left of it");
}

#[test]
fn r_g10_a_batch_is_all_or_nothing() {
    let before = made(&Changes::default(), &register(vec![new(5, 80)]));
    for (change, named) in [
        (register(vec![new(7, 80), new(5, 80)]), "targets[1]: 10.0.0.5:80 is in this group already"),
        (register(vec![new(7, 80), new(7, 80)]), "targets[1]: 10.0.0.7:80 is in this group already"),
        (register(vec![new(7, 80), new(1, 80)]), "targets[1]: 10.0.0.1:80 is listener \"web\""),
        (register(vec![new(7, 80), new(8, 0)]), "targets[1]: port 0"),
        (register(vec![NewTarget { weight: Some(101), ..new(7, 80) }]), "targets[0]: weight 101"),
        (register(vec![NewTarget { address: None, ..new(7, 80) }]), "targets[0]: address: "),
        (register(vec![NewTarget { address: Some(Ipv4Addr::new(8, 8, 8, 8).into()), ..new(7, 80) }]), "not a private"),
        (register(vec![]), "targets is empty"),
        (deregister(vec![which(5, 80), which(9, 80)]), "targets[1]: 10.0.0.9:80 is not in target group \"own\""),
        (update("own", 5, 80, None, None), "nothing to change"),
        (update("own", 9, 80, Some(1), None), "is not in target group"),
        (update("none", 5, 80, Some(1), None), "no target group \"none\""),
    ] {
        let (_, said) = refused(&before, &change);
        assert!(said.contains(named), "{said}");
    }
}

#[test]
fn the_files_targets_may_be_weighed_and_nothing_else() {
    let changes = made(&Changes::default(), &update("files", 5, 80, Some(0), None));
    assert_eq!(targets(&changes, "files"), [(at(5, 80), 0), (at(6, 80), 20)]);
    assert_eq!(made(&changes, &update("files", 5, 80, Some(10), None)), Changes::default(), "as the file has it");
    for change in [
        of_group("files", TargetsChange::Register(vec![new(9, 80)])),
        of_group("files", TargetsChange::Deregister(vec![which(5, 80)])),
        update("files", 5, 80, None, Some(81)),
    ] {
        let (code, said) = refused(&changes, &change);
        assert!(code == RefusedCode::Conflict && said.contains("config file"), "{said}");
    }
}

#[test]
fn what_the_file_forgets_waits_for_it() {
    let changes = made(&Changes::default(), &register(vec![new(5, 80)]));
    let changes = made(&changes, &update("files", 5, 80, Some(0), None));
    let without = Snapshot { groups: Vec::new(), listeners: Vec::new(), ..base() };
    assert!(changes.over(&without, Door::Home).snapshot.groups.is_empty());
    assert_eq!(changes.waiting(&without), ["files", "own"]);
    let by_file = parse("test.toml", &FILE.replace("managed = \"api\"", ""), Mode::Run).unwrap();
    assert_eq!(changes.waiting(&by_file), ["own"]);
    assert!(changes.over(&by_file, Door::Home).snapshot.groups[0].targets.is_empty());
    assert!(changes.waiting(&base()).is_empty());
    let cleared = [("own", 5), ("files", 5)].iter().fold(changes, |changes, (group, last)| {
        let gone = of_group(group, TargetsChange::Deregister(vec![which(*last, 80)]));
        changes.apply(&without, &gone, SystemTime::UNIX_EPOCH).unwrap_or_else(|refused| panic!("{refused}"))
    });
    assert_eq!(cleared, Changes::default(), "what nobody waits for any more can be cleared away");
}

#[test]
fn the_document_reads_as_it_was_written_and_unknown_words_are_refused() {
    let changes = made(&Changes::default(), &register(vec![new(5, 80)]));
    let changes = made(&changes, &update("files", 5, 80, Some(0), None));
    let text = serde_json::to_string(&changes).unwrap();
    assert_eq!(serde_json::from_str::<Changes>(&text).unwrap(), changes);
    assert!(serde_json::from_str::<Changes>(r#"{"group":{}}"#).is_err());
}

/// One target's place in the model.
type Model = BTreeMap<(u8, u16), u8>;

#[derive(Debug, Clone)]
enum Step {
    Register(Vec<(u8, u16, Option<u8>)>),
    Deregister(Vec<(u8, u16)>),
    Update(Vec<(u8, u16, Option<u8>, Option<u16>)>),
}

fn step() -> impl Strategy<Value = Step> {
    let last = 2..7_u8;
    let port = 0..4_u16;
    let weight = 95..104_u8;
    prop_oneof![
        vec((last.clone(), port.clone(), option::of(weight.clone())), 0..4).prop_map(Step::Register),
        vec((last.clone(), port.clone()), 0..4).prop_map(Step::Deregister),
        vec((last, port.clone(), option::of(weight), option::of(port)), 0..4).prop_map(Step::Update),
    ]
}

/// What the list comes to by the rules as an operator would say them; `None` when it is to be refused.
fn by_model(model: &Model, step: &Step) -> Option<Model> {
    let mut model = model.clone();
    match step {
        Step::Register(list) if list.is_empty() => return None,
        Step::Register(list) => {
            for (last, port, weight) in list {
                let weight = weight.unwrap_or(10);
                if *port == 0 || weight > 100 || model.insert((*last, *port), weight).is_some() {
                    return None;
                }
            }
        }
        Step::Deregister(list) if list.is_empty() => return None,
        Step::Deregister(list) => {
            for which in list {
                model.remove(which)?;
            }
        }
        Step::Update(list) if list.is_empty() => return None,
        Step::Update(list) => {
            for (last, port, weight, new_port) in list {
                let before = model.remove(&(*last, *port))?;
                let after = weight.unwrap_or(before);
                let nothing = weight.is_none() && new_port.is_none();
                if nothing || after > 100 || *new_port == Some(0) {
                    return None;
                }
                if model.insert((*last, new_port.unwrap_or(*port)), after).is_some() {
                    return None;
                }
            }
        }
    }
    Some(model)
}

fn change_of(step: &Step) -> Change {
    match step {
        Step::Register(list) => register(
            list.iter().map(|(last, port, weight)| NewTarget { weight: *weight, ..new(*last, *port) }).collect(),
        ),
        Step::Deregister(list) => deregister(list.iter().map(|(last, port)| which(*last, *port)).collect()),
        Step::Update(list) => {
            let update = |(last, port, weight, new_port): &(u8, u16, Option<u8>, Option<u16>)| {
                an_update(*last, *port, *weight, *new_port)
            };
            of_group("own", TargetsChange::Update(list.iter().map(update).collect()))
        }
    }
}

proptest! {
    #[test]
    fn any_series_of_lists_comes_to_what_a_map_comes_to(steps in vec(step(), 0..40)) {
        let base = base();
        let (mut changes, mut model) = (Changes::default(), Model::new());
        for step in &steps {
            match (changes.apply(&base, &change_of(step), SystemTime::UNIX_EPOCH), by_model(&model, step)) {
                (Ok(made), Some(expected)) => (changes, model) = (made, expected),
                (Err(_), None) => {}
                (made, expected) => prop_assert!(false, "{step:?}: {made:?}, expected {expected:?}"),
            }
            let mut there = targets(&changes, "own");
            there.sort_unstable();
            let expected: Vec<_> = model.iter().map(|((last, port), weight)| (at(*last, *port), *weight)).collect();
            prop_assert_eq!(there, expected);
        }
    }
}
