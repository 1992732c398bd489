//! Stores of format 1: read as they are, and brought into the present format by who writes to them.
//!
//! ```text
//! DIR/manifest.json                             model, preprocessing, columns, shards
//! DIR/shards/<fingerprint>.parquet              one file per finished shard
//! DIR/parts/<fingerprint>/<from>-<to>.parquet   row ranges of a shard in work
//! DIR/derived/current.json, <generation>/...    columns computed from the embeddings of all rows, and what is beside them
//! DIR/selection.bin                             the rows that the last run kept
//! DIR/lock                                      held by whoever wrote or read
//! ```
//!
//! Nothing but this file knows that format. It goes when no store of version 0.1 is expected any more.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use serde::Deserialize;

use super::{
    DirLock, ScoreStore,
    backing::StateLock,
    blobs::{BlobFile, Blobs, ChangeBlob, Durability, WriteBlob},
    claims::FileClaims,
    files::failed,
    known_shards::KnownShards,
    local::LocalBlobs,
    manifest::{Manifest, damaged, put_json, text_of},
    names::{self, DERIVED, KNOWN_SHARDS, MANIFEST, PARTS, SCORES, SELECTION, STATE},
    score_store::{OneModel, StorePlace},
    spec::StoreSpec,
};
use crate::{
    error::{Error, Result},
    source::ShardIdentity,
};

const FORMAT_1: u32 = 1;
const SHARDS_1: &str = "shards";
const SELECTION_1: &str = "selection.bin";
const CURRENT_1: &str = "current.json";

/// The manifest of format 1.
#[derive(Debug, Deserialize)]
struct Manifest1 {
    written_by: String,
    spec: StoreSpec,
    shards: Vec<Shard1>,
}

#[derive(Debug, Deserialize)]
struct Shard1 {
    path: String,
    fingerprint: String,
    size_bytes: u64,
    rows: u64,
}

impl Manifest1 {
    /// `None` where the store is not of format 1.
    fn at(blobs: &LocalBlobs) -> Result<Option<Self>> {
        match (Manifest::format_at(blobs)?, blobs.read(MANIFEST)?) {
            (Some(FORMAT_1), Some(text)) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| damaged(blobs, error)),
            _ => Ok(None),
        }
    }

    fn known(&self) -> KnownShards {
        let shards = self.shards.iter().map(|shard| ShardIdentity {
            path: shard.path.clone(),
            given: shard.path.clone(),
            fingerprint: shard.fingerprint.clone(),
            size_bytes: shard.size_bytes,
            rows: shard.rows,
        });
        KnownShards::new(shards.collect())
    }
}

/// The store in `directory`, of whichever format; `None` where there is none.
pub(super) fn readable(directory: &Path) -> Result<Option<(Arc<dyn Blobs>, Manifest)>> {
    let blobs = LocalBlobs::new(directory);
    let Some(old) = Manifest1::at(&blobs)? else {
        let manifest = Manifest::read(&blobs)?;
        return Ok(manifest.map(|manifest| (Arc::new(blobs) as Arc<dyn Blobs>, manifest)));
    };
    let manifest = Manifest {
        format: FORMAT_1,
        written_by: old.written_by.clone(),
        models: [(old.spec.model_key(), old.spec.clone())].into(),
        records: Vec::new(),
    };
    let blobs = Format1 {
        known: text_of(&old.known())?,
        model: old.spec.model_key(),
        blobs,
    };
    Ok(Some((Arc::new(blobs), manifest)))
}

/// Keeps others from replacing what is read, and fails while somebody does.
pub(super) fn shared_lock(directory: &Path) -> Result<DirLock> {
    match Manifest1::at(&LocalBlobs::new(directory))? {
        Some(_) => DirLock::shared(directory),
        None => DirLock::shared(&directory.join(STATE)),
    }
}

/// True while somebody has that lock to write.
pub(super) fn is_locked(directory: &Path) -> bool {
    match Manifest1::at(&LocalBlobs::new(directory)) {
        Ok(Some(_)) => DirLock::is_exclusive(directory),
        _ => DirLock::is_exclusive(&directory.join(STATE)),
    }
}

