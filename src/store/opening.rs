//! How a store is opened: to read it, to look at it, to fill it, to compute from it.

use std::sync::Arc;

use super::{
    ScoreStore, StoreAt,
    backing::{Backing, StateLock},
    blobs::{Blobs, Durability},
    manifest::{Manifest, put_json},
    names::{self, BUNDLES, PARTS, SCORES},
    score_store::{OneModel, StorePlace, check},
    spec::StoreSpec,
};
use crate::error::{Error, Result};

impl ScoreStore {
    /// Opens the store of one model to read it; others may read it too, and score shards for it.
    ///
    /// # Errors
    /// When there is none, it is damaged or of another format, it has scores of several models, or somebody computes
    /// columns from it.
    pub fn open(at: impl Into<StoreAt>) -> Result<Self> {
        Self::read(at.into(), None, Backing::shared)
    }

    /// As [`ScoreStore::open`], of one of several models: its name, its fingerprint, or what it is called in files.
    ///
    /// # Errors
    /// As [`ScoreStore::open`], and when no model or more than one is called so.
    pub fn open_model(at: impl Into<StoreAt>, model: &str) -> Result<Self> {
        Self::read(at.into(), Some(model), Backing::shared)
    }

    /// Opens a store, of several models that of the first, to look at it, also while somebody writes to it, and keeps nobody from that.
    ///
    /// Parts of a shard may become one file meanwhile: who looks opens the scores of a shard anew when a file is
    /// gone.
    ///
    /// # Errors
    /// When there is none, or it is damaged or of another format.
    pub fn look(at: impl Into<StoreAt>) -> Result<Self> {
        let at = at.into();
        let readable = at.backing()?.readable()?;
        let models = readable.map(|(_, manifest)| manifest.models);
        let first = models.and_then(|models| models.into_keys().next());
        Self::read(at, first.as_deref(), |_| Ok(StateLock::Open))
    }

    /// True if a score store is there: it has a manifest that names a format.
    pub fn is_at(at: impl Into<StoreAt>) -> bool {
        let backing = at.into().backing();
        backing.is_ok_and(|backing| backing.is_store())
    }

    /// True if rows of some shard were committed to the store that is there.
    pub fn has_scores(at: impl Into<StoreAt>) -> bool {
        let found = at.into().backing().and_then(|backing| backing.readable());
        found.is_ok_and(|found| found.is_some_and(|(blobs, _)| has_scores(blobs.as_ref())))
    }

    /// What the store that is there was made with; `None` if there is no store.
    ///
    /// # Errors
    /// When its manifest cannot be read, or it has scores of several models.
    pub fn spec_at(at: impl Into<StoreAt>) -> Result<Option<StoreSpec>> {
        let at = at.into();
        let Some((_, manifest)) = at.backing()?.readable()? else {
            return Ok(None);
        };
        chosen(&at, &manifest, None).map(|model| Some(model.spec))
    }

    /// Opens a store to score shards for it, makes it if there is none. Several processes may: each shard is scored
    /// by who claims it.
    ///
    /// # Errors
    /// When it was made with another spec, or it cannot be written to, as an object store that ignores conditions.
    pub fn open_or_create(at: impl Into<StoreAt>, spec: &StoreSpec) -> Result<Self> {
        Self::create_in(writable(at.into())?, spec)
    }

    /// As [`ScoreStore::open_or_create`], beside the models that the store has.
    ///
    /// # Errors
    /// When it has this model with another spec, or it cannot be written to.
    pub fn add_model(at: impl Into<StoreAt>, spec: &StoreSpec) -> Result<Self> {
        Self::add_in(writable(at.into())?, spec)
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
        let (at, spec) = (self.at.clone(), self.spec.clone());
        // A lock of this process would keep it out.
        drop(self);
        let mut store = Self::add_model(&at, &spec)?;
        store.lock = at.backing()?.exclusive()?;
        store.reread()
    }

    /// The same store for who has filled it and reads on: its manifest names every finished shard, and it has the
    /// columns that there are by now, which stay while nobody is computing others already.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn filled(&self) -> Result<Self> {
        self.sweep()?;
        let nothing = &mut |_: &mut Manifest| Ok(());
        let manifest = Manifest::update(self.blobs.as_ref(), Durability::Whole, nothing)?;
        let place = StorePlace {
            at: self.at.clone(),
            blobs: Arc::clone(&self.blobs),
            claims: Arc::clone(&self.claims),
            lock: self.at.backing()?.shared_if_free(),
        };
        let model = OneModel {
            key: self.model.clone(),
            spec: self.spec.clone(),
        };
        Self::with(place, manifest, model)
    }

    fn read(
        at: StoreAt,
        model: Option<&str>,
        lock: impl FnOnce(&Backing) -> Result<StateLock>,
    ) -> Result<Self> {
        let backing = at.backing()?;
        let lock = lock(&backing)?;
        let (blobs, manifest) = backing.readable()?.ok_or_else(|| missing(&at))?;
        let chosen = chosen(&at, &manifest, model)?;
        let place = StorePlace {
            at,
            claims: backing.claims(),
            blobs,
            lock,
        };
        Self::with(place, manifest, chosen)
    }

    /// The store of the only model, which must be that of `spec`; of a new one, if there is none.
    pub(super) fn create_in(place: StorePlace, spec: &StoreSpec) -> Result<Self> {
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
            None => chosen(&place.at, &manifest, None)?,
        };
        Self::checked(place, manifest, stored, spec)
    }

    /// The store of the model of `spec`, beside others.
    pub(super) fn add_in(place: StorePlace, spec: &StoreSpec) -> Result<Self> {
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
        place: StorePlace,
        manifest: Manifest,
        stored: OneModel,
        wanted: &StoreSpec,
    ) -> Result<Self> {
        check(&place.at, &stored.spec, wanted)?;
        for (key, spec) in &manifest.models {
            let name = names::model(key);
            if place.blobs.size(&name)?.is_none() {
                // The manifest has it too: this is what one is made from when that is lost.
                put_json(place.blobs.as_ref(), &name, Durability::Remade, spec)?;
            }
        }
        Self::with(place, manifest, stored)
    }
}

/// The only model of a store, or the one that is called `model`.
fn chosen(at: &StoreAt, manifest: &Manifest, model: Option<&str>) -> Result<OneModel> {
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
                .with("store", at)
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

/// A store that is written to, in the present format.
fn writable(at: StoreAt) -> Result<StorePlace> {
    let backing = at.backing()?;
    Ok(StorePlace {
        blobs: backing.writable()?,
        claims: backing.claims(),
        lock: StateLock::Open,
        at,
    })
}

fn missing(at: &StoreAt) -> Error {
    let kind = match at.local_path() {
        Some(_) => "directory",
        None => "url",
    };
    Error::input("open the score store: there is none")
        .with(kind, at)
        .hint(format!("clip-filter score IN... --scores {at}"))
}
