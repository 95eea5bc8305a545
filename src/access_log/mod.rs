//! The access log: a line for each request of an L7 listener and each connection of an L4 listener (requirement M3).
//!
//!     shard --record--> Sink: batch of records --try_send--> queue --> Writer's thread: format --> file | stdout | syslog
//!                         ^------------- emptied batches ------------------'
//!
//! A shard copies what it has (entry.rs) and formats nothing (sink.rs, record.rs); one thread decodes, formats (json.rs,
//! alb.rs) and writes (writer.rs, output.rs). Whatever happens to that thread, a shard goes on: what finds no room is counted.
//! docs/access-log.md is what operators read.
#![forbid(unsafe_code)]

mod alb;
mod entry;
mod json;
mod output;
mod record;
mod sink;
mod syslog;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub use entry::{Action, Entry, Kind, Line, MISSED_MAX, Request, Rule, What, limits};
pub use output::OpenError;
pub use sink::{Recording, Sink, SinkCounts};
pub use writer::{ApplyError, FLUSH_INTERVAL, WriteCounts, Writer, unix_us};
