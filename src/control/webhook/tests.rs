//! What is reported, when it is sent, and how one attempt ends.

mod courier;
mod outbox;
mod send;
mod turns;

use std::sync::Arc;

use tokio::time::Instant;

use super::report::Report;
use crate::inventory::WebhookUrl;

/// A report of this number for this scaling group.
fn report(scaling_group: &str, number: usize, now: Instant) -> Report {
    Report {
        id: format!("msg_{number}").into(),
        body: format!("{{\"number\":{number}}}").into(),
        scaling_group: scaling_group.into(),
        about: "an instance".into(),
        made_at: now,
    }
}

fn url(text: &str) -> WebhookUrl {
    WebhookUrl::new(text).expect("a URL")
}

fn name(text: &str) -> Arc<str> {
    text.into()
}
