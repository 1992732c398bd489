//! How an output is laid out, and the writer that lays it out so.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use parquet::{
    arrow::{ARROW_SCHEMA_META_KEY, PARQUET_FIELD_ID_META_KEY, encode_arrow_schema},
    basic::{Compression, ZstdLevel},
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        reader::ChunkReader,
    },
    schema::types::{ColumnPath, TypePtr},
};

use super::{
    EncodedGroup, PartPlace, Staged,
    commit::PARQUET,
    part::{ColumnLayout, PartLayout, PartWriter},
    partitions::{PartitionColumns, Partitions},
    plain_schema,
};
use crate::error::{Error, Result};

mod cutting;

/// Values written between two looks at the page size. With the usual 1,024 a page of 100 kB images would
/// be 100 MB, and a reader that wants one row of it would read them all.
const VALUES_PER_PAGE_CHECK: usize = 32;
/// A directory's file is closed at this size.
const PART_BYTES: usize = 1 << 30;
/// A row group of a query's result is closed at this size: it is held in memory until then.
const RESULT_ROW_GROUP_BYTES: u64 = 64 << 20;

/// What polars writes of the values of a type that has no others.
const POLARS_ENUM: &str = "_PL_ENUM_VALUES";

/// A column that is written after the input's own.
pub type AddedField = Field;

/// Where the files of a directory end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cut {
    /// At a size.
    #[default]
    BySize,
    /// With a shard: the number of a file is that of its shard.
    ByShard,
}

/// How the output is laid out.
#[derive(Debug, Clone)]
pub struct WriterPolicy {
    /// The input's schema, with the types its writer declared.
    pub input: SchemaRef,
    /// What Parquet is to have the input's columns as; by their Arrow types where that is `None` or there is nothing.
    pub stored: Vec<Option<TypePtr>>,
    /// The columns added.
    pub added: Vec<AddedField>,
    /// Name of the image column, whose bytes are stored as they are: they are compressed already.
    pub image: String,
    /// Codec of the other columns.
    pub compression: Compression,
    /// A row group is closed at this size.
    pub row_group_bytes: u64,
    /// Key-value metadata of every file.
    pub metadata: Vec<(String, String)>,
    /// Columns by whose values a directory is cut into folders.
    pub partition_by: Vec<String>,
    /// Whether files have those, too.
    pub partition_columns: PartitionColumns,
    /// Where files end.
    pub cut: Cut,
}

impl WriterPolicy {
    /// The layout of a query's result, with the Parquet types of [`super::ParquetResult`]; its first column that can hold
    /// images is taken to do so.
    pub fn of_result(schema: &Schema, stored: &[Option<TypePtr>]) -> Self {
        let input = plain_schema(schema);
        let fields = input.fields();
        let image = fields
            .iter()
            .find(|field| is_image_struct(field.data_type()))
            .or_else(|| fields.iter().find(|field| is_binary(field.data_type())));
        let mut metadata: Vec<(String, String)> = input.metadata().clone().into_iter().collect();
        metadata.sort();
        Self {
            image: image.map_or_else(String::new, |field| field.name().clone()),
            stored: stored.to_vec(),
            added: Vec::new(),
            compression: Compression::ZSTD(ZstdLevel::default()),
            row_group_bytes: RESULT_ROW_GROUP_BYTES,
            metadata,
            partition_by: Vec::new(),
            partition_columns: PartitionColumns::InNames,
            cut: Cut::BySize,
            input: Arc::new(input),
        }
    }

    /// The same with row groups that wait in no more bytes than these.
    #[must_use]
    pub fn within(mut self, row_group_bytes: u64) -> Self {
        self.row_group_bytes = self.row_group_bytes.min(row_group_bytes);
        self
    }

    /// What readers are told the columns are: the input's declared types, then the added ones.
    pub fn declared_schema(&self) -> Schema {
        let input = self.input.fields().iter().map(readable_field);
        let added = self.added.iter().cloned().map(Arc::new);
        let fields: Vec<_> = input.chain(added).collect();
        // Readers that know Arrow take the metadata from here, the others from the file's own pairs.
        Schema::new_with_metadata(fields, self.metadata.iter().cloned().collect())
    }

