//! How a store is opened: to read it, to look at it, to fill it, to compute from it.

use std::{path::Path, sync::Arc};

use super::{
    DirLock, ScoreStore,
    blobs::{Blobs, Durability},
    claims::{Claims, FileClaims},
    files::failed,
    local::LocalBlobs,
    manifest::{Manifest, put_json},
    migrate,
    names::{self, BUNDLES, PARTS, SCORES, STATE},
    score_store::{OneModel, Place, check},
    spec::StoreSpec,
};
use crate::error::{Error, Result};

impl ScoreStore {
    /// Opens the store of one model to read it; others may read it too, and score shards for it.
    ///
    /// # Errors
    /// When there is none, it is damaged or of another format, it has scores of several models, or somebody computes
    /// columns from it.
    pub fn open(directory: &Path) -> Result<Self> {
        Self::read(directory, None, migrate::shared_lock)
    }

    /// As [`ScoreStore::open`], of one of several models: its name, its fingerprint, or what it is called in files.
    ///
    /// # Errors
    /// As [`ScoreStore::open`], and when no model or more than one is called so.
    pub fn open_model(directory: &Path, model: &str) -> Result<Self> {
        Self::read(directory, Some(model), migrate::shared_lock)
    }

    /// Opens a store, of several models that of the first, to look at it, also while somebody writes to it, and keeps nobody from that.
    ///
    /// Parts of a shard may become one file meanwhile: who looks opens the scores of a shard anew when a file is
    /// gone.
    ///
    /// # Errors
    /// When there is none, or it is damaged or of another format.
    pub fn look(directory: &Path) -> Result<Self> {
        let readable = migrate::readable(directory)?;
        let models = readable.map(|(_, manifest)| manifest.models);
        let first = models.and_then(|models| models.into_keys().next());
        Self::read(directory, first.as_deref(), |_| Ok(DirLock::none()))
    }

    /// True if `directory` is a score store: it has a manifest that names a format.
    pub fn is_at(directory: &Path) -> bool {
        Manifest::is_at(&LocalBlobs::new(directory))
    }

    /// True if rows of some shard were committed to the store in `directory`.
    pub fn has_scores(directory: &Path) -> bool {
        let found = migrate::readable(directory);
        found.is_ok_and(|found| found.is_some_and(|(blobs, _)| has_scores(blobs.as_ref())))
    }

    /// What the store in `directory` was made with; `None` if there is no store.
    ///
    /// # Errors
    /// When its manifest cannot be read, or it has scores of several models.
    pub fn spec_at(directory: &Path) -> Result<Option<StoreSpec>> {
        let Some((_, manifest)) = migrate::readable(directory)? else {
            return Ok(None);
        };
        chosen(directory, &manifest, None).map(|model| Some(model.spec))
    }

    /// Opens a store to score shards for it, makes it if there is none. Several processes may: each shard is scored
    /// by who claims it.
    ///
    /// # Errors
    /// When it was made with another spec, or it cannot be written to.
    pub fn open_or_create(directory: &Path, spec: &StoreSpec) -> Result<Self> {
        Self::create_in(writable(directory)?, spec)
    }

    /// As [`ScoreStore::open_or_create`], beside the models that the store has.
    ///
    /// # Errors
    /// When it has this model with another spec, or it cannot be written to.
    pub fn add_model(directory: &Path, spec: &StoreSpec) -> Result<Self> {
        Self::add_in(writable(directory)?, spec)
    }

    /// The same store for who computes columns from it and keeps state: nobody else may meanwhile, or reads such
    /// columns.
    ///
    /// # Errors
    /// When somebody does, or it cannot be written to.
    pub fn exclusive(self) -> Result<Self> {
        if self.lock.is_writers() {
            return Ok(self);
        }
        let (directory, spec) = (self.directory.clone(), self.spec.clone());
        // A lock of this process would keep it out.
        drop(self);
        let mut store = Self::add_model(&directory, &spec)?;
        store.lock = DirLock::exclusive(&state_directory(&directory)?)?;
        Ok(store.reread())
    }

