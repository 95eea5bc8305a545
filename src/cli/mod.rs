//! The command line.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::control::{self, DRAIN_DEFAULT, Options, Source};

/// A load balancer for bare metal.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `weir::shard=debug`. Default: `RUST_LOG`, else info.
    #[arg(long, global = true, value_name = "LEVEL", value_parser = parse_filter)]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a balancer. SIGHUP reloads the config; SIGTERM drains and stops, a second one stops at once.
    Run {
        /// The config, as docs/config.md describes it.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How long a stop waits for connections to end.
        #[arg(long, value_name = "TIME", default_value_t = DRAIN_DEFAULT.into())]
        drain: humantime::Duration,
    },
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.log.as_deref());
    let result = match arguments.command {
        Command::Run { config, drain } => run(Source::File(config), *drain, String::new()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(source: Source, drain: Duration, greeting: String) -> Result<(), String> {
    control::run(&Options { source, drain, greeting }).map_err(|error| error.to_string())
}

/// To stderr, coloured on a terminal only.
fn start_log(wanted: Option<&str>) {
    let filter = wanted
        .map_or_else(|| EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")), EnvFilter::new);
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
}

fn parse_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
