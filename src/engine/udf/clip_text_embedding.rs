//! `clip_text_embedding(text)`.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, Float32Array, ListArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
    },
};

use super::{
    arguments::{Argument, check, constant_text, not_hoisted},
    column_function::any_arguments,
};
use crate::{engine::EncodeRuntime, schema::ScoreColumn};

/// The name in SQL.
const NAME: &str = "clip_text_embedding";

/// `clip_text_embedding(text)`: a list of length one as a vector; null where the text is null or empty.
#[derive(Debug)]
pub(super) struct ClipTextEmbedding {
    signature: Signature,
    runtime: Arc<EncodeRuntime>,
}

impl ClipTextEmbedding {
    pub(super) fn new(runtime: Arc<EncodeRuntime>) -> Self {
        Self {
            // Another model gives another vector, so that it is constant only within a query.
            signature: any_arguments(Volatility::Stable),
            runtime,
        }
    }
}

impl PartialEq for ClipTextEmbedding {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.runtime, &other.runtime)
    }
}

impl Eq for ClipTextEmbedding {}

impl Hash for ClipTextEmbedding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.runtime).hash(state);
    }
}

impl ScalarUDFImpl for ClipTextEmbedding {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(ScoreColumn::TEXT_EMBEDDING.data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        check(NAME, &[Argument::Text], args.arg_fields)?;
        let data_type = ScoreColumn::TEXT_EMBEDDING.data_type();
        Ok(Arc::new(Field::new(NAME, data_type, true)))
    }

    /// A constant text only; columns are the encode operator's.
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(text)] = args.args.as_slice() else {
            return not_hoisted(NAME);
        };
        let embedding = match constant_text(text)? {
            None => None,
            Some(text) => self.runtime.text_embedding(text)?,
        };
        Ok(ColumnarValue::Scalar(list(embedding.as_deref())?))
    }
}

fn list(embedding: Option<&[f32]>) -> Result<ScalarValue> {
    let data_type = ScoreColumn::TEXT_EMBEDDING.data_type();
    let (Some(embedding), DataType::List(field)) = (embedding, &data_type) else {
        return ScalarValue::try_from(&data_type);
    };
    let values: ArrayRef = Arc::new(Float32Array::from(embedding.to_vec()));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    let list = ListArray::try_new(Arc::clone(field), offsets, values, None)?;
    Ok(ScalarValue::List(Arc::new(list)))
}
