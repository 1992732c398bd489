//! Rows as a table for a person.

use std::io::Write;

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use super::{
    cell::{Cells, fit, width},
    format::{RowWriter, failed},
};
use crate::{cli::summary::count, error::Result};

/// Rows that are looked at before the widths are set.
const ROWS_TO_MEASURE: usize = 1_000;
/// No column is wider, but for a number, which is never cut.
const WIDEST: usize = 48;

/// Writes a table; its widths are those of the first 1,000 rows, and longer cells after them are cut.
pub(super) struct Table<'a> {
    out: &'a mut dyn Write,
    columns: Vec<Column>,
    /// Rows read before the widths are set; `None` once they are.
    waiting: Option<Vec<Vec<String>>>,
    rows: u64,
}

struct Column {
    name: String,
    number: bool,
    width: usize,
}

impl Column {
    fn padded(&self, cell: &str) -> String {
        let space = " ".repeat(self.width.saturating_sub(width(cell)));
        if self.number {
            format!("{space}{cell}")
        } else {
            format!("{cell}{space}")
        }
    }
}

impl<'a> Table<'a> {
    pub(super) fn new(out: &'a mut dyn Write, schema: &SchemaRef) -> Self {
        let column = |field: &arrow::datatypes::FieldRef| {
            let name = fit(field.name(), WIDEST);
            Column {
                width: width(&name),
                number: field.data_type().is_numeric(),
                name,
            }
        };
        Self {
            out,
            columns: schema.fields().iter().map(column).collect(),
            waiting: Some(Vec::new()),
            rows: 0,
        }
    }

    fn line(&mut self, cells: &[String]) -> Result<()> {
        let cells: Vec<String> = self
            .columns
            .iter()
            .zip(cells)
            .map(|(column, cell)| column.padded(cell))
            .collect();
        let line = cells.join(" | ");
        writeln!(self.out, "{}", line.trim_end_matches(' ')).map_err(failed)
    }

    /// Sets the widths and writes the rows that waited for them.
    fn lay_out(&mut self) -> Result<()> {
        let Some(rows) = self.waiting.take() else {
            return Ok(());
        };
        for row in &rows {
            for (column, cell) in self.columns.iter_mut().zip(row) {
                column.width = column.width.max(width(cell));
            }
        }
        // A statement that yields no columns has no table.
        if self.columns.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.columns.iter().map(|one| one.name.clone()).collect();
        self.line(&names)?;
        let rules: Vec<String> = self
            .columns
            .iter()
            .map(|one| "-".repeat(one.width))
            .collect();
        writeln!(self.out, "{}", rules.join("-+-")).map_err(failed)?;
        rows.iter().try_for_each(|row| self.line(row))
    }
}

impl RowWriter for Table<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let cells = batch
            .columns()
            .iter()
            .map(|column| Cells::try_new(column))
            .collect::<Result<Vec<_>>>()?;
        self.rows += batch.num_rows() as u64;
        for row in 0..batch.num_rows() {
            let laid_out = self.waiting.is_none();
            let most = |column: &Column| match (laid_out, column.number) {
                (true, false) => column.width,
                _ => WIDEST,
            };
            let columns = cells.iter().zip(&self.columns);
            let texts: Vec<String> = columns
                .map(|(cells, column)| cells.text(row, most(column)))
                .collect();
            let Some(waiting) = &mut self.waiting else {
                self.line(&texts)?;
                continue;
            };
            waiting.push(texts);
            if waiting.len() == ROWS_TO_MEASURE {
                self.lay_out()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.lay_out()?;
        writeln!(self.out, "({})", rows_text(self.rows)).map_err(failed)
    }
}

/// `1 row`, `1,234 rows`.
pub(super) fn rows_text(rows: u64) -> String {
    let word = if rows == 1 { "row" } else { "rows" };
    format!("{} {word}", count(rows))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Float32Array, Int64Array, StringArray},
        datatypes::Schema,
    };

    use super::*;

    fn table(batches: &[RecordBatch]) -> String {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out, &batches[0].schema());
        for batch in batches {
            table.write(batch).unwrap();
        }
        table.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn batch(ids: Vec<i64>, texts: Vec<Option<&str>>) -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from(ids));
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let scores: ArrayRef = Arc::new(Float32Array::from(vec![Some(0.25), None]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a red apple", "日本"]));
        let rows = RecordBatch::try_from_iter([("text", names), ("clip_score", scores)]).unwrap();
        assert_eq!(
            table(&[rows]),
            "\
text        | clip_score
------------+-----------
a red apple |       0.25
日本        |       NULL
(2 rows)
"
        );
    }

    #[test]
    fn widths_are_set_by_the_first_rows_and_later_cells_are_cut() {
        let first = batch(vec![1; 1_000], vec![Some("four"); 1_000]);
        let later = batch(vec![123_456], vec![Some("longer")]);
        let text = table(&[first, later]);
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        assert_eq!(last, ["(1,001 rows)", "123456 | lon…", " 1 | four"]);
    }

    #[test]
    fn a_long_cell_never_makes_a_wide_table() {
        let long = "x".repeat(100);
        let text = table(&[batch(vec![1], vec![Some(&long)])]);
        assert_eq!(
            text.lines().nth(2).unwrap(),
            format!(" 1 | {}…", "x".repeat(47))
        );
    }

    #[test]
    fn no_rows_and_no_columns_are_said() {
        assert_eq!(
            table(&[batch(vec![], vec![])]),
            "id | text\n---+-----\n(0 rows)\n"
        );
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert_eq!(table(&[nothing]), "(0 rows)\n");
    }
}
