//! Adapters by fold: a row is changed by those that were fitted to the other folds.

use super::row_scores::rows;
use crate::{
    adapt::{Adapters, Fitted, fold_of},
    error::Result,
    schema::Side,
};

/// Takes the adapters of a fold, its rows and their images.
pub(super) type TakeFold<'a> = &'a mut dyn FnMut(&Adapters, &[usize], &[f32]) -> Result<()>;

/// Whose adapters change which rows.
#[derive(Clone, Copy)]
pub(super) struct FoldAdapters<'a> {
    pub(super) fitted: Option<&'a Fitted>,
    /// Numbers per embedding.
    pub(super) dim: usize,
    pub(super) threads: usize,
}

impl FoldAdapters<'_> {
    /// True if rows of each fold have adapters of their own.
    pub(super) fn has_folds(&self) -> bool {
        self.fitted.is_some_and(|fitted| !fitted.folds.is_empty())
    }

    /// Every image as the folds that it is not in adapt it; none where nothing is changed.
    pub(super) fn images(&self, images: &[f32]) -> Result<Option<Vec<f32>>> {
        if !self.has_folds() {
            return self.of_all(Side::Image, images);
        }
        let (dim, threads) = (self.dim, self.threads);
        let mut all = images.to_vec();
        self.each_fold(images, &mut |adapters, of_fold, images| {
            let Some(adapted) = adapters.apply_with(Side::Image, images, threads)? else {
                return Ok(());
            };
            for (&row, adapted) in of_fold.iter().zip(adapted.chunks_exact(dim)) {
                all[row * dim..(row + 1) * dim].copy_from_slice(adapted);
            }
            Ok(())
        })?;
        Ok(Some(all))
    }

    /// Embeddings as the adapters of all rows change them; none where nothing is changed.
    pub(super) fn of_all(&self, side: Side, values: &[f32]) -> Result<Option<Vec<f32>>> {
        let adapters = self.fitted.map(|fitted| &fitted.adapters);
        adapted(adapters, side, values, self.threads)
    }

    /// Calls `take` for each fold with its adapters, its rows and their images; once with all rows where there are no folds.
    pub(super) fn each_fold(&self, images: &[f32], take: TakeFold<'_>) -> Result<()> {
        let Some(fitted) = self.fitted.filter(|_| !images.is_empty()) else {
            return Ok(());
        };
        let images = rows(images, self.dim)?;
        let all: Vec<usize> = (0..images.len()).collect();
        if fitted.folds.is_empty() {
            return take(&fitted.adapters, &all, images.values());
        }
        let folds: Vec<usize> = all.iter().map(|&row| fold_of(images.row(row))).collect();
        for (fold, adapters) in fitted.folds.iter().enumerate() {
            let of_fold: Vec<usize> = all
                .iter()
                .copied()
                .filter(|&row| folds[row] == fold)
                .collect();
            let of_rows = of_fold.iter().flat_map(|&row| images.row(row));
            let of_rows: Vec<f32> = of_rows.copied().collect();
            take(adapters, &of_fold, &of_rows)?;
        }
        Ok(())
    }
}

/// Adapted embeddings; none where adapters change nothing.
pub(super) fn adapted(
    adapters: Option<&Adapters>,
    side: Side,
    values: &[f32],
    threads: usize,
) -> Result<Option<Vec<f32>>> {
    match adapters {
        Some(adapters) if !values.is_empty() => adapters.apply_with(side, values, threads),
        _ => Ok(None),
    }
}
