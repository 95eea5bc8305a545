//! Runs a load, or a search of many, and says what came of it.

use std::fs::OpenOptions;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::options::LoadOptions;
use super::target::Work;
use super::{Error, print, say, usage};
use crate::engine::{self, Stop};
use crate::output::progress::{self, Progress, Until};
use crate::output::{hgrm, json, plot, text};
use crate::plan::{Limit, Pacing, Plan};
use crate::record::ErrorKind;
use crate::results::{End, Results, Settings};
use crate::search::{Objective, Search, Searched, Trial};
use crate::workload::{FILLER, Workload};

pub(super) fn run(work: Work, options: &LoadOptions, stop: &Stop) -> Result<(), Error> {
    check_outputs(options)?;
    let loader = Loader { settings: settings(&work, options), plan: plan(work, options)?, options, stop };
    check_descriptors(&loader.plan)?;
    check_sources(&loader.plan.sources)?;
    probe(&loader.plan)?;
    let results = match &options.slo {
        Some(objective) => loader.search(objective)?,
        None => loader.load(&loader.plan)?,
    };
    write(&results, options)?;
    judge(&results)
}

/// One command's runs.
struct Loader<'run> {
    plan: Plan,
    settings: Settings,
    options: &'run LoadOptions,
    stop: &'run Stop,
}

impl Loader<'_> {
    fn load(&self, plan: &Plan) -> Result<Results, Error> {
        let mut progress = (!self.options.quiet).then(|| {
            let until = match plan.limit {
                Limit::Time(time) => Until::Time(time),
                Limit::Requests(count) => Until::Requests(count),
            };
            Progress::new(progress::Plan { ramp_up: plan.ramp_up, warm_up: plan.warm_up, until })
        });
        let started = SystemTime::now();
        let watch = |point: &_| progress.iter_mut().for_each(|progress| progress.interval(point));
        let outcome = engine::run(&Arc::new(plan.clone()), self.stop, watch)?;
        progress.into_iter().for_each(Progress::finish);
        Ok(Results::new(Settings { rate: plan.rate(), ..self.settings.clone() }, started, &outcome))
    }

    /// The best trial's results, with the search in them; of the last one if none held, or the search was cut short.
    fn search(&self, objective: &Objective) -> Result<Results, Error> {
        let mut plan = self.plan.clone();
        plan.warm_up = plan.warm_up.max(TRIAL_WARM_UP);
        let closed = self.load(&plan)?;
        if closed.end != End::Complete || closed.requests == 0 {
            return Ok(closed);
        }
        self.say(&format!("closed loop: {:.0} requests a second at most", closed.rate));
        let (mut search, mut trials, mut best) = (Search::new(closed.rate), Vec::new(), None);
        let mut last = None;
        while let Some(rate) = search.next() {
            plan.pacing = Pacing::Open { rate, arrivals: self.options.arrivals };
            // Another draw of the same distribution, the same in every search.
            plan.seed = self.options.seed.wrapping_add(trials.len() as u64);
            let results = self.load(&plan)?;
            if results.end == End::Interrupted {
                last = Some(results);
                break;
            }
            let broken = match &results.end {
                // More than it can bear: as good a reason as any other, if it comes back.
                End::TargetDown { error, .. } => Some(error.clone()),
                _ => objective.broken_by(&results),
            };
            let p99_us = results.latency.p99_us;
            let verdict = broken.as_deref().map_or_else(|| "holds".to_owned(), |why| format!("does not: {why}"));
            self.say(&format!("{rate:.0} a second, p99 {:.2} ms: {verdict}", p99_us / 1e3));
            let is_down = results.end != End::Complete;
            let is_best = search.report(broken.is_none());
            trials.push(Trial { rate, p99_us, broken });
            if is_best {
                best = Some(results);
            } else {
                last = Some(results);
            }
            if is_down && !self.comes_back() {
                best = None;
                break;
            }
        }
        let searched = Searched { objective: objective.to_string(), rate: search.held(), trials };
        // A search that was cut short ends as its last trial did.
        let cut_short = last.as_ref().filter(|_| search.next().is_some()).map(|last| last.end.clone());
        let results = best.or(last).unwrap_or(closed);
        let end = cut_short.unwrap_or_else(|| results.end.clone());
        Ok(Results { search: Some(searched), end, ..results })
    }

    /// Waits a little for a target that a trial was too much for.
    fn comes_back(&self) -> bool {
        for _ in 0..COME_BACK_TRIES {
            if self.stop.is_stopped() {
                return false;
            }
            if probe(&self.plan).is_ok() {
                return true;
            }
            std::thread::sleep(COME_BACK_PAUSE);
        }
        false
    }

    fn say(&self, line: &str) {
        if !self.options.quiet {
            say(line);
        }
    }
}

