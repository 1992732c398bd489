//! `files:LIST`: a list of files with what is said of each, as JSON lines or Parquet.
//!
//! ```json
//! {"path": "s3://lake/data/a.parquet", "partition": {"label": 3}, "left_out": [17, 4]}
//! ```
//!
//! `partition` has columns of one value in all rows of the file, `left_out` positions of rows in it that are deleted;
//! both may be missing. In Parquet they are a struct and a list. A path is a URL, or is taken from the list's own
//! folder on. What lists the files of a table of any format can so have it read.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
        new_null_array,
    },
    compute::cast,
    datatypes::{DataType, Int64Type, Schema},
};
use parquet::{
    arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    file::reader::ChunkReader,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Constant, ContainedBatches, LeftOut, Location, Places, ShardBytes, TableShard, check_pages,
    read_footer,
};
use crate::error::{Error, Result};

/// What an input begins with that is a list.
pub const FILE_LIST: &str = "files:";
/// Most bytes of a line: positions of ten million rows.
const MOST_LINE_BYTES: u64 = 128 << 20;
/// Most bytes of a page of a list in Parquet.
const MOST_PAGE_BYTES: u64 = 256 << 20;
const PATH: &str = "path";
const PARTITION: &str = "partition";
const LEFT_OUT: &str = "left_out";

/// A line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: String,
    #[serde(default)]
    partition: BTreeMap<String, Value>,
    #[serde(default)]
    left_out: Vec<u64>,
}

/// The files that the list `name` has, in its order.
///
/// # Errors
/// When it cannot be read, or an entry is none; the line or row is named.
pub(super) fn files_of(name: &str, places: &Places) -> Result<Vec<TableShard>> {
    let list = places.at(name)?;
    let bytes = list.open()?;
    let start = bytes
        .read_at(0..4)
        .map_err(|error| failed(&list).source(error))?;
    let entries = match *start == *b"PAR1" {
        true => of_parquet(&list, &bytes)?,
        false => of_lines(&list, &bytes)?,
    };
    if entries.is_empty() {
        return Err(failed(&list).with("files", 0));
    }
    let shards = entries.into_iter().map(|entry| {
        Ok(TableShard {
            location: place_of(&entry.path, &list, places)?,
            constants: entry.constants,
            left_out: LeftOut::of(entry.left_out),
            columns: None,
        })
    });
    shards.collect()
}

/// An entry of a list.
struct Entry {
    path: String,
    constants: Vec<Constant>,
    left_out: Vec<u64>,
}

fn failed(list: &Location) -> Error {
    Error::input("read a list of files").with("list", list).hint(
        r#"a line is {"path": "a.parquet", "partition": {"label": 3}, "left_out": [17]}; or Parquet with such columns"#,
    )
}

fn place_of(path: &str, list: &Location, places: &Places) -> Result<Location> {
    if let Some(local) = path.strip_prefix("file://") {
        return places.at(local);
    }
    if path.contains("://") || path.starts_with('/') {
        return places.at(path);
    }
    match list.name().rsplit_once('/') {
        Some((folder, _)) => places.at(&format!("{folder}/{path}")),
        None => places.at(path),
    }
}

fn of_lines(list: &Location, bytes: &ShardBytes) -> Result<Vec<Entry>> {
    let mut reader = BufReader::new(
        bytes
            .get_read(0)
            .map_err(|error| failed(list).source(error))?,
    );
    let (mut lines, mut text) = (Vec::new(), String::new());
    for number in 1_u64.. {
        text.clear();
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
            failed(list).with("line", number).source(error)
        };
        let read = reader.by_ref().take(MOST_LINE_BYTES).read_line(&mut text);
        let read = read.map_err(|error| broken(error.into()))?;
        if read == 0 {
            break;
        }
        if read as u64 == MOST_LINE_BYTES {
            return Err(broken(
                format!("it has {MOST_LINE_BYTES} bytes or more").into(),
            ));
        }
        if text.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&text).map_err(|error| broken(error.into()))?;
        lines.push(line);
    }
    let kinds = kinds(&lines).map_err(|name| {
        failed(list)
            .with("column", name)
            .source("its values are not all numbers, all text or all true and false".to_owned())
    })?;
    let entries = lines.into_iter().map(|line| {
        let constants = kinds.iter().map(|(name, kind)| {
            let value = line.partition.get(name).unwrap_or(&Value::Null);
            Constant::of_list(name, &kind.array(value))
        });
        Ok(Entry {
            constants: constants.collect::<Result<_>>()?,
            path: line.path,
            left_out: line.left_out,
        })
    });
    entries.collect()
}

/// Of what type the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Truth,
    Integer,
    Float,
    Text,
}

impl Kind {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Kind::Nothing),
            Value::Bool(_) => Some(Kind::Truth),
            Value::Number(number) if number.is_i64() => Some(Kind::Integer),
            Value::Number(_) => Some(Kind::Float),
            Value::String(_) => Some(Kind::Text),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Kind::Nothing, kind) | (kind, Kind::Nothing) => Some(kind),
            (Kind::Integer, Kind::Float) | (Kind::Float, Kind::Integer) => Some(Kind::Float),
            _ => None,
        }
    }

    fn array(self, value: &Value) -> ArrayRef {
        match self {
            Kind::Truth => Arc::new(BooleanArray::from(vec![value.as_bool()])),
            Kind::Integer => Arc::new(Int64Array::from(vec![value.as_i64()])),
            Kind::Float => Arc::new(Float64Array::from(vec![value.as_f64()])),
            Kind::Nothing | Kind::Text => Arc::new(StringArray::from(vec![value.as_str()])),
        }
    }
}

