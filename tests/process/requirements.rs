//! docs/requirements.md against the tests that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What this version promises.
const PROMISED: [&str; 55] = [
    "L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "R1", "R2", "R3", "R4", "R5", "G1", "G2", "G3", "G4", "G5",
    "G6", "G7", "G8", "G9", "G10", "W1", "W2", "W3", "B1", "B3", "B4", "B5", "B6", "S1", "S2", "S4", "H1", "H2", "H3",
    "H4", "H5", "H7", "C1", "P1", "P2", "P3", "P5", "P6", "A1", "A2", "A3", "K1", "K3", "K4", "K5", "M2",
];

#[test]
fn the_table_names_every_requirement_and_only_tests_that_exist() {
    let table = fs::read_to_string(repository().join("docs/requirements.md")).expect("the table");
    let tests =
        tests_of(&repository().join("src")).chain(tests_of(&repository().join("tests"))).collect::<BTreeSet<_>>();
    for row in PROMISED.iter().chain(&["M1", "M3", "M4"]) {
        let line = table.lines().find(|line| line.starts_with(&format!("| {row} |")));
        let line = line.unwrap_or_else(|| panic!("{row} has no row"));
        assert!(names_in(line).next().is_some(), "{row} names no test");
    }
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        names_in(line).for_each(|name| assert!(tests.contains(name), "there is no test {name}: {line}"));
    }
}

#[test]
fn every_whole_process_test_of_a_requirement_is_in_the_table() {
    let table = fs::read_to_string(repository().join("docs/requirements.md")).expect("the table");
    let named: BTreeSet<&str> = table.lines().flat_map(names_in).collect();
    for test in tests_of(&repository().join("tests/process")).filter(|name| name.starts_with("r_")) {
        assert!(named.contains(test.as_str()), "{test} is missing in docs/requirements.md");
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between backticks in the last column of a row.
fn names_in(row: &str) -> impl Iterator<Item = &str> {
    let tests = row.trim_end_matches(['|', ' ']).rsplit_once('|').map_or("", |(_, tests)| tests);
    tests.split('`').skip(1).step_by(2)
}

/// Names of all functions below `#[test]` in a directory.
fn tests_of(directory: &Path) -> impl Iterator<Item = String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            names.extend(tests_of(&path).collect::<Vec<_>>());
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            names.extend(text.split("#[test]").skip(1).filter_map(function_name));
        }
    }
    names.into_iter()
}

fn function_name(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("fn ")?;
    Some(rest.split(['(', '<']).next()?.to_owned())
}
