//! Noting a request for the access log: what a shard pays for its line. Formatting is the writer's, on another thread.
//!
//! The batches go to a writer that has nowhere to write: it hands them back as they come. It gets the time for that between two
//! measured runs, or what is measured would be entries that find no room.

use std::hint::black_box;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use criterion::Criterion;

use weir::access_log::{Action, Entry, Kind, Line, Recording, Request, Rule, Sink, What, Writer};

/// Entries at a time: some ten batches, a third of what a sink has.
const RUN: u64 = 1_500;
const PAUSE: Duration = Duration::from_micros(50);

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access_log");
    let writer = Writer::start(1).expect("a thread");
    let mut sink = writer.sink(0);
    let request = What::Request(request());
    let mut of = |name: &str, what: &What<'_>, sink: &mut Sink| {
        let entry = entry(what);
        group.bench_function(name, |bencher| bencher.iter_custom(|count| measure(sink, &entry, count)));
    };
    of("record/off", &request, &mut sink);
    sink.set_recording(Recording::On);
    of("record/request", &request, &mut sink);
    of("record/connection", &What::Connection, &mut sink);
    group.finish();
}

fn measure(sink: &mut Sink, entry: &Entry<'_>, count: u64) -> Duration {
    let mut measured = Duration::ZERO;
    let mut left = count;
    while left > 0 {
        let run = left.min(RUN);
        let dropped = sink.counts().dropped;
        let begun = Instant::now();
        (0..run).for_each(|_| sink.record(black_box(entry)));
        let took = begun.elapsed();
        sleep(PAUSE);
        // Where the writer did not get to it, once more.
        if sink.counts().dropped == dropped {
            measured += took;
            left -= run;
        }
    }
    measured
}

fn entry<'a>(what: &What<'a>) -> Entry<'a> {
    Entry {
        ended_at_us: 1_530_570_180_186_641,
        lasted_us: 1_822,
        balancer: "weir",
        listener: "web",
        client: SocketAddr::from(([192, 168, 131, 39], 2817)),
        connection: 17,
        target_group: "app",
        missed: &[],
        target: Some(SocketAddr::from(([10, 0, 0, 1], 80))),
        received_bytes: 434,
        sent_bytes: 1_366,
        queue_us: Some(11),
        connect_us: Some(0),
        first_byte_us: Some(1_134),
        reason: "",
        what: *what,
    }
}

/// As a browser sends them.
fn request() -> Request<'static> {
    Request {
        kind: Kind::Http,
        number: 2,
        line: Line::Parsed { method: b"GET", uri: b"/static/js/main.4f2c1a.js?v=20261101", version: "HTTP/1.1" },
        host: b"www.example.com",
        port: 80,
        status: Some(200),
        target_status: Some(200),
        request_us: Some(86),
        target_us: Some(1_048),
        response_us: Some(37),
        user_agent:
            b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
        trace_id: b"Root=1-58337262-36d228ad5d99923122bbe354",
        domain_name: b"",
        rule: Rule::Priority(10),
        action: Some(Action::Forward),
        redirect_url: b"",
        classification: "",
        classification_reason: "",
        transformed_host: b"",
        transformed_uri: b"",
        transform_status: "",
    }
}
