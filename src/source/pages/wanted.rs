//! Which rows of a row group will be read, asked row by row from its start.

use std::ops::Range;

use parquet::arrow::arrow_reader::RowSelection;

/// Rows that will be read. Others need not be read: a reader that is told to pass over them does not look at them.
#[derive(Debug)]
pub(super) struct Wanted {
    runs: Vec<Range<u64>>,
    /// The first run that was not passed.
    next: usize,
}

impl Wanted {
    pub(super) fn new(rows: &RowSelection) -> Self {
        let (mut at, mut runs) = (0u64, Vec::new());
        for part in rows.iter() {
            let end = at.saturating_add(part.row_count as u64);
            if !part.skip {
                runs.push(at..end);
            }
            at = end;
        }
        Self { runs, next: 0 }
    }

    /// The first row from `row` on that is wanted. Rows are asked for in ascending order.
    pub(super) fn from(&mut self, row: u64) -> Option<u64> {
        while self.runs.get(self.next).is_some_and(|run| run.end <= row) {
            self.next += 1;
        }
        self.runs.get(self.next).map(|run| run.start.max(row))
    }
}

#[cfg(test)]
mod tests {
    use parquet::arrow::arrow_reader::RowSelector;

    use super::*;

    #[test]
    fn rows_are_wanted_as_they_are_selected() {
        let rows = [
            RowSelector::skip(2),
            RowSelector::select(3),
            RowSelector::skip(4),
            RowSelector::select(1),
            RowSelector::skip(usize::MAX / 4),
        ];
        let mut wanted = Wanted::new(&rows.to_vec().into());
        let next = |row| wanted.from(row);
        let found: Vec<_> = (0..12).map(next).collect();
        let expected = [2, 2, 2, 3, 4, 9, 9, 9, 9, 9].map(Some);
        assert_eq!(found[..10], expected);
        assert_eq!(found[10..], [None, None]);
    }
}
