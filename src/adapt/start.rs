//! Where a fit starts: plain embeddings, and the scale that suits them.

use candle_core::{Device, Tensor};

use super::{
    FitOptions, PairPass, PairSource, Split,
    batch::{BatchTensors, Problem, failed},
    corrections::{Corrections, MAX_LOGIT_SCALE, plain_cosines},
    loss::row_losses,
};
use crate::error::{Error, Result};

/// Scales tried in a pass. Two passes of 25 come within 3 % of the best scale, near which the loss is flat.
const SCALES: u16 = 25;
/// Lowest of them: a softmax over cosines that says next to nothing.
const LOWEST_SCALE: f32 = 0.01;

/// How well the embeddings do as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// The scale of logits with the least held-out loss: a mere rescaling is then no improvement.
    pub(super) logit_scale: f32,
    /// That loss.
    pub(super) loss: f64,
    pub(super) rows: u64,
}

/// How well adapters do on the rows held out.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeldOut {
    /// Mean per row, in nats.
    pub(super) loss: f64,
    /// Standard error of its fall since the start.
    pub(super) gain_error: f64,
}

impl Start {
    /// Finds the scale and the loss of the embeddings as they are.
    pub(super) fn measure(
        pairs: &mut dyn PairSource,
        problem: &Problem,
        options: &FitOptions,
    ) -> Result<Self> {
        let scales = spaced(LOWEST_SCALE, MAX_LOGIT_SCALE);
        let coarse = best_of(&scales, pairs, problem, options)?;
        let ratio = scales[1] / scales[0];
        let low = (coarse.logit_scale / ratio).max(LOWEST_SCALE);
        let high = (coarse.logit_scale * ratio).min(MAX_LOGIT_SCALE);
        let fine = best_of(&spaced(low, high), pairs, problem, options)?;
        Ok(match fine.loss < coarse.loss {
            true => fine,
            false => coarse,
        })
    }

    /// Compares adapters with the start, row by row.
    pub(super) fn compare(
        &self,
        corrections: &Corrections,
        pairs: &mut dyn PairSource,
        problem: &Problem,
        options: &FitOptions,
    ) -> Result<HeldOut> {
        let scale = Tensor::new(&[self.logit_scale], &Device::Cpu).map_err(failed)?;
        let (mut sum, mut gains, mut squares) = (0.0, 0.0, 0.0);
        read(pairs, problem, options, &mut |batch| {
            let before = row_losses(&plain_cosines(batch)?, &scale, &batch.sought)?;
            let after = corrections.row_losses(batch)?;
            let before = before.to_vec1::<f32>()?;
            for (before, after) in before.into_iter().zip(after.to_vec1::<f32>()?) {
                let gain = f64::from(before) - f64::from(after);
                sum += f64::from(after);
                gains += gain;
                squares += gain * gain;
            }
            Ok(())
        })?;
        let rows = self.rows as f64;
        let variance = (squares / rows - (gains / rows).powi(2)).max(0.0);
        Ok(HeldOut {
            loss: sum / rows,
            gain_error: (variance / rows).sqrt(),
        })
    }
}

/// Calls `take` with every batch held out, always the same ones.
fn read(
    pairs: &mut dyn PairSource,
    problem: &Problem,
    options: &FitOptions,
    take: &mut dyn FnMut(&BatchTensors) -> candle_core::Result<()>,
) -> Result<()> {
    let pass = PairPass {
        split: Split::HeldOut,
        epoch: 0,
        seed: options.seed,
        batch_rows: options.batch_rows,
    };
    pairs.read(&pass, &mut |batch| match problem.tensors(&batch)? {
        Some(batch) => take(&batch).map_err(failed),
        None => Ok(()),
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
        let cosines = plain_cosines(batch)?;
        for (scale, sum) in scales.iter().zip(&mut sums) {
            let scale = Tensor::new(&[*scale], &Device::Cpu)?;
            let losses = row_losses(&cosines, &scale, &batch.sought)?;
            *sum += f64::from(losses.sum_all()?.to_scalar::<f32>()?);
        }
        rows += batch.rows as u64;
        Ok(())
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
