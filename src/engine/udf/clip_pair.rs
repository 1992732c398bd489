//! What functions of image and caption have in common.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::{
    common::Result,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};

use super::{
    arguments::{Argument, check, not_hoisted},
    column_function::any_arguments,
};
use crate::engine::hoist::CallKind;

/// A function of image and caption that the encode operator answers.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ClipPair {
    pub(super) kind: CallKind,
    signature: Signature,
}

impl ClipPair {
    pub(super) fn function(kind: CallKind) -> ScalarUDF {
        ScalarUDF::from(Self {
            kind,
            signature: any_arguments(Volatility::Immutable),
        })
    }
}

impl ScalarUDFImpl for ClipPair {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.added().data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        check(
            self.name(),
            &[Argument::Image, Argument::Text],
            args.arg_fields,
        )?;
        let data_type = self.kind.added().data_type();
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        not_hoisted(self.name())
    }
}
