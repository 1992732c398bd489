//! Errors as the exceptions of `clip_filter._errors`.

use clip_filter::error::{Error, ErrorKind};
use pyo3::{prelude::*, types::PyModule};

/// The exception for `error`.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let kind = match error.kind() {
        ErrorKind::Usage => "usage",
        ErrorKind::Input => "input",
        ErrorKind::Model => "model",
        ErrorKind::Runtime => "runtime",
        ErrorKind::Output => "output",
        ErrorKind::Resources => "resources",
        ErrorKind::Interrupted => "interrupted",
        ErrorKind::Internal => "internal",
    };
    let made = PyModule::import(py, "clip_filter._errors")
        .and_then(|module| module.getattr("of_kind"))
        .and_then(|of_kind| of_kind.call1((kind, error.report(), error.remedy())));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}
