//! Targets that are named by the machines and interfaces of the inventory: of the file, and of the API (requirements G3, G6 to G9).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::thread;

use serde_json::{Value, json};

use crate::support::config::Config;
use crate::support::target::Target;
use crate::support::weir::{self, Reload, Weir};
use crate::support::{PATIENCE, admin, client, handlers, http, http_target, place, wait_until};

/// A check every five minutes: only the first one comes while a test runs, but for what is asked for.
const SLOW_CHECK: &str = r#"protocol = "tcp", interval = "300s", timeout = "2s""#;

/// Idle connections outlive any test.
const KEPT: &str = "keep_alive = { idle_timeout = \"1h\" }";

/// One listener before one target, which is named by `name` and found in these tables.
fn config(target: SocketAddr, name: &str, tables: &str) -> (Config, SocketAddr) {
    let (mut config, web) = Config::relay(&[]);
    tables.clone_into(&mut config.keys);
    config.app().keys = format!("target = [{{ {name}, port = {} }}]", target.port());
    (config.shards(1), web)
}

fn machines(target: SocketAddr, attached_to: &str) -> String {
    format!(
        "[[instance]]\nid = \"ins-1\"\naddress = \"10.0.0.1\"\n[[instance]]\nid = \"ins-2\"\naddress = \"10.0.0.2\"\n\
         [[eni]]\nid = \"eni-1\"\ninstance_id = \"{attached_to}\"\naddresses = [\"{}\"]\n",
        target.ip()
    )
}

#[test]
fn r_g3_a_target_is_reached_where_its_instance_is() {
    let target = Target::start(handlers::identify("a"));
    let instance =
        |keys: &str| format!("[[instance]]\nid = \"ins-1\"\naddress = \"{}\"\n{keys}\n", target.address.ip());
    let (config, web) = config(target.address, "instance_id = \"ins-1\"", &instance("zone = \"z-7\""));
    let mut weir = Weir::start(config);
    assert_eq!(client::ask(web).expect("an answer"), "a");
    let shown = weir.target("app", target.address);
    assert_eq!((&shown["instance_id"], &shown["zone"]), (&"ins-1".into(), &"z-7".into()));

    let mut isolated = weir.config.clone();
    isolated.keys = instance("state = \"isolated\"");
    assert_eq!(weir.reload(&isolated.to_toml()), Reload::Rejected);
    weir.says("instance \"ins-1\" is isolated; take it out of isolation, or bind another one");
    assert_eq!(client::ask(web).expect("an answer"), "a", "nothing changed");
}

#[test]
fn r_g8_a_released_instance_is_unbound_by_the_next_reload_and_the_log_says_so() {
    let target = Target::start(handlers::identify("a"));
    let instance =
        |keys: &str| format!("[[instance]]\nid = \"ins-1\"\naddress = \"{}\"\n{keys}\n", target.address.ip());
    let (config, web) = config(target.address, "instance_id = \"ins-1\"", &instance(""));
    let mut weir = Weir::start(config);
    assert_eq!(client::ask(web).expect("an answer"), "a");
    weir.change(|config| config.keys = instance("state = \"released\""));
    wait_until("nothing listens without a target", || client::connect(web).is_err());
    weir.says("target group \"app\": target #1: instance \"ins-1\" is released; bind another one");
    weir.change(|config| config.keys = instance(""));
    assert_eq!(client::ask(web).expect("an answer"), "a");
}

#[test]
fn r_g3_an_eni_that_moves_keeps_its_target_which_is_checked_at_once() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) =
        config(target.address, "type = \"eni\", eni_id = \"eni-1\"", &machines(target.address, "ins-1"));
    config.app().check = SLOW_CHECK.into();
    let mut weir = Weir::start(config);
    weir.wait_for_state("app", target.address, "healthy");
    assert_eq!(weir.target("app", target.address)["instance_id"], "ins-1");
    let known_since = weir.health("app", target.address)["since"].clone();
    weir.change(|config| config.keys = machines(target.address, "ins-2"));
    wait_until("it was checked again", || {
        let health = weir.health("app", target.address);
        health["state"] == "healthy" && health["since"] != known_since
    });
    assert_eq!(weir.target("app", target.address)["instance_id"], "ins-2");
    assert_eq!(client::ask(web).expect("an answer"), "a");
}

/// A target that answers requests for `/slow` one by one, as the test says.
fn slow_target() -> (Target, mpsc::Sender<()>) {
    let (gate, opened) = mpsc::channel();
    let opened = Mutex::new(opened);
    let target = Target::start(http_target::serve(move |request| {
        if request.line.contains("/slow") {
            let _ = opened.lock().expect("no panic under it").recv_timeout(PATIENCE);
        }
        http_target::ok("a")
    }));
    (target, gate)
}

