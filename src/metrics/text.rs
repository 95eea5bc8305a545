//! The text format of Prometheus, version 0.0.4: families of samples, values and labels escaped.

use std::fmt::Write;

use super::histogram::Buckets;
use super::names::{Kind, Metric};

/// A text that is being written. Each family is written once, whole.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// One family: its head is written, samples follow.
pub(super) struct Family<'t> {
    text: &'t mut String,
    metric: &'static Metric,
    /// A head without samples is left out: it tells nobody anything.
    head_written: bool,
}

impl Text {
    pub(super) fn into_string(self) -> String {
        self.0
    }

    pub(super) fn family(&mut self, metric: &'static Metric, samples: impl FnOnce(&mut Family)) {
        samples(&mut Family { text: &mut self.0, metric, head_written: false });
    }
}

impl Family<'_> {
    /// One series, or nothing while there is no value.
    pub(super) fn sample(&mut self, labels: &[&str], value: impl Into<Number>) {
        debug_assert_ne!(self.metric.kind, Kind::Histogram);
        self.head();
        self.series("", labels, None);
        self.value(value.into());
    }

    pub(super) fn histogram(&mut self, labels: &[&str], buckets: &Buckets) {
        debug_assert_eq!(self.metric.kind, Kind::Histogram);
        self.head();
        for (bound, count) in buckets.cumulative() {
            self.series("_bucket", labels, Some(&bound.to_string()));
            self.value(count.into());
        }
        self.series("_bucket", labels, Some("+Inf"));
        self.value(buckets.count().into());
        self.series("_sum", labels, None);
        self.value(buckets.sum_seconds().into());
        self.series("_count", labels, None);
        self.value(buckets.count().into());
    }

    fn head(&mut self) {
        if std::mem::replace(&mut self.head_written, true) {
            return;
        }
        let Metric { name, help, kind, .. } = self.metric;
        push(self.text, format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str()));
    }

    fn series(&mut self, suffix: &str, values: &[&str], bound: Option<&str>) {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "{}", self.metric.name);
        self.text.push_str(self.metric.name);
        self.text.push_str(suffix);
        let labels = self.metric.labels.iter().copied().zip(values.iter().copied());
        let mut before = '{';
        for (label, value) in labels.chain(bound.map(|bound| ("le", bound))) {
            push(self.text, format_args!("{before}{label}=\"{}\"", escaped(value)));
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
    }

    fn value(&mut self, value: Number) {
        match value {
            Number::Whole(value) => push(self.text, format_args!(" {value}\n")),
            Number::Real(value) => push(self.text, format_args!(" {value}\n")),
        }
    }
}

/// A sample's value. Counters stay whole: a float would lose the last digits of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Number::Whole(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Number::Whole(value as u64)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Number::Whole(u64::from(value))
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Number::Real(value)
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(arguments);
}

fn escaped(value: &str) -> std::borrow::Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return value.into();
    }
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::names;

    #[test]
    fn a_family_has_one_head_and_a_line_a_series() {
        let mut text = Text::default();
        text.family(&names::CONFIG_RELOAD, |family| {
            family.sample(&["success"], 3_u64);
            family.sample(&["failure"], u64::MAX);
        });
        text.family(&names::PROCESS_CPU, |family| family.sample(&[], 0.25));
        text.family(&names::TARGET_WEIGHT, |_| {});
        let lines: Vec<String> = text.into_string().lines().map(str::to_owned).collect();
        assert_eq!(
            lines[1..4],
            [
                "# TYPE weir_config_reload_total counter",
                "weir_config_reload_total{result=\"success\"} 3",
                "weir_config_reload_total{result=\"failure\"} 18446744073709551615",
            ]
        );
        assert_eq!(lines[6], "process_cpu_seconds_total 0.25");
        assert_eq!(lines.len(), 7, "a family without samples is left out");
    }

    #[test]
    fn label_values_are_escaped() {
        let mut text = Text::default();
        text.family(&names::BUILD_INFO, |family| family.sample(&["a\"b\\c\nd"], true));
        assert!(text.into_string().ends_with("weir_build_info{version=\"a\\\"b\\\\c\\nd\"} 1\n"));
    }
}
