//! The bar on a terminal while a run goes on: where it is, how fast, how late. Nothing where nobody looks.
//!
//!     measuring  [00:12 / 00:30] ========>-------------   49,998/s   p99 1.23 ms   errors 0

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::output::units;
use crate::results::Point;

/// What a run does when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The rate or the connections grow meanwhile.
    pub ramp_up: Duration,
    /// Whole load, not counted yet.
    pub warm_up: Duration,
    /// When the measurement ends.
    pub until: Until,
}

/// The end of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After so long.
    Time(Duration),
    /// After so many requests.
    Requests(u64),
}

/// The bar. It goes away when dropped.
#[derive(Debug)]
pub struct Progress {
    plan: Plan,
    bar: ProgressBar,
    ended: u64,
    errors: u64,
}

impl Progress {
    /// A bar on standard error if that is a terminal, nothing otherwise.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Progress::on(target, plan)
    }

    fn on(target: ProgressDrawTarget, plan: Plan) -> Self {
        let length = match plan.until {
            Until::Time(time) => milliseconds(plan.ramp_up + plan.warm_up + time),
            Until::Requests(count) => count,
        };
        let bar = ProgressBar::with_draw_target(Some(length), target).with_finish(ProgressFinish::AndClear);
        let template = "{prefix:9} {wide_bar} {msg}";
        bar.set_style(ProgressStyle::with_template(template).expect("keys of indicatif").progress_chars("=>-"));
        let progress = Progress { plan, bar, ended: 0, errors: 0 };
        progress.bar.set_prefix(plan.phase(0.0));
        progress
    }

    /// Shows the last interval.
    pub fn interval(&mut self, point: &Point) {
        self.errors = self.errors.saturating_add(point.errors);
        if point.measured {
            self.ended = self.ended.saturating_add(point.requests).saturating_add(point.errors);
        }
        self.bar.set_prefix(self.plan.phase(point.at_s));
        self.bar.set_message(self.plan.line(point, self.errors));
        self.bar.set_position(match self.plan.until {
            Until::Time(_) => milliseconds(elapsed(point)),
            Until::Requests(_) => self.ended,
        });
    }

    /// Takes the bar away, so that the report begins on a clean line.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

impl Plan {
    /// What goes on just before `at_s`.
    fn phase(&self, at_s: f64) -> &'static str {
        let (ramp_up, warm_up) = (self.ramp_up.as_secs_f64(), self.warm_up.as_secs_f64());
        let end = match self.until {
            Until::Time(time) => ramp_up + warm_up + time.as_secs_f64(),
            Until::Requests(_) => f64::INFINITY,
        };
        match at_s {
            // An interval that ends with a phase belongs to it; at 0, the first phase there is.
            _ if at_s <= ramp_up && ramp_up > 0.0 => "ramp-up",
            _ if at_s <= ramp_up + warm_up && warm_up > 0.0 => "warm-up",
            _ if at_s <= end => "measuring",
            _ => "last ones",
        }
    }

    fn line(&self, point: &Point, errors: u64) -> String {
        let total = match self.until {
            Until::Time(time) => format!(" / {}", clock(self.ramp_up + self.warm_up + time)),
            Until::Requests(_) => String::new(),
        };
        let rate = if point.seconds > 0.0 { units::float(point.requests) / point.seconds } else { 0.0 };
        let p99 = if point.requests > 0 { units::time(point.p99_us) } else { "-".to_owned() };
        format!(
            "{}{total}  {:>9}/s  p99 {p99:>7}  errors {}",
            clock(elapsed(point)),
            units::rate(rate),
            units::count(errors)
        )
    }
}

fn elapsed(point: &Point) -> Duration {
    Duration::try_from_secs_f64(point.at_s).unwrap_or_default()
}

/// "01:23".
fn clock(time: Duration) -> String {
    let seconds = (time + Duration::from_millis(500)).as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        ramp_up: Duration::from_secs(2),
        warm_up: Duration::from_secs(3),
        until: Until::Time(Duration::from_secs(25)),
    };

    fn point(at_s: f64, requests: u64, errors: u64) -> Point {
        let measured = at_s > 5.0;
        Point { at_s, seconds: 1.0, measured, requests, errors, p50_us: 90.0, p99_us: 1_234.0, max_us: 2_000.0 }
    }

    #[test]
    fn each_phase_has_its_name() {
        let names: Vec<&str> = [0.0, 2.0, 2.5, 5.0, 6.0, 30.0, 30.5].map(|at_s| PLAN.phase(at_s)).into();
        assert_eq!(names, ["ramp-up", "ramp-up", "warm-up", "warm-up", "measuring", "measuring", "last ones"]);
        let bare = Plan { ramp_up: Duration::ZERO, warm_up: Duration::ZERO, until: Until::Requests(9) };
        assert_eq!([bare.phase(0.0), bare.phase(1e6)], ["measuring", "measuring"]);
    }

    #[test]
    fn the_bar_shows_rate_p99_and_all_errors_so_far() {
        let mut progress = Progress::on(ProgressDrawTarget::hidden(), PLAN);
        assert_eq!(progress.bar.prefix(), "ramp-up");
        progress.interval(&point(12.0, 49_998, 2));
        progress.interval(&point(13.0, 50_001, 3));
        assert_eq!(progress.bar.prefix(), "measuring");
        assert_eq!(progress.bar.message(), "00:13 / 00:30     50,001/s  p99 1.23 ms  errors 5");
        assert_eq!((progress.bar.position(), progress.bar.length()), (13_000, Some(30_000)));
    }

    #[test]
    fn a_count_of_requests_advances_by_what_was_measured() {
        let plan = Plan { until: Until::Requests(1_000), ..PLAN };
        let mut progress = Progress::on(ProgressDrawTarget::hidden(), plan);
        progress.interval(&point(4.0, 300, 0));
        assert_eq!(progress.bar.position(), 0);
        progress.interval(&point(6.0, 300, 100));
        assert_eq!(progress.bar.position(), 400);
    }

    #[test]
    fn an_interval_without_answers_has_no_p99() {
        assert_eq!(PLAN.line(&point(6.0, 0, 8), 8), "00:06 / 00:30          0/s  p99       -  errors 8");
    }
}
