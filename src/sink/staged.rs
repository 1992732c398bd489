//! An output under way, which leaves nothing unless it is finished: whole, as one file, or as bytes at once.

use std::{
    fs::File,
    io::{BufWriter, Write},
    sync::Arc,
};

use super::{
    Commit, Destination, LeftShare, OutputPlaces, Part, PartPlace, Pending, Placement, ShareFacts,
    WrittenPart,
};
use crate::error::{Error, Result};

/// Bytes gathered before a write.
const BUFFER_BYTES: usize = 1 << 18;

/// An output that is not visible yet; aborted unless it is finished or left to a [`super::Ledger`].
#[derive(Debug)]
pub struct Staged {
    commit: Arc<dyn Commit>,
    pending: Pending,
    /// Tells others that this process lives.
    _held: Option<File>,
    /// Nothing of it may be removed any more.
    settled: bool,
}

impl Staged {
    pub(super) fn new(commit: Arc<dyn Commit>, pending: Pending) -> Self {
        Self {
            _held: commit.hold(&pending),
            commit,
            pending,
            settled: false,
        }
    }

    /// Begins a part at this place; several may be under way at a time, each is given back with
    /// [`Staged::add`] once it is closed.
    ///
    /// # Errors
    /// As [`Commit::part`].
    pub fn part<'a>(&self, place: impl Into<PartPlace<'a>>) -> Result<Box<dyn Part>> {
        self.commit.part(&self.pending, place.into())
    }

    /// Bytes that a part under way holds in memory.
    pub fn part_bytes(&self) -> u64 {
        self.commit.part_bytes()
    }

    /// Takes a part that is closed into the output.
    pub fn add(&mut self, part: WrittenPart) {
        let parts = &mut self.pending.parts;
        let place = parts.partition_point(|known| known.number < part.number);
        parts.insert(place, part);
    }

    /// Where it will be.
    pub fn destination(&self) -> &Destination {
        &self.pending.destination
    }

    /// What is needed to finish it.
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// The final names of the parts written so far.
    pub fn outputs(&self) -> Vec<String> {
        self.pending
            .parts
            .iter()
            .map(|part| part.name.clone())
            .collect()
    }

    /// Leaves it as it is to whoever knows of it.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }

    /// Leaves it as a share of an output to whoever puts all of them together.
    ///
    /// # Errors
    /// When that cannot be noted; nothing of it is left then.
    pub fn leave(self, facts: ShareFacts) -> Result<()> {
        let shares = self.commit.shares();
        let shares = shares.ok_or_else(|| Error::internal("leave a share of this output"))?;
        shares.leave(&LeftShare {
            facts,
            pending: self.pending.clone(),
        })?;
        self.settle();
        Ok(())
    }

    /// Makes it visible; the final names of its parts.
    ///
    /// # Errors
    /// As [`Commit::finish`]; nothing of it is left then.
    pub fn finish(mut self) -> Result<Vec<String>> {
        self.commit.finish(&self.pending)?;
        self.settled = true;
        Ok(self.outputs())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.settled {
            self.commit.abort(&self.pending);
        }
    }
}

/// One file of any format; nothing is left of it unless it is finished.
pub struct StagedFile {
    // Before `staged`, which removes the file.
    file: BufWriter<Box<dyn Part>>,
    staged: Staged,
}

impl StagedFile {
    /// Starts the file.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn create(places: &OutputPlaces, placement: &Placement<'_>) -> Result<Self> {
        let staged = places.stage(placement)?;
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER_BYTES, staged.part(0)?),
            staged,
        })
    }

    /// Waits until the file is safe; it is not visible yet.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn close(self) -> Result<Staged> {
        let Self { file, mut staged } = self;
        let part = file.into_inner().map_err(|error| {
            Error::output("write the output")
                .with("output", staged.destination())
                .source(error.into_error())
                .hint("free space there, or write elsewhere")
        })?;
        staged.add(part.close()?);
        Ok(staged)
    }

    /// Makes the file visible.
    ///
    /// # Errors
    /// When the disk is full or renaming fails.
    pub fn finish(self) -> Result<()> {
        self.close()?.finish().map(drop)
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// One file that holds `bytes`, whole and safe, and not visible yet.
///
/// # Errors
/// When the disk is full.
pub fn stage_bytes(
    places: &OutputPlaces,
    placement: &Placement<'_>,
    bytes: &[u8],
) -> Result<Staged> {
    let mut file = StagedFile::create(places, placement)?;
    file.write_all(bytes).map_err(|error| {
        Error::output("write a file")
            .with("file", placement.destination)
            .source(error)
            .hint("free space there")
    })?;
    file.close()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Existing, Owner};

    #[test]
    fn a_file_appears_when_it_is_finished_and_leaves_nothing_when_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let places = OutputPlaces::default();
        let placement = Placement {
            destination: &Destination::file(path.clone()),
            existing: Existing::Kept,
            owner: Owner::Process,
        };
        let mut dropped = StagedFile::create(&places, &placement).unwrap();
        dropped.write_all(b"half").unwrap();
        drop(dropped);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut file = StagedFile::create(&places, &placement).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
