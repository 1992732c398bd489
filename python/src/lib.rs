//! The module `clip_filter._native`: commands of clip-filter as they are called from Python.
//!
//! Rows cross over as Arrow IPC streams of one batch each, which pyarrow reads without copying. Whatever waits has given
//! the interpreter's lock back, and looks every tenth of a second whether the interpreter was told to stop.

mod errors;
mod hearing;
mod job;
mod reading;
mod rows;
mod scoring;
mod values;

use std::{ffi::OsString, process::ExitCode};

use pyo3::prelude::*;

/// See the crate.
#[pymodule]
mod _native {
    use clip_filter::schema::Status;
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::{
        job::Job,
        main, options,
        reading::{RowsOfShard, Shards},
        rows::Rows,
        scoring::Scoring,
    };

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// Names of the outcomes of a row.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("STATUSES", Status::ALL.map(Status::as_str))
    }
}

/// Runs a command line, the program's name first; its exit code.
#[pyfunction]
fn main(py: Python<'_>, words: Vec<OsString>) -> u8 {
    let code = py.detach(|| clip_filter::cli::run(words));
    // What an exit code is can only be compared.
    let mut codes = 0..=u8::MAX;
    codes.find(|&one| ExitCode::from(one) == code).unwrap_or(1)
}

/// The options of a command: name, what it takes, and what it does.
#[pyfunction]
#[pyo3(signature = (command=None))]
fn options(command: Option<&str>) -> Vec<(String, String, String)> {
    let options = clip_filter::cli::call::options_of(command).into_iter();
    options
        .map(|option| (option.name, option.takes, option.help))
        .collect()
}
