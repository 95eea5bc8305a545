//! `weir status`: the balancer, its listeners, target groups and shards on one screen.

use std::time::Duration;

use serde_json::{Value, json};

use super::api::{self, Api, Endpoint, Format, Group, Listener, Shard, Status};
use super::show::{self, Align, Table, latency, plain, span};
use super::trouble::Trouble;

pub(super) fn status(endpoint: &Endpoint) -> Result<(), Trouble> {
    let api = endpoint.open()?;
    let answer = json!({
        "balancer": api.get("/v1/balancer")?,
        "listeners": list(&api, "/v1/listeners", "listeners")?,
        "target_groups": list(&api, "/v1/target-groups", "target_groups")?,
        "shards": list(&api, "/v1/shards", "shards")?,
    });
    match endpoint.format() {
        Format::Json => show::print_json(&answer)?,
        Format::Tables => show::print(&text(&api::understood(&answer)?))?,
    }
    Ok(())
}

/// The list in an answer that has nothing else.
fn list(api: &Api, path: &str, key: &str) -> Result<Value, Trouble> {
    // What is missing is said when the answer is read.
    Ok(api.get(path)?.get_mut(key).map(Value::take).unwrap_or_default())
}

fn text(status: &Status) -> String {
    let tables = [
        ("Listeners", listeners(&status.listeners)),
        ("Target groups", groups(&status.target_groups)),
        ("Shards", shards(&status.shards)),
    ];
    let section = |(title, table): (&str, Table)| {
        let table = table.to_text("  ");
        if table.is_empty() { format!("\n{title}: none\n") } else { format!("\n{title}\n{table}") }
    };
    head(status) + &tables.map(section).concat()
}

fn head(status: &Status) -> String {
    let balancer = &status.balancer;
    let ready = if balancer.ready { "ready" } else { "NOT READY" };
    let head = format!(
        "{}: {}, {ready}; weir {}, up {}, revision {}\n",
        plain(&balancer.name),
        plain(&balancer.phase),
        plain(&balancer.version),
        span(Duration::from_secs(balancer.uptime_seconds)),
        balancer.revision,
    );
    let reasons =
        balancer.not_ready_reasons.iter().flat_map(|reason| ["  ".to_owned(), plain(reason), "\n".to_owned()]);
    std::iter::once(head).chain(reasons).collect()
}

/// Latencies are those of requests where there are any, else those of connections.
fn listeners(listeners: &[Listener]) -> Table {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("PROTOCOL", Align::Left),
        ("ADDRESS", Align::Left),
        ("STATE", Align::Left),
        ("ACTIVE", Align::Right),
        ("ACCEPTED", Align::Right),
        ("REQUESTS", Align::Right),
        ("5XX", Align::Right),
        ("P50", Align::Right),
        ("P99", Align::Right),
        ("TARGET GROUPS", Align::Left),
    ]);
    for listener in listeners {
        let times = if listener.http.is_some() { &listener.latency.request } else { &listener.latency.duration };
        let failed = |http: &api::Http| http.responses.get("5xx").copied().unwrap_or(0).to_string();
        table.row([
            listener.name.clone(),
            listener.protocol.clone(),
            show::place(&listener.address, listener.port),
            // Of a tcp listener without a target the port is closed.
            if listener.bound { "open" } else { "closed" }.to_owned(),
            listener.connections.active.to_string(),
            listener.connections.accepted.to_string(),
            listener.http.as_ref().map(|http| http.requests.to_string()).unwrap_or_default(),
            listener.http.as_ref().map(failed).unwrap_or_default(),
            times.p50_us.map(latency).unwrap_or_default(),
            times.p99_us.map(latency).unwrap_or_default(),
            listener.target_groups.join(", "),
        ]);
    }
    table
}

fn groups(groups: &[Group]) -> Table {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("PROTOCOL", Align::Left),
        ("ALGORITHM", Align::Left),
        ("HEALTHY", Align::Right),
        ("LISTENERS", Align::Left),
        ("NOTE", Align::Left),
    ]);
    for group in groups {
        let note = if group.failing_open { "no healthy target: all are used" } else { "" };
        table.row([
            group.name.clone(),
            group.protocol.clone(),
            group.algorithm.clone(),
            format!("{}/{}", group.targets_healthy, group.targets),
            group.listeners.join(", "),
            note.to_owned(),
        ]);
    }
    table
}

