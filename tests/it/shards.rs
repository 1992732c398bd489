//! Writes inputs and reads outputs.

use std::{collections::HashMap, fs::File, path::Path, sync::Arc};

use arrow::{
    array::{
        ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray,
        StructArray, UInt32Array,
    },
    compute::concat_batches,
    datatypes::{DataType, Field, Float32Type, Schema},
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::{
        metadata::ParquetMetaData,
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
    },
};

use crate::pictures;

/// What HF `datasets` writes into the schema of [`pairs`].
pub(crate) const HUGGINGFACE: &str = r#"{"info": {"features": {"uid": {"dtype": "string", "_type": "Value"}, "image": {"_type": "Image"}, "text": {"dtype": "string", "_type": "Value"}, "rank": {"dtype": "int64", "_type": "Value"}}}}"#;

/// One pair of [`hf_batch`].
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) path: Option<String>,
    pub(crate) text: Option<String>,
}

impl Pair {
    pub(crate) fn new(bytes: Vec<u8>, text: &str) -> Self {
        Self {
            bytes: Some(bytes),
            path: None,
            text: Some(text.to_owned()),
        }
    }

    /// A pair whose image is a path.
    pub(crate) fn at(path: &str) -> Self {
        Self {
            bytes: None,
            path: Some(path.to_owned()),
            text: Some("a picture".to_owned()),
        }
    }
}

/// `rows` sound pairs, no two alike.
pub(crate) fn good_pairs(rows: u32) -> Vec<Pair> {
    (0..rows)
        .map(|row| Pair::new(pictures::bmp(row), &format!("a picture of thing {row}")))
        .collect()
}

/// [`good_pairs`], every seventh with one of the faults in turn.
pub(crate) fn mixed_pairs(rows: u32) -> Vec<Pair> {
    let mut pairs = good_pairs(rows);
    for (number, row) in (3..pairs.len()).step_by(7).enumerate() {
        let pair = &mut pairs[row];
        match number % 6 {
            0 => pair.bytes = None,
            1 => pair.bytes = Some(Vec::new()),
            2 => pair.bytes = Some(b"<html>not found</html>".to_vec()),
            3 => pair.bytes = Some(pictures::cut_bmp(7)),
            4 => pair.text = None,
            _ => pair.text = Some(" \t".to_owned()),
        }
    }
    pairs
}

/// `uid, image{bytes, path}, text, rank`, with the metadata of HF `datasets`.
pub(crate) fn hf_batch(pairs: &[Pair]) -> RecordBatch {
    let schema = Schema::new_with_metadata(
        vec![
            Field::new("uid", DataType::Utf8, true),
            Field::new("image", hf_image().data_type().clone(), true),
            Field::new("text", DataType::Utf8, true),
            Field::new("rank", DataType::Int64, true),
        ],
        HashMap::from([("huggingface".to_owned(), HUGGINGFACE.to_owned())]),
    );
    let uids: StringArray = (0..pairs.len())
        .map(|row| Some(format!("{row:032x}")))
        .collect();
    let ranks: Int64Array = (0..i64::try_from(pairs.len()).unwrap()).collect();
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(uids),
            image_column(pairs),
            text_column(pairs),
            Arc::new(ranks),
        ],
    )
    .unwrap()
}

fn hf_image() -> Field {
    let children = vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ];
    Field::new("image", DataType::Struct(children.into()), true)
}

/// The images as HF's struct.
pub(crate) fn image_column(pairs: &[Pair]) -> ArrayRef {
    let DataType::Struct(fields) = hf_image().data_type().clone() else {
        unreachable!()
    };
    let paths: StringArray = pairs.iter().map(|pair| pair.path.as_deref()).collect();
    Arc::new(
        StructArray::try_new(fields, vec![bytes_column(pairs), Arc::new(paths)], None).unwrap(),
    )
}

