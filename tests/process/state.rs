//! `state_dir`: who may have it, and what a start does with a state that is not whole. Saving itself is tested beside the store.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::SystemTime;

use tempfile::TempDir;
use weir::control::{Saved, Store};

use crate::support::config::Config;
use crate::support::wait_until;
use crate::support::weir::{Weir, run};

fn config(state_dir: &Path) -> Config {
    let mut config = Config::relay(&[]).0;
    config.keys = format!("state_dir = \"{}\"", state_dir.display());
    config
}

/// A start that is refused: it ends by itself.
fn refused(dir: &Path, config: &Config) -> String {
    let path = dir.join("weir.toml");
    fs::write(&path, config.to_toml()).expect("write the config");
    let Output { status, stderr, .. } = run(&["run", "--config", path.to_str().expect("UTF-8")]);
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).expect("UTF-8")
}

fn save(folder: &Path, revisions: &[u64]) {
    let (mut store, _) = Store::open(folder).expect("it opens");
    for revision in revisions.iter().copied() {
        let body = b"{\"changes\":{}}".to_vec();
        let saved = Saved { revision, at: SystemTime::now(), who: "test".into(), what: "a change".into(), body };
        store.save(&saved).expect("it is saved");
    }
}

#[test]
fn r_k4_a_torn_state_ends_the_start_and_the_command_it_gives_goes_on_with_the_previous_one() {
    let dir = TempDir::new().expect("a directory");
    let folder = dir.path().join("state");
    save(&folder, &[1, 2]);
    let newest = folder.join("revision-2");
    let bytes = fs::read(&newest).expect("it is there");
    fs::write(&newest, &bytes[..bytes.len() - 1]).expect("it is torn");

    let config = config(&folder);
    let said = refused(dir.path(), &config);
    assert!(said.contains("state/revision-2: the file is torn"), "{said}");
    assert!(said.contains("revision 1 of "), "{said}");
    let (_, command) = said.trim_end().rsplit_once("start again: ").expect("it says how to go on");
    assert!(Command::new("sh").args(["-ec", command]).status().expect("sh").success(), "{command}");

    let weir = Weir::start(config);
    let log = weir.log();
    assert!(!log.lines().any(|line| line.contains("WARN") && line.contains("state_dir")), "{log}");
    assert!(folder.join("revision-2.aside").exists());
}

#[test]
fn r_k4_one_process_has_the_state_until_it_ends_however_it_ends() {
    let dir = TempDir::new().expect("a directory");
    let folder = dir.path().join("state");
    let mut first = Weir::start(config(&folder));
    let said = refused(dir.path(), &config(&folder));
    assert!(said.contains(&format!("is in use by process {}; ", first.pid())), "{said}");
    first.signal("KILL");
    first.wait_for_end();
    Weir::start(config(&folder));
}

#[test]
fn a_state_dir_that_changes_is_read_at_the_next_start() {
    let dir = TempDir::new().expect("a directory");
    let mut weir = Weir::start(config(&dir.path().join("a")));
    let other = dir.path().join("b");
    weir.change(|config| config.keys = format!("state_dir = \"{}\"", other.display()));
    let says = "state_dir of [balancer] changed and is read at start only: restart weir to apply it";
    wait_until("the log says so", || weir.log().contains(says));
    assert!(!other.exists());
}
