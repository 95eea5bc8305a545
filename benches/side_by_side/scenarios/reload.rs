//! A turn of load while the peer reloads again and again. A reload that did not take effect is an error: a peer that ignores
//! them would look best.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::steady;
use crate::ending::Result;
use crate::load::{Generator, Load};
use crate::measured::{Measured, Unit};
use crate::peers::Peer;

pub fn turn(peer: &Peer, generator: &Generator, load: &Load, unit: Unit, length: Duration) -> Result<Measured> {
    let over = AtomicBool::new(false);
    let (measured, reloads) = thread::scope(|scope| {
        let reloader = scope.spawn(|| reload_until(peer, &over).map_err(|error| error.to_string()));
        let measured = steady::turn(peer, generator, load, unit, length);
        over.store(true, Ordering::Relaxed);
        (measured, reloader.join())
    });
    let reloads = reloads.map_err(|_| "the thread that reloads panicked")??;
    Ok(Measured { reloads, ..measured? })
}

/// How many reloads took effect. Each has the whole interval for it, the last one too.
fn reload_until(peer: &Peer, over: &AtomicBool) -> Result<u32> {
    let mut reloads = 0;
    let mut due = Instant::now();
    while !over.load(Ordering::Relaxed) {
        let generation = peer.generation()?;
        peer.reload()?;
        reloads += 1;
        due += INTERVAL;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if peer.generation()? == generation {
            return Err(format!("reload {reloads} took no effect within {INTERVAL:?}").into());
        }
    }
    Ok(reloads)
}

const INTERVAL: Duration = Duration::from_millis(500);
