//! The columns of a set as one of its shards has them: under other positions, as other types, of one value, or not.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};

use super::{
    Constant, ReadPlan, RowPredicate, union::FileColumns, views::view_type, widen::fitted,
};
use crate::error::{Error, Result};

/// Where the values of a column of the set come from.
#[derive(Debug, Clone)]
enum Origin {
    /// A column of the file by its position there.
    Own(usize),
    /// One value in all rows.
    Constant(Constant),
    /// Null in all rows.
    Missing(Constant),
}

/// The columns of the set, by their positions there, in one shard.
#[derive(Debug, Clone)]
pub(super) struct ShardColumns {
    /// Empty if they are the file's own, each in its place.
    origins: Arc<[Origin]>,
    /// As the set has them.
    fields: SchemaRef,
    /// The shards whose values need the types of these.
    widest: Arc<[Arc<str>]>,
}

impl ShardColumns {
    /// Those of a shard that is not there.
    pub(super) fn none() -> Self {
        Self {
            origins: Arc::new([]),
            fields: Arc::new(Schema::empty()),
            widest: Arc::new([]),
        }
    }

    /// The columns of `set` in a file of `own` columns and with `constants`.
    ///
    /// # Errors
    /// When a null cannot be made for one that is in neither.
    pub(super) fn of(set: &SchemaRef, own: &FileColumns, constants: &[Constant]) -> Result<Self> {
        let fields = own.schema.fields().iter().enumerate();
        let places: HashMap<&str, usize> = fields
            .map(|(place, field)| (field.name().as_str(), place))
            .collect();
        let mut origins = Vec::with_capacity(set.fields().len());
        let mut is_plain = set.fields().len() == places.len();
        for (at, field) in set.fields().iter().enumerate() {
            let constant = || {
                constants
                    .iter()
                    .find(|known| known.field().name() == field.name())
            };
            let place = places.get(field.name().as_str()).copied();
            let same = place.filter(|&place| place == at);
            is_plain &= same.is_some_and(|place| {
                let own = own.schema.field(place).data_type();
                view_type(own) == view_type(field.data_type())
            });
            origins.push(match (place, constant()) {
                (Some(place), _) => Origin::Own(place),
                (None, Some(constant)) => Origin::Constant(constant.fitted(field)?),
                (None, None) => Origin::Missing(Constant::null(field)?),
            });
        }
        if is_plain {
            // Of thousands of shards most are.
            origins.clear();
        }
        Ok(Self {
            origins: origins.into(),
            fields: Arc::clone(set),
            widest: Arc::new([]),
        })
    }

    /// The same columns, whose types are those that the values of these shards need.
    pub(super) fn widened_by(mut self, widest: &Arc<[Arc<str>]>) -> Self {
        self.widest = Arc::clone(widest);
        self
    }

    /// Whether the file has the columns of the set, no others, in their order and of their types.
    pub(super) fn is_plain(&self) -> bool {
        self.origins.is_empty()
    }

    /// Whether `column` is neither in the file nor of one value.
    pub(super) fn lacks(&self, column: usize) -> bool {
        matches!(self.origins.get(column), Some(Origin::Missing(_)))
    }

    /// Positions in the file of those of `columns` that it has, ascending.
    pub(super) fn own(&self, columns: &[usize]) -> Vec<usize> {
        let own = columns
            .iter()
            .filter_map(|&column| match self.origins.get(column) {
                Some(Origin::Own(place)) => Some(*place),
                Some(Origin::Constant(_) | Origin::Missing(_)) => None,
                None => self.is_plain().then_some(column),
            });
        let mut own: Vec<usize> = own.collect();
        own.sort_unstable();
        own.dedup();
        own
    }

