//! The report for people: what ran, how fast, how late, what failed. Sentences where something needs attention.

use crate::output::facts;
use crate::output::table::aligned;
use crate::output::units;
use crate::results::Results;

/// Longest example of an error that a line of the report takes.
const EXAMPLE_CHARS_MAX: usize = 100;

/// The report of one run, lines ended.
#[must_use]
pub fn text(results: &Results) -> String {
    let blocks =
        [head(results), attention(results), work(results), latency(results), errors(results), statuses(results)];
    let blocks: Vec<String> = blocks.into_iter().filter(|block| !block.is_empty()).collect();
    blocks.join("\n")
}

fn head(results: &Results) -> String {
    format!(
        "{}\n{}; {} measured, begun {}\n",
        facts::title(&results.settings),
        facts::load(&results.settings),
        units::seconds(results.seconds),
        facts::begun(results)
    )
}

fn attention(results: &Results) -> String {
    let sentences =
        [facts::searched(results), facts::ending(results), facts::shortfall(results), facts::dropped_here(results)];
    sentences.into_iter().flatten().map(|sentence| sentence + "\n").collect()
}

fn work(results: &Results) -> String {
    let a_second = |amount: u64| {
        if results.seconds > 0.0 { units::float(amount) / results.seconds } else { 0.0 }
    };
    let of_asked = match results.settings.rate {
        Some(asked) => format!("{}/s of {}/s asked", units::rate(results.rate), units::rate(asked)),
        None => format!("{}/s", units::rate(results.rate)),
    };
    let traffic = |name: &str, bytes: u64| {
        vec![name.to_owned(), units::bytes(units::float(bytes)), format!("{}/s", units::bytes(a_second(bytes)))]
    };
    let mut rows = vec![
        vec!["Good answers".to_owned(), units::count(results.requests), of_asked],
        traffic("Received", results.bytes_received),
        traffic("Sent", results.bytes_sent),
    ];
    if results.connections_opened > 0 {
        let rate = format!("{}/s", units::rate(a_second(results.connections_opened)));
        rows.push(vec!["Connections opened".to_owned(), units::count(results.connections_opened), rate]);
    }
    if results.strays > 0 {
        rows.push(vec!["Late or double answers".to_owned(), units::count(results.strays)]);
    }
    aligned("lrl", &rows)
}

fn latency(results: &Results) -> String {
    if results.requests == 0 {
        return "Latency: no good answer.\n".to_owned();
    }
    let mut rows = vec![match results.service {
        Some(_) => vec!["Latency".to_owned(), "from when due".to_owned(), "from sending".to_owned()],
        None => vec!["Latency".to_owned(), "from sending".to_owned()],
    }];
    for (name, us) in facts::latencies(&results.latency) {
        rows.push(vec![format!("  {name}"), units::time(us)]);
    }
    if let Some(service) = &results.service {
        for (row, (_, us)) in rows.iter_mut().skip(1).zip(facts::latencies(service)) {
            row.push(units::time(us));
        }
    }
    aligned("lrr", &rows)
}

fn errors(results: &Results) -> String {
    let failed = facts::errors(results);
    if failed == 0 {
        return "Errors: none.\n".to_owned();
    }
    let tried = facts::tried(results);
    let mut rows = vec![vec!["Errors".to_owned(), units::count(failed), units::share(failed, tried)]];
    for (kind, count) in &results.errors {
        let example = results.error_examples.get(kind);
        let example = example.map(|example| format!("first: {}", units::printable(example, EXAMPLE_CHARS_MAX)));
        rows.push(vec![
            format!("  {}", kind.describe()),
            units::count(*count),
            units::share(*count, tried),
            example.unwrap_or_default(),
        ]);
    }
    aligned("lrrl", &rows)
}