fn shards(shards: &[Shard]) -> Table {
    let mut table = Table::new(&[
        ("SHARD", Align::Right),
        ("CORE", Align::Right),
        ("STATE", Align::Left),
        ("REVISION", Align::Right),
        ("CONNECTIONS", Align::Right),
        ("LIMIT", Align::Right),
        ("ACCEPTED", Align::Right),
    ]);
    for shard in shards {
        let said = |value: fn(&api::ShardReport) -> u64| shard.report.as_ref().map(value);
        let shown = |value| said(value).map_or_else(|| "-".to_owned(), |value| value.to_string());
        table.row([
            shard.number.to_string(),
            shard.core.to_string(),
            shard.state.clone(),
            shown(|report| report.revision),
            shown(|report| report.connections),
            shown(|report| report.connections_max),
            shown(|report| report.accepted),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Value {
        json!({
            "balancer": {
                "name": "edge-1", "version": "0.1.0", "phase": "draining", "ready": false,
                "not_ready_reasons": ["draining: weir was asked to stop"], "revision": 7, "uptime_seconds": 7325,
            },
            "listeners": [
                {
                    "name": "web", "protocol": "http", "address": "::1", "port": 80, "bound": true,
                    "target_groups": ["app", "img"], "connections": { "accepted": 12, "active": 3 },
                    "http": { "requests": 100, "responses": { "2xx": 99, "5xx": 1 } },
                    "latency": { "duration": { "count": 0 }, "request": { "count": 100, "p50_us": 870, "p99_us": 12345 } },
                },
                {
                    "name": "mail", "protocol": "tcp", "address": "10.0.0.1", "port": 25, "bound": false,
                    "target_groups": ["mail"], "connections": { "accepted": 0, "active": 0 }, "http": null,
                    "latency": { "duration": { "count": 0 }, "request": { "count": 0 } },
                },
            ],
            "target_groups": [{
                "name": "app", "protocol": "http", "algorithm": "weighted_round_robin", "failing_open": true,
                "listeners": ["web"], "targets": 2, "targets_healthy": 0,
            }],
            "shards": [
                {
                    "shard": 0, "core": 2, "state": "answering",
                    "report": { "revision": 7, "connections": 3, "connections_max": 1000, "accepted": 12 },
                },
                { "shard": 1, "core": 3, "state": "stuck", "report": null },
            ],
        })
    }

    #[test]
    fn one_screen_shows_what_runs_and_what_is_wrong() {
        let shown = text(&api::understood(&answer()).unwrap());
        let expected = "\
edge-1: draining, NOT READY; weir 0.1.0, up 2h 2m, revision 7
  draining: weir was asked to stop

Listeners
  NAME  PROTOCOL  ADDRESS      STATE   ACTIVE  ACCEPTED  REQUESTS  5XX    P50     P99  TARGET GROUPS
  web   http      [::1]:80     open         3        12       100    1  870us  12.3ms  app, img
  mail  tcp       10.0.0.1:25  closed       0         0                                mail

Target groups
  NAME  PROTOCOL  ALGORITHM             HEALTHY  LISTENERS  NOTE
  app   http      weighted_round_robin      0/2  web        no healthy target: all are used

Shards
  SHARD  CORE  STATE      REVISION  CONNECTIONS  LIMIT  ACCEPTED
      0     2  answering         7            3   1000        12
      1     3  stuck             -            -      -         -
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_there_is_none_of_is_said() {
        let mut answer = answer();
        answer["listeners"] = json!([]);
        answer["target_groups"] = json!([]);
        let shown = text(&api::understood(&answer).unwrap());
        assert!(shown.contains("\nListeners: none\n\nTarget groups: none\n\nShards\n"), "{shown}");
    }

    #[test]
    fn an_answer_that_lacks_something_is_an_error_that_names_it() {
        let mut answer = answer();
        answer["balancer"].as_object_mut().unwrap().remove("phase");
        let error = api::understood::<Status>(&answer).unwrap_err().to_string();
        assert!(error.contains("`phase`") && error.contains("version") && error.contains("--json"), "{error}");
    }
}