/// The images as plain binary.
pub(crate) fn bytes_column(pairs: &[Pair]) -> ArrayRef {
    Arc::new(
        pairs
            .iter()
            .map(|pair| pair.bytes.as_deref())
            .collect::<BinaryArray>(),
    )
}

/// The captions.
pub(crate) fn text_column(pairs: &[Pair]) -> ArrayRef {
    Arc::new(
        pairs
            .iter()
            .map(|pair| pair.text.as_deref())
            .collect::<StringArray>(),
    )
}

/// A batch of named columns, all nullable.
pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

/// Writes [`hf_batch`] of `pairs` in row groups of `group_rows`.
pub(crate) fn write_pairs(path: &Path, pairs: &[Pair], group_rows: usize) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .build();
    write_with(path, &hf_batch(pairs), properties);
}

/// Writes one batch.
pub(crate) fn write(path: &Path, batch: &RecordBatch) {
    write_with(path, batch, WriterProperties::default());
}

pub(crate) fn write_with(path: &Path, batch: &RecordBatch, properties: WriterProperties) {
    let mut writer = ArrowWriter::try_new(
        File::create(path).unwrap(),
        batch.schema(),
        Some(properties),
    )
    .unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// All rows, with the types that the file declares.
pub(crate) fn read(path: &Path) -> RecordBatch {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let schema = arrow::record_batch::RecordBatchReader::schema(&reader);
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// The footer.
pub(crate) fn footer(path: &Path) -> ParquetMetaData {
    SerializedFileReader::new(File::open(path).unwrap())
        .unwrap()
        .metadata()
        .clone()
}

/// The value of a file-level key.
pub(crate) fn file_value(path: &Path, key: &str) -> Option<String> {
    let footer = footer(path);
    let pairs = footer.file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.clone()
}

/// Column `name` as text; null is `None`.
pub(crate) fn strings(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column =
        arrow::compute::cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
    column
        .as_string::<i32>()
        .iter()
        .map(|value| value.map(str::to_owned))
        .collect()
}

/// `clip_score`, or the column of that meaning.
pub(crate) fn floats(batch: &RecordBatch, name: &str) -> Vec<Option<f32>> {
    batch
        .column_by_name(name)
        .unwrap()
        .as_primitive::<Float32Type>()
        .iter()
        .collect()
}

/// `uid` as the row number it was made from.
pub(crate) fn row_numbers(batch: &RecordBatch) -> Vec<usize> {
    let number = |uid: Option<String>| usize::from_str_radix(&uid.unwrap(), 16).unwrap();
    strings(batch, "uid").into_iter().map(number).collect()
}

/// The vectors of an embedding column; null is `None`.
pub(crate) fn vectors(batch: &RecordBatch, name: &str) -> Vec<Option<Vec<f32>>> {
    let lists = batch.column_by_name(name).unwrap().as_list::<i32>();
    lists
        .iter()
        .map(|list| list.map(|list| list.as_primitive::<Float32Type>().values().to_vec()))
        .collect()
}

/// Only the named columns.
pub(crate) fn project(batch: &RecordBatch, names: &[&str]) -> RecordBatch {
    let positions: Vec<usize> = names
        .iter()
        .map(|name| batch.schema().index_of(name).unwrap())
        .collect();
    batch.project(&positions).unwrap()
}

/// The rows at `rows`.
pub(crate) fn take(batch: &RecordBatch, rows: &[usize]) -> RecordBatch {
    let rows: UInt32Array = rows
        .iter()
        .map(|&row| u32::try_from(row).unwrap())
        .collect::<Vec<_>>()
        .into();
    arrow::compute::take_record_batch(batch, &rows).unwrap()
}

/// The rows where `keep` is true.
pub(crate) fn filter(batch: &RecordBatch, keep: &[bool]) -> RecordBatch {
    arrow::compute::filter_record_batch(batch, &BooleanArray::from(keep.to_vec())).unwrap()
}

/// Column names in order.
pub(crate) fn names(batch: &RecordBatch) -> Vec<String> {
    batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}
