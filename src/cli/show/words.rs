//! Times, counts and texts as tables show them.

use std::time::{Duration, SystemTime};

/// `12s`, `3m 20s`, `2days 4h`: the two largest units.
pub(in crate::cli) fn span(time: Duration) -> String {
    let whole = humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// How long ago a time in RFC 3339 was; as it came where it is none. Clocks of two machines differ, so it may be to come.
pub(in crate::cli) fn ago(time: &str, now: SystemTime) -> String {
    let Ok(time) = humantime::parse_rfc3339(time) else { return plain(time) };
    span(now.duration_since(time).unwrap_or_default())
}

/// `870us`, `12.3ms`, `4.56s`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(in crate::cli) fn latency(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{:.1}ms", us as f64 / 1e3),
        _ => format!("{:.2}s", us as f64 / 1e6),
    }
}

/// `10.0.0.5:80`, `[fd00::5]:80`.
pub(in crate::cli) fn place(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// `1 target`, `2 targets`.
pub(in crate::cli) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The text with its control characters escaped.
pub(in crate::cli) fn plain(text: &str) -> String {
    if !text.contains(is_unprintable) {
        return text.to_owned();
    }
    let escaped = |c: char| if is_unprintable(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// Controls, and the marks that turn the direction of what follows (UAX 9).
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_by_their_two_largest_units() {
        for (seconds, shown) in [(0, "0s"), (59, "59s"), (200, "3m 20s"), (7_325, "2h 2m"), (190_000, "2days 4h")] {
            assert_eq!(span(Duration::from_secs(seconds)), shown);
        }
        assert_eq!(span(Duration::from_millis(1_999)), "1s");
    }

    #[test]
    fn a_time_is_shown_by_its_age_and_one_to_come_as_now() {
        let now = humantime::parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(ago("2026-01-02T03:00:05.250Z", now), "3m 59s");
        assert_eq!(ago("2026-01-02T03:05:05Z", now), "0s");
        assert_eq!(ago("soon\u{7}", now), "soon\\u{7}");
    }

    #[test]
    fn latencies_have_about_three_digits() {
        for (us, shown) in [(0, "0us"), (999, "999us"), (1_000, "1.0ms"), (12_345, "12.3ms"), (4_560_000, "4.56s")] {
            assert_eq!(latency(us), shown);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(plain("\u{1b}[2Jx\n\u{202e}"), "\\u{1b}[2Jx\\u{a}\\u{202e}");
        assert_eq!(plain("gz-3 \u{e4} \u{5e7f}"), "gz-3 \u{e4} \u{5e7f}");
    }
}
