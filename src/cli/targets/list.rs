//! `weir targets list`: a line a target, and below the table why those that fail their checks do.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cli::api::{self, Endpoint, Format, GroupTargets, Groups, Health, LastCheck, Target, encoded};
use crate::cli::show::{self, Align, Table, ago, place, plain};
use crate::cli::trouble::Trouble;

pub(super) fn list(endpoint: &Endpoint, groups: &[String]) -> Result<(), Trouble> {
    let api = endpoint.open()?;
    let groups = if groups.is_empty() { names(&api.get("/v1/target-groups")?)? } else { groups.to_owned() };
    let of_group = |group: &String| api.get(&format!("/v1/target-groups/{}/targets", encoded(group)));
    let answers: Vec<Value> = groups.iter().map(of_group).collect::<Result<_, _>>()?;
    match endpoint.format() {
        Format::Json => show::print_json(&json!({ "target_groups": answers }))?,
        Format::Tables => {
            let groups: Vec<GroupTargets> = answers.iter().map(api::understood).collect::<Result<_, _>>()?;
            show::print(&text(&groups, SystemTime::now()))?;
        }
    }
    Ok(())
}

fn names(answer: &Value) -> Result<Vec<String>, Trouble> {
    let Groups { target_groups } = api::understood(answer)?;
    Ok(target_groups.into_iter().map(|group| group.name).collect())
}

fn text(groups: &[GroupTargets], now: SystemTime) -> String {
    let mut table = Table::new(&[
        ("GROUP", Align::Left),
        ("TARGET", Align::Left),
        ("TYPE", Align::Left),
        ("INSTANCE", Align::Left),
        ("NETWORK", Align::Left),
        ("ZONE", Align::Left),
        ("WEIGHT", Align::Right),
        ("STATE", Align::Left),
        ("FOR", Align::Left),
        ("ACTIVE", Align::Right),
        ("REQUESTS", Align::Right),
        ("WHY", Align::Left),
    ]);
    let targets = || groups.iter().flat_map(|group| group.targets.iter().map(move |target| (group, target)));
    for (group, target) in targets() {
        let Target { health, .. } = target;
        table.row([
            group.target_group.clone(),
            place(&target.address, target.port),
            target.r#type.clone(),
            target.instance_id.clone().unwrap_or_default(),
            target.network.clone().unwrap_or_default(),
            target.zone.clone().unwrap_or_default(),
            target.weight.to_string(),
            health.state.clone(),
            health.since.as_deref().map(|since| ago(since, now)).unwrap_or_default(),
            target.connections.active.to_string(),
            target.requests.to_string(),
            health.reason.clone().unwrap_or_default(),
        ]);
    }
    let text = table.to_text("");
    if text.is_empty() {
        return "no target\n".to_owned();
    }
    let notes = targets().filter_map(|(group, target)| {
        let name = format!("{} {}", group.target_group, place(&target.address, target.port));
        Some(format!("\n{}: {}\n", plain(&name), note(&target.health)?))
    });
    text + &notes.collect::<String>()
}

/// How the last check failed and what to look at, and which shards see it otherwise.
fn note(health: &Health) -> Option<String> {
    let failed = health.last_check.as_ref().and_then(failed);
    let views = health.shards.iter().map(|view| format!("{} by shard {}", view.state, view.shard)).collect::<Vec<_>>();
    let views = (!views.is_empty()).then(|| views.join(", "));
    let parts: Vec<String> = failed.into_iter().chain(views).map(|part| plain(&part)).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn failed(check: &LastCheck) -> Option<String> {
    let failure = check.failure.as_deref()?;
    let number = check.status.map(i64::from).or(check.errno).map(|number| format!(" {number}")).unwrap_or_default();
    let hint = check.hint.as_deref().map(|hint| format!(": {hint}")).unwrap_or_default();
    Some(format!("the last check failed, {failure}{number}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(port: u16, health: &Value) -> Value {
        json!({
            "address": "10.0.0.5", "port": port, "network": null, "type": "cvm", "instance_id": null, "weight": 10,
            "health": health, "connections": { "active": 1, "made": 5 }, "requests": 7,
        })
    }

    fn shown(targets: &Value) -> String {
        let now = humantime::parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
        text(&[api::understood(&json!({ "target_group": "app", "targets": targets })).unwrap()], now)
    }

    #[test]
    fn each_target_has_a_line_and_each_failure_a_note() {
        let healthy = json!({
            "state": "healthy", "reason": null, "since": "2026-01-02T03:00:05.000Z",
            "last_check": { "at": "2026-01-02T03:04:04.000Z", "latency_us": 300, "failure": null },
        });
        let failing = json!({
            "state": "unhealthy", "reason": "Target.FailedHealthChecks", "since": "2026-01-02T03:04:00.000Z",
            "last_check": { "failure": "status", "status": 503, "errno": null, "hint": "look at the path" },
            "shards": [{ "shard": 0, "state": "healthy" }, { "shard": 1, "state": "unhealthy" }],
        });
        let expected = "\
GROUP  TARGET         TYPE  WEIGHT  STATE      FOR  ACTIVE  REQUESTS  WHY
app    10.0.0.5:80    cvm       10  healthy    4m        1         7
app    10.0.0.5:8080  cvm       10  unhealthy  5s        1         7  Target.FailedHealthChecks

app 10.0.0.5:8080: the last check failed, status 503: look at the path; healthy by shard 0, unhealthy by shard 1
";
        assert_eq!(shown(&json!([target(80, &healthy), target(8080, &failing)])), expected);
    }

    #[test]
    fn a_target_that_no_shard_knows_yet_is_unknown() {
        let shown = shown(&json!([target(80, &json!({ "state": "unknown" }))]));
        assert!(shown.contains("unknown") && shown.lines().count() == 2, "{shown}");
    }

    #[test]
    fn a_group_without_targets_is_said() {
        assert_eq!(shown(&json!([])), "no target\n");
    }
}
