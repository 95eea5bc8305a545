//! `state_dir`: who may have it, and what a start does with a state that is not whole. Saving itself is tested beside the store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::SystemTime;

use tempfile::TempDir;
use weir::control::{Saved, Store};

use crate::support::config::Config;
use crate::support::weir::{BINARY, Weir, run};

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
    weir.says("serving");
    let log = weir.log();
    assert!(!log.lines().any(|line| line.contains("WARN") && line.contains("state_dir")), "{log}");
    assert!(folder.join("revision-2.aside").exists());
}

/// What check says of a config with this state, and how it ends.
fn checked(dir: &Path, text: &str) -> (Option<i32>, String) {
    let path = dir.join("weir.toml");
    fs::write(&path, text).expect("write the config");
    let mut command = Command::new(BINARY);
    // Root may read anything: some other account looks.
    let output = command.args(["check", "--config"]).arg(path).uid(NOBODY).gid(NOBODY).output().expect("it starts");
    (output.status.code(), text_of(&output))
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn check_refuses_a_state_that_no_start_goes_on_with_and_says_so_beside_the_mistakes_of_the_file() {
    let dir = TempDir::new().expect("a directory");
    let folder = dir.path().join("state");
    save(&folder, &[1, 2]);
    let newest = folder.join("revision-2");
    let good = fs::read(&newest).expect("it is there");
    let text = config(&folder).to_toml();
    let mistaken = text.replace("[balancer]", "[balancer]\nnane = \"x\"");
    assert_ne!(text, mistaken);
    let torn = &good[..good.len() - 1];
    for (bytes, why) in [(torn, "the file is torn"), (b"something else", "is not a file that weir saved")] {
        fs::write(&newest, bytes).expect("it is damaged");
        let refused = refused(dir.path(), &config(&folder));
        assert!(refused.contains(why), "{refused}");
        let path = dir.path().join("weir.toml").display().to_string();
        let output = run(&["check", "--config", &path]);
        let said = text_of(&output);
        assert!(output.status.code() == Some(1) && said.contains(why) && said.contains(".aside"), "{said}");
        fs::write(&path, &mistaken).expect("write the config");
        let output = run(&["check", "--config", &path]);
        let said = text_of(&output);
        assert!(output.status.code() == Some(1) && said.contains(why) && said.contains("nane"), "{said}");
    }
    // Whole, and of a weir that keeps other things.
    fs::remove_file(&newest).expect("it is there");
    let (mut store, _) = Store::open(&folder).expect("it opens");
    let (at, who, what) = (SystemTime::now(), "test".into(), "a change".into());
    store.save(&Saved { revision: 3, at, who, what, body: b"{\"later\":1}".to_vec() }).expect("it is saved");
    drop(store);
    let refused = refused(dir.path(), &config(&folder));
    let output = run(&["check", "--config", dir.path().join("weir.toml").to_str().expect("UTF-8")]);
    let why = "not what this version of weir keeps";
    assert!(refused.contains(why) && text_of(&output).contains(why), "{refused}{}", text_of(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn check_by_an_account_that_may_not_read_the_state_says_so_also_beside_mistakes() {
    let dir = TempDir::new().expect("a directory");
    let folder = dir.path().join("state");
    save(&folder, &[1]);
    if !may_be_another() {
        return;
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
    let text = config(&folder).to_toml();
    let note = "not beside what the API changed: ";
    let (code, said) = checked(dir.path(), &text);
    assert!(code == Some(0) && said.contains(note) && said.contains("OK: "), "{said}");
    let (code, said) = checked(dir.path(), &text.replace("[balancer]", "[balancer]\nnane = \"x\""));
    assert!(code == Some(1) && said.contains(note) && said.contains("nane"), "{said}");
}

/// Nobody's account, by custom.
const NOBODY: u32 = 65534;

/// Whether a process of another account can be started, which has access to the binary.
fn may_be_another() -> bool {
    let started = Command::new(BINARY).arg("--version").uid(NOBODY).gid(NOBODY).output();
    let may = started.is_ok_and(|output| output.status.success());
    if !may {
        println!("skipped: this account is not root, or {BINARY} is not everybody's to run");
    }
    may
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
    weir.says(says);
    assert!(!other.exists());
}
