//! Adapters in closed form: sums over all pairs in one pass, what follows from them, and whether it helps.
//!
//! Pairs are divided into [`FOLDS`] by a hash of the image's embedding, so that copies stay together. Each fold is judged,
//! and scored, by what the others say. Sums are exact, and rows to judge by are those of the lowest hashes: nothing
//! depends on the order of pairs or on how they are divided among shards.

mod captioned;
mod gathered;
mod labelled;

use clip_filter_vectors::{LinearMap, row_hash};

use super::{
    Adapters, ClosedFit, FitOptions, Fitted, Method, Mode, Outcome, PairSource, TrainingRecord,
    adapters::Linear, judged::Judged,
};
use crate::error::{Error, Result};
use gathered::Gathered;

/// Parts that are scored by what the others say.
pub const FOLDS: usize = 5;

/// The fold of a pair with this image, a unit embedding.
pub fn fold_of(image: &[f32]) -> usize {
    fold_of_hash(row_hash(image))
}

fn fold_of_hash(hash: u64) -> usize {
    usize::try_from(hash % FOLDS as u64).unwrap_or(0)
}

/// Fits adapters to `pairs` in closed form: a discriminant of classes, or a ridge from image to caption.
///
/// Its one or two settings are those of a small grid that are the best on rows held out. It is rejected when these rows
/// gain no more by it than chance may do, two standard errors. The same pairs give the same adapters, in any order and
/// on any number of threads.
///
/// # Errors
/// When a row's embedding is not finite or its class has no prompt, sums of the classes are more than memory may hold, and
/// those of `pairs`.
pub fn fit_closed(pairs: &mut dyn PairSource, options: &FitOptions) -> Result<Fitted> {
    let mut gathered = Gathered::of(pairs, options)?;
    pairs.each(&mut |batch| gathered.add(&batch))?;
    gathered.settle();
    match gathered.is_labelled() {
        true => labelled::fit(&gathered, options),
        false => captioned::fit(&gathered, options),
    }
}

/// What a grid of settings has found.
struct Found<S> {
    settings: S,
    judged: Judged,
}

impl<S> Found<S> {
    /// Takes the place of what has a larger loss; the first of equal ones stays.
    fn take_if_better(self, best: &mut Option<Self>) {
        if best
            .as_ref()
            .is_none_or(|best| self.judged.after() < best.judged.after())
        {
            *best = Some(self);
        }
    }
}

impl TrainingRecord {
    /// Notes what was chosen, and whether it is used: not if `judged` may be chance.
    fn decide(&mut self, judged: &Judged, chosen: ClosedFit, words: String) -> bool {
        self.start_held_out_loss = judged.before();
        self.closed = Some(chosen);
        (self.outcome, self.reason) = match judged.gains() {
            true => (Outcome::Accepted, words),
            false => (
                Outcome::Rejected,
                format!("{words}, no more than chance may do"),
            ),
        };
        self.accepted()
    }
}

impl ClosedFit {
    fn of(judged: &Judged) -> Self {
        Self {
            held_out_loss: judged.after(),
            gain_error: judged.gain_error(),
            shrinkage: None,
            ridge: None,
            share: None,
        }
    }
}

impl Fitted {
    /// Of adapters that were made again with settings that were judged: they can be.
    fn again(all: Option<Adapters>, folds: Option<Vec<Adapters>>) -> Result<Self> {
        match (all, folds) {
            (Some(adapters), Some(folds)) => Ok(Self { adapters, folds }),
            _ => Err(Error::internal("make adapters again that were judged")),
        }
    }
}

/// The record of a fit that is not decided yet.
fn record(gathered: &Gathered, options: &FitOptions) -> TrainingRecord {
    let mode = match gathered.is_labelled() {
        true => Mode::Labelled,
        false => Mode::Captioned,
    };
    TrainingRecord {
        classes: gathered.is_labelled().then(|| gathered.names().len()),
        training_rows: gathered.rows(),
        held_out_rows: gathered.held_out.len() as u64,
        batch_rows: 0,
        learning_rate: 0.0,
        weight_decay: 0.0,
        lock_text: true,
        ..TrainingRecord::untrained(Method::Closed, mode, options)
    }
}

/// Adapters that change nothing, and why.
fn rejected(
    gathered: &Gathered,
    options: &FitOptions,
    record: TrainingRecord,
    reason: String,
) -> Fitted {
    let record = TrainingRecord {
        outcome: Outcome::Rejected,
        reason,
        ..record
    };
    Fitted::of(Adapters::identity(
        gathered.dim,
        options.model.as_str(),
        record,
    ))
}

fn too_few(rows: u64) -> String {
    format!("{rows} pairs are too few to hold some out, or their images do not differ")
}

impl From<LinearMap> for Linear {
    fn from(map: LinearMap) -> Self {
        Self {
            weight: map.weight,
            bias: map.bias,
        }
    }
}

#[cfg(test)]
mod tests;
