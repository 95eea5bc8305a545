//! The config as typed: every value of its own type with the line it stands on, nothing yet put together.
//!
//! `Table` reads one TOML table. A key that is not in its `Section`, or a value of the wrong type or out of its limits,
//! is reported here and reads as absent. So `resolve` sees good values only, and must not report an absent required one
//! a second time.

mod group;
mod inventory;
mod listener;
mod rule;
mod security_group;
mod table;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeTable;

use super::error::Report;
use super::snapshot::{AdminAddress, Cores, LogFormat, Scheme, SecurityGroupDrop};
use super::values::{self, PortPolicy, acl as acl_values};
use super::{keys, limits};
use crate::acl::SecurityGroup;
use crate::inventory::{CrossRegion, Id};

pub(super) use group::{RawGroup, RawHealthCheck, RawStickiness, RawTarget, StickinessKind};
pub(super) use inventory::{RawInventory, RawRecord};
pub(super) use listener::{RawErrorPage, RawListener};
pub(super) use rule::{RawAction, RawForward, RawRule, RawVerb};
use table::Table;

/// The whole file.
pub(super) struct Raw {
    pub balancer: RawBalancer,
    pub cores: Option<At<Cores>>,
    pub admin: RawAdmin,
    pub access_log: Option<RawAccessLog>,
    pub flash_policy: Option<RawFlashPolicy>,
    pub listeners: Vec<RawListener>,
    pub groups: Vec<RawGroup>,
    pub inventory: RawInventory,
}

/// A value and the line it stands on.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub value: T,
    pub line: usize,
}

/// A key that is there, and its line.
pub(super) type Given = (&'static str, usize);

/// `[balancer]`; like all tables below it is empty where the file has none.
#[derive(Default)]
pub(super) struct RawBalancer {
    pub name: Option<At<Arc<str>>>,
    pub region: Option<At<Id>>,
    pub network: Option<At<Id>>,
    pub zone: Option<At<Arc<str>>>,
    /// `zone` is there, be it wrong.
    pub names_zone: bool,
    pub scheme: Option<At<Scheme>>,
    pub allow_public_targets: Option<At<bool>>,
    pub cross_network: Option<At<bool>>,
    pub cross_region: Option<At<CrossRegion>>,
    pub snat_addresses: Vec<At<IpAddr>>,
    pub port_policy: Option<At<PortPolicy>>,
    pub secret_file: Option<At<PathBuf>>,
    pub webhook_key_file: Option<At<PathBuf>>,
    /// `webhook_key_file` is there, be it wrong.
    pub names_webhook_key_file: bool,
    pub state_dir: Option<At<PathBuf>>,
    pub security_group: SecurityGroup,
    pub security_group_drop: Option<At<SecurityGroupDrop>>,
}

/// `[admin]`.
#[derive(Default)]
pub(super) struct RawAdmin {
    pub listen: Option<At<AdminAddress>>,
    pub token_file: Option<At<PathBuf>>,
    /// `token_file` is there, be it wrong.
    pub names_token_file: bool,
    pub certificate_file: Option<At<PathBuf>>,
    pub key_file: Option<At<PathBuf>>,
    /// Which of the two are there, be they wrong.
    pub tls_keys: Vec<Given>,
}

/// `[access_log]`.
pub(super) struct RawAccessLog {
    pub path: Option<At<PathBuf>>,
    pub format: Option<At<LogFormat>>,
    pub rotate_bytes: Option<At<u64>>,
    pub rotate_keep: Option<At<u16>>,
}

/// `[flash_policy]`.
pub(super) struct RawFlashPolicy {
    /// Where the table begins.
    pub line: usize,
    pub enabled: Option<At<bool>>,
    pub address: Option<At<SocketAddr>>,
    pub document: Option<At<Arc<str>>>,
}

/// Reads the whole file.
pub(super) fn read(root: &DeTable<'_>, report: &Report) -> Raw {
    let file = Table::open(root, 1, String::new(), &keys::FILE, report);
    Raw {
        balancer: file.table("balancer", "[balancer]: ", &keys::BALANCER).map(|t| balancer(&t)).unwrap_or_default(),
        cores: file.table("shards", "[shards]: ", &keys::SHARDS).and_then(|t| t.read("cores", values::cores)),
        admin: file.table("admin", "[admin]: ", &keys::ADMIN).map(|t| admin(&t)).unwrap_or_default(),
        access_log: file.table("access_log", "[access_log]: ", &keys::ACCESS_LOG).map(|t| access_log(&t)),
        flash_policy: file.table("flash_policy", "[flash_policy]: ", &keys::FLASH_POLICY).map(|t| flash_policy(&t)),
        listeners: file.list("listener", "listener", &keys::LISTENER).iter().map(listener::listener).collect(),
        groups: file.list("target_group", "target group", &keys::TARGET_GROUP).iter().map(group::group).collect(),
        inventory: inventory::inventory(&file),
    }
}

fn balancer(table: &Table<'_>) -> RawBalancer {
    RawBalancer {
        name: table.read("name", values::name),
        region: table.read("region", values::id),
        network: table.read("network", values::id),
        zone: table.read("zone", values::name),
        names_zone: !table.given(&["zone"]).is_empty(),
        scheme: table.read("scheme", values::scheme),
        allow_public_targets: table.read("allow_public_targets", values::boolean),
        cross_network: table.read("cross_network", values::boolean),
        cross_region: table.read("cross_region", values::cross_region),
        snat_addresses: table.read_items_at("snat_addresses", values::unicast),
        port_policy: table.read("port_policy", values::port_policy),
        secret_file: table.read("secret_file", values::path),
        webhook_key_file: table.read("webhook_key_file", values::path),
        names_webhook_key_file: !table.given(&["webhook_key_file"]).is_empty(),
        state_dir: table.read("state_dir", values::folder),
        security_group: security_group::security_group(table),
        security_group_drop: table.read("security_group_drop", acl_values::security_group_drop),
    }
}

fn admin(table: &Table<'_>) -> RawAdmin {
    RawAdmin {
        listen: table.read("listen", values::admin_address),
        token_file: table.read("token_file", values::path),
        names_token_file: !table.given(&["token_file"]).is_empty(),
        certificate_file: table.read("certificate_file", values::path),
        key_file: table.read("key_file", values::path),
        tls_keys: table.given(keys::ADMIN_TLS),
    }
}

fn access_log(table: &Table<'_>) -> RawAccessLog {
    RawAccessLog {
        path: table.require(
            "path",
            values::path,
            "add path = \"/var/log/weir/access.log\", or \"stdout\" or \"syslog\"",
        ),
        format: table.read("format", values::log_format),
        rotate_bytes: table.read("rotate_size", values::size(&limits::LOG_ROTATE_BYTES)),
        rotate_keep: table.read("rotate_keep", values::number(&limits::LOG_ROTATE_KEEP)),
    }
}

fn flash_policy(table: &Table<'_>) -> RawFlashPolicy {
    RawFlashPolicy {
        line: table.line,
        enabled: table.read("enabled", values::boolean),
        address: table.read("address", values::bind_address),
        document: table.read("document", values::policy),
    }
}
