//! The columns of a table: their Arrow types, and what files call them.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use delta_kernel::{
    KernelResult, Snapshot,
    engine::arrow_conversion::TryIntoArrow,
    schema::{DataType, PrimitiveType, StructField, StructType},
    table_features::ColumnMappingMode,
};

use crate::source::{StoredColumn, TableColumns};

/// A column whose value in each file the log says.
#[derive(Debug, Clone)]
pub(super) struct PartitionColumn {
    pub(super) name: String,
    /// As the log calls it.
    pub(super) stored_as: String,
    pub(super) data_type: PrimitiveType,
}

/// The columns of a version.
pub(super) struct Columns {
    pub(super) of_table: Arc<TableColumns>,
    pub(super) partitions: Vec<PartitionColumn>,
}

impl Columns {
    pub(super) fn of(snapshot: &Snapshot) -> KernelResult<Self> {
        let schema = snapshot.schema();
        let configuration = snapshot.table_configuration();
        let mode = configuration.column_mapping_mode();
        let named = configuration.logical_partition_columns();
        let arrow: Schema = schema.as_ref().try_into_arrow()?;
        let is_partition = |field: &&StructField| named.contains(field.name());
        let partitions = schema.fields().filter(is_partition).filter_map(|field| {
            let DataType::Primitive(data_type) = field.data_type() else {
                return None;
            };
            Some(PartitionColumn {
                name: field.name().to_owned(),
                stored_as: field.physical_name(mode).to_owned(),
                data_type: data_type.clone(),
            })
        });
        let in_files = schema.fields().filter(|field| !is_partition(field));
        let fields = arrow.fields().iter();
        // What the table says of names and numbers is not the columns' own.
        let fields = fields.map(|field| {
            let plain = field.as_ref().clone().with_metadata(Default::default());
            FieldRef::new(plain)
        });
        Ok(Self {
            of_table: Arc::new(TableColumns {
                fields: fields.collect(),
                stored: in_files.map(|field| stored(field, mode)).collect(),
            }),
            partitions: partitions.collect(),
        })
    }
}

fn stored(field: &StructField, mode: ColumnMappingMode) -> StoredColumn {
    let id = field
        .column_mapping_id()
        .filter(|_| mode == ColumnMappingMode::Id);
    StoredColumn {
        name: field.name().to_owned(),
        stored_as: field.physical_name(mode).to_owned(),
        id: id.and_then(|id| i32::try_from(id).ok()),
        within: within(field.data_type(), mode),
    }
}

fn within(data_type: &DataType, mode: ColumnMappingMode) -> Vec<StoredColumn> {
    let item = |name: &str, data_type: &DataType| StoredColumn {
        name: name.to_owned(),
        stored_as: name.to_owned(),
        id: None,
        within: within(data_type, mode),
    };
    match data_type {
        DataType::Struct(fields) => fields_of(fields, mode),
        DataType::Array(array) => vec![item("element", array.element_type())],
        DataType::Map(map) => vec![item("key", map.key_type()), item("value", map.value_type())],
        DataType::Primitive(_) | DataType::Variant(_) => Vec::new(),
    }
}

fn fields_of(fields: &StructType, mode: ColumnMappingMode) -> Vec<StoredColumn> {
    fields.fields().map(|field| stored(field, mode)).collect()
}
