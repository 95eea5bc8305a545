//! The end of a connection: why, what is counted, and how the two sockets go.
//!
//! A connection that both sides finished is closed in order. Any other end is a reset, so that neither side takes a
//! truncated stream for a complete one.
//! Before: l4/tcp.rs. Next: nothing; the sockets' slots wait for their last completions in ring.

use std::io;
use std::rc::Rc;
use std::time::SystemTime;

use super::group::{Group, TargetState};
use super::microseconds;
use super::run::Shard;
use super::table::Connection;
use crate::access_log::{Entry, What, unix_us};
use crate::l4::{Fault, Side};

/// Why a connection ended. Labels of `weir_connections_closed_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides finished.
    Completed,
    /// The client reset it, or its network did.
    ClientFailed,
    /// The target reset it, or its network did.
    TargetFailed,
    /// Nothing passed for the listener's idle timeout.
    IdleTimeout,
    /// No target may take a connection: weight 0, or unhealthy without fail open.
    NoTarget,
    /// The only targets left have the client's own address (requirement B4).
    Loopback,
    /// Every target that was tried refused or did not answer.
    ConnectFailed,
    /// The target was unbound (requirement W3).
    TargetUnbound,
    /// The drain deadline was over.
    Drained,
    /// This host ran out of something: descriptors, ports.
    Host,
    /// The Flash policy responder was asked for something else (requirement L6).
    UnknownRequest,
}

impl CloseReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [CloseReason; 11] = [
        CloseReason::Completed,
        CloseReason::ClientFailed,
        CloseReason::TargetFailed,
        CloseReason::IdleTimeout,
        CloseReason::NoTarget,
        CloseReason::Loopback,
        CloseReason::ConnectFailed,
        CloseReason::TargetUnbound,
        CloseReason::Drained,
        CloseReason::Host,
        CloseReason::UnknownRequest,
    ];

    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::Completed => "completed",
            CloseReason::ClientFailed => "client_failed",
            CloseReason::TargetFailed => "target_failed",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::NoTarget => "no_target",
            CloseReason::Loopback => "loopback",
            CloseReason::ConnectFailed => "connect_failed",
            CloseReason::TargetUnbound => "target_unbound",
            CloseReason::Drained => "drained",
            CloseReason::Host => "host",
            CloseReason::UnknownRequest => "unknown_request",
        }
    }
}

impl From<Result<(), Fault>> for CloseReason {
    fn from(end: Result<(), Fault>) -> Self {
        match end {
            Ok(()) => CloseReason::Completed,
            Err(Fault { error, .. }) if is_ours(&error) => CloseReason::Host,
            Err(Fault { side: Side::Client, .. }) => CloseReason::ClientFailed,
            Err(Fault { side: Side::Target, .. }) => CloseReason::TargetFailed,
        }
    }
}

/// The kernel had no memory for us; nobody on the other side did anything.
fn is_ours(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS | libc::EBADF))
}

/// Takes the connection out of the table and counts its end.
pub(super) fn finish(shard: &Shard, id: usize, connection: &Rc<Connection>, reason: CloseReason) {
    shard.table.remove(id);
    let lasted = microseconds(shard.ring.now() - connection.accepted_at);
    let target = connection.target.take();
    tracing::debug!(
        shard = shard.id,
        listener = &*connection.listener.config.borrow().name,
        client = %connection.client,
        target = target.as_ref().map(|target| &*target.label),
        reason = reason.as_str(),
        lasted_us = lasted,
        "connection closed"
    );
    let serving = Rc::clone(&connection.listener.serving.borrow());
    // Of http each request has its line.
    if let Some(group) = &serving.relay
        && shard.access_log.borrow().is_recording()
    {
        log(shard, connection, group, target.as_deref(), reason, lasted);
    }
    if let Some(target) = target {
        target.released();
    }
    connection.listener.closed(reason, lasted);
}

fn log(
    shard: &Shard,
    connection: &Connection,
    group: &Group,
    target: Option<&TargetState>,
    reason: CloseReason,
    lasted_us: u64,
) {
    let (snapshot, listener) = (shard.snapshot(), connection.listener.config.borrow());
    let target_group = group.config();
    shard.access_log.borrow_mut().record(&Entry {
        ended_at_us: unix_us(SystemTime::now()),
        lasted_us,
        balancer: &snapshot.balancer.name,
        listener: &listener.name,
        client: connection.client,
        connection: connection.number,
        target_group: &target_group.name,
        missed: &connection.missed.take(),
        target: target.map(|target| target.address),
        received_bytes: connection.client_bytes.get(),
        sent_bytes: connection.target_bytes.get(),
        queue_us: connection.queue_us.get(),
        connect_us: connection.connect_us.get(),
        first_byte_us: connection.first_byte_us.get(),
        reason: if reason == CloseReason::Completed { "" } else { reason.as_str() },
        what: What::Connection,
    });
}
