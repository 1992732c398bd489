//! What is read of a shard, and in what portions.

use std::{fmt, sync::Arc};

use arrow::{
    array::{BooleanArray, RecordBatch},
    error::ArrowError,
};

/// Says of each row of a batch whether it passes.
pub type Evaluate = dyn Fn(&RecordBatch) -> Result<BooleanArray, ArrowError> + Send + Sync;

/// A condition on some columns, evaluated before the others are read.
#[derive(Clone)]
pub struct RowPredicate {
    /// Positions of its columns in the shard's schema, ascending.
    pub columns: Vec<usize>,
    /// True for the rows that pass; its batches hold `columns` in that order.
    pub evaluate: Arc<Evaluate>,
}

/// What is read of a shard, and in what portions.
#[derive(Debug, Clone, Default)]
pub struct ReadPlan {
    /// Positions of the wanted columns in the shard's schema, ascending.
    pub columns: Vec<usize>,
    /// Those of them that come as they are stored, for whoever writes them again; a kind without such columns gives
    /// them as any other.
    pub stored: Vec<usize>,
    /// Text columns in which what is not UTF-8 is null; elsewhere it is an error.
    pub lenient: Vec<usize>,
    /// Adds the row's position in the shard as a last column named [`crate::schema::ROW`], `i64`.
    pub row_numbers: bool,
    /// Rows are dropped before the wanted columns are read.
    pub predicates: Vec<RowPredicate>,
    /// Most rows in a batch.
    pub batch_rows: usize,
    /// Most bytes in a batch, judged by the average row of its row group.
    pub batch_bytes: u64,
}

/// What is asked for at a time of a shard that is far, of all its columns together: at most so much, whatever the memory.
const MOST_WINDOW_BYTES: u64 = 16 << 20;
/// At least so much.
const LEAST_WINDOW_BYTES: u64 = 2 << 20;

impl ReadPlan {
    /// Asked for at a time of a shard that is far, of all its columns together.
    pub fn window_bytes(&self) -> u64 {
        (self.batch_bytes / 2).clamp(LEAST_WINDOW_BYTES, MOST_WINDOW_BYTES)
    }

    /// The columns that are read, wanted or decided on.
    pub fn columns_read(&self) -> Vec<usize> {
        let decide = self.predicates.iter().flat_map(|decide| &decide.columns);
        self.columns.iter().chain(decide).copied().collect()
    }
}

impl fmt::Debug for RowPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowPredicate")
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}
