//! How much memory and how many threads a kernel may use, and the blocks that follow from it.

/// Rows of a product that one thread computes at a time.
const STRIP: usize = 256;
/// Columns of it: a tile of 2 MiB is about the second cache of a core.
const TILE: usize = 2048;

/// What a kernel may use besides its result.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Working memory. A kernel needs a few rows in any case and takes them where this is less.
    pub bytes: usize,
    /// Threads; 0 counts as 1.
    pub threads: usize,
}

/// How a product of a cell with itself is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    /// Rows whose answers are looked for at a time.
    pub(crate) queries: usize,
    /// Rows they are compared with at a time.
    pub(crate) keys: usize,
    /// Queries per tile.
    pub(crate) strip: usize,
    /// Keys per tile.
    pub(crate) tile: usize,
}

impl Blocks {
    /// Blocks for a cell of `len` rows. `row_bytes` is what a row in a block takes, `answer_bytes` what a query takes
    /// in addition.
    pub(crate) fn of(len: usize, row_bytes: usize, answer_bytes: usize, budget: Budget) -> Self {
        let threads = budget.threads.max(1);
        let even = len.div_ceil(threads).max(32);
        let (mut strip, mut tile) = (STRIP.min(even), TILE.min(len.max(1)));
        while strip * tile > 1 && threads * strip * tile * 4 > budget.bytes / 2 {
            if tile > strip {
                tile /= 2;
            } else {
                strip /= 2;
            }
        }
        let left = budget.bytes.saturating_sub(threads * strip * tile * 4);
        let query_bytes = (row_bytes + answer_bytes).max(1);
        if len.saturating_mul(query_bytes) <= left {
            let (queries, keys) = (len, len);
            return Self {
                queries,
                keys,
                strip,
                tile,
            };
        }
        // Every block of queries reads all keys once, so queries get most of the memory.
        let keys = (left / 4 / row_bytes.max(1)).clamp(1, len.max(1));
        let left = left.saturating_sub(keys * row_bytes);
        let queries = (left / query_bytes).clamp(1, len.max(1));
        Self {
            queries,
            keys,
            strip,
            tile,
        }
    }

    /// True if one block holds the whole cell, as queries and as keys.
    pub(crate) fn whole(&self, len: usize) -> bool {
        self.queries >= len && self.keys >= len
    }
}
