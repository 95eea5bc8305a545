//! Families of listeners, summed over shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use hdrhistogram::Histogram;

use super::histogram::{Buckets, LATENCY_US, LIFETIME_US};
use super::names::{self, Metric};
use super::text::Text;
use super::{http, security};
use crate::shard::{CloseReason, ListenerReport, RefuseReason, ShardReport};

/// By name: what each shard says.
pub(super) type Listeners<'r> = BTreeMap<&'r str, Vec<&'r ListenerReport>>;

pub(super) fn write(text: &mut Text, reports: &[Arc<ShardReport>]) {
    let mut listeners = Listeners::new();
    for listener in reports.iter().flat_map(|report| &report.listeners) {
        listeners.entry(&listener.name).or_default().push(listener);
    }
    sums(text, &listeners);
    bound(text, &listeners);
    by_reason(text, &listeners);
    security::write(text, reports, &listeners);
    histograms(text, &listeners);
    http::write(text, &listeners);
}

fn sums(text: &mut Text, listeners: &Listeners) {
    type Value = fn(&ListenerReport) -> u64;
    let all: [(&'static Metric, Value); 6] = [
        (&names::ACCEPTED, |report| report.counts.accepted),
        (&names::ACTIVE, |report| report.counts.active),
        (&names::KERNEL_DROPS, |report| report.kernel_drops.into()),
        (&names::ACCEPT_ERRORS, |report| report.counts.accept_errors),
        (&names::LISTENER_CLIENT_BYTES, |report| report.counts.client_bytes),
        (&names::LISTENER_TARGET_BYTES, |report| report.counts.target_bytes),
    ];
    for (metric, value) in all {
        text.family(metric, |family| {
            for (name, reports) in listeners {
                family.sample(&[name, protocol(reports)], total(reports, value));
            }
        });
    }
}

fn bound(text: &mut Text, listeners: &Listeners) {
    text.family(&names::LISTENER_BOUND, |family| {
        for (name, reports) in listeners {
            family.sample(&[name, protocol(reports)], reports.iter().all(|report| report.bound));
        }
    });
}

fn by_reason(text: &mut Text, listeners: &Listeners) {
    text.family(&names::REFUSED, |family| {
        for (name, reports) in listeners {
            for reason in RefuseReason::ALL {
                let count = total(reports, |report| report.counts.refused[reason as usize]);
                family.sample(&[name, protocol(reports), reason.as_str()], count);
            }
        }
    });
    text.family(&names::CLOSED, |family| {
        for (name, reports) in listeners {
            for reason in CloseReason::ALL {
                let count = total(reports, |report| report.counts.closed[reason as usize]);
                family.sample(&[name, protocol(reports), reason.as_str()], count);
            }
        }
    });
}

fn histograms(text: &mut Text, listeners: &Listeners) {
    type Recorded = fn(&ListenerReport) -> &Histogram<u64>;
    let all: [(&'static Metric, &'static [u64], Recorded); 3] = [
        (&names::CONNECT_DURATION, LATENCY_US, |report| &report.connect_us),
        (&names::FIRST_BYTE_DURATION, LATENCY_US, |report| &report.first_byte_us),
        (&names::CONNECTION_DURATION, LIFETIME_US, |report| &report.duration_us),
    ];
    for (metric, bounds, recorded) in all {
        text.family(metric, |family| {
            for (name, reports) in listeners {
                let mut buckets = Buckets::new(bounds);
                for report in reports {
                    buckets.add(recorded(report));
                }
                family.histogram(&[name, protocol(reports)], &buckets);
            }
        });
    }
}

fn protocol(reports: &[&ListenerReport]) -> &'static str {
    reports.first().map_or("", |report| report.protocol.as_str())
}

fn total(reports: &[&ListenerReport], value: impl Fn(&ListenerReport) -> u64) -> u64 {
    reports.iter().map(|report| value(report)).sum()
}