/// The name of the file in which the rows that the last run kept are remembered.
pub(super) fn selection_file(directory: &Path, format: u32) -> &'static str {
    if format == FORMAT_1 && !directory.join(SELECTION).exists() {
        return SELECTION_1;
    }
    // Who writes the file says why it cannot.
    let _ = std::fs::create_dir_all(directory.join(STATE));
    SELECTION
}

/// A store of format 1 under the names of the present one, to be read. One that was killed while it was brought into
/// the present format has some files under either.
#[derive(Debug)]
struct Format1 {
    blobs: LocalBlobs,
    /// The one there is.
    model: String,
    /// [`KNOWN_SHARDS`].
    known: Vec<u8>,
}

impl Format1 {
    /// What `name` is called in format 1.
    fn old(&self, name: &str) -> String {
        if name == SELECTION {
            return SELECTION_1.to_owned();
        }
        let (folder, rest) = name.split_once('/').unwrap_or((name, ""));
        let of_model = |rest: &str| {
            let below = rest.strip_prefix(&self.model);
            below.map_or_else(
                || rest.to_owned(),
                |below| below.trim_start_matches('/').to_owned(),
            )
        };
        let ending = format!("-{}", self.model);
        match folder {
            SCORES => format!("{SHARDS_1}/{}", rest.replace(&ending, "")),
            PARTS => format!("{PARTS}/{}", rest.replace(&ending, "")),
            DERIVED | STATE => format!("{DERIVED}/{}", of_model(rest)),
            _ => name.to_owned(),
        }
    }

    /// What is called `name`, wherever it is by now.
    fn now(&self, name: &str) -> String {
        match self.blobs.path(name).exists() {
            true => name.to_owned(),
            false => self.old(name),
        }
    }
}

impl Blobs for Format1 {
    fn place(&self, name: &str) -> String {
        self.blobs.place(&self.now(name))
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.blobs.size(&self.now(name))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match name {
            KNOWN_SHARDS => Ok(Some(self.known.clone())),
            name => self.blobs.read(&self.now(name)),
        }
    }

    fn open(&self, name: &str) -> Result<BlobFile> {
        self.blobs.open(&self.now(name))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        if ![SCORES, PARTS].contains(&folder) {
            return self.blobs.list(&self.now(folder));
        }
        // As they are called by now, wherever they are.
        let now = |name: String| {
            let ending = name.find('.').unwrap_or(name.len());
            let (stem, ending) = name.split_at(ending);
            match stem.ends_with(&format!("-{}", self.model)) {
                true => name.clone(),
                false => format!("{stem}-{}{ending}", self.model),
            }
        };
        let mut names = self.blobs.list(folder)?;
        names.extend(self.blobs.list(&self.old(folder))?);
        let names: BTreeSet<String> = names.into_iter().map(now).collect();
        Ok(names.into_iter().collect())
    }

    fn put(&self, name: &str, _: Durability, _: WriteBlob<'_>) -> Result<()> {
        Err(read_only(name))
    }

    fn update(&self, name: &str, _: Durability, _: ChangeBlob<'_>) -> Result<()> {
        Err(read_only(name))
    }

    fn keep_names(&self, _: &str) {}

    fn remove(&self, _: &str) {}

    fn remove_all(&self, _: &str) {}

    fn total_bytes(&self) -> u64 {
        self.blobs.total_bytes()
    }
}

fn read_only(name: &str) -> Error {
    Error::internal("write to a score store of format 1").with("name", name)
}

/// Brings a store of format 1 into the present one; nothing is encoded. Any other stays as it is.
///
/// # Errors
/// When somebody uses it, or it cannot be written to. What is done then stays done: the store can be read, and the
/// next call goes on.
pub(super) fn migrate(directory: &Path) -> Result<()> {
    migrate_with(directory, &mut || Ok(()))
}

