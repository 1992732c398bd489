//! Views as plain columns, which every reader knows.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};

use crate::error::{Error, Result};

/// `schema` with plain strings and bytes where it has views, which not every reader knows.
pub fn plain_schema(schema: &Schema) -> Schema {
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain_field).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// `batch` as batches of `schema`, which is its [`plain_schema`]; several where its bytes do not fit one.
///
/// # Errors
/// When a value alone has 2 GiB or more.
pub fn plain_batches(batch: &RecordBatch, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    push_plain(batch, schema, &mut batches)
        .map_err(|error| Error::output("convert views to plain columns").source(error))?;
    Ok(batches)
}

fn push_plain(
    batch: &RecordBatch,
    schema: &SchemaRef,
    batches: &mut Vec<RecordBatch>,
) -> Result<(), ArrowError> {
    let rows = batch.num_rows();
    match plain_batch(batch, schema) {
        Ok(plain) => batches.push(plain),
        // A plain column holds less than 2 GiB, a column of views any number of bytes.
        Err(_) if rows > 1 => {
            push_plain(&batch.slice(0, rows / 2), schema, batches)?;
            push_plain(&batch.slice(rows / 2, rows - rows / 2), schema, batches)?;
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn plain_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let plain = plain_type(field.data_type());
    if plain == *field.data_type() {
        Arc::clone(field)
    } else {
        Arc::new(Field::clone(field).with_data_type(plain))
    }
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) => DataType::LargeList(plain_field(item)),
        DataType::FixedSizeList(item, length) => {
            DataType::FixedSizeList(plain_field(item), *length)
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BinaryViewArray, StructArray};

    use super::*;

    #[test]
    fn views_become_plain_at_any_depth() {
        let bytes: ArrayRef = Arc::new(BinaryViewArray::from(vec![Some(b"a".as_slice()), None]));
        let field = Arc::new(Field::new("bytes", DataType::BinaryView, true));
        let image: ArrayRef = Arc::new(StructArray::from(vec![(field, bytes)]));
        let batch = RecordBatch::try_from_iter([("image", image)]).unwrap();
        let schema = Arc::new(plain_schema(&batch.schema()));
        let bytes = Field::new("bytes", DataType::Binary, true);
        assert_eq!(
            *schema.field(0).data_type(),
            DataType::Struct([bytes].into_iter().collect())
        );
        let plain = plain_batches(&batch, &schema).unwrap();
        assert_eq!(plain.len(), 1);
        assert_eq!(plain[0].schema(), schema);
        assert_eq!(plain[0].num_rows(), 2);
    }
}
