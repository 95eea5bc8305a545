//! Results in a file and back. A reader takes every format up to its own, and says what is wrong with anything else.

use std::path::Path;

use crate::output::error::{OutputError, write as write_file};
use crate::results::{FORMAT, Results};

/// The results as text that `parse` takes back, for people to read too.
///
/// # Panics
/// Never: every field has a form in JSON.
#[must_use]
pub fn text(results: &Results) -> String {
    let mut text = serde_json::to_string_pretty(results).expect("keys are strings");
    text.push('\n');
    text
}

/// Writes the results to `path`, whatever was there.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, results: &Results) -> Result<(), OutputError> {
    write_file(path, &text(results))
}

/// Reads what `write` wrote.
///
/// # Errors
/// There is no such file, or it is not ours, or a later release wrote it.
pub fn read(path: &Path) -> Result<Results, OutputError> {
    let text = std::fs::read_to_string(path).map_err(|source| OutputError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// Understands the text of the file at `path`.
fn parse(path: &Path, text: &str) -> Result<Results, OutputError> {
    let path = || path.to_owned();
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|source| OutputError::NotJson { path: path(), source })?;
    // A newer format may lack what we ask for: its number comes first.
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format > u64::from(FORMAT) => Err(OutputError::Newer { path: path(), format }),
        _ => serde_json::from_value(value).map_err(|source| OutputError::NotResults { path: path(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples;
    use proptest::prelude::*;

    fn complaint(text: &str) -> String {
        parse(Path::new("a.json"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none.json");
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("none.json: cannot be read: No such file"), "{error}");
        let error = write(directory.path(), &samples::open_loop()).unwrap_err().to_string();
        assert!(error.contains("cannot be written"), "{error}");
    }

    #[test]
    fn what_is_not_ours_is_refused_with_the_place() {
        assert!(complaint("hello").contains("a.json: not JSON: expected value at line 1"), "{}", complaint("hello"));
        assert!(complaint("").contains("not JSON: EOF"), "{}", complaint(""));
        assert!(
            complaint("{\"a\": 1}").contains("not the results of a run: missing field"),
            "{}",
            complaint("{\"a\": 1}")
        );
        assert!(complaint("[]").contains("not the results of a run"), "{}", complaint("[]"));
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let text = text(&samples::open_loop()).replacen("\"format\": 1", "\"format\": 2", 1);
        let error = complaint(&text);
        assert!(error.contains("format 2 is newer than this weir-loadgen, which reads up to 1"), "{error}");
    }

    #[test]
    fn a_file_comes_back_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        let results = samples::open_loop();
        write(&path, &results).unwrap();
        assert_eq!(read(&path).unwrap(), results);
    }

    proptest! {
        #[test]
        fn any_finite_results_come_back(results in samples::any_results()) {
            prop_assert_eq!(parse(Path::new("a.json"), &text(&results)).unwrap(), results);
        }
    }
}
