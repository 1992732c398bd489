//! The files of a version, as the library lists them: one row of a batch each.

use std::collections::HashMap;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StructArray},
    datatypes::{Int32Type, Int64Type},
};
use delta_kernel::{
    Engine, EngineData, FilteredEngineData, KernelError, KernelResult,
    actions::deletion_vector::{DeletionVectorDescriptor, DeletionVectorStorageType},
    engine::arrow_data::ArrowEngineData,
};
use url::Url;

use crate::source::LeftOut;

/// Most rows of a file that may be left out: positions of a deletion vector are counted one by one.
const MOST_LEFT_OUT: u64 = 1 << 31;

/// A file of a version.
#[derive(Debug)]
pub(super) struct DataFile {
    /// Its row in the batch of the scan.
    pub(super) row: usize,
    /// As the log has it.
    pub(super) path: String,
    /// By the names that the log has for columns; one without a value is missing.
    pub(super) partition: HashMap<String, String>,
    pub(super) deleted: Option<DeletionVectorDescriptor>,
}

impl DataFile {
    /// What tells it from all other files that a table ever had: the same file with other rows deleted is another.
    pub(super) fn key(&self) -> String {
        match &self.deleted {
            None => self.path.clone(),
            Some(vector) => format!(
                "{} {}{}@{}",
                self.path,
                vector.storage_type,
                vector.path_or_inline_dv,
                vector.offset.unwrap_or(0)
            ),
        }
    }

    /// Rows that the table has given up.
    pub(super) fn left_out(&self, engine: &dyn Engine, root: &Url) -> KernelResult<LeftOut> {
        let Some(vector) = &self.deleted else {
            return Ok(LeftOut::default());
        };
        let rows = vector.read(engine.storage_handler(), root)?;
        if rows.len() > MOST_LEFT_OUT {
            return Err(KernelError::deletion_vector(format!(
                "it leaves out {} rows of one file, more than {MOST_LEFT_OUT}",
                rows.len()
            )));
        }
        Ok(LeftOut::of_ascending(rows.iter()))
    }
}

/// The files of one batch of a scan.
pub(super) fn files_of(scan: &FilteredEngineData) -> KernelResult<Vec<DataFile>> {
    let (batch, selected) = (batch_of(scan.data())?, scan.selection_vector());
    let is_selected = |row: usize| selected.get(row).copied().unwrap_or(true);
    let facts = column(batch, "fileConstantValues")?;
    let values = facts
        .as_struct_opt()
        .and_then(|it| it.column_by_name("partitionValues"));
    files_in(&StructArray::from(batch.clone()), values, is_selected)
}

/// The files that a batch of a commit has as its actions `name`, each with whether its rows are others than before.
pub(super) fn acted_on(
    actions: &dyn EngineData,
    name: &str,
) -> KernelResult<Vec<(DataFile, bool)>> {
    let batch = batch_of(actions)?;
    let Some(actions) = column(batch, name)?.as_struct_opt() else {
        return Err(KernelError::missing_column(name));
    };
    let values = actions.column_by_name("partitionValues");
    let changes = actions.column_by_name("dataChange");
    let changes = changes.and_then(|it| it.as_boolean_opt());
    let files = files_in(actions, values, |row| actions.is_valid(row))?;
    let with_change = files.into_iter().map(|file| {
        let changes = changes.is_none_or(|it| it.is_null(file.row) || it.value(file.row));
        (file, changes)
    });
    Ok(with_change.collect())
}

fn batch_of(data: &dyn EngineData) -> KernelResult<&RecordBatch> {
    let rows = data.any_ref().downcast_ref::<ArrowEngineData>();
    let rows = rows.ok_or_else(|| KernelError::engine_data_type("ArrowEngineData"))?;
    Ok(rows.record_batch())
}

fn files_in(
    rows: &StructArray,
    values: Option<&ArrayRef>,
    is_selected: impl Fn(usize) -> bool,
) -> KernelResult<Vec<DataFile>> {
    let named = |name: &str| {
        let column = rows.column_by_name(name);
        column.ok_or_else(|| KernelError::missing_column(name))
    };
    let path = named("path")?;
    let vectors = named("deletionVector")?.as_struct_opt();
    let mut files = Vec::with_capacity(rows.len());
    for row in 0..rows.len() {
        // What is no file has no path.
        let path = text(path, row).filter(|_| is_selected(row));
        let Some(path) = path else {
            continue;
        };
        files.push(DataFile {
            row,
            path,
            partition: values.map(|values| pairs(values, row)).unwrap_or_default(),
            deleted: match vectors.filter(|all| all.is_valid(row)) {
                Some(vectors) => deletion_vector(vectors, row)?,
                None => None,
            },
        });
    }
    Ok(files)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> KernelResult<&'a ArrayRef> {
    let column = batch.column_by_name(name);
    column.ok_or_else(|| KernelError::missing_column(name))
}

fn text(column: &ArrayRef, row: usize) -> Option<String> {
    let column = column.as_string_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row).to_owned())
}

/// The entries of a map that have values.
fn pairs(column: &ArrayRef, row: usize) -> HashMap<String, String> {
    let Some(map) = column.as_map_opt().filter(|map| map.is_valid(row)) else {
        return HashMap::new();
    };
    let entries = map.value(row);
    let [keys, values] = entries.columns() else {
        return HashMap::new();
    };
    let pairs = (0..entries.len()).filter_map(|at| Some((text(keys, at)?, text(values, at)?)));
    pairs.collect()
}

fn deletion_vector(
    vectors: &StructArray,
    row: usize,
) -> KernelResult<Option<DeletionVectorDescriptor>> {
    let field = |name: &str| {
        let field = vectors.column_by_name(name);
        field.ok_or_else(|| KernelError::missing_column(name))
    };
    let (Some(storage), Some(path)) = (
        text(field("storageType")?, row),
        text(field("pathOrInlineDv")?, row),
    ) else {
        return Ok(None);
    };
    let number = |name: &str| -> KernelResult<Option<i32>> {
        let numbers = field(name)?.as_primitive_opt::<Int32Type>();
        let numbers = numbers.filter(|numbers| numbers.is_valid(row));
        Ok(numbers.map(|numbers| numbers.value(row)))
    };
    let rows = field("cardinality")?.as_primitive_opt::<Int64Type>();
    let rows = rows
        .filter(|rows| rows.is_valid(row))
        .map(|rows| rows.value(row));
    let missing = || KernelError::deletion_vector("its size is missing");
    let descriptor = DeletionVectorDescriptor::try_new(
        storage.parse::<DeletionVectorStorageType>()?,
        path,
        number("offset")?,
        number("sizeInBytes")?.ok_or_else(missing)?,
        rows.ok_or_else(missing)?,
    );
    descriptor.map(Some)
}
