//! The keys of the config, table by table. The reader refuses every other key; `docs/config.md` has an entry for each.

/// One table of the config.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// As headed in `docs/config.md`.
    pub title: &'static str,
    /// The keys it takes.
    pub keys: &'static [&'static str],
}

/// Every table there is.
pub const SECTIONS: [Section; 9] =
    [FILE, BALANCER, SHARDS, ADMIN, LISTENER, DEFAULT_ACTION, TARGET_GROUP, HEALTH_CHECK, TARGET];

/// The top of the file.
pub const FILE: Section =
    Section { title: "The file", keys: &["balancer", "shards", "admin", "listener", "target_group"] };

/// `[balancer]`.
pub const BALANCER: Section = Section {
    title: "`[balancer]`",
    keys: &["name", "region", "network", "zone", "scheme", "allow_public_targets", "port_policy"],
};

/// `[shards]`.
pub const SHARDS: Section = Section { title: "`[shards]`", keys: &["cores"] };

/// `[admin]`.
pub const ADMIN: Section = Section { title: "`[admin]`", keys: &["listen", "token_file"] };

/// `[[listener]]`.
pub const LISTENER: Section = Section {
    title: "`[[listener]]`",
    keys: &["name", "protocol", "address", "scheme", "idle_timeout", "default_action"],
};

/// `default_action` of a listener.
pub const DEFAULT_ACTION: Section = Section { title: "`default_action`", keys: &["forward"] };

/// `[[target_group]]`.
pub const TARGET_GROUP: Section = Section {
    title: "`[[target_group]]`",
    keys: &["name", "protocol", "algorithm", "health_check", "fail_open", "connect_timeout", "retries", "target"],
};

/// `health_check` of a target group.
pub const HEALTH_CHECK: Section = Section {
    title: "`health_check`",
    keys: &["protocol", "port", "interval", "timeout", "healthy", "unhealthy", "source"],
};

/// `[[target_group.target]]`.
pub const TARGET: Section = Section {
    title: "`[[target_group.target]]`",
    keys: &["type", "instance_id", "eni_id", "address", "port", "weight"],
};

/// Keys of the format whose features this version lacks. They are refused like any unknown key, but by their own message:
/// whoever writes one has not mistyped it.
pub(super) const LATER: &[&str] = &[
    "access_log",
    "certificates",
    "client_ip",
    "cross_network",
    "cross_region",
    "cross_zone",
    "deregistration_delay",
    "handshake_timeout",
    "header_timeout",
    "body_timeout",
    "http_version",
    "managed",
    "matcher",
    "method",
    "path",
    "response_timeout",
    "rule",
    "secret_file",
    "security_group",
    "send_timeout",
    "slow_start",
    "snat_addresses",
    "state_dir",
    "stickiness",
];
