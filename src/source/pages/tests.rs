//! Pages in parts hold what the parquet crate reads of them as a whole: every codec, version and encoding, flat and
//! nested, whole columns and some of their rows.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, AsArray, BinaryArray, Float32Array, Int64Array, ListBuilder, RecordBatch,
        StringArray, StringBuilder, StructArray,
    },
    datatypes::{DataType, Field},
};
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
        },
        parquet_to_arrow_field_levels,
    },
    basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel},
    column::page::Page,
    file::{
        properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion},
        reader::FileReader,
    },
};

use super::{ChunkFacts, FreeBuffers, GroupPages, PageSizes, PartedPages};
use crate::source::{ShardBytes, memory::MemoryFile, view_schema};

const ROWS: usize = 600;
const PART_BYTES: u64 = 3000;
const SIZES: PageSizes = PageSizes {
    whole_bytes: PART_BYTES,
    part_bytes: PART_BYTES,
    window_bytes: PART_BYTES,
    read_bytes: 0,
};

fn picture(row: usize) -> Vec<u8> {
    let noise = |at: usize| ((row * 7919 + at * at * 31) % 251).to_le_bytes()[0];
    (0..row * 13 % 900).map(noise).collect()
}

/// Pictures, captions, numbers, structs and lists, with nulls in each.
fn rows() -> RecordBatch {
    let there = |row: usize, every: usize| !row.is_multiple_of(every);
    let pictures: BinaryArray = (0..ROWS)
        .map(|row| there(row, 7).then(|| picture(row)))
        .collect();
    let captions: StringArray = (0..ROWS)
        .map(|row| there(row, 11).then(|| format!("a caption of a picture, number {}", row / 3)))
        .collect();
    let paths: StringArray = (0..ROWS).map(|row| Some(format!("{row}.jpg"))).collect();
    let fields = [("bytes", DataType::Binary), ("path", DataType::Utf8)];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
    let columns: Vec<ArrayRef> = vec![Arc::new(pictures.clone()), Arc::new(paths)];
    let nulls = (0..ROWS).map(|row| there(row, 5)).collect();
    let image = StructArray::new(fields.to_vec().into(), columns, Some(nulls));
    let mut tags = ListBuilder::new(StringBuilder::new());
    for row in 0..ROWS {
        for tag in 0..row % 4 {
            tags.values()
                .append_option(there(row + tag, 6).then(|| "tag ".repeat(row % 30)));
        }
        tags.append(there(row, 9));
    }
    let weights: Float32Array = (0..ROWS)
        .map(|row| there(row, 4).then_some(row as f32))
        .collect();
    let numbers = Int64Array::from_iter_values((0..ROWS).map(|row| (row * row) as i64));
    let columns: [(&str, ArrayRef); 6] = [
        ("picture", Arc::new(pictures)),
        ("caption", Arc::new(captions)),
        ("image", Arc::new(image)),
        ("tags", Arc::new(tags.finish())),
        ("weight", Arc::new(weights)),
        ("number", Arc::new(numbers)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// A file of one row group with one page per column.
fn file_of(batch: &RecordBatch, properties: WriterPropertiesBuilder) -> ShardBytes {
    let properties = properties
        .set_write_batch_size(1 << 20)
        .set_data_page_size_limit(usize::MAX)
        .set_data_page_row_count_limit(usize::MAX)
        .set_dictionary_page_size_limit(usize::MAX)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    ShardBytes::new(Arc::new(MemoryFile::new(bytes)))
}

fn footer_of(file: &ShardBytes) -> ArrowReaderMetadata {
    let plain = ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).unwrap();
    let views = Arc::new(view_schema(plain.schema()));
    let options = ArrowReaderOptions::new().with_schema(views);
    ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options).unwrap()
}

fn read(reader: ParquetRecordBatchReader) -> Vec<RecordBatch> {
    reader.map(|batch| batch.unwrap()).collect()
}

/// The file's rows in parts and as the crate itself reads them.
fn both(file: &ShardBytes, selection: Option<RowSelection>) -> [Vec<RecordBatch>; 2] {
    let footer = footer_of(file);
    let metadata = Arc::clone(footer.metadata());
    let wanted = selection.clone();
    let pages = GroupPages::new(
        file.clone(),
        metadata,
        0,
        SIZES,
        wanted,
        FreeBuffers::default(),
    );
    let pages: Arc<dyn FileReader> = Arc::new(pages);
    let levels = parquet_to_arrow_field_levels(
        footer.parquet_schema(),
        ProjectionMask::all(),
        Some(footer.schema().fields()),
    )
    .unwrap();
    let parts = selection.clone();
    let parts =
        ParquetRecordBatchReader::try_new_with_row_groups(&levels, &pages, 64, parts).unwrap();
    let mut whole = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), footer)
        .with_batch_size(64);
    if let Some(selection) = selection {
        whole = whole.with_row_selection(selection);
    }
    [read(parts), read(whole.build().unwrap())]
}

