//! `weir-loadgen serve` as a process of the test's.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::BINARY;

/// A server that runs. Killed when dropped.
pub struct Server {
    pub address: SocketAddr,
    process: Child,
}

impl Server {
    /// Serves `protocol and options` on a free port of 127.0.0.1.
    pub fn start(line: &str) -> Self {
        Server::start_on("127.0.0.1:0", line)
    }

    /// Serves there; ready when this returns.
    pub fn start_on(address: &str, line: &str) -> Self {
        let mut process = Command::new(BINARY)
            .arg("serve")
            .args(line.split_whitespace())
            .args(["--listen", address])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut said = String::new();
        let out = process.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut said).expect("it says something");
        let address = said.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        Server { address: address.unwrap_or_else(|| panic!("where it listens: {said:?}")), process }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// It stays, and answers nobody: a host that hangs.
    pub fn freeze(&self) {
        let status = Command::new("kill").args(["-s", "STOP", &self.process.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -s STOP");
    }

    /// As a crash would end it.
    pub fn kill(&mut self) {
        // It has ended already, perhaps.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
