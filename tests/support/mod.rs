//! What the whole-process tests are built from: the balancer as its own process, targets that misbehave on demand, clients
//! that count what they see.
//!
//!     config --> weir (process) <--signals, admin API-- test
//!                  ^      `--> targets (threads here, or nginx)
//!     clients -----'
//!
//! Everything is on loopback. Nothing asserts a duration: what should happen is awaited for up to `PATIENCE`.
//! Always: what a test started ends with it, and the balancer's log is printed when it fails.
#![forbid(unsafe_code)]

pub mod admin;
pub mod client;
pub mod config;
pub mod handlers;
pub mod http;
pub mod http_target;
pub mod load;
pub mod namespace;
pub mod nginx;
pub mod place;
pub mod proc;
pub mod python;
pub mod target;
pub mod tls;
pub mod weir;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that should happen at once. Generous: the machine may be busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(30);

const PROBE_PAUSE: Duration = Duration::from_millis(20);

/// Probes until there is an answer; fails the test after `PATIENCE`.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "still not so after {PATIENCE:?}: {what}");
        thread::sleep(PROBE_PAUSE);
    }
}

/// Whether this host has a program. A test without it says so and counts as passed, but where all are to be there: with `CI` set,
/// as .ci/run does, nothing is left out unseen.
pub fn is_installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|found| found.status.success()) || skipped(&format!("{program} is not installed"))
}

/// Something is missing that a test needs; see `is_installed`. Always `false`.
pub fn skipped(why: &str) -> bool {
    let is_strict = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!is_strict, "{why}, and CI is set: ./x test installs what is missing, as root on Debian");
    println!("skipped: {why}");
    false
}

/// Makes a file that other accounts have no access to.
pub fn write_secret(path: impl AsRef<Path>, text: &str) {
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("write the secret");
}

/// Probes until the condition holds; fails the test after `PATIENCE`.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}
