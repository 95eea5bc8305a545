//! What the kernel says about this process: /proc/self.

use std::fs;
use std::time::SystemTime;

use crate::ring::check;

/// Ticks a second of the times in /proc/self/stat: `USER_HZ`, which is 100 on x86, ARM and RISC-V.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process, as of now. What cannot be read is left out of the metrics.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// When it started.
    pub started_at: Option<SystemTime>,
    /// User and system time.
    pub cpu_seconds: Option<f64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Their limit.
    pub descriptors_max: Option<u64>,
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Virtual memory.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Process {
    /// Reads /proc/self.
    #[must_use]
    pub fn now(started_at: SystemTime) -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Process {
            started_at: Some(started_at),
            cpu_seconds: cpu_seconds(&stat),
            // The listing itself takes one.
            descriptors: fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1)),
            descriptors_max: check::descriptors_max().ok(),
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024),
            virtual_bytes: field(&status, "VmSize:").map(|kib| kib * 1024),
            threads: field(&status, "Threads:"),
        }
    }
}

/// utime and stime are fields 14 and 15, proc(5). Field 2, the name, may hold spaces, so we count from its end.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut ticks = after_name.split_ascii_whitespace().skip(11).map_while(|field| field.parse::<u32>().ok());
    Some((f64::from(ticks.next()?) + f64::from(ticks.next()?)) / TICKS_PER_SECOND)
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_descriptors() {
        let process = Process::now(SystemTime::now());
        assert!(process.resident_bytes.unwrap() > 100_000);
        assert!(process.virtual_bytes >= process.resident_bytes);
        assert!(process.threads.unwrap() >= 1);
        assert!(process.descriptors.unwrap() >= 3);
        assert!(process.descriptors_max > process.descriptors);
        assert!(process.cpu_seconds.is_some());
    }

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c) R 1 7 7 0 -1 4194304 10 0 0 0 150 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds(""), None);
        assert_eq!(cpu_seconds("7 (weir) R 1"), None);
    }
}
