//! How many rows each cell of a store has.

use serde::Serialize;

use crate::source::Spread;

/// The cells of a store: classes, or clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CellFacts {
    /// Cells that have a row.
    pub count: u64,
    /// Rows of these cells.
    pub rows: Spread,
}

/// Counts rows by cell; cells are numbered from 0 on.
#[derive(Debug, Default)]
pub(super) struct CellCounter {
    rows: Vec<u64>,
}

impl CellCounter {
    pub(super) fn push(&mut self, cell: u32) {
        let cell = cell as usize;
        if self.rows.len() <= cell {
            self.rows.resize(cell + 1, 0);
        }
        self.rows[cell] += 1;
    }

    /// `None` if no row has a cell.
    pub(super) fn facts(self) -> Option<CellFacts> {
        let rows: Vec<u64> = self.rows.into_iter().filter(|&rows| rows > 0).collect();
        let count = rows.len() as u64;
        Spread::of(rows).map(|rows| CellFacts { count, rows })
    }
}
