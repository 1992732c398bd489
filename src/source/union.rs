//! The columns of a data set whose shards were written at different times: all by name, with room for what each has.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::schema::types::TypePtr;

use super::{
    Location,
    columns::{BESIDE, BESIDE_JSON},
    stored::{common, nullable},
    views::view_type,
    widen::widened_field,
};
use crate::error::{Error, Result};

/// The columns of a file.
#[derive(Debug, PartialEq)]
pub(super) struct FileColumns {
    /// With the Arrow types its writer declared.
    pub(super) schema: SchemaRef,
    /// What Parquet has them as, where that is how they are carried.
    pub(super) stored: Vec<Option<TypePtr>>,
}

/// A column of the set.
#[derive(Debug, Clone)]
struct Column {
    field: FieldRef,
    stored: Option<TypePtr>,
    /// Files that have it.
    files: usize,
    /// The first of them.
    first: Location,
    /// The one whose values need its type.
    widest: Location,
}

/// Grows by the columns of one file after the other.
#[derive(Debug, Default)]
pub(super) struct Union {
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    /// Files often have the columns of the one before.
    last: Option<Arc<FileColumns>>,
}

impl Union {
    /// Adds the columns of `shard`; gives them back, shared with those of the shard before if they are the same.
    ///
    /// # Errors
    /// When a name stands twice, or a column cannot be brought to one type with that of another shard.
    pub(super) fn add(
        &mut self,
        shard: &Location,
        columns: FileColumns,
    ) -> Result<Arc<FileColumns>> {
        if let Some(last) = self.last.as_ref().filter(|last| ***last == columns) {
            let last = Arc::clone(last);
            for field in last.schema.fields() {
                if let Some(&place) = self.places.get(field.name()) {
                    self.columns[place].files += 1;
                }
            }
            return Ok(last);
        }
        refuse_twice(shard, &columns.schema)?;
        // All of a file or nothing: who looks at many goes on without one that does not fit.
        let mut widened = Vec::with_capacity(columns.stored.len());
        for (field, stored) in columns.schema.fields().iter().zip(&columns.stored) {
            widened.push(match self.places.get(field.name()) {
                Some(&place) => self.columns[place].widened(shard, field, stored.as_ref())?,
                None => Column {
                    field: Arc::clone(field),
                    stored: stored.clone(),
                    files: 1,
                    first: shard.clone(),
                    widest: shard.clone(),
                },
            });
        }
        for column in widened {
            match self.places.get(column.field.name()) {
                Some(&place) => self.columns[place] = column,
                None => {
                    let name = column.field.name().clone();
                    self.places.insert(name, self.columns.len());
                    self.columns.push(column);
                }
            }
        }
        let columns = Arc::new(columns);
        self.last = Some(Arc::clone(&columns));
        Ok(columns)
    }

    /// The place of the column `name`.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Puts the columns of these names first, in this order.
    pub(super) fn put_in_order(&mut self, fields: &[FieldRef]) {
        let order = fields.iter().enumerate();
        let order: HashMap<&str, usize> = order
            .map(|(at, field)| (field.name().as_str(), at))
            .collect();
        let place = |column: &Column| order.get(column.field.name().as_str()).copied();
        self.columns
            .sort_by_key(|column| place(column).unwrap_or(usize::MAX));
        let columns = self.columns.iter().enumerate();
        self.places = columns
            .map(|(at, column)| (column.field.name().clone(), at))
            .collect();
    }

    /// The shards whose values need the types of [`Union::columns`].
    pub(super) fn widest(&self) -> Arc<[Arc<str>]> {
        let shards = self.columns.iter();
        shards
            .map(|column| column.widest.to_string().into())
            .collect()
    }

    /// All columns, in the order in which they were first seen; one that one of `files` lacks may be null.
    pub(super) fn columns(self, files: usize) -> FileColumns {
        let (mut fields, mut stored) = (Vec::new(), Vec::new());
        for column in self.columns {
            if column.files == files {
                fields.push(column.field);
                stored.push(column.stored);
            } else {
                fields.push(Arc::new(Field::clone(&column.field).with_nullable(true)));
                stored.push(column.stored.as_ref().and_then(nullable));
            }
        }
        FileColumns {
            schema: Arc::new(Schema::new(fields)),
            stored,
        }
    }
}

