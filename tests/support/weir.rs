//! The balancer as its own process, under a config of the test.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::admin::{self, Metrics, Reply};
use super::config::Config;
use super::{eventually, proc, tls, wait_until};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_weir");
/// The admin endpoint may answer with a report of the shards that is this old.
const REPORT_REUSE: Duration = Duration::from_millis(110);
const LOG_LINES_SHOWN: usize = 60;

/// A balancer that runs. Killed when dropped.
pub struct Weir {
    pub config: Config,
    process: Child,
    dir: TempDir,
    /// How it ended, where the test saw it.
    ended: Option<ExitStatus>,
}

/// What became of a reload.
#[derive(Debug, PartialEq, Eq)]
pub enum Reload {
    Applied,
    Rejected,
}

impl Weir {
    /// Starts one and waits until it is ready.
    pub fn start(config: Config) -> Self {
        Weir::start_under(&[], config, &[])
    }

    /// Starts one with further arguments, by way of another program, which must become it: `prlimit`, say.
    pub fn start_under(launcher: &[&str], config: Config, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("weir.toml"), config.to_toml()).expect("write the config");
        let log = File::create(dir.path().join("log")).expect("create the log");
        let mut words = launcher.iter().copied().chain([BINARY, "run", "--config"]);
        let process = Command::new(words.next().expect("never empty"))
            .args(words)
            .arg(dir.path().join("weir.toml"))
            .args(arguments)
            .env("RUST_LOG", "info")
            .stdout(log.try_clone().expect("dup"))
            .stderr(log)
            .spawn()
            .expect("weir starts");
        let mut weir = Weir { config, process, dir, ended: None };
        wait_until("weir is ready", || weir.still_runs() && weir.get("/readyz").is_ok_and(|reply| reply.status == 200));
        weir
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("weir.toml")
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -s {name}");
    }

    /// As the signal, without the time that another process takes to send it.
    pub fn kill(&mut self) {
        self.process.kill().expect("our own child");
    }

    /// Writes a changed config, reloads, and waits until it is in force.
    pub fn change(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        let text = self.config.to_toml();
        assert_eq!(self.reload(&text), Reload::Applied, "the changed config is good");
    }

    /// Reloads with this text as the config file, and waits for the outcome.
    pub fn reload(&mut self, text: &str) -> Reload {
        let (applied, rejected) = self.reloads();
        self.write_and_signal(text);
        eventually("the reload is over", || match self.reloads() {
            (now, _) if now > applied => Some(Reload::Applied),
            (_, now) if now > rejected => Some(Reload::Rejected),
            _ => None,
        })
    }

    /// As `reload`, without waiting. The file is exchanged in one step: a reload before may still be reading it.
    pub fn write_and_signal(&self, text: &str) {
        let new = self.dir.path().join("weir.toml.new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, self.config_path())).expect("write the config");
        self.signal("HUP");
    }

    fn reloads(&self) -> (usize, usize) {
        let metrics = self.metrics();
        let count = |result| metrics.count("weir_config_reload_total", &[("result", result)]);
        (count("success"), count("failure"))
    }

    pub fn get(&self, path: &str) -> io::Result<Reply> {
        match &self.config.admin_issuer {
            None => admin::get(self.config.admin, path),
            Some(issuer) => admin::get_on(tls::connect(self.config.admin, issuer)?, path),
        }
    }

    /// A change by the API, which must be made, be it when there may be more of them again. Returns its revision.
    pub fn send(&self, line: &str, body: &Value) -> u64 {
        let ask = || admin::send(self.config.admin, line, "", &body.to_string()).expect("the admin endpoint answers");
        let mut reply = ask();
        while reply.status == 429 {
            thread::sleep(reply.retry_after.expect("it says when"));
            reply = ask();
        }
        assert_eq!(reply.status, 200, "{line}: {}", reply.body);
        let answer: Value = serde_json::from_str(&reply.body).expect("JSON");
        answer["revision"].as_u64().expect("a revision")
    }

    pub fn metrics(&self) -> Metrics {
        thread::sleep(REPORT_REUSE);
        Metrics::parse(&self.get("/metrics").expect("/metrics").body)
    }

    /// One figure of /metrics.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        self.metrics().count(name, labels)
    }

    /// An answer of the API, which must be a good one.
    pub fn json(&self, path: &str) -> Value {
        let reply = self.get(path).expect("the admin endpoint answers");
        assert_eq!(reply.status, 200, "GET {path}: {}", reply.body);
        serde_json::from_str(&reply.body).expect("JSON")
    }

    /// A target as the API shows it, all shards taken together.
    pub fn target(&self, group: &str, address: SocketAddr) -> Value {
        let answer = self.json(&format!("/v1/target-groups/{group}/targets"));
        let (ip, port) = (address.ip().to_string(), address.port());
        let is_it = |target: &&Value| target["address"] == ip && target["port"] == port;
        let target = answer["targets"].as_array().into_iter().flatten().find(is_it);
        target.unwrap_or_else(|| panic!("{address} is listed: {answer}")).clone()
    }

    /// Its health, by the same.
    pub fn health(&self, group: &str, address: SocketAddr) -> Value {
        self.target(group, address)["health"].clone()
    }

    /// Waits until every shard sees the target in this state.
    pub fn wait_for_state(&self, group: &str, address: SocketAddr, state: &str) {
        wait_until(&format!("{address} is {state} on every shard"), || {
            let health = self.health(group, address);
            // Shards are shown one by one where they differ.
            health["state"] == state && health["shards"].is_null()
        });
    }

    /// Waits until this many client connections are open.
    pub fn wait_for_connections(&self, count: usize) {
        wait_until(&format!("{count} connections are open"), || self.metric("weir_connections_active", &[]) == count);
    }

    /// Does something that makes connections until each shard has accepted one of them. A connection goes to the shard of the
    /// core that it came by, which on loopback is its client's.
    pub fn on_every_shard(&self, what: impl Fn() + Sync) {
        let metrics = self.metrics();
        let shards: Vec<String> = (0..self.config.shards).map(|shard| shard.to_string()).collect();
        let accepted = |metrics: &Metrics, shard: &str| {
            metrics.count("weir_shard_connections_accepted_total", &[("shard", shard)])
        };
        wait_until("every shard has accepted one", || {
            proc::cores().into_iter().for_each(|core| proc::on_core(core, &what));
            let now = self.metrics();
            shards.iter().all(|shard| accepted(&now, shard) > accepted(&metrics, shard))
        });
    }

    pub fn resident_bytes(&self) -> u64 {
        proc::resident_bytes(self.pid())
    }

    /// The access log of `Config::http` so far.
    pub fn access_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default();
        // The last line may still be on its way.
        let (lines, _) = text.rsplit_once('\n').unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Waits for an entry of the access log.
    pub fn logged(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("the access log has {what}"), || self.access_log().into_iter().find(&is_it))
    }

    /// Waits until so many requests failed for this reason, as the counter and the access log say.
    pub fn failed(&self, reason: &str, count: usize) -> Value {
        let counted = || self.metric("weir_http_errors_total", &[("reason", reason)]);
        wait_until(&format!("{count} requests failed: {reason}"), || counted() == count);
        self.logged(reason, |entry| entry["reason"] == reason)
    }

    /// What the log has so far: a thread of its own writes it, somewhat later than what it tells of.
    pub fn log(&self) -> String {
        log_of(self.dir.path())
    }

    /// Waits for a line of the log with this text.
    pub fn says(&self, text: &str) {
        wait_until(&format!("the log says {text}"), || self.log().contains(text));
    }

    /// Waits for the process's own end.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let status = eventually("weir ends", || self.process.try_wait().expect("our own child"));
        self.ended = Some(status);
        status
    }

    fn still_runs(&mut self) -> bool {
        let ended = self.process.try_wait().expect("our own child");
        assert!(ended.is_none(), "weir ended by itself: {ended:?}");
        true
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        let by_itself = self.ended.is_none() && self.process.try_wait().is_ok_and(|ended| ended.is_some());
        if thread::panicking() {
            println!("--- weir's threads\n{}", proc::threads(self.pid()));
        }
        // It has ended already, perhaps.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let log = self.log();
        if thread::panicking() {
            let lines: Vec<&str> = log.lines().collect();
            println!("--- weir's log, its end");
            lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].iter().for_each(|line| println!("{line}"));
            return;
        }
        assert!(!by_itself, "weir ended by itself:\n{log}");
        assert!(!log.contains("panicked at"), "weir panicked:\n{log}");
    }
}

/// Runs the binary to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("weir starts")
}

fn log_of(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}
