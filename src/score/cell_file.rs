//! Embeddings put in order of their cells, on disk: cells are worked on one after another, never all in memory.

use std::{collections::BTreeMap, ops::Range, path::Path};

use clip_filter_vectors::{Budget, RowSource, Rows};

use super::scratch::Scratch;
use crate::error::{Error, Result};

/// Takes rows in any order of cells.
pub(crate) struct CellSpill {
    scratch: Scratch,
    dim: usize,
    cells: BTreeMap<u32, Spilled>,
    buffered_bytes: usize,
    most_bytes: usize,
}

/// What came of one cell: pieces in the file, and rows that wait for the next one.
#[derive(Debug, Default)]
struct Spilled {
    pieces: Vec<Piece>,
    len: usize,
    positions: Vec<u64>,
    values: Vec<f32>,
}

/// Rows that lie together: first their positions, then their values.
#[derive(Debug, Clone)]
struct Piece {
    at: u64,
    rows: Range<usize>,
}

const POSITION_BYTES: usize = 8;

impl CellSpill {
    /// A spill that holds at most `most_bytes` in memory, beside 40 bytes per cell and piece.
    pub(crate) fn create(directory: &Path, dim: usize, most_bytes: usize) -> Result<Self> {
        Ok(Self {
            scratch: Scratch::create(directory)?,
            dim,
            cells: BTreeMap::new(),
            buffered_bytes: 0,
            most_bytes,
        })
    }

    pub(crate) fn push(&mut self, cell: u32, position: u64, row: &[f32]) -> Result<()> {
        let spilled = self.cells.entry(cell).or_default();
        spilled.positions.push(position);
        spilled.values.extend_from_slice(row);
        self.buffered_bytes += POSITION_BYTES + 4 * self.dim;
        if self.buffered_bytes > self.most_bytes {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        for spilled in self.cells.values_mut() {
            if spilled.positions.is_empty() {
                continue;
            }
            let mut bytes =
                Vec::with_capacity(spilled.positions.len() * (POSITION_BYTES + 4 * self.dim));
            bytes.extend(
                spilled
                    .positions
                    .iter()
                    .flat_map(|number| number.to_le_bytes()),
            );
            bytes.extend(
                spilled
                    .values
                    .iter()
                    .flat_map(|number| number.to_le_bytes()),
            );
            let rows = spilled.len..spilled.len + spilled.positions.len();
            spilled.len = rows.end;
            let at = self.scratch.append(&bytes)?;
            spilled.pieces.push(Piece { at, rows });
            // The memory goes too: there may be many cells.
            spilled.positions = Vec::new();
            spilled.values = Vec::new();
        }
        self.buffered_bytes = 0;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<CellFile> {
        self.flush()?;
        let cells = self.cells.into_iter();
        Ok(CellFile {
            scratch: self.scratch,
            dim: self.dim,
            cells: cells
                .map(|(cell, spilled)| (cell, spilled.pieces))
                .collect(),
        })
    }
}

/// Every cell with its rows, in the order in which they came.
pub(crate) struct CellFile {
    scratch: Scratch,
    dim: usize,
    cells: Vec<(u32, Vec<Piece>)>,
}

impl CellFile {
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = (u32, CellRows<'_>)> {
        self.cells.iter().map(|(cell, pieces)| {
            let rows = CellRows {
                scratch: &self.scratch,
                dim: self.dim,
                pieces,
            };
            (*cell, rows)
        })
    }
}

/// The rows of one cell.
#[derive(Clone, Copy)]
pub(crate) struct CellRows<'a> {
    scratch: &'a Scratch,
    dim: usize,
    pieces: &'a [Piece],
}

impl CellRows<'_> {
    /// The positions of its rows, ascending if they came so.
    pub(crate) fn positions(&self) -> Result<Vec<u64>> {
        let mut positions = Vec::with_capacity(self.len());
        for piece in self.pieces {
            let mut bytes = vec![0; piece.rows.len() * POSITION_BYTES];
            self.scratch.read_at(&mut bytes, piece.at)?;
            positions.extend(bytes.chunks_exact(POSITION_BYTES).map(|bytes| {
                let mut number = [0; POSITION_BYTES];
                number.copy_from_slice(bytes);
                u64::from_le_bytes(number)
            }));
        }
        Ok(positions)
    }

