//! Parquet shards: the footer, and pages of row groups.

use std::{collections::HashMap, ops::Range, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field},
};
use parquet::{
    arrow::{
        ProjectionMask, RowNumber,
        arrow_reader::{
            ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions,
            ParquetRecordBatchReaderBuilder, RowFilter, RowSelection, RowSelectionPolicy,
        },
    },
    basic::Compression,
    errors::ParquetError,
    file::metadata::{ColumnChunkMetaData, PageIndexPolicy, RowGroupMetaData},
};

use super::{
    Location, ReadPlan, ShardBytes,
    kind::{
        Batches, ChunkLayout, EncodedRows, GroupLayout, Kind, Layout, OpenRows, Outline, ShardRows,
    },
    view_schema,
};
use crate::{
    error::{Error, Result},
    schema::ROW,
};

pub(super) const KIND: Kind = Kind {
    ending: ".parquet",
    outline,
    layout,
};

/// Rows below this size are small: a page of the usual 1 MiB holds hundreds.
const SMALL_ROW_BYTES: u64 = 4096;

fn footer_of(location: &Location, file: &ShardBytes) -> Result<ArrowReaderMetadata> {
    ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).map_err(|error| {
        Error::input("read the Parquet footer")
            .with("shard", location)
            .with("size", format!("{} bytes", file.size_bytes()))
            .source(error)
            .hint("the file is not Parquet, is damaged, or was not written to its end; fetch it again or leave it out")
    })
}

fn outline(location: &Location, file: &ShardBytes) -> Result<Outline> {
    let footer = footer_of(location, file)?;
    let groups = footer.metadata().row_groups();
    let rows = groups.iter().map(|group| {
        u64::try_from(group.num_rows()).map_err(|error| {
            Error::input("read a row group's row count")
                .with("shard", location)
                .source(error)
        })
    });
    let first = groups.first().and_then(|group| group.columns().first());
    Ok(Outline {
        schema: Arc::clone(footer.schema()),
        metadata: key_values(&footer),
        compression: first.map_or(Compression::UNCOMPRESSED, ColumnChunkMetaData::compression),
        row_groups: rows.collect::<Result<_>>()?,
        rows: Arc::new(ParquetRows),
    })
}

/// Key-value pairs of a file, without the Arrow schema.
fn key_values(footer: &ArrowReaderMetadata) -> HashMap<String, String> {
    // Some writers put them only into the Arrow schema, others beside it too.
    let mut pairs = footer.schema().metadata().clone();
    let in_file = footer.metadata().file_metadata().key_value_metadata();
    pairs.extend(
        in_file
            .into_iter()
            .flatten()
            .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))),
    );
    pairs.remove(parquet::arrow::ARROW_SCHEMA_META_KEY);
    pairs
}

fn layout(location: &Location, file: &ShardBytes) -> Result<Layout> {
    let footer = footer_of(location, file)?;
    let groups = footer.metadata().row_groups().iter();
    Ok(Layout {
        schema: Arc::clone(footer.schema()),
        metadata: key_values(&footer),
        row_groups: groups.map(|group| group_layout(group, &footer)).collect(),
    })
}

fn group_layout(group: &RowGroupMetaData, footer: &ArrowReaderMetadata) -> GroupLayout {
    let has_index = |chunk: &ColumnChunkMetaData| chunk.offset_index_offset().is_some();
    let chunks = group.columns().iter().enumerate();
    let chunks = chunks.map(|(leaf, chunk)| ChunkLayout {
        column: footer.parquet_schema().get_column_root_idx(leaf),
        codec: codec(chunk),
        compressed_bytes: natural(chunk.compressed_size()),
        uncompressed_bytes: natural(chunk.uncompressed_size()),
    });
    GroupLayout {
        rows: natural(group.num_rows()),
        compressed_bytes: natural(group.compressed_size()),
        is_indexed: group.columns().iter().all(has_index),
        chunks: chunks.collect(),
    }
}

/// What a damaged footer may say to be negative is none.
fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// `zstd` of `ZSTD(ZstdLevel(1))`: a footer does not know the level.
fn codec(chunk: &ColumnChunkMetaData) -> String {
    let name = chunk.compression().to_string().to_lowercase();
    name.split('(').next().unwrap_or_default().to_owned()
}

/// Nothing is kept of the footer: of thousands of shards that would be memory that nobody has stated.
#[derive(Debug)]
struct ParquetRows;

