//! The load of one turn and the targets behind the peers, and what the generator saw. Both are weir-loadgen, on core 1; wrk
//! can give the load instead, as an independent witness, where a closed loop is enough.
//!
//! Nothing else in this bench knows which generator it is.

pub mod answer;
pub mod wrk;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::ending::{Result, go_on};
use crate::process::{Process, TARGET_CORE, find_program, free_ports, pinned, version};

/// What clients do in a turn.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub connections: u32,
    /// Length of the body of each answer.
    pub answer_bytes: u64,
    pub reuse: Reuse,
    /// Requests a second on a schedule; none: each connection sends the next when it has the answer.
    pub rate: Option<f64>,
}

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    Kept,
    /// A connection a request.
    Once,
}

/// What came back in one turn.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// Answered well.
    pub requests: u64,
    pub seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// Not known from wrk, as are the longest.
    pub p99_9_us: Option<f64>,
    pub max_us: Option<f64>,
    /// Requests or connections that failed.
    pub errors: u64,
    /// Requests that were due and not sent for want of a free connection.
    pub unsent: u64,
}

/// Who gives the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Program {
    WeirLoadgen,
    Wrk,
}

/// The generator of a run.
pub struct Generator {
    pub version: String,
    program: Program,
    path: PathBuf,
    results: PathBuf,
}

impl Generator {
    /// `dir` takes its files.
    pub fn find(program: Program, release: &Path, dir: &Path) -> Result<Self> {
        let (path, version) = match program {
            Program::WeirLoadgen => {
                let path = loadgen(release)?;
                (path.clone(), version(&path, "--version"))
            }
            Program::Wrk => {
                let path = find_program("wrk").ok_or("wrk: not installed; apt-get install wrk")?;
                let said = version(&path, "-v");
                (path, said.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
            }
        };
        Ok(Self { version, program, path, results: dir.join("load.json") })
    }

    /// wrk cannot.
    pub fn has_open_loop(&self) -> bool {
        self.program == Program::WeirLoadgen
    }

    /// Loads whoever listens there, for so long.
    pub fn drive(&self, port: u16, load: &Load, length: Duration) -> Result<Outcome> {
        let url = format!("http://127.0.0.1:{port}/bytes/{}", load.answer_bytes);
        let mut command = pinned(TARGET_CORE, &self.path);
        match self.program {
            Program::WeirLoadgen => self.loadgen_arguments(&mut command, &url, load, length),
            Program::Wrk => wrk::arguments(&mut command, &url, load, length)?,
        }
        // Left from the turn before, it would pass for this one's.
        let _ = std::fs::remove_file(&self.results);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Err(error) = wait(&mut child) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        let output = child.wait_with_output()?;
        // A ctrl-c reaches the generator as well, which then ends early.
        go_on()?;
        match self.program {
            Program::WeirLoadgen => {
                let json = std::fs::read(&self.results).unwrap_or_default();
                answer::parse(&json, &String::from_utf8_lossy(&output.stderr))
            }
            Program::Wrk => wrk::parse(&String::from_utf8_lossy(&output.stdout)),
        }
    }

    /// No warm-up in a turn: the CPU of all its requests counts, so all of them have to.
    fn loadgen_arguments(&self, command: &mut Command, url: &str, load: &Load, length: Duration) {
        command
            .args(["http", url, "--quiet", "--cores", &TARGET_CORE.to_string(), "--warm-up", "0s"])
            .args(["--connections", &load.connections.to_string()])
            .args(["--timeout", &format!("{}ms", TIMEOUT.as_millis())])
            .args(["--duration", &format!("{}ms", length.as_millis())])
            .arg("--json")
            .arg(&self.results);
        if let Some(rate) = load.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        if load.reuse == Reuse::Once {
            command.arg("--connection-per-request");
        }
    }
}

/// The targets: one server that answers `/bytes/N` with N bytes, whatever the generator is.
pub struct Targets {
    pub port: u16,
    _process: Process,
}

impl Targets {
    pub fn start(release: &Path, dir: &Path) -> Result<Self> {
        let program = loadgen(release)?;
        let [port] = free_ports()?;
        let mut command = pinned(TARGET_CORE, &program);
        command
            .args(["serve", "http", "--listen", &format!("127.0.0.1:{port}"), "--cores", &TARGET_CORE.to_string()])
            .args(["--response-size", "64"]);
        let mut process = Process::start("targets", command, dir)?;
        process.answers(port)?;
        Ok(Self { port, _process: process })
    }
}

/// The package that has the generator and the targets.
pub const PACKAGE: &str = "weir-loadgen";

fn loadgen(release: &Path) -> Result<PathBuf> {
    let path = release.join(PACKAGE);
    let missing = || format!("{}: not built: cargo build --release -p {PACKAGE}", path.display());
    if path.is_file() { Ok(path) } else { Err(missing().into()) }
}

/// What it says is far smaller than a pipe, so it can be read after the end.
fn wait(child: &mut Child) -> Result<()> {
    while child.try_wait()?.is_none() {
        go_on()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// No answer in this time is a failure.
const TIMEOUT: Duration = Duration::from_secs(5);
