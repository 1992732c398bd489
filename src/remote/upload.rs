//! Uploads in parts, which another process may complete.

use std::{
    io::{self, Write},
    sync::Arc,
};

use bytes::Bytes;
use object_store::{
    Error as StoreError, PutPayload,
    multipart::{MultipartStore, PartId},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Facts, Object};
use crate::error::{Error, ErrorKind, Result};

/// Size of a part: stores take up to 10,000 of them, all but the last of one size, each at least 5 MiB.
const PART_BYTES: usize = 16 << 20;
/// Bytes that an upload under way holds: what is gathered and what is sent.
pub const UPLOAD_BYTES: u64 = 2 * PART_BYTES as u64;

/// An upload under way. Dropped before it is closed it is aborted, so that nothing of it is kept and paid for.
pub struct Upload {
    object: Object,
    parts: Arc<dyn MultipartStore>,
    /// Begun with the first full part.
    id: Option<String>,
    sent: Vec<String>,
    gathered: Vec<u8>,
    /// One part is on its way while the next is gathered.
    under_way: Option<oneshot::Receiver<Result<PartId, StoreError>>>,
}

/// What was uploaded and is not visible yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// What the store knows the upload by.
    pub id: String,
    /// What it knows the parts by, in order.
    pub parts: Vec<String>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("object", &self.object)
            .finish()
    }
}

impl Upload {
    pub(super) fn begin(object: Object) -> Result<Self> {
        let parts = parts_of(&object)?;
        Ok(Self {
            object,
            parts,
            id: None,
            sent: Vec::new(),
            gathered: Vec::new(),
            under_way: None,
        })
    }

    /// The upload's id at the store; begins it if need be.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn id(&mut self) -> Result<String> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let (parts, key) = (Arc::clone(&self.parts), self.object.key().clone());
        let begun = self
            .object
            .wait(async move { parts.create_multipart(&key).await })?;
        let id = begun.map_err(|error| self.failed("begin an upload", error))?;
        self.id = Some(id.clone());
        Ok(id)
    }

    fn send(&mut self, bytes: Bytes) -> Result<()> {
        let id = self.id()?;
        self.settle()?;
        let (parts, key) = (Arc::clone(&self.parts), self.object.key().clone());
        let place = self.sent.len();
        let (give, take) = oneshot::channel();
        self.object.bucket().waiting.start(async move {
            let payload = PutPayload::from_bytes(bytes);
            let sent = parts.put_part(&key, &id, place, payload).await;
            let _ = give.send(sent);
        })?;
        self.under_way = Some(take);
        Ok(())
    }

    /// Waits for the part that is on its way.
    fn settle(&mut self) -> Result<()> {
        let Some(under_way) = self.under_way.take() else {
            return Ok(());
        };
        let part = self.object.wait(under_way)?;
        let gone = |error| Error::internal("upload a part").source(error);
        let part = part.map_err(gone)?;
        let part = part.map_err(|error| self.failed("upload a part", error))?;
        self.sent.push(part.content_id);
        Ok(())
    }

    /// Waits until the store has every part. Nothing is visible yet.
    ///
    /// # Errors
    /// When a part cannot be uploaded.
    pub fn close(mut self) -> Result<Uploaded> {
        if !self.gathered.is_empty() || self.id.is_none() {
            let last = std::mem::take(&mut self.gathered);
            self.send(last.into())?;
        }
        self.settle()?;
        let id = self.id()?;
        // What was closed is not aborted.
        self.id = None;
        Ok(Uploaded {
            id,
            parts: std::mem::take(&mut self.sent),
        })
    }

    fn failed(&self, doing: &str, error: StoreError) -> Error {
        self.object.failed(ErrorKind::Output, doing, error)
    }
}

impl Uploaded {
    /// One of which only the id is known: it can be aborted.
    pub fn known_by(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            parts: Vec::new(),
        }
    }

    /// False if an object of these facts was certainly not made by this upload: where etags are those of Amazon, each of
    /// an upload ends in the number of its parts.
    pub fn may_be(&self, facts: &Facts) -> bool {
        let version = facts.version.as_deref().unwrap_or_default();
        let parts = version
            .trim_matches('"')
            .rsplit_once('-')
            .map(|(_, parts)| parts);
        let parts = parts.and_then(|parts| parts.parse::<usize>().ok());
        parts.is_none_or(|parts| parts == self.parts.len())
    }

    /// Makes the object visible. To do it again is no error, as long as what was made visible is there.
    ///
    /// # Errors
    /// When the store cannot, or the upload is gone.
    pub fn complete(&self, object: &Object) -> Result<()> {
        let (store, key, id) = (parts_of(object)?, object.key().clone(), self.id.clone());
        let parts = self.parts.iter().map(|content_id| PartId {
            content_id: content_id.clone(),
        });
        let parts = parts.collect();
        let done = object.wait(async move { store.complete_multipart(&key, &id, parts).await })?;
        done.map(drop)
            .map_err(|error| object.failed(ErrorKind::Output, "complete an upload", error))
    }

    /// Leaves nothing of it; silent where it is gone already.
    pub fn abort(&self, object: &Object) {
        if let Ok(store) = parts_of(object) {
            let (key, id) = (object.key().clone(), self.id.clone());
            let _ = object.wait(async move { store.abort_multipart(&key, &id).await });
        }
    }
}

fn parts_of(object: &Object) -> Result<Arc<dyn MultipartStore>> {
    let parts = object.bucket().parts.clone();
    parts.ok_or_else(|| {
        let why = object.read_only().unwrap_or("nothing is uploaded there");
        Error::usage(format!("write the output: {why}"))
            .with("url", crate::secrets::without_credentials(object.url()))
            .hint(object.instead())
    })
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART_BYTES - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..taken]);
        if self.gathered.len() == PART_BYTES {
            let full = std::mem::replace(&mut self.gathered, Vec::with_capacity(PART_BYTES));
            self.send(full.into()).map_err(io::Error::other)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // A part that is on its way would be kept beside an upload that is gone.
        let _ = self.settle();
        if let Some(id) = self.id.take() {
            Uploaded::known_by(&id).abort(&self.object);
        }
    }
}
