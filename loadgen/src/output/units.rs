//! How numbers are written for people: three significant digits and a unit, counts in groups of three digits.

/// A time given in microseconds: "0.850 us", "12.3 us", "4.56 ms", "1.20 s".
#[must_use]
pub fn time(us: f64) -> String {
    match us {
        _ if us == 0.0 => "0 us".to_owned(),
        _ if us < 999.5 => format!("{} us", three_digits(us)),
        _ if us < 999_500.0 => format!("{} ms", three_digits(us / 1e3)),
        _ => format!("{} s", three_digits(us / 1e6)),
    }
}

/// A time given in seconds.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    if seconds == 0.0 { "0 s".to_owned() } else { time(seconds * 1e6) }
}

/// "1,234,567".
#[must_use]
pub fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// So many a second, without the unit: "49,998", "12.3".
#[must_use]
pub fn rate(rate: f64) -> String {
    if rate < 999.5 && rate.fract() != 0.0 { three_digits(rate) } else { grouped(&format!("{rate:.0}")) }
}

/// "512 B", "1.23 kB", "45.6 MB": powers of 1,000, as bit rates of links are given.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    let (unit, name) = match bytes {
        _ if bytes < 999.5 => return format!("{bytes:.0} B"),
        _ if bytes < 999.5e3 => (1e3, "kB"),
        _ if bytes < 999.5e6 => (1e6, "MB"),
        _ if bytes < 999.5e9 => (1e9, "GB"),
        _ => (1e12, "TB"),
    };
    format!("{} {name}", three_digits(bytes / unit))
}

/// What part of `whole` it is: "12.3 %".
#[must_use]
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    percent(float(part) / float(whole) * 100.0)
}

/// "12.3 %"; what rounds to nothing and is not, "< 0.001 %".
#[must_use]
pub fn percent(percent: f64) -> String {
    match percent {
        _ if percent == 0.0 => "0 %".to_owned(),
        _ if percent > 0.0 && percent < 0.0005 => "< 0.001 %".to_owned(),
        _ => format!("{} %", three_digits(percent)),
    }
}

/// What came from outside, fit to print: on one line, without control characters, cut after `chars_max`.
#[must_use]
pub fn printable(text: &str, chars_max: usize) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    if text.chars().count() <= chars_max {
        return text.chars().map(clean).collect();
    }
    text.chars().take(chars_max.saturating_sub(1)).map(clean).chain(['…']).collect()
}

/// For arithmetic on counts.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of what was sent have fewer than 16 digits")]
pub fn float(count: u64) -> f64 {
    count as f64
}

fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        magnitude if magnitude < 0.9995 => 3,
        magnitude if magnitude < 9.995 => 2,
        magnitude if magnitude < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut out = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_has_three_digits_and_the_unit_that_fits() {
        let written = |us| time(us);
        assert_eq!(written(0.0), "0 us");
        assert_eq!(written(0.85), "0.850 us");
        assert_eq!(written(1.234), "1.23 us");
        assert_eq!(written(12.34), "12.3 us");
        assert_eq!(written(999.4), "999 us");
        assert_eq!(written(999.6), "1.00 ms");
        assert_eq!(written(9_996.0), "10.0 ms");
        assert_eq!(written(999_400.0), "999 ms");
        assert_eq!(written(999_600.0), "1.00 s");
        assert_eq!(seconds(30.0), "30.0 s");
        assert_eq!(seconds(3600.0), "3600 s");
    }

    #[test]
    fn counts_rates_bytes_and_shares_read_as_people_write_them() {
        assert_eq!([count(0), count(999), count(1_000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [rate(0.0), rate(0.5), rate(12.34), rate(300.0), rate(49_998.4)],
            ["0", "0.500", "12.3", "300", "49,998"]
        );
        assert_eq!([bytes(0.0), bytes(999.0), bytes(1234.0), bytes(9.996e9)], ["0 B", "999 B", "1.23 kB", "10.0 GB"]);
        assert_eq!([share(0, 0), share(0, 9), share(1, 8), share(8, 8)], ["-", "0 %", "12.5 %", "100 %"]);
        assert_eq!(share(1, 1_000_000), "< 0.001 %");
    }

    #[test]
    fn what_came_from_outside_stays_on_its_line() {
        assert_eq!(printable("a\nb\u{1b}[31m", 80), "a\u{fffd}b\u{fffd}[31m");
        assert_eq!(printable("abcdef", 6), "abcdef");
        assert_eq!(printable("abcdefg", 6), "abcde…");
        assert_eq!(printable("ab", 0), "…");
    }

    proptest! {
        #[test]
        fn any_number_can_be_written(value in proptest::num::f64::ANY, whole: u64, part: u64) {
            for written in [time(value), seconds(value), rate(value), bytes(value), percent(value), share(part, whole)] {
                prop_assert!(!written.is_empty());
            }
        }

        #[test]
        fn a_written_time_is_within_half_a_percent(us in 1.0..3.6e9_f64) {
            let written = time(us);
            let (number, unit) = written.split_once(' ').unwrap();
            let factor = match unit { "us" => 1.0, "ms" => 1e3, _ => 1e6 };
            let back = number.parse::<f64>().unwrap() * factor;
            prop_assert!((back / us - 1.0).abs() <= 0.005 + 1e-9, "{us} became {written}");
        }
    }
}