fn migrate_with(directory: &Path, step: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let blobs = LocalBlobs::new(directory);
    if Manifest1::at(&blobs)?.is_none() {
        return Ok(());
    }
    let _lock = DirLock::exclusive(directory)?;
    // Another process may have done it meanwhile.
    let Some(old) = Manifest1::at(&blobs)? else {
        return Ok(());
    };
    let mut moving = Moving {
        directory,
        blobs: &blobs,
        old: &old,
        step,
    };
    moving.run()
}

/// Each step can be done again, or finds that it was done.
struct Moving<'a> {
    directory: &'a Path,
    blobs: &'a LocalBlobs,
    old: &'a Manifest1,
    /// Called between any two changes.
    step: &'a mut dyn FnMut() -> Result<()>,
}

impl Moving<'_> {
    fn run(&mut self) -> Result<()> {
        let model = self.old.spec.model_key();
        let of_model = |name: &str| match name.split_once('.') {
            Some((name, ending)) => format!("{name}-{model}.{ending}"),
            None => format!("{name}-{model}"),
        };
        self.rename_all(SHARDS_1, SCORES, &of_model)?;
        self.rename_all(PARTS, PARTS, &|name| match name.ends_with(&model) {
            true => name.to_owned(),
            false => of_model(name),
        })?;
        self.move_derived(&model)?;
        self.rename(SELECTION_1, SELECTION)?;
        let known = self.old.known();
        put_json(self.blobs, KNOWN_SHARDS, Durability::Named, &known)?;
        (self.step)()?;
        put_json(
            self.blobs,
            &names::model(&model),
            Durability::Named,
            &self.old.spec,
        )?;
        (self.step)()?;
        self.write_records(&model)?;
        let mut manifest = Manifest::new();
        manifest.written_by.clone_from(&self.old.written_by);
        manifest.models.insert(model, self.old.spec.clone());
        manifest.merge(self.blobs)?;
        put_json(self.blobs, MANIFEST, Durability::Named, &manifest)?;
        // Nothing is left in it but what no store has: files of shards that it had forgotten.
        self.blobs.remove_all(SHARDS_1);
        Ok(())
    }

    /// Columns of all rows, and what lies beside them.
    fn move_derived(&mut self, model: &str) -> Result<()> {
        let state = format!("{STATE}/{model}");
        for generation in self.blobs.list(DERIVED)? {
            if [model, CURRENT_1].contains(&generation.as_str()) {
                continue;
            }
            let old = format!("{DERIVED}/{generation}");
            for name in self.blobs.list(&old)? {
                let folder = match name.ends_with(".parquet") {
                    true => format!("{DERIVED}/{model}/{generation}"),
                    false => format!("{state}/{generation}"),
                };
                self.rename(&format!("{old}/{name}"), &format!("{folder}/{name}"))?;
            }
            self.blobs.remove_all(&old);
        }
        self.rename(
            &format!("{DERIVED}/{CURRENT_1}"),
            &format!("{state}/{CURRENT_1}"),
        )
    }

    fn rename_all(&mut self, from: &str, to: &str, named: &dyn Fn(&str) -> String) -> Result<()> {
        for name in self.blobs.list(from)? {
            self.rename(&format!("{from}/{name}"), &format!("{to}/{}", named(&name)))?;
        }
        self.blobs.keep_names(to);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.blobs.path(from), self.blobs.path(to));
        if from == to || !from.exists() {
            return Ok(());
        }
        let moved = to
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::rename(&from, &to));
        moved.map_err(|error| failed(&to.display(), error))?;
        (self.step)()
    }

    fn write_records(&mut self, model: &str) -> Result<()> {
        let place = StorePlace {
            at: self.directory.into(),
            blobs: Arc::new(LocalBlobs::new(self.directory)),
            claims: Arc::new(FileClaims::new(self.directory.join(PARTS))),
            lock: StateLock::Open,
        };
        let model = OneModel {
            key: model.to_owned(),
            spec: self.old.spec.clone(),
        };
        let store = ScoreStore::with(place, Manifest::new(), model)?;
        for shard in store.shards() {
            if store.is_finished(&shard.fingerprint)? {
                store.write_record(shard)?;
                (self.step)()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
