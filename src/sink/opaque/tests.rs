//! A column that is written as it comes is read as one that the parquet crate wrote, and its footer says the same of it.

use std::sync::{Arc, Mutex};

use arrow::{
    array::{
        ArrayRef, BinaryViewArray, BinaryViewBuilder, RecordBatch, StringArray, StringViewArray,
        StructArray,
    },
    buffer::{Buffer, NullBuffer},
    compute::concat_batches,
    datatypes::{DataType, Field, Schema},
};
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
        arrow_writer::ArrowWriterOptions,
    },
    file::metadata::{PageIndexPolicy, ParquetMetaData},
    schema::types::ColumnPath,
};

use crate::{
    error::Result,
    sink::{
        Part, WrittenPart,
        part::{EncodedGroup, PartLayout, PartWriter},
    },
};

use super::*;

const ROWS: usize = 200;

/// A part in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Part for Memory {
    fn close(self: Box<Self>) -> Result<WrittenPart> {
        Ok(WrittenPart {
            number: 0,
            name: String::new(),
            seal: String::new(),
        })
    }
}

impl Memory {
    fn bytes(&self) -> Bytes {
        self.0.lock().unwrap().clone().into()
    }
}

/// Nothing, what fits into a view, and what is larger than a page.
fn image(row: usize) -> Option<Vec<u8>> {
    let length = [0, 5, 12, 13, 700, 20_000, 90_000, 1_500_000][row % 8];
    (!row.is_multiple_of(11)).then(|| vec![row.to_le_bytes()[0]; length])
}

/// Views into a buffer where each value lies behind its length, as in a page, or without.
fn images(rows: std::ops::Range<usize>, as_in_a_page: bool) -> BinaryViewArray {
    let mut bytes = Vec::new();
    let mut places = Vec::new();
    for image in rows.clone().map(image) {
        let image = image.unwrap_or_default();
        let length = u32::try_from(image.len()).unwrap();
        if as_in_a_page {
            bytes.extend(length.to_le_bytes());
        }
        places.push((u32::try_from(bytes.len()).unwrap(), length));
        bytes.extend(image);
    }
    let mut views = BinaryViewBuilder::new();
    let block = views.append_block(Buffer::from(bytes));
    for ((start, length), row) in places.into_iter().zip(rows) {
        match image(row) {
            Some(_) => views.try_append_view(block, start, length).unwrap(),
            None => views.append_null(),
        }
    }
    views.finish()
}

fn batch(rows: std::ops::Range<usize>, as_in_a_page: bool) -> RecordBatch {
    let names = rows.clone().map(|row| format!("row {row}"));
    let names = StringArray::from_iter_values(names);
    let paths: StringViewArray = rows.clone().map(|_| None::<&str>).collect();
    let fields = [
        Field::new("bytes", DataType::BinaryView, true),
        Field::new("path", DataType::Utf8View, true),
    ];
    let nulls: NullBuffer = rows.clone().map(|row| row % 17 != 3).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(images(rows, as_in_a_page)), Arc::new(paths)];
    let image = StructArray::new(fields.to_vec().into(), columns, Some(nulls));
    let schema = Schema::new(vec![
        Field::new("uid", DataType::Utf8, false),
        Field::new("image", image.data_type().clone(), true),
    ]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(names), Arc::new(image)]).unwrap()
}

fn properties() -> WriterProperties {
    let path = ColumnPath::new(vec!["image".to_owned(), "bytes".to_owned()]);
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_column_compression(path.clone(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(path.clone(), false)
        .set_column_statistics_enabled(path, EnabledStatistics::None)
        .build()
}

fn written(write: impl FnOnce(&mut PartWriter)) -> Bytes {
    let memory = Memory::default();
    let layout = PartLayout {
        stored: &[],
        properties: properties(),
        row_group_bytes: 4 << 20,
    };
    let schema = batch(0..1, true).schema();
    let mut writer = PartWriter::create(Box::new(memory.clone()), &schema, layout).unwrap();
    write(&mut writer);
    writer.finish().unwrap();
    memory.bytes()
}

fn read(bytes: &Bytes) -> (RecordBatch, Arc<ParquetMetaData>) {
    let indexed = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), indexed).unwrap();
    let (schema, footer) = (Arc::clone(reader.schema()), Arc::clone(reader.metadata()));
    let batches: Vec<_> = reader
        .build()
        .unwrap()
        .map(|batch| batch.unwrap())
        .collect();
    (concat_batches(&schema, &batches).unwrap(), footer)
}

/// As the parquet crate writes it.
fn ordinary() -> Bytes {
    let all = batch(0..ROWS, true);
    let mut bytes = Vec::new();
    let options = ArrowWriterOptions::new()
        .with_properties(properties())
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, all.schema(), options).unwrap();
    writer.write(&all).unwrap();
    writer.close().unwrap();
    bytes.into()
}

#[test]
fn what_is_written_as_it_comes_is_what_the_crate_would_write() {
    let (expected, theirs) = read(&ordinary());
    for as_in_a_page in [true, false] {
        let bytes = written(|writer| {
            for start in (0..ROWS).step_by(25) {
                writer
                    .write(&batch(start..start + 25, as_in_a_page))
                    .unwrap();
            }
        });
        let (found, ours) = read(&bytes);
        assert_eq!(found.columns(), expected.columns());
        assert!(ours.num_row_groups() > 2, "{}", ours.num_row_groups());
        let chunk = ours.row_group(0).column(1);
        let other = theirs.row_group(0).column(1);
        assert_eq!(chunk.column_path(), other.column_path());
        assert_eq!(chunk.compression_codec(), other.compression_codec());
        assert_eq!(chunk.encodings_mask(), other.encodings_mask());
        assert_eq!((chunk.statistics(), other.statistics()), (None, None));
        let sum = |footer: &ParquetMetaData, of: &dyn Fn(usize) -> i64| -> i64 {
            (0..footer.num_row_groups()).map(of).sum()
        };
        let values = |footer: &ParquetMetaData| {
            sum(footer, &|group| {
                footer.row_group(group).column(1).num_values()
            })
        };
        assert_eq!(values(&ours), values(&theirs));
        let value_bytes = |footer: &ParquetMetaData| {
            sum(footer, &|group| {
                let index = &footer.offset_index().unwrap()[group][1];
                index
                    .unencoded_byte_array_data_bytes()
                    .unwrap()
                    .iter()
                    .sum()
            })
        };
        assert_eq!(value_bytes(&ours), value_bytes(&theirs));
        // Its first byte is that of the column that did not wait.
        let group = ours.row_group(0);
        assert_eq!(
            group.file_offset(),
            Some(group.column(1).data_page_offset())
        );
        let all: i64 = group
            .columns()
            .iter()
            .map(|chunk| chunk.uncompressed_size())
            .sum();
        assert_eq!(group.total_byte_size(), all);
    }
}

#[test]
fn whole_row_groups_come_between_rows() {
    let bytes = ordinary();
    let (all, footer) = read(&bytes);
    let found = written(|writer| {
        writer.write(&batch(0..30, true)).unwrap();
        let group = EncodedGroup {
            file: bytes.clone(),
            footer,
            group: 0,
        };
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        writer.copy(&group, &nothing).unwrap();
        writer.write(&batch(30..60, false)).unwrap();
    });
    let (found, _) = read(&found);
    assert_eq!(found.num_rows(), 60 + ROWS);
    assert_eq!(found.slice(30, ROWS), all);
    assert_eq!(found.slice(0, 30), all.slice(0, 30));
    assert_eq!(found.slice(30 + ROWS, 30), all.slice(30, 30));
}