    pub(super) fn properties(&self) -> WriterProperties {
        let mut metadata: Vec<KeyValue> = self
            .metadata
            .iter()
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone()))
            .collect();
        // Batches hold views, which share the Parquet type of the plain columns they came from.
        let declared = encode_arrow_schema(&without_intervals(&self.declared_schema()));
        metadata.push(KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), declared));
        let codec = match self.compression {
            Compression::UNCOMPRESSED => Compression::UNCOMPRESSED,
            Compression::SNAPPY => Compression::SNAPPY,
            Compression::LZ4_RAW => Compression::LZ4_RAW,
            _ => Compression::ZSTD(ZstdLevel::default()),
        };
        let mut builder = WriterProperties::builder()
            .set_compression(codec)
            .set_key_value_metadata(Some(metadata))
            .set_write_batch_size(VALUES_PER_PAGE_CHECK);
        for path in self.opaque_columns() {
            builder = builder
                .set_column_compression(path.clone(), Compression::UNCOMPRESSED)
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::None);
        }
        builder.build()
    }

    /// Image bytes and embeddings: neither a codec nor a dictionary nor statistics help them.
    fn opaque_columns(&self) -> Vec<ColumnPath> {
        let image = self
            .input
            .fields()
            .iter()
            .find(|field| *field.name() == self.image);
        let image = image.map(|field| match field.data_type() {
            DataType::Struct(_) => vec![field.name().clone(), "bytes".to_owned()],
            _ => vec![field.name().clone()],
        });
        let embeddings = self
            .added
            .iter()
            .filter(|field| matches!(field.data_type(), DataType::List(_)))
            .map(|field| {
                vec![
                    field.name().clone(),
                    "list".to_owned(),
                    "element".to_owned(),
                ]
            });
        image
            .into_iter()
            .chain(embeddings)
            .map(ColumnPath::new)
            .collect()
    }
}

/// `schema` with intervals as the bytes they are in Parquet: no reader makes Arrow's own of them.
fn without_intervals(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Interval(_) => {
            Arc::new(Field::clone(field).with_data_type(DataType::FixedSizeBinary(12)))
        }
        _ => Arc::clone(field),
    });
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())
}

/// `field` as a type that every reader of the output can make of it: a dictionary of one shard may count its values in
/// eight bits, that of all shards may have more. The number that a table knows it by is left out, as in the Parquet schema.
fn readable_field(field: &FieldRef) -> FieldRef {
    let data_type = readable_type(field);
    let is_numbered = field.metadata().contains_key(PARQUET_FIELD_ID_META_KEY);
    if data_type == *field.data_type() && !is_numbered {
        return Arc::clone(field);
    }
    let mut metadata = field.metadata().clone();
    metadata.remove(PARQUET_FIELD_ID_META_KEY);
    Arc::new(
        Field::clone(field)
            .with_data_type(data_type)
            .with_metadata(metadata),
    )
}

fn readable_type(field: &Field) -> DataType {
    let is_enum = field
        .metadata()
        .keys()
        .any(|key| key.starts_with(POLARS_ENUM));
    match field.data_type() {
        DataType::Dictionary(key, value) => {
            use DataType::{Int8, Int16, Int32, UInt8, UInt16};
            let key = match **key {
                Int8 | Int16 | UInt8 | UInt16 if !is_enum => Box::new(Int32),
                _ => key.clone(),
            };
            DataType::Dictionary(key, value.clone())
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(readable_field).collect()),
        DataType::List(item) => DataType::List(readable_field(item)),
        DataType::LargeList(item) => DataType::LargeList(readable_field(item)),
        DataType::FixedSizeList(item, length) => {
            DataType::FixedSizeList(readable_field(item), *length)
        }
        DataType::Map(entries, sorted) => DataType::Map(readable_field(entries), *sorted),
        other => other.clone(),
    }
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary)
}

fn is_image_struct(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else {
        return false;
    };
    fields
        .find("bytes")
        .is_some_and(|(_, bytes)| is_binary(bytes.data_type()))
}

/// Writes batches into the files of a [`Staged`] output.
pub struct DatasetWriter {
    // Before `staged`, which removes the file.
    open: Option<PartWriter>,
    staged: Staged,
    policy: WriterPolicy,
    schema: SchemaRef,
    parts: usize,
    partitions: Option<Partitions>,
}

impl DatasetWriter {
    /// A writer for batches of `schema`, which holds the input's columns as they are read and the added ones.
    ///
    /// # Errors
    /// When the first file cannot be made.
    pub fn create(staged: Staged, policy: WriterPolicy, schema: SchemaRef) -> Result<Self> {
        let partitions = match policy.partition_by.as_slice() {
            [] => None,
            names => {
                let each = staged.part_bytes().max(1);
                let most = usize::try_from(policy.row_group_bytes / 2 / each).unwrap_or(usize::MAX);
                Some(Partitions::of(
                    names,
                    policy.partition_columns,
                    &schema,
                    most,
                )?)
            }
        };
        let mut writer = Self {
            open: None,
            staged,
            policy,
            schema,
            parts: 0,
            partitions: None,
        };
        if let Some(partitions) = partitions {
            let rest = writer.schema.project(&partitions.rest);
            let rest = rest.map_err(|error| Error::internal("cut an output").source(error))?;
            writer.schema = Arc::new(rest);
            writer.policy = writer.policy.of_parts();
            writer.partitions = Some(partitions);
            return Ok(writer);
        }
        if writer.policy.cut == Cut::ByShard {
            return Ok(writer);
        }
        // An output without rows is still a file with columns.
        writer.open = Some(writer.start_part("", 0)?);
        Ok(writer)
    }

