//! The command line: one file a command. What an operator reads is on stdout, what went wrong and the log on stderr.
#![forbid(unsafe_code)]

mod check;
mod demo;
mod doctor;
mod log;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::control::{self, DRAIN_DEFAULT, Options, Source};

/// A load balancer for bare metal.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `weir::shard=debug`. Default: `RUST_LOG`, else info.
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log::parse_filter)]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a balancer. SIGHUP reloads the config; SIGTERM drains and stops, a second one stops at once.
    Run {
        /// The config; docs/config.md describes every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How long a stop waits for connections to end.
        #[arg(long, value_name = "TIME", default_value_t = DRAIN_DEFAULT.into())]
        drain: humantime::Duration,
    },
    /// Say whether a config is good: every mistake with its line and how to mend it.
    Check {
        /// The config.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run a balancer over three targets of its own on loopback, and say what to try.
    Demo {
        /// Print the demo's config instead.
        #[arg(long)]
        print_config: bool,
    },
    /// Look at this host: what Weir needs, and what would make it faster.
    Doctor,
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log = log::start(arguments.log);
    let log_lines_dropped = Some(log.dropped.clone());
    let result = match arguments.command {
        Command::Run { config, drain } => {
            run(&Options { source: Source::File(config), drain: *drain, greeting: String::new(), log_lines_dropped })
        }
        Command::Check { config } => check::check(&config),
        Command::Demo { print_config: true } => demo::print_config(),
        Command::Demo { print_config: false } => demo::demo(log_lines_dropped),
        Command::Doctor => doctor::doctor(),
    };
    // What was logged comes before what is said of it.
    drop(log);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    control::run(options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn run_takes_a_drain_time_and_a_log_filter() {
        let arguments = Arguments::try_parse_from([
            "weir",
            "run",
            "--config",
            "a.toml",
            "--drain",
            "1m 30s",
            "--log",
            "weir=debug",
        ]);
        let Command::Run { drain, .. } = arguments.unwrap().command else { panic!("run") };
        assert_eq!(drain.as_secs(), 90);
        assert!(Arguments::try_parse_from(["weir", "run", "--config", "a.toml", "--drain", "soon"]).is_err());
        assert!(Arguments::try_parse_from(["weir", "run", "--config", "a.toml", "--log", "=,="]).is_err());
        assert!(Arguments::try_parse_from(["weir", "run"]).is_err());
    }
}