/// An http listener before one eni target on machine `ins-1`; `keys` are the group's.
fn http_config(target: &Target, keys: &str) -> (Config, SocketAddr) {
    let (mut config, web) = Config::http(&[]);
    config.keys = machines(target.address, "ins-1");
    config.app().keys =
        format!("target = [{{ type = \"eni\", eni_id = \"eni-1\", port = {} }}]\n{keys}", target.address.port());
    (config, web)
}

#[test]
fn r_g3_a_check_of_the_machine_of_before_says_nothing_about_the_new_one() {
    let (target, gate) = slow_target();
    let (mut config, _) = http_config(&target, "");
    config.app().check = r#"protocol = "http", path = "/slow", interval = "300s", timeout = "60s""#.into();
    let mut weir = Weir::start(config.shards(1));
    wait_until("its check is under way", || target.visits().len() == 1);
    weir.change(|config| config.keys = machines(target.address, "ins-2"));
    gate.send(()).expect("it waits");
    wait_until("it is checked again", || target.visits().len() == 2);
    assert_eq!(weir.metric("weir_target_group_targets", &[("state", "initial")]), 1);
    gate.send(()).expect("it waits");
    weir.wait_for_state("app", target.address, "healthy");
}

/// One kept connection is idle when the interface moves, another one has a request on it: both lead to the machine of before.
#[test]
fn r_g3_an_eni_that_moves_leaves_its_kept_connections_behind() {
    let (target, gate) = slow_target();
    let (config, web) = http_config(&target, KEPT);
    let mut weir = Weir::start(config.shards(1));
    let idle = |weir: &Weir| weir.metric("weir_target_connections_idle", &[]);

    let slow = thread::spawn(move || http::ask(web, http::get("/slow")).map(|answer| answer.text()));
    wait_until("it is under way", || target.visits().len() == 1);
    assert_eq!(http::visit(web).expect("an answer"), "a");
    assert_eq!((idle(&weir), target.visits().len()), (1, 2));
    weir.change(|config| config.app().keys += "\nretries = 1");
    assert_eq!(idle(&weir), 1, "a reload that leaves the target where it is leaves what is kept");

    weir.change(|config| config.keys = machines(target.address, "ins-2"));
    assert_eq!(idle(&weir), 0);
    gate.send(()).expect("it waits");
    assert_eq!(slow.join().expect("no panic").expect("an answer"), "a", "a request that runs goes on");
    assert_eq!(idle(&weir), 0, "and its connection is not kept");
    assert_eq!(http::visit(web).expect("an answer"), "a");
    assert_eq!((idle(&weir), target.visits().len()), (1, 3), "the next one is new, and kept");
}

#[test]
fn r_g6_under_single_targets_that_have_left_their_region_do_not_come_back() {
    let target = Target::start(handlers::identify("a"));
    let keys = |mode: &str, region: &str| {
        format!(
            "region = \"north\"\ncross_region = \"{mode}\"\n\
             [[instance]]\nid = \"ins-1\"\nregion = \"{region}\"\naddress = \"{}\"\n",
            target.address.ip()
        )
    };
    let (config, web) = config(target.address, "instance_id = \"ins-1\"", &keys("single", "north"));
    let mut weir = Weir::start(config);
    weir.change(|config| config.keys = keys("single", "south"));
    assert_eq!(weir.target("app", target.address)["region"], "south");
    let mut back = weir.config.clone();
    back.keys = keys("single", "north");
    assert_eq!(weir.reload(&back.to_toml()), Reload::Rejected);
    weir.says("the targets have left region \"north\" for good");
    weir.change(|config| config.keys = keys("multi", "north"));
    assert_eq!(weir.target("app", target.address)["region"], "north");
    assert_eq!(client::ask(web).expect("an answer"), "a");
}

/// An http listener before group `app`, which is the API's, and a folder that keeps what it changes.
fn managed(state_dir: &Path, keys: &str) -> (Config, SocketAddr) {
    let (mut config, web) = Config::http(&[]);
    config.app().keys = "managed = \"api\"".into();
    config.keys = format!("state_dir = \"{}\"\n{keys}", state_dir.display());
    (config.shards(1), web)
}

fn machine(address: SocketAddr) -> Value {
    json!({ "address": address.ip() })
}

fn by_id(instance: &str, port: u16) -> Value {
    json!({ "targets": [{ "instance_id": instance, "port": port }] })
}

