//! Why the process does not start. Prints one mistake a line.

use std::fmt::Display;
use std::io;

use super::bind::BindError;
use super::change::KeptError;
use crate::access_log::ApplyError;
use crate::config;
use crate::ring::check::Finding;

/// Why `run` gave up before it served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config is wrong.
    #[error("{0}")]
    Config(#[from] config::Errors),
    /// The kernel or a limit keeps the shards from running.
    #[error("{}", lines(.0))]
    Host(Vec<Finding>),
    /// `[shards] cores` names a core that cannot be had.
    #[error("{0}")]
    Cores(String),
    /// The admin endpoint has no socket or no token.
    #[error("{0}")]
    Admin(String),
    /// A shard did not come up.
    #[error("{0}")]
    Shard(String),
    /// Listeners' addresses cannot be bound.
    #[error("{}", lines(.0))]
    Bind(Vec<BindError>),
    /// The access log cannot be opened.
    #[error("{0}")]
    AccessLog(ApplyError),
    /// What the API changed cannot be read.
    #[error("{0}")]
    Store(#[from] KeptError),
    /// The control thread's own machinery.
    #[error("control thread: {0}; look at the descriptor limit and the kernel's log")]
    Control(#[from] io::Error),
}

fn lines(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
