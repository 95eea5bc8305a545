//! `weir doctor`: what this host lacks (it fails), what would make it faster (it warns), and what is fine.

use std::fs;

use crate::control::{allowed_cores, ranges};
use crate::ring::check::{self, Finding, Level};

pub(super) fn doctor() -> Result<(), String> {
    let mut findings = check::host();
    findings.push(cores());
    findings.extend(settings(SYSCTL).map(|setting| setting.look()));
    findings.push(local_ports());
    findings.extend(network_queues());
    for finding in &findings {
        println!("{}  {finding}", mark(finding.level));
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    println!("{} good, {} to improve, {} failed", count(Level::Good), count(Level::Warn), count(Level::Fail));
    if count(Level::Fail) > 0 { Err("weir cannot run here until what failed is mended".to_owned()) } else { Ok(()) }
}

fn mark(level: Level) -> &'static str {
    match level {
        Level::Good => "good",
        Level::Warn => "WARN",
        Level::Fail => "FAIL",
    }
}

fn cores() -> Finding {
    let cores = allowed_cores();
    match cores.len() {
        0 => Finding::fail(
            "the kernel does not say which cores may be used",
            "look at Cpus_allowed in /proc/self/status",
        ),
        1 => Finding::good(format!("1 core ({}): one shard by default", ranges(&cores))),
        count => Finding::good(format!("{count} cores ({}): as many shards by default", ranges(&cores))),
    }
}

/// Our sysctl file: `key = value` lines, each below a comment that says why.
const SYSCTL: &str = include_str!("../../tuning/90-weir.conf");

/// A number under /proc/sys that should not be too small.
struct Setting<'a> {
    key: &'a str,
    good_from: u64,
    why: &'a str,
}

/// What the sysctl file says, but for the port range, which is not one number.
fn settings(file: &str) -> impl Iterator<Item = Setting<'_>> {
    file.lines().zip(file.lines().skip(1)).filter_map(|(why, line)| {
        let (key, value) = line.split_once('=')?;
        Some(Setting {
            key: key.trim(),
            good_from: value.trim().parse().ok()?,
            why: why.trim_start_matches(['#', ' ']),
        })
    })
}

impl Setting<'_> {
    fn look(&self) -> Finding {
        let path = format!("/proc/sys/{}", self.key.replace('.', "/"));
        self.judge(fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()))
    }

    fn judge(&self, value: Option<u64>) -> Finding {
        let Setting { key, good_from, why } = self;
        match value {
            None => Finding::warn(format!("{key} cannot be read here"), "look at it on the host itself"),
            Some(value) if value >= *good_from => Finding::good(format!("{key} = {value}")),
            Some(value) => Finding::warn(
                format!("{key} = {value}: {why}"),
                format!("sysctl -w {key}={good_from}, and tuning/90-weir.conf in /etc/sysctl.d to keep it"),
            ),
        }
    }
}

/// Ports for connections to targets: so many at once to one address and port of a target.
const LOCAL_PORTS_GOOD: u32 = 50_000;

fn local_ports() -> Finding {
    judge_local_ports(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default())
}

fn judge_local_ports(range: &str) -> Finding {
    const KEY: &str = "net.ipv4.ip_local_port_range";
    let mut bounds = range.split_ascii_whitespace().map_while(|bound| bound.parse::<u16>().ok());
    let (Some(low), Some(high)) = (bounds.next(), bounds.next()) else {
        return Finding::warn(format!("{KEY} cannot be read here"), "look at it on the host itself");
    };
    let count = u32::from(high.saturating_sub(low)) + 1;
    let what = format!("{KEY} = {low} {high}: about {count} connections at once to each target");
    if count >= LOCAL_PORTS_GOOD {
        return Finding::good(what);
    }
    Finding::warn(what, format!("sysctl -w {KEY}=\"10240 65535\", and tuning/90-weir.conf in /etc/sysctl.d to keep it"))
}

/// Receive queues of each real interface: with fewer than cores, some cores take connections that others received.
fn network_queues() -> Vec<Finding> {
    let cores = allowed_cores().len();
    let Ok(interfaces) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let mut findings: Vec<Finding> = interfaces
        .flatten()
        .filter(|interface| interface.path().join("device").exists())
        .filter_map(|interface| {
            let queues = fs::read_dir(interface.path().join("queues")).ok()?.flatten();
            let receive = queues.filter(|queue| queue.file_name().as_encoded_bytes().starts_with(b"rx-")).count();
            Some(judge_queues(&interface.file_name().to_string_lossy(), receive, cores))
        })
        .collect();
    findings.sort_by(|one, other| one.what.cmp(&other.what));
    findings
}

fn judge_queues(interface: &str, queues: usize, cores: usize) -> Finding {
    let what = format!("{interface}: {queues} receive queue{}", if queues == 1 { "" } else { "s" });
    if queues >= cores {
        return Finding::good(what);
    }
    Finding::warn(
        format!("{what} for {cores} cores: not every core receives what it serves"),
        format!("ethtool -l {interface} shows how many it can have; ethtool -L {interface} combined {cores}, or RPS"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_setting_is_named_with_the_command_that_mends_it() {
        let setting = settings(SYSCTL).next().expect("the file has settings");
        let finding = setting.judge(Some(128));
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.to_string().contains("sysctl -w net.core.somaxconn=4096"), "{finding}");
        assert_eq!(setting.judge(Some(4096)).level, Level::Good);
        assert_eq!(setting.judge(None).level, Level::Warn);
    }

    #[test]
    fn every_setting_of_the_sysctl_file_says_why() {
        let all: Vec<Setting> = settings(SYSCTL).collect();
        assert_eq!(all.len(), 6, "all but the port range");
        assert!(all.iter().all(|setting| setting.why.len() > 10 && setting.key.contains('.')));
        let numbers = SYSCTL.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).count();
        assert_eq!(numbers, all.len() + 1);
    }

    #[test]
    fn the_default_port_range_is_worth_widening() {
        assert_eq!(judge_local_ports("32768\t60999\n").level, Level::Warn);
        assert_eq!(judge_local_ports("1024 65535").level, Level::Good);
        assert_eq!(judge_local_ports("").level, Level::Warn);
        assert_eq!(judge_local_ports("9 1").level, Level::Warn);
    }

    #[test]
    fn fewer_queues_than_cores_are_said() {
        assert_eq!(judge_queues("eth0", 1, 8).level, Level::Warn);
        assert_eq!(judge_queues("eth0", 8, 8).level, Level::Good);
    }
}
