//! What is missing of the wanted columns, step by step.

use std::{collections::BTreeMap, path::PathBuf};

use clip_filter_vectors::Budget;
use sha2::{Digest, Sha256};

use super::{
    Adaptation, MethodOptions, adapting, class_texts::EmbedText, contrast::Contrast,
    fold_adapters::FoldAdapters, ordering::Ordering, publish::publish, reference::Reference,
    scratch::ScratchColumn, stored_rows::StoredRows, target, with_inputs,
};
use crate::{
    adapt::Adapters,
    digest::hex,
    error::{Error, Result},
    schema::{IMAGE_EMBEDDING, ScoreColumn},
    secrets::told_apart,
    selection::Selection,
    source::BoundShards,
    store::{DerivedSpec, ScoreStore},
};

/// Files beside the columns.
pub(crate) const ADAPTERS: &str = "adapters.safetensors";
pub(super) const CENTRES: &str = "centres.json";
pub(crate) const OBJECTIVE: &str = "objective.json";

/// Rows that count, and the condition that decided it.
pub(crate) struct Considered {
    pub(crate) rows: Selection,
    pub(crate) condition: String,
}

/// Derived columns of a store, over some shards.
pub(crate) struct Deriving<'a> {
    /// Open for writing.
    pub(crate) store: &'a ScoreStore,
    pub(crate) shards: &'a BoundShards,
    pub(crate) options: &'a MethodOptions,
    /// Rows that count; all if `None`.
    pub(crate) considered: Option<&'a Considered>,
    /// Centres of an earlier run, and adapters of gradient descent, are used again if they were made alike.
    pub(crate) keeps_state: bool,
    pub(crate) budget: Budget,
    pub(crate) embed: EmbedText<'a>,
    pub(crate) say: &'a dyn Fn(&str),
    /// Told what is done now, for whoever looks on.
    pub(crate) step: &'a dyn Fn(String),
    pub(crate) cancelled: &'a dyn Fn() -> Result<()>,
}

