//! What is reported is what the server did: percentiles of a known distribution, and stalls.
//!
//! A late wake-up on a busy machine only ever makes an answer later: bounds from below are strict, those from above are not.

use crate::support::{Server, load};
use weir_loadgen::results::Latency;

/// How late the scheduling of server and generator together may make most answers, and how late any.
const LATE_US: f64 = 15_000.0;
const VERY_LATE_US: f64 = 150_000.0;

#[test]
fn percentiles_are_those_of_the_servers_delays() {
    let server = Server::start("http --delay 90%:5ms,9%:30ms,1%:80ms");
    let results = load(&format!("http {} --connections 16 --duration 2500ms", server.url())).good();
    let latency = &results.latency;
    for (name, us, delay_us, late_us) in [
        ("min", latency.min_us, 5_000.0, LATE_US),
        ("p50", latency.p50_us, 5_000.0, LATE_US),
        ("p75", latency.p75_us, 5_000.0, LATE_US),
        ("p95", latency.p95_us, 30_000.0, LATE_US),
        ("p99.9", latency.p99_9_us, 80_000.0, VERY_LATE_US),
        ("p99.99", latency.p99_99_us, 80_000.0, VERY_LATE_US),
        ("max", latency.max_us, 80_000.0, VERY_LATE_US),
    ] {
        // The histogram's precision: 0.1 %.
        assert!(us >= delay_us * 0.999, "{name} is {us} us, below the delay of {delay_us} us");
        assert!(us <= delay_us + late_us, "{name} is {us} us, for a delay of {delay_us} us");
    }
    for (bound_us, share) in [(30_000.0, 0.90), (80_000.0, 0.99)] {
        let below = share_below(latency, bound_us);
        // Some 3,500 draws: four deviations are 0.02 and 0.007. Late answers cross the bound to the right.
        assert!(below < share + 0.02 && below > share - 0.05, "{below} below {bound_us} us, for {share}");
    }
}

#[test]
#[ignore = "long: ./x test runs it"]
fn an_open_loop_shows_a_stall_in_its_percentiles() {
    let server = Server::start("http --delay 1ms --stall 500ms --stall-every 2s");
    let ran = load(&format!("http {} --connections 4 --rate 500 --duration 4s", server.url()));
    let results = ran.good();
    // A quarter of the time is stalled, and who was due then waited for its end.
    assert!((350_000.0..900_000.0).contains(&results.latency.p99_us), "p99 {} us", results.latency.p99_us);
    assert!(results.latency.p90_us > 150_000.0, "p90 {} us", results.latency.p90_us);
    let service = results.service.expect("an open loop has both");
    assert!(service.p99_us < results.latency.p99_us / 3.0, "from sending, p99 {} us", service.p99_us);
    assert!(service.p90_us < results.latency.p90_us / 3.0, "from sending, p90 {} us", service.p90_us);
    assert!(ran.out.contains("from when due") && ran.out.contains("from sending"), "{}", ran.out);
}

#[test]
#[ignore = "long: ./x test runs it"]
fn a_closed_loop_hides_a_stall_in_its_maximum() {
    let server = Server::start("http --delay 1ms --stall 500ms --stall-every 2s");
    let results = load(&format!("http {} --connections 2 --duration 4s", server.url())).good();
    assert!(results.latency.p99_us < 100_000.0, "p99 {} us", results.latency.p99_us);
    assert!(results.latency.max_us > 350_000.0, "max {} us", results.latency.max_us);
    assert!(results.service.is_none());
}

/// A thousandth below the bound: a value is known to its step of the histogram.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than a second in nanoseconds")]
fn share_below(latency: &Latency, bound_us: f64) -> f64 {
    latency.decode().expect("its own histogram").quantile_below((bound_us * 999.0) as u64)
}
