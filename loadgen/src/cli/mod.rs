//! The command line: one file a command. Results are on stdout, everything else on stderr.

mod load;
mod options;
mod target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use options::{HttpOptions, LoadOptions, TcpOptions};

/// Load for TCP, UDP and HTTP services, open loop first.
#[derive(Debug, Parser)]
#[command(name = "weir-loadgen", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load an HTTP/1.1 service.
    Http {
        #[command(flatten)]
        http: HttpOptions,
        #[command(flatten)]
        load: LoadOptions,
    },
    /// Load a TCP service that answers requests of one size with answers of one size.
    Tcp {
        #[command(flatten)]
        tcp: TcpOptions,
        #[command(flatten)]
        load: LoadOptions,
    },
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Http { http, load } => target::http(&http, &load).and_then(|work| load::run(work, &load)),
        Command::Tcp { tcp, load } => target::tcp(&tcp).and_then(|work| load::run(work, &load)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What went wrong, and how to mend it.
type Error = Box<dyn std::error::Error>;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
