//! Python programs as clients and targets: its standard library and the websockets package are what many people drive HTTP with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::{PATIENCE, client, place, wait_until};

/// An interpreter that has a module; says so if there is none.
pub fn with(module: &str) -> Option<&'static str> {
    let has_it = |python: &&str| {
        let import = format!("import {module}");
        Command::new(python).args(["-c", &import]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    // Another Python may be first in the path than the one that the distribution's packages are for.
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_it);
    if found.is_none() {
        super::skipped(&format!("python3 with {module} is not installed"));
    }
    found
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/python").join(name)
}

/// Runs a program of tests/support/python to its end. It has steps, each of which may take `PATIENCE`, and says which one did.
pub fn run(python: &str, name: &str, arguments: &[&str]) -> Output {
    let limit = (4 * PATIENCE).as_secs().to_string();
    Command::new("timeout").args([&limit, python]).arg(script(name)).args(arguments).output().expect("timeout starts")
}

/// As `run`; it must succeed.
pub fn succeeds(python: &str, name: &str, arguments: &[&str]) {
    let Output { status, stdout, stderr } = run(python, name, arguments);
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{name} {arguments:?}: {status}\n{stdout}{stderr}");
}

/// A program that serves. Killed when dropped.
pub struct Server {
    pub address: SocketAddr,
    process: Child,
}

impl Server {
    /// Starts one that listens on the address and port that are its arguments.
    pub fn start(python: &str, name: &str) -> Self {
        let address = place::free();
        let process = Command::new(python)
            .arg(script(name))
            .args([address.ip().to_string(), address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python starts");
        wait_until(&format!("{name} listens"), || client::connect(address).is_ok());
        Server { address, process }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