impl ShardRows for ParquetRows {
    fn open(&self, location: &Location, plan: ReadPlan) -> Result<Box<dyn OpenRows>> {
        let file = location.open()?;
        let failed = |error: ParquetError| {
            Error::input("read the Parquet footer")
                .with("shard", location)
                .source(error)
        };
        let indexed = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let plain = ArrowReaderMetadata::load(&file, indexed).map_err(failed)?;
        let mut options =
            ArrowReaderOptions::new().with_schema(Arc::new(view_schema(plain.schema())));
        if plan.row_numbers {
            let number = Field::new(ROW, DataType::Int64, false).with_extension_type(RowNumber);
            options = options
                .with_virtual_columns(vec![Arc::new(number)])
                .map_err(failed)?;
        }
        // The same footer, with other types: it is not read again.
        let footer =
            ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options).map_err(failed)?;
        Ok(Box::new(OpenParquet {
            shard: location.name().to_owned(),
            file,
            footer,
            plan,
        }))
    }
}

/// Reads row group by row group, holding one page per column at a time.
///
/// Image bytes are not copied out of their page. The whole column chunk is never in memory: a 1 GB row group costs
/// what its largest page does.
struct OpenParquet {
    shard: String,
    file: ShardBytes,
    footer: ArrowReaderMetadata,
    plan: ReadPlan,
}

impl OpenRows for OpenParquet {
    fn row_group(&self, group: usize, wanted: Option<Vec<Range<usize>>>) -> Result<Batches> {
        let schema = self.footer.parquet_schema();
        let columns = self.plan.columns.iter().copied();
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.file.clone(),
            self.footer.clone(),
        )
        .with_row_groups(vec![group])
        .with_projection(ProjectionMask::roots(schema, columns))
        .with_row_selection_policy(self.selection_policy(group))
        .with_batch_size(self.batch_rows(group));
        if let Some(wanted) = wanted {
            let rows = self.footer.metadata().row_group(group).num_rows();
            let rows = usize::try_from(rows).unwrap_or(0);
            let wanted = RowSelection::from_consecutive_ranges(wanted.into_iter(), rows);
            builder = builder.with_row_selection(wanted);
        }
        if !self.plan.predicates.is_empty() {
            builder = builder.with_row_filter(self.row_filter());
        }
        let reader = builder.build();
        let reader = reader.map_err(|error| read_error(&self.shard, group, error))?;
        let shard = self.shard.clone();
        Ok(Box::new(reader.map(move |batch| {
            batch.map_err(|error| read_error(&shard, group, error))
        })))
    }

    fn encoded(&self) -> Option<EncodedRows> {
        Some(EncodedRows {
            bytes: self.file.clone(),
            footer: Arc::clone(self.footer.metadata()),
        })
    }
}

impl OpenParquet {
    fn row_filter(&self) -> RowFilter {
        let schema = self.footer.parquet_schema();
        let predicates = self.plan.predicates.iter().map(|predicate| {
            let mask = ProjectionMask::roots(schema, predicate.columns.iter().copied());
            let evaluate = Arc::clone(&predicate.evaluate);
            // The reader appends its row number to these batches too.
            let wanted: Vec<usize> = (0..predicate.columns.len()).collect();
            Box::new(ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
                evaluate(&batch.project(&wanted)?)
            })) as _
        });
        RowFilter::new(predicates.collect())
    }

    /// Selectors skip whole pages, where a mask decompresses them all; but of small rows hardly a page is
    /// without one that is wanted, and a mask costs less than thousands of short runs.
    fn selection_policy(&self, group: usize) -> RowSelectionPolicy {
        if self.row_bytes(group) < SMALL_ROW_BYTES {
            RowSelectionPolicy::default()
        } else {
            RowSelectionPolicy::Selectors
        }
    }

    /// As many rows as fit the byte target at this row group's average.
    fn batch_rows(&self, group: usize) -> usize {
        let fitting = (self.plan.batch_bytes / self.row_bytes(group)).max(1);
        usize::try_from(fitting)
            .unwrap_or(usize::MAX)
            .min(self.plan.batch_rows.max(1))
    }

    /// Bytes of an average row, of the wanted columns; at least 1.
    fn row_bytes(&self, group: usize) -> u64 {
        let facts = self.footer.metadata().row_group(group);
        let rows = natural(facts.num_rows()).max(1);
        let schema = self.footer.parquet_schema();
        let bytes: i64 = facts
            .columns()
            .iter()
            .enumerate()
            .filter(|(leaf, _)| {
                self.plan
                    .columns
                    .contains(&schema.get_column_root_idx(*leaf))
            })
            .map(|(_, column)| column.uncompressed_size())
            .sum();
        (natural(bytes) / rows).max(1)
    }
}

fn read_error(
    shard: &str,
    group: usize,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    // An error of our own comes from a predicate: the file is sound.
    let mut inner: Option<&(dyn std::error::Error + 'static)> = Some(&cause);
    let mut predicate = None;
    while let (Some(error), None) = (inner, &predicate) {
        predicate = error.downcast_ref::<Error>().map(ToString::to_string);
        inner = error.source();
    }
    let error = match predicate {
        Some(message) => Error::input(message),
        None => Error::input("read a row group")
            .hint("the file is damaged there; fetch it again or leave it out"),
    };
    error
        .with("shard", shard)
        .with("row_group", group)
        .source(cause)
}
