//! Rows as text or bytes, one batch at a time.

use std::{io::Write, path::Path, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema, SchemaRef},
};
use clap::ValueEnum;

use super::{
    QueryRows,
    plan::{Plan, is_plan},
    table::Table,
};
use crate::{
    error::{Error, Result},
    sink::{ArrowStream, ParquetStream, WriterPolicy},
};

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// For reading: long values are cut
    Table,
    /// With a header; no binary or nested columns
    Csv,
    /// One array of objects; binary as hexadecimal digits
    Json,
    /// One object per line; binary as hexadecimal digits
    Ndjson,
    /// A .parquet file, or a directory of part-*.parquet
    Parquet,
    /// An Arrow IPC stream
    Arrow,
}

impl Format {
    /// The format that the name of an output asks for.
    pub(super) fn of(path: &Path) -> Self {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match extension.to_ascii_lowercase().as_str() {
            "txt" => Format::Table,
            "csv" => Format::Csv,
            "json" => Format::Json,
            "ndjson" | "jsonl" => Format::Ndjson,
            "arrow" | "arrows" => Format::Arrow,
            _ => Format::Parquet,
        }
    }

    /// True for bytes that would only confuse a terminal.
    pub(super) fn is_binary(self) -> bool {
        matches!(self, Format::Parquet | Format::Arrow)
    }

    /// A writer to `out` of rows such as `rows`.
    ///
    /// # Errors
    /// When the format cannot hold a column, or `out` cannot be written.
    pub(super) fn writer<'a>(
        self,
        out: &'a mut (dyn Write + Send),
        rows: &QueryRows,
    ) -> Result<Box<dyn RowWriter + 'a>> {
        let schema = &rows.schema;
        Ok(match self {
            Format::Table if is_plan(schema) => Box::new(Plan::new(out)),
            Format::Table => Box::new(Table::new(out, schema)),
            Format::Csv => Box::new(Csv::start(out, schema)?),
            Format::Json => Box::new(Json(json().build(out))),
            Format::Ndjson => Box::new(Ndjson(json().build(out))),
            Format::Parquet => Box::new(ParquetStream::try_new(
                out,
                &WriterPolicy::of_result(schema, &rows.stored).within(rows.row_group_bytes),
                Arc::clone(schema),
            )?),
            Format::Arrow => Box::new(ArrowStream::try_new(out, schema)?),
        })
    }
}

/// Takes the rows of one result.
pub(super) trait RowWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Writes what is left; the output need not be flushed by it.
    fn finish(&mut self) -> Result<()>;
}

pub(super) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::output("write the result").source(error)
}

impl<W: Write + Send> RowWriter for ParquetStream<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        ParquetStream::write(self, batch)
    }

    fn finish(&mut self) -> Result<()> {
        ParquetStream::finish(self)
    }
}

struct Csv<W: Write>(arrow_csv::Writer<W>);

impl<W: Write> Csv<W> {
    fn start(out: W, schema: &SchemaRef) -> Result<Self> {
        check_flat(schema)?;
        let mut writer = arrow_csv::WriterBuilder::new().build(out);
        // The header must not depend on whether there are rows.
        let header = writer.write(&RecordBatch::new_empty(Arc::clone(schema)));
        header.map_err(failed)?;
        Ok(Self(writer))
    }
}

impl<W: Write> RowWriter for Csv<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.write(batch).map_err(failed)
    }

    fn finish(&mut self) -> Result<()> {
        // Every batch is flushed when it is written.
        Ok(())
    }
}

/// Refuses what a field of CSV cannot hold.
fn check_flat(schema: &Schema) -> Result<()> {
    for field in schema.fields() {
        let (what, formats) = match field.data_type() {
            binary if holds_binary(binary) => ("binary", "--format parquet"),
            nested if nested.is_nested() => ("nested", "--format json or --format parquet"),
            _ => continue,
        };
        return Err(Error::usage(format!("write CSV: a column is {what}"))
            .with("column", field.name())
            .with("type", field.data_type())
            .hint(format!("leave it out of the SELECT, or use {formats}")));
    }
    Ok(())
}

fn holds_binary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => true,
        DataType::Dictionary(_, value) => holds_binary(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            holds_binary(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| holds_binary(field.data_type())),
        _ => false,
    }
}

fn json() -> arrow_json::WriterBuilder {
    arrow_json::WriterBuilder::new().with_explicit_nulls(true)
}

struct Json<W: Write>(arrow_json::Writer<W, arrow_json::writer::JsonArray>);

