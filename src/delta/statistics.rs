//! What a footer says of the columns of a file, as the log tells it: rows, nulls, least and greatest values.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StructArray, UInt64Array, new_null_array},
    compute::{SortOptions, concat, sort_to_indices, take},
    datatypes::{DataType, Field, FieldRef, Fields},
    error::ArrowError,
};
use parquet::{
    arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, statistics::StatisticsConverter,
    },
    errors::ParquetError,
};

use crate::{
    error::contained,
    source::{ShardBytes, read_footer},
};

/// Texts that are longer are no bounds: who skips files by them would not read them to the end.
const MOST_TEXT_BYTES: usize = 32;

/// What a footer says.
#[derive(Debug, Clone, Default)]
pub struct FileStatistics {
    /// Rows of the file.
    pub rows: u64,
    columns: Vec<ColumnBounds>,
}

#[derive(Debug, Clone)]
struct ColumnBounds {
    field: FieldRef,
    nulls: Option<i64>,
    /// Of one value each.
    bounds: Option<[ArrayRef; 2]>,
}

/// Columns of several files.
pub(super) struct StatisticsColumns {
    pub(super) nulls: StructArray,
    pub(super) least: StructArray,
    pub(super) most: StructArray,
}

impl FileStatistics {
    /// Those of a file that is whole, of columns whose values have an order.
    ///
    /// # Errors
    /// When its footer cannot be read.
    pub fn of(file: &ShardBytes) -> Result<Self, ParquetError> {
        let footer = read_footer(file, ArrowReaderOptions::new())?;
        let rows = footer.metadata().file_metadata().num_rows();
        let fields = footer.schema().fields().iter();
        let ordered = fields.filter(|field| has_order(field.data_type()));
        // Bounds help, and nothing depends on them: a column without is one that says nothing.
        let columns = ordered.filter_map(|field| {
            let found = contained("parquet", || bounds(field, &footer));
            found.ok()
        });
        Ok(Self {
            rows: u64::try_from(rows).unwrap_or(0),
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    /// The same columns of all files, each a row.
    pub(super) fn columns(files: &[&Self]) -> Result<StatisticsColumns, ArrowError> {
        let mut fields: Vec<FieldRef> = Vec::new();
        for column in files.iter().flat_map(|file| &file.columns) {
            if fields
                .iter()
                .all(|field| field.name() != column.field.name())
            {
                fields.push(Arc::clone(&column.field));
            }
        }
        let of = |file: &Self, name: &str| {
            let mut columns = file.columns.iter();
            columns.find(|column| column.field.name() == name).cloned()
        };
        let (mut nulls, mut least, mut most) = (Vec::new(), Vec::new(), Vec::new());
        for field in &fields {
            let columns = files.iter().map(|file| of(file, field.name()));
            let columns: Vec<Option<ColumnBounds>> = columns.collect();
            let counts = columns.iter().map(|column| column.as_ref()?.nulls);
            let counts: ArrayRef = Arc::new(counts.collect::<Int64Array>());
            nulls.push((
                Arc::new(Field::new(field.name(), DataType::Int64, true)),
                counts,
            ));
            let bound = |at: usize| -> Result<ArrayRef, ArrowError> {
                let none = new_null_array(field.data_type(), 1);
                let values = columns.iter().map(|column| {
                    let bounds = column.as_ref().and_then(|column| column.bounds.as_ref());
                    bounds.map_or_else(|| Arc::clone(&none), |bounds| Arc::clone(&bounds[at]))
                });
                let values: Vec<ArrayRef> = values.collect();
                concat(&values.iter().map(AsRef::as_ref).collect::<Vec<_>>())
            };
            let plain = Field::new(field.name(), field.data_type().clone(), true);
            let plain = Arc::new(plain);
            least.push((Arc::clone(&plain), bound(0)?));
            most.push((plain, bound(1)?));
        }
        let all = |columns: Vec<(FieldRef, ArrayRef)>| {
            let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
            StructArray::try_new_with_length(Fields::from(fields), columns, None, files.len())
        };
        Ok(StatisticsColumns {
            nulls: all(nulls)?,
            least: all(least)?,
            most: all(most)?,
        })
    }
}

fn has_order(data_type: &DataType) -> bool {
    let is_text = matches!(data_type, DataType::Utf8);
    data_type.is_integer()
        || is_text
        || matches!(
            data_type,
            DataType::Float32 | DataType::Float64 | DataType::Date32 | DataType::Timestamp(..)
        )
}

fn bounds(field: &FieldRef, footer: &ArrowReaderMetadata) -> Result<ColumnBounds, ParquetError> {
    // A column is found by its place in the whole schema.
    let parquet = footer.parquet_schema();
    let converter = StatisticsConverter::try_new(field.name(), footer.schema(), parquet)?;
    let groups = footer.metadata().row_groups();
    let nulls = converter.row_group_null_counts(groups)?;
    let all = (0..nulls.len()).map(|group| count(&nulls, group));
    let nulls = all.sum::<Option<i64>>();
    let least = extreme(
        &converter.row_group_mins(groups)?,
        SortOptions::new(false, false),
    )?;
    let most = extreme(
        &converter.row_group_maxes(groups)?,
        SortOptions::new(true, false),
    )?;
    Ok(ColumnBounds {
        field: Arc::clone(field),
        nulls,
        bounds: least.zip(most).map(|(least, most)| [least, most]),
    })
}

fn count(nulls: &UInt64Array, group: usize) -> Option<i64> {
    let nulls = nulls.is_valid(group).then(|| nulls.value(group));
    i64::try_from(nulls?).ok()
}

/// The first value in this order; `None` where a row group does not tell, or it is a long text or no number.
fn extreme(values: &ArrayRef, order: SortOptions) -> Result<Option<ArrayRef>, ArrowError> {
    if values.is_empty() || values.null_count() > 0 {
        return Ok(None);
    }
    let first = sort_to_indices(values, Some(order), Some(1))?;
    let first = take(values, &first, None)?;
    let text = first.as_string_opt::<i32>();
    Ok(match text {
        Some(text) if text.value(0).len() > MOST_TEXT_BYTES => None,
        _ => Some(first),
    })
}
