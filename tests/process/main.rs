//! Whole-process tests: the binary under real signals, sockets and targets. A name begins with the requirement that the test
//! proves; docs/requirements.md has the table.
#![forbid(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod access_log;
mod admin;
mod admin_tls;
mod api;
mod changes;
mod checks;
mod cli;
mod commands;
mod dashboards;
mod drain;
mod explain;
mod flash;
mod growth;
mod health;
mod http_checks;
mod http_corpus;
mod http_drain;
mod http_exchange;
mod http_failures;
mod http_headers;
mod http_log;
mod http_overload;
mod http_peers;
mod http_rules;
mod http_sessions;
mod http_targets;
mod http_timeouts;
mod http_upgrade;
mod inventory;
mod limits;
mod listeners;
mod openapi;
mod outages;
mod page;
mod random_calls;
mod relay;
mod reload;
mod requirements;
mod security;
mod snat;
mod state;
mod webhook;
mod weights;
mod zones;
