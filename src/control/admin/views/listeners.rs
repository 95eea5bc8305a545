//! Listeners: what is configured, what they counted, how long things took.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::{View, seconds};
use crate::config::Listener;
use crate::metrics;
use crate::shard::{CloseReason, ListenerReport, RefuseReason};

impl View {
    pub(in super::super) fn listener(&self, listener: &Listener) -> Value {
        let reports: Vec<&ListenerReport> = self
            .reports
            .iter()
            .flat_map(|report| &report.listeners)
            .filter(|report| report.name == listener.name)
            .collect();
        let total = |value: fn(&ListenerReport) -> u64| reports.iter().map(|report| value(report)).sum::<u64>();
        json!({
            "name": &*listener.name,
            "protocol": listener.protocol.as_str(),
            "address": listener.address.ip(),
            "port": listener.address.port(),
            "scheme": listener.scheme,
            "idle_timeout_seconds": seconds(listener.idle_timeout),
            "target_groups": self.snapshot.groups_of(listener).iter().map(|group| &*group.name).collect::<Vec<_>>(),
            "bound": !reports.is_empty() && reports.iter().all(|report| report.bound),
            "connections": {
                "accepted": total(|report| report.counts.accepted),
                "active": total(|report| report.counts.active),
                "accept_errors": total(|report| report.counts.accept_errors),
                "refused": refused(&reports),
                "closed": closed(&reports),
            },
            "client_bytes": total(|report| report.counts.client_bytes),
            "target_bytes": total(|report| report.counts.target_bytes),
            "latency": {
                "connect": percentiles(reports.iter().map(|report| &report.connect_us)),
                "first_byte": percentiles(reports.iter().map(|report| &report.first_byte_us)),
                "duration": percentiles(reports.iter().map(|report| &report.duration_us)),
            },
        })
    }
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
