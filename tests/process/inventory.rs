//! Targets that are named by the machines and interfaces of the inventory.

use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::support::config::Config;
use crate::support::target::Target;
use crate::support::weir::{Reload, Weir};
use crate::support::{PATIENCE, client, handlers, http, http_target, wait_until};

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
    assert!(weir.log().contains("instance \"ins-1\" is isolated; take it out of isolation, or bind another one"));
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
    assert!(weir.log().contains("target group \"app\": target #1: instance \"ins-1\" is released; bind another one"));
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
    assert!(weir.log().contains("the targets have left region \"north\" for good"));
    weir.change(|config| config.keys = keys("multi", "north"));
    assert_eq!(weir.target("app", target.address)["region"], "north");
    assert_eq!(client::ask(web).expect("an answer"), "a");
}
