//! Files out: writer policy, metadata, rejects, and the atomic commit.

mod arrow_stream;
mod commit;
mod file;
mod listing;
mod metadata;
mod part;
mod plain;
mod rejects;
mod stream;
mod writer;

pub use arrow_stream::ArrowStream;
pub use commit::{Destination, Staged, write_synced};
pub use file::StagedFile;
pub use listing::{Listing, stage_bytes};
pub use metadata::{Provenance, output_metadata};
pub use part::{ColumnLayout, EncodedGroup};
pub use plain::{plain_batches, plain_schema};
pub use rejects::{Reject, RejectsWriter};
pub use stream::ParquetStream;
pub use writer::{AddedField, DatasetWriter, WriterPolicy};
