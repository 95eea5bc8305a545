//! Every figure is well formed, stays on its sheet, and no two texts lie on one another.
//!
//! With `WEIR_FIGURES=directory` the figures of the sample runs are left there to be looked at.

use std::path::PathBuf;

use super::*;
use crate::output::samples::{self, Scenario};
use crate::results::End;
use proptest::prelude::*;

/// Units of the view box in a pixel, as in `canvas`.
const UNITS: f64 = 4.0;

/// The rectangle a text takes.
struct Label {
    text: String,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// The value of `name="..."` in a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    tag[start..].split('"').next()
}

fn number(tag: &str, name: &str) -> f64 {
    attribute(tag, name).unwrap().parse().unwrap()
}

/// Texts with the room they take in pixels, by the width of an ordinary sans-serif.
fn labels(svg: &str) -> Vec<Label> {
    let label = |part: &str| {
        let (tag, rest) = part.split_once('>').unwrap();
        let text = rest.split("</text>").next().unwrap().trim().to_owned();
        let (x, y, size) = (number(tag, "x") / UNITS, number(tag, "y") / UNITS, number(tag, "font-size") / UNITS);
        let chars = crate::output::units::float(text.chars().count() as u64);
        let width = chars * size * if tag.contains("bold") { 0.58 } else { 0.53 };
        let left = match attribute(tag, "text-anchor").unwrap() {
            "start" => x,
            "middle" => x - width / 2.0,
            _ => x - width,
        };
        // Numbers below the axis hang from their point, all else is centred on it.
        let top = if attribute(tag, "dy") == Some("0.76em") { y } else { y - size / 2.0 };
        Label { text, left, right: left + width, top, bottom: top + size }
    };
    svg.split("<text").skip(1).map(label).collect()
}

/// Tags that are closed again, in order, and attributes that are numbers.
fn assert_sound(svg: &str, what: &str) {
    let mut open = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("{what}: a tag without end: {part}"));
        assert!(!tag.contains("NaN") && !tag.contains("inf"), "{what}: {tag}");
        let name = tag.split([' ', '/']).next().unwrap();
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{what}"),
            None if tag.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{what}: {open:?} not closed");
    assert!(!svg.chars().any(|c| c.is_control() && c != '\n'), "{what}: a control character");
}

fn assert_legible(svg: &str, what: &str) {
    let labels = labels(svg);
    let head = svg.split('>').next().unwrap();
    let (width, height) = (number(head, "width"), number(head, "height"));
    for (index, a) in labels.iter().enumerate() {
        let inside = a.left >= 0.0 && a.right <= width && a.top >= 0.0 && a.bottom <= height;
        assert!(inside, "{what}: {:?} is beyond {width} x {height}", a.text);
        for b in &labels[index + 1..] {
            let apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
            assert!(apart, "{what}: {:?} lies on {:?}", a.text, b.text);
        }
    }
}

fn leave(name: &str, text: &str) {
    if let Some(directory) = std::env::var_os("WEIR_FIGURES") {
        std::fs::write(PathBuf::from(directory).join(name), text).unwrap();
    }
}

fn overloaded() -> Results {
    let mut results = Scenario { connections: 1, slowness: 3.2, failing: 0.01, ..Scenario::usual() }.run();
    results.unsent = 12_345;
    results.rate = 3_105.0;
    results.end = End::TargetDown { at_s: 33.0, error: "connection reset by peer".into() };
    results.settings.target = format!("http://service.example:8080/{}", "a-long-path/".repeat(20));
    results
}

fn sample_runs() -> [(&'static str, Results); 9] {
    [
        ("open_loop", samples::open_loop()),
        ("stalled", samples::stalled()),
        ("closed_loop", samples::closed_loop()),
        ("all_errors", samples::all_errors()),
        ("nothing", samples::nothing()),
        ("one_request", samples::one_request()),
        ("one_second", samples::one_second()),
        ("ten_minutes", samples::ten_minutes()),
        ("overloaded", overloaded()),
    ]
}

#[test]
fn every_kind_of_run_has_a_figure_without_overlaps() {
    for (name, results) in sample_runs() {
        let svg = svg(&results).unwrap();
        assert_sound(&svg, name);
        assert_legible(&svg, name);
        leave(&format!("{name}.svg"), &svg);
        let charts = charts(&results).unwrap();
        assert_sound(&charts, name);
        assert_legible(&charts, name);
        leave(&format!("{name}.html"), &html::page(&results).unwrap());
        leave(&format!("{name}.txt"), &crate::output::text::text(&results));
    }
}

#[test]
fn a_long_note_is_told_in_whole() {
    let svg = svg(&overloaded()).unwrap();
    let told: Vec<String> = labels(&svg).into_iter().map(|label| label.text).collect();
    let told = told.join(" ");
    assert!(told.contains("12,345 requests were due and never sent: no connection was free for them."), "{told}");
}

#[test]
fn several_runs_share_a_chart() {
    let runs = sample_runs();
    let named: Vec<(&str, &Results)> = runs.iter().map(|(name, results)| (*name, results)).collect();
    for (name, some) in [("all", &named[..]), ("two", &named[..2]), ("one", &named[..1]), ("none", &[])] {
        let svg = svg_of_several(some).unwrap();
        assert_sound(&svg, name);
        assert_legible(&svg, name);
        leave(&format!("several_{name}.svg"), &svg);
        leave(&format!("several_{name}.html"), &html::page_of_several(some).unwrap());
    }
}

#[test]
fn a_page_needs_nothing_from_elsewhere_and_escapes_what_it_was_told() {
    let mut results = samples::one_second();
    results.settings.target = "http://a/<script>alert('&')</script>".into();
    let page = html::page(&results).unwrap();
    assert!(!page.contains("<script"), "{page}");
    for from_elsewhere in ["src=", "href=", "url(", "@import"] {
        assert!(!page.contains(from_elsewhere), "{from_elsewhere}");
    }
    assert!(page.contains("&lt;script&gt;alert(&#39;&amp;&#39;)"));
}

#[test]
fn the_ending_says_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let results = samples::one_second();
    let path = |name: &str| directory.path().join(name);
    write(&path("a.svg"), &results).unwrap();
    assert!(std::fs::read_to_string(path("a.svg")).unwrap().starts_with("<svg "));
    write(&path("a.HTML"), &results).unwrap();
    assert!(std::fs::read_to_string(path("a.HTML")).unwrap().starts_with("<!doctype html>"));
    let error = write(&path("a.png"), &results).unwrap_err().to_string();
    assert!(error.contains("a.png: a figure's file ends with .svg or .html"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_finite_results_have_a_figure_and_a_page(results in samples::any_results(), other in samples::any_results()) {
        assert_sound(&svg(&results).unwrap(), "any");
        assert_sound(&svg_of_several(&[("a", &results), ("b\u{0}<", &other)]).unwrap(), "any");
        prop_assert!(html::page(&results).is_ok());
    }
}
