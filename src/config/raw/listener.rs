//! `[[listener]]` as typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::rule::{self, RawAction, RawRule};
use super::security_group;
use super::table::Table;
use super::{At, Given};
use crate::acl::SecurityGroup;
use crate::config::snapshot::{Forwarded, Hygiene, Protocol, Scheme};
use crate::config::values::http as http_values;
use crate::config::{keys, limits, values};

/// `[[listener]]`.
pub(in crate::config) struct RawListener {
    /// What errors call it.
    pub place: String,
    pub name: Option<At<Arc<str>>>,
    pub protocol: Option<At<Protocol>>,
    pub address: Option<At<SocketAddr>>,
    pub scheme: Option<At<Scheme>>,
    pub security_group: SecurityGroup,
    pub idle_timeout: Option<At<Duration>>,
    pub http: RawHttp,
    pub rules: Vec<RawRule>,
    pub default_action: Option<RawAction>,
}

/// What an http listener has besides.
pub(in crate::config) struct RawHttp {
    /// Keys that only an http listener may have.
    pub given: Vec<Given>,
    pub header_timeout: Option<At<Duration>>,
    pub body_timeout: Option<At<Duration>>,
    pub send_timeout: Option<At<Duration>>,
    pub body_bytes_max: Option<At<u64>>,
    pub hygiene: Option<At<Hygiene>>,
    pub forwarded: Option<At<Forwarded>>,
    pub trace_id: Option<At<bool>>,
    pub server_header: Option<At<Arc<str>>>,
    pub error_pages: Vec<RawErrorPage>,
}

/// `[[listener.error_page]]`.
pub(in crate::config) struct RawErrorPage {
    /// What errors call it.
    pub place: String,
    pub status: Option<At<u16>>,
    pub file: Option<At<PathBuf>>,
    pub content_type: Option<At<Arc<str>>>,
}

pub(super) fn listener(table: &Table<'_>) -> RawListener {
    let rules = table.list("rule", "rule", &keys::RULE);
    RawListener {
        place: table.thing(),
        name: table.require("name", values::name, "add name = \"web\""),
        protocol: table.require("protocol", values::protocol, "add protocol = \"tcp\" or protocol = \"http\""),
        address: table.require("address", values::bind_address, "add address = \"0.0.0.0:80\""),
        scheme: table.read("scheme", values::scheme),
        security_group: security_group::security_group(table),
        idle_timeout: table.read("idle_timeout", values::duration(&limits::IDLE_TIMEOUT)),
        http: http(table),
        rules: rules.iter().map(rule::rule).collect(),
        default_action: rule::action(table, "default_action"),
    }
}

fn http(table: &Table<'_>) -> RawHttp {
    RawHttp {
        given: table.given(keys::LISTENER_HTTP_ONLY),
        header_timeout: table.read("header_timeout", values::duration(&limits::HEADER_TIMEOUT)),
        body_timeout: table.read("body_timeout", values::duration(&limits::BODY_TIMEOUT)),
        send_timeout: table.read("send_timeout", values::duration(&limits::SEND_TIMEOUT)),
        body_bytes_max: table.read("request_body_max", values::size(&limits::REQUEST_BODY_BYTES)),
        hygiene: table.read("hygiene", http_values::hygiene),
        forwarded: table.read("x_forwarded_for", http_values::forwarded),
        trace_id: table.read("trace_id", values::boolean),
        server_header: table.read("server_header", http_values::field_value),
        error_pages: table.list("error_page", "error page", &keys::ERROR_PAGE).iter().map(error_page).collect(),
    }
}

fn error_page(table: &Table<'_>) -> RawErrorPage {
    RawErrorPage {
        place: table.thing(),
        status: table.require("status", values::one_of(&limits::OWN_STATUSES), "add status = 503"),
        file: table.require("file", values::path, "add file = \"503.html\""),
        content_type: table.read("content_type", http_values::content_type),
    }
}
