//! From a client's connection to a connected target: pick, connect, and where that fails pick another (requirement B6).
//!
//! Nothing of the client has been read yet, so every attempt is safe to repeat.
//! Before: shard/accept.rs. Next: l4/tcp.rs.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;

use super::close::CloseReason;
use super::group::{Group, Pick, TargetState};
use super::microseconds;
use super::run::Shard;
use super::snat::Sources;
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
    let opened = open(shard, group, target).await;
    if target.is_unbound() {
        opened.iter().for_each(Stream::abort);
        return Err(Missed::Unbound);
    }
    let stream = opened.map_err(Missed::Failed)?;
    claim.keep();
    Ok(stream)
}

async fn open(shard: &Shard, group: &Group, target: &TargetState) -> Result<TcpStream, Failure> {
    let (ring, address) = (&shard.ring, target.address);
    let origin =
        if target.leaves_by_snat() { Origin::Pool(shard.snat.turn(address.ip())) } else { Origin::Address(None) };
    let connected = ring.timeout(group.connect_timeout(), pin!(leave(ring, origin, address))).await;
    connected.unwrap_or(Err(Failure::Timeout))
}

/// Where a connection leaves from.
pub(super) enum Origin {
    /// This address, or the kernel's choice.
    Address(Option<IpAddr>),
    /// The first address of the pool that has a port left towards the target (requirement G5).
    Pool(Sources),
}

/// Connects to `address`, which is a target's, or where it is checked.
pub(super) async fn leave(ring: &Ring, origin: Origin, address: SocketAddr) -> Result<TcpStream, Failure> {
    let sources = match origin {
        Origin::Address(source) => return leave_from(ring, source, address).await,
        Origin::Pool(sources) => sources,
    };
    for source in sources {
        match leave_from(ring, Some(source), address).await {
            Err(Failure::NoSourcePort) => {}
            connected => return connected,
        }
    }
    Err(Failure::NoSourcePort)
}

async fn leave_from(ring: &Ring, source: Option<IpAddr>, address: SocketAddr) -> Result<TcpStream, Failure> {
    let failed = |error: io::Error| Failure::from_io(&error);
    let socket = options::target_socket(address, source).map_err(failed)?;
    TcpStream::connect(ring, socket, address).await.map_err(failed)
}
