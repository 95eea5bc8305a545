//! The command line.

use std::io;
use std::net::SocketAddr;

pub struct Args {
    pub listen: SocketAddr,
    pub target: SocketAddr,
    pub core: usize,
    pub protocol: Protocol,
}

/// What is spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Bytes.
    Tcp,
    /// HTTP/1.1.
    Http,
}

impl Args {
    pub fn parse() -> io::Result<Self> {
        let (mut listen, mut target, mut core) = (None, None, None);
        let mut protocol = Protocol::Tcp;
        let mut words = std::env::args().skip(1);
        while let Some(key) = words.next() {
            if key == "--http" {
                protocol = Protocol::Http;
                continue;
            }
            let value = words.next().ok_or_else(|| usage(&key))?;
            match key.as_str() {
                "--listen" => listen = value.parse().ok(),
                "--target" => target = value.parse().ok(),
                "--core" => core = value.parse().ok(),
                _ => return Err(usage(&key)),
            }
        }
        Ok(Self {
            listen: listen.ok_or_else(|| usage("--listen"))?,
            target: target.ok_or_else(|| usage("--target"))?,
            core: core.ok_or_else(|| usage("--core"))?,
            protocol,
        })
    }
}

fn usage(key: &str) -> io::Error {
    io::Error::other(format!("{key}: usage: weir-floor --listen ADDRESS:PORT --target ADDRESS:PORT --core N [--http]"))
}
