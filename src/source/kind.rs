//! What a shard is made of: the seam behind which Parquet stands.
//!
//! A kind looks at a file once and says what rows it has and where reading can begin ([`Outline`]). What comes out of
//! that, a [`ShardRows`], opens the file again whenever rows are wanted. Everything else in this room, and all rooms
//! behind it, see neither.

use std::{collections::HashMap, fmt, ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use parquet::{basic::Compression, file::metadata::ParquetMetaData, schema::types::TypePtr};

use super::{Location, ReadPlan, ShardBytes, parquet_rows, tar};
use crate::error::{Error, Result};

/// A kind of shard.
pub(super) struct ShardKind {
    /// How the names of its files end, in lower case and without the dot; the usual one first.
    pub(super) endings: &'static [&'static str],
    /// Says what rows a file has.
    pub(super) outline: fn(&Location, &ShardBytes) -> Result<Outline>,
    /// Says how a file is laid out.
    pub(super) layout: fn(&Location, &ShardBytes) -> Result<Layout>,
}

/// All that there are; a file of another ending that is named itself is taken for the first.
pub(super) const KINDS: [ShardKind; 2] = [parquet_rows::KIND, tar::KIND];

impl ShardKind {
    /// The kind of a file, by its name.
    pub(super) fn of(location: &Location) -> &'static Self {
        let named = KINDS.iter().find(|kind| kind.names(location.file_name()));
        named.unwrap_or(&KINDS[0])
    }

    /// Whether a file of this name is of the kind: capitals are as good, and a codec may stand behind the ending.
    pub(super) fn names(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let mut parts = name.rsplit('.');
        let last = parts.next().unwrap_or_default();
        let before = parts.next();
        let is_ending = |part: &str| self.endings.contains(&part);
        match before {
            None => false,
            Some(_) if is_ending(last) => true,
            Some(before) => CODECS.contains(&last) && is_ending(before) && parts.next().is_some(),
        }
    }
}

/// What some writers put behind the ending: how the pages within are compressed.
const CODECS: [&str; 9] = [
    "zstd", "zst", "snappy", "gz", "gzip", "lz4", "br", "brotli", "lzo",
];

/// What a shard says of its rows, without any of them.
pub(super) struct Outline {
    /// Its columns, with the Arrow types its writer declared.
    pub(super) schema: SchemaRef,
    /// What Parquet has them as, where they can be carried as they lie.
    pub(super) stored: Vec<Option<TypePtr>>,
    /// Key-value metadata, without the Arrow schema.
    pub(super) metadata: HashMap<String, String>,
    /// The codec that suits an output of such shards.
    pub(super) compression: Compression,
    /// Rows of each row group.
    pub(super) row_groups: Vec<u64>,
    /// A bound on what is in memory at one time because it cannot be read in parts; see [`ShardRows::whole_bytes`].
    pub(super) whole_bytes: u64,
    /// Bytes of each column's average value, in the row group where that is most.
    pub(super) value_bytes: Vec<u64>,
    /// What is to be told of what it holds.
    pub(super) tallies: Vec<Tally>,
    /// What tells it from another file of its size, besides samples of its content.
    pub(super) seal: Option<String>,
    /// It has the columns that any of its rows has: where it lacks one, each row does.
    pub(super) is_loose: bool,
    /// Reads them.
    pub(super) rows: Arc<dyn ShardRows>,
}

/// How often something was found that is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    /// What was found, in words that follow a number.
    pub(super) what: String,
    pub(super) count: u64,
    /// The first that was found.
    pub(super) example: String,
}

impl Tally {
    /// Counts one more of what was found.
    pub(super) fn count(tallies: &mut Vec<Self>, what: &str, example: impl FnOnce() -> String) {
        match tallies.iter_mut().find(|tally| tally.what == what) {
            Some(tally) => tally.count += 1,
            None => tallies.push(Self {
                what: what.to_owned(),
                count: 1,
                example: example(),
            }),
        }
    }

    /// Adds those of another shard.
    pub(super) fn add(all: &mut Vec<Self>, shard: &Location, more: Vec<Self>) {
        for tally in more {
            match all.iter_mut().find(|known| known.what == tally.what) {
                Some(known) => known.count += tally.count,
                None => all.push(Self {
                    example: match tally.example.as_str() {
                        "" => shard.to_string(),
                        example => format!("{example} in {shard}"),
                    },
                    ..tally
                }),
            }
        }
    }

    /// In one line.
    pub(super) fn told(&self) -> String {
        let Self {
            what,
            count,
            example,
        } = self;
        format!("{count} {what}; first {example}")
    }
}

