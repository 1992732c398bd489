//! Outputs cut by the values of columns: `label=3/part-00000.parquet`, as Hive, Spark and DuckDB have them.

use std::collections::{HashMap, HashSet};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::{cast, take_record_batch},
    datatypes::{DataType, Schema},
    error::ArrowError,
};

use super::{Destination, OutputPath, part::PartWriter};
use crate::error::{Error, Result};

/// Most parts that are open at one time.
pub(super) const MOST_OPEN: usize = 64;
/// The folder of rows without a value.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";
/// Most bytes of a name in usual file systems.
const MOST_NAME_BYTES: usize = 255;

/// Whether files have the columns, too, that they lie in folders by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartitionColumns {
    /// The names of folders say them alone.
    #[default]
    InNames,
    /// Files have them.
    InFiles,
}

impl PartitionColumns {
    /// What `--partition-in-files` says.
    pub fn when(in_files: bool) -> Self {
        match in_files {
            true => PartitionColumns::InFiles,
            false => PartitionColumns::InNames,
        }
    }
}

/// A part under way, of rows of one folder.
pub(super) struct OpenPart {
    pub(super) folder: String,
    pub(super) part: PartWriter,
}

/// The columns that an output is cut by, and its parts under way.
pub(super) struct Partitions {
    /// Names and positions of the columns.
    columns: Vec<(String, usize)>,
    /// Positions of those that files have.
    pub(super) rest: Vec<usize>,
    /// The one that was written to last is the last.
    pub(super) open: Vec<OpenPart>,
    /// Parts begun in each folder.
    begun: HashMap<String, usize>,
    /// Most of `open`.
    pub(super) most_open: usize,
}

/// Refuses to cut an output that is one file, or by columns that an output with these cannot be cut by.
///
/// # Errors
/// When the output is one file, or a column is not there, stands twice, holds what is no name, or all are named.
pub fn check_partitions(names: &[String], output: &OutputPath, schema: &Schema) -> Result<()> {
    if !Destination::of(output.clone()).takes_parts() {
        return Err(Error::usage("cut one file by the values of columns")
            .with("output", output)
            .hint("name a directory: --partition-by makes folders in it"));
    }
    let mut seen = HashSet::new();
    for name in names {
        let refused =
            |why: &str| Error::usage(format!("cut the output by the column '{name}': {why}"));
        let Ok(field) = schema.field_with_name(name) else {
            let all: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            return Err(refused("the output has none of that name").with("columns", all.join(", ")));
        };
        if !seen.insert(name) {
            return Err(refused("it is named twice"));
        }
        if name.is_empty() || name.starts_with(['_', '.']) {
            return Err(refused("readers pass over folders that begin so"));
        }
        if !is_named(field.data_type()) {
            return Err(refused("its values are no names").with("its type", field.data_type()));
        }
    }
    match names.len() < schema.fields().len() {
        true => Ok(()),
        false => Err(Error::usage(
            "cut the output by all of its columns: its files would have none",
        )),
    }
}

/// Whether values of the type can name a folder.
fn is_named(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Date32
        | DataType::Date64
        | DataType::Timestamp(..)
        | DataType::Decimal128(..) => true,
        DataType::Dictionary(_, value) => is_named(value),
        other => other.is_integer() || other.is_floating(),
    }
}

impl Partitions {
    /// The partitions of batches of `schema` by the columns `names`.
    pub(super) fn of(
        names: &[String],
        kept: PartitionColumns,
        schema: &Schema,
        most_open: usize,
    ) -> Result<Self> {
        let place = |name: &String| match schema.index_of(name) {
            Ok(place) => Ok((name.clone(), place)),
            Err(error) => Err(Error::internal("cut an output").source(error)),
        };
        let columns = names.iter().map(place).collect::<Result<Vec<_>>>()?;
        let is_rest = |place: &usize| {
            kept == PartitionColumns::InFiles || columns.iter().all(|(_, column)| column != place)
        };
        Ok(Self {
            rest: (0..schema.fields().len()).filter(is_rest).collect(),
            columns,
            open: Vec::new(),
            begun: HashMap::new(),
            most_open: most_open.clamp(1, MOST_OPEN),
        })
    }

