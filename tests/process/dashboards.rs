//! deploy/prometheus, deploy/grafana and the tables of docs/metrics.md: whether their queries ask for what there is.
//!
//!     expressions --scan--> metrics, labels, values --compare--> metrics/names.rs, docs/metrics.md
//!          `--as rules----> promtool, which knows the syntax
//!
//! The scanner knows only what tells names apart: strings, braces, and the lists behind `by`, `on` and their like.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use weir::metrics::names::{self, Kind, Metric};

use crate::support::is_installed;

/// What Prometheus itself adds to each series that it scrapes.
const SCRAPE_LABELS: [&str; 2] = ["job", "instance"];
/// What Prometheus itself makes of each scrape.
const SCRAPE_METRICS: [&str; 1] = ["up"];
/// Words before a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Other words that are neither functions, which an opening parenthesis follows, nor metrics.
const WORDS: [&str; 11] = ["and", "or", "unless", "bool", "offset", "sum", "count", "min", "max", "avg", "topk"];

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    /// Each metric, with the labels between its braces and what they are compared with.
    selectors: Vec<(String, Vec<(String, String)>)>,
    /// Labels that are grouped and joined by.
    lists: BTreeSet<String>,
}

#[test]
fn r_m2_every_query_names_metrics_labels_and_values_that_there_are() {
    let queries = [alerts(), dashboard(), documented()].concat();
    assert!(queries.len() > 100, "{} queries", queries.len());
    for (place, expression) in &queries {
        if let Err(unknown) = known(expression) {
            panic!("{place}: {unknown}: {expression}");
        }
    }
    let texts = ["docs/metrics.md", "deploy/prometheus/alerts.yml", "deploy/prometheus/prometheus.yml"].map(read);
    let words = texts.iter().flat_map(|text| text.split(|c| !is_part_of_a_name(c)));
    for word in words.filter(|word| word.starts_with("weir_")) {
        let of_metric = names::ALL.iter().any(|metric| metric.name == word);
        assert!(of_metric || !labels_of(word).is_empty(), "no metric {word}");
    }
}

#[test]
fn r_m2_the_alerts_are_those_of_the_documentation() {
    let text = read("docs/metrics.md");
    let (_, section) = text.split_once("\n## What to alert on\n").expect("the section");
    let rows = section.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    let documented: Vec<(String, String)> = rows.map(|row| (code(row, 0), code(row, 1))).collect();
    assert_eq!(documented, alerts());
}

#[test]
fn r_m2_every_legend_and_variable_of_the_dashboard_names_labels_that_there_are() {
    let dashboard = dashboard_json();
    for query in queries_of(&dashboard) {
        let expression = query["expr"].as_str().expect("an expression");
        let legend = query["legendFormat"].as_str().unwrap_or_default();
        for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap_or_default()) {
            let names = scan(expression);
            let of_metrics = names.selectors.iter().all(|(metric, _)| labels_of(metric).contains(&label));
            assert!(names.lists.contains(label) || names.lists.is_empty() && of_metrics, "{legend}: {expression}");
        }
        for variable in expression.split('$').skip(1) {
            let variable = variable.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            assert!(variable == "__rate_interval" || variables(&dashboard).contains(&variable), "${variable}");
        }
    }
}

#[test]
fn r_m2_promtool_accepts_the_rules_the_sample_and_every_query() {
    if !is_installed("promtool") {
        return;
    }
    promtool(&["check", "rules", "alerts.yml"]);
    // The token's file is on the operator's machine, not here.
    promtool(&["check", "config", "--syntax-only", "prometheus.yml"]);
    // As it is where the endpoint speaks https.
    let sample = read("deploy/prometheus/prometheus.yml");
    let https = ["scheme: https", "tls_config:", "  ca_file: "];
    let with_https = https.iter().fold(sample.clone(), |text, line| text.replace(&format!("# {line}"), line));
    assert_eq!(sample.len() - with_https.len(), "# ".len() * https.len(), "{with_https}");
    let config = tempfile::NamedTempFile::new().expect("a file");
    let rules = at("deploy/prometheus").join("alerts.yml").display().to_string();
    fs::write(config.path(), with_https.replace("alerts.yml", &rules)).expect("written");
    promtool(&["check", "config", "--syntax-only", &config.path().display().to_string()]);
    promtool(&["test", "rules", "alerts_test.yml"]);
    let record = |(number, (_, expression)): (usize, (String, String))| json!({ "record": format!("check:{number}"), "expr": expression.replace("$__rate_interval", "5m") });
    let rules: Vec<Value> = [dashboard(), documented()].concat().into_iter().enumerate().map(record).collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    // YAML is a superset of JSON.
    fs::write(file.path(), json!({ "groups": [{ "name": "queries", "rules": rules }] }).to_string()).expect("written");
    promtool(&["check", "rules", &file.path().display().to_string()]);
}

