//! The log: lines on stderr, coloured on a terminal only.
//!
//!     control, shards --a line, or a count where the queue is full--> queue --> thread --> stderr
//!
//! Whoever reads stderr may stop reading, and a shard that waited for it would keep its connections waiting. So a thread of
//! its own writes, and lines that find its queue full are dropped and counted (`weir_log_lines_dropped_total`).

use std::io::{self, IsTerminal, Write};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

const DEFAULT: &str = "info";
/// Lines that wait for stderr, at most. Ours: a second of a busy log, in about a megabyte.
const LINES_MAX: usize = 4096;

/// The log as it runs. Dropping it writes what is queued, for about a second at most; what is logged later is lost.
pub(super) struct Log {
    /// Counts the lines that were dropped.
    pub(super) dropped: ErrorCounter,
    _writer: WorkerGuard,
}

pub(super) fn start(wanted: Option<String>) -> Log {
    // A RUST_LOG that cannot be read must not keep a balancer from starting.
    let filter =
        wanted.map_or_else(|| EnvFilter::try_from_default_env().unwrap_or_else(|_| DEFAULT.into()), EnvFilter::from);
    let ansi = io::stderr().is_terminal();
    let (queue, log) = open(io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue).with_ansi(ansi).init();
    log
}

fn open(sink: impl Write + Send + 'static) -> (NonBlocking, Log) {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX).thread_name("weir-log");
    let (queue, writer) = builder.finish(sink);
    let dropped = queue.error_counter();
    (queue, Log { dropped, _writer: writer })
}

pub(super) fn parse_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Takes a line when the test says so.
    struct Slow {
        go_on: Receiver<()>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // An error is that the test has let go: from then on lines are taken at once.
            let _ = self.go_on.recv();
            self.taken.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_drops_lines_and_counts_them_and_nobody_waits() {
        let (let_go, go_on) = channel();
        let (taken, lines) = channel();
        let (mut queue, log) = open(Slow { go_on, taken });
        let written = LINES_MAX + 100;
        for line in 0..written {
            queue.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        let dropped = log.dropped.dropped_lines();
        assert!((99..=100).contains(&dropped), "{dropped}: all that find no place; the thread holds one or none");

        drop(let_go);
        drop(log);
        let lines: Vec<Vec<u8>> = lines.try_iter().collect();
        assert_eq!(lines.len(), written - dropped, "at the end what is queued is written");
        assert_eq!((lines[0].as_slice(), lines[1].as_slice()), (&b"0\n"[..], &b"1\n"[..]));
    }
}
