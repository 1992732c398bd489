//! The words for a column that is not there because text stands in double quotes.

use datafusion::{common::SchemaError, error::DataFusionError};

/// Before text that is compared with something.
const COMPARING: [&str; 6] = ["=", "<", ">", " like", " ilike", " in ("];

/// The remedy where `sql` puts text in double quotes: `error` then says that there is no such column.
pub(super) fn quotes_hint(error: &DataFusionError, sql: &str) -> Option<String> {
    let name = missing_column(error)?;
    let (before, _) = sql.split_once(&format!("\"{name}\""))?;
    let before = before.trim_end().to_lowercase();
    // A name that a recipe quotes stands elsewhere.
    COMPARING.iter().any(|end| before.ends_with(end)).then(|| {
        let text = name.replace('\'', "''");
        format!("text stands in single quotes, '{text}'; double quotes name a column")
    })
}

fn missing_column(error: &DataFusionError) -> Option<&str> {
    match error {
        DataFusionError::SchemaError(inner, _) => match inner.as_ref() {
            SchemaError::FieldNotFound { field, .. } => Some(field.name()),
            _ => None,
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            missing_column(inner)
        }
        DataFusionError::Shared(inner) => missing_column(inner),
        DataFusionError::Collection(errors) => missing_column(errors.first()?),
        _ => None,
    }
}
