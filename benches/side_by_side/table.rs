//! The table people read.

use std::fmt::Write;

use crate::comparison::Comparison;
use crate::scenarios::Scenario;

/// A case, and what looks noisy in it.
pub fn render(scenario: &Scenario, comparison: &Comparison) -> String {
    let unit = scenario.unit;
    let Some((first, others)) = scenario.figures.split_first() else { return String::new() };
    let best = comparison.best.map_or("best", |best| best.name());
    let mut text = format!(
        "\n{}\n{:8} {:>12} {:>7} {:>8} {:>10} {:>11}",
        comparison.case,
        "peer",
        first.title(unit),
        "spread",
        "/ floor",
        format!("/ {best}"),
        "weir / peer"
    );
    for figure in others {
        let _ = write!(text, " {:>11}", figure.title(unit));
    }
    text.push('\n');
    for row in &comparison.rows {
        let Some((median, medians)) = row.medians.split_first() else { continue };
        let _ = write!(
            text,
            "{:8} {:>12} {:>6.1}% {:>8} {:>10} {:>11}",
            row.peer.name(),
            number(*median, first.decimals()),
            row.spread * 100.0,
            ratio(row.to_floor),
            ratio(row.to_best),
            ratio(row.weir_to),
        );
        for (figure, median) in others.iter().zip(medians) {
            let _ = write!(text, " {:>11}", number(*median, figure.decimals()));
        }
        text.push('\n');
    }
    for warning in &comparison.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn ratio(value: Option<f64>) -> String {
    number(value.unwrap_or(f64::NAN), 3)
}

fn number(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!("{value:.decimals$}") } else { "-".to_owned() }
}

/// Thousands apart.
pub fn grouped(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1000), number % 1000) }
}
