use candle_core::{Device, Tensor};

use super::{
    FitOptions, PairSource, Pass, Split,
    batch::{BatchTensors, Problem, failed},
    corrections::{Corrections, MAX_LOGIT_SCALE, MIN_LOGIT_SCALE},
    loss::loss,
};
use crate::error::{Error, Result};

/// Scales tried in a pass. Two passes of 17 come within 2 % of the best scale, near which the loss is flat.
const SCALES: u16 = 17;

/// How well the embeddings do as they are.
pub(super) struct Start {
    /// The scale of logits with the least held-out loss: a mere rescaling is then no improvement.
    pub(super) logit_scale: f32,
    /// That loss.
    pub(super) held_out_loss: f64,
    pub(super) held_out_rows: u64,
}

/// Losses over the rows held out, of the embeddings as they are.
pub(super) fn measure(
    pairs: &mut dyn PairSource,
    problem: &Problem,
    options: &FitOptions,
) -> Result<Start> {
    let mut low = MIN_LOGIT_SCALE;
    let mut high = MAX_LOGIT_SCALE;
    let mut best = best_of(&spaced(low, high), pairs, problem, options)?;
    let ratio = (high / low).powf(1.0 / f32::from(SCALES - 1));
    low = (best.logit_scale / ratio).max(MIN_LOGIT_SCALE);
    high = (best.logit_scale * ratio).min(MAX_LOGIT_SCALE);
    let finer = best_of(&spaced(low, high), pairs, problem, options)?;
    if finer.held_out_loss < best.held_out_loss {
        best = finer;
    }
    Ok(best)
}

/// Calls `take` with every batch held out, always the same ones.
pub(super) fn held_out(
    pairs: &mut dyn PairSource,
    problem: &Problem,
    options: &FitOptions,
    take: &mut dyn FnMut(&BatchTensors) -> candle_core::Result<()>,
) -> Result<()> {
    let pass = Pass {
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
    let as_they_are = Corrections::none(problem, options, MIN_LOGIT_SCALE).map_err(failed)?;
    let mut sums = vec![0.0; scales.len()];
    let mut rows = 0;
    held_out(pairs, problem, options, &mut |batch| {
        let cosines = as_they_are.cosines(batch)?.detach();
        for (scale, sum) in scales.iter().zip(&mut sums) {
            let scale = Tensor::new(&[*scale], &Device::Cpu)?;
            let mean = loss(&cosines, &scale, &batch.sought)?.to_scalar::<f32>()?;
            *sum += f64::from(mean) * batch.rows as f64;
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
            held_out_loss: sum / rows as f64,
            held_out_rows: rows,
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
