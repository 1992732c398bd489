//! Delta tables: the one room that knows their log, by the format's own library.
//!
//! ```text
//! folder ─► TableRoot ─► LogEngine ─► library ─► DeltaTables ─► FoundTable (source)
//!            addresses    bytes, JSON,  the log                   files, constants, rows left out, names
//!                         checkpoints
//! ```
//!
//! The library decides what the log means: which files a version has, what a reader must know, what columns are called
//! in files. It reads and writes through [`LogEngine`](engine) alone, so that files lie wherever shards may, what a log
//! names beyond the table's folder is refused, and nothing is read before its size is known to be fit.
//!
//! A log is data of strangers: work of the library is contained, as that of decoders is.

mod added;
mod checkpoints;
mod columns;
mod engine;
mod files;
mod root;
mod since;
mod statistics;
mod tables;
mod transaction;

pub use added::NewFile;
pub use root::TablePlace;
pub use statistics::FileStatistics;
pub use tables::DeltaTables;
pub use transaction::{CommitOutcome, PartitionValue, TableWrite, WriteMode};