/// The columns that any line has, with what all lines have in them; the name of one that is of two types.
fn kinds(lines: &[Line]) -> std::result::Result<BTreeMap<String, Kind>, String> {
    let mut kinds = BTreeMap::new();
    for (name, value) in lines.iter().flat_map(|line| &line.partition) {
        let known = kinds.entry(name.clone()).or_insert(Kind::Nothing);
        let kind = Kind::of(value).and_then(|kind| known.with(kind));
        *known = kind.ok_or_else(|| name.clone())?;
    }
    Ok(kinds)
}

fn of_parquet(list: &Location, bytes: &ShardBytes) -> Result<Vec<Entry>> {
    let broken = |error: parquet::errors::ParquetError| failed(list).source(error);
    let footer = read_footer(bytes, ArrowReaderOptions::new()).map_err(broken)?;
    check_pages(bytes, footer.metadata(), MOST_PAGE_BYTES).map_err(broken)?;
    check_columns(footer.schema()).map_err(|name| failed(list).with("column", name))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), footer);
    let batches = builder.with_batch_size(64).build().map_err(broken)?;
    let mut entries = Vec::new();
    for batch in ContainedBatches::new(batches) {
        let batch = batch.map_err(|error| failed(list).source(error))?;
        for row in 0..batch.num_rows() {
            let number = entries.len();
            let entry = entry_of(&batch, row);
            entries.push(entry.map_err(|error| failed(list).with("row", number).source(error))?);
        }
    }
    Ok(entries)
}

fn check_columns(schema: &Schema) -> std::result::Result<(), String> {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let other = names
        .clone()
        .find(|name| ![PATH, PARTITION, LEFT_OUT].contains(name));
    let missing = (!names.clone().any(|name| name == PATH)).then_some(PATH);
    other
        .or(missing)
        .map_or(Ok(()), |name| Err(name.to_owned()))
}

fn entry_of(batch: &RecordBatch, row: usize) -> Result<Entry> {
    let no = |what: &str| Error::input(format!("read the column '{what}' of a list"));
    let value = |name: &str| {
        batch
            .column_by_name(name)
            .map(|column| column.slice(row, 1))
    };
    let path = value(PATH).and_then(|path| cast(&path, &DataType::Utf8).ok());
    let path = path.as_ref().map(|path| path.as_string::<i32>());
    let path = path
        .filter(|path| path.is_valid(0))
        .ok_or_else(|| no(PATH))?;
    let mut constants = Vec::new();
    if let Some(partition) = value(PARTITION) {
        let partition = partition.as_struct_opt().ok_or_else(|| no(PARTITION))?;
        for (field, column) in partition.fields().iter().zip(partition.columns()) {
            let value = match partition.is_valid(0) {
                true => Arc::clone(column),
                false => new_null_array(field.data_type(), 1),
            };
            constants.push(Constant::of_list(field.name(), &value)?);
        }
    }
    Ok(Entry {
        path: path.value(0).to_owned(),
        constants,
        left_out: match value(LEFT_OUT) {
            None => Vec::new(),
            Some(rows) => positions(&rows).ok_or_else(|| no(LEFT_OUT))?,
        },
    })
}

/// The numbers of one list, none of null.
fn positions(list: &ArrayRef) -> Option<Vec<u64>> {
    let values = match list.data_type() {
        _ if list.is_null(0) => return Some(Vec::new()),
        DataType::List(_) => list.as_list::<i32>().value(0),
        DataType::LargeList(_) => list.as_list::<i64>().value(0),
        _ => return None,
    };
    let values = cast(&values, &DataType::Int64).ok()?;
    let values = values.as_primitive::<Int64Type>().iter();
    values.map(|row| u64::try_from(row?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::MemoryPlace;

    fn read(text: &str) -> Result<Vec<TableShard>> {
        let memory = MemoryPlace::default();
        memory.put("mem://lists/a.jsonl", text.as_bytes().to_vec());
        let places = Places::default().with_place("mem", Arc::new(memory));
        files_of("mem://lists/a.jsonl", &places)
    }

    #[test]
    fn lines_say_where_files_are_and_what_is_said_of_them() {
        let shards = read(
            r#"{"path": "a.parquet", "partition": {"n": 3, "t": "x y"}, "left_out": [4, 2]}

               {"path": "/b.parquet", "partition": {"n": null}}
               {"path": "file:///c d.parquet"}"#,
        )
        .unwrap();
        let names: Vec<&str> = shards.iter().map(|shard| shard.location.name()).collect();
        assert_eq!(
            names,
            ["mem://lists/a.parquet", "/b.parquet", "/c d.parquet"]
        );
        assert_eq!(shards[0].left_out, LeftOut::of(vec![2, 4]));
        for shard in &shards {
            let types = shard
                .constants
                .iter()
                .map(|it| it.field().data_type().clone());
            assert_eq!(types.collect::<Vec<_>>(), [DataType::Int64, DataType::Utf8]);
        }
        assert!(shards[1].constants[0].value().is_null(0));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for (text, said) in [
            ("{\"path\": \"a\"}\n{\"pth\": \"b\"}", "line: 2"),
            ("{\"path\": \"a\", \"left_out\": [-1]}", "line: 1"),
            ("", "files: 0"),
            (
                "{\"path\":\"a\",\"partition\":{\"n\":1}}\n{\"path\":\"b\",\"partition\":{\"n\":\"x\"}}",
                "column: n",
            ),
            ("{\"path\":\"a\",\"partition\":{\"n\":[1]}}", "column: n"),
        ] {
            let report = read(text).unwrap_err().report();
            assert!(report.contains(said), "{text}: {report}");
        }
    }
}
