//! The columns of a table in one of its files: under other names there, at any depth, or not at all.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, GenericListArray, MapArray,
        OffsetSizeTrait, RecordBatch, RecordBatchOptions, StructArray,
    },
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
    error::ArrowError,
};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::{
    Location, ReadPlan, RowPredicate, ShardBytes,
    kind::{Batches, Held, Layout, OpenRows, Outline, ShardRows},
};
use crate::error::{Error, Result};

/// What a table says of the columns of its files.
#[derive(Debug, Clone, PartialEq)]
pub struct TableColumns {
    /// All of them in their order, with the types that the table gives them.
    pub fields: Vec<FieldRef>,
    /// Those that lie in files.
    pub stored: Vec<StoredColumn>,
}

/// A column of a table, or a field within one, as files have it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredColumn {
    /// Its name in the table.
    pub name: String,
    /// What files call it.
    pub stored_as: String,
    /// The number that files have it under, where that counts and not its name.
    pub id: Option<i32>,
    /// The fields of a struct; the one of a list; key and value of a map.
    pub within: Vec<StoredColumn>,
}

/// A column that is taken from a file.
#[derive(Debug, Clone)]
struct Taken {
    /// Its place beside the others of its struct, or in the file.
    place: usize,
    name: String,
    /// `None` if nothing within is another or goes.
    within: Option<Vec<Taken>>,
}

impl StoredColumn {
    fn is(&self, field: &Field) -> bool {
        let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY);
        match (self.id, id.and_then(|id| id.parse::<i32>().ok())) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => field.name() == &self.stored_as,
        }
    }
}

/// Which of `fields` belong to the table; `None` if all do, under their own names at any depth.
fn taken(fields: &[FieldRef], columns: &[StoredColumn]) -> Option<Vec<Taken>> {
    let mut all = Vec::with_capacity(fields.len());
    let mut is_plain = true;
    for (place, field) in fields.iter().enumerate() {
        let Some(column) = columns.iter().find(|column| column.is(field)) else {
            is_plain = false;
            continue;
        };
        let within = taken_within(field.data_type(), &column.within);
        is_plain &= within.is_none() && field.name() == &column.name;
        all.push(Taken {
            place,
            name: column.name.clone(),
            within,
        });
    }
    (!is_plain).then_some(all)
}

fn taken_within(data_type: &DataType, within: &[StoredColumn]) -> Option<Vec<Taken>> {
    match (data_type, within) {
        (DataType::Struct(fields), [_, ..]) => taken(fields, within),
        // The field of a list or a map has no name of its own.
        (
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _),
            [column],
        ) => one(item, column).map(|item| vec![item]),
        (DataType::Map(entries, _), [key, value]) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return None;
            };
            let [key_field, value_field] = &**fields else {
                return None;
            };
            let pair = [one(key_field, key), one(value_field, value)];
            pair.iter().any(Option::is_some).then(|| {
                let each = pair.into_iter().zip([key_field, value_field]).enumerate();
                let each = each.map(|(place, (taken, field))| Taken {
                    place,
                    name: field.name().clone(),
                    within: taken.and_then(|taken| taken.within),
                });
                each.collect()
            })
        }
        _ => None,
    }
}

fn one(field: &FieldRef, column: &StoredColumn) -> Option<Taken> {
    let within = taken_within(field.data_type(), &column.within)?;
    Some(Taken {
        place: 0,
        name: field.name().clone(),
        within: Some(within),
    })
}

impl Taken {
    fn field(&self, field: &Field) -> Field {
        let mut renamed = field.clone().with_name(&self.name);
        if let Some(within) = &self.within {
            renamed = renamed.with_data_type(renamed_type(field.data_type(), within));
        }
        renamed
    }

    fn array(&self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match &self.within {
            None => Ok(Arc::clone(array)),
            Some(within) => renamed(array, within),
        }
    }
}

