//! `HAProxy`: one thread in a worker below its master, as its own unit files run it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Duty, Place};
use crate::load::rules;
use crate::process::{BALANCER_CORE, pinned};

pub(super) fn command(program: &Path, place: &Place) -> Command {
    let mut command = pinned(BALANCER_CORE, program);
    command.args(["-W", "-f"]).arg(&place.config);
    command
}

pub(super) fn config(place: &Place, weight: u32) -> String {
    let Place { port, target_port, .. } = place;
    let (mode, defaults, actions) = match place.duty {
        Duty::Relay => ("tcp", "", "  default_backend app\n".to_owned()),
        Duty::Http | Duty::HttpLogged => ("http", HTTP_DEFAULTS, format!("{FIELDS}  default_backend app\n")),
        Duty::HttpRules => {
            let map = map_file(place);
            let choice = format!("  use_backend %[base,map_beg({})]\n  default_backend none\n", map.display());
            ("http", HTTP_DEFAULTS, format!("{FIELDS}{choice}"))
        }
    };
    let none = match place.duty {
        Duty::HttpRules => "backend none\n  http-request deny deny_status 404\n",
        _ => "",
    };
    format!(
        "global\n  nbthread 1\n  maxconn {CONNECTIONS_MAX}\n\
         defaults\n  mode {mode}\n{defaults}  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         frontend {mode}\n  bind 127.0.0.1:{port} backlog 4096\n{actions}\
         backend app\n  server app 127.0.0.1:{target_port} weight {weight}\n{none}"
    )
}

/// Where the rules are looked up: its way of having many.
pub(super) fn map_file(place: &Place) -> PathBuf {
    place.dir.join("haproxy.map")
}

/// From a host and the beginning of a path to where it goes.
pub(super) fn map() -> String {
    rules::rules().fold(String::new(), |map, (host, prefix)| map + &host + &prefix + " app\n")
}

/// A target's connection serves whoever comes.
const HTTP_DEFAULTS: &str = "  timeout http-keep-alive 1h\n  http-reuse always\n  option forwardfor\n";
const FIELDS: &str = "  http-request set-header X-Forwarded-Proto http\n  http-request set-header X-Forwarded-Port %[dst_port]\n  \
                      http-request set-header X-Real-IP %[src]\n";
/// Two descriptors each, below the common limit of 20,000.
const CONNECTIONS_MAX: u32 = 9_500;
