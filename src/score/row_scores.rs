//! Scores that a row has on its own: one stretch of rows after another.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use clip_filter_vectors::{
    Centroids, ClassMatch, Moment, Rows, TargetRows, best_others, class_matches, linear_matches,
    paired_products,
};

use super::{
    fold_adapters::FoldAdapters, scratch::NO_CELL, stored_pairs::caption_id, stored_rows::Block,
};
use crate::{
    adapt::Fitted,
    error::{Error, Result},
    schema::{ScoreColumn, Side},
};

/// What `sas` compares images with.
pub(super) enum Texts {
    /// Each with its own caption; margins against a pool of captions.
    Captions(Pool),
    /// Each with the text of its class: adapted texts of all classes.
    Classes(Vec<f32>),
    /// None: adapters score classes. Where each class is among theirs.
    Scored(Vec<Option<u32>>),
}

/// Captions that others are compared with, adapted.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) texts: Vec<f32>,
    /// Where a caption is in the pool, by [`caption_id`] of its embedding before it is adapted.
    pub(super) by_id: HashMap<u64, usize>,
}

/// The target set.
pub(super) struct Target {
    pub(super) rows: TargetRows,
    pub(super) moment: Moment,
}

/// What scores of rows are made with.
pub(super) struct RowScorer<'a> {
    pub(super) wanted: &'a [ScoreColumn],
    pub(super) fitted: Option<&'a Fitted>,
    pub(super) texts: Texts,
    /// Centres of clusters, or means of classes.
    pub(super) centroids: Option<&'a Centroids>,
    /// Rows get the cell of the nearest centroid.
    pub(super) assigns_cells: bool,
    pub(super) target: Option<&'a Target>,
    pub(super) threads: usize,
}

/// Scores of the rows of a block that count.
pub(super) struct Scored {
    pub(super) columns: BTreeMap<ScoreColumn, Vec<f32>>,
    pub(super) cells: Option<Vec<u32>>,
    /// Images that all rows' adapters have changed, where these change them and neighbours are sought.
    pub(super) adapted: Option<Vec<f32>>,
}

