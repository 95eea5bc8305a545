//! What reports to webhooks are signed with (requirement G9).

use super::Scope;
use crate::config::raw::{RawBalancer, RawInventory};
use crate::config::webhook::{self, WebhookKeys};

impl Scope<'_> {
    /// The keys; `None` where the file names none.
    pub(super) fn webhook_keys(&self, raw: &RawBalancer, inventory: &RawInventory) -> Option<WebhookKeys> {
        if !raw.names_webhook_key_file {
            let unsigned = inventory.scaling_groups.iter().filter(|group| group.record.reported_to().is_some());
            unsigned.for_each(|group| {
                self.report.at(group.line, format!("{}: webhook", group.place), webhook::no_key().into());
            });
        }
        let path = raw.webhook_key_file.as_ref()?;
        let keys = self.read_secret(&path.value, WebhookKeys::parse);
        keys.map_err(|wrong| self.report.at(path.line, "[balancer]: webhook_key_file", wrong)).ok()
    }
}