fn kinds() -> Vec<(String, WriterPropertiesBuilder)> {
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        // Not read in parts.
        Compression::LZ4,
    ];
    let encodings = [
        None,
        Some(Encoding::PLAIN),
        Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        Some(Encoding::DELTA_BYTE_ARRAY),
    ];
    let mut kinds = Vec::new();
    for codec in codecs {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for encoding in encodings {
                let mut properties = WriterProperties::builder()
                    .set_compression(codec)
                    .set_writer_version(version)
                    .set_dictionary_enabled(encoding.is_none());
                for column in [
                    "picture",
                    "caption",
                    "image.bytes",
                    "image.path",
                    "tags.list.item",
                ] {
                    if let Some(encoding) = encoding {
                        let column = parquet::schema::types::ColumnPath::from(
                            column.split('.').map(str::to_owned).collect::<Vec<_>>(),
                        );
                        properties = properties.set_column_encoding(column, encoding);
                    }
                }
                kinds.push((format!("{codec} {version:?} {encoding:?}"), properties));
            }
        }
    }
    kinds
}

#[test]
fn parts_hold_what_whole_pages_hold() {
    let batch = rows();
    for (kind, properties) in kinds() {
        let file = file_of(&batch, properties);
        let [parts, whole] = both(&file, None);
        assert_eq!(parts, whole, "{kind}");
        assert_eq!(whole.iter().map(RecordBatch::num_rows).sum::<usize>(), ROWS);
    }
}

#[test]
fn some_rows_are_read_of_parts_as_of_whole_pages() {
    let batch = rows();
    let few: Vec<_> = (0..ROWS / 50)
        .flat_map(|run| [RowSelector::skip(30 + run), RowSelector::select(20 - run)])
        .collect();
    let single: Vec<_> = (0..ROWS / 3)
        .flat_map(|_| [RowSelector::select(1), RowSelector::skip(2)])
        .collect();
    let late = vec![RowSelector::skip(590), RowSelector::select(10)];
    for (kind, properties) in kinds() {
        let file = file_of(&batch, properties);
        for selectors in [&few, &single, &late] {
            let [parts, whole] = both(&file, Some(selectors.clone().into()));
            assert_eq!(parts, whole, "{kind}");
        }
    }
}

/// Pages of the column of pictures.
fn pages(file: &ShardBytes) -> PartedPages {
    let footer = footer_of(file);
    let chunk = footer.metadata().row_group(0).column(0);
    let facts = ChunkFacts::new(file.clone(), chunk, SIZES, FreeBuffers::default());
    PartedPages::new(facts.unwrap(), None)
}

#[test]
fn no_part_is_larger_than_a_part_and_a_value() {
    let batch = rows();
    for (kind, properties) in kinds() {
        if kind.starts_with("LZ4 ") {
            continue;
        }
        let file = file_of(&batch, properties);
        let pages: Vec<Page> = pages(&file).collect::<Result<_, _>>().unwrap();
        let largest = pages.iter().map(|page| page.buffer().len()).max().unwrap();
        assert!(largest as u64 <= PART_BYTES + 1000, "{kind}: {largest}");
        assert!(pages.len() > 50, "{kind}: {} pages", pages.len());
    }
}

#[test]
fn a_page_that_is_skipped_is_not_decompressed() {
    let batch = rows();
    let columns = vec![Arc::clone(batch.column(0))];
    let schema = batch.schema().project(&[0]).unwrap();
    let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_compression(Compression::SNAPPY);
    let mut bytes = Vec::new();
    let properties = properties
        .set_write_batch_size(64)
        .set_data_page_size_limit(20_000);
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let memory = Arc::new(MemoryFile::new(bytes));
    let file = ShardBytes::new(Arc::clone(&memory) as _);
    let (size, before) = (file.size_bytes(), memory.bytes_read());
    let last = vec![RowSelector::skip(ROWS - 1), RowSelector::select(1)];
    let footer = footer_of(&file);
    let metadata = Arc::clone(footer.metadata());
    let pages: Arc<dyn FileReader> = Arc::new(GroupPages::new(
        file,
        metadata,
        0,
        SIZES,
        None,
        FreeBuffers::default(),
    ));
    let schema = footer.parquet_schema();
    let levels = parquet_to_arrow_field_levels(schema, ProjectionMask::all(), None).unwrap();
    let reader =
        ParquetRecordBatchReader::try_new_with_row_groups(&levels, &pages, 64, Some(last.into()));
    let batches = read(reader.unwrap());
    assert_eq!(
        batches[0].column(0).as_binary::<i32>().value(0),
        picture(ROWS - 1)
    );
    let read = memory.bytes_read() - before;
    assert!(read < size, "{read} bytes of {size} were read");
}

#[test]
fn damaged_pages_are_errors_or_other_values() {
    let batch = rows();
    for (kind, properties) in kinds().into_iter().step_by(5) {
        let file = file_of(&batch, properties);
        let good = file.read_at(0..file.size_bytes()).unwrap().to_vec();
        for at in (4..good.len() / 2).step_by(good.len() / 40) {
            let mut damaged = good.clone();
            damaged[at] ^= 0x41;
            let bytes = ShardBytes::new(Arc::new(MemoryFile::new(damaged)));
            let Ok(plain) = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new()) else {
                continue;
            };
            let chunk = plain.metadata().row_group(0).column(0);
            let Ok(facts) = ChunkFacts::new(bytes, chunk, SIZES, FreeBuffers::default()) else {
                continue;
            };
            let values: usize = PartedPages::new(facts, None)
                .map_while(Result::ok)
                .map(|page| page.num_values() as usize)
                .sum();
            assert!(values <= 2 * ROWS + 1, "{kind} at {at}: {values}");
        }
    }
}
