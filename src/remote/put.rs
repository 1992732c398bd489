//! What is put at the URL of a store, and on what conditions.

use bytes::Bytes;
use object_store::{
    Error as StoreError, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};

use super::{Object, Upload, address::StoreKind};
use crate::error::{ErrorKind, Result};

/// Times that a store is tried before it is said to ignore conditions.
const PROBES: u32 = 8;

/// When to put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put<'a> {
    /// Whatever is there.
    Always,
    /// Only where nothing is.
    IfNew,
    /// Only over this version.
    Over(&'a str),
}

impl Object {
    /// Puts `bytes` there; false if the condition does not hold.
    ///
    /// # Errors
    /// When they cannot be put.
    pub fn put(&self, bytes: impl Into<Bytes>, when: Put<'_>) -> Result<bool> {
        let mode = match when {
            Put::Always => PutMode::Overwrite,
            Put::IfNew => PutMode::Create,
            // Google's conditions are on numbers of generations.
            Put::Over(version) => PutMode::Update(match self.bucket().kind {
                StoreKind::Gcs => UpdateVersion {
                    e_tag: None,
                    version: Some(version.to_owned()),
                },
                _ => UpdateVersion {
                    e_tag: Some(version.to_owned()),
                    version: None,
                },
            }),
        };
        let (store, key) = self.with_key();
        let payload = PutPayload::from_bytes(bytes.into());
        let put =
            self.wait(async move { store.put_opts(&key, payload, PutOptions::from(mode)).await })?;
        match put {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(false),
            // What was to be replaced is gone.
            Err(StoreError::NotFound { .. }) if matches!(when, Put::Over(_)) => Ok(false),
            Err(error) => Err(self.failed(ErrorKind::Output, "write to the object store", error)),
        }
    }

    /// Begins an upload in parts: nothing is visible before it is completed.
    ///
    /// # Errors
    /// When the store takes none.
    pub fn upload(&self) -> Result<Upload> {
        Upload::begin(self.clone())
    }

    /// Removes it, if it is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self) -> Result<()> {
        let (store, key) = self.with_key();
        match self.wait(async move { store.delete(&key).await })? {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => {
                Err(self.failed(ErrorKind::Output, "remove from the object store", error))
            }
        }
    }

    /// Whether the store heeds conditions of a put. Found out once per bucket: `probe`, which is this object, is put where
    /// it already is, and removed.
    ///
    /// # Errors
    /// When the store cannot be written to.
    pub fn honours_conditions(&self) -> Result<bool> {
        if let Some(known) = self.bucket().conditions.get() {
            return Ok(*known);
        }
        self.put(&b"1"[..], Put::Always)?;
        let mut heeded = false;
        // Whoever sweeps up behind a killed process may have taken it away.
        for _ in 0..PROBES {
            heeded = !self.put(&b"2"[..], Put::IfNew)?;
            if heeded {
                break;
            }
        }
        self.remove()?;
        Ok(*self.bucket().conditions.get_or_init(|| heeded))
    }
}
