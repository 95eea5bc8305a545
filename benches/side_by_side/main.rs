//! Weir beside its peers and the bare-ring floor, in one run: CPU a request, throughput, latency, memory.
//!
//!     targets on core 1, once ──> peers on core 0, all alive ──> rounds: each peer loaded in turn ──> table, JSON
//!
//! Absolute times mean little on shared machines, so peers take turns within a round, the order rotates from round to round,
//! and every ratio is taken inside a round before the median over rounds is. `docs/PERFORMANCE.md` states the law.
//! Owns every process it starts: each ends with its guard, also on an error or ctrl-c.
//! `cargo bench --bench side_by_side -- l4 --rounds 5 --seconds 5 --connections 16,64,256`

#![forbid(unsafe_code)]
#![allow(clippy::cast_precision_loss, reason = "counts and bytes become figures for people, far below 2^52")]

mod load;
mod peers;
mod proc;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{CommandFactory, Parser, Subcommand};
use serde::Serialize;

use peers::{Kind, Peer, Target};

/// Any failure; the text says what to mend.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Set by ctrl-c or SIGTERM; every wait looks at it.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

#[derive(Parser)]
#[command(name = "side_by_side", about = "Weir, its peers and the bare-ring floor, interleaved on one pinned core")]
struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    /// The TCP relay under small keep-alive HTTP requests.
    L4(Options),
}

#[derive(clap::Args)]
struct Options {
    /// Counted rounds for each number of connections.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Length of one peer's turn; shorter than 2 s is too short to trust.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Numbers of client connections, one table each.
    #[arg(long, value_delimiter = ',', default_value = "16,64,256")]
    connections: Vec<u32>,
    /// Who takes part.
    #[arg(long, value_delimiter = ',', default_value = "weir,floor,nginx,haproxy")]
    peers: Vec<Kind>,
    /// Where to write every round as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Takes target/release as it is.
    #[arg(long)]
    no_build: bool,
}

/// One peer's turn.
#[derive(Serialize)]
struct Turn {
    connections: u32,
    round: u32,
    peer: Kind,
    cpu_us_per_request: f64,
    cpu_seconds: f64,
    rss_bytes: u64,
    /// Share of core 0 that was busy for somebody else: what makes a turn noisy.
    foreign_share: f64,
    load: load::Load,
}

/// The whole run, as written by `--json`.
#[derive(Serialize)]
struct Report<'run> {
    machine: &'run proc::Machine,
    peers: Vec<(Kind, &'run str)>,
    rounds: u32,
    seconds: u64,
    turns: &'run [Turn],
}

fn main() {
    let Some(What::L4(options)) = Args::parse().what else {
        // `cargo bench` and `cargo test --all-targets` call every bench without arguments: a run of minutes is for who asks.
        let _ = Args::command().print_help();
        return;
    };
    watch_signals();
    if let Err(error) = run(&options) {
        eprintln!("side_by_side: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<()> {
    let release = release_dir();
    if !options.no_build {
        build(&options.peers)?;
    }
    let machine = proc::Machine::read()?;
    println!("{machine}");
    machine.warn();
    if options.seconds < 2 {
        println!("warning: turns of {} s are too short to trust", options.seconds);
    }
    let dir = tempfile::tempdir()?;
    let target = Target::start(dir.path())?;
    let peers = start_peers(&options.peers, dir.path(), &release, &target)?;
    let mut turns = Vec::new();
    for &connections in &options.connections {
        let first = turns.len();
        measure(options, &peers, connections, &mut turns)?;
        print!("{}", table::render(connections, &turns[first..]));
    }
    if let Some(path) = &options.json {
        write_json(path, options, &machine, &peers, &turns)?;
    }
    Ok(())
}

/// Starts all that are there; the missing are named and left out.
fn start_peers(kinds: &[Kind], dir: &Path, release: &Path, target: &Target) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for &kind in kinds {
        match Peer::start(kind, dir, release, target)? {
            Some(peer) => {
                println!("{:8} {}", kind.name(), peer.version);
                peers.push(peer);
            }
            None if kind.package().is_some() => println!("{}: not built, skipped", kind.name()),
            None => println!("{}: not installed, skipped", kind.name()),
        }
    }
    if peers.is_empty() { Err("no peer to measure".into()) } else { Ok(peers) }
}

/// One warm-up round and the counted ones; each round begins with another peer.
fn measure(options: &Options, peers: &[Peer], connections: u32, turns: &mut Vec<Turn>) -> Result<()> {
    for peer in peers {
        load::drive(peer.port, connections, WARM_UP)?;
    }
    for round in 0..options.rounds {
        for turn in 0..peers.len() {
            let peer = &peers[(round as usize + turn) % peers.len()];
            turns.push(take_turn(peer, connections, round, Duration::from_secs(options.seconds))?);
        }
    }
    Ok(())
}

/// CPU from before the first connection until after the last: what setting up costs is spread over the requests.
fn take_turn(peer: &Peer, connections: u32, round: u32, length: Duration) -> Result<Turn> {
    let processes = proc::tree(peer.pid())?;
    let (cpu_before, core_before) = (proc::cpu_seconds(&processes)?, proc::core_busy_seconds(peers::BALANCER_CORE)?);
    let start = Instant::now();
    let load = load::drive(peer.port, connections, length)?;
    let elapsed = start.elapsed();
    let (cpu_after, core_after) = (proc::cpu_seconds(&processes)?, proc::core_busy_seconds(peers::BALANCER_CORE)?);
    let cpu_seconds = cpu_after - cpu_before;
    let foreign = core_after - core_before - cpu_seconds;
    Ok(Turn {
        connections,
        round,
        peer: peer.kind,
        cpu_us_per_request: cpu_seconds * 1e6 / load.requests as f64,
        cpu_seconds,
        rss_bytes: proc::rss_bytes(&processes)?,
        foreign_share: (foreign / elapsed.as_secs_f64()).max(0.0),
        load,
    })
}

fn write_json(path: &Path, options: &Options, machine: &proc::Machine, peers: &[Peer], turns: &[Turn]) -> Result<()> {
    let peers = peers.iter().map(|peer| (peer.kind, peer.version.as_str())).collect();
    let report = Report { machine, peers, rounds: options.rounds, seconds: options.seconds, turns };
    let file = std::fs::File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::to_writer_pretty(file, &report)?)
}

/// Builds what is ours among the peers.
fn build(kinds: &[Kind]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for package in kinds.iter().filter_map(|kind| kind.package()) {
        let root = env!("CARGO_MANIFEST_DIR");
        let status = Command::new(&cargo).args(["build", "--release", "-p", package]).current_dir(root).status()?;
        if !status.success() {
            return Err(format!("cargo build --release -p {package} failed: see above").into());
        }
    }
    Ok(())
}

/// `target/release`, also where the target directory was moved: two above this program in `target/<profile>/deps`.
fn release_dir() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.ancestors().nth(3)?.join("release")));
    beside.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release"))
}

/// Ctrl-c and SIGTERM end the run through its guards, not past them.
fn watch_signals() {
    std::thread::spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            let terminate = tokio::signal::unix::SignalKind::terminate();
            let Ok(mut terminate) = tokio::signal::unix::signal(terminate) else { return };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            INTERRUPTED.store(true, Ordering::Relaxed);
        });
    });
}

/// Fails once the run is interrupted.
fn go_on() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err("interrupted".into()) } else { Ok(()) }
}

/// Fills caches, pools and the branch predictor; not counted.
const WARM_UP: Duration = Duration::from_secs(1);
