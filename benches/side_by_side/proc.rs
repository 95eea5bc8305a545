//! What the kernel says about processes, cores and the machine: everything here is read from /proc.

use std::fmt;
use std::fs::read_to_string;

use serde::Serialize;

use crate::Result;
use crate::load;
use crate::peers::find_program;

/// A process and everything below it: a master and its workers are one balancer.
pub fn tree(root: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Ok(parent) = stat_field(pid, PARENT) {
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

/// User and system time of all threads, also of those that ended.
pub fn cpu_seconds(pids: &[u32]) -> Result<f64> {
    let mut ticks = 0;
    for &pid in pids {
        ticks += stat_field(pid, USER_TICKS)? + stat_field(pid, SYSTEM_TICKS)?;
    }
    Ok(from_ticks(ticks))
}

/// Resident memory of all of them; pages they share count each time.
pub fn rss_bytes(pids: &[u32]) -> Result<u64> {
    let mut kib = 0;
    for pid in pids {
        let status = read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS: a kernel thread?")?;
        kib += line.trim_end_matches("kB").trim().parse::<u64>()?;
    }
    Ok(kib * 1024)
}

/// Time a core was not idle, stolen time included.
pub fn core_busy_seconds(core: usize) -> Result<f64> {
    let stat = read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).ok_or_else(|| format!("no core {core}"))?;
    let ticks = line.split_whitespace().map(str::parse::<u64>).collect::<std::result::Result<Vec<_>, _>>()?;
    // user nice system idle iowait irq softirq steal; guest times are part of user.
    Ok(from_ticks(ticks.iter().take(8).sum::<u64>() - ticks[3] - ticks[4]))
}

/// Where the numbers come from.
#[derive(Serialize)]
pub struct Machine {
    cores: usize,
    model: String,
    kernel: String,
    congestion_control: String,
    load_average: f64,
    generator: String,
}

impl Machine {
    pub fn read() -> Result<Self> {
        let cpuinfo = read_to_string("/proc/cpuinfo")?;
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown model");
        let load_average = read_to_string("/proc/loadavg")?;
        let control = read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
        let generator = find_program("wrk").and_then(|wrk| load::version(&wrk));
        Ok(Self {
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            model: model.trim_start_matches([' ', '\t', ':']).to_owned(),
            kernel: read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            congestion_control: control.trim().to_owned(),
            load_average: load_average.split(' ').next().unwrap_or("0").parse()?,
            generator: generator.unwrap_or_default(),
        })
    }

    /// Says what makes this machine a bad place to measure.
    pub fn warn(&self) {
        if self.load_average > LOAD_AVERAGE_MAX {
            println!("warning: load average {} at start: the machine is not quiet", self.load_average);
        }
        if self.cores < 2 {
            println!("warning: one core: balancer, targets and load share it, ratios say little");
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, model, kernel, congestion_control, load_average, generator } = self;
        write!(
            f,
            "{cores} cores ({model}), Linux {kernel}, {congestion_control}, {generator}, load average {load_average}"
        )
    }
}

/// A field of /proc/PID/stat, counted from the one after the name, which may hold anything.
fn stat_field(pid: u32, field: usize) -> Result<u64> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).map_err(|error| format!("process {pid}: {error}"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no name in /proc/PID/stat")?;
    let value = fields.split(' ').nth(field).ok_or("/proc/PID/stat is too short")?;
    Ok(value.parse()?)
}

fn from_ticks(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND
}

/// `man 5 proc`: fields 4, 14 and 15, the first after the name being field 3.
const PARENT: usize = 1;
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
/// `USER_HZ`, 100 on every architecture that Linux still builds for.
const TICKS_PER_SECOND: f64 = 100.0;
/// Above this somebody else is working.
const LOAD_AVERAGE_MAX: f64 = 0.5;
