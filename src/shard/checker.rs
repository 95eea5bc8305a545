//! Health checks of one target by one shard: connect, judge, wait for the next turn (requirements H1 to H4, H7).
//!
//! The first check comes at once, so that a fresh target is known soon; the others keep to the target's phase, which spreads
//! the checks of all shards and targets over the interval. A successful check is ended by a reset, as CLB does: no port of
//! ours waits for its end.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use super::group::{Group, TargetState};
use super::run::Shard;
use crate::config::HealthCheck;
use crate::health::{self, Failure};
use crate::ring::{Ring, Stream, TcpStream, options};

/// A reload that changes the plan is seen after so long, however long the interval.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Checks `target` until it is unbound or its group is no longer checked.
pub(super) async fn run(shard: Rc<Shard>, group: Rc<Group>, target: Rc<TargetState>) {
    let seed = foldhash::fast::FixedState::default().hash_one((&group.config().name, target.address));
    let mut due = shard.ring.now();
    let mut first = true;
    while let Some(plan) = current_plan(&shard, &group, &target) {
        check(&shard, &group, &target, &plan).await;
        let last = due;
        while let Some(plan) = current_plan(&shard, &group, &target) {
            let wait = if first { health::phase(seed, shard.id, shard.shards, plan.interval) } else { plan.interval };
            due = last + wait;
            let left = due.duration_since(shard.ring.now());
            if left.is_zero() {
                break;
            }
            shard.ring.sleep(left.min(LOOK_AGAIN)).await;
        }
        // Counted from when it was due, or the phases would drift by what each wake-up is late; from now where that is long past.
        if shard.ring.now() > due + LOOK_AGAIN {
            due = shard.ring.now();
        }
        first = false;
    }
    target.checking.set(false);
}

/// What a reload may have changed since the last check.
fn current_plan(shard: &Shard, group: &Group, target: &TargetState) -> Option<HealthCheck> {
    if target.is_unbound() || shard.is_draining() || !group.is_in_use() {
        return None;
    }
    group.config().health_check.clone()
}

async fn check(shard: &Shard, group: &Group, target: &TargetState, plan: &HealthCheck) {
    let started = quanta::Instant::now();
    let source = plan.source.or_else(|| shard.address_of_group(group, target.address.ip()));
    let answer = shard.ring.timeout(plan.timeout, pin!(connect(&shard.ring, target, plan, source))).await;
    let outcome = answer.unwrap_or(Err(Failure::Timeout)).map(|()| started.elapsed());
    if target.is_unbound() {
        return;
    }
    if let Some(change) = group.observe(target, outcome, plan) {
        shard.report_transition(group, target, change, outcome.err());
    }
}

async fn connect(ring: &Ring, target: &TargetState, plan: &HealthCheck, source: Option<IpAddr>) -> Result<(), Failure> {
    let mut address = target.address;
    address.set_port(plan.port.unwrap_or(address.port()));
    let socket = options::target_socket(address, source).map_err(|error| Failure::from_io(&error))?;
    let stream = TcpStream::connect(ring, socket, address).await.map_err(|error| Failure::from_io(&error))?;
    stream.abort();
    Ok(())
}
