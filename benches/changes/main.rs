//! Changes by the API of a large config, while requests flow: how long until one is kept and live on every shard.
//!
//!     weir: 50 listeners of 100 rules, 1,000 targets in 100 groups <── weir-loadgen, open loop, through the first listener
//!        ^── PATCH, POST, DELETE, PUT in turns: each is answered once every shard runs it ──> table
//!
//! A target group that is read beside them is the floor: HTTP and JSON without a change.
//! `cargo bench --bench changes -- --run --rounds 40`

#![forbid(unsafe_code)]
#![allow(clippy::cast_precision_loss, reason = "counts become figures for people, far below 2^52")]

#[path = "../side_by_side/ending.rs"]
mod ending;
#[path = "../side_by_side/load/mod.rs"]
#[allow(dead_code, reason = "peers' generators are not for here")]
mod load;
#[path = "../side_by_side/median.rs"]
mod median;
#[path = "../side_by_side/proc.rs"]
#[allow(dead_code, reason = "balancers' cores are not for here")]
mod proc;
#[path = "../side_by_side/process.rs"]
#[allow(dead_code, reason = "reloads are not for here")]
mod process;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body};

use ending::{Result, go_on};
use load::{Ask, Generator, Load, Outcome, Program, Reuse, Targets};
use median::median;
use proc::Machine;
use process::{Process, free_ports, release_dir};

const LISTENERS: usize = 50;
const RULES: usize = 100;
const GROUPS: usize = 100;
const TARGETS_EACH: usize = 10;
const BATCH: usize = 500;
const REQUESTS_A_SECOND: f64 = 3_000.0;
/// As long as this without a change.
const AT_REST: Duration = Duration::from_secs(5);
/// The load is there ahead of the first change.
const HEAD_START: Duration = Duration::from_secs(1);
/// From one round to the next, so that changes do not queue, nor are they refused for their number.
const PAUSE: Duration = Duration::from_millis(50);
/// What the changes of a round take, about: the load is there until the last.
const ROUND: Duration = Duration::from_millis(200);
/// A change is live within this, at median.
const WANTED_MS: f64 = 100.0;
const JSON: &str = "application/json";

#[derive(Parser)]
#[command(name = "changes", about = "Changes by the API while requests flow")]
struct Args {
    /// Changes of each kind.
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Run. Without it, as `cargo test` and `cargo bench` call every bench, nothing happens.
    #[arg(long)]
    run: bool,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if !args.run {
        println!("./x bench changes runs this: about a quarter of a minute, once it is built");
        return;
    }
    ending::run("changes", || run(&args));
}

fn run(args: &Args) -> Result<()> {
    let machine = Machine::read()?;
    println!("{machine}");
    machine.warnings().iter().for_each(|warning| println!("warning: {warning}"));
    let (release, dir) = (release_dir(), tempfile::tempdir()?);
    let generator = Generator::find(Program::WeirLoadgen, &release, dir.path())?;
    let targets = Targets::start(&release, dir.path())?;
    let [admin, listeners @ ..] = free_ports::<{ 1 + LISTENERS }>()?;
    let config = dir.path().join("weir.toml");
    std::fs::write(&config, config_text(dir.path(), admin, &listeners, targets.port)?)?;
    let mut command = Command::new(release.join("weir"));
    command.args(["run", "--config"]).arg(&config);
    let mut weir = Process::start("weir", command, dir.path())?;
    weir.answers(admin, ("127.0.0.1", "/readyz"))?;

    let load = Load { connections: 32, ask: Ask::Get(load::SMALL), reuse: Reuse::Kept, rate: Some(REQUESTS_A_SECOND) };
    let at_rest = generator.drive(listeners[0], &load, AT_REST)?;
    let length = HEAD_START + args.rounds * (PAUSE + ROUND);
    let (figures, ended_early, outcome) = std::thread::scope(|scope| {
        let loaded = scope.spawn(|| generator.drive(listeners[0], &load, length).map_err(|error| error.to_string()));
        std::thread::sleep(HEAD_START);
        let figures = measure(admin, args.rounds);
        (figures, loaded.is_finished(), loaded.join())
    });
    let (figures, outcome) = (figures?, outcome.map_err(|_| "the load panicked")??);
    if ended_early {
        return Err("the load ended ahead of the changes: the machine is too busy for this".into());
    }
    println!("{:42} {:>10} {:>10} {:>12}", "change", "median ms", "at most ms", "over a read");
    let read = median(&figures[0].took_ms);
    for Figure { name, took_ms } in &figures {
        let (middle, most) = (median(took_ms), took_ms.iter().copied().fold(0.0, f64::max));
        println!("{name:42} {middle:>10.1} {most:>10.1} {:>12.1}", middle / read);
        if middle > WANTED_MS {
            println!("warning: {name}: above {WANTED_MS} ms at median");
        }
    }
    if outcome.errors > 0 {
        println!("warning: no request may fail for a change");
    }
    println!("{} requests meanwhile, {} failed", outcome.requests, outcome.errors);
    let ratio = |of: fn(&Outcome) -> f64| of(&outcome) / of(&at_rest);
    println!(
        "their latency over that at rest: p50 {:.2}, p99 {:.2}",
        ratio(|load| load.p50_us),
        ratio(|load| load.p99_us)
    );
    Ok(())
}

