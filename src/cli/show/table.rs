//! Columns as wide as what they hold, two spaces apart.

use super::plain;

/// A table in the making.
#[derive(Debug)]
pub(in crate::cli) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

/// Which end of its column a cell is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Align {
    Left,
    /// Numbers.
    Right,
}

impl Table {
    pub(in crate::cli) fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter().map(|(title, align)| (plain(title), *align)).collect();
        Table { columns, rows: Vec::new() }
    }

    /// A row with a cell for each column; what is missing is empty, what is too much is left out.
    pub(in crate::cli) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.push(cells.into());
    }

    pub(in crate::cli) fn push(&mut self, mut cells: Vec<String>) {
        cells.iter_mut().for_each(|cell| *cell = plain(cell));
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    /// Lines, each below `indent`; nothing without rows. A column without a word is left out.
    pub(in crate::cli) fn to_text(&self, indent: &str) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let has_words = |column: &usize| self.rows.iter().any(|row| !row[*column].is_empty());
        let shown: Vec<usize> = (0..self.columns.len()).filter(has_words).collect();
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| title.clone()).collect();
        let lines = || std::iter::once(&titles).chain(&self.rows);
        let width = |column: usize| lines().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let cell = |row: &[String], column: usize| {
            let width = widths[column];
            match self.columns[column].1 {
                Align::Left => format!("{:<width$}", row[column]),
                Align::Right => format!("{:>width$}", row[column]),
            }
        };
        let line = |row: &Vec<String>| {
            let cells = shown.iter().map(|column| cell(row, *column)).collect::<Vec<_>>();
            format!("{indent}{}", cells.join("  ")).trim_end().to_owned() + "\n"
        };
        lines().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Align::{Left, Right};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_line_up_and_an_empty_one_is_left_out() {
        let mut table = Table::new(&[("NAME", Left), ("ZONE", Left), ("WEIGHT", Right), ("WHY", Left)]);
        table.row(["a".into(), String::new(), "10".into(), String::new()]);
        table.row(["longer".into(), String::new(), "5".into(), "so".into()]);
        let shown = "  NAME    WEIGHT  WHY\n  a           10\n  longer       5  so\n";
        assert_eq!(table.to_text("  "), shown);
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert_eq!(Table::new(&[("NAME", Left)]).to_text(""), "");
    }

    proptest! {
        #[test]
        fn any_cells_give_a_line_each_and_none_has_a_control(
            rows in prop::collection::vec(prop::collection::vec(any::<String>(), 0..4), 1..6)
        ) {
            let mut table = Table::new(&[("A", Left), ("B", Right)]);
            rows.iter().for_each(|row| table.push(row.clone()));
            let text = table.to_text("");
            prop_assert_eq!(text.split('\n').count(), rows.len() + 2);
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
