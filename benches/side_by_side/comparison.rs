//! From the turns of a case to what is said of it: medians over rounds, ratios taken within a round first. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::measured::{Figure, Turn};
use crate::median::median;
use crate::peers::Kind;
use crate::scenarios::Scenario;

/// A case: every peer's figures side by side.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    pub scenario: &'static str,
    pub case: String,
    /// Lowest median of the first figure among the peers that others wrote.
    pub best: Option<Kind>,
    /// In the order of the table.
    pub rows: Vec<Row>,
    /// What makes the run prove nothing.
    pub warnings: Vec<String>,
}

/// A peer in it.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub peer: Kind,
    /// Medians of the scenario's figures, in their order.
    pub medians: Vec<f64>,
    /// How far the rounds lie apart in the first figure, as a share of its median.
    pub spread: f64,
    /// Ratios of the first figure.
    pub to_floor: Option<f64>,
    pub to_best: Option<f64>,
    pub weir_to: Option<f64>,
    /// In all its turns.
    pub failed: u64,
}

impl Comparison {
    pub fn row(&self, peer: Kind) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == peer)
    }
}

/// Of the turns of one case, whatever their order.
pub fn compare(scenario: &Scenario, case: &str, turns: &[Turn]) -> Comparison {
    let first = scenario.figures[0];
    let peers: BTreeSet<Kind> = turns.iter().map(|turn| turn.peer).collect();
    let typical = |peer: Kind| median(&column(turns, peer, first));
    let others = peers.iter().copied().filter(|peer| peer.is_peer() && typical(*peer).is_finite());
    let best = others.min_by(|a, b| typical(*a).total_cmp(&typical(*b)));
    let row = |&peer: &Kind| Row {
        peer,
        medians: scenario.figures.iter().map(|&figure| median(&column(turns, peer, figure))).collect(),
        spread: spread(&column(turns, peer, first)),
        to_floor: ratio(turns, first, peer, Kind::Floor),
        to_best: best.and_then(|best| ratio(turns, first, peer, best)),
        weir_to: ratio(turns, first, Kind::Weir, peer),
        failed: turns.iter().filter(|turn| turn.peer == peer).map(|turn| turn.measured.errors()).sum(),
    };
    let warnings = peers.iter().flat_map(|&peer| warnings(scenario, peer, turns)).collect();
    Comparison { scenario: scenario.name, case: case.to_owned(), best, rows: peers.iter().map(row).collect(), warnings }
}

/// Median over rounds of `over / under`, both taken from the same round; none when one of them is not here.
fn ratio(turns: &[Turn], figure: Figure, over: Kind, under: Kind) -> Option<f64> {
    let value = |peer: Kind, round: u32| {
        let turn = turns.iter().find(|turn| turn.peer == peer && turn.round == round)?;
        Some(figure.of(&turn.measured))
    };
    let rounds = turns.iter().filter(|turn| turn.peer == over).map(|turn| turn.round);
    let ratios: Vec<f64> = rounds.filter_map(|round| Some(value(over, round)? / value(under, round)?)).collect();
    Some(median(&ratios)).filter(|ratio| ratio.is_finite())
}

fn warnings(scenario: &Scenario, peer: Kind, turns: &[Turn]) -> Vec<String> {
    let (name, first) = (peer.name(), scenario.figures[0]);
    let own: Vec<&Turn> = turns.iter().filter(|turn| turn.peer == peer).collect();
    let loads = || own.iter().filter_map(|turn| turn.measured.load.as_ref());
    let errors: u64 = loads().map(|load| load.errors).sum();
    let (unsent, requests): (u64, u64) =
        (loads().map(|load| load.unsent).sum(), loads().map(|load| load.requests).sum());
    let foreign = own.iter().map(|turn| turn.measured.foreign_share).fold(0.0, f64::max);
    let spread = spread(&column(turns, peer, first));
    let mut warnings = Vec::new();
    if errors > 0 && !scenario.figures.contains(&Figure::Failed) {
        warnings.push(format!("{name}: {errors} requests failed"));
    }
    if unsent as f64 > UNSENT_MAX * requests as f64 {
        warnings.push(format!("{name}: {unsent} requests were due and not sent: it did not keep the rate"));
    }
    if spread > first.spread_max() {
        warnings.push(format!("{name}: rounds differ by {:.0} %: noisy, repeat", spread * 100.0));
    }
    if foreign > FOREIGN_MAX {
        warnings.push(format!("{name}: others held its core for up to {:.0} % of a round", foreign * 100.0));
    }
    warnings
}

fn column(turns: &[Turn], peer: Kind, figure: Figure) -> Vec<f64> {
    turns.iter().filter(|turn| turn.peer == peer).map(|turn| figure.of(&turn.measured)).collect()
}

fn spread(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(f64::MIN, f64::max);
    let least = values.iter().copied().fold(f64::MAX, f64::min);
    (most - least) / median(values)
}

/// So much of the core may go to others in a turn.
const FOREIGN_MAX: f64 = 0.03;
/// So many may be left over when a turn ends, a share of those answered.
const UNSENT_MAX: f64 = 0.001;
