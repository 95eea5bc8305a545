//! nginx: one worker below its master, the stream module.

use std::path::Path;
use std::process::Command;

use super::Place;
use crate::process::{BALANCER_CORE, pinned};

pub(super) fn command(program: &Path, place: &Place) -> Command {
    let mut command = pinned(BALANCER_CORE, program);
    command.arg("-p").arg(&place.dir).arg("-c").arg(&place.config).args(["-e", "stderr"]);
    command
}

pub(super) fn config(place: &Place, weight: u32) -> String {
    let Place { dir, port, target_port, .. } = place;
    // Debian builds stream as a module, others build it in.
    let load = Some(STREAM_MODULE).filter(|path| Path::new(path).exists());
    let load = load.map(|path| format!("load_module {path};\n")).unwrap_or_default();
    format!(
        r"{load}daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {SOCKETS_MAX}; multi_accept on; }}
stream {{
  access_log off;
  tcp_nodelay on;
  upstream app {{ server 127.0.0.1:{target_port} weight={weight}; }}
  server {{ listen 127.0.0.1:{port} reuseport backlog=4096; proxy_pass app; }}
}}
",
        dir = dir.display()
    )
}

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// Of clients and targets; a common limit of descriptors.
const SOCKETS_MAX: u32 = 20_000;
