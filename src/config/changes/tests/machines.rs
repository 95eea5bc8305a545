//! Changes of the inventory beside targets: what the process does with them, without its process.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::super::*;
use crate::config::{Known, Text};
use crate::inventory::{Door, Id, Record, RecordId, RecordKind};

const BALANCER: &str = r#"
    [balancer]
    region = "north"
    network = "vpc-1"
"#;

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
    target = [{ address = "10.0.0.5", port = 80 }]

    [[instance]]
    id = "ins-f"
    address = "10.0.0.99"
"#;

/// The file, and what the API changed so far, as control holds them.
struct World {
    text: Text,
    base: Snapshot,
    changes: Changes,
    door: Door,
}

impl World {
    fn new() -> World {
        World::of(&format!("{BALANCER}{FILE}"))
    }

    fn of(text: &str) -> World {
        let text = Text::of_demo(text, std::path::Path::new("state"));
        let base = text.resolve(&Known::default()).unwrap_or_else(|errors| panic!("{errors}"));
        World { text, base, changes: Changes::default(), door: Door::Home }
    }

    fn try_make(&mut self, change: &Change) -> Result<(), Refused> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let changes = self.changes.apply(&self.base, change, now)?;
        let known = Known { records: changes.records.clone(), door: self.door };
        self.base = self.text.resolve(&known).unwrap_or_else(|errors| panic!("{errors}"));
        self.changes = changes.settled(&self.base);
        self.door = self.over().snapshot.door;
        Ok(())
    }

    fn make(&mut self, change: &Change) {
        self.try_make(change).unwrap_or_else(|refused| panic!("{refused}"));
    }

    fn refused(&mut self, change: &Change) -> String {
        self.try_make(change).expect_err("it is refused").to_string()
    }

    /// As a reload of another file.
    fn reload(&mut self, text: &str) {
        self.text = Text::of_demo(text, std::path::Path::new("state"));
        let known = Known { records: self.changes.records.clone(), door: self.door };
        self.base = self.text.resolve(&known).unwrap_or_else(|errors| panic!("{errors}"));
        self.changes = std::mem::take(&mut self.changes).settled(&self.base);
    }

    fn over(&self) -> Over {
        self.changes.over(&self.base, self.door)
    }

    /// Each as `10.0.0.5:80 ins-1 10`.
    fn targets(&self, group: &str) -> Vec<String> {
        let over = self.over();
        let group = over.snapshot.groups.iter().find(|other| &*other.name == group).expect("it is there").clone();
        let shown = |target: &crate::config::Target| {
            format!("{} {} {}", target.address, target.instance_id.as_deref().unwrap_or("-"), target.weight)
        };
        group.targets.iter().map(shown).collect()
    }

    fn waiting(&self) -> Vec<String> {
        self.over().waiting.iter().map(|waiting| format!("{}: {}", waiting.address, waiting.what)).collect()
    }
}

fn id(text: &str) -> Id {
    Id::new(text).expect("an id")
}

fn record(value: Value) -> Record {
    let of = |value: &Value, key: &str| value.get(key).is_some();
    if of(&value, "addresses") {
        Record::Eni(serde_json::from_value(value).expect("an ENI"))
    } else if of(&value, "name") {
        Record::ScalingGroup(serde_json::from_value(value).expect("a scaling group"))
    } else {
        Record::Instance(serde_json::from_value(value).expect("an instance"))
    }
}

fn put(records: impl IntoIterator<Item = Value>) -> Change {
    Change::Put(records.into_iter().map(record).collect())
}

fn instance(id: &str, last: u8) -> Value {
    json!({ "id": id, "address": format!("10.0.0.{last}") })
}

fn forget(kind: RecordKind, name: &str) -> Change {
    Change::Forget(RecordId { kind, id: id(name) })
}

fn of_own(change: TargetsChange) -> Change {
    Change::Targets { group: "own".into(), change }
}

fn register(targets: Value) -> Change {
    of_own(TargetsChange::Register(serde_json::from_value(targets).expect("targets")))
}

