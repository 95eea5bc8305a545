//! The log: lines on stderr, coloured on a terminal only.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

const DEFAULT: &str = "info";

pub(super) fn start(wanted: Option<String>) {
    // A RUST_LOG that cannot be read must not keep a balancer from starting.
    let filter =
        wanted.map_or_else(|| EnvFilter::try_from_default_env().unwrap_or_else(|_| DEFAULT.into()), EnvFilter::from);
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
}

pub(super) fn parse_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
