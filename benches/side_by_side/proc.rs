//! What the kernel says about processes, cores and the machine: everything here is read from /proc.

use std::fmt;
use std::fs::read_to_string;
use std::time::Instant;

use serde::Serialize;

use crate::ending::Result;
use crate::process::BALANCER_CORE;

/// A moment of a balancer and of its core.
pub struct Moment {
    at: Instant,
    cpu_seconds: f64,
    core_busy_seconds: f64,
}

/// What happened between two moments.
#[derive(Clone, Copy)]
pub struct Used {
    pub seconds: f64,
    pub cpu_seconds: f64,
    /// Share of the balancer's core that was busy for somebody else: what makes a turn noisy.
    pub foreign_share: f64,
}

impl Moment {
    /// Of the balancer whose first process is `root`.
    pub fn now(root: u32) -> Result<Self> {
        let (cpu_seconds, core_busy_seconds) = (cpu_seconds(root)?, core_busy_seconds(BALANCER_CORE)?);
        Ok(Self { at: Instant::now(), cpu_seconds, core_busy_seconds })
    }

    pub fn until(&self, later: &Self) -> Used {
        let seconds = (later.at - self.at).as_secs_f64();
        let cpu_seconds = later.cpu_seconds - self.cpu_seconds;
        let foreign = later.core_busy_seconds - self.core_busy_seconds - cpu_seconds;
        Used { seconds, cpu_seconds, foreign_share: (foreign / seconds).max(0.0) }
    }
}

/// A process and everything below it: a master and its workers are one balancer.
pub fn tree(root: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Ok([parent]) = stat_fields(pid, [PARENT]) {
            parents.push((pid, parent));
        }
    }
    let mut pids = vec![root];
    let mut next = 0;
    while let Some(&parent) = pids.get(next) {
        pids.extend(parents.iter().filter(|(_, of)| *of == u64::from(parent)).map(|(pid, _)| pid));
        next += 1;
    }
    Ok(pids)
}

/// User and system time of all threads of all processes, also of those that ended. Children come first: one that ends
/// meanwhile is found with its parent.
fn cpu_seconds(root: u32) -> Result<f64> {
    let mut ticks = 0;
    for &pid in tree(root)?.iter().rev() {
        match stat_fields(pid, [USER_TICKS, SYSTEM_TICKS, ENDED_USER_TICKS, ENDED_SYSTEM_TICKS]) {
            Ok(fields) => ticks += fields.iter().sum::<u64>(),
            Err(error) if pid == root => return Err(error),
            Err(_) => {}
        }
    }
    Ok(from_ticks(ticks))
}

/// User and system time of the processes that this one started, and that have ended.
#[allow(dead_code, reason = "for the bench of generators, which shares this file")]
pub fn ended_children_seconds() -> Result<f64> {
    let fields = stat_fields(std::process::id(), [ENDED_USER_TICKS, ENDED_SYSTEM_TICKS])?;
    Ok(from_ticks(fields.iter().sum()))
}

/// Resident memory of all processes; pages they share count each time.
pub fn rss_bytes(root: u32) -> Result<u64> {
    let mut kib = 0;
    for pid in tree(root)? {
        // One that ended meanwhile holds nothing.
        let Ok(status) = read_to_string(format!("/proc/{pid}/status")) else { continue };
        let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmRSS:")) else { continue };
        kib += line.trim_end_matches("kB").trim().parse::<u64>()?;
    }
    Ok(kib * 1024)
}

/// Time a core was not idle, stolen time included.
fn core_busy_seconds(core: usize) -> Result<f64> {
    let stat = read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).ok_or_else(|| format!("no core {core}"))?;
    let ticks = line.split_whitespace().map(str::parse::<u64>).collect::<std::result::Result<Vec<_>, _>>()?;
    // user nice system idle iowait irq softirq steal; guest times are part of user.
    let [idle, io_wait] = ticks.get(3..5).and_then(|idle| idle.try_into().ok()).ok_or("/proc/stat is too short")?;
    Ok(from_ticks(ticks.iter().take(8).sum::<u64>() - idle - io_wait))
}

/// Where the numbers come from.
#[derive(Serialize)]
pub struct Machine {
    cores: usize,
    model: String,
    kernel: String,
    congestion_control: String,
    load_average: f64,
}

impl Machine {
    pub fn read() -> Result<Self> {
        let cpuinfo = read_to_string("/proc/cpuinfo")?;
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown model");
        let load_average = read_to_string("/proc/loadavg")?;
        let control = read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
        Ok(Self {
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            model: model.trim_start_matches([' ', '\t', ':']).to_owned(),
            kernel: read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            congestion_control: control.trim().to_owned(),
            load_average: load_average.split(' ').next().unwrap_or("0").parse()?,
        })
    }

    /// What makes this machine a bad place to measure.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.load_average > LOAD_AVERAGE_MAX {
            warnings.push(format!("load average {} at start: the machine is not quiet", self.load_average));
        }
        if self.cores < 2 {
            warnings.push("one core: balancer, targets and load share it, ratios say little".to_owned());
        }
        warnings
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, model, kernel, congestion_control, load_average } = self;
        write!(f, "{cores} cores ({model}), Linux {kernel}, {congestion_control}, load average {load_average}")
    }
}

/// Fields of /proc/PID/stat, counted from the one after the name, which may hold anything.
fn stat_fields<const N: usize>(pid: u32, wanted: [usize; N]) -> Result<[u64; N]> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).map_err(|error| format!("process {pid}: {error}"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no name in /proc/PID/stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let mut values = [0; N];
    for (value, field) in values.iter_mut().zip(wanted) {
        *value = fields.get(field).ok_or("/proc/PID/stat is too short")?.parse()?;
    }
    Ok(values)
}

fn from_ticks(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND
}

/// `man 5 proc`: fields 4 and 14 to 17, the first after the name being field 3.
const PARENT: usize = 1;
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
/// Of children that ended and were waited for, with theirs.
const ENDED_USER_TICKS: usize = 13;
const ENDED_SYSTEM_TICKS: usize = 14;
/// `USER_HZ`, 100 on every architecture that Linux still builds for.
const TICKS_PER_SECOND: f64 = 100.0;
/// Above this somebody else is working.
const LOAD_AVERAGE_MAX: f64 = 0.5;
