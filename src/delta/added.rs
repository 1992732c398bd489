//! The files that a commit adds, as the library takes them.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray,
        StringBuilder, StructArray,
    },
    datatypes::{Field, Fields, Schema},
};
use delta_kernel::KernelResult;

use super::{PartitionValue, statistics::FileStatistics};

/// A file that is to be the table's, in its folder.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// Its path below the folder, without escapes.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was written, in milliseconds since 1970.
    pub written_millis: i64,
    /// A value of each partition column.
    pub partition: Vec<PartitionValue>,
    /// What its footer says of its columns.
    pub statistics: FileStatistics,
}

/// The files as the library takes them.
pub(super) fn added(files: &[NewFile]) -> KernelResult<RecordBatch> {
    let paths = files.iter().map(|file| Some(escaped(&file.path)));
    let sizes = files
        .iter()
        .map(|file| i64::try_from(file.size_bytes).unwrap_or(i64::MAX));
    let times = files.iter().map(|file| file.written_millis);
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut values = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for file in files {
        for value in &file.partition {
            values.keys().append_value(&value.name);
            values.values().append_option(value.value.as_ref());
        }
        values.append(true)?;
    }
    let statistics: Vec<&FileStatistics> = files.iter().map(|file| &file.statistics).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("path", Arc::new(paths.collect::<StringArray>()), false),
        ("partitionValues", Arc::new(values.finish()), false),
        ("size", Arc::new(sizes.collect::<Int64Array>()), false),
        (
            "modificationTime",
            Arc::new(times.collect::<Int64Array>()),
            false,
        ),
        ("stats", Arc::new(stats(&statistics)?), true),
    ];
    let fields = columns
        .iter()
        .map(|(name, column, nullable)| Field::new(*name, column.data_type().clone(), *nullable));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column, _)| column).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn stats(files: &[&FileStatistics]) -> KernelResult<StructArray> {
    let rows: Int64Array = files.iter().map(|it| i64::try_from(it.rows).ok()).collect();
    let parts = FileStatistics::columns(files)?;
    let tight = BooleanArray::from(vec![true; files.len()]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("numRecords", Arc::new(rows)),
        ("nullCount", Arc::new(parts.nulls)),
        ("minValues", Arc::new(parts.least)),
        ("maxValues", Arc::new(parts.most)),
        ("tightBounds", Arc::new(tight)),
    ];
    let fields: Fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    Ok(StructArray::try_new(fields, columns, None)?)
}

/// A path as the log writes it.
fn escaped(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'=' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_as_they_are_read() {
        assert_eq!(
            escaped("a=b%20c/ü x.parquet"),
            "a=b%2520c/%C3%BC%20x.parquet"
        );
    }
}
