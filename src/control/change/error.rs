//! Why a change is not made, not kept, or not in effect everywhere.

use crate::access_log::ApplyError;
use crate::config::{Errors, Refused};
use crate::control::bind::BindError;
use crate::control::host;
use crate::control::store::StoreError;

/// Why a request or a reload changes nothing, unless it says that it does.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum ChangeError {
    #[error("{0}")]
    Refused(Refused),
    #[error("the balancer is at revision {now}, and the request is for {expected}")]
    OtherRevision { now: u64, expected: u64 },
    #[error("another request came with this Idempotency-Key (revision {0})")]
    KeyTaken(u64),
    #[error("there is no revision {0} in state_dir")]
    NoRevision(u64),
    #[error("[balancer] state_dir is not set: what the API changes would not survive a restart")]
    NothingKeeps,
    #[error("weir is starting or stopping")]
    NotServing,
    /// Everything that is wrong with the file.
    #[error("{0}")]
    Config(Errors),
    /// Reading did not come to an end: a bug.
    #[error("what is desired was not read to its end: {0}")]
    NotRead(String),
    /// The disk, or the network that it is reached by, does not answer.
    #[error("the config file, or one that it names, was not read within {seconds} s: {LOOK}")]
    ReadTooLong { seconds: u64 },
    /// As before.
    #[error("the reload before still reads the config file, or one that it names: {LOOK}")]
    StillRead,
    /// A revision that was asked for is there, and no good.
    #[error("{0}")]
    Unreadable(KeptError),
    #[error("{0}")]
    NotApplied(NotApplied),
}

const LOOK: &str = "look at the disk, or the network, that it is on; nothing changed";

/// Why a snapshot is not in effect everywhere.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum NotApplied {
    /// Addresses cannot be bound: nothing changed.
    #[error("{}", lines(.0))]
    Bind(Vec<BindError>),
    /// The access log cannot be opened: nothing changed.
    #[error("{0}")]
    AccessLog(ApplyError),
    /// It cannot be kept: nothing changed.
    #[error("{0}")]
    Store(KeptError),
    /// These shards have not answered: they take it when they come round.
    #[error("revision {revision} is kept, and shards {} have not taken it yet: no answer", host::ranges(.shards))]
    Unconfirmed {
        /// The revision.
        revision: u64,
        /// Who is missing.
        shards: Vec<usize>,
    },
}

fn lines(errors: &[BindError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Why what the API changed cannot be had, or cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The store says why.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A whole file of another program, or of a later version.
    #[error(
        "state_dir: revision {revision} is whole, and not what this version of weir keeps: {error}; run the version that wrote it, or \
         set the file aside: mv revision-{revision} revision-{revision}.aside"
    )]
    Foreign {
        /// Its number.
        revision: u64,
        /// Where its text is other than expected.
        error: serde_json::Error,
    },
    /// It cannot be written as text: a bug.
    #[error("state_dir: the state cannot be written as text: {0}; nothing changed")]
    NoText(serde_json::Error),
    /// The thread that writes ended: a bug.
    #[error("state_dir: the thread that writes has ended, so nothing can be kept any more; restart weir")]
    Gone,
}
