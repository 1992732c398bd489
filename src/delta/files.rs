//! The files of a version, as the library lists them: one row of a batch each.

use std::collections::HashMap;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StructArray},
    datatypes::{Int32Type, Int64Type},
};
use delta_kernel::{
    Engine, FilteredEngineData, KernelError, KernelResult,
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
    let rows = scan.data().any_ref().downcast_ref::<ArrowEngineData>();
    let rows = rows.ok_or_else(|| KernelError::engine_data_type("ArrowEngineData"))?;
    let (batch, selected) = (rows.record_batch(), scan.selection_vector());
    let path = column(batch, "path")?;
    let vectors = column(batch, "deletionVector")?.as_struct_opt().cloned();
    let facts = column(batch, "fileConstantValues")?;
    let values = facts
        .as_struct_opt()
        .and_then(|it| it.column_by_name("partitionValues"));
    let mut files = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        // What is no file has no path.
        let path = text(path, row).filter(|_| selected.get(row).copied().unwrap_or(true));
        let Some(path) = path else {
            continue;
        };
        files.push(DataFile {
            row,
            path,
            partition: values.map(|values| pairs(values, row)).unwrap_or_default(),
            deleted: match vectors.as_ref().filter(|all| all.is_valid(row)) {
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
