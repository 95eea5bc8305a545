//! From a client's connection to a connected target: pick, connect, and where that fails pick another (requirement B6).
//!
//! Nothing of the client has been read yet, so every attempt is safe to repeat.
//! Before: shard/accept.rs. Next: l4/tcp.rs.

use std::io;
use std::pin::pin;
use std::rc::Rc;

use super::close::CloseReason;
use super::group::{Group, Pick, TargetState};
use super::microseconds;
use super::run::Shard;
use super::table::Connection;
use crate::health::Failure;
use crate::ring::{Ring, Stream, TcpStream, options};

/// A connection to a target of the listener's group.
///
/// # Errors
/// Why there is none.
pub(super) async fn to_target(shard: &Shard, connection: &Connection, group: &Group) -> Result<TcpStream, CloseReason> {
    let attempts = group.retries() + 1;
    let started = shard.ring.now();
    let mut tried: Vec<Rc<TargetState>> = Vec::new();
    let mut reason = CloseReason::NoTarget;
    connection.queue_us.set(Some(microseconds(started - connection.accepted_at)));
    while tried.len() < attempts {
        let target = match group.pick(&tried, connection.client.ip()) {
            Pick::Target(target) => target,
            Pick::Own if tried.is_empty() => return Err(CloseReason::Loopback),
            Pick::Own | Pick::None => break,
        };
        match attempt(shard, group, &target).await {
            Ok(stream) => {
                let after_us = microseconds(shard.ring.now() - started);
                connection.connect_us.set(Some(after_us));
                connection.listener.connected(after_us);
                connection.target.replace(Some(target));
                return Ok(stream);
            }
            Err(Missed::Unbound) => {}
            Err(Missed::Failed(failure)) => {
                target.connect_failed(failure);
                connection.missed(target.address);
                reason = if failure.is_ours() { CloseReason::Host } else { CloseReason::ConnectFailed };
                // Source ports run out towards one target; what else this host lacks, it lacks towards all.
                if failure.is_ours() && failure != Failure::NoSourcePort {
                    break;
                }
                tried.push(target);
            }
        }
    }
    Err(reason)
}

/// An attempt that gave no connection.
pub(super) enum Missed {
    Failed(Failure),
    /// The target was unbound meanwhile, and is no longer among those to pick from: not the target's fault, and no attempt.
    Unbound,
}

/// One attempt. The target counts the connection from here on: others that connect meanwhile must see it.
pub(super) async fn attempt(shard: &Shard, group: &Group, target: &Rc<TargetState>) -> Result<TcpStream, Missed> {
    shard.make_room();
    let claim = target.claim();
    let opened = open(&shard.ring, group, target).await;
    if target.is_unbound() {
        opened.iter().for_each(Stream::abort);
        return Err(Missed::Unbound);
    }
    let stream = opened.map_err(Missed::Failed)?;
    claim.keep();
    Ok(stream)
}

async fn open(ring: &Ring, group: &Group, target: &TargetState) -> Result<TcpStream, Failure> {
    let failed = |error: io::Error| Failure::from_io(&error);
    let address = target.address;
    let socket = options::target_socket(address, None).map_err(failed)?;
    let connect_timeout = group.connect_timeout();
    match ring.timeout(connect_timeout, pin!(TcpStream::connect(ring, socket, address))).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => Err(Failure::Timeout),
    }
}
