//! Changes by the API: what follows at once, what is kept, and what is refused (requirements G10, W1 to W3, K1, K4).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::config::{Config, Group};
use crate::support::target::Target;
use crate::support::weir::{Reload, Weir};
use crate::support::{admin, client, handlers, http, http_target, place, wait_until};

const APP: &str = "/v1/target-groups/app/targets";

/// An http listener in front of group `app`, which is the API's, and a folder that keeps what it changes.
fn managed(state_dir: &Path) -> (Config, SocketAddr) {
    let (mut config, web) = Config::http(&[]);
    config.app().keys = "managed = \"api\"".into();
    config.keys = format!("state_dir = \"{}\"", state_dir.display());
    (config, web)
}

fn targets(targets: &[SocketAddr]) -> Value {
    let one = |target: &SocketAddr| json!({ "address": target.ip(), "port": target.port() });
    json!({ "targets": targets.iter().map(one).collect::<Vec<_>>() })
}

fn weight(target: SocketAddr, weight: u8) -> Value {
    json!({ "targets": [{ "address": target.ip(), "port": target.port(), "weight": weight }] })
}

/// Status and code of what is refused; each has a message and a hint.
fn refused(weir: &Weir, line: &str, headers: &str, body: &str) -> (u16, String) {
    let reply = admin::send(weir.config.admin, line, headers, body).expect("the admin endpoint answers");
    let answer: Value = serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{}: {error}", reply.body));
    let error = &answer["error"];
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    assert!(error["hint"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    (reply.status, error["code"].as_str().expect("a code").to_owned())
}

fn visits(web: SocketAddr, count: usize) -> Vec<String> {
    let mut names: Vec<String> = (0..count).map(|_| http::visit(web).expect("an answer")).collect();
    names.sort();
    names
}

#[test]
fn r_g10_r_w1_targets_are_registered_weighed_moved_and_removed_and_requests_follow_at_once() {
    let folder = tempfile::tempdir().expect("a directory");
    let (config, web) = managed(folder.path());
    // One shard: each has turns of its own, so that shares are exact of one alone.
    let weir = Weir::start(config.shards(1));
    assert_eq!(http::ask(web, http::get("/")).expect("an answer").status(), 503);
    let [a, b, c] = ["a", "b", "c"].map(http_target::start);

    let first = weir.send(&format!("POST {APP}"), &targets(&[a.address, b.address]));
    assert_eq!(visits(web, 20), [vec!["a"; 10], vec!["b"; 10]].concat());
    assert_eq!(weir.send(&format!("PATCH {APP}"), &weight(a.address, 0)), first + 1);
    assert_eq!(visits(web, 10), ["b"; 10]);
    weir.send(&format!("PATCH {APP}"), &weight(a.address, 40));
    assert_eq!(visits(web, 50).iter().filter(|name| *name == "a").count(), 40);

    // b moves to where c answers: to the balancer that is another target.
    let moved = json!({ "address": b.address.ip(), "port": b.address.port(), "new_port": c.address.port() });
    weir.send(&format!("PATCH {APP}"), &json!({ "targets": [moved] }));
    assert!(!visits(web, 10).contains(&"b".to_owned()));
    weir.send(&format!("DELETE {APP}"), &targets(&[a.address]));
    assert_eq!(visits(web, 10), ["c"; 10]);
    let last = weir.send(&format!("DELETE {APP}"), &targets(&[c.address]));
    assert_eq!(http::ask(web, http::get("/")).expect("an answer").status(), 503);

    let revisions = weir.json("/v1/revisions");
    let revision = revisions["revisions"].as_array().expect("a list").last().expect("the last").clone();
    assert_eq!(revision["revision"], last);
    assert!(revision["who"].as_str().is_some_and(|who| who.starts_with("api client 127.0.0.1:")), "{revision}");
    assert_eq!(revision["what"], json!([format!("target group \"app\": target {}: removed", c.address)]));
}

/// Two machines, another address of an interface, and one in a data centre: bound, weighed, moved and unbound.
#[test]
fn r_g2_r_g3_r_g10_the_walk_of_the_guide_and_requests_follow_each_step() {
    let [first, second, third, fourth] = [1, 2, 3, 4].map(|last| place::free_on(Ipv4Addr::new(127, 201, 0, last)));
    let _targets = [(first, "cvm 1"), (second, "cvm 2"), (third, "eni"), (fourth, "idc")]
        .map(|(address, name)| Target::start_at(address, http_target::named(name)));
    let folder = tempfile::tempdir().expect("a directory");
    let (mut config, web) = managed(folder.path());
    config.keys += "\ncross_network = true\nsnat_addresses = \"127.0.0.9\"";
    config.tables = format!(
        "[[instance]]\nid = \"ins-1\"\naddress = \"{}\"\n[[instance]]\nid = \"ins-2\"\naddress = \"{}\"\n\
         [[eni]]\nid = \"eni-1\"\ninstance_id = \"ins-2\"\naddresses = \"{}\"\n",
        first.ip(),
        second.ip(),
        third.ip()
    );
    let weir = Weir::start(config.shards(1));
    let answers = |count| {
        let mut names = visits(web, count);
        names.dedup();
        names
    };
    let types = || {
        let targets = weir.json(APP)["targets"].as_array().expect("a list").clone();
        targets.iter().map(|target| target["type"].as_str().expect("a type").to_owned()).collect::<Vec<_>>()
    };

    let instances = json!({ "targets": [
        { "instance_id": "ins-1", "port": first.port() },
        { "instance_id": "ins-2", "port": second.port() },
    ]});
    weir.send(&format!("POST {APP}"), &instances);
    assert_eq!(answers(20), ["cvm 1", "cvm 2"]);
    let others = json!({ "targets": [
        { "type": "eni", "eni_id": "eni-1", "port": third.port() },
        { "type": "idc", "address": fourth.ip(), "port": fourth.port() },
    ]});
    weir.send(&format!("POST {APP}"), &others);
    assert_eq!(types(), ["cvm", "cvm", "eni", "idc"]);
    assert_eq!(weir.target("app", second)["instance_id"], "ins-2");
    assert_eq!(answers(40), ["cvm 1", "cvm 2", "eni", "idc"]);

    weir.send(&format!("PATCH {APP}"), &weight(first, 0));
    assert_eq!(answers(30), ["cvm 2", "eni", "idc"]);
    let many = [(first, 100), (second, 0), (third, 0)];
    let many = many.map(|(at, weight)| json!({ "address": at.ip(), "port": at.port(), "weight": weight }));
    weir.send(&format!("PATCH {APP}"), &json!({ "targets": many }));
    let names = visits(web, 110);
    assert_eq!(names.iter().filter(|name| *name == "cvm 1").count(), 100, "100 to 10");

    let moved = Target::start_at(place::free_on(Ipv4Addr::new(127, 201, 0, 4)), http_target::named("idc, moved"));
    let port = json!({ "address": fourth.ip(), "port": fourth.port(), "new_port": moved.address.port() });
    weir.send(&format!("PATCH {APP}"), &json!({ "targets": [port] }));
    weir.send(&format!("DELETE {APP}"), &targets(&[first]));
    assert_eq!(answers(10), ["idc, moved"]);
    weir.send(&format!("DELETE {APP}"), &targets(&[second, third, moved.address]));
    assert_eq!(types(), Vec::<String>::new());
    assert_eq!(http::ask(web, http::get("/")).expect("an answer").status(), 503);

    let wrong = json!({ "targets": [{ "type": "eni", "address": first.ip(), "port": 80 }] }).to_string();
    assert_eq!(refused(&weir, &format!("POST {APP}"), "", &wrong), (422, "invalid".into()), "a primary address");
}

#[test]
fn r_g10_a_list_is_one_revision_or_nothing() {
    let folder = tempfile::tempdir().expect("a directory");
    let (config, _) = managed(folder.path());
    let weir = Weir::start(config);
    let before = weir.json("/v1/balancer")["revision"].as_u64().expect("a number");
    let many: Vec<SocketAddr> = (1..=500).map(|port| SocketAddr::from(([10, 0, 0, 5], port))).collect();
    assert_eq!(weir.send(&format!("POST {APP}"), &targets(&many)), before + 1);
    let with_a_twin = [SocketAddr::from(([10, 0, 0, 6], 80)), many[7]];
    let body = targets(&with_a_twin).to_string();
    assert_eq!(refused(&weir, &format!("POST {APP}"), "", &body), (409, "conflict".into()));
    assert_eq!(weir.json("/v1/balancer")["revision"], before + 1);
    assert_eq!(weir.json(APP)["targets"].as_array().expect("a list").len(), 500);
    assert_eq!(weir.send(&format!("DELETE {APP}"), &targets(&many)), before + 2);
}

#[test]
fn r_l4_a_tcp_listener_accepts_once_its_group_has_a_target() {
    let folder = tempfile::tempdir().expect("a directory");
    let (mut config, web) = Config::relay(&[]);
    config.app().keys = "managed = \"api\"".into();
    config.keys = format!("state_dir = \"{}\"", folder.path().display());
    let weir = Weir::start(config);
    assert_eq!(TcpStream::connect(web).expect_err("nothing listens").kind(), std::io::ErrorKind::ConnectionRefused);
    let target = Target::start(handlers::identify("a"));
    weir.send(&format!("POST {APP}"), &targets(&[target.address]));
    assert_eq!(client::ask(web).expect("an answer"), "a");
    weir.send(&format!("DELETE {APP}"), &targets(&[target.address]));
    assert_eq!(TcpStream::connect(web).expect_err("nothing listens").kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn r_k4_what_the_api_changed_outlives_a_kill_and_revisions_go_on() {
    let folder = tempfile::tempdir().expect("a directory");
    let [a, b] = ["a", "b"].map(http_target::start);
    let (mut config, web) = managed(folder.path());
    config = config.group(Group::http("files").target(b.address, 10));
    let mut weir = Weir::start(config.clone());
    weir.send(&format!("POST {APP}"), &targets(&[a.address]));
    let last = weir.send("PATCH /v1/target-groups/files/targets", &weight(b.address, 0));
    weir.signal("KILL");
    weir.wait_for_end();

    let mut weir = Weir::start(config);
    assert_eq!(visits(web, 3), ["a"; 3]);
    assert_eq!(weir.target("files", b.address)["weight"], 0);
    let now = weir.json("/v1/balancer")["revision"].as_u64().expect("a number");
    assert_eq!(now, last + 1, "the start is a revision, too");
    // A reload leaves it, and the file's own value comes back when the API says the same.
    weir.change(|config| config.app().keys += "\nretries = 1");
    assert_eq!(weir.target("files", b.address)["weight"], 0);
    weir.send("PATCH /v1/target-groups/files/targets", &weight(b.address, 10));
    assert_eq!(weir.target("files", b.address)["weight"], 10);

    // As of before the weight.
    weir.send(&format!("DELETE {APP}"), &targets(&[a.address]));
    assert_eq!(weir.json(APP)["targets"], json!([]));
    weir.send(&format!("POST /v1/revisions/{last}/restore"), &json!({}));
    assert_eq!(visits(web, 3), ["a"; 3]);
    assert_eq!(weir.target("files", b.address)["weight"], 0);
    let missing = refused(&weir, "POST /v1/revisions/999/restore", "", "");
    assert_eq!(missing, (404, "not_found".into()));
}

#[test]
fn r_k4_a_weight_is_kept_beside_what_the_file_says_now_be_it_that_its_reload_changed_nothing() {
    let folder = tempfile::tempdir().expect("a directory");
    let target = http_target::start("a");
    let (config, _) = managed(folder.path());
    let mut weir = Weir::start(config.group(Group::http("files").target(target.address, 10)));
    let weigh = |weir: &Weir, to| weir.send("PATCH /v1/target-groups/files/targets", &weight(target.address, to));
    let first = weigh(&weir, 5);
    let reloaded = weir.reload(&weir.config.to_toml().replace("weight = 10", "weight = 20"));
    assert_eq!(reloaded, Reload::Applied);
    assert_eq!(weir.json("/v1/balancer")["revision"], first, "nothing that is in effect is another");
    weigh(&weir, 10);
    assert_eq!(weir.reload(&weir.config.to_toml().replace("weight = 10", "weight = 30")), Reload::Applied);
    assert_eq!(weir.target("files", target.address)["weight"], 10);
}

#[test]
fn r_k1_a_change_for_another_revision_is_refused_and_one_that_comes_again_is_made_once() {
    let folder = tempfile::tempdir().expect("a directory");
    let (config, _) = managed(folder.path());
    let weir = Weir::start(config);
    let (line, target) = (format!("POST {APP}"), SocketAddr::from(([10, 0, 0, 5], 80)));
    let body = targets(&[target]).to_string();
    let now = weir.json("/v1/balancer")["revision"].as_u64().expect("a number");
    let stale = format!("If-Match: {}\r\n", now - 1);
    assert_eq!(refused(&weir, &line, &stale, &body), (412, "other_revision".into()));
    let headers = format!("If-Match: \"{now}\"\r\nIdempotency-Key: k1\r\n");
    for _ in 0..3 {
        let reply = admin::send(weir.config.admin, &line, &headers, &body).expect("an answer");
        assert_eq!((reply.status, reply.body), (200, json!({ "revision": now + 1 }).to_string()));
    }
    let other = targets(&[SocketAddr::from(([10, 0, 0, 6], 80))]).to_string();
    assert_eq!(refused(&weir, &line, "Idempotency-Key: k1\r\n", &other), (409, "conflict".into()));
    assert_eq!(weir.json("/v1/balancer")["revision"], now + 1);
}

#[test]
fn bad_requests_of_the_api_say_what_is_wrong_and_change_nothing() {
    let folder = tempfile::tempdir().expect("a directory");
    let (mut config, _) = managed(folder.path());
    config = config.group(Group::http("files").target(place::free(), 10));
    let of_the_file = config.groups[1].targets[0].0;
    let weir = Weir::start(config);
    let before = weir.json("/v1/balancer")["revision"].clone();
    let post = format!("POST {APP}");
    let huge = format!("{{\"targets\":[\"{}\"]}}", "x".repeat(2 << 20));
    for (line, body, expected) in [
        (&*post, "", (400, "bad_request")),
        (&*post, "[]", (400, "bad_request")),
        (&*post, "{\"targets\":7}", (400, "bad_request")),
        (&*post, "{\"targets\":[{\"address\":\"10.0.0.5\",\"port\":\"80\"}]}", (400, "bad_request")),
        (&*post, "{\"targets\":[{\"address\":\"10.0.0.5\",\"port\":80,\"wieght\":1}]}", (400, "bad_request")),
        (&*post, "{\"targets\":[{\"address\":\"10.0.0.5\",\"port\":70000}]}", (400, "bad_request")),
        (&*post, "{\"targets\":[{\"address\":\"10.0.0.5\",\"port\":80,\"weight\":101}]}", (422, "invalid")),
        (&*post, "{\"targets\":[]}", (422, "invalid")),
        (&*post, &*huge, (413, "too_large")),
        (
            "POST /v1/target-groups/nobody/targets",
            "{\"targets\":[{\"address\":\"10.0.0.5\",\"port\":80}]}",
            (404, "not_found"),
        ),
        (
            "POST /v1/target-groups/files/targets",
            "{\"targets\":[{\"address\":\"10.0.0.5\",\"port\":80}]}",
            (409, "conflict"),
        ),
        ("DELETE /v1/target-groups/files/targets", &*targets(&[of_the_file]).to_string(), (409, "conflict")),
        ("PUT /v1/target-groups/app/targets", "{}", (405, "method_not_allowed")),
        ("POST /v1/revisions/x/restore", "", (404, "not_found")),
    ] {
        let (status, code) = expected;
        assert_eq!(refused(&weir, line, "", body), (status, code.to_owned()), "{line} {body:.60}");
    }
    assert_eq!(refused(&weir, &post, "If-Match: soon\r\n", "{\"targets\":[]}"), (400, "bad_request".into()));
    assert_eq!(weir.json("/v1/balancer")["revision"], before);
}

#[test]
fn r_k1_a_reload_by_the_api_says_what_is_wrong_with_the_file() {
    let folder = tempfile::tempdir().expect("a directory");
    let (config, web) = managed(folder.path());
    let a = http_target::start("a");
    let weir = Weir::start(config);
    weir.send(&format!("POST {APP}"), &targets(&[a.address]));
    let text = weir.config.to_toml();
    std::fs::write(weir.config_path(), text.replace("managed = \"api\"", "managed = \"nobody\"")).expect("written");
    let reply = admin::send(weir.config.admin, "POST /v1/reload", "", "").expect("an answer");
    assert!(reply.status == 422 && reply.body.contains("managed"), "{}", reply.body);
    std::fs::write(weir.config_path(), text).expect("written");
    weir.send("POST /v1/reload", &json!({}));
    assert_eq!(visits(web, 3), ["a"; 3]);
}

/// docs/api.md, as a reader would paste it.
#[test]
fn the_examples_of_the_guide_work() {
    let guide = include_str!("../../docs/api.md");
    let mut examples = guide.split("```sh\n").skip(1).map(|rest| rest.split_once("```").expect("its end").0);
    let folder = tempfile::tempdir().expect("a directory");
    let (config, _) = managed(folder.path());
    let weir = Weir::start(config);
    let mut run = |first: &str, requests: usize| {
        let examples = examples.find(|examples| examples.starts_with(first)).expect("examples");
        assert_eq!(examples.matches("curl ").count(), requests, "{examples}");
        let script = examples.replace("127.0.0.1:9900", &weir.config.admin.to_string()).replace("curl ", "curl -sSf ");
        let output = Command::new("sh").args(["-ec", &script]).output().expect("sh");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run("api=", 4);
    assert_eq!(shown(&weir), Model::from([((6, 8080), 20)]));
    run("inventory=", 6);
    assert_eq!(shown(&weir), Model::from([((6, 8080), 20), ((8, 8080), 10)]));
    assert_eq!(weir.json("/v1/inventory")["enis"][0]["instance_id"], "ins-2");
}

#[test]
fn without_a_state_dir_the_api_changes_nothing() {
    let (mut config, _) = Config::http(&[]);
    config.app().keys = "managed = \"api\"".into();
    let weir = Weir::start(config);
    let body = targets(&[SocketAddr::from(([10, 0, 0, 5], 80))]).to_string();
    assert_eq!(refused(&weir, &format!("POST {APP}"), "", &body), (409, "conflict".into()));
    wait_until("it still answers", || weir.json(APP)["targets"] == json!([]));
}

/// The targets of the group: last byte of the address and port, and the weight.
type Model = BTreeMap<(u8, u16), u8>;

fn shown(weir: &Weir) -> Model {
    let one = |target: &Value| {
        let address: Ipv4Addr = target["address"].as_str().expect("text").parse().expect("an address");
        let number = |key: &str| target[key].as_u64().expect("a number");
        let port = u16::try_from(number("port")).expect("a port");
        ((address.octets()[3], port), u8::try_from(number("weight")).expect("a weight"))
    };
    weir.json(APP)["targets"].as_array().expect("a list").iter().map(one).collect()
}