fn renamed_type(data_type: &DataType, within: &[Taken]) -> DataType {
    let first = |item: &FieldRef| match within.first() {
        Some(taken) => Arc::new(taken.field(item)),
        None => Arc::clone(item),
    };
    match data_type {
        DataType::Struct(fields) => DataType::Struct(renamed_fields(fields, within)),
        DataType::List(item) => DataType::List(first(item)),
        DataType::LargeList(item) => DataType::LargeList(first(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(first(item), *length),
        DataType::Map(entries, sorted) => {
            let pair = renamed_type(entries.data_type(), within);
            let entries = Field::clone(entries).with_data_type(pair);
            DataType::Map(Arc::new(entries), *sorted)
        }
        other => other.clone(),
    }
}

fn renamed_fields(fields: &Fields, within: &[Taken]) -> Fields {
    let fields = within.iter().filter_map(|taken| {
        let field = fields.get(taken.place)?;
        Some(taken.field(field))
    });
    fields.collect()
}

/// `array` with the names that a table has for what is within; types are those of the array.
fn renamed(array: &ArrayRef, within: &[Taken]) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Struct(_) => Arc::new(renamed_struct(array.as_struct(), within)?),
        DataType::List(_) => Arc::new(renamed_list(array.as_list::<i32>(), within)?),
        DataType::LargeList(_) => Arc::new(renamed_list(array.as_list::<i64>(), within)?),
        DataType::FixedSizeList(item, length) => {
            let list = array.as_fixed_size_list();
            let (field, values) = renamed_item(item, list.values(), within)?;
            let nulls = list.nulls().cloned();
            Arc::new(FixedSizeListArray::try_new(field, *length, values, nulls)?)
        }
        DataType::Map(entries, sorted) => {
            let map = array.as_map();
            let pair = renamed_struct(map.entries(), within)?;
            let entries = Field::clone(entries).with_data_type(pair.data_type().clone());
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            let entries = Arc::new(entries);
            Arc::new(MapArray::try_new(entries, offsets, pair, nulls, *sorted)?)
        }
        _ => Arc::clone(array),
    })
}

fn renamed_struct(array: &StructArray, within: &[Taken]) -> Result<StructArray, ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for taken in within {
        let column = taken.array(array.column(taken.place))?;
        let field = array.fields()[taken.place].as_ref().clone();
        let field = field.with_name(&taken.name);
        fields.push(field.with_data_type(column.data_type().clone()));
        columns.push(column);
    }
    StructArray::try_new_with_length(fields.into(), columns, array.nulls().cloned(), array.len())
}

fn renamed_list<O: OffsetSizeTrait>(
    list: &GenericListArray<O>,
    within: &[Taken],
) -> Result<GenericListArray<O>, ArrowError> {
    let item = match list.data_type() {
        DataType::List(item) | DataType::LargeList(item) => Arc::clone(item),
        _ => return Ok(list.clone()),
    };
    let (field, values) = renamed_item(&item, list.values(), within)?;
    GenericListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned())
}

fn renamed_item(
    item: &FieldRef,
    values: &ArrayRef,
    within: &[Taken],
) -> Result<(FieldRef, ArrayRef), ArrowError> {
    let values = match within.first() {
        Some(taken) => taken.array(values)?,
        None => Arc::clone(values),
    };
    let field = Field::clone(item).with_data_type(values.data_type().clone());
    Ok((Arc::new(field), values))
}

impl TableColumns {
    /// The columns of a file as the table has them; those that the table does not have go.
    pub(super) fn schema(&self, file: &Schema) -> SchemaRef {
        let fields = match taken(file.fields(), &self.stored) {
            None => file.fields().clone(),
            Some(taken) => renamed_fields(file.fields(), &taken),
        };
        Arc::new(Schema::new_with_metadata(fields, file.metadata().clone()))
    }

