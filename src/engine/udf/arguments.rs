//! What arguments of functions must be, and the words for others.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    /// Encoded image bytes.
    Image,
    /// A text.
    Text,
}

impl Argument {
    fn name(self) -> &'static str {
        match self {
            Argument::Image => "image",
            Argument::Text => "text",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Argument::Image => "an image: binary, or struct<bytes: binary, path: string>",
            Argument::Text => "a string",
        }
    }

    fn accepts(self, data_type: &DataType) -> bool {
        match (self, data_type) {
            (_, DataType::Null) => true,
            (Argument::Image, DataType::Struct(fields)) => {
                let bytes = fields.find("bytes");
                let path = fields.find("path");
                bytes.is_some_and(|(_, field)| is_binary(field.data_type()))
                    && path.is_none_or(|(_, field)| is_text(field.data_type()))
            }
            (Argument::Image, other) => is_binary(other),
            (Argument::Text, DataType::Dictionary(_, values)) => is_text(values),
            (Argument::Text, other) => is_text(other),
        }
    }
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// Refuses arguments of another number or type, in words for whoever wrote the query.
pub(super) fn check(function: &str, expected: &[Argument], found: &[FieldRef]) -> Result<()> {
    let fits = expected.len() == found.len()
        && expected
            .iter()
            .zip(found)
            .all(|(argument, field)| argument.accepts(field.data_type()));
    if fits {
        return Ok(());
    }
    let types: Vec<String> = found
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    let names: Vec<&str> = expected.iter().map(|argument| argument.name()).collect();
    let kinds: Vec<&str> = expected
        .iter()
        .map(|argument| argument.expected())
        .collect();
    plan_err!(
        "{function}({}): {function} takes ({}), {}",
        types.join(", "),
        names.join(", "),
        kinds.join(", and ")
    )
}

/// The error of a call that was left where the encode operator cannot answer it.
pub(super) fn not_hoisted<T>(function: &str) -> Result<T> {
    exec_err!(
        "{function} cannot be computed here: name it in a subquery, as in \
         SELECT ... FROM (SELECT *, {function}(...) AS clip FROM pairs), and use that column"
    )
}

/// The text of a constant, `None` if it is null.
pub(super) fn constant_text(value: &ScalarValue) -> Result<Option<&str>> {
    match value {
        ScalarValue::Null => Ok(None),
        ScalarValue::Dictionary(_, value) => constant_text(value),
        other => match other.try_as_str() {
            Some(text) => Ok(text),
            None => exec_err!("a text is expected, found {}", other.data_type()),
        },
    }
}
