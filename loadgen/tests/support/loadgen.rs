//! The binary at work: started, signalled, waited for; what it printed and wrote.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use weir_loadgen::output::json;
use weir_loadgen::results::Results;

use super::{BINARY, PATIENCE, PROBE_PAUSE};

/// Runs a command, given as one line without quotes, to its end.
pub fn run(line: &str) -> Ran {
    Loadgen::start(&line.split_whitespace().collect::<Vec<_>>()).wait()
}

/// Runs a load whose results are wanted.
pub fn load(line: &str) -> Ran {
    Loadgen::load(line).wait()
}

/// A command that runs. Killed when dropped.
pub struct Loadgen {
    process: Child,
    dir: TempDir,
    started: Instant,
}

impl Loadgen {
    pub fn start(arguments: &[&str]) -> Self {
        Loadgen::start_in(tempfile::tempdir().expect("a directory"), arguments)
    }

    /// Starts a load that writes its results.
    pub fn load(line: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let json = dir.path().join(RESULTS).display().to_string();
        let mut arguments: Vec<&str> = line.split_whitespace().collect();
        arguments.extend(["--json", &json]);
        Loadgen::start_in(dir, &arguments)
    }

    fn start_in(dir: TempDir, arguments: &[&str]) -> Self {
        let file = |name| File::create(dir.path().join(name)).expect("a file of our own");
        let process =
            Command::new(BINARY).args(arguments).stdout(file("out")).stderr(file("err")).spawn().expect("it starts");
        Loadgen { process, dir, started: Instant::now() }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -s {name}");
    }

    /// Waits for its own end.
    pub fn wait(mut self) -> Ran {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.process.try_wait().expect("our own child") {
                Some(status) => break status,
                None if Instant::now() > deadline => break self.give_up(),
                None => thread::sleep(PROBE_PAUSE),
            }
        };
        let text = |name| fs::read_to_string(self.dir.path().join(name)).expect("a file of our own");
        let ran = Ran {
            code: status.code(),
            out: text("out"),
            err: text("err"),
            took: self.started.elapsed(),
            results: self.dir.path().join(RESULTS),
            _dir: std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory")),
        };
        assert!(!ran.err.contains("panicked at"), "{}", ran.err);
        ran
    }

    fn give_up(&mut self) -> ExitStatus {
        let _ = self.process.kill();
        let _ = self.process.wait();
        panic!("it still runs after {PATIENCE:?}");
    }
}

impl Drop for Loadgen {
    fn drop(&mut self) {
        // It has ended already, where nothing went wrong.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that has ended.
pub struct Ran {
    /// None if a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    pub took: Duration,
    results: PathBuf,
    _dir: TempDir,
}

impl Ran {
    /// What `load` wrote.
    pub fn results(&self) -> Results {
        json::read(&self.results).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }

    /// The same, as another program sees it.
    pub fn json(&self) -> Value {
        let text = fs::read_to_string(&self.results).expect("results");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Results of a run that must have gone as planned, without an error.
    pub fn good(&self) -> Results {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        let results = self.results();
        assert!(results.errors.is_empty(), "{:?}", results.error_examples);
        results
    }

    /// It ended with `code`, and said each of `words` on stderr.
    pub fn complains(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
    }
}

const RESULTS: &str = "results.json";
