//! Weir: one shard.

use std::path::Path;
use std::process::Command;

use super::Place;
use crate::process::{BALANCER_CORE, pinned};

pub(super) fn command(program: &Path, place: &Place) -> Command {
    let mut command = pinned(BALANCER_CORE, program);
    command.args(["run", "--config"]).arg(&place.config);
    command
}

pub(super) fn config(place: &Place, weight: u32) -> String {
    let Place { port, admin_port, target_port, .. } = place;
    format!(
        r#"[balancer]
name = "bench"
allow_public_targets = true
[shards]
cores = [{BALANCER_CORE}]
[admin]
listen = "127.0.0.1:{admin_port}"
[[listener]]
name = "tcp"
protocol = "tcp"
address = "127.0.0.1:{port}"
default_action = {{ forward = "app" }}
[[target_group]]
name = "app"
protocol = "tcp"
health_check = {{ protocol = "none" }}
  [[target_group.target]]
  type = "cvm"
  address = "127.0.0.1"
  port = {target_port}
  weight = {weight}
"#
    )
}

/// How many reloads took effect, by its log.
pub(super) fn reloads(log: &str) -> usize {
    log.lines().filter(|line| line.contains("config reloaded") && !line.contains("not taken")).count()
}
