use std::{fs::File, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StructArray},
    compute::cast,
    datatypes::{DataType, Field, Fields, Schema},
    error::ArrowError,
};
use parquet::{
    arrow::{
        ProjectionMask, RowNumber,
        arrow_reader::{
            ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder, RowFilter, RowSelection, RowSelectionPolicy,
        },
    },
    file::metadata::{PageIndexPolicy, ParquetMetaData},
};

use super::{Shard, open_file};
use crate::{
    error::{Error, Result},
    schema::ROW,
};

/// Rows below this size are small: a page of the usual 1 MiB holds hundreds.
const SMALL_ROW_BYTES: u64 = 4096;

/// Says of each row of a batch whether it passes.
pub type Evaluate = dyn Fn(&RecordBatch) -> Result<BooleanArray, ArrowError> + Send + Sync;

/// A condition on some columns, evaluated before the others are read.
#[derive(Clone)]
pub struct RowPredicate {
    /// Positions of its columns in the shard's schema, ascending.
    pub columns: Vec<usize>,
    /// True for the rows that pass; its batches hold `columns` in that order.
    pub evaluate: Arc<Evaluate>,
}

/// What is read of a shard, and in what portions.
#[derive(Debug, Clone, Default)]
pub struct ReadPlan {
    /// Positions of the wanted columns in the shard's schema, ascending.
    pub columns: Vec<usize>,
    /// Adds the row's position in the shard as a last column named [`ROW`], `i64`.
    pub row_numbers: bool,
    /// Rows are dropped before the wanted columns are read.
    pub predicates: Vec<RowPredicate>,
    /// Most rows in a batch.
    pub batch_rows: usize,
    /// Most bytes in a batch, judged by the average row of its row group.
    pub batch_bytes: u64,
}

/// Reads a shard row group by row group, holding one page per column at a time.
///
/// Byte and string columns come as views (see [`view_schema`]), so image bytes are not copied out of
/// their page. The whole column chunk is never in memory: a 1 GB row group costs what its largest page does.
pub struct ShardReader {
    file: File,
    footer: ArrowReaderMetadata,
    plan: ReadPlan,
    shard: Shard,
}

impl ShardReader {
    /// Opens `shard`, with its page offsets if the file has them.
    ///
    /// # Errors
    /// When the file cannot be opened or its footer has changed its mind since [`super::ShardSet::open`].
    pub fn open(shard: &Shard, plan: ReadPlan) -> Result<Self> {
        let file = open_file(&shard.path)?;
        let failed = |error| {
            Error::input("read the Parquet footer")
                .with("shard", shard.path.display())
                .source(error)
        };
        let plain = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(failed)?;
        let mut options = ArrowReaderOptions::new()
            .with_schema(Arc::new(view_schema(plain.schema())))
            .with_page_index_policy(PageIndexPolicy::Optional);
        if plan.row_numbers {
            let number = Field::new(ROW, DataType::Int64, false).with_extension_type(RowNumber);
            options = options
                .with_virtual_columns(vec![Arc::new(number)])
                .map_err(failed)?;
        }
        let footer = ArrowReaderMetadata::load(&file, options).map_err(failed)?;
        Ok(Self {
            file,
            footer,
            plan,
            shard: shard.clone(),
        })
    }

    /// The footer, with page indexes where the file has them.
    pub fn footer(&self) -> &Arc<ParquetMetaData> {
        self.footer.metadata()
    }

