//! Object stores: the one room that knows of them, behind calls that wait.
//!
//! [`ObjectStores`] finds the bucket of a URL and keeps what it has found; an [`Object`] is one URL of it: its facts, ranges of
//! it, what is put there or uploaded in parts, what lies below it. Waiting is done here, on threads of this room, so that
//! the rooms above stay as they are for files.
//!
//! | URL | store | credentials |
//! |---|---|---|
//! | `s3://bucket/key`, `s3a://` | S3 and what speaks its language | `AWS_*` |
//! | `gs://bucket/key` | Google Cloud Storage | `GOOGLE_*` |
//! | `az://container/blob`, `abfs(s)://container@account.dfs.core.windows.net/blob` | Azure | `AZURE_*` |
//! | `hf://datasets/user/repo[@revision]/path` | a dataset of the Hugging Face hub: nothing written | `HF_TOKEN`, or what a login left |
//! | `https://host/path` | any web server: that file, nothing listed, nothing written | none, or in the URL |
//!
//! Variables are those of object_store's builders, and for the hub those of `huggingface_hub`. Tokens go to no other host: who signs follows a
//! redirect on the same host only. Plain
//! `http` is for this machine, unless `AWS_ALLOW_HTTP` or its like insists.
//!
//! # Why conditions, and no renaming?
//! No store renames. What several processes may do at a time is put only if nothing is there, or if what is there is what
//! was read; [`Object::honours_conditions`] finds out once whether the store heeds that.

mod address;
mod bucket;
mod connector;
mod failure;
mod hub;
mod listing;
mod object;
mod put;
mod upload;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
};

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};
use address::Address;
use bucket::Bucket;
pub use object::{Facts, Object};
pub use put::Put;
pub use upload::{UPLOAD_BYTES, Upload, Uploaded};

/// Schemes of URLs that lead here.
pub const SCHEMES: [&str; 10] = [
    "s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "hf", "https", "http",
];
/// Threads that wait for answers; work is done elsewhere.
const THREADS: usize = 2;

/// The object stores that URLs name, each opened once.
pub struct ObjectStores {
    waiting: Arc<Waiting>,
    buckets: Mutex<HashMap<String, Arc<Bucket>>>,
}

impl std::fmt::Debug for ObjectStores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ObjectStores")
    }
}

impl ObjectStores {
    /// With credentials and settings from this process's environment, which is read with the first object of a bucket.
    pub fn from_environment() -> Arc<Self> {
        Arc::new(Self {
            waiting: Arc::default(),
            buckets: Mutex::default(),
        })
    }

    /// What a URL names, whether or not it is there; the store is not asked.
    ///
    /// # Errors
    /// When the URL is not one of these stores', or what the environment says of the store makes no sense.
    pub fn object(&self, url: &str) -> Result<Object> {
        let address = Address::of(url)?;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = match buckets.get(&address.bucket) {
            Some(bucket) => Arc::clone(bucket),
            None => {
                let bucket = Arc::new(Bucket::open(&address, &self.waiting)?);
                buckets.insert(address.bucket.clone(), Arc::clone(&bucket));
                bucket
            }
        };
        Ok(Object::new(bucket, url, address.key))
    }
}

#[cfg(test)]
impl ObjectStores {
    /// The bucket `s3://memory` in memory.
    pub(crate) fn in_memory() -> Arc<Self> {
        let stores = Self::from_environment();
        let bucket = Arc::new(Bucket::in_memory(&stores.waiting));
        let mut buckets = stores.buckets.lock().unwrap();
        buckets.insert("s3://memory".to_owned(), bucket);
        drop(buckets);
        stores
    }

    /// The same, found to ignore conditions.
    pub(crate) fn in_memory_without_conditions() -> Arc<Self> {
        let stores = Self::in_memory();
        let buckets = stores.buckets.lock().unwrap();
        buckets["s3://memory"].conditions.set(false).unwrap();
        drop(buckets);
        stores
    }
}

/// Threads on which answers are waited for; they start with the first question.
#[derive(Default)]
struct Waiting(OnceLock<Runtime>);

impl Waiting {
    fn runtime(&self) -> std::io::Result<&Runtime> {
        if self.0.get().is_none() {
            let runtime = Builder::new_multi_thread()
                .worker_threads(THREADS)
                .thread_name("object-store")
                .enable_all()
                .build()?;
            if let Err(second) = self.0.set(runtime) {
                second.shutdown_background();
            }
        }
        self.0
            .get()
            .ok_or_else(|| std::io::Error::other("no threads for object stores"))
    }

    /// What `work` comes to. Blocks this thread, whatever else runs on it.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> std::io::Result<T> {
        let gone = || std::io::Error::other("the threads of object stores are gone");
        let (give, take) = mpsc::sync_channel(1);
        self.runtime()?.spawn(async move {
            // Who does not wait any more does not need it.
            let _ = give.send(work.await);
        });
        take.recv().map_err(|_| gone())
    }
}

impl Waiting {
    /// Begins `work`; nobody waits here.
    fn start(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let failed = |error| Error::internal("start threads for object stores").source(error);
        self.runtime().map_err(failed)?.spawn(work);
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Also where the last user is a task of another runtime, which may not block.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
