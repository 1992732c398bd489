//! Adapters by gradient descent, as published: epochs, the held-out loss, and which epoch is kept.
//!
//! One map per side on unit embeddings, from the identity, trained batch by batch against class prompts or against the
//! other captions of a batch.
//!
//! # Source
//! arXiv 2410.11215, dataset adaptation. Published: one linear layer per side on raw encoder outputs, randomly
//! initialised. Here: on unit embeddings, from the identity, with an early stop and a rejection.

mod problem;
mod start;

use std::ops::ControlFlow;

use clip_filter_vectors::{Corrections, Descent, Trained};

use super::{
    Adapters, EpochRecord, FitOptions, Fitted, Method, Outcome, PairSource, Split, TrainingRecord,
    adapters::Linear, judged::falls,
};
use crate::error::{Error, Result};
use problem::Problem;
use start::Start;

/// Fits adapters to `pairs`, one batch in memory at a time.
///
/// Training stops after [`FitOptions::epochs`], after [`FitOptions::patience`] epochs without a better held-out
/// loss, or when `on_epoch` breaks; the weights of the best epoch are kept. They are rejected when the loss did not
/// fall below that of the embeddings as they are, at the scale of logits that suits those best, by two standard
/// errors. The same pairs and options give the same adapters.
///
/// # Errors
/// When options make no sense, a row's embedding is not finite or its label has no prompt, no row is held out or
/// none is left, and those of `pairs`.
pub fn fit(
    pairs: &mut dyn PairSource,
    options: &FitOptions,
    on_epoch: &mut dyn FnMut(&EpochRecord) -> ControlFlow<()>,
) -> Result<Fitted> {
    options.check()?;
    let problem = Problem::of(pairs, options)?;
    let start = Start::measure(pairs, &problem, options)?;
    let mut training = Training {
        corrections: Corrections::none(problem.dim, start.logit_scale, descent(options)),
        record: TrainingRecord {
            classes: problem.classes(),
            held_out_rows: start.rows,
            start_logit_scale: start.logit_scale,
            start_held_out_loss: start.loss,
            ..TrainingRecord::untrained(Method::Infonce, problem.mode(), options)
        },
        problem: &problem,
        start,
        options,
    };
    let identity =
        || Adapters::identity(problem.dim, options.model.as_str(), training.record.clone());
    let mut best = identity();
    let mut stop = Stop::LastEpoch;
    let mut least = start.loss;
    for epoch in 1..=options.epochs {
        let done = training.epoch(pairs, epoch)?;
        if !(done.training_loss.is_finite() && done.held_out_loss.is_finite()) {
            stop = Stop::Diverged;
            break;
        }
        training.record.epochs.push(done);
        if done.held_out_loss < least {
            least = done.held_out_loss;
            training.record.best_epoch = epoch;
            training.copy_to(&mut best);
        }
        if on_epoch(&done).is_break() {
            stop = Stop::Asked;
            break;
        }
        if epoch - training.record.best_epoch >= options.patience.max(1) {
            stop = Stop::NoBetter;
            break;
        }
    }
    Ok(decided(best, training.record, stop))
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
fn descent(options: &FitOptions) -> Descent {
    Descent {
        learning_rate: options.learning_rate as f32,
        weight_decay: options.weight_decay as f32,
        lock_text: options.lock_text,
    }
}

/// Why training ended.
#[derive(Clone, Copy)]
enum Stop {
    LastEpoch,
    NoBetter,
    Asked,
    Diverged,
}

impl Stop {
    fn as_str(self) -> &'static str {
        match self {
            Stop::LastEpoch => "all epochs were run",
            Stop::NoBetter => "later epochs were no better",
            Stop::Asked => "stopped when asked",
            Stop::Diverged => "the next epoch diverged: a lower learning rate may help",
        }
    }
}

struct Training<'a> {
    corrections: Corrections,
    record: TrainingRecord,
    problem: &'a Problem,
    start: Start,
    options: &'a FitOptions,
}

impl Training<'_> {
    fn epoch(&mut self, pairs: &mut dyn PairSource, epoch: u32) -> Result<EpochRecord> {
        let pass = self.options.pass(Split::Training, epoch);
        let (mut sum, mut rows) = (0.0, 0);
        pairs.read(&pass, &mut |batch| {
            if let Some(batch) = self.problem.batch(&batch)? {
                let loss = self.corrections.step(&batch);
                sum += f64::from(loss) * batch.images.len() as f64;
                rows += batch.images.len() as u64;
            }
            Ok(())
        })?;
        if rows == 0 {
            return Err(Error::input("fit adapters: no row is left to train on")
                .hint("give more pairs, or go on without adapting"));
        }
        self.record.training_rows = rows;
        let held_out = self
            .start
            .compare(&self.corrections, pairs, self.problem, self.options)?;
        Ok(EpochRecord {
            epoch,
            training_loss: sum / rows as f64,
            held_out_loss: held_out.after(),
            gain_error: held_out.gain_error(),
            logit_scale: self.corrections.logit_scale(),
        })
    }

    fn copy_to(&self, adapters: &mut Adapters) {
        adapters.image = self.corrections.image().into();
        if let Some(text) = self.corrections.text() {
            adapters.text = text.into();
        }
        adapters.logit_scale = self.corrections.logit_scale();
    }
}

impl From<Trained> for Linear {
    fn from(map: Trained) -> Self {
        Self {
            weight: map.weight,
            bias: map.bias,
        }
    }
}

fn decided(best: Adapters, mut record: TrainingRecord, stop: Stop) -> Fitted {
    let start = record.start_held_out_loss;
    let stopped = stop.as_str();
    let epochs = record.epochs.iter();
    let Some(done) = epochs.rev().find(|done| done.epoch == record.best_epoch) else {
        record.reason = format!("no epoch had a held-out loss below {start:.4}; {stopped}");
        return rejected(best, record);
    };
    let change = format!(
        "held-out loss {start:.4} before training, {:.4} after epoch {}",
        done.held_out_loss, done.epoch
    );
    if !falls(start - done.held_out_loss, done.gain_error) {
        record.reason = format!("{change}, no more than chance may do; {stopped}");
        return rejected(best, record);
    }
    record.outcome = Outcome::Accepted;
    record.reason = format!("{change}; {stopped}");
    Fitted::of(Adapters { record, ..best })
}

fn rejected(best: Adapters, mut record: TrainingRecord) -> Fitted {
    record.best_epoch = 0;
    record.outcome = Outcome::Rejected;
    Fitted::of(Adapters::identity(best.dim, best.model, record))
}
