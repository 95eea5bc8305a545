//! What is pure, alone on a core: picking a target, finding a rule, a snapshot from its text, recording a duration, a sticky
//! request, noting a line of the log, reading and writing a head, a client and a security group.
//!
//!     main --criterion's settings--> pick, router, snapshot, histogram, sticky, access_log, framing, acl
//!                                      `--> a time for each case
//!
//! The ratios between the times are the result.
//!
//! They show how cost grows with the number of targets, which no run beside peers does, and tell in a minute whether a change
//! made one of these dearer. What a connection costs in all is what `side_by_side` measures.
//! `./x bench micro`, or a part of it: `./x bench micro pick/least_connections`

#![forbid(unsafe_code)]

mod access_log;
mod acl;
mod framing;
mod histogram;
mod pick;
mod router;
mod snapshot;
mod sticky;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    // After our settings, so that an argument wins over them.
    let mut criterion = in_a_minute().configure_from_args();
    pick::bench(&mut criterion);
    router::bench(&mut criterion);
    snapshot::bench(&mut criterion);
    histogram::bench(&mut criterion);
    sticky::bench(&mut criterion);
    access_log::bench(&mut criterion);
    framing::bench(&mut criterion);
    acl::bench(&mut criterion);
    criterion.final_summary();
}

/// A second for each of some forty cases. They are to show a factor, or a step of ten percent, and thirty samples tell that.
/// A quarter of a second warms caches and branch predictors many times over: no case takes 10 ms. 10,000 resamples, a tenth
/// of criterion's own choice, place the interval well enough.
fn in_a_minute() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(250))
        .measurement_time(Duration::from_millis(750))
        .sample_size(30)
        .nresamples(10_000)
        .without_plots()
}
