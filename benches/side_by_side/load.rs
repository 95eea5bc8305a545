//! The load of one turn, and what the generator saw. Today the generator is wrk, one thread, on the core of the targets.
//!
//! Nothing else in this bench knows which generator it is.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::peers::{find_program, pinned};
use crate::{Result, go_on, peers};

/// What came back in one turn.
#[derive(Clone, Serialize)]
pub struct Load {
    pub requests: u64,
    pub seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// Requests or connections that failed.
    pub errors: u64,
}

/// Keeps `connections` busy with one request at a time each.
pub fn drive(port: u16, connections: u32, length: Duration) -> Result<Load> {
    let wrk = find_program("wrk").ok_or("wrk: not installed; apt-get install wrk")?;
    let mut child = pinned(peers::TARGET_CORE, &wrk)
        .args(["-t1", "--latency"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{}s", length.as_secs()))
        .arg(format!("http://127.0.0.1:{port}/"))
        .stdout(Stdio::piped())
        .spawn()?;
    if let Err(error) = wait(&mut child) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    let output = child.wait_with_output()?;
    // A ctrl-c reaches wrk as well, which then ends early.
    go_on()?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| format!("wrk said something else than numbers:\n{text}").into())
}

/// Version of the generator, for the record.
pub fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// Its report is far smaller than a pipe, so it can be read after the end.
fn wait(child: &mut Child) -> Result<()> {
    while child.try_wait()?.is_none() {
        go_on()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The lines of wrk that count:
///
/// ```text
///      50%  571.00us
///      99%    1.02ms
///   275665 requests in 3.00s, 45.22MB read
///   Socket errors: connect 0, read 0, write 0, timeout 0
///   Non-2xx or 3xx responses: 12
/// ```
fn parse(text: &str) -> Option<Load> {
    let mut load = Load { requests: 0, seconds: 0.0, p50_us: 0.0, p99_us: 0.0, errors: 0 };
    for line in text.lines().map(str::trim) {
        if let Some(latency) = line.strip_prefix("50%") {
            load.p50_us = microseconds(latency)?;
        } else if let Some(latency) = line.strip_prefix("99%") {
            load.p99_us = microseconds(latency)?;
        } else if let Some((requests, rest)) = line.split_once(" requests in ") {
            load.requests = requests.parse().ok()?;
            load.seconds = microseconds(rest.split(',').next()?)? / 1e6;
        } else if line.starts_with("Socket errors:") || line.starts_with("Non-2xx") {
            // One number in the second, one a kind of error in the first.
            let numbers = line.split_once(':')?.1;
            load.errors +=
                numbers.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
        }
    }
    (load.requests > 0 && load.seconds > 0.0).then_some(load)
}

fn microseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let value: f64 = text[..unit_at].parse().ok()?;
    let scale = match &text[unit_at..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    Some(value * scale)
}
