//! The life of the process, as control leads it: start, reload on SIGHUP, drain on SIGTERM, end.
//!
//!     load --> check host --> admin socket --> shards --> first revision --> signals --HUP--> reload
//!                                                                              `--TERM, INT--> drain --> end
//!
//! How a revision comes into effect is change/mod.rs. A reload runs beside the loop of the signals (reload.rs), so that the
//! watchdog is fed and a stop is heard whatever a reload waits for.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, interval, sleep};
use tracing_appender::non_blocking::ErrorCounter;

use super::bind::BindError;
use super::change::{self, Ledger, NotApplied};
use super::error::StartError;
use super::reload::Reloading;
use super::state::{Control, Given, Phase};
use super::{admin, bind, host, notify, shards, webhook};
use crate::access_log::Writer;
use crate::config::{Balancer, Errors, Listener, Snapshot, Text};
use crate::ring::check;

/// How long a stop waits for connections by default. Ours: below the 90 s after which systemd kills.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(30);

/// How long a stop waits for the access log's last lines. Ours: what is queued is a few megabytes.
const ACCESS_LOG_LIMIT: Duration = Duration::from_secs(2);

/// How long a start waits for ports that are taken. Ours: far longer than the kernel was seen to need.
const PORTS_LIMIT: Duration = Duration::from_secs(2);
const PORTS_PAUSE: Duration = Duration::from_millis(20);

/// What `run` runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the config is from.
    pub source: Source,
    /// How long a stop waits for connections.
    pub drain: Duration,
    /// Printed on stdout once it serves; empty for nothing.
    pub greeting: String,
    /// Counts the lines that the log dropped; `None` where it drops none.
    pub log_lines_dropped: Option<ErrorCounter>,
}

/// Where a config is from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file, read again at each reload.
    File(PathBuf),
    /// The demo's own.
    Demo {
        /// Its text.
        text: &'static str,
        /// Where what the API changes is kept.
        state_dir: PathBuf,
    },
}

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(&self) -> Result<Text, Errors> {
        match self {
            Source::File(path) => Text::read(path),
            Source::Demo { text, state_dir } => Ok(Text::of_demo(text, state_dir)),
        }
    }
}

