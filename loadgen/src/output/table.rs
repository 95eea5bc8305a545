//! Rows of cells as aligned lines.

/// Aligns `rows` by `columns`: 'l' for left, 'r' for right. Columns stand two spaces apart, nothing trails.
pub(super) fn aligned(columns: &str, rows: &[Vec<String>]) -> String {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| chars(cell)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, side), width) in row.iter().zip(columns.chars()).zip(&widths) {
            let padding = " ".repeat(width.saturating_sub(chars(cell)));
            let (before, after) = if side == 'r' { (padding, String::new()) } else { (String::new(), padding) };
            line.extend([before.as_str(), cell, after.as_str(), "  "]);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn chars(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_one_another() {
        let rows = [vec!["p50".into(), "1 us".into(), "é".into()], vec!["p99.9".into(), "123 ms".into(), "x".into()]];
        assert_eq!(aligned("lrl", &rows), "p50      1 us  é\np99.9  123 ms  x\n");
    }

    #[test]
    fn a_short_row_ends_early() {
        let rows = [vec!["a".into()], vec!["b".into(), "c".into()]];
        assert_eq!(aligned("lr", &rows), "a\nb  c\n");
    }
}
