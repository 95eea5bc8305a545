//! The command line: one file a command. Results are on stdout, everything else on stderr.

mod compare;
mod load;
mod options;
mod serve;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::engine::Stop;
use options::{CompareOptions, HttpOptions, LoadOptions, ServeOptions, TcpOptions, UdpOptions};

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
        load: Box<LoadOptions>,
    },
    /// Load a TCP service that answers requests of one size with answers of one size.
    Tcp {
        #[command(flatten)]
        tcp: TcpOptions,
        #[command(flatten)]
        load: Box<LoadOptions>,
    },
    /// Load a UDP service that answers each datagram, and count what is lost.
    Udp {
        #[command(flatten)]
        udp: UdpOptions,
        #[command(flatten)]
        load: Box<LoadOptions>,
    },
    /// Be the target: answers of known size after known delays.
    Serve(ServeOptions),
    /// Say how two runs differ, from their --json files.
    Compare(CompareOptions),
}

/// Runs the command that the process was started with.
///
/// The exit code is 0 when all went as planned, 1 when it did not, 2 for a command line that makes no sense, 130 after a signal.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let stop = Stop::default();
    if let Err(error) = watch_signals(&stop) {
        say(&format!("weir-loadgen: signals: {error}; ctrl-c will lose the results"));
    }
    let result = match arguments.command {
        Command::Http { http, load } => target::http(&http, &load).and_then(|work| load::run(work, &load, &stop)),
        Command::Tcp { tcp, load } => target::tcp(&tcp).and_then(|work| load::run(work, &load, &stop)),
        Command::Udp { udp, load } => target::udp(&udp, &load).and_then(|work| load::run(work, &load, &stop)),
        Command::Serve(options) => serve::run(&options, &stop),
        Command::Compare(options) => compare::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("weir-loadgen: {error}"));
            match error {
                _ if stop.is_stopped() => ExitCode::from(AFTER_SIGNAL),
                _ if error.is::<Usage>() => ExitCode::from(OF_USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The first SIGINT, SIGTERM or SIGHUP ends the work in order, the second one at once.
fn watch_signals(stop: &Stop) -> Result<(), ctrlc::Error> {
    let stop = stop.clone();
    ctrlc::set_handler(move || {
        if stop.is_stopped() {
            std::process::exit(i32::from(AFTER_SIGNAL));
        }
        stop.stop();
    })
}

/// What went wrong, and how to mend it.
type Error = Box<dyn std::error::Error>;

/// The command line makes no sense, on whatever host.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn usage(message: String) -> Error {
    Box::new(Usage(message))
}

/// Results. A reader that has seen enough, as `head` has, is no error; a disk that is full is one.
fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}").into()),
        _ => Ok(()),
    }
}

/// Everything else. There may be nobody to hear it.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// As clap says it.
const OF_USAGE: u8 = 2;
/// 128 and SIGINT, as shells say it.
const AFTER_SIGNAL: u8 = 130;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        assert!(parse("weir-loadgen http http://a/ --rate 10 --arrivals poisson").is_ok());
        assert!(parse("weir-loadgen http http://a/ --find-max --slo p99<5ms --duration 2s").is_ok());
        for line in [
            "http http://a/ --rate 10 --think 5ms",
            "http http://a/ --count 10 --duration 5s",
            "http http://a/ --find-max",
            "http http://a/ --slo p99<5ms",
            "http http://a/ --find-max --slo p99<5ms --rate 10",
            "http http://a/ --connection-per-request --pipeline 4",
            "http",
            "tcp a:1 --request-size 0",
            "udp a:1 --request-size 7",
            "serve ftp",
        ] {
            assert!(parse(&format!("weir-loadgen {line}")).is_err(), "{line}");
        }
    }
}
