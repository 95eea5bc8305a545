//! What stickiness costs a request: its cookie is found and opened, a new one is sealed and written. Less than 1 us in all.
//!
//!     Cookie --session--> tag --seal--> value --set_cookie_line--> bytes of the response
//!
//! The group's name is a short one, or one as long as the config allows, for which the MAC takes a second block. `old_key` is a
//! cookie from before a rotation; `forged` is one that no key opens.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};

use weir::config::Stickiness;
use weir::l7::stickiness::{Keys, Scope, Tag, VALUE_BYTES, session, set_cookie_line};

const NOW: u64 = 1_800_000_000;
const OLD: &str = "0123456789abcdef0123456789abcdef";
const BOTH: &str = "fedcba9876543210fedcba9876543210\n0123456789abcdef0123456789abcdef";
const SHORT: &str = "app";
/// 80 bytes, `limits::NAME_BYTES_MAX`.
const LONG: &str = "a-target-group-whose-name-is-as-long-as-the-config-lets-any-name-be-0123456789ab";

pub fn bench(criterion: &mut Criterion) {
    let keys = Keys::parse(BOTH).expect("two secrets");
    let stickiness = Stickiness {
        cookie: "WEIRLB".into(),
        app_cookie: None,
        duration: Duration::from_secs(3600),
        secure: true,
        same_site: None,
    };
    let mut group = criterion.benchmark_group("sticky");
    for (name, scope_name) in [("short", SHORT), ("long", LONG)] {
        let scope = Scope::Targets { group: scope_name };
        let tag = tag_of(&keys, scope_name);
        let value = keys.seal(scope, tag, NOW);

        group.bench_function(BenchmarkId::new("seal", name), |bencher| {
            bencher.iter(|| keys.seal(black_box(scope), tag, NOW));
        });
        group.bench_function(BenchmarkId::new("open", name), |bencher| {
            bencher.iter(|| keys.open(black_box(scope), &value, NOW, stickiness.duration));
        });
        let fields = request(&value);
        let mut out = Vec::with_capacity(256);
        group.bench_function(BenchmarkId::new("request", name), |bencher| {
            bencher.iter(|| {
                out.clear();
                let tag = session(&keys, black_box(scope), &stickiness, [fields.as_slice()].into_iter(), NOW);
                let value = keys.seal(scope, tag.expect("a session"), NOW);
                set_cookie_line(&stickiness, &value, &mut out);
                out.len()
            });
        });
    }

    let scope = Scope::Targets { group: SHORT };
    let before = Keys::parse(OLD).expect("a secret");
    let old = before.seal(scope, tag_of(&before, SHORT), NOW);
    let mut forged = old;
    forged[VALUE_BYTES - 1] ^= 1;
    for (name, value, opens) in [("old_key", old, true), ("forged", forged, false)] {
        assert_eq!(keys.open(scope, &value, NOW, stickiness.duration).is_some(), opens, "{name}");
        group.bench_function(BenchmarkId::new("open", name), |bencher| {
            bencher.iter(|| keys.open(black_box(scope), &value, NOW, stickiness.duration));
        });
    }
    group.finish();
}

fn tag_of(keys: &Keys, group: &str) -> Tag {
    keys.target_tags(group, ([10, 0, 0, 1], 80).into()).next().expect("one for each key")
}

/// A `Cookie` field as a browser with some cookies sends it.
fn request(value: &[u8; VALUE_BYTES]) -> Vec<u8> {
    let mut field =
        b"_ga=GA1.1.1234567890.1700000000; theme=dark; csrftoken=abcdefghijklmnopqrstuvwxyz012345; WEIRLB=".to_vec();
    field.extend_from_slice(value);
    field
}