fn statuses(results: &Results) -> String {
    if results.statuses.is_empty() {
        return String::new();
    }
    let all = results.statuses.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let mut rows = vec![vec!["Statuses".to_owned()]];
    for (class, count) in &results.statuses {
        rows.push(vec![format!("  {}", units::printable(class, 20)), units::count(*count), units::share(*count, all)]);
    }
    aligned("lrr", &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples;
    use crate::record::ErrorKind;
    use crate::results::End;
    use crate::search::{Searched, Trial};
    use proptest::prelude::*;

    #[test]
    fn an_open_loop_that_held_its_rate_has_both_columns_and_no_complaint() {
        let report = text(&samples::open_loop());
        assert!(
            report.contains("100 connections on 2 cores, open loop at 4,000 requests/s; 30.0 s measured"),
            "{report}"
        );
        assert!(report.contains("from when due  from sending"), "{report}");
        assert!(report.contains("of 4,000/s asked"), "{report}");
        assert!(!report.contains("fell short"), "{report}");
        assert!(report.contains("Errors: none."), "{report}");
    }

    #[test]
    fn a_shortfall_beyond_a_percent_is_said_in_words() {
        let mut results = samples::open_loop();
        results.rate = 3_961.0;
        results.unsent = 1;
        assert!(!text(&results).contains("fell short"));
        results.rate = 3_959.0;
        results.unsent = 0;
        assert!(!text(&results).contains("fell short"), "by chance: nothing failed");
        results.unsent = 1;
        let report = text(&results);
        assert!(report.contains("3,959 of 4,000 requests/s got a good answer, 1.02 % less."), "{report}");
        results.unsent = 6_030;
        let report = text(&results);
        assert!(
            report.contains("6,030 requests were due and never sent: no connection was free for them."),
            "{report}"
        );
        assert!(report.contains("The target is at its limit, or the connections are too few."), "{report}");
    }

    #[test]
    fn requests_left_unsent_are_named_even_when_the_rate_was_held() {
        let mut results = samples::open_loop();
        results.unsent = 1;
        let report = text(&results);
        assert!(report.contains("1 request was due and never sent: no connection was free for it."), "{report}");
        assert!(!report.contains("fell short"), "{report}");
    }

    #[test]
    fn without_answers_there_are_no_percentiles_of_nothing() {
        let report = text(&samples::all_errors());
        assert!(report.contains("Latency: no good answer."), "{report}");
        assert!(!report.contains("p99"), "{report}");
        assert!(report.contains("connection refused  4,999  100 %  first: 127.0.0.1:8080: ECONNREFUSED"), "{report}");
    }

    #[test]
    fn a_closed_loop_has_one_column() {
        let report = text(&samples::closed_loop());
        assert!(report.contains("closed loop"), "{report}");
        assert!(report.contains("from sending") && !report.contains("from when due"), "{report}");
    }

    #[test]
    fn a_target_that_went_away_is_said_with_when_and_why() {
        let mut results = samples::open_loop();
        results.end = End::TargetDown { at_s: 12.34, error: "connection refused".into() };
        assert!(text(&results).contains("The target stopped answering 12.3 s into the run (connection refused)"));
        results.end = End::TargetDown { at_s: 0.0, error: "timed out".into() };
        assert!(text(&results).contains("The target never answered (timed out) and was given up"));
        results.end = End::Interrupted;
        assert!(text(&results).contains("Interrupted: these are the 30.0 s measured until then."));
    }

    #[test]
    fn what_a_search_found_comes_first() {
        let mut results = samples::open_loop();
        let trials = vec![Trial { rate: 4_000.0, p99_us: 900.0, broken: None }; 2];
        results.search = Some(Searched { objective: "p99<5ms".into(), rate: 4_000.0, trials });
        let report = text(&results);
        assert!(report.contains("\n\nThe highest rate that holds p99<5ms: 4,000 requests/s, by 2 trials."), "{report}");
    }

    #[test]
    fn datagrams_go_out_on_sockets_and_what_became_of_them_is_told_apart() {
        let mut results = samples::open_loop();
        results.settings.mode = "udp".into();
        results.errors.insert(ErrorKind::Lost, 1_200);
        (results.rate, results.unsent, results.strays, results.dropped_here) = (3_000.0, 7, 12, 34);
        let report = text(&results);
        for part in [
            "100 sockets on 2 cores",
            "no socket was free for them",
            "datagram lost  1,200  0.990 %",
            "Late or double answers       12",
            "34 answers were dropped by this host",
        ] {
            assert!(report.contains(part), "{part}: {report}");
        }
        assert!(!report.contains("connection"), "{report}");
    }

    #[test]
    fn what_a_target_said_cannot_move_the_cursor() {
        let mut results = samples::open_loop();
        results.errors.insert(ErrorKind::BadAnswer, 3);
        results.error_examples.insert(ErrorKind::BadAnswer, "\u{1b}[2J\nboo".into());
        let report = text(&results);
        assert!(!report.contains('\u{1b}') && report.contains("first: \u{fffd}[2J\u{fffd}boo"), "{report}");
    }

    proptest! {
        #[test]
        fn any_finite_results_have_a_report(results in samples::any_results()) {
            let report = text(&results);
            prop_assert!(report.ends_with('\n'));
            prop_assert!(!report.contains(|c: char| c.is_control() && c != '\n'), "{report:?}");
        }
    }
}