fn deregister(targets: Value) -> Change {
    of_own(TargetsChange::Deregister(serde_json::from_value(targets).expect("targets")))
}

fn update(targets: Value) -> Change {
    of_own(TargetsChange::Update(serde_json::from_value(targets).expect("targets")))
}

#[test]
fn r_g3_a_target_bound_by_id_follows_its_instance_and_one_bound_by_address_stays() {
    let mut world = World::new();
    world.make(&put([instance("ins-1", 7)]));
    world.make(&register(json!([{ "instance_id": "ins-1", "port": 80 }, { "address": "10.0.0.8", "port": 80 }])));
    assert_eq!(world.targets("own"), ["10.0.0.7:80 ins-1 10", "10.0.0.8:80 - 10"]);
    world.make(&put([instance("ins-1", 9), instance("ins-2", 8)]));
    assert_eq!(world.targets("own"), ["10.0.0.9:80 ins-1 10", "10.0.0.8:80 ins-2 10"]);
    world.make(&put([instance("ins-2", 10)]));
    assert_eq!(world.targets("own"), ["10.0.0.9:80 ins-1 10", "10.0.0.8:80 - 10"], "it was not named");
    world.make(&register(json!([{ "address": "10.0.0.10", "port": 80 }])));
    assert_eq!(world.targets("own")[2], "10.0.0.10:80 ins-2 10");
    world.make(&forget(RecordKind::Instance, "ins-2"));
    assert_eq!(world.targets("own").len(), 2, "and goes with the machine all the same");
}

#[test]
fn r_g8_a_released_or_deleted_instance_is_unbound_for_good() {
    for release in [
        put([json!({ "id": "ins-1", "address": "10.0.0.7", "state": "released" })]),
        forget(RecordKind::Instance, "ins-1"),
    ] {
        let mut world = World::new();
        world.make(&put([
            instance("ins-1", 7),
            json!({ "id": "eni-1", "instance_id": "ins-1", "addresses": ["10.0.0.17"] }),
        ]));
        world.make(&register(json!([
            { "instance_id": "ins-1", "port": 80 }, { "instance_id": "ins-1", "port": 81 }, { "address": "10.0.0.8", "port": 80 },
            { "type": "eni", "eni_id": "eni-1", "port": 80 },
        ])));
        assert_eq!(world.targets("own").len(), 4);
        world.make(&release);
        assert_eq!(world.targets("own"), ["10.0.0.8:80 - 10"], "{release:?}");
        let eni = world.base.inventory.eni("eni-1").expect("it stays");
        assert_eq!(eni.instance_id, None, "it was let go of");
        world.make(&put([instance("ins-1", 7)]));
        assert_eq!(world.targets("own"), ["10.0.0.8:80 - 10"], "it is another machine by now");
    }
}

#[test]
fn r_g8_under_multi_a_released_instance_of_another_region_stays_until_it_is_unbound() {
    let mut world = World::of(&format!("{BALANCER}cross_region = \"multi\"\n{FILE}"));
    let far = |state: &str| put([json!({ "id": "ins-1", "address": "10.9.0.7", "region": "south", "state": state })]);
    world.make(&far("running"));
    world.make(&register(json!([{ "instance_id": "ins-1", "port": 80 }])));
    world.make(&far("released"));
    assert_eq!(world.targets("own"), ["10.9.0.7:80 ins-1 10"]);
    world.make(&deregister(json!([{ "instance_id": "ins-1", "port": 80 }])));
    assert!(world.targets("own").is_empty());
}

