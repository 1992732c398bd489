//! Parquet shards: what the footer says.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema};
use parquet::{
    arrow::{
        ARROW_SCHEMA_META_KEY,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        parquet_to_arrow_schema,
    },
    basic::Compression,
    errors::ParquetError,
    file::metadata::{ColumnChunkMetaData, PageIndexPolicy, RowGroupMetaData},
};

use super::{
    Location, ReadPlan, ShardBytes,
    footer::footer_of,
    held::held,
    kind::{ChunkLayout, GroupLayout, Held, Layout, OpenRows, Outline, ShardKind, ShardRows},
    open_parquet::{ColumnTypes, OpenParquet},
    pages::{FreeBuffers, whole_chunk_bytes, whole_page_bytes},
    read_footer,
    stored::{
        is_carried, is_interval, is_read_well, stored_schema, with_micros, without_intervals,
    },
    views::with_millis,
    zones::with_zones,
};
use crate::error::{Error, Result, contained};

pub(super) const KIND: ShardKind = ShardKind {
    endings: &["parquet", "pq", "parq"],
    outline,
    layout,
};

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
    let declared = declared_schema(&footer).map_err(|error| {
        Error::input("read the columns of the shard")
            .with("shard", location)
            .source(error)
    })?;
    let stored = footer.parquet_schema().root_schema().get_fields().iter();
    Ok(Outline {
        schema: Arc::new(declared),
        stored: stored
            .map(|column| is_carried(column).then(|| Arc::clone(column)))
            .collect(),
        metadata: key_values(&footer),
        compression: first.map_or(Compression::UNCOMPRESSED, ColumnChunkMetaData::compression),
        row_groups: rows.collect::<Result<_>>()?,
        whole_bytes: whole_chunk_bytes(footer.metadata()),
        value_bytes: value_bytes(&footer),
        tallies: Vec::new(),
        seal: None,
        is_loose: false,
        rows: Arc::new(ParquetRows),
    })
}

/// Bytes of each column's average value, in the row group where that is most.
fn value_bytes(footer: &ArrowReaderMetadata) -> Vec<u64> {
    let schema = footer.parquet_schema();
    let mut most = vec![0; schema.root_schema().get_fields().len()];
    for group in footer.metadata().row_groups() {
        let mut bytes = vec![0; most.len()];
        for (leaf, chunk) in group.columns().iter().enumerate() {
            let column = schema.get_column_root_idx(leaf);
            if let Some(bytes) = bytes.get_mut(column) {
                *bytes = natural(chunk.uncompressed_size()).saturating_add(*bytes);
            }
        }
        let rows = natural(group.num_rows()).max(1);
        for (most, bytes) in most.iter_mut().zip(bytes) {
            *most = bytes.div_ceil(rows).max(*most);
        }
    }
    most
}

/// The Arrow types that the writer declared. Where it declared none, what the file has as 96 bits is in microseconds, as
/// those who write so have it. An interval is of months, days and nanoseconds; within other columns it is bytes.
pub(super) fn declared_schema(footer: &ArrowReaderMetadata) -> Result<Schema, ParquetError> {
    let columns = footer.parquet_schema().root_schema().get_fields();
    let pairs = footer.metadata().file_metadata().key_value_metadata();
    if columns.iter().all(|column| is_read_well(column)) {
        return Ok(with_zones(Schema::clone(footer.schema()), pairs));
    }
    let mut pairs_in_file = pairs.into_iter().flatten();
    let declares = pairs_in_file.any(|pair| pair.key == ARROW_SCHEMA_META_KEY);
    let shown = columns.iter().map(|column| match declares {
        true => without_intervals(column),
        false => with_micros(&without_intervals(column)?),
    });
    let shown = stored_schema(&shown.collect::<Result<Vec<_>, _>>()?)?;
    let schema = contained("parquet", || parquet_to_arrow_schema(&shown, pairs));
    let schema = schema.map_err(|error| ParquetError::External(Box::new(error)))??;
    let fields = schema.fields().iter().zip(columns);
    let fields = fields.map(|(field, column)| match field.data_type() {
        DataType::FixedSizeBinary(_) if is_interval(column) => {
            let interval = DataType::Interval(IntervalUnit::MonthDayNano);
            Arc::new(Field::clone(field).with_data_type(interval))
        }
        // Parquet has no times in whole seconds but those in 96 bits, which are not written again.
        _ if !is_carried(column) => with_millis(field),
        _ => Arc::clone(field),
    });
    let metadata = schema.metadata().clone();
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), metadata);
    Ok(with_zones(schema, pairs))
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
    pairs.remove(ARROW_SCHEMA_META_KEY);
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
pub(super) fn natural(number: i64) -> u64 {
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
                .of_bad_shard(location.name())
        };
        let indexed = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let plain = read_footer(&file, indexed).map_err(failed)?;
        let columns = plain.parquet_schema().root_schema().get_fields();
        let declared = declared_schema(&plain).map_err(failed)?;
        let types = ColumnTypes::of(columns, &declared, &plan).map_err(failed)?;
        Ok(Box::new(OpenParquet {
            shard: location.name().to_owned(),
            file,
            footer: Arc::clone(plain.metadata()),
            types,
            plan,
            free: FreeBuffers::default(),
        }))
    }

    fn whole_bytes(&self, location: &Location, columns: &[usize], least: u64) -> Result<u64> {
        let file = location.open()?;
        let footer = footer_of(location, &file)?;
        let bytes = whole_page_bytes(&file, footer.metadata(), columns, least);
        bytes.map_err(|error| {
            Error::input("read the headers of pages")
                .with("shard", location)
                .source(error)
                .of_bad_shard(location.name())
        })
    }

    fn held(&self, location: &Location, file: &ShardBytes, column: usize) -> Result<Held> {
        Ok(held(&footer_of(location, file)?, column))
    }
}