impl Deriving<'_> {
    /// Whether making `columns` would take away those that the store has: made otherwise, or over other shards.
    pub(crate) fn replaces(&self, columns: &[ScoreColumn]) -> Result<bool> {
        let Some(known) = self.store.derived() else {
            return Ok(false);
        };
        let given = self.given()?;
        let spec = self.spec(&with_inputs(columns), given.as_ref())?;
        Ok(known.made_with != spec.made_with || known.shards != spec.shards)
    }

    /// Whether the store has `columns` as they would be made.
    pub(crate) fn has(&self, columns: &[ScoreColumn]) -> Result<bool> {
        let given = self.given()?;
        let spec = self.spec(&with_inputs(columns), given.as_ref())?;
        let known = self.store.derived();
        Ok(known.is_some_and(|known| known.serves(&spec)))
    }

    /// Adapters from a file, where there is one.
    fn given(&self) -> Result<Option<Adapters>> {
        match &self.options.adaptation {
            Adaptation::Given(path) => adapting::given(path, &self.store.spec().model).map(Some),
            _ => Ok(None),
        }
    }

    /// Makes `columns` derived columns of the store, unless they are.
    pub(crate) fn run(&self, columns: &[ScoreColumn]) -> Result<()> {
        let wanted = with_inputs(columns);
        let given = self.given()?;
        let spec = self.spec(&wanted, given.as_ref())?;
        if self
            .store
            .derived()
            .is_some_and(|known| known.serves(&spec))
        {
            return Ok(());
        }
        let rows = self.rows();
        let known = self.known(&spec);
        let missing: Vec<ScoreColumn> = wanted
            .iter()
            .copied()
            .filter(|column| !known.contains(column))
            .collect();
        if missing == [ScoreColumn::SELECTION_SCORE] {
            return self.add_order(spec, &rows, &known);
        }
        self.check_embeddings()?;
        let mut columns = self.known_columns(&known, &rows)?;
        let mut artifacts = Vec::new();
        if !missing.is_empty() {
            let reference = self.reference(&rows, &missing, given)?;
            self.score_rows(&rows, &missing, &reference, &mut columns)?;
            if missing.contains(&ScoreColumn::S_CLIPLOSS) {
                columns.insert(ScoreColumn::S_CLIPLOSS, self.contrast(&rows, &reference)?);
            }
            if let Some(fitted) = &reference.adapters {
                artifacts.push((ADAPTERS, fitted.adapters.to_bytes()?));
            }
            let centres = reference.centres.as_ref();
            if let Some(centres) = centres.or(reference.unused_centres.as_ref()) {
                let text = serde_json::to_vec(centres.values())
                    .map_err(|error| Error::internal("keep the centres of cells").source(error))?;
                artifacts.push((CENTRES, text));
            }
        } else {
            artifacts.extend(self.kept_artifacts());
        }
        if missing.contains(&ScoreColumn::SELECTION_SCORE) {
            artifacts.push((OBJECTIVE, self.order(&mut columns, &rows)?));
        }
        let spec = with_columns(spec, columns.keys());
        publish(self.store, spec, &rows, &columns, &artifacts)
    }

    /// Adds `selection_score` alone.
    fn add_order(
        &self,
        spec: DerivedSpec,
        rows: &StoredRows<'_>,
        known: &[ScoreColumn],
    ) -> Result<()> {
        (self.step)("computing selection_score".to_owned());
        let ordering = Ordering {
            store: self.store,
            rows,
            weight: self.options.diversity_weight,
            cancelled: self.cancelled,
        };
        let spec = with_columns(spec, known.iter().chain([&ScoreColumn::SELECTION_SCORE]));
        ordering.add(spec, known, self.kept_artifacts())
    }

    /// What the columns that are there were made with.
    fn kept_artifacts(&self) -> Vec<(&'static str, Vec<u8>)> {
        let kept = [ADAPTERS, CENTRES].map(|name| Some((name, self.store.artifact(name)?)));
        kept.into_iter().flatten().collect()
    }

    pub(super) fn check_embeddings(&self) -> Result<()> {
        match self.store.schema().index_of(IMAGE_EMBEDDING) {
            Ok(_) => Ok(()),
            Err(_) => Err(
                Error::input("compute scores from embeddings: the store keeps none")
                    .with("store", self.store.at())
                    .hint("score into another directory with --embeddings f16"),
            ),
        }
    }

    pub(super) fn rows(&self) -> StoredRows<'_> {
        let considered = self.considered.map(|considered| &considered.rows);
        StoredRows::new(self.store, &self.shards.identities, considered)
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.store.scratch_directory()
    }

    pub(super) fn dim(&self) -> usize {
        self.store.spec().model.dim
    }

    pub(super) fn spec(
        &self,
        wanted: &[ScoreColumn],
        given: Option<&Adapters>,
    ) -> Result<DerivedSpec> {
        let classes = self.shards.binding.classes.as_ref();
        let number =
            |number: Option<u32>| number.map_or_else(|| "auto".to_owned(), |n| n.to_string());
        let mut made_with = BTreeMap::from([
            ("adapters", self.options.adaptation.describe(given)?),
            (
                "pairs",
                classes.map_or_else(|| "captions".to_owned(), |classes| classes.describe()),
            ),
            ("neighbours", number(self.options.neighbours)),
            ("seed", self.options.seed.to_string()),
        ]);
        if classes.is_none() {
            made_with.insert("cells", number(self.options.cells));
        }
        if let Some(considered) = self.considered {
            made_with.insert("where", told_apart(&considered.condition));
        }
        if let Some(target) = &self.options.target {
            let bytes = std::fs::read(target).map_err(|error| target::failed(target, error))?;
            made_with.insert("target", hex(&Sha256::digest(bytes)[..16]));
        }
        let shards = self.rows();
        let shards = shards.shards().iter();
        Ok(DerivedSpec {
            columns: wanted
                .iter()
                .map(|column| column.name().to_owned())
                .collect(),
            made_with: made_with
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            selection: wanted
                .contains(&ScoreColumn::SELECTION_SCORE)
                .then(|| format!("diversity weight {}", self.options.diversity_weight)),
            shards: shards.map(|(_, shard)| shard.fingerprint.clone()).collect(),
        })
    }

    fn contrast(&self, rows: &StoredRows<'_>, reference: &Reference) -> Result<ScratchColumn> {
        (self.step)("comparing pairs with a pool of others".to_owned());
        // Those of classes say nothing of captions.
        let of_captions = reference.classes.is_none();
        let contrast = Contrast {
            rows,
            directory: &self.directory(),
            adapters: FoldAdapters {
                fitted: reference.adapters.as_ref().filter(|_| of_captions),
                dim: self.dim(),
                threads: self.budget.threads,
            },
            seed: self.options.seed,
            cancelled: self.cancelled,
        };
        contrast.score(reference.counted)
    }
}

fn with_columns<'a>(
    spec: DerivedSpec,
    columns: impl Iterator<Item = &'a ScoreColumn>,
) -> DerivedSpec {
    let columns = columns.map(|column| column.name().to_owned());
    DerivedSpec {
        columns: columns.collect(),
        ..spec
    }
}