    /// The same store for who has filled it and reads on: its manifest names every finished shard, and it has the
    /// columns that there are by now, which stay while nobody is computing others already.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn filled(&self) -> Result<Self> {
        let nothing = &mut |_: &mut Manifest| Ok(());
        let manifest = Manifest::update(self.blobs.as_ref(), Durability::Whole, nothing)?;
        let place = Place {
            directory: self.directory.clone(),
            blobs: Arc::clone(&self.blobs),
            claims: Arc::clone(&self.claims),
            lock: migrate::shared_lock(&self.directory).unwrap_or_else(|_| DirLock::none()),
        };
        let model = OneModel {
            key: self.model.clone(),
            spec: self.spec.clone(),
        };
        Ok(Self::with(place, manifest, model))
    }

    fn read(
        directory: &Path,
        model: Option<&str>,
        lock: impl FnOnce(&Path) -> Result<DirLock>,
    ) -> Result<Self> {
        if !directory.is_dir() {
            return Err(missing(directory));
        }
        let lock = lock(directory)?;
        let (blobs, manifest) = migrate::readable(directory)?.ok_or_else(|| missing(directory))?;
        let chosen = chosen(directory, &manifest, model)?;
        let place = Place {
            directory: directory.to_path_buf(),
            claims: file_claims(directory),
            blobs,
            lock,
        };
        Ok(Self::with(place, manifest, chosen))
    }

    /// The store of the only model, which must be that of `spec`; of a new one, if there is none.
    pub(super) fn create_in(place: Place, spec: &StoreSpec) -> Result<Self> {
        let manifest =
            Manifest::update(place.blobs.as_ref(), Durability::Named, &mut |manifest| {
                if manifest.models.is_empty() {
                    manifest.models.insert(spec.model_key(), spec.clone());
                }
                Ok(())
            })?;
        let key = spec.model_key();
        let stored = match manifest.models.get(&key) {
            Some(stored) => OneModel {
                spec: stored.clone(),
                key,
            },
            None => chosen(&place.directory, &manifest, None)?,
        };
        Self::checked(place, manifest, stored, spec)
    }

    /// The store of the model of `spec`, beside others.
    pub(super) fn add_in(place: Place, spec: &StoreSpec) -> Result<Self> {
        let key = spec.model_key();
        let manifest =
            Manifest::update(place.blobs.as_ref(), Durability::Named, &mut |manifest| {
                let models = &mut manifest.models;
                models.entry(key.clone()).or_insert_with(|| spec.clone());
                Ok(())
            })?;
        let stored = manifest.models.get(&key).unwrap_or(spec).clone();
        let stored = OneModel { key, spec: stored };
        Self::checked(place, manifest, stored, spec)
    }

    fn checked(
        place: Place,
        manifest: Manifest,
        stored: OneModel,
        wanted: &StoreSpec,
    ) -> Result<Self> {
        check(&place.directory, &stored.spec, wanted)?;
        for (key, spec) in &manifest.models {
            let name = names::model(key);
            if place.blobs.size(&name).is_none() {
                // The manifest has it too: this is what one is made from when that is lost.
                put_json(place.blobs.as_ref(), &name, Durability::Remade, spec)?;
            }
        }
        Ok(Self::with(place, manifest, stored))
    }
}

/// The only model of a store, or the one that is called `model`.
fn chosen(directory: &Path, manifest: &Manifest, model: Option<&str>) -> Result<OneModel> {
    let is_called = |key: &str, spec: &StoreSpec| {
        let names = [key, &spec.model.name, &spec.model.fingerprint];
        model.is_none_or(|model| names.contains(&model))
    };
    let mut found = manifest
        .models
        .iter()
        .filter(|(key, spec)| is_called(key, spec));
    match (found.next(), found.next()) {
        (Some((key, spec)), None) => Ok(OneModel {
            key: key.clone(),
            spec: spec.clone(),
        }),
        (first, _) => {
            let message = match (model, first) {
                (Some(_), None) => "find the model in the score store",
                _ => "tell which model is meant: the score store has scores of several",
            };
            let listed = manifest.models.iter().map(|(key, spec)| {
                let card = &spec.model;
                format!("{} ({}, {key})", card.name, card.precision)
            });
            let error = Error::input(message)
                .with("store", directory.display())
                .with("its models", listed.collect::<Vec<_>>().join(", "));
            Err(match model {
                Some(model) => error.with("asked for", model),
                None => error.hint("name one of them"),
            })
        }
    }
}

fn has_scores(blobs: &dyn Blobs) -> bool {
    let list = |folder: &str| blobs.list(folder).unwrap_or_default();
    let is_part = |name: &String| names::rows_of_part(name).is_some();
    let has_part = |scored: &String| list(&names::parts(scored)).iter().any(is_part);
    !list(SCORES).is_empty() || !list(BUNDLES).is_empty() || list(PARTS).iter().any(has_part)
}

fn file_claims(directory: &Path) -> Arc<dyn Claims> {
    Arc::new(FileClaims::new(directory.join(PARTS)))
}

/// A store in a directory that is written to, in the present format.
fn writable(directory: &Path) -> Result<Place> {
    let failed = |error| failed(&directory.display(), error);
    std::fs::create_dir_all(directory).map_err(failed)?;
    migrate::migrate(directory)?;
    Ok(Place {
        directory: directory.to_path_buf(),
        blobs: Arc::new(LocalBlobs::new(directory)) as Arc<dyn Blobs>,
        claims: file_claims(directory),
        lock: DirLock::none(),
    })
}

fn state_directory(directory: &Path) -> Result<std::path::PathBuf> {
    let state = directory.join(STATE);
    std::fs::create_dir_all(&state).map_err(|error| failed(&state.display(), error))?;
    Ok(state)
}

fn missing(directory: &Path) -> Error {
    Error::input("open the score store: there is none")
        .with("directory", directory.display())
        .hint(format!(
            "clip-filter score IN... --scores {}",
            directory.display()
        ))
}
