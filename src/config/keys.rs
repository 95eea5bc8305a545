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
pub const SECTIONS: [Section; 28] = [
    FILE,
    BALANCER,
    SECURITY_GROUP,
    SHARDS,
    ADMIN,
    ACCESS_LOG,
    FLASH_POLICY,
    LISTENER,
    ERROR_PAGE,
    RULE,
    PATH,
    HEADER,
    QUERY,
    ACTION,
    FORWARD,
    REWRITE,
    REPLACE,
    REDIRECT,
    FIXED_RESPONSE,
    TARGET_GROUP,
    STICKINESS,
    KEEP_ALIVE,
    HEALTH_CHECK,
    TARGET,
    INSTANCE,
    ENI,
    SCALING_GROUP,
    ASSOCIATION,
];

/// The top of the file.
pub const FILE: Section = Section {
    title: "The file",
    keys: &[
        "balancer",
        "shards",
        "admin",
        "access_log",
        "flash_policy",
        "listener",
        "target_group",
        "instance",
        "eni",
        "scaling_group",
    ],
};

/// `[balancer]`.
pub const BALANCER: Section = Section {
    title: "`[balancer]`",
    keys: &[
        "name",
        "region",
        "network",
        "zone",
        "scheme",
        "allow_public_targets",
        "cross_network",
        "cross_region",
        "snat_addresses",
        "port_policy",
        "secret_file",
        "webhook_key_file",
        "state_dir",
        "security_group",
        "security_group_drop",
    ],
};

/// A rule in `security_group` of `[balancer]` or of a listener.
pub const SECURITY_GROUP: Section =
    Section { title: "`security_group`", keys: &["action", "source", "protocol", "port"] };

/// `[shards]`.
pub const SHARDS: Section = Section { title: "`[shards]`", keys: &["cores"] };

/// `[admin]`.
pub const ADMIN: Section =
    Section { title: "`[admin]`", keys: &["listen", "token_file", "certificate_file", "key_file"] };

/// Those of `ADMIN` that are about TLS.
pub(super) const ADMIN_TLS: &[&str] = &["certificate_file", "key_file"];

/// `[access_log]`.
pub const ACCESS_LOG: Section =
    Section { title: "`[access_log]`", keys: &["path", "format", "rotate_size", "rotate_keep"] };

/// `[flash_policy]`.
pub const FLASH_POLICY: Section = Section { title: "`[flash_policy]`", keys: &["enabled", "address", "document"] };

/// `[[listener]]`.
pub const LISTENER: Section = Section {
    title: "`[[listener]]`",
    keys: &[
        "name",
        "protocol",
        "address",
        "scheme",
        "security_group",
        "idle_timeout",
        "header_timeout",
        "body_timeout",
        "send_timeout",
        "request_body_max",
        "hygiene",
        "x_forwarded_for",
        "trace_id",
        "server_header",
        "error_page",
        "rule",
        "default_action",
    ],
};

/// Those of `LISTENER` that a tcp listener does not have.
pub(super) const LISTENER_HTTP_ONLY: &[&str] = &[
    "header_timeout",
    "body_timeout",
    "send_timeout",
    "request_body_max",
    "hygiene",
    "x_forwarded_for",
    "trace_id",
    "server_header",
    "error_page",
    "rule",
];

/// `[[listener.error_page]]`.
pub const ERROR_PAGE: Section =
    Section { title: "`[[listener.error_page]]`", keys: &["status", "file", "content_type"] };

/// `[[listener.rule]]`.
pub const RULE: Section = Section {
    title: "`[[listener.rule]]`",
    keys: &["priority", "host", "path", "method", "header", "query", "source_ip", "action"],
};

/// A table in `path` of a rule.
pub const PATH: Section = Section { title: "`path`", keys: &["prefix", "regex"] };

/// `[[listener.rule.header]]`.
pub const HEADER: Section = Section { title: "`[[listener.rule.header]]`", keys: &["name", "values"] };

/// `[[listener.rule.query]]`.
pub const QUERY: Section = Section { title: "`[[listener.rule.query]]`", keys: &["key", "value"] };

