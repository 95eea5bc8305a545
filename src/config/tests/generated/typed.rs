//! The config that an operator would type for a snapshot.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::l7::router::{Action, Condition, PathMatch, QueryMatch, Replace, Rule, WeightedGroup};

/// Its text.
pub(super) fn typed(snapshot: &Snapshot) -> String {
    let Balancer { name, region, network, zone, scheme, security_group, security_group_drop, .. } = &snapshot.balancer;
    let Balancer { cross_network, cross_region, .. } = &snapshot.balancer;
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let cores = match &snapshot.cores {
        Cores::All => json!("all"),
        Cores::Count(count) => json!(count),
        Cores::List(list) => json!(list),
    };
    let listen = match &snapshot.admin.listen {
        AdminAddress::Tcp(address) => address.to_string(),
        AdminAddress::Unix(path) => format!("unix:{}", path.display()),
    };
    let mut root = json!({
        "balancer": {
            "name": **name, "region": text(region), "network": text(network), "zone": text(zone), "scheme": scheme,
            "cross_network": cross_network, "cross_region": cross_region,
            "snat_addresses": if snapshot.balancer.snat_addresses.is_empty() {
                Value::Null
            } else {
                json!(*snapshot.balancer.snat_addresses)
            },
            "state_dir": snapshot.state_dir,
            "security_group": typed_security_group(security_group), "security_group_drop": security_group_drop,
        },
        "shards": { "cores": cores },
        "admin": { "listen": listen, "token_file": snapshot.admin.token_file },
        "listener": snapshot.listeners.iter().filter_map(|l| typed_listener(l, snapshot)).collect::<Vec<_>>(),
        "flash_policy": snapshot.listeners.iter().find_map(|l| typed_responder(l)),
        "access_log": snapshot.access_log.as_ref().map(typed_access_log),
        "target_group": snapshot.groups.iter().map(|group| typed_group(group, zone.is_some())).collect::<Vec<_>>(),
    });
    remove_nulls(&mut root);
    toml::to_string(&root).expect("every value is one that TOML has")
}

/// `None` for the responder, which is not typed as a listener.
fn typed_listener(listener: &Listener, snapshot: &Snapshot) -> Option<Value> {
    let mut typed = json!({
        "name": *listener.name,
        "protocol": listener.protocol.as_str(),
        "address": listener.address,
        "scheme": listener.scheme,
        "security_group": typed_security_group(&listener.security_group),
        "idle_timeout": typed_duration(listener.idle_timeout),
    });
    let more = match &listener.service {
        Service::Relay(group) => json!({ "default_action": { "forward": *snapshot.groups[*group].name } }),
        Service::Http(http) => typed_http(http, snapshot),
        Service::FlashPolicy(_) => return None,
    };
    merge(&mut typed, more);
    Some(typed)
}

fn typed_responder(listener: &Listener) -> Option<Value> {
    let Service::FlashPolicy(document) = &listener.service else { return None };
    Some(json!({ "enabled": true, "address": listener.address, "document": **document }))
}

fn typed_security_group(group: &SecurityGroup) -> Value {
    let rule = |rule: &acl::Rule| {
        let sources = rule.sources.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({
            "action": rule.action.as_str(),
            "source": (!sources.is_empty()).then_some(sources),
            "protocol": rule.transport.map_or("all", Transport::as_str),
            "port": rule.ports_text(),
        })
    };
    group.rules().iter().map(rule).collect()
}

