//! Processes that are killed (SIGKILL) while they save: this test's binary again, as a child.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Signal, getpid, kill_process};

use super::*;
use crate::control::store::folder::{Disk, Folder};

const FOLDER: &str = "WEIR_TEST_STORE";
const KILLED_AT: &str = "WEIR_TEST_STORE_KILLED_AT";

/// So many are kept, so that the oldest goes while the process is killed.
const KEPT: usize = 3;

/// Saves of a child that is killed at a step of its own.
const SAVES: u64 = 3;

/// Children that are killed from outside, at a moment that nobody chose.
const KILLED_FROM_OUTSIDE: usize = 25;

#[test]
fn r_k4_a_process_killed_at_any_step_of_a_save_loses_no_acknowledged_change() {
    if let Some(folder) = env::var_os(FOLDER) {
        return save_until_killed(Path::new(&folder), env::var(KILLED_AT).unwrap().parse().unwrap());
    }
    let dir = TempDir::new().unwrap();
    let name = name_of_test(module_path!(), "r_k4_a_process_killed_at_any_step_of_a_save_loses_no_acknowledged_change");
    let mut current = 0;
    for step in 0.. {
        let mut child = start(&name, dir.path(), &[(KILLED_AT, step.to_string())]);
        let (acknowledged, status) = (last_acknowledged(&mut child), child.wait().unwrap());
        if status.success() {
            // No step is left at which it could be killed: each of a save's nine was, in each save.
            assert!(step >= SAVES * 9, "killed at {step} steps only");
            assert_eq!(acknowledged, Some(current + SAVES));
            return;
        }
        assert_killed(status);
        current = survived(dir.path(), acknowledged.unwrap_or(current));
    }
}

#[test]
fn r_k4_a_process_killed_at_any_moment_loses_no_acknowledged_change() {
    if let Some(folder) = env::var_os(FOLDER) {
        let (mut store, _) = Store::open(Path::new(&folder)).unwrap();
        return save_up_to(&mut store, u64::MAX);
    }
    let dir = TempDir::new().unwrap();
    let name = name_of_test(module_path!(), "r_k4_a_process_killed_at_any_moment_loses_no_acknowledged_change");
    let mut current = 0;
    for _ in 0..KILLED_FROM_OUTSIDE {
        let mut child = start(&name, dir.path(), &[]);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let first = acknowledged_in(&mut lines).find_map(|acknowledged| acknowledged);
        assert!(first.is_some_and(|first| first > current), "{first:?} after {current}");
        thread::sleep(Duration::from_micros(fastrand::u64(..5000)));
        child.kill().unwrap();
        let last = acknowledged_in(&mut lines).flatten().last();
        assert_killed(child.wait().unwrap());
        current = survived(dir.path(), last.or(first).unwrap());
    }
}

fn start(name: &str, folder: &Path, more: &[(&str, String)]) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null());
    command.envs(more.iter().map(|(key, value)| (*key, value.as_str())));
    command.spawn().unwrap()
}

fn last_acknowledged(child: &mut Child) -> Option<u64> {
    acknowledged_in(&mut BufReader::new(child.stdout.take().unwrap())).flatten().last()
}

/// One item a line: `None` for what the test harness says.
fn acknowledged_in(lines: &mut impl BufRead) -> impl Iterator<Item = Option<u64>> {
    lines.lines().map(|line| line.unwrap().rsplit_once(ACKNOWLEDGED)?.1.parse().ok())
}

const ACKNOWLEDGED: &str = "acknowledged ";

fn assert_killed(status: ExitStatus) {
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
}

/// What is in effect after a process was killed: what it acknowledged last, or the one change that it had begun.
fn survived(dir: &Path, acknowledged: u64) -> u64 {
    let (store, opened) = Store::open(dir).unwrap_or_else(|error| panic!("after {acknowledged}: {error}"));
    assert_eq!(opened.warnings, Vec::<String>::new());
    let current = opened.current.map_or(0, |current| {
        assert_eq!(current, saved(current.revision));
        current.revision
    });
    assert!([acknowledged, acknowledged + 1].contains(&current), "{acknowledged} acknowledged, {current} there");
    for meta in store.revisions() {
        assert_eq!(store.load(meta.revision).unwrap(), saved(meta.revision));
    }
    assert!(current < 2 || numbers(&store).contains(&(current - 1)), "the previous version of {current} is kept");
    let strange = |name: &String| name != "lock" && !name.starts_with(REVISION);
    assert!(!names_in(dir).iter().any(strange), "{:?}", names_in(dir));
    current
}

fn save_until_killed(folder: &Path, killed_at: u64) {
    let lock = lock::take(folder).unwrap();
    let disk = Disk::open(folder.to_owned()).unwrap();
    let mortal = Mortal { disk, path: folder.to_owned(), steps_left: killed_at };
    let (mut store, _) = Store::open_in(folder.to_owned(), Box::new(mortal), KEPT).unwrap();
    let last = store.revision_last() + SAVES;
    save_up_to(&mut store, last);
    drop(lock);
}

fn save_up_to(store: &mut Store, last: u64) {
    while store.revision_last() < last {
        let revision = store.revision_last() + 1;
        store.save(&saved(revision)).unwrap();
        println!("\n{ACKNOWLEDGED}{revision}");
        io::stdout().flush().unwrap();
    }
}

/// A disk on which the process is killed after so many steps, and in the middle of them.
#[derive(Debug)]
struct Mortal {
    disk: Disk,
    path: PathBuf,
    steps_left: u64,
}

impl Mortal {
    fn step(&mut self) {
        if self.steps_left == 0 {
            kill_process(getpid(), Signal::KILL).unwrap();
            loop {
                thread::park();
            }
        }
        self.steps_left -= 1;
    }
}

impl Folder for Mortal {
    fn names(&self) -> io::Result<Vec<OsString>> {
        self.disk.names()
    }

    fn read(&self, name: &str, bytes_max: u64) -> io::Result<(Vec<u8>, u64)> {
        self.disk.read(name, bytes_max)
    }

    /// What the disk does at once happens by and by here: the file is made, written in two parts, and then synced.
    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step();
        let path = self.path.join(name);
        let mut file = fs::File::create(&path)?;
        self.step();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.step();
        file.write_all(second)?;
        self.step();
        self.disk.write_synced(name, bytes)?;
        self.step();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)?;
        self.step();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.step();
        self.disk.remove(name)?;
        self.step();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync()?;
        self.step();
        Ok(())
    }
}
