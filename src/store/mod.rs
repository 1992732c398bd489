//! The score store: what the encoders said of each row, kept so that it is asked only once.
//!
//! ```text
//! DIR/manifest.json                       what the store holds: merged from the models and the records
//! DIR/models/<model>.json                 what the scores of a model were made with
//! DIR/scores/<shard>-<model>.parquet      one file per finished shard
//! DIR/bundles/<bundle>-<model>.parquet    one file for several small shards, see [`together`]
//! DIR/records/<shard>-<model>.json        its shard, its rows by status, what it was made with; those of a bundle
//! DIR/parts/<shard>-<model>/<from>-<to>.parquet   row ranges of a shard in work
//! DIR/parts/<shard>-<model>/claim         locked by who scores it; dies with its owner
//! DIR/derived/<model>/...                 columns computed from the embeddings of all rows, see `derived`
//! DIR/state/<model>/...                   how these were made, and what the next run goes on with
//! DIR/state/shards.json                   where each shard was found last, finished or not
//! DIR/state/tables-<model>.json           versions of tables that were scored to their last row
//! DIR/state/selection.bin                 the rows that the last run kept
//! DIR/state/lock                          held by who computes from the store; readers share it
//! DIR/lock                                held for moments by who changes one of the small files
//! ```
//!
//! `<shard>` is the first half of the fingerprint of a shard's content, `<model>` a hash of what decides an embedding:
//! [`StoreSpec::model_key`].
//!
//! **A file that is there is whole**: it is written under another name, synced and renamed. A part says by its name
//! which rows of the shard are decided; when the last row is, the parts become one file. That file is synced with its
//! directory before the parts go, so no moment loses a row that was committed. Its record is not synced: what a power
//! cut takes of it is made again from the file. A manifest that is behind, or gone, is completed from the records.
//!
//! **Same inputs, same bytes**: files of scores, records and the manifest hold no time, host, user, thread count or
//! command. A shard is called in them as it was given (the column `shard`), so that two machines that see the same
//! shards under different roots write the same; where it was found, absolute, stands in `state/shards.json` alone.
//! Whoever finds a store's model first says how it is called, where it ran and with which runtime: that stands in the
//! manifest, and not in the files of scores. Rows reach the writer in batches of one size, so that pages do not depend
//! on how many parts there were.
//!
//! **In an object store** the same objects lie below a URL, but for locks: a claim is an object with a deadline (`parts/../claim`,
//! `state/lock`), a small file is replaced on the condition that it is what was read, and an upload under way is noted below
//! `uploads/`. Where a store is says [`StoreAt`].
//!
//! **Many may fill it**: each shard is scored by who [claims](Claims) it when it comes to it. A claim saves work and is
//! not needed to be safe: a duplicate writes the same file. Columns computed from all rows, and state, have one writer
//! at a time; readers see whole generations.

#[cfg(feature = "remote")]
mod alive;
mod at;
mod backing;
mod blobs;
mod bundles;
mod bundling;
mod claims;
mod columns;
mod derived;
mod files;
mod known_shards;
mod known_tables;
#[cfg(feature = "remote")]
mod leases;
mod local;
mod lock;
mod manifest;
#[cfg(test)]
mod memory;
mod merging;
mod migrate;
mod names;
mod opening;
mod parts;
mod records;
#[cfg(feature = "remote")]
mod remote;
mod rows;
mod score_file;
mod score_store;
mod side_by_side;
mod spec;
mod spool;
#[cfg(test)]
mod tests;
#[cfg(feature = "remote")]
mod uploads;
mod writing;

pub use at::StoreAt;
pub use bundles::{shards_in, together};
pub use bundling::BundledShard;
pub use claims::{Claim, Claims};
pub use columns::stored_schema;
pub use derived::{DerivedSpec, DerivedWriter};
pub use lock::DirLock;
pub use merging::{Merged, MissingShard};
pub use rows::{ScoreCursor, ScoreRows, ShardScores};
pub use score_store::{Coverage, ScoreStore};
pub use spec::{EmbeddingType, StoreSpec};
pub use spool::{Spool, SpoolRows};

pub use crate::source::ShardIdentity;
