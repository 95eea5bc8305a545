//! `weir demo`: the embedded config, its targets as threads of this process, and what to try.

mod target;

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use tracing_appender::non_blocking::ErrorCounter;

use crate::config::{self, Mode, Snapshot, Target};
use crate::control::{Options, Source};

const CONFIG: &str = include_str!("demo.toml");

/// A demo is ended by Ctrl-C, and whoever pressed it waits.
const DRAIN: Duration = Duration::from_secs(2);

const GREETING: &str = "
Weir serves. In another terminal, try:

  curl 127.0.0.1:8080/any/path                           a target says who it is and what it was asked
  curl -i 127.0.0.1:8080/movie                           a redirect: the slash is added
  curl -i 127.0.0.1:8080/robots.txt                      the balancer answers by itself
  for i in $(seq 40); do curl -s 127.0.0.1:8080/release; done | sort | uniq -c   a and b get 3 in 4, c the rest, about
  curl -c jar -b jar 127.0.0.1:8080/cart                 again within 10 s: the same target, by its cookie
  curl -H 'Host: api.localhost' 127.0.0.1:8080/v1/users  the target is asked for /users

  curl 127.0.0.1:8090                                    the same targets through the tcp listener
  for i in $(seq 60); do curl -s 127.0.0.1:8090; done | sort | uniq -c      the weights: 10, 20, 30

  http://127.0.0.1:9900/ in a browser                    the status page, live
  weir status                                            listeners, target groups, shards
  weir targets list                                      the targets and their health
  weir targets weight web 127.0.0.1:8091=0               drains a: nothing new reaches it; weir revisions shows who did it
  curl 127.0.0.1:9900/v1/target-groups/web/targets       one group's, as the API has them
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
    for (target, name) in targets(&snapshot).zip('a'..='z') {
        let listener = TcpListener::bind(target.address).map_err(|error| {
            let port = target.address.port();
            format!(
                "demo: target {name} cannot listen on {}: {error}; see who does: ss -ltnp 'sport = :{port}'",
                target.label
            )
        })?;
        target::start(listener, format!("hello from target {name} ({})", target.label));
    }
    // What is tried by the API is kept for as long as the demo runs.
    let state_dir = std::env::temp_dir().join(format!("weir-demo-{}", std::process::id()));
    // Of a demo that was killed and had the same number.
    let _ = fs::remove_dir_all(&state_dir);
    let result = super::run(&Options {
        source: Source::Demo { text: CONFIG, state_dir: state_dir.clone() },
        drain: DRAIN,
        greeting: GREETING.to_owned(),
        log_lines_dropped,
    });
    // It may not have come to be.
    let _ = fs::remove_dir_all(state_dir);
    result
}

/// Each target once: several groups have it.
fn targets(snapshot: &Snapshot) -> impl Iterator<Item = &Target> {
    let mut seen = HashSet::new();
    snapshot.groups.iter().flat_map(|group| &group.targets).filter(move |target| seen.insert(target.address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        config::parse("demo", CONFIG, Mode::Demo).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn the_demo_config_is_good_and_has_the_weights_that_the_greeting_names() {
        let snapshot = snapshot();
        let weights: Vec<u8> = snapshot.groups[0].targets.iter().map(|target| target.weight).collect();
        assert_eq!(weights, [10, 20, 30]);
        for (listener, address) in snapshot.listeners.iter().zip(["127.0.0.1:8090", "127.0.0.1:8080"]) {
            assert_eq!(listener.address.to_string(), address);
            assert!(GREETING.contains(&format!("curl {address}")), "{address}");
        }
    }

    #[test]
    fn groups_of_the_demo_share_three_targets() {
        let ports: Vec<u16> = targets(&snapshot()).map(|target| target.address.port()).collect();
        assert_eq!(ports, [8091, 8092, 8093]);
    }
}
