//! Descriptors and memory of a process, from /proc.

use std::fs;
use std::process::{self, Command};

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
