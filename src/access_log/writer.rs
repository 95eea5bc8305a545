//! The writer: one thread that takes the shards' batches, formats them and writes, and control's handle on it.
//!
//!     control: apply, reopen, stop --.
//!     sinks: batches -----------------`-> one queue, in order --> format --> block --BLOCK_BYTES, or queue empty--> Output
//!
//! Orders come through the same queue as batches, so what was handed over before a change is written as it was before.
//! `apply` opens the new place itself: when that fails, nothing has changed. At a stop the thread goes on until every sink is
//! closed, or for `STOP_GRACE`.
//! A place that cannot be written to costs the lines of each attempt, counted; one line of the log says so and how to mend it,
//! another one that it works again.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::entry::{Entry, Line, Request, What};
use super::output::{OpenError, Output, count_lines};
use super::record::decode;
use super::sink::{BATCHES_MAX, Batch, Sink};
use super::{alb, json};
use crate::config::{AccessLog, LogFormat};

/// A shard calls its sink's `tick` so often. Ours: a line is in the file within a fifth of a second.
pub const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// Text that is written at once, about. Ours: a system call for some thousand lines.
const BLOCK_BYTES: usize = 256 << 10;

/// Orders that may wait. Ours: they wait only while a write hangs.
const ORDERS_MAX: usize = 64;

/// How long the thread waits for sinks to be closed once it was told to stop.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// Where each text of a line is cut that is otherwise too long for its output: eight texts that become six times as long by
/// escapes are less than `syslog::LINE_BYTES_MAX` with all the rest of a line.
const SHORT_TEXT_BYTES: usize = 96;

/// What the thread takes.
pub(super) enum Message {
    Batch(Batch),
    Switch(Option<Box<Destination>>),
    Reopen,
    Stop,
}

/// Where and how lines are written.
pub(super) struct Destination {
    pub(super) output: Output,
    pub(super) format: LogFormat,
}

/// Where a record is from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) shard: u64,
    /// When the process started, in microseconds since 1970.
    pub(super) started_at_us: u64,
}

/// What the writer counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// Entries that a failed write lost.
    pub dropped: u64,
    /// Writes that failed.
    pub errors: u64,
}

#[derive(Debug, Default)]
struct Tallies {
    dropped: AtomicU64,
    errors: AtomicU64,
}

/// A change of the access log that is not in effect.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The new place cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The writer hangs.
    #[error("access log: its writer hangs in a write and takes no orders; look at the disk or at who reads the pipe")]
    Busy,
}

/// Control's handle. One for the process.
#[derive(Debug)]
pub struct Writer {
    state: Mutex<State>,
    tallies: Arc<Tallies>,
}

#[derive(Debug)]
struct State {
    /// `None` once stopped.
    messages: Option<SyncSender<Message>>,
    applied: Option<AccessLog>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Writer {
    /// Starts the thread. It writes nothing until `apply`.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub fn start(shards: usize) -> io::Result<Self> {
        // Room for every batch that there can be: a sink's `try_send` never finds it full.
        let (messages, queue) = sync_channel(shards * BATCHES_MAX + ORDERS_MAX);
        let (end, ended) = sync_channel(0);
        let tallies = Arc::new(Tallies::default());
        let thread = Thread {
            queue,
            tallies: Arc::clone(&tallies),
            started_at_us: unix_us(SystemTime::now()),
            destination: None,
            block: Vec::new(),
            missed: Vec::new(),
            lost: None,
            stop_at: None,
            _end: end,
        };
        thread::Builder::new().name("weir-access-log".to_owned()).spawn(move || thread.run())?;
        Ok(Writer { state: Mutex::new(State { messages: Some(messages), applied: None, ended }), tallies })
    }

    /// A shard's end of it. It records once it is told to.
    #[must_use]
    pub fn sink(&self, shard: usize) -> Sink {
        Sink::new(shard, self.state().messages.clone())
    }

    /// Brings the config's access log into effect. Where it goes from on to off, the shards go first, else they come after.
    ///
    /// # Errors
    /// Nothing changed.
    pub fn apply(&self, wanted: Option<&AccessLog>) -> Result<(), ApplyError> {
        let mut state = self.state();
        if state.applied.as_ref() == wanted {
            return Ok(());
        }
        let destination = match wanted {
            Some(AccessLog { to, format }) => {
                Some(Box::new(Destination { output: Output::open(to)?, format: *format }))
            }
            None => None,
        };
        state.send(Message::Switch(destination))?;
        state.applied = wanted.cloned();
        Ok(())
    }

    /// Opens the file anew, as after a rename by logrotate.
    pub fn reopen(&self) {
        if let Err(error) = self.state().send(Message::Reopen) {
            tracing::error!("{error}");
        }
    }

    /// Writes what is queued, for `limit` at most. The shards have closed their sinks, or do so now.
    pub fn stop(&self, limit: Duration) {
        let mut state = self.state();
        // When there is no room for it, the queue's end says the same.
        let _ = state.send(Message::Stop);
        state.messages = None;
        if state.ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("access log: not all of it was written in {} ms", limit.as_millis());
        }
    }

    /// What the thread counted.
    #[must_use]
    pub fn counts(&self) -> WriteCounts {
        WriteCounts {
            dropped: self.tallies.dropped.load(Ordering::Relaxed),
            errors: self.tallies.errors.load(Ordering::Relaxed),
        }
    }

    /// It is whole at any time, so a panic elsewhere spoils nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// After a stop there is nothing to order.
    fn send(&self, message: Message) -> Result<(), ApplyError> {
        let Some(messages) = &self.messages else { return Ok(()) };
        messages.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => ApplyError::Busy,
        })
    }
}