fn typed_http(http: &Http, snapshot: &Snapshot) -> Value {
    let page = |page: &ErrorPage| {
        json!({
            "status": page.status, "content_type": *page.content_type, "file": String::from_utf8_lossy(&page.body),
        })
    };
    let rule = |rule: &Rule| {
        let mut typed = json!({ "priority": rule.priority, "action": typed_action(&rule.action, snapshot) });
        rule.conditions.iter().for_each(|condition| merge(&mut typed, typed_condition(condition)));
        typed
    };
    let hygiene = match http.hygiene {
        Hygiene::Monitor => "monitor",
        Hygiene::Defensive => "defensive",
        Hygiene::Strictest => "strictest",
    };
    let forwarded = match http.forwarded {
        Forwarded::Append => "append",
        Forwarded::Preserve => "preserve",
        Forwarded::Remove => "remove",
    };
    json!({
        "header_timeout": typed_duration(http.header_timeout),
        "body_timeout": typed_duration(http.body_timeout),
        "send_timeout": typed_duration(http.send_timeout),
        "request_body_max": http.body_bytes_max,
        "hygiene": hygiene,
        "x_forwarded_for": forwarded,
        "trace_id": http.trace_id,
        "server_header": http.server_header.as_deref(),
        "error_page": http.error_pages.iter().map(page).collect::<Vec<_>>(),
        "rule": http.router.rules().iter().map(rule).collect::<Vec<_>>(),
        "default_action": typed_action(http.router.default_action(), snapshot),
    })
}

fn typed_condition(condition: &Condition) -> Value {
    let path = |path: &PathMatch| match path {
        PathMatch::Pattern(pattern) => json!(**pattern),
        PathMatch::Prefix(prefix) => json!({ "prefix": **prefix }),
        PathMatch::Regex(regex) => json!({ "regex": **regex }),
    };
    let query = |query: &QueryMatch| json!({ "key": query.key.as_deref(), "value": *query.value });
    match condition {
        Condition::Host(hosts) => json!({ "host": texts(hosts) }),
        Condition::Path(paths) => json!({ "path": paths.iter().map(path).collect::<Vec<_>>() }),
        Condition::Method(methods) => json!({ "method": texts(methods) }),
        Condition::Header { name, values } => json!({ "header": [{ "name": **name, "values": texts(values) }] }),
        Condition::Query(queries) => json!({ "query": queries.iter().map(query).collect::<Vec<_>>() }),
        Condition::SourceIp(networks) => json!({ "source_ip": networks }),
    }
}

fn texts(texts: &[Arc<str>]) -> Value {
    texts.iter().map(|text| json!(**text)).collect()
}

fn typed_action(action: &Action, snapshot: &Snapshot) -> Value {
    let replace = |replace: &Replace| json!({ "regex": *replace.regex, "with": *replace.with });
    match action {
        Action::Forward(forward) => {
            let name = |weighted: &WeightedGroup| json!(*snapshot.groups[weighted.group].name);
            let groups = match forward.groups.as_slice() {
                [one] if one.weight == 1 => name(one),
                several => several.iter().map(|one| json!({ "group": name(one), "weight": one.weight })).collect(),
            };
            let rewrite = forward.rewrite.as_ref();
            json!({
                "forward": groups,
                "group_stickiness": forward.group_stickiness.as_ref().map(|to| typed_duration(to.duration)),
                "rewrite": rewrite.map(|to| json!({ "host": to.host.as_ref().map(replace), "path": to.path.as_ref().map(replace) })),
            })
        }
        Action::Redirect(to) => {
            let port = to.port.parse::<u16>().map_or_else(|_| json!(*to.port), |port| json!(port));
            json!({ "redirect": {
                "status": to.status, "protocol": *to.protocol, "host": *to.host, "port": port, "path": *to.path,
                "query": *to.query,
            } })
        }
        Action::FixedResponse(response) => json!({ "fixed_response": {
            "status": response.status, "content_type": *response.content_type, "body": *response.body,
        } }),
    }
}

fn typed_access_log(log: &AccessLog) -> Value {
    let format = match log.format {
        LogFormat::Json => "json",
        LogFormat::Alb => "alb",
    };
    match &log.to {
        LogTo::Stdout => json!({ "path": "stdout", "format": format }),
        LogTo::Syslog => json!({ "path": "syslog", "format": format }),
        LogTo::File { path, rotate_bytes, rotate_keep } => {
            json!({ "path": path, "format": format, "rotate_size": rotate_bytes, "rotate_keep": rotate_keep })
        }
    }
}