fn plan(work: Work, options: &LoadOptions) -> Result<Plan, Error> {
    let cores = options.cores.clone().map(|cores| cores.0).unwrap_or_default();
    check_cores(&cores)?;
    let cores: Vec<Option<usize>> = if cores.is_empty() { vec![None] } else { cores.into_iter().map(Some).collect() };
    if options.connections < u32::try_from(cores.len()).unwrap_or(u32::MAX) {
        return Err(usage(format!("--connections {}: each of {} cores needs one", options.connections, cores.len())));
    }
    if let Some(source) = options.source.iter().find(|source| source.is_ipv6() != work.target.is_ipv6()) {
        return Err(usage(format!("--source {source}: {} is of another family", work.target)));
    }
    let pacing = match options.rate {
        Some(rate) => Pacing::Open { rate, arrivals: options.arrivals },
        None => Pacing::Closed { think: options.think.clone() },
    };
    let timeout = match work.workload {
        Workload::Tcp { .. } | Workload::Http(_) => TIMEOUT,
        Workload::Udp { .. } => TIMEOUT_UDP,
    };
    Ok(Plan {
        workload: work.workload,
        target: work.target,
        sources: options.source.clone(),
        connections: options.connections,
        connection_per_request: options.connection_per_request,
        pipeline: usize::from(options.pipeline),
        cores,
        pacing,
        ramp_up: options.ramp_up,
        warm_up: options.warm_up,
        limit: options.count.map_or(Limit::Time(options.duration), Limit::Requests),
        timeout: options.timeout.unwrap_or(timeout),
        connect_timeout: options.connect_timeout,
        interval: interval(options),
        seed: options.seed,
    })
}

/// A second, or a twentieth of a short run.
fn interval(options: &LoadOptions) -> Duration {
    let length = options.ramp_up + options.warm_up + options.duration;
    if options.count.is_some() { INTERVAL_MOST } else { (length / 20).clamp(INTERVAL_LEAST, INTERVAL_MOST) }
}

fn settings(work: &Work, options: &LoadOptions) -> Settings {
    let threads = options.cores.as_ref().map_or(1, |cores| cores.0.len());
    Settings {
        mode: work.workload.name().to_owned(),
        target: work.name.clone(),
        connections: options.connections,
        threads: u32::try_from(threads).unwrap_or(u32::MAX),
        rate: None,
        command: command_line(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned())),
    }
}

