//! Rows that Python has, scored batch by batch.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
};

use arrow::{array::RecordBatch, compute::concat_batches};
use arrow_ipc::reader::StreamReader;
use clip_filter::{
    cli::call::{Call, Scorers, ScoringCall},
    error::{Error, Result},
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};

use crate::{
    errors::raised,
    hearing::{Hearing, LOOK_EVERY, wait},
    rows::ipc,
    values,
};

/// A model with options, loaded when it is told to.
#[pyclass(frozen)]
pub(crate) struct Scoring {
    call: Arc<ScoringCall>,
    loaded: Mutex<Option<Arc<Scorers>>>,
}

#[pymethods]
impl Scoring {
    /// Checks options and names of columns; no model is looked for.
    #[new]
    fn new(py: Python<'_>, columns: Vec<String>, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let options = values::options(options)?;
        // The main job wants to be told of an input.
        let call = Call::try_new(None, &["-".to_owned()], &options)
            .and_then(|call| call.scoring(&columns))
            .map_err(|error| raised(py, &error))?;
        Ok(Self {
            call: Arc::new(call),
            loaded: Mutex::new(None),
        })
    }

    /// The schema of scored rows, of an Arrow IPC stream as an Arrow IPC stream.
    fn schema<'py>(&self, py: Python<'py>, input: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let schema = read(input).and_then(|rows| {
            let schema = self.call.schema(&rows.schema())?;
            ipc(&schema, None)
        });
        let schema = schema.map_err(|error| raised(py, &error))?;
        Ok(PyBytes::new(py, &schema))
    }

    /// Loads the model, unless it is loaded. A call that is interrupted leaves the thread to its end: nobody can stop it.
    #[pyo3(signature = (hear=None))]
    fn load(&self, py: Python<'_>, hear: Option<Py<PyAny>>) -> PyResult<()> {
        if self.scorers().is_some() {
            return Ok(());
        }
        let hearing = Hearing::new(hear);
        let (call, caller) = (Arc::clone(&self.call), hearing.caller());
        let (sender, mut done) = sync_channel(1);
        let work = move || {
            // Whoever waited was interrupted.
            let _ = sender.send(call.load(caller));
        };
        let thread = thread::Builder::new().name("load".to_owned()).spawn(work);
        thread.map_err(|error| {
            let error = Error::resources("start the thread that loads the model").source(error);
            raised(py, &error)
        })?;
        loop {
            match wait(py, &mut done) {
                Ok(loaded) => {
                    let loaded = loaded.map_err(|error| raised(py, &error))?;
                    *self.lock() = Some(Arc::new(loaded));
                    return hearing.look(py);
                }
                Err(RecvTimeoutError::Timeout) => hearing.look(py)?,
                Err(RecvTimeoutError::Disconnected) => {
                    let error = Error::internal("load the model: its thread has stopped");
                    return Err(raised(py, &error));
                }
            }
        }
    }

    /// Rows of an Arrow IPC stream with the columns added, as an Arrow IPC stream.
    #[pyo3(signature = (rows, hear=None))]
    fn score<'py>(
        &self,
        py: Python<'py>,
        rows: &[u8],
        hear: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let hearing = Hearing::new(hear);
        let failed = |error: Error| raised(py, &error);
        let scorers = self
            .scorers()
            .ok_or_else(|| failed(Error::usage("score rows: the model is not loaded")))?;
        let rows = py.detach(|| read(rows)).map_err(failed)?;
        let mut pending = scorers.start(rows);
        loop {
            hearing.look(py)?;
            let scored = py.detach(|| {
                // Borrowed alone, so that it can be waited for without the interpreter's lock.
                let pending = &mut pending;
                let scored = pending.wait(LOOK_EVERY)?;
                let encoded = scored.map(|rows| ipc(&rows.schema(), Some(&rows)));
                encoded.transpose()
            });
            if let Some(bytes) = scored.map_err(failed)? {
                return Ok(PyBytes::new(py, &bytes));
            }
        }
    }
}

impl Scoring {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Scorers>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scorers(&self) -> Option<Arc<Scorers>> {
        self.lock().clone()
    }
}

/// All rows of an Arrow IPC stream.
fn read(stream: &[u8]) -> Result<RecordBatch> {
    let failed = |error| Error::input("read rows as an Arrow stream").source(error);
    let reader = StreamReader::try_new(stream, None).map_err(failed)?;
    let schema = reader.schema();
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>();
    concat_batches(&schema, &batches.map_err(failed)?).map_err(failed)
}
