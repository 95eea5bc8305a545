//! Descriptors, memory and threads of a process, from /proc.

use std::fs;
use std::process::{self, Command};
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Lets this process open as many descriptors as the host allows at all.
pub fn raise_limit() -> usize {
    let hard = limit("Max open files", 1);
    let limits = format!("--nofile={hard}:{hard}");
    let status = Command::new("prlimit").args(["--pid", &process::id().to_string(), &limits]).status();
    assert!(status.is_ok_and(|status| status.success()), "prlimit {limits}");
    hard
}

/// The `column`th figure of a line of /proc/self/limits.
fn limit(line: &str, column: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").expect("/proc/self/limits");
    let line = limits.lines().find_map(|text| text.strip_prefix(line)).expect("the line is always there");
    line.split_whitespace().nth(column).and_then(|figure| figure.parse().ok()).unwrap_or(usize::MAX)
}

/// Open descriptors of a process.
pub fn count(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count()
}

/// Memory of a process that is resident, in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a live process has it");
    let kib: u64 = line.split_whitespace().next().and_then(|figure| figure.parse().ok()).expect("a figure in kB");
    kib * 1024
}

/// What each thread of a process is at: name, state, CPU time in ticks, where it waits in the kernel, its system call. For a
/// shard that does not answer: does it spin, sleep, or wait for something?
pub fn threads(pid: u32) -> String {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return "it has ended".to_owned() };
    let about = |task: fs::DirEntry| {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default().trim().to_owned();
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field = |index: usize| fields.get(index).copied().unwrap_or("?").to_owned();
        // Of proc_pid_stat(5), counted from the state on: state, utime, stime.
        let (state, user, system) = (field(0), field(11), field(12));
        format!("{}: {state}, {user}+{system} ticks, {}, syscall {}", read("comm"), read("wchan"), read("syscall"))
    };
    tasks.flatten().map(about).collect::<Vec<_>>().join("\n")
}

/// The cores that this process may use.
pub fn cores() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("our own");
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// Does something on one core: what it sends on loopback comes in by that core, too.
pub fn on_core<T: Send>(core: usize, what: impl FnOnce() -> T + Send) -> T {
    let pinned = || {
        let mut set = CpuSet::new();
        set.set(core);
        sched_setaffinity(None, &set).expect("it is one of ours");
        what()
    };
    thread::scope(|scope| scope.spawn(pinned).join().expect("no panic"))
}
