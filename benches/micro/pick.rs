//! Picking a target: each connection waits for it, and a group may have a thousand targets.
//!
//!     refresh --> Balancer --pick--> target: one connection more --> any other connection closes --.
//!                     ^                                                                            |
//!                     `------------------------- the loads of the next pick -----------------------'
//!
//! Loads move as they do on a shard: with loads that stand still `least_connections` would favour one target until it is far
//! ahead of its turns, and what is measured would be how that is written off. So an iteration is a pick and a change of two
//! counters, the same two for both algorithms.

use std::cell::Cell;
use std::rc::Rc;

use criterion::{BenchmarkId, Criterion};
use fastrand::Rng;

use weir::balance::{Balancer, Candidate, WhenNoneHealthy, Zone};
use weir::config::Algorithm;

const ALGORITHMS: [(&str, Algorithm); 2] =
    [("weighted_round_robin", Algorithm::WeightedRoundRobin), ("least_connections", Algorithm::LeastConnections)];
const TARGET_COUNTS: [usize; 3] = [10, 100, 1_000];
/// Two runs close the same connections.
const SEED: u64 = 1;

/// What is asked of a group. All but `Weighted` have equal weights.
#[derive(Debug, Clone, Copy)]
enum Case {
    /// Every target is healthy.
    Equal,
    /// Weights from 1 to 100.
    Weighted,
    /// Every third target is unhealthy: it should cost nothing that they are there.
    SomeUnhealthy,
    /// None is healthy, so all are eligible (requirement B5): as `Equal`.
    FailingOpen,
    /// The target picked last refused, so this pick leaves it out (requirement B6).
    Retry,
}

impl Case {
    const ALL: [Case; 5] = [Case::Equal, Case::Weighted, Case::SomeUnhealthy, Case::FailingOpen, Case::Retry];

    fn as_str(self) -> &'static str {
        match self {
            Case::Equal => "equal",
            Case::Weighted => "weighted",
            Case::SomeUnhealthy => "some_unhealthy",
            Case::FailingOpen => "failing_open",
            Case::Retry => "retry",
        }
    }

    fn candidate(self, index: usize) -> Candidate {
        let weight = match self {
            // 37 has no divisor in common with 100: neighbours differ, and of a hundred targets no two are alike.
            Case::Weighted => u8::try_from(1 + index * 37 % 100).expect("at most 100"),
            _ => 10,
        };
        let healthy = match self {
            Case::SomeUnhealthy => !index.is_multiple_of(3),
            Case::FailingOpen => false,
            _ => true,
        };
        Candidate { weight, healthy, zone: Zone::Own }
    }
}

pub fn bench(criterion: &mut Criterion) {
    for (name, algorithm) in ALGORITHMS {
        let mut group = criterion.benchmark_group(format!("pick/{name}"));
        for case in Case::ALL {
            for target_count in TARGET_COUNTS {
                let mut traffic = Traffic::new(algorithm, case, target_count);
                group.bench_function(BenchmarkId::new(case.as_str(), target_count), |bencher| {
                    bencher.iter(|| traffic.connect());
                });
            }
        }
        group.finish();
    }
}

/// A group with always as many connections.
struct Traffic {
    balancer: Balancer,
    targets: Vec<Rc<Target>>,
    /// What the next pick leaves out: nothing, or in `Retry` the last target.
    tried: Vec<Rc<Target>>,
    /// Index of the target of each open connection.
    open: Vec<usize>,
    rng: Rng,
}

/// As far apart as a shard's own: to look at all loads is to touch a cache line for each.
#[repr(align(64))]
#[derive(Default)]
struct Target {
    active: Cell<u32>,
}

impl Traffic {
    fn new(algorithm: Algorithm, case: Case, target_count: usize) -> Self {
        let candidates: Vec<Candidate> = (0..target_count).map(|index| case.candidate(index)).collect();
        let mut balancer = Balancer::new(algorithm, 0);
        balancer.refresh(&candidates, WhenNoneHealthy::SendToAll);

        let targets: Vec<Rc<Target>> = (0..target_count).map(|_| Rc::default()).collect();
        let tried = if matches!(case, Case::Retry) { vec![Rc::clone(&targets[0])] } else { Vec::new() };
        // What `least_connections` would come to by itself: to let it takes many seconds without optimisation.
        let mut open = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            targets[index].active.set(candidate.weight.into());
            open.extend(std::iter::repeat_n(index, candidate.weight.into()));
        }
        Traffic { balancer, targets, tried, open, rng: Rng::with_seed(SEED) }
    }

    /// A connection comes, another one goes.
    fn connect(&mut self) -> usize {
        let target = self.pick();
        let any = self.rng.usize(..self.open.len());
        let left = std::mem::replace(&mut self.open[any], target);
        let active = &self.targets[left].active;
        active.set(active.get() - 1);
        target
    }

    /// As `shard/group.rs` picks, and claims what it picked.
    fn pick(&mut self) -> usize {
        let (targets, tried) = (&self.targets, &self.tried);
        let picked = self.balancer.pick(
            |index| targets[index].active.get(),
            |index| !tried.iter().any(|tried| Rc::ptr_eq(tried, &targets[index])),
        );
        let index = picked.expect("one target is left out at most");
        let target = &self.targets[index];
        target.active.set(target.active.get() + 1);
        if let Some(tried) = self.tried.first_mut() {
            tried.clone_from(target);
        }
        index
    }
}
