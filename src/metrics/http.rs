//! Families of requests: of http listeners, summed over shards.

use super::histogram::{Buckets, LATENCY_US};
use super::listeners::Listeners;
use super::names;
use super::text::Text;
use crate::l7::{Class, Why};
use crate::shard::{HttpCounts, ListenerReport};

/// First digits of statuses, as labels.
pub const CODE_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

pub(super) fn write(text: &mut Text, listeners: &Listeners) {
    let http = || listeners.iter().filter(|(_, reports)| reports.iter().any(|report| report.http.is_some()));
    text.family(&names::HTTP_REQUESTS, |family| {
        for (name, reports) in http() {
            family.sample(&[name], total(reports, |counts| counts.requests));
        }
    });
    text.family(&names::HTTP_RESPONSES, |family| {
        for (name, reports) in http() {
            for (index, class) in CODE_CLASSES.iter().enumerate() {
                family.sample(&[name, class], total(reports, |counts| counts.classes[index]));
            }
        }
    });
    text.family(&names::HTTP_ERRORS, |family| {
        for (name, reports) in http() {
            for why in Why::ALL {
                family.sample(&[name, why.as_str()], total(reports, |counts| counts.errors[why as usize]));
            }
        }
    });
    text.family(&names::HTTP_CLASSIFIED, |family| {
        for (name, reports) in http() {
            for class in Class::ALL {
                family.sample(&[name, class.as_str()], total(reports, |counts| counts.findings[class as usize]));
            }
        }
    });
    text.family(&names::HTTP_UPGRADED, |family| {
        for (name, reports) in http() {
            family.sample(&[name], total(reports, |counts| counts.upgraded));
        }
    });
    text.family(&names::HTTP_REQUEST_DURATION, |family| {
        for (name, reports) in http() {
            let mut buckets = Buckets::new(LATENCY_US);
            reports.iter().for_each(|report| buckets.add(&report.request_us));
            family.histogram(&[name], &buckets);
        }
    });
}

fn total(reports: &[&ListenerReport], value: impl Fn(&HttpCounts) -> u64) -> u64 {
    reports.iter().filter_map(|report| report.http.as_ref()).map(value).sum()
}
