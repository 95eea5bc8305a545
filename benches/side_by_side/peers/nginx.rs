//! nginx: one worker below its master, the stream module or the http one.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use super::{Duty, Kind, Place};
use crate::load::rules;
use crate::process::{BALANCER_CORE, pinned};

pub(super) fn command(program: &Path, place: &Place) -> Command {
    let mut command = pinned(BALANCER_CORE, program);
    command.arg("-p").arg(&place.dir).arg("-c").arg(&place.config).args(["-e", "stderr"]);
    command
}

pub(super) fn config(place: &Place, weight: u32) -> String {
    // Debian builds stream as a module, others build it in.
    let load = Some(STREAM_MODULE).filter(|path| place.duty == Duty::Relay && Path::new(path).exists());
    let load = load.map(|path| format!("load_module {path};\n")).unwrap_or_default();
    let work = match place.duty {
        Duty::Relay => stream(place, weight),
        Duty::Http | Duty::HttpRules | Duty::HttpLogged => http(place, weight),
    };
    format!(
        r"{load}daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {SOCKETS_MAX}; multi_accept on; }}
{work}",
        dir = place.dir.display()
    )
}

fn stream(place: &Place, weight: u32) -> String {
    let Place { port, target_port, .. } = place;
    format!(
        r"stream {{
  access_log off;
  tcp_nodelay on;
  upstream app {{ server 127.0.0.1:{target_port} weight={weight}; }}
  server {{ listen 127.0.0.1:{port} reuseport backlog=4096; proxy_pass app; }}
}}
"
    )
}

/// Bodies stream both ways, as everybody else's do: by default it takes a whole request before it connects, and sets a long answer
/// aside in a file. 512 KiB of an answer wait for a slow client.
fn http(place: &Place, weight: u32) -> String {
    let target_port = place.target_port;
    let log = match place.duty {
        Duty::HttpLogged => format!("{} combined buffer=64k flush=1s", place.access_log(Kind::Nginx)),
        _ => "off".to_owned(),
    };
    format!(
        r#"http {{
  access_log {log};
  tcp_nodelay on;
  keepalive_timeout 1h;
  keepalive_requests {REQUESTS_MAX};
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header X-Real-IP $remote_addr;
  proxy_request_buffering off;
  proxy_buffers 16 32k;
  proxy_busy_buffers_size 64k;
  proxy_max_temp_file_size 0;
  upstream app {{
    server 127.0.0.1:{target_port} weight={weight};
    keepalive 1024;
    keepalive_requests {REQUESTS_MAX};
    keepalive_timeout 1h;
  }}
{}}}
"#,
        servers(place)
    )
}

fn servers(place: &Place) -> String {
    let port = place.port;
    let listen = format!("listen 127.0.0.1:{port} reuseport backlog=4096");
    if place.duty != Duty::HttpRules {
        return format!("  server {{ {listen}; location / {{ proxy_pass http://app; }} }}\n");
    }
    let mut text = format!("  server {{ {listen} default_server; return 404; }}\n");
    for host in rules::hosts() {
        let _ = writeln!(text, "  server {{\n    listen 127.0.0.1:{port}; server_name {host};");
        for prefix in rules::prefixes() {
            let _ = writeln!(text, "    location {prefix} {{ proxy_pass http://app; }}");
        }
        text.push_str("    location / { return 404; }\n  }\n");
    }
    text
}

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// Of clients and targets; a common limit of descriptors.
const SOCKETS_MAX: u32 = 20_000;
/// On a connection; its own limit is 1,000.
const REQUESTS_MAX: u32 = 1_000_000_000;
