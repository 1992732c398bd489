//! Columns of one value in a shard: what the folders of a table say of all rows of a file.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{cast, take},
    datatypes::{Field, FieldRef, Schema},
    error::ArrowError,
};

use super::{ReadPlan, RowPredicate, views::view_type};
use crate::{
    error::{Error, Result},
    schema::ROW,
};

/// A column that has one value in all rows of a shard.
#[derive(Debug, Clone)]
pub struct Constant {
    field: FieldRef,
    /// Of one row, as it is read: text and bytes as views.
    value: ArrayRef,
}

impl Constant {
    /// The column `name` with the one value that `value` holds, which may be null.
    ///
    /// # Errors
    /// When that is not one.
    pub fn try_new(name: &str, value: &ArrayRef) -> Result<Self> {
        let failed = |error| Error::internal("make a column of one value").source(error);
        if value.len() != 1 {
            return Err(Error::internal("make a column of one value").with("values", value.len()));
        }
        Ok(Self {
            field: Arc::new(Field::new(name, value.data_type().clone(), true)),
            value: cast(value, &view_type(value.data_type())).map_err(failed)?,
        })
    }

    /// Its name and its type.
    pub fn field(&self) -> &FieldRef {
        &self.field
    }

    fn rows(&self, rows: usize) -> Result<ArrayRef, ArrowError> {
        take(&self.value, &UInt32Array::from(vec![0; rows]), None)
    }
}

/// What is to be read of a file once its columns of one value are known.
pub(super) enum Verdict {
    /// Only columns of the file itself are named.
    Read(ReadPlan),
    /// No row passes.
    Nothing,
}

/// The columns of one value that come out of a reader, and those that its conditions name.
#[derive(Debug, Clone)]
pub(super) struct ConstantColumns {
    all: Arc<[Constant]>,
    /// Columns before them.
    own_columns: usize,
    /// Which of them come out.
    wanted: Vec<usize>,
}

impl ConstantColumns {
    /// Takes the columns behind the first `own_columns` out of `plan`.
    pub(super) fn split(
        all: &Arc<[Constant]>,
        own_columns: usize,
        mut plan: ReadPlan,
    ) -> (Self, ReadPlan) {
        let wanted = plan.columns.iter();
        let wanted = wanted.filter_map(|column| column.checked_sub(own_columns));
        let columns = Self {
            all: Arc::clone(all),
            own_columns,
            wanted: wanted.collect(),
        };
        plan.columns.retain(|&column| column < own_columns);
        (columns, plan)
    }

    /// True if the shard has none, asked for or not.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Decides the conditions that name no other column, and gives the others a batch with all they name.
    pub(super) fn decide(&self, mut plan: ReadPlan) -> Result<Verdict, ArrowError> {
        let mut open = Vec::new();
        for predicate in plan.predicates {
            let of_file = |column: &&usize| **column < self.own_columns;
            match predicate.columns.iter().filter(of_file).count() {
                own if own == predicate.columns.len() => open.push(predicate),
                0 => {
                    if !self.holds(&predicate)? {
                        return Ok(Verdict::Nothing);
                    }
                }
                own => open.push(self.completed(predicate, own)),
            }
        }
        plan.predicates = open;
        Ok(Verdict::Read(plan))
    }

    /// Whether a condition on columns of one value holds; a null is no yes.
    fn holds(&self, predicate: &RowPredicate) -> Result<bool, ArrowError> {
        let none = RecordBatch::try_new_with_options(
            Arc::new(Schema::empty()),
            Vec::new(),
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )?;
        let passes = (predicate.evaluate)(&with_columns(&none, self.named(predicate))?)?;
        Ok(passes.is_valid(0) && passes.value(0))
    }

    /// `predicate` over its first `own` columns, which are of the file.
    fn completed(&self, predicate: RowPredicate, own: usize) -> RowPredicate {
        let named: Vec<Constant> = self.named(&predicate).cloned().collect();
        let evaluate = move |batch: &RecordBatch| -> Result<BooleanArray, ArrowError> {
            (predicate.evaluate)(&with_columns(batch, named.iter())?)
        };
        RowPredicate {
            columns: predicate.columns[..own].to_vec(),
            evaluate: Arc::new(evaluate),
        }
    }

    fn named(&self, predicate: &RowPredicate) -> impl Iterator<Item = &Constant> {
        let places = predicate.columns.iter();
        places.filter_map(|column| self.all.get(column.checked_sub(self.own_columns)?))
    }

    /// `batch` with those that come out behind its columns, but before the row numbers.
    pub(super) fn add_to(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let own = match batch.schema_ref().fields().last() {
            Some(last) if last.name() == ROW => batch.num_columns() - 1,
            _ => batch.num_columns(),
        };
        let front: Vec<usize> = (0..own).collect();
        let wanted = self.wanted.iter().filter_map(|&place| self.all.get(place));
        let front = with_columns(&batch.project(&front)?, wanted)?;
        let mut fields: Vec<FieldRef> = front.schema_ref().fields().iter().cloned().collect();
        let mut columns = front.columns().to_vec();
        fields.extend(batch.schema_ref().fields().iter().skip(own).cloned());
        columns.extend(batch.columns().iter().skip(own).cloned());
        batch_of(fields, columns, batch.num_rows())
    }
}

fn with_columns<'a>(
    batch: &RecordBatch,
    constants: impl Iterator<Item = &'a Constant>,
) -> Result<RecordBatch, ArrowError> {
    let mut fields: Vec<FieldRef> = batch.schema_ref().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    for constant in constants {
        let data_type = constant.value.data_type().clone();
        fields.push(Arc::new(
            constant.field.as_ref().clone().with_data_type(data_type),
        ));
        columns.push(constant.rows(batch.num_rows())?);
    }
    batch_of(fields, columns, batch.num_rows())
}

fn batch_of(
    fields: Vec<FieldRef>,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}
