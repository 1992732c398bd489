//! What rows are compared with: texts of classes, adapters, centres of cells.

use clip_filter_vectors::Centroids;

use super::{
    ADAPTERS, Adaptation, CENTRES, Deriving, Groups, adapting, centres,
    centres::Clusters,
    class_texts::class_texts,
    labels::GroupColumn,
    stored_pairs::StoredPairs,
    stored_rows::{Sides, StoredRows},
};
use crate::{
    adapt::{Adapters, FitOptions, Fitted, Method},
    error::Result,
    schema::ScoreColumn,
    secrets::told_apart,
};

/// What rows are compared with.
pub(super) struct Reference {
    pub(super) classes: Option<Groups>,
    /// Texts of the classes, before they are adapted; none where nothing is compared with them.
    pub(super) class_texts: Vec<f32>,
    pub(super) adapters: Option<Fitted>,
    pub(super) centres: Option<Centroids>,
    /// Clusters of an earlier run that no missing column needs: a later one may.
    pub(super) unused_centres: Option<Centroids>,
    /// Rows that count.
    pub(super) counted: u64,
}

impl Deriving<'_> {
    pub(super) fn reference(
        &self,
        rows: &StoredRows<'_>,
        missing: &[ScoreColumn],
        given: Option<Adapters>,
    ) -> Result<Reference> {
        let mut counted = 0;
        rows.for_each(Sides::None, &mut |block| {
            counted += block.rows.len() as u64;
            Ok(())
        })?;
        let classes = self.classes(rows)?;
        let frozen = self.frozen_state(missing, given.as_ref())?;
        let fits = match self.options.adaptation {
            Adaptation::Fit(Method::Closed) => true,
            Adaptation::Fit(Method::Infonce) => frozen.adapters.is_none(),
            Adaptation::None | Adaptation::Given(_) => false,
        };
        let aligned = [ScoreColumn::SAS, ScoreColumn::SAS_MARGIN];
        // Neighbours and means are those of images and need no model.
        let class_texts = match fits || missing.iter().any(|column| aligned.contains(column)) {
            true => self.class_texts(classes.as_ref())?,
            false => Vec::new(),
        };
        let adapters = match (&self.options.adaptation, frozen.adapters) {
            (Adaptation::None, _) => None,
            (Adaptation::Given(_), _) => given.map(Fitted::of),
            // In one pass over all rows: what new shards bring is in it, and the answer is that of all at once.
            (Adaptation::Fit(Method::Closed), _) => {
                Some(self.fit(rows, Method::Closed, classes.as_ref(), &class_texts)?)
            }
            (Adaptation::Fit(Method::Infonce), Some(kept)) => Some(Fitted::of(kept)),
            (Adaptation::Fit(Method::Infonce), None) => {
                Some(self.fit(rows, Method::Infonce, classes.as_ref(), &class_texts)?)
            }
        };
        (self.step)("finding the centres of cells".to_owned());
        let wanted = centres::are_wanted(missing, classes.is_some());
        let (known_centres, unused_centres) = match wanted {
            true => (frozen.centres, None),
            false => (None, frozen.centres.filter(|_| classes.is_none())),
        };
        let centres = match (&classes, known_centres) {
            _ if !wanted => None,
            (Some(groups), _) => {
                let dim = self.dim();
                Some(centres::class_means(rows, groups, dim, self.cancelled)?)
            }
            (None, Some(kept)) => Some(kept),
            (None, None) => {
                let cells = self.options.cells;
                let clusters = Clusters {
                    cells: cells.unwrap_or_else(|| centres::cells_for(counted)),
                    dim: self.dim(),
                    seed: self.options.seed,
                    threads: self.budget.threads,
                };
                Some(centres::clusters(rows, clusters, self.cancelled)?)
            }
        };
        Ok(Reference {
            classes,
            class_texts,
            adapters,
            centres,
            unused_centres,
            counted,
        })
    }

    /// Fits adapters anew.
    pub(crate) fn adapters(&self, method: Method) -> Result<Adapters> {
        self.check_embeddings()?;
        let rows = self.rows();
        let classes = self.classes(&rows)?;
        let texts = self.class_texts(classes.as_ref())?;
        let fitted = self.fit(&rows, method, classes.as_ref(), &texts)?;
        Ok(fitted.adapters)
    }

    fn fit(
        &self,
        rows: &StoredRows<'_>,
        method: Method,
        groups: Option<&Groups>,
        class_texts: &[f32],
    ) -> Result<Fitted> {
        (self.step)("fitting adapters".to_owned());
        let classes = groups.map(|groups| (&groups.of_rows, class_texts));
        let buffer_bytes = self.budget.bytes / 4;
        let pairs = StoredPairs::new(rows, self.dim(), classes, buffer_bytes, self.cancelled)?;
        let prompts = self.shards.binding.classes.as_ref();
        let prompts = prompts
            .map(|classes| {
                let prompts = classes.prompts.iter();
                prompts.map(|prompt| told_apart(prompt)).collect()
            })
            .unwrap_or_default();
        let options = FitOptions {
            prompts,
            class_names: groups
                .map(|groups| groups.names.clone())
                .unwrap_or_default(),
            threads: self.budget.threads,
            memory_bytes: self.budget.bytes / 2,
            seed: self.options.seed,
            ..FitOptions::new(self.store.spec().model.fingerprint.as_str())
        };
        adapting::fitted(pairs, method, &options, self.say)
    }

    /// The class of each row; none where pairs have captions.
    fn classes(&self, rows: &StoredRows<'_>) -> Result<Option<Groups>> {
        let Some(classes) = &self.shards.binding.classes else {
            return Ok(None);
        };
        (self.step)("reading class labels".to_owned());
        let known = classes.names.as_deref().unwrap_or_default();
        let column = GroupColumn {
            name: &classes.column,
            known,
            names_of: &|labels| classes.names_of(labels),
        };
        Groups::read(rows, &self.shards.set, column, &self.directory()).map(Some)
    }

    /// Embeds what is said of each class.
    fn class_texts(&self, groups: Option<&Groups>) -> Result<Vec<f32>> {
        match (&self.shards.binding.classes, groups) {
            (Some(classes), Some(groups)) => {
                class_texts(classes, &groups.names, self.dim(), self.embed)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Adapters and centres of the columns that are there, where they may be used again.
    fn frozen_state(&self, missing: &[ScoreColumn], given: Option<&Adapters>) -> Result<Frozen> {
        let Some(known) = self.store.derived() else {
            return Ok(Frozen::default());
        };
        let same = self.spec(missing, given)?.made_with == known.made_with;
        let same_rows = || {
            let rows = self.rows();
            let shards = rows.shards().iter().map(|(_, shard)| &shard.fingerprint);
            shards.eq(&known.shards)
        };
        if !same || !(self.keeps_state || same_rows()) {
            return Ok(Frozen::default());
        }
        let adapters = self.store.artifact(ADAPTERS);
        let centres = self.store.artifact(CENTRES);
        let centres: Option<Vec<f32>> = centres.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Frozen {
            adapters: adapters
                .map(|bytes| Adapters::from_bytes(&bytes))
                .transpose()?,
            centres: centres.and_then(|values| Centroids::from_values(values, self.dim())),
        })
    }
}

/// What an earlier run has left.
#[derive(Default)]
struct Frozen {
    adapters: Option<Adapters>,
    centres: Option<Centroids>,
}