    /// Rows of this shard come next: they begin a file, where files end with shards.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn begin_shard(&mut self, shard: usize) -> Result<()> {
        if self.policy.cut != Cut::ByShard || (self.open.is_some() && self.parts == shard + 1) {
            return Ok(());
        }
        if let Some(part) = self.open.take() {
            self.end_part(part)?;
        }
        self.parts = shard;
        self.open = Some(self.start_part("", shard)?);
        Ok(())
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if let Some(partitions) = self.partitions.take() {
            return self.write_partitions(partitions, batch);
        }
        let mut part = self.part()?;
        part.write(batch).map_err(|error| self.failed(error))?;
        self.go_on(part)
    }

    /// Appends a whole row group of an input without decoding it, with the added columns of all its rows; the
    /// input must be one that [`DatasetWriter::layout`] takes.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn copy<F: ChunkReader>(
        &mut self,
        group: &EncodedGroup<F>,
        added: &RecordBatch,
    ) -> Result<()> {
        let mut part = self.part()?;
        part.copy(group, added)
            .map_err(|error| self.failed(error))?;
        self.go_on(part)
    }

    /// How the output's columns are stored; `None` between two parts.
    pub fn layout(&self) -> Option<ColumnLayout> {
        match self.policy.cut {
            Cut::BySize => self.open.as_ref().map(PartWriter::layout),
            Cut::ByShard => ColumnLayout::of(&self.schema, &self.policy.stored).ok(),
        }
    }

    fn part(&mut self) -> Result<PartWriter> {
        match self.open.take() {
            Some(part) => Ok(part),
            None => self.start_part("", self.parts),
        }
    }

    fn go_on(&mut self, part: PartWriter) -> Result<()> {
        let is_cut = self.staged.destination().takes_parts() && self.policy.cut == Cut::BySize;
        if is_cut && part.size_bytes() >= PART_BYTES {
            return self.end_part(part);
        }
        self.open = Some(part);
        Ok(())
    }

    /// Waits until all files are safe; they are not visible yet.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn close(mut self) -> Result<Staged> {
        if let Some(partitions) = self.partitions.take() {
            if !partitions.is_begun() {
                self.open = Some(self.start_part("", 0)?);
            }
            for open in partitions.open {
                self.end_part(open.part)?;
            }
        }
        if let Some(writer) = self.open.take() {
            self.end_part(writer)?;
        }
        Ok(self.staged)
    }

    fn start_part(&mut self, folder: &str, in_folder: usize) -> Result<PartWriter> {
        let part = self.staged.part(PartPlace {
            number: self.parts,
            folder,
            in_folder,
            ending: PARQUET,
        })?;
        self.parts += 1;
        let layout = PartLayout {
            stored: &self.policy.stored,
            properties: self.policy.properties(),
            row_group_bytes: usize::try_from(self.policy.row_group_bytes).unwrap_or(usize::MAX),
        };
        PartWriter::create(part, &self.schema, layout).map_err(|error| self.failed(error))
    }

    fn end_part(&mut self, part: PartWriter) -> Result<()> {
        let part = part.finish().map_err(|error| self.failed(error))?;
        self.staged.add(part.close()?);
        Ok(())
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::output("write the output")
            .with("output", self.staged.destination())
            .source(error)
            .hint("free space there, or write elsewhere; the input is untouched")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn readers_are_told_no_number_that_a_table_knows_a_column_by() {
        let fact = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let field = |name: &str, data_type, facts: &[(String, String)]| {
            Field::new(name, data_type, true)
                .with_metadata(facts.iter().cloned().collect::<HashMap<_, _>>())
        };
        let pairs = |facts: [&[(String, String)]; 3]| {
            let inner = field("bytes", DataType::Binary, facts[0]);
            let image = DataType::Struct(vec![inner].into());
            Schema::new(vec![
                field("image", image, facts[1]),
                field("text", DataType::Utf8, facts[2]),
            ])
        };
        let number = fact(PARQUET_FIELD_ID_META_KEY, "7");
        let unit = fact("unit", "none");
        let numbered = pairs([
            std::slice::from_ref(&number),
            std::slice::from_ref(&number),
            &[number.clone(), unit.clone()],
        ]);
        let policy = WriterPolicy::of_result(&numbered, &[]);
        assert_eq!(policy.declared_schema(), pairs([&[], &[], &[unit]]));
    }
}
