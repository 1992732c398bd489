//! Where a store keeps its named blobs: the seam behind which a directory lies, or an object store.
//!
//! A name has `/` between its folders. A blob that is there is whole. Nothing here renames: what an object store
//! cannot do is not asked for.

use std::{fmt, io::Write};

use crate::{error::Result, source::ShardBytes};

/// What a Parquet blob is read from, in ranges.
pub(super) type BlobFile = ShardBytes;

/// Writes the content of a blob.
pub(super) type WriteBlob<'a> = &'a mut dyn FnMut(&mut (dyn Write + Send)) -> Result<()>;

/// Makes of what a blob holds what it is to hold; `None` leaves it as it is.
pub(super) type ChangeBlob<'a> = &'a mut dyn FnMut(Option<&[u8]>) -> Result<Option<Vec<u8>>>;

/// What a power cut leaves of a blob that was put before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// All of it, under its name.
    Named,
    /// All of it or nothing.
    Whole,
    /// Perhaps half of it: it can be made again, and who reads it can tell.
    Remade,
}

/// Named blobs. Several processes may use the same.
pub(super) trait Blobs: fmt::Debug + Send + Sync {
    /// Where a blob is, for a person.
    fn place(&self, name: &str) -> String;

    /// The size of a blob in bytes; `None` if there is none of that name.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn size(&self, name: &str) -> Result<Option<u64>>;

    /// The content of a small blob; `None` if there is none of that name.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// A blob to read parts of.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    fn open(&self, name: &str) -> Result<BlobFile>;

    /// The last parts of the names of what is directly in a folder, blobs and folders, sorted; none where there is
    /// no such folder.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn list(&self, folder: &str) -> Result<Vec<String>>;

    /// Makes a blob, or replaces it in one step.
    ///
    /// # Errors
    /// When `write` fails, or there is no room.
    fn put(&self, name: &str, durability: Durability, write: WriteBlob<'_>) -> Result<()>;

    /// Changes a small blob so that no change of another process is lost.
    ///
    /// # Errors
    /// When `change` fails, others change it all the time, or there is no room.
    fn update(&self, name: &str, durability: Durability, change: ChangeBlob<'_>) -> Result<()>;

    /// Makes sure that a power cut leaves the names of all blobs that are directly in a folder.
    fn keep_names(&self, folder: &str);

    /// Removes a blob, if it is there and can be removed.
    fn remove(&self, name: &str);

    /// Removes a folder with all that is in it, if it is there and can be removed.
    fn remove_all(&self, folder: &str);

    /// The size of everything.
    fn total_bytes(&self) -> u64;
}

/// Puts a small blob.
///
/// # Errors
/// When there is no room.
pub(super) fn put_bytes(
    blobs: &dyn Blobs,
    name: &str,
    durability: Durability,
    bytes: &[u8],
) -> Result<()> {
    blobs.put(name, durability, &mut |out| {
        let written = out.write_all(bytes);
        written.map_err(|error| super::files::failed(&blobs.place(name), error))
    })
}