/// One kind of change, and how long each took.
struct Figure {
    name: &'static str,
    took_ms: Vec<f64>,
}

impl Figure {
    const fn new(name: &'static str) -> Self {
        Figure { name, took_ms: Vec::new() }
    }

    /// Counts one more; gives what was answered.
    fn ask(&mut self, ask: impl FnOnce() -> Answer) -> Result<Value> {
        let begin = Instant::now();
        let failed = |error: ureq::Error| format!("{}: {error}", self.name);
        let text = ask().map_err(failed)?.into_body().read_to_string()?;
        self.took_ms.push(begin.elapsed().as_secs_f64() * 1e3);
        Ok(serde_json::from_str(&text)?)
    }

    /// The same of a change; gives its revision.
    fn change(&mut self, ask: impl FnOnce() -> Answer) -> Result<u64> {
        let answer = self.ask(ask)?;
        answer["revision"].as_u64().ok_or_else(|| format!("{}: {answer}", self.name).into())
    }
}

type Answer = std::result::Result<Response<Body>, ureq::Error>;

/// All kinds in turns, over one connection.
fn measure(admin: u16, rounds: u32) -> Result<Vec<Figure>> {
    let agent = Agent::new_with_defaults();
    let at = |path: &str| format!("http://127.0.0.1:{admin}/v1/{path}");
    let mut read = Figure::new("a target group is read");
    let mut weight = Figure::new("one weight");
    let mut more = Figure::new("500 targets registered, one revision");
    let mut fewer = Figure::new("500 targets deregistered, one revision");
    let mut machine = Figure::new("a machine of the inventory");
    let batch: Vec<Value> = (0..BATCH)
        .map(|index| json!({"address": format!("10.200.{}.{}", index / 250, index % 250 + 1), "port": 80}))
        .collect();
    let batch = json!({ "targets": batch }).to_string();
    for round in 0..rounds {
        go_on()?;
        let one = json!({"targets": [{"address": "10.1.5.1", "port": 80, "weight": round % 50 + 1}]}).to_string();
        let moved = json!({"address": format!("10.201.0.{}", round % 250 + 1)}).to_string();
        read.ask(|| agent.get(at("target-groups/g5/targets")).call())?;
        let revisions = [
            weight.change(|| agent.patch(at("target-groups/g5/targets")).content_type(JSON).send(&one))?,
            more.change(|| agent.post(at("target-groups/api/targets")).content_type(JSON).send(&batch))?,
            fewer.change(|| {
                agent.delete(at("target-groups/api/targets")).force_send_body().content_type(JSON).send(&batch)
            })?,
            machine.change(|| agent.put(at("inventory/instances/ins-1")).content_type(JSON).send(&moved))?,
        ];
        if !revisions.is_sorted() || revisions[3] - revisions[0] != 3 {
            return Err(format!("one revision each was expected: {revisions:?}").into());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(vec![read, weight, more, fewer, machine])
}

fn config_text(state: &Path, admin: u16, listeners: &[u16], target: u16) -> Result<String> {
    let mut text = format!(
        "[balancer]\nallow_public_targets = true\nstate_dir = \"{}\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n",
        state.join("state").display()
    );
    for (index, port) in listeners.iter().enumerate() {
        write!(text, "[[listener]]\nname = \"l{index}\"\nprotocol = \"http\"\naddress = \"127.0.0.1:{port}\"\n")?;
        text += "default_action = { forward = \"g0\" }\n";
        for rule in 0..RULES {
            write!(text, "[[listener.rule]]\npriority = {}\nhost = \"h{rule}.example\"\n", rule + 1)?;
            write!(text, "path = \"/p{rule}/*\"\naction = {{ forward = \"g{}\" }}\n", rule % GROUPS)?;
        }
    }
    let group = "protocol = \"http\"\nhealth_check = { protocol = \"none\" }\n";
    for index in 0..GROUPS {
        write!(text, "[[target_group]]\nname = \"g{index}\"\n{group}")?;
        for number in 1..=TARGETS_EACH {
            // The group of the load has one that is there, and sends everything to it.
            let (address, port, weight) = match (index, number) {
                (0, 1) => ("127.0.0.1".to_owned(), target, 10),
                (0, _) => (format!("10.1.0.{number}"), 80, 0),
                _ => (format!("10.1.{index}.{number}"), 80, 10),
            };
            write!(text, "[[target_group.target]]\naddress = \"{address}\"\nport = {port}\nweight = {weight}\n")?;
        }
    }
    write!(text, "[[target_group]]\nname = \"api\"\nmanaged = \"api\"\n{group}")?;
    Ok(text)
}
