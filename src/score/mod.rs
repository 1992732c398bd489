//! What a row is worth, from stored embeddings: adapters, cells, scores of rows, scores among the rows of a cell.
//!
//! | step | reads | file |
//! |---|---|---|
//! | classes of rows, texts of classes | the label column; the model, for prompts | `labels`, `class_texts` |
//! | adapters | embeddings, in mixed order, once per epoch | `reference`, `stored_pairs`, `adapting` |
//! | centres of cells | image embeddings, once | `centres` |
//! | captions to compare with | text embeddings, once | `caption_pool` |
//! | the target set | its file, once | `target` |
//! | scores of rows | embeddings, once; puts them in order of cells on disk | `row_pass`, `row_scores`, `cell_file` |
//! | scores within cells | a cell per thread | `cell_scores`, `shared_cells` |
//! | scores against a pool of pairs | embeddings, twice | `contrast`, `pool_pairs`, `fold_adapters` |
//! | what orders rows | the columns it is made of, twice | `deriving`; `ordering` where only that is missing |
//! | one file per shard | temporary columns, and those that were there | `stored_columns`, `publish` |
//!
//! `deriving` puts the steps that are wanted in order; `stored_rows` reads the store for all of them. Kernels that
//! see numbers alone: `alignment` (a cosine), `objective` (alignment and diversity in one score), `histogram` and
//! `ranks` (scores counted by their bits), `exact_sum`.
//!
//! No step holds more than a stretch of rows, a cell, or a buffer of bounded size.

mod adapting;
mod alignment;
mod caption_pool;
mod cell_file;
mod cell_scores;
mod centres;
mod class_texts;
mod contrast;
mod deriving;
mod exact_sum;
mod fold_adapters;
mod histogram;
mod labels;
mod objective;
mod options;
mod ordering;
mod pool_pairs;
mod publish;
mod random;
mod ranks;
mod reference;
mod row_pass;
mod row_scores;
mod scratch;
#[cfg(test)]
pub(crate) mod seeded;
mod shared_cells;
mod stored_columns;
mod stored_pairs;
mod stored_rows;
mod target;

pub use alignment::cosine;
pub(crate) use cell_file::{CellInHand, CellRows, CellSpill};
use deriving::CENTRES;
pub(crate) use deriving::{ADAPTERS, Considered, Deriving, OBJECTIVE};
pub use exact_sum::ExactSum;
pub use histogram::{Cut, ScoreHistogram};
pub(crate) use histogram::{end_of_budget, order_key};
pub(crate) use labels::{GroupColumn, Groups};
pub use objective::{Objective, ObjectiveState};
pub use options::{Adaptation, DEFAULT_DIVERSITY_WEIGHT, MethodOptions};
pub(crate) use options::{check, with_inputs};
pub(crate) use random::hash as random_number;
pub use ranks::RankHistogram;
pub(crate) use scratch::NO_CELL;
pub(crate) use stored_rows::{Sides, StoredRows};

use clip_filter_vectors::Budget;

use crate::config::ByteSize;

/// What may be used to work on stored embeddings: half of the limit, the rest is for the program, its readers and
/// what the allocator keeps.
pub(crate) fn work_budget(limit: ByteSize, threads: usize) -> Budget {
    Budget {
        bytes: usize::try_from(limit.0 / 2).unwrap_or(usize::MAX),
        threads,
    }
}
