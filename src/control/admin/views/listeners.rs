//! Listeners: what is configured, what they counted, how long things took.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use hdrhistogram::Histogram;
use serde::Serialize;
use utoipa::ToSchema;

use super::security::{SecurityGroupView, security_group};
use super::{View, seconds};
use crate::config::{Listener, Scheme};
use crate::l7::{Class, Why};
use crate::metrics;
use crate::schema;
use crate::shard::{CloseReason, HttpCounts, ListenerReport, RefuseReason};

/// Every listener.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct Listeners {
    pub(in super::super) listeners: Vec<ListenerView>,
}

/// A listener: what is configured, and what it has counted on all shards since the start.
#[derive(Serialize, ToSchema)]
#[schema(as = Listener)]
pub(in super::super) struct ListenerView {
    name: Arc<str>,
    /// `tcp` or `http`, say.
    protocol: &'static str,
    #[schema(value_type = schema::Address)]
    address: IpAddr,
    port: u16,
    scheme: Scheme,
    /// Null: everyone may connect.
    security_group: Option<SecurityGroupView>,
    idle_timeout_seconds: f64,
    /// Those that it may send to.
    target_groups: Vec<Arc<str>>,
    /// Every shard listens.
    bound: bool,
    connections: ListenerConnections,
    /// Bytes from clients.
    client_bytes: u64,
    /// Bytes from targets.
    target_bytes: u64,
    /// Null but for an http listener.
    http: Option<HttpView>,
    latency: ListenerLatency,
}

/// Connections of a listener.
#[derive(Serialize, ToSchema)]
struct ListenerConnections {
    accepted: u64,
    active: u64,
    /// Dropped by the kernel, as the queue of those to be accepted was full.
    kernel_drops: u64,
    accept_errors: u64,
    /// By reason.
    refused: BTreeMap<&'static str, u64>,
    /// By reason.
    closed: BTreeMap<&'static str, u64>,
}

/// What an http listener has counted of requests.
#[derive(Serialize, ToSchema)]
#[schema(as = ListenerHttp)]
struct HttpView {
    requests: u64,
    upgraded: u64,
    /// By class of status: `2xx`, say.
    responses: BTreeMap<&'static str, u64>,
    /// The balancer's own answers, by reason.
    errors: BTreeMap<&'static str, u64>,
    /// Requests that are not quite HTTP, by grade.
    classified: BTreeMap<&'static str, u64>,
}

/// How long each phase took.
#[derive(Serialize, ToSchema)]
struct ListenerLatency {
    connect: Percentiles,
    first_byte: Percentiles,
    duration: Percentiles,
    request: Percentiles,
}

/// In microseconds; of nothing recorded only the count.
#[derive(Default, Serialize, ToSchema)]
struct Percentiles {
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p90_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p999_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p9999_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_us: Option<u64>,
}

impl View {
    pub(in super::super) fn listener(&self, listener: &Listener) -> ListenerView {
        let reports: Vec<&ListenerReport> = self
            .reports
            .iter()
            .flat_map(|report| &report.listeners)
            .filter(|report| report.name == listener.name)
            .collect();
        let of_shards = reports.iter().map(|report| &report.security_group);
        let total = |value: fn(&ListenerReport) -> u64| reports.iter().map(|report| value(report)).sum::<u64>();
        ListenerView {
            name: Arc::clone(&listener.name),
            protocol: listener.protocol.as_str(),
            address: listener.address.ip(),
            port: listener.address.port(),
            scheme: listener.scheme,
            security_group: security_group(&listener.security_group, of_shards),
            idle_timeout_seconds: seconds(listener.idle_timeout),
            target_groups: self.snapshot.groups_of(listener).iter().map(|group| Arc::clone(&group.name)).collect(),
            bound: !reports.is_empty() && reports.iter().all(|report| report.bound),
            connections: ListenerConnections {
                accepted: total(|report| report.counts.accepted),
                active: total(|report| report.counts.active),
                kernel_drops: total(|report| report.kernel_drops.into()),
                accept_errors: total(|report| report.counts.accept_errors),
                refused: refused(&reports),
                closed: closed(&reports),
            },
            client_bytes: total(|report| report.counts.client_bytes),
            target_bytes: total(|report| report.counts.target_bytes),
            http: http(&reports),
            latency: ListenerLatency {
                connect: percentiles(reports.iter().map(|report| &report.connect_us)),
                first_byte: percentiles(reports.iter().map(|report| &report.first_byte_us)),
                duration: percentiles(reports.iter().map(|report| &report.duration_us)),
                request: percentiles(reports.iter().map(|report| &report.request_us)),
            },
        }
    }
}

/// What an http listener counted of requests; `None` for others.
fn http(reports: &[&ListenerReport]) -> Option<HttpView> {
    let counts: Vec<&HttpCounts> = reports.iter().filter_map(|report| report.http.as_ref()).collect();
    if counts.is_empty() {
        return None;
    }
    let sum = |value: &dyn Fn(&HttpCounts) -> u64| counts.iter().map(|counts| value(counts)).sum::<u64>();
    let named = |names: &[&'static str], values: &dyn Fn(&HttpCounts, usize) -> u64| {
        let count = |(index, name): (usize, &&'static str)| (*name, sum(&|counts| values(counts, index)));
        names.iter().enumerate().map(count).collect()
    };
    Some(HttpView {
        requests: sum(&|counts| counts.requests),
        upgraded: sum(&|counts| counts.upgraded),
        responses: named(&metrics::CODE_CLASSES, &|counts, index| counts.classes[index]),
        errors: named(&Why::ALL.map(Why::as_str), &|counts, index| counts.errors[index]),
        classified: named(&Class::ALL.map(Class::as_str), &|counts, index| counts.findings[index]),
    })
}

fn refused(reports: &[&ListenerReport]) -> BTreeMap<&'static str, u64> {
    let count = |reason: RefuseReason| reports.iter().map(|report| report.counts.refused[reason as usize]).sum();
    RefuseReason::ALL.iter().map(|reason| (reason.as_str(), count(*reason))).collect()
}

fn closed(reports: &[&ListenerReport]) -> BTreeMap<&'static str, u64> {
    let count = |reason: CloseReason| reports.iter().map(|report| report.counts.closed[reason as usize]).sum();
    CloseReason::ALL.iter().map(|reason| (reason.as_str(), count(*reason))).collect()
}

/// Of all shards together.
fn percentiles<'h>(histograms: impl Iterator<Item = &'h Histogram<u64>>) -> Percentiles {
    let Some(all) = metrics::merged(histograms).filter(|all| !all.is_empty()) else { return Percentiles::default() };
    let quantile = |quantile| Some(all.value_at_quantile(quantile));
    Percentiles {
        count: all.len(),
        p50_us: quantile(0.5),
        p90_us: quantile(0.9),
        p99_us: quantile(0.99),
        p999_us: quantile(0.999),
        p9999_us: quantile(0.9999),
        max_us: Some(all.max()),
    }
}