    /// The rows of `batch` by their folders, in the order in which those come first, with the columns that files have.
    pub(super) fn split(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        let failed = |error| Error::internal("cut an output").source(error);
        let mut folders = vec![String::new(); batch.num_rows()];
        for (name, column) in &self.columns {
            let texts = texts(batch.column(*column)).map_err(failed)?;
            let texts = texts.as_string::<i32>();
            for (row, folder) in folders.iter_mut().enumerate() {
                let value = texts.is_valid(row).then(|| texts.value(row));
                folder.push_str(&folder_of(name, value)?);
            }
        }
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut rows: Vec<(&str, Vec<u32>)> = Vec::new();
        for (row, folder) in (0..).zip(&folders) {
            let place = *places.entry(folder).or_insert_with(|| {
                rows.push((folder, Vec::new()));
                rows.len() - 1
            });
            rows[place].1.push(row);
        }
        let rest = batch.project(&self.rest).map_err(failed)?;
        let rows = rows.into_iter().map(|(folder, rows)| {
            let rows = match rows.len() == batch.num_rows() {
                true => rest.clone(),
                false => take_record_batch(&rest, &UInt32Array::from(rows)).map_err(failed)?,
            };
            Ok((folder.to_owned(), rows))
        });
        rows.collect()
    }

    /// The part of a folder that is under way.
    pub(super) fn take(&mut self, folder: &str) -> Option<PartWriter> {
        let place = self.open.iter().position(|open| open.folder == folder)?;
        Some(self.open.remove(place).part)
    }

    /// The number of the next part of a folder.
    pub(super) fn next_of(&mut self, folder: &str) -> usize {
        let begun = self.begun.entry(folder.to_owned()).or_insert(0);
        *begun += 1;
        *begun - 1
    }

    /// Whether any row was written.
    pub(super) fn is_begun(&self) -> bool {
        !self.begun.is_empty()
    }
}

/// Values as they are written down: a time has a space before its hours.
fn texts(column: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    let texts = cast(column, &DataType::Utf8)?;
    if !matches!(column.data_type(), DataType::Timestamp(..)) {
        return Ok(texts);
    }
    let spaced = texts.as_string::<i32>().iter();
    let spaced = spaced.map(|text| text.map(|text| text.replacen('T', " ", 1)));
    Ok(std::sync::Arc::new(
        spaced.collect::<arrow::array::StringArray>(),
    ))
}

/// `label=3/`, with all that could be more than a part of a name as `%XX`.
fn folder_of(name: &str, value: Option<&str>) -> Result<String> {
    let value = match value {
        None => NULL.to_owned(),
        // Text that would be read as no value.
        Some(NULL) => NULL.replacen('_', "%5F", 1),
        Some(value) => escaped(value),
    };
    let folder = format!("{}={value}", escaped(name));
    match folder.len() <= MOST_NAME_BYTES {
        true => Ok(folder + "/"),
        false => Err(Error::input(format!(
            "cut the output by the column '{name}': a value is too long for the name of a folder"
        ))
        .with("value", value.chars().take(60).collect::<String>() + "..")
        .with("bytes", folder.len())
        .hint("--partition-by a column of short values")),
    }
}

/// The values that the folders of a part say, by the names of their columns.
#[cfg(feature = "delta")]
pub(super) fn values_of_folder(path: &str) -> Vec<(String, Option<String>)> {
    let (folders, _) = path.rsplit_once('/').unwrap_or_default();
    let values = folders
        .split('/')
        .filter_map(|folder| folder.split_once('='));
    values
        .map(|(name, value)| {
            let value = (value != NULL).then(|| unescaped(value));
            (unescaped(name), value)
        })
        .collect()
}