    /// What a file says of its rows, with the columns of the table.
    pub(super) fn outline(&self, outline: Outline) -> Outline {
        let Some(columns) = taken(outline.schema.fields(), &self.stored) else {
            return outline;
        };
        let stored = columns.iter().map(|taken| {
            let is_plain =
                taken.within.is_none() && outline.schema.field(taken.place).name() == &taken.name;
            let stored = outline.stored.get(taken.place)?;
            stored.clone().filter(|_| is_plain)
        });
        let bytes = columns.iter();
        let bytes = bytes.map(|taken| outline.value_bytes.get(taken.place).copied().unwrap_or(0));
        Outline {
            schema: self.schema(&outline.schema),
            stored: stored.collect(),
            value_bytes: bytes.collect(),
            rows: Arc::new(TableRows {
                columns: columns.into(),
                file: Arc::clone(&outline.rows),
            }),
            ..outline
        }
    }
}

impl TableColumns {
    /// How a file is laid out, with the columns of the table.
    pub(super) fn layout(&self, mut layout: Layout) -> Layout {
        let Some(columns) = taken(layout.schema.fields(), &self.stored) else {
            return layout;
        };
        let place = |column| columns.iter().position(|taken| taken.place == column);
        for group in &mut layout.row_groups {
            group.chunks.retain(|chunk| place(chunk.column).is_some());
            for chunk in &mut group.chunks {
                chunk.column = place(chunk.column).unwrap_or(chunk.column);
            }
        }
        layout.schema = self.schema(&layout.schema);
        layout
    }
}

/// The rows of a file under the names of its table.
#[derive(Debug)]
struct TableRows {
    /// By their places in the file, ascending.
    columns: Arc<[Taken]>,
    file: Arc<dyn ShardRows>,
}

impl TableRows {
    fn places(&self, columns: &[usize]) -> Vec<usize> {
        let taken = columns
            .iter()
            .filter_map(|&column| self.columns.get(column));
        taken.map(|taken| taken.place).collect()
    }

    fn names(&self, columns: &[usize]) -> Names {
        let taken = columns
            .iter()
            .filter_map(|&column| self.columns.get(column));
        Names(taken.cloned().collect())
    }
}

impl ShardRows for TableRows {
    fn open(&self, location: &Location, plan: ReadPlan) -> Result<Box<dyn OpenRows>> {
        let names = self.names(&plan.columns);
        let predicates = plan.predicates.into_iter().map(|predicate| {
            let names = self.names(&predicate.columns);
            let evaluate = predicate.evaluate;
            RowPredicate {
                columns: self.places(&predicate.columns),
                evaluate: Arc::new(
                    move |batch: &RecordBatch| -> Result<BooleanArray, ArrowError> {
                        evaluate(&names.batch(batch)?)
                    },
                ),
            }
        });
        let own = ReadPlan {
            columns: self.places(&plan.columns),
            stored: self.places(&plan.stored),
            lenient: self.places(&plan.lenient),
            predicates: predicates.collect(),
            ..plan
        };
        Ok(Box::new(OpenTableRows {
            names,
            rows: self.file.open(location, own)?,
            shard: location.name().to_owned(),
        }))
    }

    fn whole_bytes(&self, location: &Location, columns: &[usize], least: u64) -> Result<u64> {
        self.file
            .whole_bytes(location, &self.places(columns), least)
    }

    fn held(&self, location: &Location, file: &ShardBytes, column: usize) -> Result<Held> {
        match self.columns.get(column) {
            Some(taken) => self.file.held(location, file, taken.place),
            None => Ok(Held::Unknown),
        }
    }
}

/// The columns of a batch as a table has them; what is behind them stays.
#[derive(Debug, Clone)]
struct Names(Arc<[Taken]>);

