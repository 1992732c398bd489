//! What functions of one column have in common.

use std::hash::{Hash, Hasher};

use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion::{
    common::{Result, ScalarValue, internal_err},
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
        Volatility,
    },
};

use super::takes::Takes;

/// Any number of arguments of any type: what is wrong is said by [`Takes::check`], not by DataFusion.
pub(super) fn any_arguments(volatility: Volatility) -> Signature {
    let none_or_some = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    Signature::one_of(none_or_some, volatility)
}

/// A function of one column, as a description.
pub(super) struct ColumnFunction {
    /// Its name and argument.
    pub(super) takes: Takes,
    /// Type of its values.
    pub(super) returns: DataType,
    /// Whether a null makes a null.
    pub(super) is_strict: bool,
    /// Its arithmetic, over a whole column.
    pub(super) kernel: fn(&ArrayRef) -> Result<ArrayRef>,
}

impl From<ColumnFunction> for ScalarUDF {
    fn from(function: ColumnFunction) -> Self {
        ScalarUDF::new_from_impl(ColumnUdf {
            function,
            signature: any_arguments(Volatility::Immutable),
        })
    }
}

struct ColumnUdf {
    function: ColumnFunction,
    signature: Signature,
}

impl std::fmt::Debug for ColumnUdf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// No two functions share a name.
impl PartialEq for ColumnUdf {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ColumnUdf {}

impl Hash for ColumnUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl ScalarUDFImpl for ColumnUdf {
    fn name(&self) -> &str {
        self.function.takes.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.function.takes.check(arguments)?;
        Ok(self.function.returns.clone())
    }

    fn is_strict(&self) -> bool {
        self.function.is_strict
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(column)] => {
                (self.function.kernel)(column).map(ColumnarValue::Array)
            }
            [ColumnarValue::Scalar(value)] => {
                let values = (self.function.kernel)(&value.to_array()?)?;
                ScalarValue::try_from_array(&values, 0).map(ColumnarValue::Scalar)
            }
            _ => internal_err!("{} was planned without its argument", self.name()),
        }
    }
}
