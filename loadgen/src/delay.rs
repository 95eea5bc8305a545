//! How long something takes: a fixed time, a range, an exponential, or a list by weight. Sampled from a seed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A distribution of times.
#[derive(Debug, Clone, PartialEq)]
pub enum Delay {
    /// Always the same.
    Fixed(Duration),
    /// Each time between the two alike.
    Uniform(Duration, Duration),
    /// With this mean; what arrives or breaks at random takes such times.
    Exponential(Duration),
    /// Each with its share of the whole.
    Weighted(Vec<(f64, Duration)>),
}

/// What is not a delay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: expected a time (5ms), a range (1ms..5ms), exp:5ms, or shares (90%:1ms,9%:20ms,1%:100ms)")]
pub struct BadDelay(String);

impl Delay {
    /// No time at all.
    pub const NONE: Delay = Delay::Fixed(Duration::ZERO);

    /// It never takes any time.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// One of its times.
    pub fn sample(&self, dice: &mut fastrand::Rng) -> Duration {
        match self {
            Self::Fixed(time) => *time,
            Self::Uniform(least, most) => *least + most.saturating_sub(*least).mul_f64(dice.f64()),
            // 1 - [0, 1) is never 0, whose logarithm is not a number.
            Self::Exponential(mean) => mean.mul_f64(-(1.0 - dice.f64()).ln()),
            Self::Weighted(shares) => weighted(shares, dice.f64()),
        }
    }
}

/// The share that `point`, from 0 to 1, falls into.
fn weighted(shares: &[(f64, Duration)], point: f64) -> Duration {
    let total: f64 = shares.iter().map(|(share, _)| share).sum();
    let mut left = point * total;
    for (share, time) in shares {
        if left < *share {
            return *time;
        }
        left -= share;
    }
    // Rounding may leave a trace beyond the last.
    shares.last().map_or(Duration::ZERO, |(_, time)| *time)
}

impl FromStr for Delay {
    type Err = BadDelay;

    fn from_str(text: &str) -> Result<Self, BadDelay> {
        parse(text).ok_or_else(|| BadDelay(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Delay> {
    let time = |text: &str| humantime::parse_duration(text.trim()).ok().filter(|time| *time <= LONGEST);
    if let Some(mean) = text.strip_prefix("exp:") {
        return time(mean).map(Delay::Exponential);
    }
    if let Some((least, most)) = text.split_once("..") {
        let (least, most) = (time(least)?, time(most)?);
        return (least <= most).then_some(Delay::Uniform(least, most));
    }
    if !text.contains('%') {
        return if text == "0" { Some(Delay::NONE) } else { time(text).map(Delay::Fixed) };
    }
    let shares = text.split(',').map(|share| {
        let (percent, length) = share.split_once("%:")?;
        let percent = percent.trim().parse::<f64>().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0)?;
        Some((percent, time(length)?))
    });
    let shares = shares.collect::<Option<Vec<_>>>()?;
    let total: f64 = shares.iter().map(|(share, _)| share).sum();
    ((total - 100.0).abs() < 1e-6).then_some(Delay::Weighted(shares))
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: &Duration| humantime::format_duration(*time);
        match self {
            Self::Fixed(fixed) => write!(f, "{}", time(fixed)),
            Self::Uniform(least, most) => write!(f, "{}..{}", time(least), time(most)),
            Self::Exponential(mean) => write!(f, "exp:{}", time(mean)),
            Self::Weighted(shares) => {
                let shares: Vec<String> = shares.iter().map(|(share, of)| format!("{share}%:{}", time(of))).collect();
                f.write_str(&shares.join(","))
            }
        }
    }
}

/// Longer delays are typing errors.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_four_forms_are_read() {
        let read = |text: &str| text.parse::<Delay>();
        assert_eq!(read("5ms"), Ok(Delay::Fixed(ms(5))));
        assert_eq!(read("0"), Ok(Delay::NONE));
        assert_eq!(read("1ms..5ms"), Ok(Delay::Uniform(ms(1), ms(5))));
        assert_eq!(read("exp:2ms"), Ok(Delay::Exponential(ms(2))));
        assert_eq!(read("90%:1ms, 10%:20ms"), Ok(Delay::Weighted(vec![(90.0, ms(1)), (10.0, ms(20))])));
    }

    #[test]
    fn what_is_no_delay_is_refused_with_the_forms() {
        for text in ["", "5", "soon", "5ms..1ms", "exp:", "50%:1ms", "150%:1ms", "-5%:1ms,105%:2ms", "NaN%:1ms", "9y"] {
            let error = text.parse::<Delay>().expect_err(text).to_string();
            assert!(error.contains("exp:5ms"), "{error}");
        }
    }

    #[test]
    fn shares_come_out_as_often_as_they_say() {
        let delay: Delay = "90%:1ms,9%:20ms,1%:100ms".parse().unwrap();
        let mut dice = fastrand::Rng::with_seed(1);
        let samples: Vec<Duration> = (0..100_000).map(|_| delay.sample(&mut dice)).collect();
        let share = |time| samples.iter().filter(|sample| **sample == time).count();
        assert!((89_500..90_500).contains(&share(ms(1))));
        assert!((8_700..9_300).contains(&share(ms(20))));
        assert!((850..1_150).contains(&share(ms(100))));
    }

    #[test]
    fn an_exponential_has_its_mean() {
        let mut dice = fastrand::Rng::with_seed(2);
        let total: Duration = (0..100_000).map(|_| Delay::Exponential(ms(10)).sample(&mut dice)).sum();
        let mean = total / 100_000;
        assert!((9_900..10_100).contains(&mean.as_micros()), "{mean:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-z%:., -]{0,30}") {
            let _ = text.parse::<Delay>();
        }

        #[test]
        fn what_is_written_is_read_back(least in 0..10_000_u64, more in 0..10_000_u64) {
            for delay in [Delay::Fixed(ms(least)), Delay::Uniform(ms(least), ms(least + more)), Delay::Exponential(ms(more))] {
                prop_assert_eq!(delay.to_string().parse(), Ok(delay));
            }
        }
    }
}
