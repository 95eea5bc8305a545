//! Runs a load and says what came of it.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Error;
use super::options::LoadOptions;
use super::target::Work;
use crate::engine::{self, Stop};
use crate::plan::{Limit, Pacing, Plan};
use crate::results::{Results, Settings};

pub(super) fn run(work: Work, options: &LoadOptions) -> Result<(), Error> {
    let name = work.name.clone();
    let plan = Arc::new(plan(work, options)?);
    let settings = settings(&plan, name);
    probe(plan.target, plan.connect_timeout)?;
    let stop = Stop::default();
    let started = SystemTime::now();
    let outcome = engine::run(&plan, &stop, |_| {})?;
    let results = Results::new(settings, started, &outcome);
    if let Some(path) = &options.json {
        crate::output::json::write(path, &results)?;
    }
    if !options.quiet {
        print!("{}", crate::output::text::text(&results));
    }
    Ok(())
}

fn plan(work: Work, options: &LoadOptions) -> Result<Plan, Error> {
    let cores = match &options.cores {
        Some(cores) => cores.0.iter().copied().map(Some).collect(),
        None => vec![None],
    };
    if options.connections < u32::try_from(cores.len()).unwrap_or(u32::MAX) {
        return Err(format!("--connections {}: each of {} cores needs one", options.connections, cores.len()).into());
    }
    let pacing = match options.rate {
        Some(rate) => Pacing::Open { rate, arrivals: options.arrivals },
        None => Pacing::Closed { think: options.think.clone() },
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
        timeout: options.timeout,
        connect_timeout: options.connect_timeout,
        interval: Duration::from_secs(1),
        seed: options.seed,
    })
}

fn settings(plan: &Plan, target: String) -> Settings {
    Settings {
        mode: plan.workload.name().to_owned(),
        target,
        connections: plan.connections,
        threads: u32::try_from(plan.cores.len()).unwrap_or(u32::MAX),
        rate: plan.rate(),
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
    }
}

/// A target that nobody listens on is an error at once, not a run full of them.
fn probe(target: SocketAddr, timeout: Duration) -> Result<(), Error> {
    TcpStream::connect_timeout(&target, timeout)
        .map(drop)
        .map_err(|error| format!("{target}: {error}; is the service running there?").into())
}
