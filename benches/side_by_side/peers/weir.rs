//! Weir: one shard.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use super::{Duty, Kind, Place};
use crate::load::rules;
use crate::process::{BALANCER_CORE, pinned};

pub(super) fn command(program: &Path, place: &Place) -> Command {
    let mut command = pinned(BALANCER_CORE, program);
    command.args(["run", "--config"]).arg(&place.config);
    command
}

pub(super) fn config(place: &Place, weight: u32) -> String {
    let Place { port, admin_port, target_port, .. } = place;
    let protocol = match place.duty {
        Duty::Relay => "tcp",
        Duty::Http | Duty::HttpRules | Duty::HttpLogged => "http",
    };
    // Far below what a turn writes, so that no turn fills a disk.
    let log = match place.duty {
        Duty::HttpLogged => {
            format!(
                "[access_log]\npath = \"{}\"\nrotate_size = \"64MiB\"\nrotate_keep = 1\n",
                place.access_log(Kind::Weir)
            )
        }
        _ => String::new(),
    };
    let actions = match place.duty {
        Duty::HttpRules => ruled(),
        _ => "default_action = { forward = \"app\" }\n".to_owned(),
    };
    // Nobody's pause ends a connection, and as many are kept to the target as the busiest case has clients.
    let (idle_timeout, keep_alive) = match place.duty {
        Duty::Relay => ("", ""),
        _ => ("idle_timeout = \"1h\"\n", "keep_alive = { idle_max = 1024, idle_timeout = \"1h\" }\n"),
    };
    format!(
        r#"[balancer]
name = "bench"
allow_public_targets = true
[shards]
cores = [{BALANCER_CORE}]
[admin]
listen = "127.0.0.1:{admin_port}"
{log}[[listener]]
name = "{protocol}"
protocol = "{protocol}"
address = "127.0.0.1:{port}"
{idle_timeout}{actions}[[target_group]]
name = "app"
protocol = "{protocol}"
health_check = {{ protocol = "none" }}
{keep_alive}  [[target_group.target]]
  type = "cvm"
  address = "127.0.0.1"
  port = {target_port}
  weight = {weight}
"#
    )
}

fn ruled() -> String {
    let mut text = "default_action = { fixed_response = { status = 404 } }\n".to_owned();
    for (index, (host, prefix)) in rules::rules().enumerate() {
        let priority = index + 1;
        let _ = write!(
            text,
            "  [[listener.rule]]\n  priority = {priority}\n  host = [\"{host}\"]\n  path = [\"{prefix}*\"]\n  \
             action = {{ forward = \"app\" }}\n"
        );
    }
    text
}

/// How many reloads took effect, by its log.
pub(super) fn reloads(log: &str) -> usize {
    log.lines().filter(|line| line.contains("config reloaded") && !line.contains("not taken")).count()
}
