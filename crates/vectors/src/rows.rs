//! Rows of one width, in memory or behind a source that reads them.

use std::{convert::Infallible, ops::Range};

/// Rows of embeddings in memory.
///
/// # Shape
/// `len` rows of `dim` values, row after row; `dim` is at least 1.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    dim: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `dim` values each; `None` if `dim` is zero or `values` ends within a row.
    pub fn new(values: &'a [f32], dim: usize) -> Option<Self> {
        (dim > 0 && values.len().is_multiple_of(dim)).then_some(Self { values, dim })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// True if there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values per row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All values, row after row.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// One row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.dim..][..self.dim]
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// If the range goes beyond the last row.
    pub fn slice(&self, rows: Range<usize>) -> Self {
        Self {
            values: &self.values[rows.start * self.dim..rows.end * self.dim],
            dim: self.dim,
        }
    }
}

/// The rows of a cell, wherever they are. Kernels read each row several times, in long ranges.
pub trait RowSource: Sync {
    /// Why rows could not be read.
    type Error: Send;

    /// Number of rows.
    fn len(&self) -> usize;

    /// Values per row, at least 1.
    fn dim(&self) -> usize;

    /// True if there is no row.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces the content of `into` by the rows of a range that lies within the source.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn read(&self, rows: Range<usize>, into: &mut Vec<f32>) -> Result<(), Self::Error>;

    /// The rows of a range, if the source holds all its rows in memory; kernels then make no copy.
    fn in_memory(&self, rows: Range<usize>) -> Option<Rows<'_>> {
        let _ = rows;
        None
    }
}

impl RowSource for Rows<'_> {
    type Error = Infallible;

    fn len(&self) -> usize {
        Rows::len(self)
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn read(&self, rows: Range<usize>, into: &mut Vec<f32>) -> Result<(), Infallible> {
        into.clear();
        into.extend_from_slice(self.slice(rows).values);
        Ok(())
    }

    fn in_memory(&self, rows: Range<usize>) -> Option<Rows<'_>> {
        Some(self.slice(rows))
    }
}

/// The rows of a range: lent by the source, or read into `buffer`.
///
/// # Panics
/// If the source gives another number of values than it was asked for.
pub(crate) fn load<'a, S: RowSource>(
    source: &'a S,
    rows: Range<usize>,
    buffer: &'a mut Vec<f32>,
) -> Result<Rows<'a>, S::Error> {
    let (count, dim) = (rows.len(), source.dim());
    if let Some(lent) = source.in_memory(rows.clone()) {
        return Ok(lent);
    }
    source.read(rows, buffer)?;
    assert_eq!(
        buffer.len(),
        count * dim,
        "a source gives the rows it is asked for"
    );
    Ok(Rows {
        values: buffer,
        dim,
    })
}

/// `0..len` in ranges of `step`, the last one shorter.
pub(crate) fn ranges(len: usize, step: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let step = step.max(1);
    (0..len)
        .step_by(step)
        .map(move |start| start..len.min(start + step))
}
