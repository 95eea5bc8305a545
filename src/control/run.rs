//! The life of the process, as control leads it: start, reload on SIGHUP, drain on SIGTERM, end.
//!
//!     load --> check host --> admin socket --> shards --> apply --> signals --HUP--> reload --> apply
//!                                                            `--TERM, INT--> drain --> end
//!
//! A start and a reload share `apply`. Signals that come while a reload runs make one further reload, not many.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::interval;
use tracing_appender::non_blocking::ErrorCounter;

use super::bind::{self, BindError};
use super::error::StartError;
use super::shards;
use super::state::{Control, Given, Origin, Phase};
use super::store::{Store, StoreError};
use super::{admin, host, notify};
use crate::access_log::{ApplyError, Writer};
use crate::config::{self, Balancer, Errors, Known, Mode, Snapshot};
use crate::ring::check;

/// How long a stop waits for connections by default. Ours: below the 90 s after which systemd kills.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(30);

/// How long a stop waits for the access log's last lines. Ours: what is queued is a few megabytes.
const ACCESS_LOG_LIMIT: Duration = Duration::from_secs(2);

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
    Demo(&'static str),
}

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self, known: &Known) -> Result<Snapshot, Errors> {
        match self {
            Source::File(path) => config::load(path, known),
            Source::Demo(text) => config::parse("demo", text, Mode::Demo),
        }
    }
}

/// Runs a balancer until it is told to stop.
///
/// # Errors
/// It did not come to serve.
pub fn run(options: &Options) -> Result<(), StartError> {
    let started_at = SystemTime::now();
    let snapshot = options.source.load(&Known::default())?;
    let cores = host::resolve_cores(&snapshot.cores, &host::allowed_cores()).map_err(StartError::Cores)?;
    let failed: Vec<_> = check::host().into_iter().filter(|finding| finding.level == check::Level::Fail).collect();
    if !failed.is_empty() {
        return Err(StartError::Host(failed));
    }
    if let Err(error) = check::raise_limits() {
        tracing::warn!("the limits of descriptors and locked memory stay as they are: {error}");
    }
    // Held until the process ends: the folder is its own.
    let _store = open_store(&snapshot)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(serve(options, snapshot, &cores, started_at));
    // A config that is still being read is nobody's any more.
    runtime.shutdown_background();
    result
}

/// A start waits for the disk; nothing is served yet.
fn open_store(snapshot: &Snapshot) -> Result<Option<Store>, StoreError> {
    let Some(path) = &snapshot.state_dir else { return Ok(None) };
    let (store, opened) = Store::open(path)?;
    opened.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(Some(store))
}

async fn serve(
    options: &Options,
    snapshot: Snapshot,
    cores: &[usize],
    started_at: SystemTime,
) -> Result<(), StartError> {
    let mut signals = Signals::new()?;
    let door = admin::Door::open(&snapshot.admin).map_err(StartError::Admin)?;
    let empty = Snapshot {
        revision: 0,
        balancer: Balancer { snat_addresses: Arc::default(), ..snapshot.balancer.clone() },
        listeners: Vec::new(),
        groups: Vec::new(),
        left_out: Vec::new(),
        ..snapshot.clone()
    };
    let empty = Arc::new(empty);
    bind::probe(&bind::added(&empty, &snapshot)).map_err(StartError::Bind)?;
    let given = Given {
        started_at,
        descriptors_max: check::descriptors_max()?,
        log_lines_dropped: options.log_lines_dropped.clone(),
        access_log: Arc::new(Writer::start(cores.len())?),
    };
    let shards = shards::start(cores, &empty, &given.access_log).await?;
    let control = Control::new(shards, empty, given);
    let _watching = shards::watch(&control.shards);
    let _admin = tokio::spawn(door.serve(Arc::clone(&control)));

    match apply(&control, snapshot, Origin::Start).await {
        Ok(()) => {}
        Err(NotApplied::Bind(errors)) => return Err(StartError::Bind(errors)),
        Err(NotApplied::AccessLog(error)) => return Err(StartError::AccessLog(error)),
        Err(NotApplied::Unconfirmed(ids)) => {
            let ids = host::ranges(&ids);
            return Err(StartError::Shard(format!("no answer from shards {ids}; weir doctor looks at what they need")));
        }
    }
    control.state().phase = Phase::Serving;
    announce(&control, options);

    serve_until_stopped(&control, options, &mut signals).await;
    drain(&control, options.drain, &mut signals).await;
    shards::end(&control.shards);
    control.given.access_log.stop(ACCESS_LOG_LIMIT);
    Ok(())
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
async fn serve_until_stopped(control: &Arc<Control>, options: &Options, signals: &mut Signals) {
    // Without a watchdog the interval is never polled.
    let watchdog = notify::watchdog_interval();
    let mut alive = interval(watchdog.unwrap_or(Duration::MAX / 4));
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Reload => {
                    control.given.access_log.reopen();
                    reload(control, &options.source).await;
                }
                Asked::Stop => return,
            },
            _ = alive.tick(), if watchdog.is_some() => {
                if control.not_ready().is_empty() {
                    notify::alive();
                }
            }
        }
    }
}