/// The error of our own within another: one of a condition or of a value, not of the file.
pub(super) fn own_error(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut inner = Some(error);
    while let Some(error) = inner {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours.copied());
        }
        inner = error.source();
    }
    None
}

/// How a shard is laid out in its file.
pub(super) struct Layout {
    pub(super) schema: SchemaRef,
    /// Key-value metadata, without the Arrow schema.
    pub(super) metadata: HashMap<String, String>,
    pub(super) row_groups: Vec<GroupLayout>,
}

/// A row group in its file.
pub(super) struct GroupLayout {
    pub(super) rows: u64,
    pub(super) compressed_bytes: u64,
    /// It says where its pages are.
    pub(super) is_indexed: bool,
    pub(super) chunks: Vec<ChunkLayout>,
}

/// What lies of one column, or a part of it, in a row group.
pub(super) struct ChunkLayout {
    /// Position of the column in the schema.
    pub(super) column: usize,
    pub(super) codec: String,
    pub(super) compressed_bytes: u64,
    pub(super) uncompressed_bytes: u64,
}

/// Batches of a row group.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// The rows of a shard, before its file is open for them.
pub(super) trait ShardRows: fmt::Debug + Send + Sync {
    /// Makes ready to read them. `plan` names columns of the file alone; byte and string columns come as views,
    /// see [`super::view_schema`].
    fn open(&self, location: &Location, plan: ReadPlan) -> Result<Box<dyn OpenRows>>;

    /// Bytes that are in memory at one time when `columns` are read, of what cannot be read in parts and has more than
    /// `least`.
    fn whole_bytes(&self, _: &Location, _columns: &[usize], _least: u64) -> Result<u64> {
        Ok(0)
    }

    /// What a column of the file holds, as far as that is known without reading it.
    fn held(&self, _: &Location, _: &ShardBytes, _column: usize) -> Result<Held> {
        Ok(Held::Unknown)
    }
}

/// What a column of a file holds.
pub(super) enum Held {
    /// There are no rows.
    Nothing,
    /// One value in all rows, which may be null.
    One(ArrayRef),
    /// More than one.
    Several,
    /// The file does not tell.
    Unknown,
}

/// The rows of a shard that is open.
pub(super) trait OpenRows: Send + Sync {
    /// Batches of one row group; only the rows of `wanted`, ascending from its start, if that is given.
    fn row_group(&self, group: usize, wanted: Option<Vec<Range<usize>>>) -> Result<Batches>;

    /// How its row groups lie in the file, where that is as Parquet.
    fn encoded(&self) -> Option<EncodedRows> {
        None
    }
}

/// A shard whose row groups can be copied as they lie.
#[derive(Debug, Clone)]
pub struct EncodedRows {
    /// The bytes of its file.
    pub bytes: ShardBytes,
    /// Its footer, with page indexes where it has them.
    pub footer: Arc<ParquetMetaData>,
}

/// Asked for at a time where a row group is copied from a place that is far.
const COPIED_BYTES: u64 = 8 << 20;

impl EncodedRows {
    /// The bytes, for who copies a row group.
    pub fn of_group(&self, group: usize) -> ShardBytes {
        if !self.bytes.is_planned() {
            return self.bytes.clone();
        }
        let chunks = self.footer.row_group(group).columns().iter();
        let mut ranges: Vec<Range<u64>> = chunks
            .map(|chunk| {
                let (start, length) = chunk.byte_range();
                start..start.saturating_add(length)
            })
            .collect();
        ranges.sort_by_key(|range| range.start);
        self.bytes.planned(&ranges, COPIED_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_short_endings_and_codecs_name_a_shard() {
        for name in [
            "a.parquet",
            "b.pq",
            "b.parq",
            "c.PARQUET",
            "c.Pq",
            "d.parquet.zstd",
            "d.zstd.parquet",
            "d.PARQUET.GZ",
        ] {
            assert!(KINDS[0].names(name), "{name}");
            assert!(!KINDS[1].names(name), "{name}");
        }
        for name in ["a.tar", "a.TAR", "a.tar.gz", "a.tgz", "a.tar.zst"] {
            assert!(KINDS[1].names(name), "{name}");
            assert!(!KINDS[0].names(name), "{name}");
        }
        for name in [
            "parquet",
            "a.parquet.bak",
            "a.parquet.crc",
            "a.csv",
            "a.zstd",
            "parquet.zstd",
            "apq",
        ] {
            assert!(!KINDS[0].names(name), "{name}");
        }
    }
}
