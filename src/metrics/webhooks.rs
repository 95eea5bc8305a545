//! Reports to the webhooks of scaling groups.

use std::sync::Arc;

use super::names::{self, Metric};
use super::text::Text;

/// What became of the reports of one scaling group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookCounts {
    /// Its name.
    pub scaling_group: Arc<str>,
    /// All that there were.
    pub reports: u64,
    /// Those that the webhook took.
    pub delivered: u64,
    /// Attempts that failed, by reason.
    pub failed: Vec<(&'static str, u64)>,
    /// Reports that were given up, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Those that wait.
    pub waiting: usize,
}

pub(super) fn write(text: &mut Text, webhooks: &[WebhookCounts]) {
    let mut count = |metric: &'static Metric, count: fn(&WebhookCounts) -> u64| {
        text.family(metric, |family| {
            webhooks.iter().for_each(|webhook| family.sample(&[&webhook.scaling_group], count(webhook)));
        });
    };
    count(&names::WEBHOOK_REPORTS, |webhook| webhook.reports);
    count(&names::WEBHOOK_DELIVERED, |webhook| webhook.delivered);
    by_reason(text, &names::WEBHOOK_ATTEMPTS_FAILED, webhooks, |webhook| &webhook.failed);
    by_reason(text, &names::WEBHOOK_DROPPED, webhooks, |webhook| &webhook.dropped);
    text.family(&names::WEBHOOK_WAITING, |family| {
        webhooks.iter().for_each(|webhook| family.sample(&[&webhook.scaling_group], webhook.waiting));
    });
}

fn by_reason(
    text: &mut Text,
    metric: &'static Metric,
    webhooks: &[WebhookCounts],
    counts: fn(&WebhookCounts) -> &Vec<(&'static str, u64)>,
) {
    text.family(metric, |family| {
        for webhook in webhooks {
            counts(webhook).iter().for_each(|(reason, count)| family.sample(&[&webhook.scaling_group, reason], *count));
        }
    });
}
