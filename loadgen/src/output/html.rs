//! The figure on a page of its own, with settings and tables. One file that needs nothing else: no script, no font, no address.

use std::fmt::Write as _;

use crate::output::plot::canvas::escaped;
use crate::output::plot::{charts, svg_of_several};
use crate::output::units;
use crate::output::{OutputError, compare, facts};
use crate::results::Results;

/// Longest example of an error on the page.
const EXAMPLE_CHARS_MAX: usize = 300;

const STYLE: &str = "\
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 960px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.quiet { color: #666; margin: 0 0 1rem }
.note { border-left: 4px solid #d55e00; padding: .3rem .8rem; background: #fdf3ec }
svg { max-width: 100%; height: auto; display: block; margin: 1rem 0 }
.tables { display: flex; flex-wrap: wrap; gap: 0 4rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .2rem 1.5rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e5e5e5 }
th { font-weight: 600 }
.number { text-align: right }
td, pre { overflow-wrap: anywhere; white-space: pre-wrap }
td.number, td:first-child { white-space: nowrap }
@media print { body { margin: 0; max-width: none } h2 { break-after: avoid } table, svg { break-inside: avoid } }
";

/// The page of one run.
pub(super) fn page(results: &Results) -> Result<String, OutputError> {
    let title = facts::title(&results.settings);
    let mut body = format!(
        "<h1>{}</h1>\n<p class=\"quiet\">{}; {} measured, begun {}</p>\n",
        escaped(&title),
        escaped(&facts::load(&results.settings)),
        units::seconds(results.seconds),
        facts::begun(results)
    );
    if let Some(found) = facts::searched(results) {
        let _ = writeln!(body, "<p>{}</p>", escaped(&found));
    }
    for note in facts::notes(results) {
        let _ = writeln!(body, "<p class=\"note\">{}</p>", escaped(&note));
    }
    body.push_str(&charts(results)?);
    body.push_str("<div class=\"tables\">\n");
    body.push_str(&section("Latency", &latency(results)));
    body.push_str(&section("Work", &work(results)));
    body.push_str("</div>\n");
    body.push_str(&section("Errors", &errors(results)));
    body.push_str(&section("Settings", &settings(results)));
    Ok(document(&title, &body))
}

/// The page of several runs: the figure, and each held against the first.
pub(super) fn page_of_several(runs: &[(&str, &Results)]) -> Result<String, OutputError> {
    let mut body = svg_of_several(runs)?;
    if let [first, others @ ..] = runs {
        for other in others {
            let heading = format!("{} against {}", first.0, other.0);
            let text = compare::compare(*first, *other)?;
            let text: Vec<String> = text.lines().map(escaped).collect();
            let _ = writeln!(body, "<h2>{}</h2>\n<pre>{}</pre>", escaped(&heading), text.join("\n"));
        }
    }
    Ok(document("Runs compared", &body))
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n{body}</body>\n</html>\n",
        escaped(title)
    )
}

fn section(title: &str, content: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{content}</section>\n")
}

/// A table: the first row is its head if it has one; 'l' and 'r' say how columns stand.
fn table(columns: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cell = |(cell, side): (&str, char)| {
            let class = if side == 'r' { " class=\"number\"" } else { "" };
            format!("<{tag}{class}>{}</{tag}>", escaped(cell))
        };
        let cells: Vec<String> = cells.zip(columns.chars()).map(cell).collect();
        format!("<tr>{}</tr>\n", cells.concat())
    };
    let mut out = "<table>\n".to_owned();
    if !head.is_empty() {
        out.push_str(&line("th", &mut head.iter().copied()));
    }
    for row in rows {
        out.push_str(&line("td", &mut row.iter().map(String::as_str)));
    }
    out.push_str("</table>\n");
    out
}

fn latency(results: &Results) -> String {
    if results.requests == 0 {
        return "<p>No good answer.</p>\n".to_owned();
    }
    let mut rows: Vec<Vec<String>> = facts::latencies(&results.latency)
        .into_iter()
        .map(|(name, us)| vec![name.to_owned(), units::time(us).replace("us", "µs")])
        .collect();
    let Some(service) = &results.service else {
        return table("lr", &["", "from sending"], &rows);
    };
    for (row, (_, us)) in rows.iter_mut().zip(facts::latencies(service)) {
        row.push(units::time(us).replace("us", "µs"));
    }
    table("lrr", &["", "from when due", "from sending"], &rows)
}

fn work(results: &Results) -> String {
    let mut rows = vec![
        ("Good answers".to_owned(), units::count(results.requests)),
        ("Good answers a second".to_owned(), units::rate(results.rate)),
    ];
    if let Some(asked) = results.settings.rate {
        rows.push(("Asked a second".to_owned(), units::rate(asked)));
        rows.push(("Never sent".to_owned(), units::count(results.unsent)));
    }
    rows.push(("Received".to_owned(), units::bytes(units::float(results.bytes_received))));
    rows.push(("Sent".to_owned(), units::bytes(units::float(results.bytes_sent))));
    if facts::is_udp(&results.settings) {
        rows.push(("Late or double answers".to_owned(), units::count(results.strays)));
    } else {
        rows.push(("Connections opened meanwhile".to_owned(), units::count(results.connections_opened)));
    }
    for (class, count) in &results.statuses {
        rows.push((format!("Status {class}"), units::count(*count)));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name, value]).collect();
    table("lr", &[], &rows)
}

fn errors(results: &Results) -> String {
    if facts::errors(results) == 0 {
        return "<p>None.</p>\n".to_owned();
    }
    let tried = facts::tried(results);
    let row = |kind: &crate::record::ErrorKind, count: u64| {
        let example = results.error_examples.get(kind).map_or("", String::as_str);
        vec![
            kind.describe().to_owned(),
            units::count(count),
            units::share(count, tried),
            units::printable(example, EXAMPLE_CHARS_MAX),
        ]
    };
    let rows: Vec<Vec<String>> = results.errors.iter().map(|(kind, count)| row(kind, *count)).collect();
    table("lrrl", &["Kind", "Requests", "Share", "The first said"], &rows)
}

fn settings(results: &Results) -> String {
    let settings = &results.settings;
    let pace =
        settings.rate.map_or("closed loop".to_owned(), |rate| format!("open loop, {} requests/s", units::rate(rate)));
    let rows = [
        ("Mode", settings.mode.clone()),
        ("Target", settings.target.clone()),
        ("Pace", pace),
        (if facts::is_udp(settings) { "Sockets" } else { "Connections" }, units::count(settings.connections.into())),
        ("Cores", units::count(settings.threads.into())),
        ("Measured", units::seconds(results.seconds)),
        ("Begun", facts::begun(results)),
        ("Command", settings.command.clone()),
        ("Generator", results.generator.clone()),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table("ll", &[], &rows)
}