    /// What is to be read of the file for `plan`, which names columns of the set.
    ///
    /// # Errors
    /// When a condition on columns of one value cannot be decided.
    pub(super) fn read(&self, plan: ReadPlan) -> Result<Reading, ArrowError> {
        if self.is_plain() {
            let fit = None;
            return Ok(Reading::Rows { plan, fit });
        }
        let mut own = ReadPlan {
            columns: self.own(&plan.columns),
            stored: self.own(&plan.stored),
            lenient: self.own(&plan.lenient),
            predicates: Vec::new(),
            ..plan
        };
        for predicate in plan.predicates {
            let columns = self.own(&predicate.columns);
            let fit = Fit::of(self, &predicate.columns, &columns, &[]);
            if columns.is_empty() {
                let passes = (predicate.evaluate)(&fit.batch(&no_columns(1)?)?)?;
                if !(passes.is_valid(0) && passes.value(0)) {
                    return Ok(Reading::Nothing);
                }
                continue;
            }
            let evaluate = move |batch: &RecordBatch| -> Result<BooleanArray, ArrowError> {
                (predicate.evaluate)(&fit.batch(batch)?)
            };
            own.predicates.push(RowPredicate {
                columns,
                evaluate: Arc::new(evaluate),
            });
        }
        let fit = Some(Fit::of(self, &plan.columns, &own.columns, &plan.stored));
        Ok(Reading::Rows { plan: own, fit })
    }
}

/// What is to be read of a file.
pub(super) enum Reading {
    /// Rows by a plan of the file's own columns, which `fit` makes those of the set.
    Rows { plan: ReadPlan, fit: Option<Fit> },
    /// No row passes.
    Nothing,
}

/// Makes batches of the set's columns from those of a file.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    columns: Arc<[FittedColumn]>,
    /// Columns that are read; what is behind them are row numbers.
    read: usize,
}

#[derive(Debug)]
struct FittedColumn {
    field: FieldRef,
    source: FitSource,
    /// The shard whose values need its type.
    widest: Arc<str>,
}

#[derive(Debug)]
enum FitSource {
    /// By its position in the batch that is read; as it is stored if there is no type.
    Read(usize, Option<DataType>),
    Constant(Constant),
}

impl Fit {
    /// Makes `wanted` columns of the set from batches of the file's columns `read`; those of `stored` stay as they are.
    fn of(shard: &ShardColumns, wanted: &[usize], read: &[usize], stored: &[usize]) -> Self {
        let columns = wanted.iter().filter_map(|&column| {
            let field = shard.fields.field(column);
            let source = match shard.origins.get(column)? {
                Origin::Constant(constant) | Origin::Missing(constant) => {
                    FitSource::Constant(constant.clone())
                }
                Origin::Own(place) => {
                    let as_set = (!stored.contains(&column)).then(|| view_type(field.data_type()));
                    FitSource::Read(read.binary_search(place).ok()?, as_set)
                }
            };
            let field = Arc::new(field.clone());
            let widest = shard.widest.get(column).cloned().unwrap_or_default();
            Some(FittedColumn {
                field,
                source,
                widest,
            })
        });
        Self {
            columns: columns.collect(),
            read: read.len(),
        }
    }

    /// `batch` with the columns of the set, and its row numbers if it has them.
    pub(super) fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for column in self.columns.iter() {
            let array: ArrayRef = match &column.source {
                FitSource::Read(at, None) => Arc::clone(batch.column(*at)),
                FitSource::Read(at, Some(data_type)) => fitted(batch.column(*at), data_type)
                    .map_err(|error| {
                        let name = column.field.name();
                        let own = batch.column(*at).data_type();
                        let error = Error::input(format!(
                            "read the column '{name}' as {data_type}, which another shard has"
                        ))
                        .with("it is", own)
                        .with("the other shard", &column.widest)
                        .source(error)
                        .hint("filter the shards in separate runs, or bring the column to one type first");
                        ArrowError::ExternalError(Box::new(error))
                    })?,
                FitSource::Constant(constant) => constant.rows(batch.num_rows())?,
            };
            let field = Field::clone(&column.field).with_data_type(array.data_type().clone());
            fields.push(Arc::new(field.with_nullable(true)));
            columns.push(array);
        }
        fields.extend(batch.schema_ref().fields().iter().skip(self.read).cloned());
        columns.extend(batch.columns().iter().skip(self.read).cloned());
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
    }
}

fn no_columns(rows: usize) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
}
