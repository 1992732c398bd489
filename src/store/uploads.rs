//! Blobs on their way into an object store: small ones in one request, large ones in parts.
//!
//! An upload that a killed process has left cannot be listed by every store, and costs money. It is noted in the store
//! under the name of its blob, before its first byte is sent; whoever writes that blob takes it back first.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{names, remote::RemoteBlobs};
use crate::{
    error::{Error, Result},
    remote::{Object, Put, Upload, Uploaded},
};

/// Up to here a blob is put in one request.
const ONE_REQUEST_BYTES: usize = 16 << 20;

/// What is noted of an upload.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// What the store knows it by.
    upload: String,
}

/// Takes the content of a blob; nothing is left of it unless it is finished.
pub(super) struct BlobWriter<'a> {
    blobs: &'a RemoteBlobs,
    name: &'a str,
    object: Object,
    gathered: Vec<u8>,
    upload: Option<Upload>,
}

impl<'a> BlobWriter<'a> {
    pub(super) fn new(blobs: &'a RemoteBlobs, name: &'a str) -> Result<Self> {
        Ok(Self {
            blobs,
            name,
            object: blobs.object(name)?,
            gathered: Vec::new(),
            upload: None,
        })
    }

    /// Begins an upload with what was gathered.
    fn begin(&mut self) -> Result<&mut Upload> {
        take_back(self.blobs, self.name)?;
        let mut upload = self.object.upload()?;
        let note = serde_json::to_vec(&Note {
            upload: upload.id()?,
        })
        .map_err(|error| Error::internal("note an upload").source(error))?;
        self.blobs
            .object(&names::upload(self.name))?
            .put(note, Put::Always)?;
        let gathered = std::mem::take(&mut self.gathered);
        upload
            .write_all(&gathered)
            .map_err(|error| super::files::failed(&self.object.url(), error))?;
        Ok(self.upload.insert(upload))
    }

    /// Makes the blob visible.
    pub(super) fn finish(mut self) -> Result<()> {
        let Some(upload) = self.upload.take() else {
            let gathered = std::mem::take(&mut self.gathered);
            return self.object.put(gathered, Put::Always).map(drop);
        };
        let uploaded = upload.close()?;
        let completed = uploaded.complete(&self.object);
        if completed.is_err() {
            uploaded.abort(&self.object);
        }
        let forgotten = self.blobs.object(&names::upload(self.name))?.remove();
        completed.and(forgotten)
    }
}

impl Drop for BlobWriter<'_> {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            // Aborts it.
            drop(upload);
            let noted = self.blobs.object(&names::upload(self.name));
            // A leftover leads to an upload that is gone.
            let _ = noted.and_then(|noted| noted.remove());
        }
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(upload) = &mut self.upload {
            return upload.write(bytes);
        }
        if self.gathered.len() + bytes.len() <= ONE_REQUEST_BYTES {
            self.gathered.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        self.begin().map_err(io::Error::other)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Aborts the upload that is noted of a blob, if there is one.
pub(super) fn take_back(blobs: &RemoteBlobs, name: &str) -> Result<()> {
    let noted = blobs.object(&names::upload(name))?;
    let Some((bytes, _)) = noted.read_all()? else {
        return Ok(());
    };
    if let Ok(note) = serde_json::from_slice::<Note>(&bytes) {
        Uploaded::known_by(&note.upload).abort(&blobs.object(name)?);
    }
    noted.remove()
}
