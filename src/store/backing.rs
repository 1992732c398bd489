//! What a store lies on: a directory, or an object store. What differs between them is decided here.

use std::{path::PathBuf, sync::Arc};

#[cfg(feature = "remote")]
use super::remote::RemoteStore;
use super::{
    DirLock, StoreAt,
    blobs::Blobs,
    claims::{Claim, Claims, FileClaims},
    files::failed,
    local::LocalBlobs,
    manifest::Manifest,
    migrate,
    names::{PARTS, STATE},
};
use crate::error::{Error, Result};

/// What a store lies on.
pub(super) enum Backing {
    Directory(PathBuf),
    #[cfg(feature = "remote")]
    Objects(RemoteStore),
}

/// What keeps others from the state and the derived columns, for as long as it is there.
#[derive(Debug)]
pub(super) enum StateLock {
    Files(DirLock),
    /// Of a writer.
    #[cfg_attr(
        not(feature = "remote"),
        expect(dead_code, reason = "no store has claims on its state")
    )]
    Claimed {
        _claim: Box<dyn Claim>,
    },
    /// For who only looks: nobody is kept from anything.
    Open,
}

impl StateLock {
    /// True for one that [`Backing::exclusive`] gave.
    pub(super) fn is_writers(&self) -> bool {
        match self {
            Self::Files(lock) => lock.is_writers(),
            Self::Claimed { .. } => true,
            Self::Open => false,
        }
    }
}

impl StoreAt {
    /// Opens nothing yet, but for the settings of an object store.
    pub(super) fn backing(&self) -> Result<Backing> {
        match (self.local_path(), self.url()) {
            (Some(path), _) => Ok(Backing::Directory(path.to_path_buf())),
            (None, Some(url)) => self.objects(url),
            (None, None) => Err(Error::internal("find a score store")),
        }
    }

    #[cfg(feature = "remote")]
    fn objects(&self, url: &str) -> Result<Backing> {
        let stores = self.stores().ok_or_else(|| self.unopened())?;
        RemoteStore::open(stores, url).map(Backing::Objects)
    }

    #[cfg(not(feature = "remote"))]
    fn objects(&self, _: &str) -> Result<Backing> {
        Err(self.unopened())
    }

    fn unopened(&self) -> Error {
        Error::usage("open the score store: this host reads no URLs")
            .with("store", self)
            .hint("keep it in a directory of this machine")
    }
}

impl Backing {
    /// The store, of whichever format; `None` where there is none.
    pub(super) fn readable(&self) -> Result<Option<(Arc<dyn Blobs>, Manifest)>> {
        match self {
            Self::Directory(directory) if !directory.is_dir() => Ok(None),
            Self::Directory(directory) => migrate::readable(directory),
            #[cfg(feature = "remote")]
            Self::Objects(store) => {
                let blobs = store.blobs();
                let manifest = Manifest::read(blobs.as_ref())?;
                Ok(manifest.map(|manifest| (blobs, manifest)))
            }
        }
    }

    /// True where there is a manifest, of whatever format.
    pub(super) fn is_store(&self) -> bool {
        match self {
            Self::Directory(directory) => Manifest::is_at(&LocalBlobs::new(directory)),
            #[cfg(feature = "remote")]
            Self::Objects(store) => Manifest::is_at(store.blobs().as_ref()),
        }
    }

    pub(super) fn claims(&self) -> Arc<dyn Claims> {
        match self {
            Self::Directory(directory) => Arc::new(FileClaims::new(directory.join(PARTS))),
            #[cfg(feature = "remote")]
            Self::Objects(store) => store.claims(),
        }
    }

    /// What is written to, in the present format.
    pub(super) fn writable(&self) -> Result<Arc<dyn Blobs>> {
        match self {
            Self::Directory(directory) => {
                let failed = |error| failed(&directory.display(), error);
                std::fs::create_dir_all(directory).map_err(failed)?;
                migrate::migrate(directory)?;
                Ok(Arc::new(LocalBlobs::new(directory)))
            }
            #[cfg(feature = "remote")]
            Self::Objects(store) => store.writable(),
        }
    }

    /// Fails while somebody computes columns or keeps state; where it can, keeps others from that.
    pub(super) fn shared(&self) -> Result<StateLock> {
        match self {
            Self::Directory(directory) => migrate::shared_lock(directory).map(StateLock::Files),
            #[cfg(feature = "remote")]
            Self::Objects(store) => store.wait_for_state().map(|()| StateLock::Open),
        }
    }

    /// As [`Backing::shared`], for who goes on where somebody does.
    pub(super) fn shared_if_free(&self) -> StateLock {
        match self {
            Self::Directory(_) => self.shared().unwrap_or(StateLock::Open),
            #[cfg(feature = "remote")]
            Self::Objects(_) => StateLock::Open,
        }
    }

    /// Nobody else may compute columns or keep state meanwhile.
    pub(super) fn exclusive(&self) -> Result<StateLock> {
        match self {
            Self::Directory(directory) => {
                let state = directory.join(STATE);
                std::fs::create_dir_all(&state).map_err(|error| failed(&state.display(), error))?;
                DirLock::exclusive(&state).map(StateLock::Files)
            }
            #[cfg(feature = "remote")]
            Self::Objects(store) => store
                .claim_state()
                .map(|_claim| StateLock::Claimed { _claim }),
        }
    }

    /// True while somebody has [`Backing::exclusive`].
    pub(super) fn is_exclusive(&self) -> bool {
        match self {
            Self::Directory(directory) => migrate::is_locked(directory),
            #[cfg(feature = "remote")]
            Self::Objects(store) => store.is_state_claimed(),
        }
    }
}