/// Runs a balancer until it is told to stop.
///
/// # Errors
/// It did not come to serve.
pub fn run(options: &Options) -> Result<(), StartError> {
    let started_at = SystemTime::now();
    let (ledger, revision) = Ledger::open(options.source.read()?)?;
    let snapshot = ledger.snapshot();
    let cores = host::resolve_cores(&snapshot.cores, &host::allowed_cores()).map_err(StartError::Cores)?;
    let failed: Vec<_> = check::host().into_iter().filter(|finding| finding.level == check::Level::Fail).collect();
    if !failed.is_empty() {
        return Err(StartError::Host(failed));
    }
    if let Err(error) = check::raise_limits() {
        tracing::warn!("the limits of descriptors and locked memory stay as they are: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(serve(options, (ledger, revision, snapshot), &cores, started_at));
    // A config that is still being read is nobody's any more.
    runtime.shutdown_background();
    result
}

async fn serve(
    options: &Options,
    (ledger, revision, snapshot): (Ledger, u64, Snapshot),
    cores: &[usize],
    started_at: SystemTime,
) -> Result<(), StartError> {
    let mut signals = Signals::new()?;
    let door = admin::Door::open(&snapshot.admin).map_err(StartError::Admin)?;
    let empty = Snapshot {
        revision,
        balancer: Balancer { snat_addresses: Arc::default(), ..snapshot.balancer.clone() },
        listeners: Vec::new(),
        groups: Vec::new(),
        left_out: Vec::new(),
        warnings: Vec::new(),
        ..snapshot.clone()
    };
    let empty = Arc::new(empty);
    wait_for_ports(&bind::added(&empty, &snapshot)).await.map_err(StartError::Bind)?;
    let given = Given {
        started_at,
        source: options.source.clone(),
        descriptors_max: check::descriptors_max()?,
        log_lines_dropped: options.log_lines_dropped.clone(),
        access_log: Arc::new(Writer::start(cores.len())?),
    };
    let shards = shards::start(cores, &empty, &given.access_log).await?;
    let control = Control::new(shards, empty, ledger, given);
    let _watching = shards::watch(&control.shards);
    let _admin = tokio::spawn(door.serve(Arc::clone(&control)));
    let _reporting = tokio::spawn(webhook::run(Arc::clone(&control)));

    match change::start(&control).await {
        Ok(_) => {}
        Err(NotApplied::Bind(errors)) => return Err(StartError::Bind(errors)),
        Err(NotApplied::AccessLog(error)) => return Err(StartError::AccessLog(error)),
        Err(NotApplied::Store(error)) => return Err(StartError::Store(error)),
        Err(NotApplied::Unconfirmed { shards, .. }) => {
            let ids = host::ranges(&shards);
            return Err(StartError::Shard(format!("no answer from shards {ids}; weir doctor looks at what they need")));
        }
    }
    control.state().phase = Phase::Serving;
    announce(&control, options);

    serve_until_stopped(&control, &mut signals).await;
    drain(&control, options.drain, &mut signals).await;
    shards::end(&control.shards);
    webhook::end(&control);
    control.given.access_log.stop(ACCESS_LOG_LIMIT);
    Ok(())
}

/// The kernel takes a ring apart after its process has ended, and its sockets with it: who starts right after a kill finds
/// the ports of the one before taken, for a moment.
async fn wait_for_ports(listeners: &[&Listener]) -> Result<(), Vec<BindError>> {
    let deadline = Instant::now() + PORTS_LIMIT;
    loop {
        let errors = match bind::probe(listeners) {
            Ok(()) => return Ok(()),
            Err(errors) => errors,
        };
        let may_pass = errors.iter().all(|error| error.error.kind() == io::ErrorKind::AddrInUse);
        if !may_pass || Instant::now() >= deadline {
            return Err(errors);
        }
        sleep(PORTS_PAUSE).await;
    }
}

fn announce(control: &Control, options: &Options) {
    let snapshot = Arc::clone(&control.state().snapshot);
    let cores: Vec<usize> = control.shards.iter().map(|shard| shard.core).collect();
    tracing::info!(
        balancer = &*snapshot.balancer.name,
        listeners = snapshot.listeners.len(),
        target_groups = snapshot.groups.len(),
        cores = host::ranges(&cores),
        connections_max = control.connections_max(&snapshot) * cores.len(),
        "serving"
    );
    if !options.greeting.is_empty() {
        println!("{}", options.greeting);
    }
    notify::ready();
}

/// Returns when a signal says stop.
pub(super) async fn serve_until_stopped(control: &Arc<Control>, signals: &mut Signals) {
    let mut reloading = Reloading::default();
    // Without a watchdog the interval is never polled.
    let watchdog = notify::watchdog_interval();
    let mut alive = interval(watchdog.unwrap_or(Duration::MAX / 4));
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Reload => {
                    control.given.access_log.reopen();
                    reloading.ask(control);
                }
                Asked::Stop => return reloading.leave(),
            },
            () = reloading.go_on(control) => {}
            _ = alive.tick(), if watchdog.is_some() => {
                if control.not_ready().is_empty() {
                    notify::alive();
                }
            }
        }
    }
}

/// Readiness goes first, so that whoever sends connections here stops; then the shards finish. A second signal ends it.
async fn drain(control: &Control, limit: Duration, signals: &mut Signals) {
    control.state().phase = Phase::Draining;
    notify::stopping();
    let mut alive = interval(notify::stop_interval());
    tracing::info!(limit_seconds = limit.as_secs(), "draining: no new connections; a second signal stops at once");
    let drained = shards::drain(&control.shards, limit);
    tokio::pin!(drained);
    loop {
        tokio::select! {
            reset = &mut drained => {
                if reset == 0 {
                    tracing::info!("drained");
                } else {
                    tracing::warn!(connections = reset, "drain deadline is over: these connections were reset");
                }
                return;
            }
            asked = signals.next() => match asked {
                Asked::Reload => {
                    control.given.access_log.reopen();
                    tracing::warn!("not reloading: weir is draining");
                }
                Asked::Stop => {
                    tracing::warn!("second signal: stopping at once");
                    return;
                }
            },
            _ = alive.tick() => notify::still_stopping(),
        }
    }
}

/// What a signal means.
enum Asked {
    Reload,
    Stop,
}

pub(super) struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Signals {
            reload: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.reload.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
        }
    }
}