fn promtool(arguments: &[&str]) {
    let mut command = Command::new("promtool");
    let output = command.args(arguments).current_dir(at("deploy/prometheus")).output().expect("it is installed");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
fn a_query_for_what_there_is_not_is_found() {
    assert_eq!(known("sum by (listener) (rate(weir_http_requests_total{listener=~\"a|b\"}[5m])) > 1e3"), Ok(()));
    assert_eq!(known("histogram_quantile(0.5, sum by (le) (weir_connect_duration_seconds_bucket))"), Ok(()));
    for (wrong, expected) in [
        ("rate(weir_http_request_total[5m])", "no metric weir_http_request_total"),
        ("weir_connect_duration_seconds", "no metric weir_connect_duration_seconds"),
        ("weir_connections_active_bucket", "no metric weir_connections_active_bucket"),
        ("weir_draining or node_load1", "no metric node_load1"),
        ("weir_shard_stuck{listener=\"web\"}", "no label listener"),
        ("sum by (target) (weir_shard_stuck)", "no label target"),
        ("weir_draining and on (shard) weir_config_revision", "no label shard"),
        ("weir_connections_closed_total{reason=~\"host|hots\"}", "no value hots of reason"),
        ("weir_connections_closed_total{reason=\"overload\"}", "no value overload of reason"),
        ("weir_connections_refused_total{reason=\"no_target\"}", "no value no_target of reason"),
        ("weir_target_group_targets{state=\"accept\"}", "no value accept of state"),
        ("weir_http_errors_total{reason=\"CONNECT\"}", "no value CONNECT of reason"),
    ] {
        let unknown = known(wrong).expect_err(wrong);
        assert!(unknown.contains(expected), "{wrong}: {unknown}");
    }
}

/// Says what in an expression there is not.
fn known(expression: &str) -> Result<(), String> {
    let names = scan(expression);
    for (metric, matchers) in &names.selectors {
        let labels = labels_of(metric);
        if labels.is_empty() {
            return Err(format!("no metric {metric}"));
        }
        for (label, value) in matchers {
            if !labels.contains(&label.as_str()) {
                return Err(format!("no label {label} at {metric}"));
            }
            let Some(values) = closed_values(metric, label)? else { continue };
            if let Some(wrong) = value.split('|').find(|one| !values.contains(*one)) {
                return Err(format!("no value {wrong} of {label} at {metric}"));
            }
        }
    }
    let all: BTreeSet<&str> = names.selectors.iter().flat_map(|(metric, _)| labels_of(metric)).collect();
    names
        .lists
        .iter()
        .find(|label| !all.contains(label.as_str()))
        .map_or(Ok(()), |label| Err(format!("no label {label}")))
}

/// Labels of a metric by the name that a query has for it; none, not even those of the scrape, if there is no such metric.
fn labels_of(name: &str) -> Vec<&'static str> {
    if SCRAPE_METRICS.contains(&name) {
        return SCRAPE_LABELS.to_vec();
    }
    let series = |metric: &Metric, suffix: &str| name.strip_suffix(suffix) == Some(metric.name);
    let of = |metric: &&&Metric| match metric.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"].iter().any(|suffix| series(metric, suffix)),
        Kind::Counter | Kind::Gauge => series(metric, ""),
    };
    let Some(metric) = names::ALL.iter().find(of) else { return Vec::new() };
    let bound = (metric.kind == Kind::Histogram && name.ends_with("_bucket")).then_some("le");
    metric.labels.iter().copied().chain(SCRAPE_LABELS).chain(bound).collect()
}

fn scan(expression: &str) -> Names {
    let mut names = Names::default();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if is_part_of_a_name(first) {
            let (word, after) = split_word(rest);
            rest = after.trim_start();
            if LISTS.contains(&word) && rest.starts_with('(') {
                let (list, after) = rest[1..].split_once(')').expect("the end of a list");
                names
                    .lists
                    .extend(list.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
                rest = after;
            } else if !first.is_ascii_digit()
                && !rest.starts_with('(')
                && !WORDS.contains(&word)
                && !LISTS.contains(&word)
            {
                let matchers;
                (matchers, rest) = split_matchers(rest);
                names.selectors.push((word.to_owned(), matchers));
            }
        } else if first == '[' {
            rest = rest.split_once(']').expect("the end of a range").1;
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    names
}

fn is_part_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_part_of_a_name(c)).unwrap_or(text.len()))
}