/// `action` of a rule and `default_action` of a listener.
pub const ACTION: Section = Section {
    title: "`action` and `default_action`",
    keys: &["forward", "group_stickiness", "rewrite", "redirect", "fixed_response"],
};

/// Those of `ACTION` that say what to do: one of them is there.
pub(super) const ACTION_VERBS: &[&str] = &["forward", "redirect", "fixed_response"];

/// Those of `ACTION` that go with a forward, and which a tcp listener does not have.
pub(super) const ACTION_OF_FORWARD: &[&str] = &["group_stickiness", "rewrite"];

/// A table in `forward` of an action.
pub const FORWARD: Section = Section { title: "`forward`", keys: &["group", "weight"] };

/// `rewrite` of an action.
pub const REWRITE: Section = Section { title: "`rewrite`", keys: &["host", "path"] };

/// `host` and `path` of `rewrite`.
pub const REPLACE: Section = Section { title: "`rewrite.host` and `rewrite.path`", keys: &["regex", "with"] };

/// `redirect` of an action.
pub const REDIRECT: Section =
    Section { title: "`redirect`", keys: &["status", "protocol", "host", "port", "path", "query"] };

/// `fixed_response` of an action.
pub const FIXED_RESPONSE: Section = Section { title: "`fixed_response`", keys: &["status", "content_type", "body"] };

/// `[[target_group]]`.
pub const TARGET_GROUP: Section = Section {
    title: "`[[target_group]]`",
    keys: &[
        "name",
        "protocol",
        "http_version",
        "algorithm",
        "stickiness",
        "health_check",
        "fail_open",
        "cross_zone",
        "connect_timeout",
        "response_timeout",
        "retries",
        "deregistration_delay",
        "location_repair",
        "keep_alive",
        "managed",
        "target",
    ],
};

/// Those of `TARGET_GROUP` that a tcp group does not have.
pub(super) const TARGET_GROUP_HTTP_ONLY: &[&str] =
    &["http_version", "stickiness", "response_timeout", "deregistration_delay", "location_repair", "keep_alive"];

/// `stickiness` of a target group.
pub const STICKINESS: Section =
    Section { title: "`stickiness`", keys: &["type", "duration", "cookie", "app_cookie", "secure", "same_site"] };

/// `keep_alive` of a target group.
pub const KEEP_ALIVE: Section = Section { title: "`keep_alive`", keys: &["idle_max", "idle_timeout", "lifetime"] };

/// `health_check` of a target group.
pub const HEALTH_CHECK: Section = Section {
    title: "`health_check`",
    keys: &[
        "protocol",
        "port",
        "path",
        "host",
        "method",
        "version",
        "matcher",
        "interval",
        "timeout",
        "healthy",
        "unhealthy",
        "source",
    ],
};

/// Those of `HEALTH_CHECK` that a tcp check does not have.
pub(super) const HEALTH_CHECK_HTTP_ONLY: &[&str] = &["path", "host", "method", "version", "matcher"];

/// `[[target_group.target]]`.
pub const TARGET: Section = Section {
    title: "`[[target_group.target]]`",
    keys: &["type", "instance_id", "eni_id", "zone", "address", "port", "weight"],
};

/// `[[instance]]`.
pub const INSTANCE: Section = Section {
    title: "`[[instance]]`",
    keys: &["id", "region", "network", "zone", "address", "state", "expires", "bandwidth"],
};

/// `[[eni]]`.
pub const ENI: Section = Section { title: "`[[eni]]`", keys: &["id", "instance_id", "addresses"] };

/// `[[scaling_group]]`.
pub const SCALING_GROUP: Section =
    Section { title: "`[[scaling_group]]`", keys: &["name", "instances", "target_groups", "health_type", "webhook"] };

/// `[[scaling_group.target_groups]]`.
pub const ASSOCIATION: Section =
    Section { title: "`[[scaling_group.target_groups]]`", keys: &["group", "port", "weight"] };

/// Keys of the format whose features this version lacks. They are refused like any unknown key, but by their own message:
/// whoever writes one has not mistyped it.
pub(super) const LATER: &[&str] = &["certificates", "client_ip", "handshake_timeout", "slow_start"];