    /// All of its rows.
    pub(crate) fn load(&self) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        self.read(0..self.len(), &mut values)?;
        Ok(values)
    }
}

impl RowSource for CellRows<'_> {
    type Error = Error;

    fn len(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.rows.end)
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn read(&self, rows: Range<usize>, into: &mut Vec<f32>) -> Result<()> {
        into.clear();
        into.reserve(rows.len() * self.dim);
        let first = self
            .pieces
            .partition_point(|piece| piece.rows.end <= rows.start);
        for piece in &self.pieces[first..] {
            let (from, to) = (
                rows.start.max(piece.rows.start),
                rows.end.min(piece.rows.end),
            );
            if from >= to {
                break;
            }
            let skipped =
                piece.rows.len() * POSITION_BYTES + (from - piece.rows.start) * self.dim * 4;
            let mut bytes = vec![0; (to - from) * self.dim * 4];
            self.scratch
                .read_at(&mut bytes, piece.at + skipped as u64)?;
            let numbers = bytes.chunks_exact(4);
            into.extend(
                numbers.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])),
            );
        }
        Ok(())
    }
}

/// The rows of a cell, in memory if that takes no more than half of a budget.
pub(crate) struct CellInHand<'a> {
    rows: CellRows<'a>,
    values: Option<Vec<f32>>,
}

impl<'a> CellInHand<'a> {
    pub(crate) fn of(rows: CellRows<'a>, budget: Budget) -> Result<Self> {
        let fits = rows.len() * rows.dim * 4 <= budget.bytes / 2;
        let values = fits.then(|| rows.load()).transpose()?;
        Ok(Self { rows, values })
    }
}

impl RowSource for CellInHand<'_> {
    type Error = Error;

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn dim(&self) -> usize {
        self.rows.dim
    }

    fn read(&self, rows: Range<usize>, into: &mut Vec<f32>) -> Result<()> {
        match self.in_memory(rows.clone()) {
            Some(rows) => {
                into.clear();
                into.extend_from_slice(rows.values());
                Ok(())
            }
            None => self.rows.read(rows, into),
        }
    }

    fn in_memory(&self, rows: Range<usize>) -> Option<Rows<'_>> {
        let values = self.values.as_ref()?;
        Rows::new(
            &values[rows.start * self.rows.dim..rows.end * self.rows.dim],
            self.rows.dim,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_whole_whatever_the_buffer_holds() {
        let dir = tempfile::tempdir().unwrap();
        for most_bytes in [0, 100, 1 << 20] {
            let mut spill = CellSpill::create(dir.path(), 2, most_bytes).unwrap();
            for position in 0..50u8 {
                let row = [f32::from(position), -f32::from(position)];
                spill
                    .push(u32::from(position % 3), u64::from(position), &row)
                    .unwrap();
            }
            let file = spill.finish().unwrap();
            let mut seen = 0;
            for (cell, rows) in file.cells() {
                let expected: Vec<u8> = (0..50).filter(|p| u32::from(p % 3) == cell).collect();
                let positions: Vec<u64> = expected.iter().map(|&p| u64::from(p)).collect();
                assert_eq!(rows.positions().unwrap(), positions);
                assert_eq!(rows.len(), expected.len());
                let values: Vec<f32> = expected
                    .iter()
                    .flat_map(|&p| [f32::from(p), -f32::from(p)])
                    .collect();
                assert_eq!(rows.load().unwrap(), values);
                let mut some = Vec::new();
                rows.read(3..9, &mut some).unwrap();
                assert_eq!(some, values[6..18]);
                seen += rows.len();
            }
            assert_eq!(seen, 50);
        }
    }
}
