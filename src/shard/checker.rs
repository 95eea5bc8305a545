//! Health checks of one target by one shard: connect, judge, wait for the next turn (requirements H1 to H4, H7).
//!
//! The first check comes at once, so that a fresh target, or one whose address is another machine's now, is known soon; the
//! others keep to the target's phase, which spreads the checks of all shards and targets over the interval. A check is ended
//! by a reset, as CLB does: no port of ours waits for its end.

use std::hash::BuildHasher;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use super::connect::{self, Origin};
use super::group::{Group, TargetState};
use super::run::Shard;
use crate::config::{CheckMethod, CheckProtocol, HealthCheck, HttpCheck, HttpVersion};
use crate::health::{self, Failure};
use crate::l7::framing::ResponseHead;
use crate::ring::{Ring, Stream, TcpStream};

/// A reload that changes the plan is seen after so long, however long the interval.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What targets' logs call us. (ALB: `ELB-HealthChecker/2.0`, CLB: `clb-healthcheck`.)
const USER_AGENT: &str = "weir-healthcheck";

/// Checks `target` until it is unbound or its group is no longer checked.
pub(super) async fn run(shard: Rc<Shard>, group: Rc<Group>, target: Rc<TargetState>) {
    let seed = foldhash::fast::FixedState::default().hash_one((&group.config().name, target.address));
    let mut due = shard.ring.now();
    let mut first = true;
    while let Some(plan) = current_plan(&shard, &group, &target) {
        target.recheck.set(false);
        check(&shard, &group, &target, &plan).await;
        let last = due;
        let after_first = std::mem::replace(&mut first, false);
        while let Some(plan) = current_plan(&shard, &group, &target) {
            if target.recheck.get() {
                // As if it had just been bound.
                due = shard.ring.now();
                first = true;
                break;
            }
            let wait =
                if after_first { health::phase(seed, shard.id, shard.shards, plan.interval) } else { plan.interval };
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
    let ip = target.address.ip();
    let origin = if plan.source.is_some() {
        Origin::Address(plan.source)
    } else if target.leaves_by_snat() {
        // It hears from the pool, as it does when connections come (requirement G5).
        Origin::Pool(shard.snat.turn_of_check(ip, target.checks.get().total()))
    } else {
        Origin::Address(group.checks_leave_from(ip))
    };
    let answer = shard.ring.timeout(plan.timeout, pin!(probe(&shard.ring, target, plan, origin))).await;
    let outcome = answer.unwrap_or(Err(Failure::Timeout)).map(|()| started.elapsed());
    // One that began before the target's address became another machine's says nothing about that.
    if target.is_unbound() || target.recheck.get() {
        return;
    }
    if let Some(change) = group.observe(target, outcome, plan) {
        shard.report_transition(group, target, change, outcome.err());
    }
}

/// One check, to its end. A target that passes is left by a reset, as CLB does: no port of ours waits for its end.
async fn probe(ring: &Ring, target: &TargetState, plan: &HealthCheck, origin: Origin) -> Result<(), Failure> {
    let mut address = target.address;
    address.set_port(plan.port.unwrap_or(address.port()));
    let stream = connect::leave(ring, origin, address).await?;
    let passed = match &plan.protocol {
        CheckProtocol::Tcp => Ok(()),
        CheckProtocol::Http(check) => ask(ring, &stream, target, check).await,
    };
    stream.abort();
    passed
}

/// Asks for the path; the status decides (requirement H1). The body is not read.
async fn ask(ring: &Ring, stream: &TcpStream, target: &TargetState, check: &HttpCheck) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::from_io(&error);
    let mut buf = ring.pool().take().ok_or(Failure::Host(libc::ENOBUFS))?;
    buf.append(question(target, check).as_bytes());
    stream.send(buf).await.map_err(failed)?;
    let mut head = ResponseHead::new();
    loop {
        let mut buf = stream.recv().await.map_err(failed)?.ok_or(Failure::Reset)?;
        while !buf.is_empty() {
            let read = head.read(&buf).map_err(|_| Failure::NotHttp)?;
            buf.advance(read.taken);
            if !read.complete {
                break;
            }
            match head.status() {
                100..=199 => head.clear(),
                status if check.matcher.iter().any(|range| range.contains(&status)) => return Ok(()),
                status => return Err(Failure::Status(status)),
            }
        }
    }
}

fn question(target: &TargetState, check: &HttpCheck) -> String {
    let method = match check.method {
        CheckMethod::Head => "HEAD",
        CheckMethod::Get => "GET",
    };
    let version = match check.version {
        HttpVersion::V1_0 => "1.0",
        HttpVersion::V1_1 => "1.1",
    };
    let host = check.host.as_deref().unwrap_or(&target.label);
    let path = &check.path;
    format!(
        "{method} {path} HTTP/{version}\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
}
