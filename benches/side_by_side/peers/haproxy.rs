//! `HAProxy`: one thread in a worker below its master, as its own unit files run it.

use std::path::Path;
use std::process::Command;

use super::Place;
use crate::process::{BALANCER_CORE, pinned};

pub(super) fn command(program: &Path, place: &Place) -> Command {
    let mut command = pinned(BALANCER_CORE, program);
    command.args(["-W", "-f"]).arg(&place.config);
    command
}

pub(super) fn config(place: &Place, weight: u32) -> String {
    let Place { port, target_port, .. } = place;
    format!(
        "global\n  nbthread 1\n  maxconn {CONNECTIONS_MAX}\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         frontend tcp\n  bind 127.0.0.1:{port} backlog 4096\n  default_backend app\n\
         backend app\n  server app 127.0.0.1:{target_port} weight {weight}\n"
    )
}

/// Two descriptors each, below the common limit of 20,000.
const CONNECTIONS_MAX: u32 = 9_500;