impl Column {
    fn widened(&self, shard: &Location, field: &Field, stored: Option<&TypePtr>) -> Result<Self> {
        let wide = widened_field(&self.field, field);
        let Some(wide) = wide.or_else(|| widened_json(&self.field, field)) else {
            return Err(Error::input(format!(
                "read the column '{}' of two shards as one: no type holds the values of both",
                field.name()
            ))
            .with("shard", shard)
            .with("it has", field.data_type())
            .with("another", &self.first)
            .with("which has", self.field.data_type())
            .hint("filter them in separate runs, or bring the column to one type first"));
        };
        let is_wider = wide.data_type() != self.field.data_type();
        Ok(Self {
            widest: if is_wider { shard } else { &self.widest }.clone(),
            field: Arc::new(wide),
            stored: match (&self.stored, stored) {
                (Some(ours), Some(theirs)) if same_meaning(&self.field, field) => {
                    common(ours, theirs)
                }
                _ => None,
            },
            files: self.files + 1,
            first: self.first.clone(),
        })
    }
}

/// Keys of JSON have in each shard the type of their values there: numbers become floats, and all else is text.
fn widened_json(ours: &Field, theirs: &Field) -> Option<Field> {
    let is_json = |field: &Field| {
        field
            .metadata()
            .get(BESIDE)
            .is_some_and(|it| it == BESIDE_JSON)
    };
    let data_type = match is_json(ours) && is_json(theirs) {
        false => return None,
        true if ours.data_type().is_numeric() && theirs.data_type().is_numeric() => {
            DataType::Float64
        }
        true => DataType::Utf8,
    };
    Some(ours.clone().with_data_type(data_type))
}

/// Whether equal bytes are equal values: not of durations, whose unit Parquet does not have.
fn same_meaning(ours: &Field, theirs: &Field) -> bool {
    view_type(ours.data_type()).equals_datatype(&view_type(theirs.data_type()))
}

fn refuse_twice(shard: &Location, schema: &Schema) -> Result<()> {
    let mut places = HashMap::new();
    for (place, field) in schema.fields().iter().enumerate() {
        if let Some(first) = places.insert(field.name(), place) {
            return Err(Error::input(format!(
                "tell two columns apart: both are named '{}'",
                field.name()
            ))
            .with("shard", shard)
            .with("columns", format!("{} and {}", first + 1, place + 1))
            .hint(
                "give one another name: DuckDB does as it reads, COPY (FROM 'IN') TO 'OUT' (FORMAT parquet)",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(fields: &[(&str, DataType)]) -> FileColumns {
        let fields = fields.iter();
        let fields: Vec<_> = fields
            .map(|(name, data_type)| Field::new(*name, data_type.clone(), false))
            .collect();
        FileColumns {
            stored: vec![None; fields.len()],
            schema: Arc::new(Schema::new(fields)),
        }
    }

    fn union(files: &[FileColumns]) -> Result<FileColumns> {
        let mut union = Union::default();
        for (number, columns) in files.iter().enumerate() {
            let shard = Location::local(format!("{number}.parquet"));
            let columns = FileColumns {
                schema: Arc::clone(&columns.schema),
                stored: columns.stored.clone(),
            };
            union.add(&shard, columns)?;
        }
        Ok(union.columns(files.len()))
    }

    #[test]
    fn columns_are_found_by_name_and_missing_ones_may_be_null() {
        let ours = [("a", DataType::Int32), ("b", DataType::Utf8)];
        let theirs = [
            ("b", DataType::Utf8),
            ("c", DataType::Int8),
            ("a", DataType::Int64),
        ];
        let all = union(&[file(&ours), file(&theirs), file(&theirs)]).unwrap();
        assert_eq!(
            all.schema.fields().to_vec(),
            [
                Arc::new(Field::new("a", DataType::Int64, false)),
                Arc::new(Field::new("b", DataType::Utf8, false)),
                Arc::new(Field::new("c", DataType::Int8, true)),
            ]
        );
    }

    #[test]
    fn what_cannot_be_one_names_both_shards_and_the_column() {
        let refused = union(&[
            file(&[("a", DataType::Int32)]),
            file(&[("a", DataType::Utf8)]),
        ]);
        let report = refused.unwrap_err().report();
        for text in ["'a'", "0.parquet", "1.parquet", "Int32", "Utf8"] {
            assert!(report.contains(text), "{report}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let twice = [
            ("v", DataType::Int32),
            ("V", DataType::Int8),
            ("v", DataType::Utf8),
        ];
        let report = union(&[file(&twice)]).unwrap_err().report();
        for text in ["'v'", "0.parquet", "1 and 3"] {
            assert!(report.contains(text), "{report}");
        }
    }
}
