//! Shards: what the arguments name, which columns hold image and caption, and rows read page by page.
//!
//! | question | answered by |
//! |---|---|
//! | where may shards lie, and what do the arguments name? | [`Places`], a [`Place`] per scheme; [`Location`] |
//! | how are bytes read? | [`ShardFile`]; [`ShardBytes`] is what Parquet's readers take |
//! | what is a shard made of? | `kind`: an outline, then rows of row groups; `parquet_rows`, `tar` |
//! | what does a table say of a file? | [`TableShard`]: columns of one value ([`Constant`]), rows left out ([`LeftOut`]) |
//! | what do the names of folders say of files? | `folders`; where a file says it too, `agreement` |
//! | what is read, and how? | [`ReadPlan`], [`ShardReader`] |
//! | which columns are a pair? | [`ColumnBinding`], [`Classes`], [`LabelColumn`] |
//!
//! # Where do I add a place?
//! A type that implements [`Place`] and [`ShardFile`], given to the options with [`Places::with_place`]. Opening may be
//! late and ranges may be slow: nobody holds a lock while one is read. What a listing knows, the size and a version,
//! is not read again.
//!
//! # Where do I add a kind of shard?
//! A file beside `parquet_rows` with a `ShardKind`: the ending of its files' names, and a function that says of an open file
//! what columns and rows it has. The rows fall into stretches at which reading can begin; where the format has none,
//! a stretch is any number of rows. What that function has found out, offsets of the members of an archive, say, lives
//! in the `ShardRows` that it gives, and reads rows by them. Add the kind to
//! `KINDS`. Nothing behind this room changes: [`ShardReader::encoded`] alone is of Parquet, a capability that
//! is asked for and may be `None`.
//!
//! # Where do I add a kind of table?
//! A type that implements [`Tables`], given to the options with [`Places::with_tables`]: it says which files a table has
//! and gives [`TableShard`]s. Rows keep their positions in the file, so that scores are found again whatever a table
//! gives up later.

mod agreement;
mod bound;
mod braces;
mod classes;
mod columns;
mod constants;
mod contained;
mod encryption;
mod file_list;
mod fingerprint;
mod fitting;
mod folders;
mod footer;
mod found;
mod held;
mod kind;
mod labels;
mod left_out;
mod listing;
mod local;
mod location;
mod made;
#[cfg(test)]
pub(crate) mod memory;
mod open_parquet;
mod opened_shards;
mod pages;
mod parquet_rows;
mod place;
mod places;
mod plan;
mod reach;
mod read;
#[cfg(feature = "remote")]
mod remote;
#[cfg(feature = "remote")]
mod remote_file;
mod shard;
mod shard_file;
mod shard_set;
mod stored;
mod survey;
mod table_columns;
mod table_folder;
mod tables;
mod tar;
mod uids;
mod union;
mod views;
mod walk;
mod widen;
#[cfg(feature = "remote")]
mod windows;
mod zones;

pub use bound::{BoundShards, ShardIdentity};
pub use classes::{Classes, LabelChoice};
pub(crate) use columns::nearest;
pub(crate) use columns::{BESIDE, BESIDE_JSON, BESIDE_MEMBER};
pub use columns::{ColumnBinding, ColumnChoice, ImageLayout};
pub use constants::Constant;
pub(crate) use contained::{ContainedBatches, check_pages, read_footer};
pub use file_list::FILE_LIST;
pub use found::{Folders, Found};
pub use kind::EncodedRows;
pub use labels::LabelColumn;
pub use left_out::LeftOut;
pub use listing::{Listing, LogFile};
pub use location::{Listed, Location};
pub(crate) use pages::{Runs as LevelRuns, level_width};
pub use place::{Place, is_set_aside, is_shard_name, names_parquet, names_shard, names_tar};
pub use places::Places;
pub use plan::{Evaluate, ReadPlan, RowPredicate};
pub use reach::{input_that_reads, input_that_reads_url};
pub use read::{RowGroupReader, ShardReader};
#[cfg(feature = "remote")]
pub use remote::RemoteFiles;
pub use shard::{FoundTable, Shard, TableShard};
pub use shard_file::{FrontToBack, ShardBytes, ShardFile};
pub use shard_set::ShardSet;
pub use stored::{StoredType, interval_type, kept_type, stored_schema, unnumbered};
pub use survey::{ColumnFacts, OddShard, RowGroups, Spread, Survey};
pub use table_columns::{StoredColumn, TableColumns};
pub use table_folder::{TableFolder, TableFormat};
pub use tables::{AsOf, KnownVersion, TablePaths, TableRequest, TableVersion, Tables};
pub(crate) use tar::IMAGES;
pub use uids::{UID, Uids, each_uid, uid_column, uid_of, write_header, write_uid};
pub use views::{compact, conform, view_schema};
