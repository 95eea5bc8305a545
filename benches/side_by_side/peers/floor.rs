//! The floor: `benches/floor`. It has no config.

use std::path::Path;
use std::process::Command;

use super::{Duty, Place};
use crate::process::{BALANCER_CORE, pinned};

pub(super) fn command(program: &Path, place: &Place) -> Command {
    let mut command = pinned(BALANCER_CORE, program);
    command
        .args(["--listen", &format!("127.0.0.1:{}", place.port)])
        .args(["--target", &format!("127.0.0.1:{}", place.target_port)])
        .args(["--core", &BALANCER_CORE.to_string()]);
    if place.duty != Duty::Relay {
        command.arg("--http");
    }
    command
}
