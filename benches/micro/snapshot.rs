//! Config text to snapshot: how long a reload thinks before any shard hears of it.
//!
//! It happens on the control thread, so it may take its time, but no more than in proportion to the text: a check of each
//! target against all others would not be seen in a test. Hence the same thousand targets in a hundred groups and in one, and
//! a tenth of them.
//!
//! The TOML crate alone was tried as a ruler: what it frees is the top of the heap, which glibc gives back to the kernel and
//! faults in again each time. That took as long as the parsing, at some sizes only.

use std::fmt::{self, Write};

use criterion::{BenchmarkId, Criterion, SamplingMode};

use weir::config::{self, Mode};

/// A config of so many groups, each with a listener and so many targets.
#[derive(Debug, Clone, Copy)]
struct Size {
    groups: usize,
    targets_each: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.groups, self.targets_each)
    }
}

const SIZES: [Size; 3] = [
    Size { groups: 10, targets_each: 10 },
    Size { groups: 100, targets_each: 10 },
    Size { groups: 1, targets_each: 1_000 },
];

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshot");
    // Milliseconds each: criterion's growing samples would take longer than asked.
    group.sampling_mode(SamplingMode::Flat);
    for size in SIZES {
        let text = config_text(size);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| config::parse("lb.toml", &text, Mode::Run).unwrap_or_else(|errors| panic!("{errors}")));
        });
    }
    group.finish();
}

/// As an operator's own tools would write it: every key that differs from place to place, the rest by default.
fn config_text(size: Size) -> String {
    let mut text = String::from("[balancer]\nname = \"edge-1\"\n");
    for group in 0..size.groups {
        write_group(&mut text, group, size.targets_each).expect("a string takes whatever is written");
    }
    text
}

fn write_group(text: &mut String, group: usize, targets: usize) -> fmt::Result {
    writeln!(text, "\n[[listener]]\nname = \"listener-{group}\"\nprotocol = \"tcp\"")?;
    writeln!(text, "address = \"0.0.0.0:{}\"\ndefault_action = {{ forward = \"group-{group}\" }}", 10_000 + group)?;
    writeln!(text, "\n[[target_group]]\nname = \"group-{group}\"\nprotocol = \"tcp\"")?;
    writeln!(text, "health_check = {{ protocol = \"tcp\", interval = \"5s\", timeout = \"2s\" }}")?;
    for target in 0..targets {
        writeln!(text, "\n  [[target_group.target]]\n  type = \"cvm\"\n  instance_id = \"ins-{group}-{target}\"")?;
        writeln!(text, "  address = \"10.{group}.{}.{}\"\n  port = 8080", target / 256, target % 256)?;
        writeln!(text, "  weight = {}", 1 + target % 100)?;
    }
    Ok(())
}