impl Names {
    fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        let read = batch.schema_ref().fields().iter().zip(batch.columns());
        for (at, (field, column)) in read.enumerate() {
            let Some(taken) = self.0.get(at) else {
                fields.push(Arc::clone(field));
                columns.push(Arc::clone(column));
                continue;
            };
            let column = taken.array(column)?;
            let field = Field::clone(field).with_name(&taken.name);
            fields.push(Arc::new(field.with_data_type(column.data_type().clone())));
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let metadata = batch.schema_ref().metadata().clone();
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        RecordBatch::try_new_with_options(schema, columns, &options)
    }
}

struct OpenTableRows {
    names: Names,
    rows: Box<dyn OpenRows>,
    shard: String,
}

impl OpenRows for OpenTableRows {
    fn row_group(&self, group: usize, wanted: Option<Vec<Range<usize>>>) -> Result<Batches> {
        let (names, shard) = (self.names.clone(), self.shard.clone());
        let batches = self.rows.row_group(group, wanted)?;
        Ok(Box::new(batches.map(move |batch| {
            names.batch(&batch?).map_err(|error| {
                Error::input("read a row group under the names of its table")
                    .with("shard", &shard)
                    .source(error)
            })
        })))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, ListArray, StringArray};

    use super::*;

    fn column(name: &str, stored_as: &str, within: Vec<StoredColumn>) -> StoredColumn {
        StoredColumn {
            name: name.to_owned(),
            stored_as: stored_as.to_owned(),
            id: None,
            within,
        }
    }

    #[test]
    fn names_within_structs_and_lists_are_the_tables() {
        let pair = StructArray::from(vec![
            (
                Arc::new(Field::new("c1", DataType::Int32, true)),
                Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef,
            ),
            (
                Arc::new(Field::new("c2", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef,
            ),
        ]);
        let item = Arc::new(Field::new("element", pair.data_type().clone(), true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([1, 1]);
        let list = ListArray::new(item, offsets, Arc::new(pair), None);
        let numbers = Int32Array::from(vec![7, 8]);
        let batch = RecordBatch::try_from_iter([
            ("c0", Arc::new(list) as ArrayRef),
            ("gone", Arc::new(numbers.clone()) as ArrayRef),
            ("n", Arc::new(numbers) as ArrayRef),
        ])
        .unwrap();
        let within = vec![column("text", "c2", Vec::new())];
        let columns = [
            column("n", "n", Vec::new()),
            column("pairs", "c0", vec![column("element", "element", within)]),
        ];
        let taken = taken(batch.schema_ref().fields(), &columns).unwrap();
        let read = batch.project(&[0, 2]).unwrap();
        let renamed = Names(taken.clone().into()).batch(&read).unwrap();
        assert_eq!(renamed.schema_ref().field(0).name(), "pairs");
        assert_eq!(renamed.schema_ref().field(1).name(), "n");
        let told = renamed_fields(batch.schema_ref().fields(), &taken);
        assert_eq!(&told, renamed.schema_ref().fields());
        let values = renamed.column(0).as_list::<i32>().values();
        let texts = values.as_struct().column_by_name("text").unwrap();
        assert_eq!(texts.as_string::<i32>().value(1), "b");
        assert_eq!(values.as_struct().num_columns(), 1);
    }

    #[test]
    fn a_file_with_the_columns_of_its_table_is_read_as_it_is() {
        let schema = Schema::new(vec![Field::new("n", DataType::Int32, true)]);
        assert!(taken(schema.fields(), &[column("n", "n", Vec::new())]).is_none());
    }

    #[test]
    fn a_number_counts_where_files_have_one() {
        let numbered = |id: &str| {
            let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_owned());
            Field::new("n", DataType::Int32, true).with_metadata([id].into())
        };
        let schema = Schema::new(vec![numbered("2"), numbered("5")]);
        let mut known = column("m", "n", Vec::new());
        known.id = Some(5);
        let taken = taken(schema.fields(), &[known]).unwrap();
        assert_eq!((taken.len(), taken[0].place), (1, 1));
    }
}
