//! A turn of the load of the case, as it is.

use std::time::Duration;

use crate::ending::Result;
use crate::load::{Generator, Load};
use crate::measured::{Measured, Unit};
use crate::peers::Peer;
use crate::proc::{Moment, rss_bytes};

/// CPU from before the first connection until after the last: what setting up costs is spread over the units.
pub fn turn(peer: &Peer, generator: &Generator, load: &Load, unit: Unit, length: Duration) -> Result<Measured> {
    let rss_start_bytes = rss_bytes(peer.pid())?;
    let before = Moment::now(peer.pid())?;
    let outcome = generator.drive(peer.port, load, length)?;
    let used = before.until(&Moment::now(peer.pid())?);
    Ok(Measured {
        connections: load.connections,
        units: unit.count(outcome.requests, load.ask.body_bytes()),
        rss_start_bytes,
        rss_bytes: rss_bytes(peer.pid())?,
        load: Some(outcome),
        ..Measured::of(used)
    })
}
