//! A shard: one core and all it owns. Nothing here is shared with another shard.
//!
//!     control --mailbox--> run --> accept --> connect --> l4::tcp ---> close
//!                           |        |  `---> http --> l7::http1 ------^
//!                           |        `---- connection table -----------'
//!                           `--> health checkers, reports
#![forbid(unsafe_code)]

mod accept;
mod checker;
mod clock;
mod close;
mod connect;
mod explain;
mod group;
mod http;
mod http_log;
mod listening;
mod mailbox;
mod report;
mod run;
mod security;
mod snat;
mod table;

pub use accept::RefuseReason;
pub use close::CloseReason;
pub use explain::{Admits, Answer, GroupAnswer, Next, Question, Standing, TargetAnswer};
pub use mailbox::{Apply, Mailbox, Order};
pub use report::{
    CheckCounts, GroupReport, HttpCounts, ListenerCounts, ListenerReport, SecurityGroupReport, ShardReport,
    TargetCounts, TargetReport, histogram_us,
};
pub use run::{Setup, Start, start};
pub use security::warn_not_filtered;

use std::time::Duration;

/// As histograms record it.
fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
