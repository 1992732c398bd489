//! `clip_image_embedding(image)`.

use arrow::datatypes::DataType;
use arrow::datatypes::{Field, FieldRef};
use datafusion::{
    common::Result,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
    },
};
use std::sync::Arc;

use super::{
    arguments::{Argument, check, not_hoisted},
    column_function::any_arguments,
};
use crate::schema::ScoreColumn;

/// The name in SQL.
const NAME: &str = "clip_image_embedding";

/// `clip_image_embedding(image)`: a list of length one as a vector; null where the image is bad.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ClipImageEmbedding {
    signature: Signature,
}

impl ClipImageEmbedding {
    pub(super) fn new() -> Self {
        Self {
            signature: any_arguments(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for ClipImageEmbedding {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(ScoreColumn::IMAGE_EMBEDDING.data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        check(NAME, &[Argument::Image], args.arg_fields)?;
        let data_type = ScoreColumn::IMAGE_EMBEDDING.data_type();
        Ok(Arc::new(Field::new(NAME, data_type, true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        not_hoisted(NAME)
    }
}