fn refused(weir: &Weir, line: &str, body: &Value) -> (u16, String) {
    let reply = admin::send(weir.config.admin, line, "", &body.to_string()).expect("the admin endpoint answers");
    let answer: Value = serde_json::from_str(&reply.body).expect("JSON");
    (reply.status, answer["error"]["message"].as_str().expect("a message").to_owned())
}

const APP: &str = "/v1/target-groups/app/targets";

#[test]
fn r_g3_a_target_that_is_bound_by_id_goes_where_the_api_says_its_machine_is() {
    let folder = tempfile::tempdir().expect("a directory");
    let (config, web) = managed(folder.path(), "");
    let [old, new] = [1, 2].map(|last| Ipv4Addr::new(127, 202, 0, last));
    let old = Target::start_at(place::free_on(old), http_target::named("old"));
    let new = Target::start_at(SocketAddr::new(new.into(), old.address.port()), http_target::named("new"));
    let mut weir = Weir::start(config.clone());
    let missing = refused(&weir, &format!("POST {APP}"), &by_id("ins-1", old.address.port()));
    assert!(missing.0 == 422 && missing.1.contains("no instance \"ins-1\""), "{missing:?}");
    weir.send("PUT /v1/inventory/instances/ins-1", &machine(old.address));
    weir.send(&format!("POST {APP}"), &by_id("ins-1", old.address.port()));
    assert_eq!(http::visit(web).expect("an answer"), "old");
    let moved = weir.send("PUT /v1/inventory/instances/ins-1", &machine(new.address));
    assert_eq!(http::visit(web).expect("an answer"), "new");
    let what = weir.json("/v1/revisions")["revisions"].as_array().expect("a list").last().expect("the last").clone();
    assert_eq!(what["revision"], moved);
    assert_eq!(what["what"][0], "instance \"ins-1\": changed");

    weir.signal("KILL");
    weir.wait_for_end();
    // A target of the file's may be on a machine that only the API has told of; a start finds it.
    let mut with_files = config.clone();
    with_files.tables = format!(
        "[[target_group]]\nname = \"files\"\nprotocol = \"http\"\ntarget = [{{ instance_id = \"ins-1\", port = {} }}]\n",
        new.address.port()
    );
    let weir = Weir::start(with_files);
    assert_eq!(http::visit(web).expect("an answer"), "new");
    assert_eq!(weir.target("files", new.address)["instance_id"], "ins-1");
    let needed = refused(&weir, "DELETE /v1/inventory/instances/ins-1", &json!({}));
    assert!(needed.0 == 409 && needed.1.contains("no instance \"ins-1\""), "the file needs it: {needed:?}");
    assert_eq!(http::visit(web).expect("an answer"), "new", "nothing changed");
    let check = weir::run(&["check", "--config", weir.config_path().to_str().expect("a path")]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success() && said.contains("beside what the API had changed as of revision"), "{said}");
}

#[test]
fn r_g8_an_instance_that_is_deleted_by_the_api_is_unbound_and_requests_follow() {
    let folder = tempfile::tempdir().expect("a directory");
    let (config, web) = managed(folder.path(), "");
    let [gone, stays] = [1, 2].map(|last| place::free_on(Ipv4Addr::new(127, 203, 0, last)));
    let _targets = [(gone, "gone"), (stays, "stays")].map(|(at, name)| Target::start_at(at, http_target::named(name)));
    let weir = Weir::start(config);
    let machines = json!({ "instances": [
        { "id": "ins-1", "address": gone.ip() }, { "id": "ins-2", "address": stays.ip(), "zone": "z-2" },
    ]});
    weir.send("PATCH /v1/inventory", &machines);
    weir.send(&format!("POST {APP}"), &by_id("ins-1", gone.port()));
    weir.send(&format!("POST {APP}"), &by_id("ins-2", stays.port()));
    assert_eq!(weir.target("app", stays)["zone"], "z-2");
    weir.send("DELETE /v1/inventory/instances/ins-1", &json!({}));
    for _ in 0..6 {
        assert_eq!(http::visit(web).expect("an answer"), "stays");
    }
    let listed = weir.json("/v1/inventory");
    let expected =
        json!([{ "id": "ins-2", "address": stays.ip(), "zone": "z-2", "state": "running", "managed": "api" }]);
    assert_eq!(listed["instances"], expected);
    let released = json!({ "address": stays.ip(), "state": "released" });
    weir.send("PUT /v1/inventory/instances/ins-2", &released);
    assert_eq!(weir.json(APP)["targets"], json!([]));
    assert_eq!(http::ask(web, http::get("/")).expect("an answer").status(), 503);
}

