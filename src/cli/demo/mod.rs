//! `weir demo`: the embedded config, its targets as threads of this process, and what to try.

mod target;

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use tracing_appender::non_blocking::ErrorCounter;

use crate::config::{self, Mode};
use crate::control::{Options, Source};

const CONFIG: &str = include_str!("demo.toml");

/// A demo is ended by Ctrl-C, and whoever pressed it waits.
const DRAIN: Duration = Duration::from_secs(2);

const GREETING: &str = "
Weir serves. In another terminal, try:

  curl 127.0.0.1:8090                                    a target says who it is; again, and another one does
  for i in $(seq 60); do curl -s 127.0.0.1:8090; done | sort | uniq -c      the weights: 10, 20, 30
  curl 127.0.0.1:9900/v1/target-groups/hello/targets     the targets and their health
  curl 127.0.0.1:9900/v1/listeners                       connections, bytes, latencies
  curl 127.0.0.1:9900/metrics                            the same for Prometheus
  weir demo --print-config                               the config behind it

Ctrl-C ends it.
";

pub(super) fn print_config() -> Result<(), String> {
    io::stdout().write_all(CONFIG.as_bytes()).map_err(|error| format!("cannot print: {error}"))
}

pub(super) fn demo(log_lines_dropped: Option<ErrorCounter>) -> Result<(), String> {
    let snapshot = config::parse("demo", CONFIG, Mode::Demo).map_err(|errors| errors.to_string())?;
    let targets = snapshot.groups.iter().flat_map(|group| &group.targets);
    for (target, name) in targets.zip('a'..='z') {
        let listener = TcpListener::bind(target.address).map_err(|error| {
            let port = target.address.port();
            format!(
                "demo: target {name} cannot listen on {}: {error}; see who does: ss -ltnp 'sport = :{port}'",
                target.label
            )
        })?;
        target::start(listener, format!("hello from target {name} ({})\n", target.label));
    }
    super::run(&Options {
        source: Source::Demo(CONFIG),
        drain: DRAIN,
        greeting: GREETING.to_owned(),
        log_lines_dropped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_config_is_good_and_has_the_weights_that_the_greeting_names() {
        let snapshot = config::parse("demo", CONFIG, Mode::Demo).unwrap();
        let weights: Vec<u8> = snapshot.groups[0].targets.iter().map(|target| target.weight).collect();
        assert_eq!(weights, [10, 20, 30]);
        assert_eq!(snapshot.listeners[0].address.to_string(), "127.0.0.1:8090");
    }
}
