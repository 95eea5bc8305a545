//! Weir beside its peers and the bare-ring floor, in one run: CPU a unit of work, throughput, latency, memory, reloads.
//!
//!     targets on core 1, once ──> peers on core 0, all alive ──> rounds: each peer loaded in turn ──> tables, JSON, chart
//!
//! Absolute times mean little on shared machines, so peers take turns within a round, the order rotates from round to round,
//! and every ratio is taken inside a round before the median over rounds is. `docs/PERFORMANCE.md` states the law.
//! Owns every process it starts: each ends with its guard, also on an error or ctrl-c.
//! What is measured: `scenarios`. Who: `peers`. How a round goes: `session`.
//! `cargo bench --bench side_by_side -- l4 --rounds 5 --seconds 5`

#![forbid(unsafe_code)]
#![allow(clippy::cast_precision_loss, reason = "counts and bytes become figures for people, far below 2^52")]

mod chart;
mod comparison;
mod ending;
mod load;
mod measured;
mod median;
mod peers;
mod proc;
mod process;
mod report;
mod scenarios;
mod session;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, Parser};
use rustix::thread::{CpuSet, sched_setaffinity};

use ending::Result;
use load::{Generator, Targets};
use peers::{Contender, Ground, Kind};
use proc::Machine;
use process::release_dir;
use session::{Extent, Session};

#[derive(Parser)]
#[command(
    name = "side_by_side",
    about = "Weir, its peers and the bare-ring floor, interleaved on one pinned core",
    after_help = scenarios::help()
)]
struct Args {
    /// Scenarios by name, a group of them, or all.
    #[arg(value_name = "SCENARIO", hide_possible_values = true,
          value_parser = PossibleValuesParser::new(scenarios::words()))]
    scenarios: Vec<String>,
    /// Counted rounds of each case.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Length of one peer's turn; shorter than 2 s is too short to trust.
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Only cases whose names begin so, such as 64 or "1 MiB".
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    cases: Vec<String>,
    /// Who takes part.
    #[arg(long, value_delimiter = ',', default_value = "weir,floor,nginx,haproxy,envoy,h2o", value_name = "LIST")]
    peers: Vec<Kind>,
    /// Who gives the load; wrk where a closed loop is enough.
    #[arg(long, default_value = "weir-loadgen", value_name = "NAME")]
    generator: load::Program,
    /// Where to write every turn, and what the tables say, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where to draw the chart, an SVG.
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// Takes target/release as it is.
    #[arg(long)]
    no_build: bool,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if args.scenarios.is_empty() {
        // `cargo bench` and `cargo test --all-targets` call every bench without arguments: a run of minutes is for who asks.
        let _ = Args::command().print_help();
        return;
    }
    ending::run("side_by_side", || run(&args));
}

fn run(args: &Args) -> Result<()> {
    let release = release_dir();
    if !args.no_build {
        build(&args.peers)?;
    }
    let machine = Machine::read()?;
    println!("{machine}");
    for warning in warnings(&machine, args) {
        println!("warning: {warning}");
    }
    stand_aside()?;
    let dir = tempfile::tempdir()?;
    let generator = Generator::find(args.generator, &release, dir.path())?;
    println!("load     {}", generator.version);
    let targets = Targets::start(&release, dir.path())?;
    let mut session = Session {
        extent: Extent { rounds: args.rounds, length: Duration::from_secs(args.seconds), cases: args.cases.clone() },
        ground: Ground { dir: dir.path().to_owned(), target_port: targets.port },
        generator,
        contenders: find_contenders(&args.peers, &release)?,
        turns: Vec::new(),
        comparisons: Vec::new(),
        absent: Vec::new(),
        failures: Vec::new(),
    };
    // What was seen until an error is worth keeping.
    let end = scenarios::select(&args.scenarios).into_iter().try_for_each(|scenario| session.measure(scenario));
    if let Some(path) = &args.json {
        report::write(path, &machine, &session)?;
    }
    if let Some(path) = &args.chart {
        chart::write(path, &session.comparisons)?;
    }
    end?;
    match session.failures.len() {
        0 => Ok(()),
        failures => Err(format!("{failures} turns failed, see above").into()),
    }
}

fn warnings(machine: &Machine, args: &Args) -> Vec<String> {
    let mut warnings = machine.warnings();
    if args.seconds < 2 {
        warnings.push(format!("turns of {} s are too short to trust", args.seconds));
    }
    warnings
}

/// All that are there; the missing are named.
fn find_contenders(kinds: &[Kind], release: &Path) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    for &kind in kinds {
        match Contender::find(kind, release) {
            Some(contender) => {
                println!("{:8} {}", kind.name(), contender.version);
                contenders.push(contender);
            }
            None if kind.package().is_some() => println!("{:8} skipped: not built", kind.name()),
            None => println!("{:8} skipped: not installed", kind.name()),
        }
    }
    if contenders.is_empty() { Err("no peer to measure".into()) } else { Ok(contenders) }
}

/// Builds what is ours among the peers, and the generator.
fn build(kinds: &[Kind]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "-p", load::PACKAGE]).current_dir(env!("CARGO_MANIFEST_DIR"));
    for package in kinds.iter().filter_map(|kind| kind.package()) {
        command.args(["-p", package]);
    }
    if command.status()?.success() { Ok(()) } else { Err("the build failed: see above".into()) }
}

/// Leaves the balancer's core to the balancers, and takes the descriptors that idle connections need.
fn stand_aside() -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(process::TARGET_CORE);
    sched_setaffinity(None, &cores)
        .map_err(|error| format!("core {}: {error}; a second core is needed", process::TARGET_CORE))?;
    scenarios::idle::raise_descriptor_limit()
}