impl<W: Write> RowWriter for Json<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.write(batch).map_err(failed)
    }

    fn finish(&mut self) -> Result<()> {
        self.0.finish().map_err(failed)?;
        self.0.get_mut().write_all(b"\n").map_err(failed)
    }
}

struct Ndjson<W: Write>(arrow_json::Writer<W, arrow_json::writer::LineDelimited>);

impl<W: Write> RowWriter for Ndjson<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.write(batch).map_err(failed)
    }

    fn finish(&mut self) -> Result<()> {
        self.0.finish().map_err(failed)
    }
}

impl<W: Write> RowWriter for ArrowStream<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        ArrowStream::write(self, batch)
    }

    fn finish(&mut self) -> Result<()> {
        ArrowStream::finish(self)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BinaryArray, Int64Array, ListArray, StringViewArray};
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::cli::sql::rows_of;

    fn rows() -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["a, \"b\"", "c"]));
        RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("text", texts, true)])
            .unwrap()
    }

    fn written(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = format.writer(&mut out, &rows_of(rows())).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap();
        drop(writer);
        out
    }

    #[test]
    fn texts_are_exact() {
        let cases = [
            (
                Format::Table,
                "  id | text\n-----+-------\n   1 | a, \"b\"\nNULL | c\n(2 rows)\n",
            ),
            (Format::Csv, "id,text\n1,\"a, \"\"b\"\"\"\n,c\n"),
            (
                Format::Json,
                "[{\"id\":1,\"text\":\"a, \\\"b\\\"\"},{\"id\":null,\"text\":\"c\"}]\n",
            ),
            (
                Format::Ndjson,
                "{\"id\":1,\"text\":\"a, \\\"b\\\"\"}\n{\"id\":null,\"text\":\"c\"}\n",
            ),
        ];
        for (format, text) in cases {
            let whole = String::from_utf8(written(format, &[rows()])).unwrap();
            assert_eq!(whole, text);
            let halves = written(format, &[rows().slice(0, 1), rows().slice(1, 1)]);
            assert_eq!(String::from_utf8(halves).unwrap(), whole, "{format:?}");
        }
    }

    #[test]
    fn no_rows_are_still_a_document() {
        let cases = [
            (Format::Csv, "id,text\n"),
            (Format::Json, "[]\n"),
            (Format::Ndjson, ""),
        ];
        for (format, text) in cases {
            assert_eq!(String::from_utf8(written(format, &[])).unwrap(), text);
        }
    }

    #[test]
    fn arrow_holds_plain_columns_without_the_rows_left_out() {
        let long = "x".repeat(100_000);
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![long.as_str(), "a short one"]));
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let batch =
            RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("text", texts, true)])
                .unwrap();
        let bytes = written(Format::Arrow, &[batch.slice(1, 1)]);
        assert!(bytes.len() < 2_000, "{}", bytes.len());
        let reader = arrow_ipc::reader::StreamReader::try_new(bytes.as_slice(), None).unwrap();
        assert_eq!(reader.schema().field(1).data_type(), &DataType::Utf8);
        assert_eq!(
            reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
            1
        );
    }

    #[test]
    fn parquet_is_written_front_to_back() {
        let bytes = written(Format::Parquet, &[rows()]);
        assert_eq!(
            (&bytes[..4], &bytes[bytes.len() - 4..]),
            (b"PAR1".as_slice(), b"PAR1".as_slice())
        );
    }

    #[test]
    fn csv_refuses_what_it_cannot_hold() {
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"x".as_slice()]));
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(
            vec![Some(1)],
        )]));
        let cases = [
            (
                "image",
                bytes,
                "failed to write CSV: a column is binary\n  column: image\n  type: Binary\n  try: leave it out of the SELECT, or use --format parquet",
            ),
            (
                "tags",
                list,
                "failed to write CSV: a column is nested\n  column: tags\n  type: List(Int32)\n  try: leave it out of the SELECT, or use --format json or --format parquet",
            ),
        ];
        for (name, column, report) in cases {
            let batch = RecordBatch::try_from_iter([(name, column)]).unwrap();
            let refused = Format::Csv
                .writer(&mut Vec::new(), &rows_of(batch))
                .err()
                .unwrap();
            assert_eq!(refused.report(), report);
        }
    }

    #[test]
    fn an_output_names_its_format() {
        let cases = [
            ("a.csv", Format::Csv),
            ("a.JSON", Format::Json),
            ("a.jsonl", Format::Ndjson),
            ("a.arrow", Format::Arrow),
            ("a.parquet", Format::Parquet),
            ("a", Format::Parquet),
        ];
        for (path, format) in cases {
            assert_eq!(Format::of(Path::new(path)), format, "{path}");
        }
    }
}