    /// Batches of one row group; only the rows of `wanted`, ascending from its start, if that is given.
    ///
    /// # Errors
    /// When a page that must be read at once is damaged.
    pub fn row_group(
        &self,
        group: usize,
        wanted: Option<Vec<Range<usize>>>,
    ) -> Result<RowGroupReader> {
        let failed = |error: std::io::Error| self.error(group, error);
        let file = self.file.try_clone().map_err(failed)?;
        let schema = self.footer.parquet_schema();
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer.clone())
                .with_row_groups(vec![group])
                .with_projection(ProjectionMask::roots(
                    schema,
                    self.plan.columns.iter().copied(),
                ))
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
        let reader = builder.build().map_err(|error| self.error(group, error))?;
        Ok(RowGroupReader {
            reader,
            path: self.shard.path.display().to_string(),
            group,
        })
    }

    fn row_filter(&self) -> RowFilter {
        let schema = self.footer.parquet_schema();
        let predicates = self.plan.predicates.iter().map(|predicate| {
            let mask = ProjectionMask::roots(schema, predicate.columns.iter().copied());
            let evaluate = Arc::clone(&predicate.evaluate);
            // The reader appends its row number to these batches too.
            let wanted: Vec<usize> = (0..predicate.columns.len()).collect();
            Box::new(ArrowPredicateFn::new(mask, move |batch| {
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
        let rows = u64::try_from(facts.num_rows()).unwrap_or(0).max(1);
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
        (u64::try_from(bytes).unwrap_or(0) / rows).max(1)
    }

    fn error(&self, group: usize, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        read_error(&self.shard.path.display().to_string(), group, cause)
    }
}

fn read_error(
    path: &str,
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
        .with("shard", path)
        .with("row_group", group)
        .source(cause)
}

/// Iterates over the batches of one row group.
pub struct RowGroupReader {
    reader: ParquetRecordBatchReader,
    path: String,
    group: usize,
}

impl Iterator for RowGroupReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.reader.next()?;
        Some(next.map_err(|error| read_error(&self.path, self.group, error)))
    }
}

/// `column` as `data_type`, from which it differs at most in which of its parts may be null.
///
/// # Errors
/// When it differs in more.
pub fn conform(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type {
        Ok(Arc::clone(column))
    } else {
        cast(column, data_type)
    }
}

/// `column` with bytes of its own: views of a few wanted rows would keep whole pages in memory.
pub fn compact(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        DataType::Struct(_) => {
            let (fields, columns, nulls) = column.as_struct().clone().into_parts();
            let columns = columns.iter().map(compact).collect();
            Arc::new(StructArray::new(fields, columns, nulls))
        }
        _ => Arc::clone(column),
    }
}

/// `schema` with byte and string columns as views, also inside structs.
pub fn view_schema(schema: &Schema) -> Schema {
    Schema::new_with_metadata(view_fields(schema.fields()), schema.metadata().clone())
}

fn view_fields(fields: &Fields) -> Fields {
    fields
        .iter()
        .map(|field| {
            field
                .as_ref()
                .clone()
                .with_data_type(view_type(field.data_type()))
        })
        .collect()
}

fn view_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Struct(fields) => DataType::Struct(view_fields(fields)),
        other => other.clone(),
    }
}

impl std::fmt::Debug for RowPredicate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowPredicate")
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, BinaryViewArray};
    use parquet::{
        arrow::ArrowWriter,
        basic::Compression,
        file::properties::{WriterProperties, WriterVersion},
    };

    use super::*;
    use crate::source::ShardSet;

    const IMAGE_BYTES: usize = 20_000;

    /// Where the bytes of every image lie.
    fn addresses(images: &BinaryViewArray) -> Vec<*const u8> {
        images.iter().flatten().map(<[u8]>::as_ptr).collect()
    }

    /// From the page that was read to what the writer is given, no image is copied.
    #[test]
    fn image_bytes_stay_in_their_pages() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shard.parquet");
        let images: Vec<Vec<u8>> = (0u8..100).map(|row| vec![row; IMAGE_BYTES]).collect();
        let column = BinaryArray::from_iter_values(&images);
        let batch = RecordBatch::try_from_iter([("image", Arc::new(column) as ArrayRef)]).unwrap();
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_writer_version(WriterVersion::PARQUET_1_0);
        let file = File::create(&path).unwrap();
        let mut writer =
            ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let set = ShardSet::open(&[path]).unwrap();
        let plan = ReadPlan {
            columns: vec![0],
            batch_rows: 64,
            batch_bytes: u64::MAX,
            ..ReadPlan::default()
        };
        let reader = ShardReader::open(&set.shards[0], plan).unwrap();
        let mut wanted = (0..100).step_by(3);
        for batch in reader
            .row_group(0, Some(wanted.clone().map(|row| row..row + 1).collect()))
            .unwrap()
        {
            let batch = batch.unwrap();
            let read = batch.column(0).as_binary_view();
            for image in read.iter().flatten() {
                assert_eq!(image, images[wanted.next().unwrap()]);
            }
            let held: usize = read.data_buffers().iter().map(|buffer| buffer.len()).sum();
            assert!(
                held > 2 * read.len() * IMAGE_BYTES,
                "the buffers hold {held} bytes: not pages, but the {} images copied out of them",
                read.len()
            );
            let given = conform(batch.column(0), &DataType::BinaryView).unwrap();
            assert_eq!(addresses(given.as_binary_view()), addresses(read));
            let own = compact(batch.column(0));
            assert_ne!(addresses(own.as_binary_view()), addresses(read));
        }
        assert_eq!(wanted.next(), None);
    }
}
