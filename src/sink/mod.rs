//! Files out: writer policy, metadata, rejects, and the commit that makes an output visible at once.
//!
//! [`Commit`] is the seam to where outputs go; [`Staged`] is one that is under way, [`Ledger`] a list of those that a
//! run has staged. `units` are what is written of each shard, `writer` and `part` lay out a dataset, `partitions` cuts it by values, `listing` and
//! `rejects` files of a few facts per row; `tar` writes samples instead of Parquet. A new kind of place is a file beside `local`, and a line where
//! [`OutputPlaces`] has its default.

mod abandoned;
mod arrow_stream;
mod commit;
#[cfg(feature = "delta")]
mod delta;
#[cfg(feature = "delta")]
mod delta_types;
mod destination;
mod ledger;
mod listing;
mod local;
mod local_shares;
mod metadata;
mod opaque;
mod output_writer;
mod parquet_file;
mod part;
mod partitions;
mod plain;
mod rejects;
#[cfg(feature = "remote")]
mod remote;
#[cfg(feature = "remote")]
mod remote_shares;
mod result_types;
mod shares;
mod staged;
mod stream;
mod sync_ahead;
mod tar;
mod uids;
mod units;
#[cfg(feature = "remote")]
mod uploads;
mod writer;

pub use arrow_stream::ArrowStream;
pub use commit::{
    Commit, Existing, Fate, OutputPlaces, Owner, Part, PartPlace, Pending, Placement, WrittenPart,
    has_uploads,
};
#[cfg(feature = "delta")]
pub use delta::DeltaCommit;
#[cfg(all(feature = "delta", feature = "remote"))]
pub use delta::RemoteDeltaCommit;
#[cfg(feature = "delta")]
pub use delta_types::{Nanoseconds, as_delta, delta_schema, is_changed_for_delta};
pub use destination::{Destination, OutputPath};
pub use ledger::Ledger;
pub use listing::Listing;
pub use local::LocalCommit;
pub use metadata::{Provenance, output_metadata};
pub use output_writer::{OutputWriter, WrittenOutput};
pub use part::{ColumnLayout, EncodedGroup};
pub use partitions::{PartitionColumns, check_partitions};
pub use plain::{plain_batches, plain_schema};
pub use rejects::{Reject, RejectsWriter};
#[cfg(feature = "remote")]
pub use remote::RemoteCommit;
pub use result_types::{ParquetResult, as_parquet_result};
pub use shares::{LeftShare, ShareFacts, SharedOutputs};
pub use staged::{Staged, StagedFile, stage_bytes};
pub use stream::ParquetStream;
pub use tar::{OutputFormat, Shuffled, TarOptions, TarPolicy, TarWriter};
pub use uids::list_uids;
pub use units::{BATCH_ROWS, OpenUnit, Portion, ShardUnit, UnitSource};
pub use writer::{AddedField, Cut, DatasetWriter, WriterPolicy};
