//! What columns from embeddings are made with.

use std::path::PathBuf;

use super::target;
use crate::{
    adapt::{Adapters, Method},
    error::{Error, Result},
    schema::ScoreColumn,
};

/// Weight of the published objective's diversity term.
pub const DEFAULT_DIVERSITY_WEIGHT: f32 = 0.1;

/// Whose adapters correct embeddings before they are compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Adaptation {
    /// Nobody's: plain CLIP.
    #[default]
    None,
    /// Fitted to the pairs themselves.
    Fit(Method),
    /// Fitted before, from this file.
    Given(PathBuf),
}

/// What derived columns are made with.
///
/// | column | of | source |
/// |---|---|---|
/// | `cell` | class, or cluster of spherical k-means on the image embeddings | |
/// | `sas` | cosine of adapted image and adapted text (caption, or prompt of the class) | arXiv 2410.11215 |
/// | `sas_margin` | `sas` minus that of the best other class, or of the best other caption of a pool of 256 | |
/// | `sas`, `sas_margin` after a closed form of classes | a discriminant's score of the class instead of the cosine | |
/// | `sds` | mean Euclidean distance of the adapted image to its K nearest within the cell | arXiv 2410.11215 |
/// | `s_cliploss` | cosine of image and text against the soft maximum over a pool of pairs | arXiv 2405.19547 |
/// | `dup_max_sim` | largest cosine to an image of the cell that is closer to its mean | SemDeDup, arXiv 2303.09540 |
/// | `proto_dist` | 1 - cosine to the nearest cluster centre or mean of a class | arXiv 2206.14486 |
/// | `moderate` | distance to the mean of the cell, against the median one | Moderate coreset, ICLR 2023 |
/// | `normsim_inf`, `normsim_2`, `vas` | against the embeddings of a target set | arXiv 2405.19547, 2402.02055 |
/// | `selection_score` | what `align-diverse` orders rows by | arXiv 2410.11215 |
///
/// All are made over the good rows that pass the part of `--where` that needs no score. Memory is bounded by the
/// run's limit, temporary files in the store's directory take what the embeddings do as `f32`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MethodOptions {
    /// Whose adapters are used.
    pub adaptation: Adaptation,
    /// Number of clusters where pairs have no class; by the number of rows if `None`.
    pub cells: Option<u32>,
    /// Neighbours that `sds` looks at; a tenth of the cell, but 50 to 100, if `None`.
    pub neighbours: Option<u32>,
    /// Weight of diversity beside alignment.
    pub diversity_weight: f32,
    /// Parquet file with a column `image_embedding`, the target set.
    pub target: Option<PathBuf>,
    /// Of everything that is random.
    pub seed: u64,
}

impl Default for MethodOptions {
    fn default() -> Self {
        Self {
            adaptation: Adaptation::None,
            cells: None,
            neighbours: None,
            diversity_weight: DEFAULT_DIVERSITY_WEIGHT,
            target: None,
            seed: 0,
        }
    }
}

impl MethodOptions {
    /// As [`Self::default`]: plain CLIP, by the number of rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compares embeddings that these adapters have corrected.
    #[must_use]
    pub fn with_adaptation(mut self, adaptation: Adaptation) -> Self {
        self.adaptation = adaptation;
        self
    }

    /// Makes so many clusters where pairs have no class.
    #[must_use]
    pub fn with_cells(mut self, cells: u32) -> Self {
        self.cells = Some(cells);
        self
    }

    /// Looks at so many neighbours for `sds`.
    #[must_use]
    pub fn with_neighbours(mut self, neighbours: u32) -> Self {
        self.neighbours = Some(neighbours);
        self
    }

    /// Weighs diversity so beside alignment.
    #[must_use]
    pub fn with_diversity_weight(mut self, weight: f32) -> Self {
        self.diversity_weight = weight;
        self
    }

    /// Compares with the embeddings of this Parquet file.
    #[must_use]
    pub fn with_target(mut self, file: impl Into<PathBuf>) -> Self {
        self.target = Some(file.into());
        self
    }

    /// Draws everything that is random from this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// What `columns` are computed from too.
pub(crate) fn with_inputs(columns: &[ScoreColumn]) -> Vec<ScoreColumn> {
    let mut all = columns.to_vec();
    let mut seen = 0;
    while let Some(column) = all.get(seen) {
        let needs = column.needs();
        all.extend(needs);
        seen += 1;
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Refuses columns that need what was not given or cannot be read, so that it is known before anything is encoded.
pub(crate) fn check(columns: &[ScoreColumn], options: &MethodOptions) -> Result<()> {
    if let (Adaptation::Given(path), false) = (&options.adaptation, columns.is_empty()) {
        Adapters::read(path)?;
    }
    let Some(column) = columns.iter().find(|column| column.is_of_target()) else {
        return Ok(());
    };
    match &options.target {
        Some(target) => target::check(target),
        None => Err(Error::usage(format!(
            "compute {}: no target set was given",
            column.name()
        ))
        .hint(
            "--target FILE, a Parquet file with image_embedding (--add image_embedding writes one)",
        )),
    }
}
