//! h2o: one thread, a reverse proxy. It has no TCP proxy.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use super::{Duty, Kind, NO_TCP_PROXY, Place};
use crate::ending::Result;
use crate::load::rules;
use crate::process::{BALANCER_CORE, pinned};

pub(super) fn command(program: &Path, place: &Place) -> Command {
    let mut command = pinned(BALANCER_CORE, program);
    command.arg("-c").arg(&place.config);
    command
}

/// `X-Forwarded-For` and `-Proto` are its default, and so is what it keeps of the target's connections.
pub(super) fn config(place: &Place) -> Result<String> {
    let Place { port, target_port, .. } = place;
    let hosts = match place.duty {
        Duty::Relay => return Err(NO_TCP_PROXY.into()),
        Duty::Http | Duty::HttpLogged => {
            format!("  default:\n    paths:\n      /: {{ proxy.reverse.url: \"http://127.0.0.1:{target_port}/\" }}\n")
        }
        Duty::HttpRules => ruled(*target_port),
    };
    let log = match place.duty {
        Duty::HttpLogged => format!("access-log: \"{}\"\n", place.access_log(Kind::H2o)),
        _ => String::new(),
    };
    Ok(format!(
        "num-threads: 1
max-connections: {CONNECTIONS_MAX}
{log}listen: {{ host: 127.0.0.1, port: {port} }}
http1-request-timeout: 3600
proxy.timeout.keepalive: 60000
proxy.preserve-host: ON
proxy.emit-via-header: OFF
hosts:
{hosts}"
    ))
}

/// Its own 404 for a path that is not there. A host that is not there is the first one's.
fn ruled(target_port: u16) -> String {
    let mut hosts = String::new();
    for host in rules::hosts() {
        let _ = write!(hosts, "  {host}:\n    paths:\n");
        for prefix in rules::prefixes() {
            let _ =
                writeln!(hosts, "      {prefix}: {{ proxy.reverse.url: \"http://127.0.0.1:{target_port}{prefix}\" }}");
        }
    }
    hosts
}

/// Of clients.
const CONNECTIONS_MAX: u32 = 20_000;
