//! Parts on their way to an object store: noted before their first byte is sent, completed by whoever finishes the output.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Part, Pending, WrittenPart, commit::UPLOADS};
use crate::{
    digest::hex,
    error::{Error, Result},
    remote::{Object, ObjectStores, Upload, Uploaded},
};

/// What an output is known by.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Token {
    /// Part of the names of its parts.
    pub(super) name: String,
    /// Where uploads under way are noted.
    pub(super) notes: Option<PathBuf>,
}

impl Token {
    /// As [`Pending`] has it.
    pub(super) fn noted(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal("note an output").source(error))
    }
}

/// What completes a part.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seal {
    pub(super) upload: Uploaded,
    pub(super) size_bytes: u64,
}

/// What a pending output is known by.
pub(super) fn token(pending: &Pending) -> Result<Token> {
    serde_json::from_str(&pending.token)
        .map_err(|error| Error::internal("read what an output is known by").source(error))
}

/// What completes a part that was written.
pub(super) fn seal(part: &WrittenPart) -> Result<Seal> {
    serde_json::from_str(&part.seal)
        .map_err(|error| Error::internal("read what completes a part").source(error))
}

/// Whether the object of a part is there, whole.
pub(super) fn is_there(object: &Object, seal: &Seal) -> Result<bool> {
    let facts = object.facts()?;
    Ok(
        facts
            .is_some_and(|facts| facts.size_bytes == seal.size_bytes && seal.upload.may_be(&facts)),
    )
}

/// Completes the upload of a part, if nobody has yet.
pub(super) fn complete(object: &Object, seal: &Seal) -> Result<()> {
    match seal.upload.complete(object) {
        Err(error) if !is_there(object, seal)? => Err(error),
        _ => Ok(()),
    }
}

/// The file in which uploads of an output are noted.
pub(super) fn notes_of(directory: &Path, output: &Object) -> PathBuf {
    let hash = hex(&Sha256::digest(output.url())[..8]);
    directory.join(format!("{UPLOADS}{hash}"))
}

/// Notes an upload, so that it is found after a kill.
fn note(notes: &Path, object: &Object, id: &str) -> Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(notes);
    let noted = file.and_then(|mut file| {
        writeln!(file, "{id}\t{}", object.url())?;
        file.sync_data()
    });
    noted.map_err(|error| {
        Error::output("note an upload")
            .with("file", notes.display())
            .source(error)
            .hint("free space there")
    })
}

/// Aborts what was noted, and says which objects that would have become.
pub(super) fn take_back(stores: &ObjectStores, notes: &Path) -> Result<Vec<Object>> {
    let Ok(noted) = std::fs::read_to_string(notes) else {
        return Ok(Vec::new());
    };
    let mut objects = Vec::new();
    for (id, url) in noted.lines().filter_map(|line| line.split_once('\t')) {
        let object = stores.object(url)?;
        Uploaded::known_by(id).abort(&object);
        objects.push(object);
    }
    let _ = std::fs::remove_file(notes);
    Ok(objects)
}

/// Forgets the uploads of an output, none of which is under way any more.
pub(super) fn forget(pending: &Pending) {
    if let Ok(Token {
        notes: Some(notes), ..
    }) = token(pending)
    {
        let _ = std::fs::remove_file(notes);
    }
}

/// A part on its way to the store.
pub(super) struct RemotePart {
    upload: Upload,
    size_bytes: u64,
    number: usize,
    name: String,
}

impl RemotePart {
    /// Begins the upload of a part, noted in `notes`.
    pub(super) fn begin(object: &Object, number: usize, notes: Option<&Path>) -> Result<Self> {
        let mut upload = object.upload()?;
        if let Some(notes) = notes {
            note(notes, object, &upload.id()?)?;
        }
        Ok(Self {
            upload,
            size_bytes: 0,
            number,
            name: object.url().to_owned(),
        })
    }
}

impl Write for RemotePart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.upload.write(bytes)?;
        self.size_bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Part for RemotePart {
    fn close(self: Box<Self>) -> Result<WrittenPart> {
        let seal = Seal {
            size_bytes: self.size_bytes,
            upload: self.upload.close()?,
        };
        let seal = serde_json::to_string(&seal)
            .map_err(|error| Error::internal("note an upload").source(error))?;
        Ok(WrittenPart {
            number: self.number,
            name: self.name,
            seal,
        })
    }
}
