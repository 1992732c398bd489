//! Rows of shards for a training loop.

use std::sync::{Mutex, PoisonError};

use clip_filter::{
    cli::call::{Call, OpenShards, Pictures, ShardRows},
    preprocess::RowFault,
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};

use crate::{errors::raised, rows::ipc, values};

/// Shards whose footers were read.
#[pyclass(frozen)]
pub(crate) struct Shards {
    open: OpenShards,
    pictures: Mutex<Pictures>,
}

/// Rows of one shard, batch by batch.
#[pyclass(frozen)]
pub(crate) struct RowsOfShard {
    rows: Mutex<ShardRows>,
}

#[pymethods]
impl Shards {
    /// Opens what the paths name; pictures are square ones of `edge_px` where that is given.
    #[new]
    fn new(
        py: Python<'_>,
        paths: Vec<String>,
        edge_px: Option<u32>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let options = values::options(options)?;
        let open = || {
            let open = Call::try_new(None, &paths, &options)?.shards()?;
            let pictures = Mutex::new(open.pictures(edge_px)?);
            Ok(Self { open, pictures })
        };
        py.detach(open).map_err(|error| raised(py, &error))
    }

    /// Name, fingerprint and number of rows of each shard.
    fn shards(&self) -> Vec<(String, String, u64)> {
        let shards = self.open.shards().iter();
        shards
            .map(|shard| {
                let name = shard.location.name().to_owned();
                (name, shard.fingerprint.clone(), shard.rows)
            })
            .collect()
    }

    /// What should be told of files that are not among them.
    fn told(&self) -> Vec<String> {
        self.open.told()
    }

    /// All columns, as an Arrow IPC stream.
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let schema = ipc(&self.open.schema(), None).map_err(|error| raised(py, &error))?;
        Ok(PyBytes::new(py, &schema))
    }

    /// The column of pictures.
    fn image(&self) -> Option<&str> {
        self.open.image()
    }

    /// Rows of a shard from the row `first` on, with `__row`.
    fn read(
        &self,
        py: Python<'_>,
        shard: usize,
        first: u64,
        columns: Vec<String>,
    ) -> PyResult<RowsOfShard> {
        let rows = py.detach(|| self.open.read(shard, first, &columns));
        Ok(RowsOfShard {
            rows: Mutex::new(rows.map_err(|error| raised(py, &error))?),
        })
    }

    /// The picture file that a row names: bytes, or the status of a bad row.
    fn file<'py>(&self, py: Python<'py>, shard: u32, path: &str) -> Given<'py> {
        let read = py.detach(|| self.lock().file(shard, path));
        given(py, read)
    }

    /// Why a picture is none, by its header: the status of a bad row.
    fn fault(&self, bytes: &[u8]) -> Option<&'static str> {
        let checked = self.lock().check(bytes);
        checked.err().map(|fault| fault.status.as_str())
    }

    /// A picture as edge x edge x 3 bytes, rows from the top, channels R G B; or the status of a bad row.
    fn pixels<'py>(&self, py: Python<'py>, bytes: &[u8]) -> Given<'py> {
        let made = py.detach(|| self.lock().pixels(bytes));
        given(py, made)
    }
}

/// Bytes, or the status of a bad row.
type Given<'py> = (Option<Bound<'py, PyBytes>>, Option<&'static str>);

fn given<'py>(py: Python<'py>, made: Result<Vec<u8>, RowFault>) -> Given<'py> {
    match made {
        Ok(bytes) => (Some(PyBytes::new(py, &bytes)), None),
        Err(fault) => (None, Some(fault.status.as_str())),
    }
}

impl Shards {
    fn lock(&self) -> std::sync::MutexGuard<'_, Pictures> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl RowsOfShard {
    /// The next rows as an Arrow IPC stream; None at the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        py.check_signals()?;
        let bytes = py.detach(|| {
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            let batch = rows.next_batch()?;
            batch
                .map(|batch| ipc(&batch.schema(), Some(&batch)))
                .transpose()
        });
        let bytes = bytes.map_err(|error| raised(py, &error))?;
        Ok(bytes.map(|bytes| PyBytes::new(py, &bytes)))
    }
}