#[test]
fn r_g9_instances_that_the_api_says_join_and_leave_are_bound_and_unbound_and_requests_follow() {
    let folder = tempfile::tempdir().expect("a directory");
    let (config, web) = managed(folder.path(), "");
    let first = place::free_on(Ipv4Addr::new(127, 204, 0, 1));
    let second = SocketAddr::new(Ipv4Addr::new(127, 204, 0, 2).into(), first.port());
    let _targets =
        [(first, "first"), (second, "second")].map(|(at, name)| Target::start_at(at, http_target::named(name)));
    let weir = Weir::start(config);
    weir.send("PUT /v1/inventory/instances/ins-1", &machine(first));
    weir.send("PUT /v1/inventory/instances/ins-2", &machine(second));
    let group = |instances: &[&str]| json!({ "instances": instances, "target_groups": [{ "group": "app", "port": first.port(), "weight": 30 }] });
    weir.send("PUT /v1/scaling-groups/asg", &group(&["ins-1"]));
    assert_eq!(weir.target("app", first)["weight"], 30);
    assert_eq!(http::visit(web).expect("an answer"), "first");
    weir.send("PUT /v1/scaling-groups/asg", &group(&["ins-2"]));
    for _ in 0..3 {
        assert_eq!(http::visit(web).expect("an answer"), "second");
    }
    let member = refused(&weir, &format!("DELETE {APP}"), &by_id("ins-2", second.port()));
    assert!(member.0 == 409 && member.1.contains("scaling group \"asg\""), "{member:?}");
    weir.send("DELETE /v1/scaling-groups/asg", &json!({}));
    assert_eq!(weir.json(APP)["targets"], json!([]));
}

#[test]
fn r_g6_under_single_a_balancer_that_was_emptied_elsewhere_does_not_come_back_by_the_api() {
    let folder = tempfile::tempdir().expect("a directory");
    let keys = "region = \"north\"\ncross_region = \"single\"";
    let (config, _) = managed(folder.path(), keys);
    let mut weir = Weir::start(config.clone());
    let machines = json!({ "instances": [
        { "id": "near", "address": "10.0.0.5" }, { "id": "far", "address": "10.9.0.5", "region": "south" },
    ]});
    weir.send("PATCH /v1/inventory", &machines);
    let near = weir.send(&format!("POST {APP}"), &by_id("near", 80));
    weir.send(&format!("DELETE {APP}"), &by_id("near", 80));
    weir.send(&format!("POST {APP}"), &by_id("far", 80));
    weir.send(&format!("DELETE {APP}"), &by_id("far", 80));
    let back = |weir: &Weir| {
        let by_hand = refused(weir, &format!("POST {APP}"), &by_id("near", 80));
        let restored = refused(weir, &format!("POST /v1/revisions/{near}/restore"), &json!({}));
        for (status, message) in [by_hand, restored] {
            assert!(status == 409 && message.contains("for good"), "{status} {message}");
        }
        assert_eq!(weir.json(APP)["targets"], json!([]));
    };
    back(&weir);
    weir.signal("KILL");
    weir.wait_for_end();
    let mut weir = Weir::start(config);
    back(&weir);
    weir.change(|config| config.keys = config.keys.replace("single", "multi"));
    weir.send(&format!("POST {APP}"), &by_id("near", 80));
}

#[test]
fn a_reload_that_would_take_a_target_of_the_apis_away_is_refused_and_says_which() {
    let folder = tempfile::tempdir().expect("a directory");
    let (config, _) = managed(folder.path(), "cross_network = true\nsnat_addresses = \"127.0.0.9\"");
    let mut weir = Weir::start(config.clone());
    let target = json!({ "targets": [{ "type": "idc", "address": "10.9.0.5", "port": 80 }] });
    weir.send(&format!("POST {APP}"), &target);
    let mut without = config;
    without.keys = format!("state_dir = \"{}\"", folder.path().display());
    assert_eq!(weir.reload(&without.to_toml()), Reload::Rejected);
    weir.says("target 10.9.0.5:80 of the API: ");
    assert_eq!(weir.json(APP)["targets"][0]["address"], "10.9.0.5");
    // A start serves all the others, and says who waits.
    weir.signal("KILL");
    weir.wait_for_end();
    let weir = Weir::start(without);
    assert_eq!(weir.json(APP)["targets"], json!([]));
    let left_out = weir.json("/v1/balancer")["left_out"].to_string();
    assert!(left_out.contains("10.9.0.5:80"), "{left_out}");
    weir.send(&format!("DELETE {APP}"), &json!({ "targets": [{ "address": "10.9.0.5", "port": 80 }] }));
    assert_eq!(weir.json("/v1/balancer")["left_out"], json!([]));
}

