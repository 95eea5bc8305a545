//! Intervals of the cores become points of the run.

use std::collections::BTreeMap;

use crate::plan::Plan;
use crate::record::{self, Interval};
use crate::results::Point;

/// Points so far, and intervals that some cores have not reported yet.
pub(super) struct Series {
    /// Of each core that has ended: its last interval.
    ended_at: Vec<Option<usize>>,
    /// Of each core: its last interval so far.
    last: Vec<usize>,
    seconds: f64,
    measured_from_s: f64,
    measured_to_s: f64,
    pending: BTreeMap<usize, (usize, Interval)>,
    points: Vec<Point>,
}

impl Series {
    pub(super) fn new(plan: &Plan) -> Self {
        Series {
            ended_at: vec![None; plan.cores.len()],
            last: vec![0; plan.cores.len()],
            seconds: plan.interval.as_secs_f64(),
            measured_from_s: (plan.ramp_up + plan.warm_up).as_secs_f64(),
            measured_to_s: plan.length().map_or(f64::INFINITY, |length| length.as_secs_f64()),
            pending: BTreeMap::new(),
            points: Vec::new(),
        }
    }

    /// One core's interval; `watch` sees the point that it completes.
    pub(super) fn add(&mut self, core: usize, interval: Interval, watch: &mut impl FnMut(&Point)) {
        let index = interval.index;
        self.last[core] = index;
        match self.pending.get_mut(&index) {
            None => {
                self.pending.insert(index, (1, interval));
            }
            Some((reported, sum)) => {
                *reported += 1;
                sum.errors += interval.errors;
                sum.seconds = sum.seconds.max(interval.seconds);
                record::add(&mut sum.latency, &interval.latency);
            }
        }
        while let Some((&index, &(reported, _))) = self.pending.first_key_value() {
            let expected = self.ended_at.iter().filter(|ended_at| ended_at.is_none_or(|last| last >= index)).count();
            if reported < expected {
                return;
            }
            let Some((_, (_, interval))) = self.pending.pop_first() else { return };
            self.emit(&interval, watch);
        }
    }

    /// Core `core` reports no more: later intervals are whole without it.
    pub(super) fn end(&mut self, core: usize) {
        self.ended_at[core] = Some(self.last[core]);
    }

    /// What some cores never reported, as they ended before the others, is part of the run as well.
    pub(super) fn finish(mut self, watch: &mut impl FnMut(&Point)) -> Vec<Point> {
        for (_, interval) in std::mem::take(&mut self.pending).into_values() {
            self.emit(&interval, watch);
        }
        self.points
    }

    #[expect(clippy::cast_precision_loss, reason = "intervals and nanoseconds of a run")]
    fn emit(&mut self, interval: &Interval, watch: &mut impl FnMut(&Point)) {
        let begin_s = interval.index as f64 * self.seconds;
        let us = |quantile| interval.latency.value_at_quantile(quantile) as f64 / 1e3;
        let seconds = interval.seconds.min(self.seconds);
        if interval.latency.is_empty() && interval.errors == 0 && seconds < self.seconds {
            return;
        }
        let middle_s = begin_s + seconds / 2.0;
        let point = Point {
            at_s: begin_s + seconds,
            seconds,
            measured: middle_s >= self.measured_from_s && middle_s < self.measured_to_s,
            requests: interval.latency.len(),
            errors: interval.errors,
            p50_us: us(0.5),
            p99_us: us(0.99),
            max_us: interval.latency.max() as f64 / 1e3,
        };
        watch(&point);
        self.points.push(point);
    }
}