/// Why a snapshot is not in effect everywhere.
#[derive(Debug)]
pub(super) enum NotApplied {
    /// Addresses cannot be bound: nothing changed.
    Bind(Vec<BindError>),
    /// The access log cannot be opened: nothing changed.
    AccessLog(ApplyError),
    /// These shards have not answered: they take it when they come round.
    Unconfirmed(Vec<usize>),
}

/// Brings a snapshot into effect: every new address is bound before any shard hears of it.
pub(super) async fn apply(control: &Control, new: Snapshot, origin: Origin) -> Result<(), NotApplied> {
    let old = Arc::clone(&control.state().snapshot);
    let new = Arc::new(Snapshot { revision: old.revision + 1, ..new });
    let cores: Vec<usize> = control.shards.iter().map(|shard| shard.core).collect();
    let sockets = bind::bind(&bind::added(&old, &new), &cores).map_err(NotApplied::Bind)?;
    bind::warn_of_long_groups(&old, &new);
    // A log is there before the shards know of it, and goes when they no longer do.
    if new.access_log.is_some() {
        control.given.access_log.apply(new.access_log.as_ref()).map_err(NotApplied::AccessLog)?;
    }
    let missing = shards::apply(&control.shards, &new, control.connections_max(&new), sockets).await;
    if new.access_log.is_none()
        && let Err(error) = control.given.access_log.apply(None)
    {
        tracing::error!("{error}");
    }
    let now = SystemTime::now();
    warn_of_what_is_new(&old, &new);
    let mut state = control.state();
    state.took_effect(&new, origin, now);
    if !missing.is_empty() {
        return Err(NotApplied::Unconfirmed(missing));
    }
    state.reloads.last_success = Some(now);
    Ok(())
}

/// What is in effect otherwise than the operator may think.
fn warn_of_what_is_new(old: &Snapshot, new: &Snapshot) {
    for line in new.left_out.iter().filter(|line| !old.left_out.contains(line)) {
        tracing::warn!("left out: {line}");
    }
    let known = &old.balancer.snat_addresses;
    for source in new.balancer.snat_addresses.iter().filter(|source| !known.contains(source)) {
        if let Err(error) = UdpSocket::bind((*source, 0)) {
            tracing::warn!("nothing can leave from {source} of snat_addresses: {error}; {}", bind::mend(&error, 0));
        }
    }
}

async fn reload(control: &Arc<Control>, source: &Source) {
    notify::reloading();
    let reloaded = try_reload(control, source).await;
    let mut state = control.state();
    if reloaded {
        state.reloads.succeeded += 1;
        tracing::info!(revision = state.snapshot.revision, "config reloaded");
    } else {
        state.reloads.failed += 1;
    }
    drop(state);
    notify::ready();
}

/// Whether the config of now is in effect on every shard. Each reason why not is a line of the log.
async fn try_reload(control: &Arc<Control>, source: &Source) -> bool {
    let source = source.clone();
    let known = Known { door: control.state().snapshot.door, ..Known::default() };
    // A large file takes a while; requests and signals go on.
    let new = match tokio::task::spawn_blocking(move || source.load(&known)).await {
        Ok(Ok(new)) => new,
        Ok(Err(errors)) => {
            errors.to_string().lines().for_each(|line| tracing::error!("{line}"));
            tracing::error!("config not reloaded: nothing changed");
            return false;
        }
        Err(error) => {
            tracing::error!("config not reloaded: {error}: nothing changed");
            return false;
        }
    };
    let new = keep_what_is_read_at_start(control, new);
    match apply(control, new, Origin::Reload).await {
        Ok(()) => true,
        Err(NotApplied::Bind(errors)) => {
            for error in &errors {
                tracing::error!("{error}");
            }
            tracing::error!("config not reloaded: nothing changed");
            false
        }
        Err(NotApplied::AccessLog(error)) => {
            tracing::error!("{error}");
            tracing::error!("config not reloaded: nothing changed");
            false
        }
        Err(NotApplied::Unconfirmed(ids)) => {
            tracing::error!("config reloaded, but shards {} have not taken it yet: no answer", host::ranges(&ids));
            false
        }
    }
}

/// `[shards]`, `[admin]` and `state_dir` stay as they were at start, and a snapshot says what is, not what is wished for.
fn keep_what_is_read_at_start(control: &Control, new: Snapshot) -> Snapshot {
    let old = Arc::clone(&control.state().snapshot);
    for (what, changed) in [
        ("[shards]", new.cores != old.cores),
        ("[admin]", new.admin != old.admin),
        ("state_dir of [balancer]", new.state_dir != old.state_dir),
    ] {
        if changed {
            tracing::warn!("{what} changed and is read at start only: restart weir to apply it");
        }
    }
    Snapshot { cores: old.cores.clone(), admin: old.admin.clone(), state_dir: old.state_dir.clone(), ..new }
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

struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
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
