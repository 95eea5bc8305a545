//! `HdrHistogram`'s percentile distribution as text, which its plotter and wrk2's tools read. Values are milliseconds.
//!
//!            Value     Percentile TotalCount 1/(1-Percentile)
//!
//!         0.123903 0.000000000000          1           1.00
//!         ...
//!         9.428991 1.000000000000     475109
//!     #[Mean    =     0.250480, StdDeviation   =     0.120097]
//!     #[Max     =     9.428991, Total count    =       475109]
//!     #[Buckets =           32, SubBuckets     =         2048]
//!
//! As `AbstractHistogram.outputPercentileDistribution` of the reference in Java writes it, with 5 ticks a half distance. The
//! reference has as many decimals as the histogram has digits; we have six, for a loopback's answers take some 20 us.

use std::fmt::Write as _;
use std::path::Path;

use hdrhistogram::Histogram;

use crate::output::error::{OutputError, write as write_file};
use crate::output::units::float;
use crate::results::Results;

/// Reported percentiles between one and half as many beyond it.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
const NANOSECONDS_PER_MS: f64 = 1e6;

/// The distribution of a histogram of nanoseconds.
#[must_use]
pub fn text(histogram: &Histogram<u64>) -> String {
    let ms = |nanoseconds: f64| nanoseconds / NANOSECONDS_PER_MS;
    let mut out = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let _ = write!(out, "{:12.6} {quantile:2.12} {total:10}", ms(float(step.value_iterated_to())));
        let _ = if quantile < 1.0 { writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile)) } else { writeln!(out) };
    }
    let (mean, deviation) = (ms(histogram.mean()), ms(histogram.stdev()));
    let _ = writeln!(out, "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]");
    let _ = writeln!(out, "#[Max     = {:12.6}, Total count    = {:12}]", ms(float(histogram.max())), histogram.len());
    let _ = writeln!(
        out,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        sub_buckets(histogram.sigfig())
    );
    out
}

/// Writes the distribution of `results.latency` to `path`, whatever was there.
///
/// # Errors
/// The histogram does not decode, or the file cannot be written.
pub fn write(path: &Path, results: &Results) -> Result<(), OutputError> {
    let named = |source| OutputError::Histogram { name: "latency".to_owned(), source };
    write_file(path, &text(&results.latency.decode().map_err(named)?))
}

/// Linear steps within each power of two: the power of two that holds twice the digits.
fn sub_buckets(digits: u8) -> u64 {
    (2 * 10_u64.pow(digits.into())).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rows that a plotter reads: value, percentile, count.
    fn rows(text: &str) -> Vec<(f64, f64, u64)> {
        let lines = text.lines().skip(2).take_while(|line| !line.starts_with('#'));
        let row = |line: &str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            (columns[0].parse().unwrap(), columns[1].parse().unwrap(), columns[2].parse().unwrap())
        };
        lines.map(row).collect()
    }

    #[test]
    fn three_values_are_written_as_the_reference_writes_them() {
        let mut histogram = Histogram::new_with_bounds(1, 9_007_199_254_740_991, 3).unwrap();
        for ms in [25, 50, 75] {
            histogram.record(ms * 1_000_000).unwrap();
        }
        let text = text(&histogram);
        // The steps of the reference's own test; values are those of the middle or the end of a step of 2^14 to 2^16 ns.
        let steps = "1 1 1 1 2 2 2 2 2 3 3";
        let counts: Vec<String> = rows(&text).iter().map(|row| row.2.to_string()).collect();
        assert_eq!(counts.join(" "), steps, "{text}");
        let percentiles: Vec<f64> = rows(&text).iter().map(|row| row.1).collect();
        assert_eq!(percentiles, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 1.0]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[1], "");
        assert_eq!(lines[3], "   25.001983 0.100000000000          1           1.11");
        assert_eq!(lines[12], "   75.038719 1.000000000000          3");
        assert_eq!(lines[13], "#[Mean    =    49.995776, StdDeviation   =    20.417380]");
        assert_eq!(lines[14], "#[Max     =    75.038719, Total count    =            3]");
        assert_eq!(lines[15], "#[Buckets =           43, SubBuckets     =         2048]");
    }

    #[test]
    fn nothing_recorded_is_a_head_and_a_foot() {
        let text = text(&Histogram::new_with_bounds(1, 3_600_000_000_000, 3).unwrap());
        assert!(rows(&text).is_empty(), "{text}");
        assert!(text.contains("Total count    =            0]"), "{text}");
    }

    proptest! {
        #[test]
        fn every_value_is_counted_and_no_column_falls(values in prop::collection::vec(1_u64..4_000_000_000_000, 1..400)) {
            let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
            values.iter().for_each(|value| histogram.saturating_record(*value));
            let rows = rows(&text(&histogram));
            for pair in rows.windows(2) {
                prop_assert!(pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1 && pair[0].2 <= pair[1].2, "{pair:?}");
            }
            let last = rows.last().unwrap();
            prop_assert_eq!((last.1, last.2), (1.0, values.len() as u64));
        }
    }
}
