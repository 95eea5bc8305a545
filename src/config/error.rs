//! What is wrong with a config: each mistake with its line, its place and how to mend it.
//!
//! `Report` gathers while the text is read; `Errors` is the sorted result. A mistake prints as
//! `lb.toml:41: listener "web": port 443 is taken by listener "api" (line 12); change one port or give each its own address`.

use std::cell::{Cell, RefCell};
use std::fmt;

use super::limits;
use crate::inventory::Refusal;

/// Everything that is wrong with one config, sorted by line. Prints one mistake a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    file: String,
    mistakes: Vec<ConfigError>,
    left_out: usize,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Line of the file, from 1. `None` where the mistake is the file itself, such as one that cannot be read.
    pub line: Option<usize>,
    /// Column in characters, from 1; given where the text is not TOML.
    pub column: Option<usize>,
    /// The thing and the key, such as `listener "web": idle_timeout`; empty for the file itself.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

impl Errors {
    /// The file itself is the mistake.
    pub(super) fn of_file(file: String, wrong: Wrong) -> Errors {
        let Wrong { what, mend } = wrong;
        let error = ConfigError { line: None, column: None, place: String::new(), message: what, hint: mend };
        Errors { file, mistakes: vec![error], left_out: 0 }
    }

    /// The config's name, as it was given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The mistakes, by line.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.mistakes.iter()
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.mistakes.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{}{error}", self.file)?;
        }
        if self.left_out > 0 {
            write!(f, "\n{}: more errors, not shown: {}; mend these first", self.file, self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Everything after the file's name: `:41:7: place: message; hint`.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        if !self.place.is_empty() {
            write!(f, ": {}", self.place)?;
        }
        write!(f, ": {}; {}", self.message, self.hint)
    }
}

/// What is wrong with a value and how to mend it; the reader of the value adds the place.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub what: String,
    pub mend: String,
}

impl Wrong {
    pub fn new(what: impl Into<String>, mend: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), mend: mend.into() }
    }
}

impl From<Refusal> for Wrong {
    fn from(refusal: Refusal) -> Wrong {
        Wrong::new(refusal.what, refusal.mend)
    }
}

/// Gathers the mistakes of one text. Shared by all readers of the text, hence the cells.
pub(super) struct Report<'t> {
    file: &'t str,
    text: &'t str,
    /// Byte offset at which each line starts. What follows the last line end is no line unless it has text, so that a
    /// mistake at the end of the file is shown on a line that an editor has.
    line_starts: Vec<usize>,
    errors: RefCell<Vec<ConfigError>>,
    notes: RefCell<Vec<String>>,
    warnings: RefCell<Vec<String>>,
    left_out: Cell<usize>,
}

impl<'t> Report<'t> {
    pub fn new(file: &'t str, text: &'t str) -> Report<'t> {
        let after_line_ends = text.match_indices('\n').map(|(offset, _)| offset + 1);
        let line_starts = std::iter::once(0).chain(after_line_ends.filter(|start| *start < text.len())).collect();
        Report {
            file,
            text,
            line_starts,
            errors: RefCell::default(),
            notes: RefCell::default(),
            warnings: RefCell::default(),
            left_out: Cell::new(0),
        }
    }

    /// Line of a byte offset, from 1.
    pub fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// A mistake in a thing that was understood as TOML.
    pub fn at(&self, line: usize, place: impl Into<String>, wrong: Wrong) {
        self.push(line, None, place.into(), wrong);
    }

    /// Something that is not in effect and is no mistake: printed as a mistake is.
    pub fn note(&self, line: usize, place: impl Into<String>, wrong: Wrong) {
        self.notes.borrow_mut().push(self.printed(line, place.into(), wrong));
    }

    /// Something that is in effect and that the operator may not want: printed as a mistake is.
    pub fn warn(&self, line: usize, place: impl Into<String>, wrong: Wrong) {
        self.warnings.borrow_mut().push(self.printed(line, place.into(), wrong));
    }

    fn printed(&self, line: usize, place: String, wrong: Wrong) -> String {
        let Wrong { what, mend } = wrong;
        let line = ConfigError { line: Some(line), column: None, place, message: what, hint: mend };
        format!("{}{line}", self.file)
    }

    /// All notes, in the order they were made.
    pub fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// All warnings, in the order they were made.
    pub fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// A mistake in the text, shown with its column.
    pub fn at_offset(&self, offset: usize, place: &str, wrong: Wrong) {
        let line = self.line_of(offset);
        let before = self.text.get(self.line_starts[line - 1]..offset).unwrap_or_default();
        let column = before.trim_end_matches(['\r', '\n']).chars().count() + 1;
        self.push(line, Some(column), place.to_owned(), wrong);
    }

    /// The text is not TOML.
    pub fn syntax(&self, offset: usize, message: &str) {
        let mend = if message.contains("duplicate") {
            "give it once: remove or rename one of the two"
        } else {
            "correct the TOML here"
        };
        self.at_offset(offset, "syntax", Wrong::new(message, mend));
    }

    pub fn is_empty(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    pub fn into_errors(self) -> Errors {
        let mut mistakes = self.errors.into_inner();
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        Errors { file: self.file.to_owned(), mistakes, left_out: self.left_out.get() }
    }

    fn push(&self, line: usize, column: Option<usize>, place: String, wrong: Wrong) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() >= limits::ERRORS_SHOWN_MAX {
            self.left_out.set(self.left_out.get() + 1);
            return;
        }
        errors.push(ConfigError { line: Some(line), column, place, message: wrong.what, hint: wrong.mend });
    }
}

/// What the operator typed, in quotes, escaped and cut, so that no value can spoil the message.
pub(super) fn quoted(typed: &str) -> String {
    match typed.char_indices().nth(limits::NAME_BYTES_MAX) {
        Some((cut, _)) => format!("{:?}...", &typed[..cut]),
        None => format!("{typed:?}"),
    }
}

/// The hint for a name that is not known: the nearest known one, else what the caller says.
pub(super) fn did_you_mean<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    if typed.len() > limits::NAME_BYTES_MAX {
        return otherwise();
    }
    // A third of the letters may differ: enough for a slip or two, too few to propose another word.
    let near = known.into_iter().map(|name| (strsim::damerau_levenshtein(typed, name), name));
    let best = near.filter(|(edits, name)| *edits <= (name.len() / 3).max(1)).min_by_key(|(edits, _)| *edits);
    best.map_or_else(otherwise, |(_, name)| format!("did you mean {}?", quoted(name)))
}
