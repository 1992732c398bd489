//! Where a fit starts: plain embeddings, and the scale that suits them.

use clip_filter_vectors::{Corrections, MOST_LOGIT_SCALE, PairBatch};

use super::problem::Problem;
use crate::{
    adapt::{FitOptions, PairSource, Split, judged::Judged},
    error::{Error, Result},
};

/// Scales tried in a pass. Two passes of 25 come within 3 % of the best scale, near which the loss is flat.
const SCALES: u16 = 25;
/// Lowest of them: a softmax over cosines that says next to nothing.
const LOWEST_SCALE: f32 = 0.01;

/// How well the embeddings do as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// The scale of logits with the least held-out loss: a mere rescaling is then no improvement.
    pub(super) logit_scale: f32,
    /// That loss: mean per row, in nats.
    pub(super) loss: f64,
    pub(super) rows: u64,
}

impl Start {
    /// Finds the scale and the loss of the embeddings as they are.
    pub(super) fn measure(
        pairs: &mut dyn PairSource,
        problem: &Problem,
        options: &FitOptions,
    ) -> Result<Self> {
        let scales = spaced(LOWEST_SCALE, MOST_LOGIT_SCALE);
        let coarse = best_of(&scales, pairs, problem, options)?;
        let ratio = scales[1] / scales[0];
        let low = (coarse.logit_scale / ratio).max(LOWEST_SCALE);
        let high = (coarse.logit_scale * ratio).min(MOST_LOGIT_SCALE);
        let fine = best_of(&spaced(low, high), pairs, problem, options)?;
        Ok(match fine.loss < coarse.loss {
            true => fine,
            false => coarse,
        })
    }

    /// Compares maps with the start, row by row.
    pub(super) fn compare(
        &self,
        corrections: &Corrections,
        pairs: &mut dyn PairSource,
        problem: &Problem,
        options: &FitOptions,
    ) -> Result<Judged> {
        let mut judged = Judged::default();
        read(pairs, problem, options, &mut |batch| {
            let before = batch.plain_losses(&[self.logit_scale]);
            judged.add(&before[0], &corrections.row_losses(batch));
        })?;
        Ok(judged)
    }
}

/// Calls `take` with every batch held out, always the same ones.
fn read(
    pairs: &mut dyn PairSource,
    problem: &Problem,
    options: &FitOptions,
    take: &mut dyn FnMut(&PairBatch<'_>),
) -> Result<()> {
    let pass = options.pass(Split::HeldOut, 0);
    pairs.read(&pass, &mut |batch| {
        if let Some(batch) = problem.batch(&batch)? {
            take(&batch);
        }
        Ok(())
    })
}

fn best_of(
    scales: &[f32],
    pairs: &mut dyn PairSource,
    problem: &Problem,
    options: &FitOptions,
) -> Result<Start> {
    let mut sums = vec![0.0; scales.len()];
    let mut rows = 0;
    read(pairs, problem, options, &mut |batch| {
        for (losses, sum) in batch.plain_losses(scales).iter().zip(&mut sums) {
            *sum += losses.iter().map(|loss| f64::from(*loss)).sum::<f64>();
        }
        rows += batch.images.len() as u64;
    })?;
    let least = sums
        .iter()
        .zip(scales)
        .min_by(|(a, _), (b, _)| f64::total_cmp(a, b));
    match least {
        Some((sum, scale)) if rows > 0 => Ok(Start {
            logit_scale: *scale,
            loss: sum / rows as f64,
            rows,
        }),
        _ => Err(
            Error::input("hold rows out to see whether adapters help: there are too few")
                .hint("give more pairs, or go on without adapting"),
        ),
    }
}

fn spaced(low: f32, high: f32) -> Vec<f32> {
    let step = (high / low).ln() / f32::from(SCALES - 1);
    (0..SCALES)
        .map(|position| low * (f32::from(position) * step).exp())
        .collect()
}
