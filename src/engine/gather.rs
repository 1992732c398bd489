//! Batches of a few rows, as small shards and row groups give them, are put together before they are handed on: each
//! one that goes through a plan costs as much as hundreds of rows.

use arrow::{array::RecordBatch, compute::concat_batches};
use datafusion::common::Result;

use super::{encode_columns::batch_bytes, scan_exec::Take};

/// A batch of more rows is handed on as it is.
const FEW_ROWS: usize = 64;
/// Most rows that are put together.
const MOST_ROWS: usize = 256;
/// What they may hold: pages of images stay in memory until their rows are handed on.
const ENOUGH_BYTES: usize = 1 << 20;

/// Puts small batches together: twice as many rows each time, so that whoever wants few does not wait for many.
pub(super) struct Gather<'a> {
    take: Take<'a>,
    waiting: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// Rows that are handed on when so many wait.
    enough_rows: usize,
}

impl<'a> Gather<'a> {
    pub(super) fn new(take: Take<'a>) -> Self {
        Self {
            take,
            waiting: Vec::new(),
            rows: 0,
            bytes: 0,
            enough_rows: 1,
        }
    }

    /// Gives what `read` finds to `take`, also what it had found when it failed.
    pub(super) fn run(mut self, read: impl FnOnce(Take<'_>) -> Result<()>) -> Result<()> {
        let mut failed = None;
        let mut more = true;
        let found = read(&mut |batch| {
            let pushed = self.push(batch);
            more = pushed.unwrap_or_else(|error| {
                failed = Some(error);
                false
            });
            more
        });
        if let Some(error) = failed {
            return Err(error);
        }
        if more {
            self.flush()?;
        }
        found
    }

    /// Whether there should be more.
    fn push(&mut self, batch: RecordBatch) -> Result<bool> {
        let (rows, bytes) = (batch.num_rows(), batch_bytes(&batch));
        if rows > FEW_ROWS || bytes > ENOUGH_BYTES {
            return Ok(self.flush()? && (self.take)(batch));
        }
        let has_room = self.rows + rows <= MOST_ROWS && self.bytes + bytes <= ENOUGH_BYTES;
        if !has_room && !self.flush()? {
            return Ok(false);
        }
        self.waiting.push(batch);
        self.rows += rows;
        self.bytes += bytes;
        match self.rows < self.enough_rows {
            true => Ok(true),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<bool> {
        let waiting = std::mem::take(&mut self.waiting);
        let batch = match waiting.as_slice() {
            [] => return Ok(true),
            [one] => one.clone(),
            [first, ..] => concat_batches(first.schema_ref(), &waiting)?,
        };
        self.enough_rows = MOST_ROWS.min(self.enough_rows.max(self.rows) * 2);
        (self.rows, self.bytes) = (0, 0);
        Ok((self.take)(batch))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::{
        array::{ArrayRef, Int32Array},
        datatypes::Int32Type,
    };
    use datafusion::common::exec_err;

    use super::*;

    fn batch(rows: i32) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    /// The rows of the batches that are handed on when those of `sizes` are read.
    fn gathered(sizes: &[i32], fails: bool) -> (Vec<usize>, bool) {
        let mut given = Vec::new();
        let mut take = |batch: RecordBatch| {
            given.push(batch.num_rows());
            true
        };
        let read = Gather::new(&mut take).run(|take| {
            for &rows in sizes {
                assert!(take(batch(rows)));
            }
            if fails { exec_err!("cut off") } else { Ok(()) }
        });
        (given, read.is_ok())
    }

    #[test]
    fn few_rows_wait_for_others() {
        assert_eq!(gathered(&[2, 1, 1, 2, 3], false), (vec![2, 4, 3], true));
        assert_eq!(gathered(&[1; 10], false), (vec![1, 2, 4, 3], true));
        assert_eq!(gathered(&[60; 9], false), (vec![60, 120, 240, 120], true));
        assert_eq!(gathered(&[1, 65, 2, 3], false), (vec![1, 65, 2, 3], true));
        assert_eq!(gathered(&[], false), (vec![], true));
        let (most, _) = gathered(&[2; 600], false);
        assert_eq!(most.iter().max(), Some(&MOST_ROWS));
    }

    #[test]
    fn what_was_read_before_a_failure_is_handed_on() {
        assert_eq!(gathered(&[2, 3], true), (vec![2, 3], false));
    }

    #[test]
    fn rows_keep_their_order_and_nothing_comes_after_the_last_that_is_wanted() {
        let mut given = Vec::new();
        let mut take = |batch: RecordBatch| {
            given.extend(
                batch
                    .column(0)
                    .as_primitive::<Int32Type>()
                    .values()
                    .to_vec(),
            );
            false
        };
        let read = Gather::new(&mut take).run(|take| {
            assert!(!take(batch(2)));
            Ok(())
        });
        read.unwrap();
        assert_eq!(given, [0, 1]);
    }
}
