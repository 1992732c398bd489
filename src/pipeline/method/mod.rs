//! From stored embeddings to derived columns: adapters, cells, scores of rows, scores among the rows of a cell.
//!
//! | step | reads | file |
//! |---|---|---|
//! | classes of rows, texts of classes | the label column; the model, for prompts | `labels`, `class_texts` |
//! | adapters | embeddings, in mixed order, once per epoch | `reference`, `pairs`, `adapting` |
//! | centres of cells | image embeddings, once | `centres` |
//! | captions to compare with | text embeddings, once | `caption_pool` |
//! | the target set | its file, once | `target` |
//! | scores of rows | embeddings, once; puts them in order of cells on disk | `row_pass`, `row_scores`, `cell_file` |
//! | scores within cells | a cell per thread | `cell_scores`, `shared_cells` |
//! | scores within random batches | embeddings, ten times; once where one batch holds all | `contrast` |
//! | what orders rows | the columns it is made of, twice | `deriving`; `ordering` where only that is missing |
//! | one file per shard | temporary columns, and those that were there | `stored_columns`, `publish` |
//!
//! `deriving` puts the steps that are wanted in order; `stored_rows` reads the store for all of them.
//!
//! No step holds more than a stretch of rows, a cell, or a buffer of bounded size.

mod adapting;
mod caption_pool;
mod cell_file;
mod cell_scores;
mod centres;
mod class_texts;
mod contrast;
mod deriving;
mod labels;
mod options;
mod ordering;
mod pairs;
mod publish;
mod random;
mod reference;
mod row_pass;
mod row_scores;
mod scratch;
mod shared_cells;
mod stored_columns;
mod stored_rows;
mod target;

pub(super) use cell_file::{CellInHand, CellRows, CellSpill};
use deriving::CENTRES;
pub(super) use deriving::{ADAPTERS, Deriving, OBJECTIVE};
pub(super) use labels::Groups;
pub use options::{Adaptation, DEFAULT_DIVERSITY_WEIGHT, MethodOptions};
pub(super) use options::{check, with_inputs};
pub(super) use random::hash as random_number;
pub(super) use scratch::NO_CELL;
pub(super) use stored_rows::{Sides, StoredRows};

use clip_filter_vectors::Budget;

use crate::config::ByteSize;

/// What may be used to work on stored embeddings: half of the limit, the rest is for the program, its readers and
/// what the allocator keeps.
pub(super) fn work_budget(limit: ByteSize, threads: usize) -> Budget {
    Budget {
        bytes: usize::try_from(limit.0 / 2).unwrap_or(usize::MAX),
        threads,
    }
}
