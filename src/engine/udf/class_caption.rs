//! The caption of a class label, within plans.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::datatypes::DataType;
use datafusion::{
    common::Result,
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

use crate::{engine::into_datafusion, source::Classes};

/// The caption that stands for a class label, null where there is no class. Not a function of SQL.
pub(in crate::engine) fn class_caption(classes: Classes) -> ScalarUDF {
    ScalarUDF::from(ClassCaption {
        signature: Signature::any(1, Volatility::Immutable),
        classes,
    })
}

#[derive(Debug, PartialEq, Eq)]
struct ClassCaption {
    signature: Signature,
    classes: Classes,
}

impl Hash for ClassCaption {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.classes.describe().hash(state);
    }
}

impl ScalarUDFImpl for ClassCaption {
    fn name(&self) -> &str {
        "class_caption"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let labels = ColumnarValue::values_to_arrays(&args.args)?;
        let captions = self.classes.captions_of(&labels[0]);
        Ok(ColumnarValue::Array(Arc::new(
            captions.map_err(into_datafusion)?,
        )))
    }
}
