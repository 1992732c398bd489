//! Parquet out: writer policy, metadata, rejects, and the atomic commit.

mod commit;
mod metadata;
mod rejects;
mod writer;

pub use commit::{Destination, Staged, write_synced};
pub use metadata::{Provenance, output_metadata};
pub use rejects::{Reject, RejectsWriter};
pub use writer::{AddedField, DatasetWriter, WriterPolicy};