#[test]
fn an_eni_that_moves_keeps_its_target_and_out_of_reach_it_waits() {
    let mut world = World::new();
    let at = |instance: &str| put([json!({ "id": "eni-1", "instance_id": instance, "addresses": ["10.0.0.17"] })]);
    let far = json!({ "id": "ins-far", "address": "10.9.0.7", "network": "vpc-9" });
    world.make(&put([instance("ins-1", 7), instance("ins-2", 8), far]));
    world.make(&at("ins-1"));
    world.make(&register(json!([{ "type": "eni", "eni_id": "eni-1", "port": 80 }])));
    world.make(&at("ins-2"));
    assert_eq!(world.targets("own"), ["10.0.0.17:80 ins-2 10"]);
    world.make(&at("ins-far"));
    assert!(world.targets("own").is_empty());
    let waiting = world.waiting();
    assert!(
        waiting.len() == 1 && waiting[0].starts_with("10.0.0.17:80: ") && waiting[0].contains("vpc-9"),
        "{waiting:?}"
    );
    assert!(world.over().snapshot.left_out.iter().any(|line| line.contains("10.0.0.17:80")), "and an operator sees it");
    world.make(&at("ins-1"));
    assert_eq!(world.targets("own"), ["10.0.0.17:80 ins-1 10"], "back in reach");
}

#[test]
fn what_is_the_files_is_not_changed_by_the_api() {
    let mut world = World::new();
    assert!(world.refused(&put([instance("ins-f", 8)])).contains("instance \"ins-f\" belongs to the config file"));
    assert!(world.refused(&forget(RecordKind::Instance, "ins-f")).contains("belongs to the config file"));
    assert!(world.refused(&put([instance("ins-1", 99)])).contains("10.0.0.99 is an address of instance \"ins-f\""));
    assert!(world.refused(&forget(RecordKind::Eni, "eni-1")).contains("the inventory has no ENI \"eni-1\""));
    assert!(world.refused(&put([])).contains("no record"));
    assert_eq!(world.changes, Changes::default(), "nothing changed");
    world.make(&put([json!({ "id": "eni-1", "instance_id": "ins-f", "addresses": ["10.0.0.17"] })]));
    world.make(&register(json!([{ "type": "eni", "eni_id": "eni-1", "port": 80 }])));
    assert_eq!(world.targets("own"), ["10.0.0.17:80 ins-f 10"], "the API's interface is at the file's instance");
}

#[test]
fn r_g9_instances_join_and_leave_groups_with_their_scaling_group() {
    let mut world = World::new();
    let scaling_group = |instances: &[&str]| {
        let target_groups = json!([{ "group": "own", "port": 8080, "weight": 30 }, { "group": "files", "port": 80 }]);
        put([json!({ "name": "asg", "instances": instances, "target_groups": target_groups })])
    };
    world.make(&put([instance("ins-1", 7), instance("ins-2", 8)]));
    world.make(&scaling_group(&["ins-1"]));
    assert_eq!(world.targets("own"), ["10.0.0.7:8080 ins-1 30"]);
    assert_eq!(world.targets("files"), ["10.0.0.5:80 - 10", "10.0.0.7:80 ins-1 10"], "a group of the file's too");
    world.make(&update(json!([{ "instance_id": "ins-1", "port": 8080, "weight": 0 }])));
    world.make(&scaling_group(&["ins-1", "ins-2"]));
    assert_eq!(world.targets("own"), ["10.0.0.7:8080 ins-1 0", "10.0.0.8:8080 ins-2 30"], "its weight is kept");
    let said = world.refused(&deregister(json!([{ "instance_id": "ins-1", "port": 8080 }])));
    assert!(said.contains("member of scaling group \"asg\"") && said.contains("take its instance out"), "{said}");
    assert!(
        world
            .refused(&update(json!([{ "instance_id": "ins-1", "port": 8080, "new_port": 1 }])))
            .contains("is not the API's")
    );
    world.make(&register(json!([{ "instance_id": "ins-2", "port": 8080, "weight": 1 }])));
    assert_eq!(
        world.targets("own"),
        ["10.0.0.8:8080 ins-2 1", "10.0.0.7:8080 ins-1 0"],
        "who is bound by name has its own"
    );
    world.make(&scaling_group(&["ins-2"]));
    assert_eq!(world.targets("own"), ["10.0.0.8:8080 ins-2 1"]);
    world.make(&forget(RecordKind::ScalingGroup, "asg"));
    assert_eq!(world.targets("own"), ["10.0.0.8:8080 ins-2 1"], "who is bound by name stays");
    assert_eq!(world.targets("files"), ["10.0.0.5:80 - 10"]);
}

