//! The load of one turn and the targets behind the peers, and what the generator saw. Both are weir-loadgen, on core 1; wrk
//! can give the load instead, as an independent witness, where a closed loop is enough.
//!
//! Nothing else in this bench knows which generator it is.

pub mod answer;
pub mod rules;
pub mod wrk;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::ending::{Result, go_on};
use crate::process::{ANYTHING, Process, TARGET_CORE, find_program, free_ports, pinned, version};

/// What clients do in a turn.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub connections: u32,
    pub ask: Ask,
    pub reuse: Reuse,
    /// Requests a second on a schedule; none: each connection sends the next when it has the answer.
    pub rate: Option<f64>,
}

/// What a request is, and what is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// GET, answered by a body of so many bytes.
    Get(u64),
    /// POST with a body of so many bytes, and a small answer.
    Post(u64),
    /// GET of a URL that is drawn from those of `rules`, and a small answer.
    Ruled,
}

impl Ask {
    /// Of the body that is the work: the answer's, or the request's where it has one.
    pub fn body_bytes(self) -> u64 {
        match self {
            Self::Get(bytes) | Self::Post(bytes) => bytes,
            Self::Ruled => SMALL,
        }
    }
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
    dir: PathBuf,
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
        Ok(Self { version, program, path, dir: dir.to_owned() })
    }

    /// wrk cannot.
    pub fn has_open_loop(&self) -> bool {
        self.program == Program::WeirLoadgen
    }

    /// Why it cannot ask so, if it cannot.
    pub fn why_not(&self, ask: Ask) -> Option<&'static str> {
        match (self.program, ask) {
            (Program::Wrk, Ask::Post(_)) => Some("has no bodies without a script"),
            (Program::Wrk, Ask::Ruled) => Some("has one URL without a script"),
            _ => None,
        }
    }

    /// Loads whoever listens there, for so long.
    pub fn drive(&self, port: u16, load: &Load, length: Duration) -> Result<Outcome> {
        let mut command = pinned(TARGET_CORE, &self.path);
        match self.program {
            Program::WeirLoadgen => self.loadgen_arguments(&mut command, port, load, length)?,
            Program::Wrk => {
                if let Some(why) = self.why_not(load.ask) {
                    return Err(format!("wrk {why}").into());
                }
                wrk::arguments(&mut command, &url(port, load.ask.body_bytes()), load, length)?;
            }
        }
        // Left from the turn before, it would pass for this one's.
        let results = self.dir.join(RESULTS);
        let _ = std::fs::remove_file(&results);
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
                let json = std::fs::read(&results).unwrap_or_default();
                answer::parse(&json, &String::from_utf8_lossy(&output.stderr))
            }
            Program::Wrk => wrk::parse(&String::from_utf8_lossy(&output.stdout)),
        }
    }

    /// No warm-up in a turn: the CPU of all its requests counts, so all of them have to.
    fn loadgen_arguments(&self, command: &mut Command, port: u16, load: &Load, length: Duration) -> Result<()> {
        command.arg("http");
        match load.ask {
            Ask::Get(bytes) => drop(command.arg(url(port, bytes))),
            Ask::Post(bytes) => {
                let body = self.dir.join(BODY);
                std::fs::write(&body, vec![b'x'; usize::try_from(bytes)?])?;
                command.args([&url(port, SMALL), "--method", "POST", "--body-file"]).arg(body);
            }
            Ask::Ruled => drop(command.args(rules::urls()).args(["--connect-to", &format!("127.0.0.1:{port}")])),
        }
        command
            .args(["--quiet", "--cores", &TARGET_CORE.to_string(), "--warm-up", "0s"])
            .args(["--connections", &load.connections.to_string()])
            .args(["--timeout", &format!("{}ms", TIMEOUT.as_millis())])
            .args(["--duration", &format!("{}ms", length.as_millis())])
            .arg("--json")
            .arg(self.dir.join(RESULTS));
        if let Some(rate) = load.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        if load.reuse == Reuse::Once {
            command.arg("--connection-per-request");
        }
        Ok(())
    }
}

fn url(port: u16, answer_bytes: u64) -> String {
    format!("http://127.0.0.1:{port}/bytes/{answer_bytes}")
}

/// The targets: one server that answers `/bytes/N` with N bytes and everything else with few, whatever the generator is.
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
            .args(["--response-size", &SMALL.to_string()]);
        let mut process = Process::start("targets", command, dir)?;
        process.answers(port, ANYTHING)?;
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

/// With its head about as long as a small API reply.
pub const SMALL: u64 = 64;
const RESULTS: &str = "load.json";
const BODY: &str = "body";
/// No answer in this time is a failure.
const TIMEOUT: Duration = Duration::from_secs(5);
