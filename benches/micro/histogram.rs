//! Recording a duration, which a shard does three times a connection, and copying a histogram, which it does for each of a
//! listener's three whenever control asks: traffic waits meanwhile.
//!
//! The copy is freed at once. To keep the copies for later measures how the kernel gives out new pages instead, and no two
//! runs agree.

use std::hint::black_box;

use criterion::Criterion;
use fastrand::Rng;

use weir::shard::histogram_us;

/// Enough to touch every cache line of the counters that they fall on, and little beside those.
const DURATIONS: usize = 1_024;

/// Two runs record the same.
const SEED: u64 = 1;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("histogram");
    // The line of one counter stays in the cache.
    group.bench_function("record/same", |bencher| {
        let mut histogram = histogram_us();
        bencher.iter(|| histogram.saturating_record(black_box(1_000)));
    });
    group.bench_function("record/spread", |bencher| {
        let mut histogram = histogram_us();
        let mut durations_us = durations_us().into_iter().cycle();
        bencher.iter(|| histogram.saturating_record(durations_us.next().expect("it goes round")));
    });
    group.bench_function("copy", |bencher| {
        let mut histogram = histogram_us();
        durations_us().into_iter().for_each(|us| histogram.saturating_record(us));
        bencher.iter(|| histogram.clone());
    });
    group.finish();
}

/// From 64 us to 18 minutes, each power of two as likely: from a connect in the same network to a long-lived connection.
fn durations_us() -> Vec<u64> {
    let mut rng = Rng::with_seed(SEED);
    let mut any = || {
        let magnitude = 1 << rng.u32(6..30);
        magnitude + rng.u64(..magnitude)
    };
    (0..DURATIONS).map(|_| any()).collect()
}
