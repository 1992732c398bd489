//! Facts as lines of text, long lists cut short.

use std::fmt::{Display, Write};

/// Columns, shards or files that are listed; the rest is counted.
const SHOWN: usize = 10;

/// Facts, one a line.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    /// All lines, ending in a line break.
    pub(super) fn text(self) -> String {
        self.0
    }

    pub(super) fn add(&mut self, name: &str, value: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{}", format!("{name:<11} {value}").trim_end());
    }

    /// A line without a name.
    pub(super) fn indented(&mut self, line: impl Display) {
        let _ = writeln!(self.0, "{}", format!("  {line}").trim_end());
    }

    /// At most [`SHOWN`] lines of a table, indented; texts to the left, numbers to the right.
    pub(super) fn table<const N: usize>(&mut self, rows: &[[String; N]], numbers: usize) {
        self.whole_table(&rows[..rows.len().min(SHOWN)], numbers);
        if rows.len() > SHOWN {
            let _ = writeln!(self.0, "  ... and {} more", rows.len() - SHOWN);
        }
    }

    /// Every line of a table.
    pub(super) fn whole_table<const N: usize>(&mut self, rows: &[[String; N]], numbers: usize) {
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        for row in rows {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = width(column).unwrap_or(0);
                match column {
                    _ if column >= N - numbers => format!("{cell:>width$}"),
                    _ => format!("{cell:<width$}"),
                }
            });
            let cells: Vec<String> = cells.collect();
            let _ = writeln!(self.0, "  {}", cells.join("  ").trim_end());
        }
    }
}
