//! Captions: a ridge from image to caption, mixed into the image, whose strength and share suit rows held out.

use clip_filter_vectors::{Ridge, Rows, apply_linear, blend, log_ranks};

use super::{FOLDS, Found, Gathered, Judged, record, rejected, too_few};
use crate::{
    adapt::{Adapters, ClosedFit, FitOptions, Fitted, adapters::Linear},
    error::{Error, Result},
};

/// In mean variances of images.
const STRENGTHS: [f64; 3] = [0.3, 1.0, 3.0];
/// Of the prediction beside the image.
const SHARES: [f32; 3] = [0.25, 0.5, 1.0];
/// Pairs that are ranked against each other.
const POOL_ROWS: usize = 256;

#[derive(Clone, Copy)]
struct Settings {
    strength: f64,
    share: f32,
}

pub(super) fn fit(gathered: &Gathered, options: &FitOptions) -> Result<Fitted> {
    let mut record = record(gathered, options);
    let folds = (0..FOLDS).map(|fold| Some(Ridge::of(&gathered.totals(Some(fold))?)));
    let folds: Option<Vec<Ridge>> = folds.collect();
    let (Some(folds), Some(all)) = (folds, gathered.totals(None)) else {
        let reason = too_few(gathered.rows());
        return Ok(rejected(gathered, options, record, reason));
    };
    let Some(Found { settings, judged }) = choose(gathered, &folds)? else {
        let reason = too_few(gathered.rows());
        return Ok(rejected(gathered, options, record, reason));
    };
    let Settings { strength, share } = settings;
    let chosen = ClosedFit {
        ridge: Some(strength),
        share: Some(share),
        ..ClosedFit::of(&judged)
    };
    let words = format!(
        "held-out log rank {:.4} as they are, {:.4} at ridge {strength}, share {share}",
        judged.before(),
        judged.after()
    );
    if !record.decide(&judged, chosen, words) {
        let reason = record.reason.clone();
        return Ok(rejected(gathered, options, record, reason));
    }
    let make = |of: &Ridge| -> Option<Adapters> {
        let plain = Adapters::identity(gathered.dim, options.model.as_str(), record.clone());
        Some(plain.blending(Linear::from(of.map(strength)?), share))
    };
    let folds: Option<Vec<Adapters>> = folds.iter().map(make).collect();
    Fitted::again(make(&Ridge::of(&all)), folds)
}

/// The settings with the least ranks.
fn choose(gathered: &Gathered, folds: &[Ridge]) -> Result<Option<Found<Settings>>> {
    let before = ranks(gathered, gathered.held_out.images())?;
    let mut best: Option<Found<Settings>> = None;
    for strength in STRENGTHS {
        let Some(predicted) = predicted(gathered, folds, strength)? else {
            continue;
        };
        for share in SHARES {
            let mut images = predicted.clone();
            let plain = rows(gathered.held_out.images(), gathered.dim)?;
            blend(plain, &mut images, share, gathered.threads);
            let judged = Judged::of(&before, &ranks(gathered, &images)?);
            let settings = Settings { strength, share };
            Found { settings, judged }.take_if_better(&mut best);
        }
    }
    Ok(best)
}

/// What the folds that a row is not in make of its image, at unit length; `None` where there is no fit.
fn predicted(gathered: &Gathered, folds: &[Ridge], strength: f64) -> Result<Option<Vec<f32>>> {
    let dim = gathered.dim;
    let mut all = vec![0.0; gathered.held_out.images().len()];
    for (fold, ridge) in folds.iter().enumerate() {
        let Some(map) = ridge.map(strength) else {
            return Ok(None);
        };
        let of_fold = gathered.held_out.of_fold(fold);
        let images = gathered.held_out.some_images(&of_fold);
        let mapped = apply_linear(
            rows(&images, dim)?,
            &map.weight,
            &map.bias,
            gathered.threads,
        );
        for (row, mapped) in of_fold.into_iter().zip(mapped.chunks_exact(dim)) {
            all[row * dim..(row + 1) * dim].copy_from_slice(mapped);
        }
    }
    Ok(Some(all))
}

/// Log ranks of the rows held out, in pools of even size.
fn ranks(gathered: &Gathered, images: &[f32]) -> Result<Vec<f32>> {
    let (dim, count) = (gathered.dim, gathered.held_out.len());
    let pools = count.div_ceil(POOL_ROWS).max(1);
    let captions = gathered.held_out.captions();
    let mut ranks = Vec::with_capacity(count);
    for pool in 0..pools {
        let (start, end) = (pool * count / pools, (pool + 1) * count / pools);
        let some = |values| Ok::<_, Error>(rows(values, dim)?.slice(start..end));
        let (images, texts) = (some(images)?, some(gathered.held_out.texts())?);
        ranks.extend(log_ranks(images, texts, &captions[start..end]));
    }
    Ok(ranks)
}

fn rows(values: &[f32], dim: usize) -> Result<Rows<'_>> {
    Rows::new(values, dim).ok_or_else(|| Error::internal("put embeddings in rows"))
}
