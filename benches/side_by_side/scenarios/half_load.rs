//! The rate of the latency scenario: half of what the slowest can, so that the same work is easy for everybody.

use std::time::Duration;

use crate::ending::Result;
use crate::load::{Generator, Load};
use crate::peers::Peer;

/// Each peer once in a closed loop; half of the lowest rate, in whole hundreds.
pub fn rate(peers: &[Peer], generator: &Generator, load: &Load, length: Duration) -> Result<u32> {
    let mut lowest = f64::INFINITY;
    for peer in peers {
        let outcome =
            generator.drive(peer.port, load, length).map_err(|error| format!("{}: {error}", peer.kind.name()))?;
        let rate = outcome.requests as f64 / outcome.seconds;
        println!("{:8} {rate:>9.0} requests/s in a closed loop", peer.kind.name());
        lowest = lowest.min(rate);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far below 2^32, and `as` saturates")]
    let hundreds = (lowest / 200.0) as u32;
    Ok(hundreds.max(1) * 100)
}
