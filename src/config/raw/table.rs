//! One TOML table that is being read: what is wrong in it is reported with its line and key, and reads as absent.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::At;
use crate::config::error::{Report, Wrong, did_you_mean, quoted};
use crate::config::keys::{self, Section};
use crate::config::limits;
use crate::config::values::{self, Read};

/// One TOML table that is being read.
pub(super) struct Table<'t> {
    pub entries: &'t DeTable<'t>,
    pub line: usize,
    /// What errors put in front of a key: `listener "web": ` or `listener "web": default_action.`.
    pub place: String,
    section: &'static Section,
    report: &'t Report<'t>,
}

impl<'t> Table<'t> {
    /// Unknown keys are reported here, so that no reader can forget to.
    pub fn open(
        entries: &'t DeTable<'t>,
        line: usize,
        place: String,
        section: &'static Section,
        report: &'t Report<'t>,
    ) -> Table<'t> {
        let table = Table { entries, line, place, section, report };
        for key in entries.keys().filter(|key| !section.keys.contains(&key.get_ref().as_ref())) {
            table.unknown(report.line_of(key.span().start), key.get_ref());
        }
        table
    }

    /// A value that may be absent.
    pub fn read<T>(&self, key: &'static str, parse: impl Fn(&DeValue<'_>) -> Read<T>) -> Option<At<T>> {
        let value = self.get(key)?;
        let line = self.line_of(value);
        parse(value.get_ref()).map_err(|wrong| self.wrong(line, key, wrong)).ok().map(|value| At { value, line })
    }

    /// A value that must be there; `mend` says how to add it.
    pub fn require<T>(&self, key: &'static str, parse: impl Fn(&DeValue<'_>) -> Read<T>, mend: &str) -> Option<At<T>> {
        if self.get(key).is_none() {
            self.missing(key, mend);
        }
        self.read(key, parse)
    }

    /// A table inside this one.
    pub fn table(&self, key: &'static str, place: &str, section: &'static Section) -> Option<Table<'t>> {
        let value = self.get(key)?;
        let line = self.line_of(value);
        let DeValue::Table(entries) = value.get_ref() else {
            self.wrong(line, key, values::expected("a table", value.get_ref(), "write it as { key = value }"));
            return None;
        };
        Some(Table::open(entries, line, place.to_owned(), section, self.report))
    }

    /// A table that must be there.
    pub fn require_table(
        &self,
        key: &'static str,
        place: &str,
        section: &'static Section,
        mend: &str,
    ) -> Option<Table<'t>> {
        if self.get(key).is_none() {
            self.missing(key, mend);
        }
        self.table(key, place, section)
    }

    /// A list of tables inside this one. Errors call each by its name or id, or by its number where it has none.
    pub fn list(&self, key: &'static str, noun: &str, section: &'static Section) -> Vec<Table<'t>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            let title = section.title.trim_matches('`');
            let mend = if title.starts_with("[[") {
                format!("head each one with {title}")
            } else {
                format!("write it as {key} = [{{ key = value }}]")
            };
            self.wrong(self.line_of(value), key, values::expected("a list of tables", value.get_ref(), &mend));
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let line = self.line_of(item);
            let DeValue::Table(entries) = item.get_ref() else {
                self.wrong(line, key, values::expected("a table", item.get_ref(), "write it as { key = value }"));
                continue;
            };
            let place = match entries.get("name").or(entries.get("id")).and_then(|name| name.get_ref().as_str()) {
                Some(name) => format!("{}{noun} {}: ", self.place, quoted(name)),
                None => format!("{}{noun} #{}: ", self.place, index + 1),
            };
            tables.push(Table::open(entries, line, place, section, self.report));
        }
        tables
    }

    /// The values of a list; a value that is no list stands for a list of one.
    pub fn items(&self, key: &'static str) -> Vec<&'t Spanned<DeValue<'t>>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else { return vec![value] };
        if items.is_empty() {
            let wrong = Wrong::new("the list is empty", "name at least one value, or remove the key");
            self.wrong(self.line_of(value), key, wrong);
        }
        items.iter().collect()
    }

    /// One of `items`.
    pub fn item<T>(
        &self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        parse: impl Fn(&DeValue<'_>) -> Read<T>,
    ) -> Option<T> {
        parse(value.get_ref()).map_err(|wrong| self.wrong(self.line_of(value), key, wrong)).ok()
    }

    /// All of `items` that are good; `None` where there is none.
    pub fn read_items<T>(&self, key: &'static str, parse: impl Fn(&DeValue<'_>) -> Read<T>) -> Option<Vec<T>> {
        let items: Vec<_> = self.items(key).into_iter().filter_map(|value| self.item(key, value, &parse)).collect();
        (!items.is_empty()).then_some(items)
    }

    /// All of `items` that are good, each with its line.
    pub fn read_items_at<T>(&self, key: &'static str, parse: impl Fn(&DeValue<'_>) -> Read<T>) -> Vec<At<T>> {
        let read = |value: &Spanned<DeValue<'_>>| {
            self.item(key, value, &parse).map(|good| At { value: good, line: self.line_of(value) })
        };
        self.items(key).into_iter().filter_map(read).collect()
    }

    /// A table among `items`.
    pub fn item_table(
        &self,
        key: &'static str,
        value: &'t Spanned<DeValue<'t>>,
        section: &'static Section,
    ) -> Option<Table<'t>> {
        let DeValue::Table(entries) = value.get_ref() else { return None };
        let place = format!("{}{key}.", self.place);
        Some(Table::open(entries, self.line_of(value), place, section, self.report))
    }

    /// Whether the value of this key is a list of nothing.
    pub fn is_empty_list(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::Array(items) if items.is_empty()))
    }

    /// Whether the value of this key is a list.
    pub fn is_list(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::Array(_)))
    }

    /// Whether something was reported that may be what is missed here.
    pub fn has_unknown_keys(&self) -> bool {
        self.entries.keys().any(|key| !self.section.keys.contains(&key.get_ref().as_ref()))
    }

    /// What is wrong with the table as a whole.
    pub fn wrong_here(&self, wrong: Wrong) {
        self.report.at(self.line, self.place.trim_end_matches(['.', ':', ' ']), wrong);
    }

    /// Which of these keys are there, and on which line.
    pub fn given(&self, keys: &'static [&'static str]) -> Vec<(&'static str, usize)> {
        keys.iter().filter_map(|key| Some((*key, self.line_of(self.get(key)?)))).collect()
    }

    fn get(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        debug_assert!(self.section.keys.contains(&key), "{key} is not among the keys of {}", self.section.title);
        self.entries.get(key)
    }

    pub fn line_of(&self, value: &Spanned<DeValue<'_>>) -> usize {
        self.report.line_of(value.span().start)
    }

    /// The thing that this table describes: `listener "web"`.
    pub fn thing(&self) -> String {
        self.place.strip_suffix(": ").unwrap_or(&self.place).to_owned()
    }

    pub fn missing(&self, key: &str, mend: &str) {
        self.wrong(self.line, key, Wrong::new("missing", mend));
    }

    pub fn wrong(&self, line: usize, key: &str, wrong: Wrong) {
        self.report.at(line, format!("{}{key}", self.place), wrong);
    }

    fn unknown(&self, line: usize, key: &str) {
        let place = format!("{}{}", self.place, shown_key(key));
        if keys::LATER.contains(&key) {
            let wrong = Wrong::new("this version does not have this feature yet", "remove the key");
            return self.report.at(line, place, wrong);
        }
        let known = self.section.keys;
        let mend = did_you_mean(key, known.iter().copied(), || format!("the keys here are {}", known.join(", ")));
        self.report.at(line, place, Wrong::new("unknown key", mend));
    }
}

/// A key as typed; in quotes where it would not read as a word.
fn shown_key(key: &str) -> String {
    let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare && (1..=limits::NAME_BYTES_MAX).contains(&key.len()) { key.to_owned() } else { quoted(key) }
}