impl RowScorer<'_> {
    /// `classes` are those of the rows that count.
    pub(super) fn score(&self, block: &Block, classes: Option<&[u32]>) -> Result<Scored> {
        let mut scored = Scored {
            columns: BTreeMap::new(),
            cells: classes.map(<[u32]>::to_vec),
            adapted: None,
        };
        if block.rows.is_empty() {
            for column in self.wanted {
                scored.columns.insert(*column, Vec::new());
            }
            return Ok(scored);
        }
        // Distances are measured in one space, alignments with what the other folds say.
        if self.wanted.contains(&ScoreColumn::SDS) {
            scored.adapted = self.adapters(block).of_all(Side::Image, &block.images)?;
        }
        self.align(block, classes, &mut scored)?;
        let originals = rows(&block.images, block.dim)?;
        if let Some(centroids) = self.centroids {
            let nearest = centroids.nearest(originals, self.threads);
            if self.wanted.contains(&ScoreColumn::PROTO_DIST) {
                let distances = nearest.iter().map(|(_, cosine)| 1.0 - cosine);
                scored
                    .columns
                    .insert(ScoreColumn::PROTO_DIST, distances.collect());
            }
            if self.assigns_cells {
                scored.cells = Some(nearest.iter().map(|(cell, _)| *cell).collect());
            }
        }
        if let Some(target) = self.target {
            let mut add = |column: ScoreColumn, of: &dyn Fn() -> Vec<f32>| {
                if self.wanted.contains(&column) {
                    scored.columns.insert(column, of());
                }
            };
            add(ScoreColumn::NORMSIM_INF, &|| {
                target.rows.largest(originals, self.threads)
            });
            add(ScoreColumn::NORMSIM_2, &|| {
                target.moment.norm2(originals, self.threads)
            });
            add(ScoreColumn::VAS, &|| {
                target.moment.variance_alignment(originals, self.threads)
            });
        }
        Ok(scored)
    }

    fn align(&self, block: &Block, classes: Option<&[u32]>, scored: &mut Scored) -> Result<()> {
        let margin_wanted = self.wanted.contains(&ScoreColumn::SAS_MARGIN);
        if !margin_wanted && !self.wanted.contains(&ScoreColumn::SAS) {
            return Ok(());
        }
        let (alignments, others) = match (&self.texts, classes) {
            (Texts::Classes(_) | Texts::Scored(_), Some(classes)) => {
                let matches = self.class_matches(block, classes, scored)?;
                let own = matches.iter().zip(classes);
                let own = own.map(|(found, &class)| {
                    if class == NO_CELL {
                        f32::NAN
                    } else {
                        found.own
                    }
                });
                (
                    own.collect(),
                    matches.iter().map(|found| found.best_other).collect(),
                )
            }
            (Texts::Captions(pool), _) => {
                let images = self.aligned_images(block, scored)?;
                let images = rows(&images, block.dim)?;
                let adapted = self.adapters(block).of_all(Side::Text, &block.texts)?;
                let texts = rows(adapted.as_deref().unwrap_or(&block.texts), block.dim)?;
                let others = if margin_wanted {
                    let ids = (0..block.rows.len()).map(|row| caption_id(block.text(row)));
                    let own: Vec<Option<usize>> =
                        ids.map(|id| pool.by_id.get(&id).copied()).collect();
                    best_others(images, rows(&pool.texts, block.dim)?, &own, self.threads)
                } else {
                    Vec::new()
                };
                (paired_products(images, texts), others)
            }
            (Texts::Classes(_) | Texts::Scored(_), None) => {
                return Err(Error::internal("find the classes of rows"));
            }
        };
        let alignments: Vec<f32> = alignments;
        let columns = &mut scored.columns;
        if margin_wanted {
            let margins = alignments.iter().zip(&others);
            // Where there is no other, there is no margin.
            let margins = margins.map(|(own, other)| match other.is_finite() {
                true => own - other,
                false => f32::NAN,
            });
            columns.insert(ScoreColumn::SAS_MARGIN, margins.collect());
        }
        let cosines = alignments.iter().map(|cosine| cosine.clamp(-1.0, 1.0));
        columns.insert(ScoreColumn::SAS, cosines.collect());
        Ok(())
    }

    /// How rows stand to their class and the best other; of no meaning for a row without one.
    fn class_matches(
        &self,
        block: &Block,
        classes: &[u32],
        scored: &Scored,
    ) -> Result<Vec<ClassMatch>> {
        let mut labels: Vec<u32> = classes
            .iter()
            .map(|&class| if class == NO_CELL { 0 } else { class })
            .collect();
        let places = match &self.texts {
            Texts::Scored(places) => places,
            Texts::Classes(texts) => {
                let images = self.aligned_images(block, scored)?;
                let images = rows(&images, block.dim)?;
                return Ok(class_matches(
                    images,
                    rows(texts, block.dim)?,
                    &labels,
                    self.threads,
                ));
            }
            Texts::Captions(_) => return Err(Error::internal("find the texts of classes")),
        };
        for (label, class) in labels.iter_mut().zip(classes) {
            let place = usize::try_from(*label)
                .ok()
                .and_then(|label| *places.get(label)?);
            *label = match (place, *class) {
                (Some(place), _) => place,
                (None, NO_CELL) => 0,
                (None, _) => return Err(unknown_class()),
            };
        }
        let none = ClassMatch {
            own: f32::NAN,
            best_other: f32::NAN,
        };
        let mut matches = vec![none; labels.len()];
        self.adapters(block)
            .each_fold(&block.images, &mut |adapters, of_fold, images| {
                let scores = adapters.class_scores();
                let scores = scores.ok_or_else(|| Error::internal("find the scores of classes"))?;
                let labels: Vec<u32> = of_fold.iter().map(|&row| labels[row]).collect();
                let images = rows(images, block.dim)?;
                let found =
                    linear_matches(images, scores.classes(block.dim)?, &labels, self.threads);
                of_fold
                    .iter()
                    .zip(found)
                    .for_each(|(&row, found)| matches[row] = found);
                Ok(())
            })?;
        Ok(matches)
    }

    /// Every image as the folds that it is not in adapt it.
    fn aligned_images<'a>(&self, block: &'a Block, scored: &'a Scored) -> Result<Cow<'a, [f32]>> {
        let adapters = self.adapters(block);
        if let (false, Some(adapted)) = (adapters.has_folds(), &scored.adapted) {
            return Ok(Cow::Borrowed(adapted));
        }
        let adapted = adapters.images(&block.images)?;
        Ok(adapted.map_or(Cow::Borrowed(&block.images), Cow::Owned))
    }

    fn adapters(&self, block: &Block) -> FoldAdapters<'_> {
        FoldAdapters {
            fitted: self.fitted,
            dim: block.dim,
            threads: self.threads,
        }
    }
}

fn unknown_class() -> Error {
    Error::input("use the adapters: a row has a class that they were not fitted to")
        .hint("fit them anew with --adapt, or name the classes as they were then (--class-names)")
}

pub(super) fn rows(values: &[f32], dim: usize) -> Result<Rows<'_>> {
    Rows::new(values, dim).ok_or_else(|| Error::internal("put embeddings in rows"))
}