/// `{label="value",...}` and what follows; values have no quotes in them.
fn split_matchers(text: &str) -> (Vec<(String, String)>, &str) {
    let Some(mut rest) = text.strip_prefix('{') else { return (Vec::new(), text) };
    let mut matchers = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return (matchers, after);
        }
        let (label, after) = split_word(rest);
        let (_, value) = after.split_once('"').expect("a value");
        let (value, after) = value.split_once('"').expect("the end of a value");
        matchers.push((label.to_owned(), value.to_owned()));
        rest = after;
    }
}

/// Labels whose values docs/metrics.md lists; those of all others come from the config.
const CLOSED: [&str; 7] = ["protocol", "reason", "code_class", "class", "state", "result", "action"];
/// Of labels that mean something else at each metric: how the row of each begins.
const ROWS: [(&str, &str); 7] = [
    ("weir_connections_refused_total", "`reason` of refused connections"),
    ("weir_connections_closed_total", "`reason` of closed connections"),
    ("weir_http_errors_total", "`reason` of HTTP errors"),
    ("weir_target_connect_failures_total", "`reason` of connect failures"),
    ("weir_access_log_dropped_total", "`reason` of dropped log entries"),
    ("weir_target_checks_total", "`result` of health checks"),
    ("weir_config_reload_total", "`result` of reloads"),
];

/// What docs/metrics.md lists for a label of a metric; `None` where values come from the config.
fn closed_values(metric: &str, label: &str) -> Result<Option<BTreeSet<String>>, String> {
    if !CLOSED.contains(&label) {
        return Ok(None);
    }
    let own = ROWS.iter().find(|(of, row)| *of == metric && row.starts_with(&format!("`{label}`")));
    let begins = own.map_or(format!("`{label}`"), |(_, row)| (*row).to_owned());
    let text = read("docs/metrics.md");
    let (_, section) = text.split_once("\nWhat the labels can be:\n").expect("the table of labels");
    let rows = section.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    let rows: Vec<Vec<String>> = rows.map(cells).filter(|cells| cells[0].starts_with(&begins)).collect();
    let [row] = &rows[..] else { return Err(format!("{} rows say what {label} is at {metric}", rows.len())) };
    let mut values = BTreeSet::new();
    // `a`, `b`: what they mean; `c` (404): what it means.
    for item in row[1].split(';') {
        for code in item.trim().split(", ") {
            let Some((code, rest)) = code.strip_prefix('`').and_then(|code| code.split_once('`')) else { break };
            values.insert(code.to_owned());
            if !rest.is_empty() {
                break;
            }
        }
    }
    Ok(Some(values))
}

/// Name and expression of each alert.
fn alerts() -> Vec<(String, String)> {
    let text = read("deploy/prometheus/alerts.yml");
    let lines = |key: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.trim().strip_prefix(key)).map(str::to_owned).collect()
    };
    let (alerts, expressions) = (lines("- alert: "), lines("expr: "));
    assert_eq!(alerts.len(), expressions.len(), "each expr is on one line");
    for key in ["summary: ", "where: ", "todo: ", "severity: "] {
        assert_eq!(lines(key).len(), alerts.len(), "each alert has its {key}");
    }
    alerts.into_iter().zip(expressions).collect()
}

/// Each query of the dashboard with the title of its panel; a variable's is what its values are taken from.
fn dashboard() -> Vec<(String, String)> {
    let dashboard = dashboard_json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut queries: Vec<(String, String)> =
        queries_of(&dashboard).map(|query| (format!("dashboard, {query}"), text(&query["expr"]))).collect();
    for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
        queries.push((text(&annotation["name"]), text(&annotation["expr"])));
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if variable["type"] == "query" {
            let query = text(&variable["query"]);
            let values = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (series, label) = values.and_then(|values| values.rsplit_once(", ")).expect("label_values");
            queries.push((text(&variable["name"]), format!("count by ({label}) ({series})")));
        }
    }
    queries
}

fn queries_of(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    panels.filter_map(|panel| panel["targets"].as_array()).flatten()
}

fn variables(dashboard: &Value) -> Vec<&str> {
    let variables = dashboard["templating"]["list"].as_array().expect("variables").iter();
    variables.filter_map(|variable| variable["name"].as_str()).collect()
}

fn dashboard_json() -> Value {
    serde_json::from_str(&read("deploy/grafana/weir.json")).expect("JSON")
}

/// The expressions beside the names of AWS and Tencent.
fn documented() -> Vec<(String, String)> {
    let text = read("docs/metrics.md");
    let (_, section) = text.split_once("\n## The clouds' names beside ours\n").expect("the section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let with_query = rows.filter(|row| cells(row)[1].starts_with('`'));
    with_query.map(|row| (cells(row)[0].clone(), code(row, 1))).collect()
}

/// The cells of a row; a bar within one is written `\|`.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\u{0}");
    row.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// What a cell has between its backticks.
fn code(row: &str, column: usize) -> String {
    cells(row)[column].trim_matches('`').to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn at(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