/// What [`escaped`] was given.
#[cfg(feature = "delta")]
fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.extend(code);
        bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray},
        datatypes::Field,
    };

    use super::*;

    #[cfg(feature = "delta")]
    #[test]
    fn values_are_read_from_the_folders_that_they_name() {
        let values = [Some("a/b %20"), None, Some(NULL), Some("ü=")];
        let folders = values.map(|value| folder_of("c d", value).unwrap());
        let read = values_of_folder(&format!("{}part.parquet", folders.concat()));
        let expected = values.map(|value| ("c d".to_owned(), value.map(str::to_owned)));
        assert_eq!(read, expected);
    }

    #[test]
    fn folders_are_named_as_duckdb_names_them() {
        let cases = [
            (Some("a/b"), "k=a%2Fb/"),
            (Some(".."), "k=../"),
            (Some(""), "k=/"),
            (Some("a=b"), "k=a%3Db/"),
            (Some("é x"), "k=%C3%A9%20x/"),
            (Some("%41"), "k=%2541/"),
            (Some("x\\y"), "k=x%5Cy/"),
            (Some("~-_.!*'()"), "k=~-_.%21%2A%27%28%29/"),
            (
                Some("__HIVE_DEFAULT_PARTITION__"),
                "k=%5F_HIVE_DEFAULT_PARTITION__/",
            ),
            (None, "k=__HIVE_DEFAULT_PARTITION__/"),
        ];
        for (value, folder) in cases {
            assert_eq!(folder_of("k", value).unwrap(), folder);
        }
        assert_eq!(folder_of("c/d=e f", Some("1")).unwrap(), "c%2Fd%3De%20f=1/");
        assert!(folder_of("k", Some(&"x".repeat(253))).is_ok());
        let report = folder_of("k", Some(&"é".repeat(50))).unwrap_err().report();
        assert!(report.contains("'k'") && report.contains("302"), "{report}");
    }

    #[test]
    fn rows_are_cut_in_their_order_and_lose_what_they_are_cut_by() {
        let column = |values: ArrayRef| values;
        let batch = RecordBatch::try_from_iter_with_nullable([
            (
                "a",
                column(Arc::new(Int64Array::from(vec![
                    Some(3),
                    None,
                    Some(3),
                    Some(4),
                ]))),
                true,
            ),
            (
                "n",
                column(Arc::new(Int64Array::from(vec![0, 1, 2, 3]))),
                true,
            ),
            (
                "b",
                column(Arc::new(StringArray::from(vec!["x", "y", "x", "x"]))),
                true,
            ),
        ])
        .unwrap();
        let names = ["b".to_owned(), "a".to_owned()];
        let split = Partitions::of(&names, PartitionColumns::InNames, &batch.schema(), 9)
            .unwrap()
            .split(&batch)
            .unwrap();
        let told: Vec<_> = split
            .iter()
            .map(|(folder, rows)| {
                assert_eq!(rows.num_columns(), 1);
                let rows = rows.column(0).as_primitive::<arrow::datatypes::Int64Type>();
                (folder.as_str(), rows.values().to_vec())
            })
            .collect();
        assert_eq!(
            told,
            [
                ("b=x/a=3/", vec![0, 2]),
                ("b=y/a=__HIVE_DEFAULT_PARTITION__/", vec![1]),
                ("b=x/a=4/", vec![3]),
            ]
        );
    }

    #[test]
    fn values_are_written_as_people_write_them() {
        let shown = |column: ArrayRef| {
            let texts = texts(&column).unwrap();
            texts.as_string::<i32>().value(0).to_owned()
        };
        assert_eq!(
            shown(Arc::new(Date32Array::from(vec![19_724]))),
            "2024-01-02"
        );
        let time = TimestampMicrosecondArray::from(vec![1_704_164_645_000_000]);
        assert_eq!(shown(Arc::new(time)), "2024-01-02 03:04:05");
        assert_eq!(shown(Arc::new(Float64Array::from(vec![2.0]))), "2.0");
    }

    #[test]
    fn columns_that_name_no_folders_are_refused() {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let schema = Schema::new(vec![
            field("a", DataType::Int64),
            field("_b", DataType::Int64),
            field("image", DataType::Binary),
        ]);
        let refused = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            check_partitions(&names, &"out".into(), &schema).map_err(|error| error.report())
        };
        assert_eq!(refused(&["a"]), Ok(()));
        for (names, text) in [
            (&["x"][..], "a, _b, image"),
            (&["a", "a"], "twice"),
            (&["_b"], "pass over"),
            (&["image"], "Binary"),
        ] {
            let report = refused(names).unwrap_err();
            assert!(report.contains(text), "{report}");
        }
    }
}