/// As it was typed, but for what may be secret: results are shared. Quoted where a shell needs it.
fn command_line(words: impl Iterator<Item = String>) -> String {
    let mut line: Vec<String> = Vec::new();
    let mut hides_next = false;
    for word in words {
        let option = SECRET_OPTIONS.iter().find(|option| {
            word.strip_prefix(**option)
                .is_some_and(|rest| rest.is_empty() || !option.starts_with("--") || rest.starts_with('='))
        });
        let shown = match option {
            _ if std::mem::take(&mut hides_next) => HIDDEN.to_owned(),
            Some(option) if word == **option => {
                hides_next = true;
                word
            }
            Some(option) => format!("{option}{HIDDEN}"),
            None if word.contains([' ', '\'', '"', '$', '&', ';', '<', '>', '|', '*', '?']) => {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
            None => word,
        };
        line.push(shown);
    }
    line.join(" ")
}

/// The report even if a file cannot be written, and the other way round.
fn write(results: &Results, options: &LoadOptions) -> Result<(), Error> {
    let written = write_files(results, options);
    if !options.quiet {
        print(&text::text(results))?;
    }
    written
}

fn write_files(results: &Results, options: &LoadOptions) -> Result<(), Error> {
    if let Some(path) = &options.json {
        json::write(path, results)?;
    }
    if let Some(path) = &options.hgrm {
        hgrm::write(path, results)?;
    }
    if let Some(path) = &options.plot {
        plot::write(path, results)?;
    }
    Ok(())
}

/// An error where the run is not what was asked for.
fn judge(results: &Results) -> Result<(), Error> {
    match &results.end {
        End::Interrupted => Err("interrupted: the results are of what ran until then".into()),
        End::TargetDown { at_s, error } => {
            let target = &results.settings.target;
            if error.starts_with(ErrorKind::Host.describe()) {
                let hint =
                    "--source gives more ports, ulimit -n more descriptors, fewer --connections need fewer of both";
                return Err(format!("{error} after {at_s:.1} s; {hint}").into());
            }
            let what =
                if *at_s > 0.0 { format!("stopped answering after {at_s:.1} s") } else { "never answered".into() };
            Err(format!("{target} {what} ({error}); the results are of what ran until then").into())
        }
        End::Complete if results.search.as_ref().is_some_and(|search| search.rate <= 0.0) => {
            Err("no rate holds the objective, not even a thousandth of what a closed loop reaches".into())
        }
        End::Complete if results.requests == 0 => Err("no request got a good answer".into()),
        End::Complete => Ok(()),
    }
}

/// What cannot be written is better known before the run than after it.
fn check_outputs(options: &LoadOptions) -> Result<(), Error> {
    if let Some(path) = &options.plot {
        plot::Kind::of(path).map_err(|error| usage(error.to_string()))?;
    }
    for path in [&options.json, &options.hgrm, &options.plot].into_iter().flatten() {
        check_writable(path)?;
    }
    Ok(())
}

fn check_writable(path: &Path) -> Result<(), Error> {
    let existed = path.exists();
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| format!("{}: cannot be written: {error}", path.display()))?;
    if !existed {
        // It comes back with the results; left empty it would look like some.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

pub(super) fn check_cores(cores: &[usize]) -> Result<(), Error> {
    let known = core_affinity::get_core_ids().unwrap_or_default();
    match cores.iter().find(|core| !known.iter().any(|known| known.id == **core)) {
        Some(core) => {
            let last = known.iter().map(|core| core.id).max().unwrap_or(0);
            Err(format!("--cores: {core} is not a core that this process may run on (0 to {last})").into())
        }
        None => Ok(()),
    }
}

/// Each connection takes a descriptor.
fn check_descriptors(plan: &Plan) -> Result<(), Error> {
    weir::ring::check::raise_limits()?;
    let most = weir::ring::check::descriptors_max()?.saturating_sub(DESCRIPTORS_OF_OURS);
    if u64::from(plan.connections) > most {
        let connections = plan.connections;
        return Err(
            format!("--connections {connections}: this process may have {most}; raise the limit: ulimit -n").into()
        );
    }
    Ok(())
}

/// An address that is not this host's would look like a target that cannot be reached.
fn check_sources(sources: &[IpAddr]) -> Result<(), Error> {
    for source in sources {
        UdpSocket::bind((*source, 0)).map_err(|error| format!("--source {source}: {error}; ip address lists ours"))?;
    }
    Ok(())
}

/// A target that nobody listens on is an error at once, not a run full of them.
fn probe(plan: &Plan) -> Result<(), Error> {
    let result = match plan.workload {
        Workload::Tcp { .. } | Workload::Http(_) => {
            TcpStream::connect_timeout(&plan.target, plan.connect_timeout).map(drop)
        }
        Workload::Udp { request_bytes, .. } => probe_udp(plan.target, &FILLER[..request_bytes]),
    };
    result.map_err(|error| format!("{}: {error}; is the service running there?", plan.target).into())
}

/// No answer may be one that was lost; only a refusal says that there is no service.
fn probe_udp(target: SocketAddr, request: &[u8]) -> io::Result<()> {
    let any: IpAddr = if target.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(REFUSAL_WAIT))?;
    socket.send(request)?;
    match socket.recv(&mut [0]) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Err(error),
        _ => Ok(()),
    }
}

/// Longest wait for an answer, if none is given.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The same in UDP: long for a network, short enough for what is lost not to stop a socket for most of a run.
const TIMEOUT_UDP: Duration = Duration::from_secs(1);
/// How long a refusal may be on its way.
const REFUSAL_WAIT: Duration = Duration::from_millis(300);
/// Options whose values are not for everybody: tokens, cookies, bodies.
const SECRET_OPTIONS: [&str; 3] = ["--header", "-H", "--body"];
const HIDDEN: &str = "...";
/// A target that a trial was too much for has so long to come back.
const COME_BACK_TRIES: u32 = 20;
const COME_BACK_PAUSE: Duration = Duration::from_millis(500);
/// Before each trial of a search that asks for none.
const TRIAL_WARM_UP: Duration = Duration::from_millis(500);
const INTERVAL_LEAST: Duration = Duration::from_millis(100);
const INTERVAL_MOST: Duration = Duration::from_secs(1);
/// Rings, files and the standard streams.
const DESCRIPTORS_OF_OURS: u64 = 64;
