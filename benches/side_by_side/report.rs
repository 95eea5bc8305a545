//! The run as JSON: every turn raw, what the tables say, and where it all comes from.

use std::path::Path;

use serde::Serialize;

use crate::comparison::Comparison;
use crate::ending::Result;
use crate::measured::Turn;
use crate::peers::Kind;
use crate::proc::Machine;
use crate::session::{Absent, Session};

#[derive(Serialize)]
struct Report<'run> {
    machine: &'run Machine,
    generator: &'run str,
    versions: Vec<(Kind, &'run str)>,
    rounds: u32,
    seconds: u64,
    absent: &'run [Absent],
    failures: &'run [String],
    comparisons: &'run [Comparison],
    turns: &'run [Turn],
}

pub fn write(path: &Path, machine: &Machine, session: &Session) -> Result<()> {
    let report = Report {
        machine,
        generator: &session.generator.version,
        versions: session.contenders.iter().map(|contender| (contender.kind, contender.version.as_str())).collect(),
        rounds: session.extent.rounds,
        seconds: session.extent.length.as_secs(),
        absent: &session.absent,
        failures: &session.failures,
        comparisons: &session.comparisons,
        turns: &session.turns,
    };
    let file = std::fs::File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::to_writer_pretty(file, &report)?)
}
