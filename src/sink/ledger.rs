//! What a run has staged, written down between the moment when all of it is safe and the moment when all is visible.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Fate, OutputPlaces, Pending, Staged, local::sync_directory};
use crate::error::{Error, Result};

/// The outputs of a run, in the order in which they become visible, with a note of whoever staged them.
///
/// Several outputs, at several kinds of places, cannot become visible in one step. What can be had is that a process
/// which dies among them leaves the list, so that the next one makes the rest visible.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ledger<N> {
    /// What the next process has to know.
    pub note: N,
    /// What is to become visible.
    pub outputs: Vec<Pending>,
}

impl<N> Ledger<N> {
    /// What has become of the outputs, in their order.
    ///
    /// # Errors
    /// When a place is unknown or cannot be looked at.
    pub fn fates(&self, places: &OutputPlaces) -> Result<Vec<(&Pending, Fate)>> {
        let fate = |pending| Ok((pending, fate(pending, places)?));
        self.outputs.iter().map(fate).collect()
    }

    /// Makes everything visible that is not.
    ///
    /// # Errors
    /// Where one cannot be; those after it are not tried, and all may be tried again.
    pub fn finish(&self, places: &OutputPlaces) -> Result<()> {
        for pending in &self.outputs {
            if fate(pending, places)? != Fate::Visible {
                places.of(pending.destination.path())?.finish(pending)?;
            }
        }
        Ok(())
    }

    /// Leaves nothing of what is not visible, where its place can be reached.
    pub fn abort(&self, places: &OutputPlaces) {
        for pending in &self.outputs {
            let Ok(commit) = places.of(pending.destination.path()) else {
                continue;
            };
            if matches!(commit.fate(pending), Ok(Fate::Staged)) {
                commit.abort(pending);
            }
        }
    }
}

fn fate(pending: &Pending, places: &OutputPlaces) -> Result<Fate> {
    places.of(pending.destination.path())?.fate(pending)
}

impl<N: Serialize + DeserializeOwned> Ledger<N> {
    /// Writes the list to `path`; from then on whoever reads it is to finish or to abort what is `staged`.
    ///
    /// # Errors
    /// When the disk is full; nothing is left of the outputs then.
    pub fn write(path: &Path, note: N, staged: Vec<Staged>) -> Result<Self> {
        let ledger = Self {
            note,
            outputs: staged.iter().map(|one| one.pending().clone()).collect(),
        };
        let text = serde_json::to_vec(&ledger)
            .map_err(|error| Error::internal("write the list of outputs").source(error))?;
        write_synced(path, &text)?;
        staged.into_iter().for_each(Staged::settle);
        Ok(ledger)
    }

    /// The list at `path`; `None` if there is none, or one that another version wrote.
    pub fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read(path).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Writes `bytes` to `path`, in one step, and waits until they are safe.
pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        Error::output("write a file")
            .with("file", path.display())
            .source(error)
            .hint("free space there")
    })?;
    if let Some(parent) = path.parent() {
        sync_directory(parent);
    }
    Ok(())
}
