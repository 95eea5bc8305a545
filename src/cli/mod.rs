//! The command line: one file a command. What an operator reads is on stdout, what went wrong and the log on stderr.
//!
//!     run, demo --> control          check --> config          doctor --> ring, host
//!     status, targets, revisions, explain --> api --http, https--> the admin endpoint of a weir that runs
#![forbid(unsafe_code)]

mod api;
mod check;
mod completions;
mod demo;
mod doctor;
mod explain;
mod log;
mod revisions;
mod show;
mod status;
mod targets;
mod trouble;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::control::{self, DRAIN_DEFAULT, Options, Source};
use trouble::Trouble;

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
    /// Show a weir that runs: its listeners, target groups and shards.
    Status {
        #[command(flatten)]
        endpoint: api::Endpoint,
    },
    /// List the targets of a weir that runs, bind and unbind them, change weights and ports.
    Targets(targets::Targets),
    /// List what a weir that runs has applied, and when.
    Revisions {
        #[command(flatten)]
        endpoint: api::Endpoint,
    },
    /// Ask a weir that runs which rule, group and target a request would get now, and why no other.
    Explain(explain::Question),
    /// Print a script that completes these commands in a shell.
    Completions {
        /// The shell that loads it.
        shell: completions::Shell,
    },
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
                .map_err(Trouble::from)
        }
        Command::Check { config } => check::check(&config).map_err(Trouble::from),
        Command::Demo { print_config: true } => demo::print_config().map_err(Trouble::from),
        Command::Demo { print_config: false } => demo::demo(log_lines_dropped).map_err(Trouble::from),
        Command::Doctor => doctor::doctor().map_err(Trouble::from),
        Command::Status { endpoint } => status::status(&endpoint),
        Command::Targets(targets) => targets::targets(&targets),
        Command::Revisions { endpoint } => revisions::revisions(&endpoint),
        Command::Explain(question) => explain::explain(&question),
        Command::Completions { shell } => completions::completions(shell, Arguments::command()),
    };
    // What was logged comes before what is said of it.
    drop(log);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("{trouble}");
            trouble.exit_code()
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    control::run(options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// Every command and option is described, in a table or an example, and the README names every command.
    #[test]
    fn the_documentation_has_every_command_and_option() {
        let page = include_str!("../../docs/commands.md");
        let readme = include_str!("../../README.md");
        let mut waiting = vec![(Arguments::command(), "weir".to_owned())];
        while let Some((command, line)) = waiting.pop() {
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                let described = [" ", "`"].iter().any(|end| page.contains(&format!("--{option}{end}")));
                assert!(described, "--{option} of {line}");
            }
            for part in command.get_subcommands() {
                let line = format!("{line} {}", part.get_name());
                assert!(page.contains(&format!("| `{line}")) || part.has_subcommands(), "{line}");
                let first = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
                assert!(readme.contains(&format!("| `{first}")), "{first} in the README");
                waiting.push((part.clone(), line));
            }
        }
    }

    #[test]
    fn an_option_of_the_endpoint_may_stand_before_or_behind_the_verb() {
        for line in ["weir targets --admin [::1]:1 list app", "weir targets list app --admin [::1]:1"] {
            let Command::Targets(targets) = Arguments::try_parse_from(line.split(' ')).unwrap().command else {
                panic!("targets")
            };
            assert!(format!("{targets:?}").contains("Tcp(\"[::1]:1\")"), "{targets:?}");
        }
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
