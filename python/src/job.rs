//! A command, called.

use std::{
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread,
};

use clip_filter::{
    cli::call::Call,
    error::{Error, Result},
};
use pyo3::{prelude::*, types::PyDict};

use crate::{
    errors::raised,
    hearing::{Hearing, wait},
    rows::Rows,
    values,
};

/// A command with its options, checked.
#[pyclass(frozen)]
pub(crate) struct Job {
    command: Option<String>,
    paths: Vec<String>,
    options: Vec<(String, clip_filter::cli::call::Value)>,
}

#[pymethods]
impl Job {
    /// The command, or the main job if it is `None`, with paths and options.
    #[new]
    fn new(
        py: Python<'_>,
        command: Option<String>,
        paths: Vec<String>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let job = Self {
            command,
            paths,
            options: values::options(options)?,
        };
        job.call().map_err(|error| raised(py, &error))?;
        Ok(job)
    }

    /// Runs it to its end; facts as JSON, and whether too many rows are bad. `hear` gets lines and counts meanwhile.
    #[pyo3(signature = (hear=None))]
    fn run(&self, py: Python<'_>, hear: Option<Py<PyAny>>) -> PyResult<(String, bool)> {
        let call = self.call().map_err(|error| raised(py, &error))?;
        let hearing = Hearing::new(hear);
        let caller = hearing.caller();
        let cancel = caller.cancel.clone();
        let (sender, mut done) = sync_channel(1);
        let work = move || {
            // Whoever waits is gone only with the process.
            let _ = sender.send(call.run(caller));
        };
        let thread = thread::Builder::new().name("command".to_owned());
        let thread = thread.spawn(work).map_err(|error| {
            let error = Error::resources("start the thread of the command").source(error);
            raised(py, &error)
        })?;
        let mut stopped = Ok(());
        let answer = loop {
            match wait(py, &mut done) {
                Ok(answer) => break answer,
                Err(RecvTimeoutError::Disconnected) => break Err(panicked()),
                // It is waited for even so: what it has scored by now is being saved.
                Err(RecvTimeoutError::Timeout) if stopped.is_err() => {}
                Err(RecvTimeoutError::Timeout) => {
                    stopped = hearing.look(py);
                    if stopped.is_err() {
                        cancel.cancel();
                    }
                }
            }
        };
        // That it panicked is told by its answer.
        let _ = py.detach(|| thread.join());
        stopped?;
        let answer = answer.map_err(|error| raised(py, &error))?;
        hearing.look(py)?;
        Ok((answer.json, answer.too_many_bad_rows))
    }

    /// Starts it, to be read from.
    #[pyo3(signature = (hear=None))]
    fn rows(&self, py: Python<'_>, hear: Option<Py<PyAny>>) -> PyResult<Rows> {
        let hearing = Hearing::new(hear);
        let started = self
            .call()
            .and_then(|call| call.stream(hearing.caller()))
            .map_err(|error| raised(py, &error))?;
        Ok(Rows::new(started, hearing))
    }
}

impl Job {
    fn call(&self) -> Result<Call> {
        Call::try_new(self.command.as_deref(), &self.paths, &self.options)
    }
}

fn panicked() -> Error {
    Error::internal("finish the command: its thread has stopped")
}