#[test]
fn mistakes_about_machines_are_said_and_change_nothing() {
    let folder = tempfile::tempdir().expect("a directory");
    let (mut config, _) = managed(folder.path(), "");
    config.tables = "[[instance]]\nid = \"ins-f\"\naddress = \"10.0.0.9\"\n".into();
    let weir = Weir::start(config);
    let before = weir.json("/v1/balancer")["revision"].clone();
    for (line, body, status, says) in [
        ("PUT /v1/inventory/instances/ins-1", json!({}), 400, "missing field `address`"),
        ("PUT /v1/inventory/instances/ins-1", json!({ "address": "10.0.0.5", "adress": 1 }), 400, "unknown field"),
        ("PUT /v1/inventory/instances/ins-1", json!({ "id": "ins-2", "address": "10.0.0.5" }), 400, "body has id"),
        ("PUT /v1/inventory/instances/ins-1", json!([]), 400, "cannot be read"),
        (
            "PUT /v1/inventory/instances/a%20b",
            machine(SocketAddr::from(([10, 0, 0, 5], 1))),
            404,
            "nothing of the name",
        ),
        ("PUT /v1/inventory/instances/ins-1", json!({ "address": "0.0.0.0" }), 422, "address"),
        (
            "PUT /v1/inventory/instances/ins-1",
            json!({ "address": "10.0.0.9" }),
            422,
            "is an address of instance \"ins-f\"",
        ),
        ("PUT /v1/inventory/instances/ins-f", json!({ "address": "10.0.0.5" }), 409, "belongs to the config file"),
        ("DELETE /v1/inventory/instances/ins-f", json!({}), 409, "belongs to the config file"),
        ("DELETE /v1/inventory/enis/eni-1", json!({}), 404, "no ENI \"eni-1\""),
        ("PUT /v1/inventory/enis/eni-1", json!({ "addresses": [] }), 422, "one address at least"),
        (
            "PUT /v1/inventory/enis/eni-1",
            json!({ "instance_id": "x", "addresses": ["10.0.0.7"] }),
            422,
            "no instance \"x\"",
        ),
        ("PUT /v1/scaling-groups/asg", json!({ "instances": ["x"] }), 422, "no instance \"x\""),
        (
            "PUT /v1/scaling-groups/asg",
            json!({ "target_groups": [{ "group": "x", "port": 1 }] }),
            422,
            "no target group \"x\"",
        ),
        (
            "PUT /v1/scaling-groups/asg",
            json!({ "health_type": "elb", "webhook": "http://127.0.0.1:1/" }),
            422,
            "webhook",
        ),
        ("PATCH /v1/inventory", json!({ "instances": [] }), 422, "no record"),
        (
            "PATCH /v1/inventory",
            json!({ "instances": [{ "id": "a", "address": "10.0.0.5" }], "enis": [{ "id": "e", "addresses": ["10.0.0.5"], "instance_id": "b" }] }),
            422,
            "no instance \"b\"",
        ),
    ] {
        let (code, message) = refused(&weir, line, &body);
        assert!(code == status && message.contains(says), "{line} {body}: {code} {message}");
    }
    assert_eq!(weir.json("/v1/balancer")["revision"], before);
    assert_eq!(weir.json("/v1/inventory")["instances"].as_array().expect("a list").len(), 1);
}

#[test]
fn r_g8_a_restore_binds_no_target_of_an_instance_that_was_released_since() {
    let folder = tempfile::tempdir().expect("a directory");
    let (mut config, _) = managed(folder.path(), "");
    let instance = |state: &str| format!("[[instance]]\nid = \"ins-f\"\naddress = \"10.0.0.9\"\nstate = \"{state}\"\n");
    config.tables = instance("running");
    let mut weir = Weir::start(config);
    let other = json!({ "targets": [{ "address": "10.0.0.5", "port": 80 }] });
    weir.send(&format!("POST {APP}"), &by_id("ins-f", 80));
    let both = weir.send(&format!("POST {APP}"), &other);
    weir.change(|config| config.tables = instance("released"));
    weir.send(&format!("DELETE {APP}"), &other);
    weir.send(&format!("POST /v1/revisions/{both}/restore"), &json!({}));
    let targets = weir.json(APP)["targets"].clone();
    assert_eq!(targets.as_array().map(Vec::len), Some(1), "{targets}");
    assert_eq!(targets[0]["address"], "10.0.0.5");
}
