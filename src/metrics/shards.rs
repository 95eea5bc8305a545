//! Families of shards and their rings: each shard for itself.

use std::sync::Arc;

use super::names::{self, Metric};
use super::scrape::Heartbeat;
use super::text::{Number, Text};
use crate::shard::ShardReport;

type Value = fn(&ShardReport) -> Number;

/// The shard's own figures.
const SHARD: &[(&Metric, Value)] = &[
    (&names::SHARD_REVISION, |report| report.revision.into()),
    (&names::SHARD_DRAINING, |report| report.draining.into()),
    (&names::SHARD_ACCEPTED, |report| accepted(report).into()),
    (&names::SHARD_CONNECTIONS, |report| report.connections.into()),
    (&names::SHARD_CONNECTIONS_MAX, |report| report.connections_max.into()),
];

/// Its ring's.
const RING: &[(&Metric, Value)] = &[
    (&names::RING_SOCKETS, |report| report.ring.sockets.into()),
    (&names::RING_LISTENERS, |report| report.ring.listeners.into()),
    (&names::RING_IN_FLIGHT, |report| report.ring.in_flight.into()),
    (&names::RING_TIMERS, |report| report.ring.timers.into()),
    (&names::RING_BUFFERS, |report| report.ring.buffers.total.into()),
    (&names::RING_BUFFERS_PROVIDED, |report| report.ring.buffers.provided.into()),
    (&names::RING_BUFFERS_LEASED, |report| report.ring.buffers.leased.into()),
    (&names::RING_BUFFERS_RAN_OUT, |report| report.ring.buffers.ran_out.into()),
    (&names::RING_TURNS, |report| report.ring.turns.into()),
    (&names::RING_SUBMITTED, |report| report.ring.submitted.into()),
    (&names::RING_COMPLETED, |report| report.ring.completed.into()),
    (&names::RING_STRAYS, |report| report.ring.strays.into()),
    (&names::RING_HOUSEKEEPING_FAILURES, |report| report.ring.housekeeping_failures.into()),
];

pub(super) fn write(text: &mut Text, heartbeats: &[Heartbeat], reports: &[Arc<ShardReport>]) {
    text.family(&names::SHARD_STUCK, |family| {
        for beat in heartbeats {
            family.sample(&[&beat.shard.to_string()], beat.stuck);
        }
    });
    text.family(&names::SHARD_ANSWER_AGE, |family| {
        for beat in heartbeats {
            family.sample(&[&beat.shard.to_string()], beat.age.as_secs_f64());
        }
    });
    for (metric, value) in SHARD.iter().chain(RING) {
        text.family(metric, |family| {
            for report in reports {
                family.sample(&[&report.shard.to_string()], value(report));
            }
        });
    }
}

fn accepted(report: &ShardReport) -> u64 {
    report.listeners.iter().map(|listener| listener.counts.accepted).sum()
}
