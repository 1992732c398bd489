//! Rows of a command, batch by batch.

use std::sync::{Mutex, PoisonError};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use clip_filter::{
    cli::call::{Next, RowStream},
    error::{Error, Result},
    sink::ArrowStream,
};
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    errors::raised,
    hearing::{Hearing, LOOK_EVERY},
};

/// Rows of a command that works ahead on threads of its own.
#[pyclass(frozen)]
pub(crate) struct Rows {
    open: Mutex<Option<Open>>,
    hearing: Hearing,
}

struct Open {
    stream: RowStream,
    /// As it was told before the first rows, which may come as views.
    schema: SchemaRef,
}

/// What came next, as Python gets it.
enum Portion {
    Schema(Vec<u8>),
    Rows(Vec<u8>),
    End(String),
    Waiting,
}

impl Rows {
    pub(crate) fn new(stream: RowStream, hearing: Hearing) -> Self {
        Self {
            open: Mutex::new(Some(Open {
                stream,
                schema: Schema::empty().into(),
            })),
            hearing,
        }
    }

    fn portion(&self) -> Result<Portion> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = open.as_mut() else {
            return Err(Error::usage("read from a stream that was closed"));
        };
        Ok(match open.stream.next(LOOK_EVERY)? {
            Next::Schema(schema) => {
                open.schema = schema;
                Portion::Schema(ipc(&open.schema, None)?)
            }
            Next::Rows(batch) => Portion::Rows(ipc(&open.schema, Some(&batch))?),
            Next::End(facts) => Portion::End(facts),
            Next::Waiting => Portion::Waiting,
        })
    }
}

#[pymethods]
impl Rows {
    /// What comes next: `("schema", bytes)`, `("rows", bytes)` or `("end", facts as JSON)`; bytes are an Arrow IPC stream.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<(&'static str, Bound<'py, PyAny>)> {
        let bytes = |bytes: &[u8]| PyBytes::new(py, bytes).into_any();
        loop {
            self.hearing.look(py).inspect_err(|_| self.stop(py))?;
            let portion = py.detach(|| self.portion());
            return Ok(match portion.map_err(|error| raised(py, &error))? {
                Portion::Schema(schema) => ("schema", bytes(&schema)),
                Portion::Rows(rows) => ("rows", bytes(&rows)),
                Portion::End(facts) => {
                    self.hearing.look(py)?;
                    ("end", facts.into_pyobject(py)?.into_any())
                }
                Portion::Waiting => continue,
            });
        }
    }

    /// Stops the command, and waits until it has.
    fn close(&self, py: Python<'_>) {
        self.stop(py);
    }
}

impl Rows {
    fn stop(&self, py: Python<'_>) {
        py.detach(|| {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            drop(open.take());
        });
    }
}

/// An Arrow IPC stream of one batch, or of none.
pub(crate) fn ipc(schema: &Schema, batch: Option<&RecordBatch>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut stream = ArrowStream::try_new(&mut bytes, schema)?;
    if let Some(batch) = batch {
        stream.write(batch)?;
    }
    stream.finish()?;
    drop(stream);
    Ok(bytes)
}
