//! What a function takes, and the error when it gets something else.

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};

/// A function's arguments in the words of its errors.
#[derive(Debug)]
pub(super) struct Takes {
    /// The function.
    pub(super) function: &'static str,
    /// Its arguments, each by name.
    pub(super) arguments: &'static [&'static str],
    /// What each of them may be.
    pub(super) types: &'static str,
    /// Whether an argument of this type is one.
    pub(super) fits: fn(&DataType) -> bool,
}

impl Takes {
    /// A literal `NULL` fits everywhere.
    ///
    /// # Errors
    /// When the number of arguments or one of their types is wrong.
    pub(super) fn check(&self, found: &[DataType]) -> Result<()> {
        let fits = |data_type: &DataType| data_type.is_null() || (self.fits)(data_type);
        if found.len() == self.arguments.len() && found.iter().all(fits) {
            return Ok(());
        }
        let types: Vec<String> = found.iter().map(DataType::to_string).collect();
        plan_err!(
            "{}({}): {} takes ({}), {}",
            self.function,
            types.join(", "),
            self.function,
            self.arguments.join(", "),
            self.types
        )
    }
}