/// Microseconds since 1970: what entries have for a time.
#[must_use]
pub fn unix_us(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

struct Thread {
    queue: Receiver<Message>,
    tallies: Arc<Tallies>,
    started_at_us: u64,
    destination: Option<Box<Destination>>,
    /// Lines to be written.
    block: Vec<u8>,
    /// Kept for its memory.
    missed: Vec<SocketAddr>,
    /// Writes fail: so many lines are lost since they do.
    lost: Option<u64>,
    stop_at: Option<Instant>,
    /// Dropped with the thread: so its end is known.
    _end: SyncSender<()>,
}

impl Thread {
    fn run(mut self) {
        while let Some(message) = self.next() {
            self.take(message);
            while let Ok(message) = self.queue.try_recv() {
                self.take(message);
            }
            self.write_out();
        }
    }

    /// `None`: every sink and the handle are gone, or it is time to stop.
    fn next(&self) -> Option<Message> {
        match self.stop_at {
            None => self.queue.recv().ok(),
            Some(at) => self.queue.recv_timeout(at.saturating_duration_since(Instant::now())).ok(),
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Batch(batch) => self.format(batch),
            Message::Switch(destination) => {
                self.write_out();
                if destination.is_some() {
                    // Once, ahead of the traffic: a block and the line that fills it.
                    self.block.reserve(2 * BLOCK_BYTES);
                }
                self.destination = destination;
                self.lost = None;
            }
            Message::Reopen => {
                self.write_out();
                if let Some(destination) = &mut self.destination
                    && let Err(error) = destination.output.reopen()
                {
                    tracing::error!("{error}; the file before is still written to");
                }
            }
            Message::Stop => self.stop_at = Some(Instant::now() + STOP_GRACE),
        }
    }

    fn format(&mut self, batch: Batch) {
        let Batch { shard, mut bytes, records, home } = batch;
        let origin = Origin { shard: shard as u64, started_at_us: self.started_at_us };
        let mut rest = &bytes[..];
        let mut formatted = 0;
        while let Some(destination) = &self.destination
            && let Ok(entry) = decode(&mut rest, &mut self.missed)
        {
            destination.format(&entry, &origin, &mut self.block);
            formatted += 1;
            if self.block.len() >= BLOCK_BYTES {
                self.write_out();
            }
        }
        if formatted < records && self.destination.is_some() {
            tracing::error!(shard, "a batch of the access log cannot be read: please report this bug");
            self.tallies.dropped.fetch_add(records - formatted, Ordering::Relaxed);
        }
        bytes.clear();
        // The sink may be gone.
        let _ = home.try_send(bytes);
    }

    fn write_out(&mut self) {
        let Some(destination) = self.destination.as_mut().filter(|_| !self.block.is_empty()) else { return };
        let lines = count_lines(&self.block);
        let written = destination.output.write(&self.block);
        self.block.clear();
        let Some(error) = written.error else {
            if let Some(lost) = self.lost.take() {
                tracing::info!(lines_lost = lost, "access log: it can be written to again");
            }
            return;
        };
        let lost = lines - written.lines;
        self.tallies.errors.fetch_add(1, Ordering::Relaxed);
        self.tallies.dropped.fetch_add(lost, Ordering::Relaxed);
        if self.lost.is_none() {
            tracing::error!(
                "access log: {}: {error}; lines are lost until this is mended: {}",
                destination.output,
                mend(&error)
            );
        }
        *self.lost.get_or_insert(0) += lost;
    }
}

fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on the disk; rotate_bytes and rotate_keep bound what the log takes"
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "whoever takes the lines does not keep up",
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            "whoever took the lines is gone: start it again"
        }
        _ => "look at the disk and at who may write there",
    }
}

impl Destination {
    pub(super) fn format(&self, entry: &Entry<'_>, origin: &Origin, block: &mut Vec<u8>) {
        let write = match self.format {
            LogFormat::Json => json::write,
            LogFormat::Alb => alb::write,
        };
        let before = block.len();
        write(entry, origin, block);
        if self.output.line_bytes_max().is_some_and(|max| block.len() - before > max) {
            block.truncate(before);
            write(&shortened(entry), origin, block);
        }
    }
}

/// With every long text cut.
fn shortened<'a>(entry: &Entry<'a>) -> Entry<'a> {
    let What::Request(request) = entry.what else { return *entry };
    let cut = |text: &'a [u8]| &text[..text.len().min(SHORT_TEXT_BYTES)];
    let line = match request.line {
        Line::Parsed { method, uri, version } => Line::Parsed { method, uri: cut(uri), version },
        Line::Raw(line) => Line::Raw(cut(line)),
    };
    let request = Request {
        line,
        host: cut(request.host),
        user_agent: cut(request.user_agent),
        trace_id: cut(request.trace_id),
        domain_name: cut(request.domain_name),
        redirect_url: cut(request.redirect_url),
        transformed_host: cut(request.transformed_host),
        transformed_uri: cut(request.transformed_uri),
        ..request
    };
    Entry { what: What::Request(request), ..*entry }
}
