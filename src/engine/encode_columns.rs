//! The columns that go into the encode operator and those that it adds.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewArray, Float32Array, ListArray, RecordBatch,
        StringArray, StringViewArray, UInt32Array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::cast,
    datatypes::DataType,
};
use datafusion::common::{Result, internal_err};

use crate::{
    encode::EncodedBatch,
    preprocess::RowFault,
    schema::{ScoreColumn, Status},
    score::cosine,
};

/// Bytes that a batch keeps alive: what its views point to, not the whole pages behind them.
pub(super) fn batch_bytes(batch: &RecordBatch) -> usize {
    fn column_bytes(array: &dyn Array) -> usize {
        match array.data_type() {
            DataType::BinaryView => array
                .as_binary_view()
                .iter()
                .flatten()
                .map(<[u8]>::len)
                .sum(),
            DataType::Utf8View => array.as_string_view().iter().flatten().map(str::len).sum(),
            DataType::Struct(_) => array
                .as_struct()
                .columns()
                .iter()
                .map(|column| column_bytes(column.as_ref()))
                .sum(),
            _ => array.to_data().get_slice_memory_size().unwrap_or(0),
        }
    }
    batch
        .columns()
        .iter()
        .map(|column| column_bytes(column.as_ref()))
        .sum()
}

/// The bytes and, where there is one, the path of an image column; null under a null struct.
pub(super) fn image_parts(column: &ArrayRef) -> Result<(BinaryViewArray, Option<StringViewArray>)> {
    let DataType::Struct(fields) = column.data_type() else {
        let bytes = cast(column, &DataType::BinaryView)?;
        return Ok((bytes.as_binary_view().clone(), None));
    };
    let parts = column.as_struct();
    let child = |name: &str, data_type: DataType| -> Result<Option<ArrayRef>> {
        let Some((position, _)) = fields.find(name) else {
            return Ok(None);
        };
        Ok(Some(cast(parts.column(position), &data_type)?))
    };
    let Some(bytes) = child("bytes", DataType::BinaryView)? else {
        return internal_err!("the image struct has no bytes");
    };
    let (views, buffers, nulls) = bytes.as_binary_view().clone().into_parts();
    let bytes = BinaryViewArray::try_new(
        views,
        buffers,
        NullBuffer::union(nulls.as_ref(), parts.nulls()),
    )?;
    let paths = match child("path", DataType::Utf8View)? {
        None => None,
        Some(paths) => {
            let (views, buffers, nulls) = paths.as_string_view().clone().into_parts();
            Some(StringViewArray::try_new(
                views,
                buffers,
                NullBuffer::union(nulls.as_ref(), parts.nulls()),
            )?)
        }
    };
    Ok((bytes, paths))
}

/// One added column of a batch.
pub(super) fn added_column(added: ScoreColumn, encoded: &EncodedBatch) -> Result<ArrayRef> {
    let dim = encoded.dim;
    let rows = 0..encoded.rows();
    Ok(match added {
        ScoreColumn::CLIP_SCORE => Arc::new(Float32Array::from_iter(rows.map(|row| {
            let good = encoded.fault(row).is_none();
            good.then(|| {
                let range = row * dim..(row + 1) * dim;
                cosine(&encoded.images[range.clone()], &encoded.texts[range])
            })
        }))),
        ScoreColumn::STATUS => Arc::new(StringArray::from_iter_values(rows.map(|row| {
            let fault = encoded.fault(row);
            fault.map_or(Status::Ok, |fault| fault.status).as_str()
        }))),
        ScoreColumn::REASON => {
            Arc::new(StringArray::from_iter(rows.map(|row| {
                encoded.fault(row).map(|fault| fault.reason.as_str())
            })))
        }
        ScoreColumn::WIDTH => Arc::new(known_sizes(encoded, |size| size.0)),
        ScoreColumn::HEIGHT => Arc::new(known_sizes(encoded, |size| size.1)),
        ScoreColumn::IMAGE_EMBEDDING => embeddings(&encoded.images, &encoded.image_faults, dim)?,
        ScoreColumn::TEXT_EMBEDDING => embeddings(&encoded.texts, &encoded.text_faults, dim)?,
        derived => {
            return internal_err!("{} is not encoded", derived.name());
        }
    })
}

fn known_sizes(encoded: &EncodedBatch, side: impl Fn((u32, u32)) -> u32) -> UInt32Array {
    encoded
        .sizes
        .iter()
        .map(|&size| (size != (0, 0)).then(|| side(size)))
        .collect()
}

fn embeddings(vectors: &[f32], faults: &[Option<RowFault>], dim: usize) -> Result<ArrayRef> {
    let good: Vec<bool> = faults.iter().map(Option::is_none).collect();
    let lengths = good.iter().map(|&good| if good { dim } else { 0 });
    let offsets = OffsetBuffer::from_lengths(lengths);
    let values: Float32Array = vectors
        .chunks_exact(dim.max(1))
        .zip(&good)
        .filter(|(_, good)| **good)
        .flat_map(|(vector, _)| vector)
        .copied()
        .collect::<Vec<f32>>()
        .into();
    let DataType::List(field) = ScoreColumn::IMAGE_EMBEDDING.data_type() else {
        return internal_err!("an embedding is a list");
    };
    Ok(Arc::new(ListArray::try_new(
        field,
        offsets,
        Arc::new(values),
        Some(NullBuffer::from(good)),
    )?))
}
