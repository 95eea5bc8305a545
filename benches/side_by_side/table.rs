//! From turns to the table people read: medians over rounds, ratios taken within a round first.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::Turn;
use crate::peers::Kind;

/// The table of one number of connections, and what looks noisy in it.
pub fn render(connections: u32, turns: &[Turn]) -> String {
    let mut text = format!(
        "\n{connections} connections\n{:8} {:>11} {:>7} {:>8} {:>11} {:>11} {:>9} {:>9} {:>8}\n",
        "peer", "CPU us/req", "spread", "/ floor", "weir / peer", "requests/s", "p50 us", "p99 us", "RSS MiB"
    );
    let mut notes = String::new();
    for (kind, of_peer) in by_peer(turns) {
        let cpu = column(&of_peer, |turn| turn.cpu_us_per_request);
        let _ = writeln!(
            text,
            "{:8} {:>11.2} {:>6.1}% {:>8} {:>11} {:>11.0} {:>9.0} {:>9.0} {:>8.1}",
            kind.name(),
            median(&cpu),
            spread(&cpu) * 100.0,
            ratio(turns, kind, Kind::Floor),
            ratio(turns, Kind::Weir, kind),
            median(&column(&of_peer, |turn| turn.load.requests as f64 / turn.load.seconds)),
            median(&column(&of_peer, |turn| turn.load.p50_us)),
            median(&column(&of_peer, |turn| turn.load.p99_us)),
            median(&column(&of_peer, |turn| turn.rss_bytes as f64 / f64::from(1 << 20))),
        );
        note_noise(&mut notes, kind, &of_peer, spread(&cpu));
    }
    text + &notes
}

fn note_noise(notes: &mut String, kind: Kind, of_peer: &[&Turn], spread: f64) {
    let name = kind.name();
    let errors: u64 = of_peer.iter().map(|turn| turn.load.errors).sum();
    let foreign = of_peer.iter().map(|turn| turn.foreign_share).fold(0.0, f64::max);
    if errors > 0 {
        let _ = writeln!(notes, "warning: {name}: {errors} requests failed");
    }
    if spread > SPREAD_MAX {
        let _ = writeln!(notes, "warning: {name}: rounds differ by {:.0} %: noisy, repeat", spread * 100.0);
    }
    if foreign > FOREIGN_MAX {
        let _ = writeln!(notes, "warning: {name}: others held its core for up to {:.0} % of a round", foreign * 100.0);
    }
}

/// Turns of each peer, in the order of the table.
fn by_peer(turns: &[Turn]) -> BTreeMap<Kind, Vec<&Turn>> {
    let mut peers: BTreeMap<Kind, Vec<&Turn>> = BTreeMap::new();
    for turn in turns {
        peers.entry(turn.peer).or_default().push(turn);
    }
    peers
}

/// Median over rounds of `over / under`, both taken from the same round; "-" when one of them is not here.
fn ratio(turns: &[Turn], over: Kind, under: Kind) -> String {
    let cpu = |kind: Kind, round: u32| {
        let turn = turns.iter().find(|turn| turn.peer == kind && turn.round == round)?;
        Some(turn.cpu_us_per_request)
    };
    let rounds = turns.iter().filter(|turn| turn.peer == over).map(|turn| turn.round);
    let ratios: Vec<f64> = rounds.filter_map(|round| Some(cpu(over, round)? / cpu(under, round)?)).collect();
    if ratios.is_empty() { "-".to_owned() } else { format!("{:.3}", median(&ratios)) }
}

fn column(turns: &[&Turn], value: impl Fn(&Turn) -> f64) -> Vec<f64> {
    turns.iter().map(|turn| value(turn)).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// How far the rounds lie apart, as a share of their median.
fn spread(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(f64::MIN, f64::max);
    let least = values.iter().copied().fold(f64::MAX, f64::min);
    (most - least) / median(values)
}

/// Rounds further apart than this say more about the machine than about the peer.
const SPREAD_MAX: f64 = 0.10;
/// So much of the core may go to others in a turn.
const FOREIGN_MAX: f64 = 0.03;
