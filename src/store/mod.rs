//! The score store: what the encoders said of each row, kept so that it is asked only once.
//!
//! ```text
//! DIR/manifest.json                         model, preprocessing, columns, shards; written first, replaced whole
//! DIR/shards/<fingerprint>.parquet          one file per finished shard
//! DIR/parts/<fingerprint>/<from>-<to>.parquet   row ranges of a shard in work
//! DIR/derived/...                           columns computed from the embeddings of all rows, see `derived`
//! DIR/lock                                  held by whoever writes; dies with its owner
//! ```
//!
//! Every file is written under another name, synced and renamed, so a file that is there is whole. A part says
//! by its name which rows of the shard are decided; when the last row is, the parts become one file. That file
//! is synced with its directory before the parts go, so no moment loses a row that was committed.

mod columns;
mod derived;
mod files;
mod lock;
mod manifest;
mod rows;
mod score_store;
mod spool;
#[cfg(test)]
mod tests;

pub use columns::stored_schema;
pub use derived::{DerivedSpec, DerivedWriter};
pub use lock::DirLock;
pub use manifest::{EmbeddingType, StoreSpec};
pub use rows::{ScoreCursor, ScoreRows, ShardScores};
pub use score_store::{Coverage, ScoreStore};
pub use spool::{Spool, SpoolRows};

pub use crate::source::ShardIdentity;
