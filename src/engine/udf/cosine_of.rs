//! The cosine of two embeddings, within plans.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float32Array, ListArray},
    datatypes::{DataType, Float32Type},
};
use datafusion::{
    common::{Result, cast::as_list_array, exec_err},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

use super::arguments::constant_text;
use crate::{engine::EncodeRuntime, schema::ScoreColumn, score::cosine};

/// The score of two embeddings, or of an embedding and a constant text; null where one is null.
///
/// This is how an image that is scored against several texts is encoded once.
pub(in crate::engine) fn cosine_of(runtime: &Arc<EncodeRuntime>, image: Expr, text: Expr) -> Expr {
    ScalarUDF::from(CosineOf {
        signature: Signature::variadic_any(Volatility::Stable),
        runtime: Arc::clone(runtime),
    })
    .call(vec![image, text])
}

#[derive(Debug)]
struct CosineOf {
    signature: Signature,
    runtime: Arc<EncodeRuntime>,
}

impl PartialEq for CosineOf {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.runtime, &other.runtime)
    }
}

impl Eq for CosineOf {}

impl Hash for CosineOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.runtime).hash(state);
    }
}

impl ScalarUDFImpl for CosineOf {
    fn name(&self) -> &str {
        "clip_cosine"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(ScoreColumn::CLIP_SCORE.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [image, text] = <[ColumnarValue; 2]>::try_from(args.args)
            .or_else(|_| exec_err!("clip_cosine takes two arguments"))?;
        let images = image.into_array(rows)?;
        let images = as_list_array(&images)?;
        let scores: Float32Array = match text {
            ColumnarValue::Array(texts) => {
                let texts = as_list_array(&texts)?;
                let pairs = (0..rows).map(|row| Some((vector(images, row)?, vector(texts, row)?)));
                pairs.map(score).collect()
            }
            ColumnarValue::Scalar(text) => {
                let text = match constant_text(&text)? {
                    None => None,
                    Some(text) => self.runtime.text_embedding(text)?,
                };
                let text = text.map(|text| Arc::new(Float32Array::from(text.to_vec())) as ArrayRef);
                let pairs = (0..rows).map(|row| Some((vector(images, row)?, text.clone()?)));
                pairs.map(score).collect()
            }
        };
        Ok(ColumnarValue::Array(Arc::new(scores)))
    }
}

fn vector(list: &ListArray, row: usize) -> Option<ArrayRef> {
    list.is_valid(row).then(|| list.value(row))
}

fn score(pair: Option<(ArrayRef, ArrayRef)>) -> Option<f32> {
    let (image, text) = pair?;
    let (image, text) = (
        image.as_primitive_opt::<Float32Type>()?,
        text.as_primitive_opt::<Float32Type>()?,
    );
    Some(cosine(image.values(), text.values()))
}