#[test]
fn r_g7_who_may_not_be_bound_does_not_join_and_who_has_joined_stays() {
    let mut world = World::new();
    let asg =
        || put([json!({ "name": "asg", "instances": ["ins-1"], "target_groups": [{ "group": "own", "port": 80 }] })]);
    let is = |key: &str, value: Value| {
        let mut record = instance("ins-1", 7);
        record[key] = value;
        put([record])
    };
    for (key, value, says) in [
        ("state", json!("isolated"), "is isolated"),
        ("bandwidth", json!(0), "bandwidth of 0"),
        ("expires", json!("1970-01-01T00:01:00Z"), "expired at"),
    ] {
        world.make(&is(key, value));
        let said = world.refused(&asg());
        assert!(said.contains("cannot join target group \"own\"") && said.contains(says), "{said}");
    }
    world.make(&put([instance("ins-1", 7)]));
    world.make(&asg());
    world.make(&is("state", json!("isolated")));
    assert_eq!(world.targets("own"), ["10.0.0.7:80 ins-1 10"]);
    let nowhere = put([json!({ "name": "b", "target_groups": [{ "group": "none", "port": 80 }] })]);
    assert!(world.refused(&nowhere).contains("there is no target group \"none\""));
}

#[test]
fn targets_are_found_by_id_and_where_several_are_meant_the_api_says_so() {
    let mut world = World::new();
    world.make(&put([
        instance("ins-1", 7),
        json!({ "id": "eni-1", "instance_id": "ins-1", "addresses": ["10.0.0.17", "10.0.0.18"] }),
    ]));
    world.make(&register(json!([
        { "instance_id": "ins-1", "port": 80 },
        { "type": "eni", "eni_id": "eni-1", "address": "10.0.0.17", "port": 80 },
        { "type": "eni", "eni_id": "eni-1", "address": "10.0.0.18", "port": 80 },
    ])));
    let said = world.refused(&update(json!([{ "eni_id": "eni-1", "port": 80, "weight": 1 }])));
    assert!(said.contains("10.0.0.17:80 and 10.0.0.18:80") && said.contains("by its address"), "{said}");
    let said = world.refused(&deregister(json!([{ "eni_id": "eni-1", "port": 80 }])));
    assert!(said.contains("10.0.0.17:80 and 10.0.0.18:80") && said.contains("by its address"), "{said}");
    world
        .make(&update(json!([{ "eni_id": "eni-1", "address": "10.0.0.18", "port": 80, "weight": 1, "new_port": 81 }])));
    world.make(&deregister(
        json!([{ "address": "10.0.0.17", "port": 80 }, { "instance_id": "ins-1", "address": "10.0.0.7", "port": 80 }]),
    ));
    assert_eq!(world.targets("own"), ["10.0.0.18:81 ins-1 1"]);
    for (which, says) in [
        (json!([{ "port": 81 }]), "not said which target"),
        (json!([{ "eni_id": "eni-2", "port": 81 }]), "ENI \"eni-2\", port 81 is not in target group"),
        (json!([{ "eni_id": "eni-1", "port": 80 }]), "is not in target group"),
    ] {
        let said = world.refused(&deregister(which));
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn r_g6_under_single_the_door_holds_while_there_is_no_target() {
    let mut world = World::of(
        &format!("{BALANCER}cross_region = \"single\"\n{FILE}")
            .replace("10.0.0.5", "10.9.0.5")
            .replace("target = [", "# ["),
    );
    world.make(&put([instance("near", 7), json!({ "id": "far", "address": "10.9.0.7", "region": "south" })]));
    world.make(&register(json!([{ "instance_id": "far", "port": 80 }])));
    assert_eq!(world.door, Door::Away);
    world.make(&deregister(json!([{ "instance_id": "far", "port": 80 }])));
    assert_eq!(world.door, Door::Away);
    world.make(&register(json!([{ "instance_id": "near", "port": 80 }])));
    let over = world.over();
    assert!(over.door.is_err_and(|refusal| refusal.what.contains("for good")), "control refuses this");
    assert_eq!(over.snapshot.door, Door::Away);
}

#[test]
fn a_target_at_its_groups_own_listener_waits() {
    let mut world = World::new();
    world.make(&put([instance("ins-1", 7)]));
    world.make(&register(json!([{ "instance_id": "ins-1", "port": 80 }])));
    world.make(&put([instance("ins-1", 1)]));
    assert!(world.targets("own").is_empty());
    assert_eq!(world.waiting(), ["10.0.0.1:80: 10.0.0.1:80 is listener \"web\", which sends to this group"]);
    assert!(world.refused(&register(json!([{ "address": "10.0.0.1", "port": 80 }]))).contains("is listener \"web\""));
}

#[test]
fn what_is_kept_is_read_again() {
    let mut world = World::new();
    world.make(&put([instance("ins-1", 7), json!({ "name": "asg", "instances": ["ins-1"] })]));
    world.make(&put([json!({ "id": "eni-f", "instance_id": "ins-f", "addresses": ["10.0.0.17"] })]));
    let text = serde_json::to_string(&world.changes).expect("JSON");
    assert_eq!(serde_json::from_str::<Changes>(&text).expect("what was written"), world.changes);
}

const ASG: &str = "asg";

fn asg(instances: &[&str]) -> Change {
    let target_groups = json!([{ "group": "own", "port": 8080, "weight": 30 }]);
    put([json!({ "name": ASG, "instances": instances, "target_groups": target_groups })])
}

#[test]
fn r_g9_an_instance_that_the_file_lets_go_of_takes_no_other_member_along() {
    let mut world = World::new();
    world.make(&put([instance("ins-1", 7)]));
    world.make(&asg(&["ins-1", "ins-f"]));
    assert_eq!(world.targets("own").len(), 2);
    let file = format!("{BALANCER}{FILE}");
    world.reload(&file.replace("id = \"ins-f\"", "id = \"ins-g\""));
    assert_eq!(world.targets("own"), ["10.0.0.7:8080 ins-1 30"]);
    let left_out = world.over().snapshot.left_out.join("; ");
    assert!(left_out.contains("scaling group \"asg\" of the API: there is no instance \"ins-f\""), "{left_out}");
    world.reload(&file);
    assert_eq!(world.targets("own").len(), 2, "it is back");
    world.reload(&file.replace("\"own\"", "\"other\""));
    let left_out = world.over().snapshot.left_out.join("; ");
    assert!(left_out.contains("scaling group \"asg\" of the API: there is no target group \"own\""), "{left_out}");
}

#[test]
fn the_weight_of_a_member_is_its_machines_and_goes_with_it() {
    let mut world = World::new();
    world.make(&put([instance("ins-1", 7)]));
    world.make(&asg(&["ins-1"]));
    world.make(&update(json!([{ "instance_id": "ins-1", "port": 8080, "weight": 0 }])));
    world.make(&put([instance("ins-1", 17)]));
    assert_eq!(world.targets("own"), ["10.0.0.17:8080 ins-1 0"], "drained, wherever it is");
    world.make(&asg(&[]));
    world.make(&forget(RecordKind::Instance, "ins-1"));
    world.make(&put([instance("ins-9", 17)]));
    world.make(&asg(&["ins-9"]));
    assert_eq!(world.targets("own"), ["10.0.0.17:8080 ins-9 30"], "another machine at its address");
    assert!(world.changes.groups.is_empty(), "nothing is left of it");
}

#[test]
fn what_waits_in_a_group_of_the_files_is_not_weighed_in_place_of_the_files_own_target_and_hides_no_member() {
    let mut world = World::new();
    world.make(&put([instance("ins-1", 7)]));
    world.make(&register(json!([{ "instance_id": "ins-1", "port": 8080 }, { "address": "10.0.0.8", "port": 80 }])));
    world.make(&asg(&["ins-1"]));
    assert_eq!(world.targets("own"), ["10.0.0.7:8080 ins-1 10", "10.0.0.8:80 - 10"]);
    let by_file = "target = [{ address = \"10.0.0.8\", port = 80 }]";
    world.reload(&format!("{BALANCER}{FILE}").replace("managed = \"api\"", by_file));
    assert_eq!(world.targets("own"), ["10.0.0.8:80 - 10", "10.0.0.7:8080 ins-1 30"]);
    world.make(&update(json!([{ "address": "10.0.0.8", "port": 80, "weight": 0 }])));
    assert_eq!(world.targets("own")[0], "10.0.0.8:80 - 0", "the one that serves");
}

#[test]
fn an_eni_target_on_a_machine_hides_no_member_of_its_own_address() {
    let mut world = World::new();
    world.make(&put([
        instance("ins-1", 7),
        json!({ "id": "eni-1", "instance_id": "ins-1", "addresses": ["10.0.0.17"] }),
    ]));
    world.make(&register(json!([{ "type": "eni", "eni_id": "eni-1", "port": 8080 }])));
    world.make(&asg(&["ins-1"]));
    assert_eq!(world.targets("own"), ["10.0.0.17:8080 ins-1 10", "10.0.0.7:8080 ins-1 30"]);
}

#[test]
fn r_g8_a_target_whose_eni_is_forgotten_stays_as_it_is_and_goes_with_its_machine() {
    let mut world = World::of(&format!("{BALANCER}cross_region = \"single\"\n{FILE}").replace("target = [", "# ["));
    let far = json!({ "id": "far", "address": "10.9.0.7", "region": "south" });
    world.make(&put([far, json!({ "id": "eni-1", "instance_id": "far", "addresses": ["10.9.0.17"] })]));
    world.make(&register(json!([{ "type": "eni", "eni_id": "eni-1", "port": 80 }])));
    world.make(&forget(RecordKind::Eni, "eni-1"));
    let over = world.over();
    assert_eq!((world.targets("own"), over.door), (vec!["10.9.0.17:80 far 10".to_owned()], Ok(())));
    world.make(&forget(RecordKind::Instance, "far"));
    assert!(world.targets("own").is_empty());
}

#[test]
fn records_and_what_they_list_are_bounded() {
    let mut world = World::new();
    let names: Vec<String> = (0..200).map(|n| format!("10.1.{}.{}", n / 100, n % 100 + 1)).collect();
    let eni = |name: &str, addresses: &[String]| put([json!({ "id": name, "addresses": addresses })]);
    world.make(&eni("eni-1", &names));
    let many: Vec<String> = (0..257).map(|n| format!("10.2.{}.{}", n / 100, n % 100 + 1)).collect();
    assert!(world.refused(&eni("eni-2", &many)).contains("addresses has 257 entries; give at most 256"));
    let groups: Vec<Value> = (0..101).map(|_| json!({ "group": "own", "port": 1 })).collect();
    let said = world.refused(&put([json!({ "name": ASG, "target_groups": groups })]));
    assert!(said.contains("target_groups has 101 entries"), "{said}");
    assert!(
        world
            .refused(&put([json!({ "id": "a", "address": "10.0.0.7", "bandwidth": 1_000_001 })]))
            .contains("bandwidth")
    );
    let twice = put([instance("ins-1", 7), instance("ins-1", 8)]);
    assert!(world.refused(&twice).contains("is there twice"));
    let all = (0..250).map(|n| json!({ "id": format!("e-{n}"), "addresses": names.iter().map(|a| a.replace("10.1", &format!("10.{n}"))).collect::<Vec<_>>() }));
    assert!(world.refused(&put(all)).contains("50000 are kept"));
}
