//! A shard: one core and all it owns. Nothing here is shared with another shard.
//!
//!     control --mailbox--> run --> accept --> connect --> l4::tcp --> close
//!                           |        `---- connection table ----------'
//!                           `--> health checkers, reports
#![forbid(unsafe_code)]

mod accept;
mod checker;
mod close;
mod connect;
mod group;
mod mailbox;
mod report;
mod run;
mod table;

pub use accept::RefuseReason;
pub use close::CloseReason;
pub use mailbox::{Apply, Mailbox, Order};
pub use report::{
    CheckCounts, GroupReport, ListenerCounts, ListenerReport, ShardReport, TargetCounts, TargetReport, histogram_us,
};
pub use run::{Setup, Start, start};
