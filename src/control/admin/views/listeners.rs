//! Listeners: what is configured, what they counted, how long things took.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::security::security_group;
use super::{View, seconds};
use crate::config::Listener;
use crate::l7::{Class, Why};
use crate::metrics;
use crate::shard::{CloseReason, HttpCounts, ListenerReport, RefuseReason};

impl View {
    pub(in super::super) fn listener(&self, listener: &Listener) -> Value {
        let reports: Vec<&ListenerReport> = self
            .reports
            .iter()
            .flat_map(|report| &report.listeners)
            .filter(|report| report.name == listener.name)
            .collect();
        let of_shards = reports.iter().map(|report| &report.security_group);
        let total = |value: fn(&ListenerReport) -> u64| reports.iter().map(|report| value(report)).sum::<u64>();
        json!({
            "name": &*listener.name,
            "protocol": listener.protocol.as_str(),
            "address": listener.address.ip(),
            "port": listener.address.port(),
            "scheme": listener.scheme,
            "security_group": security_group(&listener.security_group, of_shards),
            "idle_timeout_seconds": seconds(listener.idle_timeout),
            "target_groups": self.snapshot.groups_of(listener).iter().map(|group| &*group.name).collect::<Vec<_>>(),
            "bound": !reports.is_empty() && reports.iter().all(|report| report.bound),
            "connections": {
                "accepted": total(|report| report.counts.accepted),
                "active": total(|report| report.counts.active),
                "kernel_drops": total(|report| report.kernel_drops.into()),
                "accept_errors": total(|report| report.counts.accept_errors),
                "refused": refused(&reports),
                "closed": closed(&reports),
            },
            "client_bytes": total(|report| report.counts.client_bytes),
            "target_bytes": total(|report| report.counts.target_bytes),
            "http": http(&reports),
            "latency": {
                "connect": percentiles(reports.iter().map(|report| &report.connect_us)),
                "first_byte": percentiles(reports.iter().map(|report| &report.first_byte_us)),
                "duration": percentiles(reports.iter().map(|report| &report.duration_us)),
                "request": percentiles(reports.iter().map(|report| &report.request_us)),
            },
        })
    }
}

/// What an http listener counted of requests; null for others.
fn http(reports: &[&ListenerReport]) -> Value {
    let counts: Vec<&HttpCounts> = reports.iter().filter_map(|report| report.http.as_ref()).collect();
    if counts.is_empty() {
        return Value::Null;
    }
    let sum = |value: &dyn Fn(&HttpCounts) -> u64| counts.iter().map(|counts| value(counts)).sum::<u64>();
    let named = |names: &[&str], values: &dyn Fn(&HttpCounts, usize) -> u64| {
        let count = |(index, name): (usize, &&str)| ((*name).to_owned(), sum(&|counts| values(counts, index)).into());
        names.iter().enumerate().map(count).collect::<Map<String, Value>>()
    };
    json!({
        "requests": sum(&|counts| counts.requests),
        "upgraded": sum(&|counts| counts.upgraded),
        "responses": named(&metrics::CODE_CLASSES, &|counts, index| counts.classes[index]),
        "errors": named(&Why::ALL.map(Why::as_str), &|counts, index| counts.errors[index]),
        "classified": named(&Class::ALL.map(Class::as_str), &|counts, index| counts.findings[index]),
    })
}

fn refused(reports: &[&ListenerReport]) -> Map<String, Value> {
    let count = |reason: RefuseReason| reports.iter().map(|report| report.counts.refused[reason as usize]).sum::<u64>();
    RefuseReason::ALL.iter().map(|reason| (reason.as_str().to_owned(), count(*reason).into())).collect()
}

fn closed(reports: &[&ListenerReport]) -> Map<String, Value> {
    let count = |reason: CloseReason| reports.iter().map(|report| report.counts.closed[reason as usize]).sum::<u64>();
    CloseReason::ALL.iter().map(|reason| (reason.as_str().to_owned(), count(*reason).into())).collect()
}

/// Of all shards together; of nothing recorded only the count.
fn percentiles<'h>(histograms: impl Iterator<Item = &'h Histogram<u64>>) -> Value {
    let Some(all) = metrics::merged(histograms).filter(|all| !all.is_empty()) else {
        return json!({ "count": 0 });
    };
    json!({
        "count": all.len(),
        "p50_us": all.value_at_quantile(0.5),
        "p90_us": all.value_at_quantile(0.9),
        "p99_us": all.value_at_quantile(0.99),
        "p999_us": all.value_at_quantile(0.999),
        "p9999_us": all.value_at_quantile(0.9999),
        "max_us": all.max(),
    })
}
