//! Scores that a row has on its own: one stretch of rows after another.

use std::collections::{BTreeMap, HashMap};

use clip_filter_vectors::{
    Centroids, Moment, Rows, TargetRows, apply_linear, best_others, class_matches, paired_products,
};

use super::{scratch::NO_CELL, stored_pairs::caption_id, stored_rows::Block};
use crate::{
    adapt::Adapters,
    error::{Error, Result},
    schema::{ScoreColumn, Side},
};

/// What `sas` compares images with.
pub(super) enum Texts {
    /// Each with its own caption; margins against a pool of captions.
    Captions(Pool),
    /// Each with the text of its class: adapted texts of all classes.
    Classes(Vec<f32>),
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
    pub(super) adapters: Option<&'a Adapters>,
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
    /// Adapted images, where adapters change them.
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
        scored.adapted = self.adapt(Side::Image, &block.images, block.dim);
        let images = rows(
            scored.adapted.as_deref().unwrap_or(&block.images),
            block.dim,
        )?;
        self.align(block, images, classes, &mut scored.columns)?;
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

    fn align(
        &self,
        block: &Block,
        images: Rows<'_>,
        classes: Option<&[u32]>,
        columns: &mut BTreeMap<ScoreColumn, Vec<f32>>,
    ) -> Result<()> {
        let margin_wanted = self.wanted.contains(&ScoreColumn::SAS_MARGIN);
        if !margin_wanted && !self.wanted.contains(&ScoreColumn::SAS) {
            return Ok(());
        }
        let (alignments, others) = match (&self.texts, classes) {
            (Texts::Classes(texts), Some(classes)) => {
                // A row without a class is compared with any, and its scores are taken away below.
                let labels: Vec<u32> = classes
                    .iter()
                    .map(|&class| if class == NO_CELL { 0 } else { class })
                    .collect();
                let matches = class_matches(images, rows(texts, block.dim)?, &labels, self.threads);
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
                let adapted = self.adapt(Side::Text, &block.texts, block.dim);
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
            (Texts::Classes(_), None) => return Err(Error::internal("find the classes of rows")),
        };
        let alignments: Vec<f32> = alignments;
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

    fn adapt(&self, side: Side, values: &[f32], dim: usize) -> Option<Vec<f32>> {
        adapted(self.adapters, side, values, dim, self.threads)
    }
}

/// Adapted embeddings; none where adapters change nothing.
pub(super) fn adapted(
    adapters: Option<&Adapters>,
    side: Side,
    values: &[f32],
    dim: usize,
    threads: usize,
) -> Option<Vec<f32>> {
    let adapters = adapters.filter(|adapters| !adapters.is_identity(side))?;
    let (weight, bias) = adapters.weights(side);
    Some(apply_linear(Rows::new(values, dim)?, weight, bias, threads))
}

pub(super) fn rows(values: &[f32], dim: usize) -> Result<Rows<'_>> {
    Rows::new(values, dim).ok_or_else(|| Error::internal("put embeddings in rows"))
}
