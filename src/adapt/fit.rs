//! The training loop: epochs, the held-out loss, and which epoch is kept.

use std::ops::ControlFlow;

use super::{
    Adapters, EpochRecord, FitOptions, Method, Outcome, PairPass, PairSource, Split,
    TrainingRecord,
    batch::{Problem, failed},
    corrections::{Corrections, MIN_LOGIT_SCALE},
    start::Start,
};
use crate::error::{Error, Result};

/// A fall of the held-out loss by fewer standard errors than this is not told from chance.
const LEAST_GAIN_ERRORS: f64 = 2.0;

/// What a fit gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The adapters of the best epoch, or the identity when they were rejected; their record says which.
    pub adapters: Adapters,
    /// In closed form, those that rows of each fold are scored by: fitted to the others. None where nothing is changed.
    pub folds: Vec<Adapters>,
}

impl Fitted {
    /// The same adapters for all rows.
    pub fn of(adapters: Adapters) -> Self {
        Self {
            adapters,
            folds: Vec::new(),
        }
    }

    /// Whether they improve on the embeddings as they are.
    pub fn accepted(&self) -> bool {
        self.adapters.record.accepted()
    }
}

/// Fits adapters to `pairs`, one batch in memory at a time.
///
/// Training stops after [`FitOptions::epochs`], after [`FitOptions::patience`] epochs without a better held-out
/// loss, or when `on_epoch` breaks; the weights of the best epoch are kept. They are rejected when the loss did not
/// fall below that of the embeddings as they are, at the scale of logits that suits those best, by two standard
/// errors. The same pairs and options give the same adapters, on any number of threads.
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
    multiply_on_one_thread();
    let problem = Problem::of(pairs, options)?;
    let start = Start::measure(pairs, &problem, options)?;
    let record = first_record(&problem, options, &start);
    let mut best = Adapters::identity(problem.dim, options.model.as_str(), record.clone());
    let first_scale = start.logit_scale.max(MIN_LOGIT_SCALE);
    let mut training = Training {
        corrections: Corrections::none(&problem, options, first_scale).map_err(failed)?,
        start,
        problem: &problem,
        options,
        record,
    };
    let mut least = start.loss;
    let mut stop = Stop::LastEpoch;
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
            training.copy_to(&mut best).map_err(failed)?;
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

/// Products of this size gain little from more threads, and threads that wait by spinning make a fit four times as
/// slow where cores are shared. candle has no setting of its own; only this room multiplies with its kernels.
fn multiply_on_one_thread() {
    gemm::set_threading_threshold(usize::MAX);
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
    start: Start,
    problem: &'a Problem,
    options: &'a FitOptions,
    record: TrainingRecord,
}

impl Training<'_> {
    fn epoch(&mut self, pairs: &mut dyn PairSource, epoch: u32) -> Result<EpochRecord> {
        let pass = PairPass {
            split: Split::Training,
            epoch,
            seed: self.options.seed,
            batch_rows: self.options.batch_rows,
        };
        let (mut sum, mut rows) = (0.0, 0);
        pairs.read(&pass, &mut |batch| {
            if let Some(batch) = self.problem.tensors(&batch)? {
                let loss = self.corrections.step(&batch).map_err(failed)?;
                sum += f64::from(loss) * batch.rows as f64;
                rows += batch.rows as u64;
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
            held_out_loss: held_out.loss,
            gain_error: held_out.gain_error,
            logit_scale: self.corrections.logit_scale().map_err(failed)?,
        })
    }

    fn copy_to(&self, adapters: &mut Adapters) -> candle_core::Result<()> {
        (adapters.image, adapters.text) = self.corrections.linears(self.problem.dim)?;
        adapters.logit_scale = self.corrections.logit_scale()?;
        Ok(())
    }
}

fn first_record(problem: &Problem, options: &FitOptions, start: &Start) -> TrainingRecord {
    TrainingRecord {
        method: Method::Infonce,
        mode: problem.mode(),
        prompts: options.prompts.clone(),
        classes: problem.classes(),
        training_rows: 0,
        held_out_rows: start.rows,
        seed: options.seed,
        batch_rows: options.batch_rows,
        learning_rate: options.learning_rate,
        weight_decay: options.weight_decay,
        lock_text: options.lock_text,
        start_logit_scale: start.logit_scale,
        start_held_out_loss: start.loss,
        epochs: Vec::new(),
        best_epoch: 0,
        outcome: Outcome::Untrained,
        reason: String::new(),
        closed: None,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
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
    if start - done.held_out_loss <= LEAST_GAIN_ERRORS * done.gain_error {
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
