//! Shards: what the arguments name, which columns hold image and caption, and rows read page by page.

mod bound;
mod classes;
mod columns;
mod expand;
mod fingerprint;
mod labels;
mod read;
mod shard;
mod survey;

pub use bound::{BoundShards, ShardIdentity};
pub use classes::{Classes, LabelChoice};
pub(crate) use columns::nearest;
pub use columns::{ColumnBinding, ColumnChoice, ImageLayout};
pub use expand::expand;
pub use labels::LabelColumn;
pub use read::{
    Evaluate, ReadPlan, RowGroupReader, RowPredicate, ShardReader, compact, conform, view_schema,
};
pub use shard::{Shard, ShardSet, open_file};
pub use survey::{ColumnFacts, OddShard, RowGroups, Spread, Survey};