fn typed_group(group: &TargetGroup, zone_is_known: bool) -> Value {
    let mut typed = json!({
        "name": *group.name,
        "protocol": group.protocol.as_str(),
        "algorithm": group.algorithm,
        "health_check": group.health_check.as_ref().map_or_else(|| json!({ "protocol": "none" }), typed_check),
        "fail_open": group.fail_open,
        "cross_zone": (group.cross_zone || zone_is_known).then_some(group.cross_zone),
        "connect_timeout": typed_duration(group.connect_timeout),
        "retries": group.retries,
        "managed": (group.managed == Managed::Api).then_some("api"),
        "target": group.targets.iter().map(typed_target).collect::<Vec<_>>(),
    });
    if let Some(http) = &group.http {
        merge(&mut typed, typed_http_group(http));
    }
    typed
}

fn typed_http_group(http: &HttpGroup) -> Value {
    json!({
        "http_version": typed_version(http.version),
        "stickiness": http.stickiness.as_ref().map(typed_stickiness),
        "response_timeout": typed_duration(http.response_timeout),
        "deregistration_delay": typed_duration(http.deregistration_delay),
        "location_repair": http.location_repair,
        "keep_alive": {
            "idle_max": http.keep_alive.idle_max,
            "idle_timeout": typed_duration(http.keep_alive.idle_timeout),
            "lifetime": typed_duration(http.keep_alive.lifetime),
        },
    })
}

fn typed_stickiness(stickiness: &Stickiness) -> Value {
    let same_site = |same_site| match same_site {
        SameSite::Strict => "strict",
        SameSite::Lax => "lax",
        SameSite::None => "none",
    };
    json!({
        "type": if stickiness.app_cookie.is_some() { "app_cookie" } else { "cookie" },
        "duration": typed_duration(stickiness.duration),
        "cookie": (!stickiness.cookie.starts_with(limits::COOKIE_PREFIX_DEFAULT)).then_some(&*stickiness.cookie),
        "app_cookie": stickiness.app_cookie.as_deref(),
        "secure": stickiness.secure,
        "same_site": stickiness.same_site.map(same_site),
    })
}

fn typed_version(version: HttpVersion) -> &'static str {
    match version {
        HttpVersion::V1_0 => "1.0",
        HttpVersion::V1_1 => "1.1",
    }
}

fn typed_check(check: &HealthCheck) -> Value {
    let mut typed = json!({
        "protocol": "tcp",
        "port": check.port,
        "interval": typed_duration(check.interval),
        "timeout": typed_duration(check.timeout),
        "healthy": check.healthy_threshold,
        "unhealthy": check.unhealthy_threshold,
        "source": check.source,
    });
    if let CheckProtocol::Http(http) = &check.protocol {
        let range = |range: &RangeInclusive<u16>| format!("{}-{}", range.start(), range.end());
        merge(
            &mut typed,
            json!({
                "protocol": "http",
                "path": *http.path,
                "host": http.host.as_deref(),
                "method": if http.method == CheckMethod::Get { "GET" } else { "HEAD" },
                "version": typed_version(http.version),
                "matcher": http.matcher.iter().map(range).collect::<Vec<_>>().join(","),
            }),
        );
    }
    typed
}

fn typed_target(target: &Target) -> Value {
    json!({
        "type": target.kind,
        "instance_id": target.instance_id.as_deref(),
        "eni_id": target.eni_id.as_deref(),
        "zone": target.zone.as_deref(),
        "address": target.address.ip(),
        "port": target.address.port(),
        "weight": target.weight,
    })
}

fn typed_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// A key that is unset is not typed: TOML has no null.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|_, value| !value.is_null());
            entries.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// Adds the entries of a table to another; lists of both are joined.
fn merge(into: &mut Value, from: Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { unreachable!("tables") };
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Array(items)), Value::Array(more)) => items.extend(more),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}
