//! The load generators beside each other: weir-loadgen and wrk on the same server, in one run.
//!
//!     weir-loadgen serve on core 0 ──> rounds: each generator in turn on core 1 ──> table
//!
//! A generator must not be what a benchmark measures: it has to be able to ask for more than the service can answer, and to add
//! little of its own to what it reports. So two cases each: a server that answers at once, whose limit is the generator, and
//! one that answers after a known time, where all beyond that time is the generator's, the server's and the kernel's.
//! `cargo bench --bench generators -- --rounds 5 --seconds 5`

#![forbid(unsafe_code)]
#![allow(clippy::cast_precision_loss, reason = "counts become figures for people, far below 2^52")]

#[path = "../side_by_side/ending.rs"]
mod ending;
#[path = "../side_by_side/load/mod.rs"]
#[allow(dead_code, reason = "the targets behind balancers are not for here")]
mod load;
#[path = "../side_by_side/median.rs"]
mod median;
#[path = "../side_by_side/proc.rs"]
#[allow(dead_code, reason = "memory and balancers' cores are not for here")]
mod proc;
#[path = "../side_by_side/process.rs"]
#[allow(dead_code, reason = "reloads are not for here")]
mod process;

use std::path::Path;
use std::time::Duration;

use clap::Parser;

use ending::Result;
use load::{Ask, Generator, Load, Outcome, Program, Reuse};
use median::median;
use proc::Machine;
use process::{ANYTHING, BALANCER_CORE, Process, free_ports, pinned, release_dir};

#[derive(Parser)]
#[command(name = "generators", about = "weir-loadgen beside wrk on the same server")]
struct Args {
    /// Counted rounds of each case.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Length of one generator's turn.
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Run. Without it, as `cargo test` and `cargo bench` call every bench, nothing happens.
    #[arg(long)]
    run: bool,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A server and so many connections to it.
struct Case {
    connections: u32,
    delay: Duration,
}

const CASES: &[Case] = &[at_once(1), at_once(16), at_once(64), at_once(256), late(1), late(64), late(256)];

const fn at_once(connections: u32) -> Case {
    Case { connections, delay: Duration::ZERO }
}

const fn late(connections: u32) -> Case {
    Case { connections, delay: Duration::from_millis(5) }
}

/// One generator's turn.
struct Turn {
    cpu_us_per_request: f64,
    outcome: Outcome,
}

fn main() {
    let args = Args::parse();
    if !args.run {
        println!("./x bench generators runs this: about {} minutes", CASES.len() * 2 * 25 / 60 + 1);
        return;
    }
    ending::run("generators", || run(&args));
}

fn run(args: &Args) -> Result<()> {
    let machine = Machine::read()?;
    println!("{machine}");
    machine.warnings().iter().for_each(|warning| println!("warning: {warning}"));
    let (release, dir) = (release_dir(), tempfile::tempdir()?);
    let generators = [Program::WeirLoadgen, Program::Wrk]
        .into_iter()
        .map(|program| Generator::find(program, &release, dir.path()))
        .collect::<Result<Vec<_>>>()?;
    println!(
        "{:>22} {:14} {:>10} {:>11} {:>11} {:>9} {:>9}",
        "case", "generator", "CPU us/req", "wrk / ours", "requests/s", "p50 us", "p99 us"
    );
    for case in CASES {
        let server = serve(case, &release, dir.path())?;
        let turns = measure(case, &generators, server.port, args)?;
        print(case, &generators, &turns);
    }
    println!("p50 and p99 are what exceeds the server's delay");
    Ok(())
}

struct Server {
    port: u16,
    _process: Process,
}

fn serve(case: &Case, release: &Path, dir: &Path) -> Result<Server> {
    let [port] = free_ports()?;
    let mut command = pinned(BALANCER_CORE, &release.join(load::PACKAGE));
    command.args(["serve", "http", "--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--delay", &format!("{}ms", case.delay.as_millis())]);
    let mut process = Process::start("server", command, dir)?;
    process.answers(port, ANYTHING)?;
    Ok(Server { port, _process: process })
}

/// Turns by generator; each round begins with the other one. A first round is not counted.
fn measure(case: &Case, generators: &[Generator], port: u16, args: &Args) -> Result<Vec<Vec<Turn>>> {
    let load = Load { connections: case.connections, ask: Ask::Get(load::SMALL), reuse: Reuse::Kept, rate: None };
    for generator in generators {
        generator.drive(port, &load, Duration::from_secs(1))?;
    }
    let mut turns: Vec<Vec<Turn>> = generators.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds as usize {
        for place in 0..generators.len() {
            let index = (round + place) % generators.len();
            let before = proc::ended_children_seconds()?;
            let outcome = generators[index].drive(port, &load, Duration::from_secs(args.seconds))?;
            let cpu_seconds = proc::ended_children_seconds()? - before;
            let cpu_us_per_request = cpu_seconds * 1e6 / outcome.requests as f64;
            turns[index].push(Turn { cpu_us_per_request, outcome });
        }
    }
    Ok(turns)
}

fn print(case: &Case, generators: &[Generator], turns: &[Vec<Turn>]) {
    let late = case.delay.as_micros() as f64;
    let name = match case.delay.as_millis() {
        0 => format!("{} connections", case.connections),
        ms => format!("{} connections, {ms} ms", case.connections),
    };
    let cpu = |turn: &Turn| turn.cpu_us_per_request;
    let ratios: Vec<f64> = turns[1].iter().zip(&turns[0]).map(|(wrk, ours)| cpu(wrk) / cpu(ours)).collect();
    let ratio = format!("{:.2}", median(&ratios));
    for (index, (generator, turns)) in generators.iter().zip(turns).enumerate() {
        let of = |figure: &dyn Fn(&Turn) -> f64| median(&turns.iter().map(figure).collect::<Vec<f64>>());
        let first = generator.version.split_whitespace().next().unwrap_or_default();
        println!(
            "{:>22} {first:14} {:>10.2} {:>11} {:>11.0} {:>9.0} {:>9.0}",
            if index == 0 { name.as_str() } else { "" },
            of(&cpu),
            if index == 0 { ratio.as_str() } else { "" },
            of(&|turn| turn.outcome.requests as f64 / turn.outcome.seconds),
            of(&|turn| turn.outcome.p50_us - late),
            of(&|turn| turn.outcome.p99_us - late),
        );
        let errors: u64 = turns.iter().map(|turn| turn.outcome.errors).sum();
        if errors > 0 {
            println!("warning: {first}: {errors} requests failed");
        }
    }
}
