//! A turn of idle connections: what each of them holds, and what all of them cost while nothing happens.
//!
//! The peer is started for the turn, as memory that was used once is rarely given back. The connections are this process's own:
//! each carries one request, so that it is open up to the target and as a client leaves it between two requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::ending::{Result, go_on};
use crate::load::Load;
use crate::measured::Measured;
use crate::peers::{Contender, Duty, Ground};
use crate::proc::{Moment, rss_bytes};

pub fn turn(contender: &Contender, ground: &Ground, duty: Duty, load: &Load, length: Duration) -> Result<Measured> {
    let peer = contender.start(ground, duty)?;
    sleep(SETTLE);
    let rss_start_bytes = rss_bytes(peer.pid())?;
    let mut connections = Vec::new();
    for number in 0..load.connections {
        go_on()?;
        let opened = open(peer.port, load.ask.body_bytes());
        connections.push(opened.map_err(|error| format!("connection {number}: {error}"))?);
    }
    sleep(SETTLE);
    let before = Moment::now(peer.pid())?;
    let mut left = length;
    while !left.is_zero() {
        go_on()?;
        let nap = left.min(NAP);
        sleep(nap);
        left -= nap;
    }
    let used = before.until(&Moment::now(peer.pid())?);
    let rss_bytes = rss_bytes(peer.pid())?;
    Ok(Measured { connections: load.connections, rss_start_bytes, rss_bytes, ..Measured::of(used) })
}

/// As many descriptors as this process may have; what it starts inherits them.
pub fn raise_descriptor_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .map_err(|error| format!("limit of descriptors to {maximum:?}: {error}").into())
}

/// A connection after one request and its answer.
fn open(port: u16, answer_bytes: u64) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(format!("GET /bytes/{answer_bytes} HTTP/1.1\r\nHost: bench\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&answer, answer_bytes) {
        let received = stream.read(&mut piece)?;
        if received == 0 {
            return Err("closed before the answer was complete".into());
        }
        answer.extend_from_slice(&piece[..received]);
    }
    Ok(stream)
}

fn is_whole(answer: &[u8], body_bytes: u64) -> bool {
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    head.is_some_and(|end| (answer.len() - end - 4) as u64 >= body_bytes)
}

/// For what is done after an answer: buffers given back, tasks ended.
const SETTLE: Duration = Duration::from_millis(500);
/// Between looks whether the run is interrupted.
const NAP: Duration = Duration::from_millis(100);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
