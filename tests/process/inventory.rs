//! Targets that are named by the machines and interfaces of the inventory.

use std::net::SocketAddr;

use crate::support::config::Config;
use crate::support::target::Target;
use crate::support::weir::{Reload, Weir};
use crate::support::{client, handlers, wait_until};

/// A check every five minutes: only the first one comes while a test runs, but for what is asked for.
const SLOW_CHECK: &str = r#"protocol = "tcp", interval = "300s", timeout = "2s""#;

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
