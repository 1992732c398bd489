//! What a fit is asked to do.

use super::{PairPass, Split};
use crate::error::{Error, Result};

/// Rows per step, and with captions the number of negatives plus one. Four times as much is no better.
pub const DEFAULT_BATCH_ROWS: usize = 256;
/// Most epochs. Later ones bring next to nothing, and the early stop ends most fits before.
pub const DEFAULT_EPOCHS: u32 = 10;
/// Usual for AdamW. Three times as much separates wrong labels no better and stops earlier.
const DEFAULT_LEARNING_RATE: f64 = 1e-3;
/// Usual for AdamW. Between 0 and ten times as much nothing changes: the early stop does its work.
const DEFAULT_WEIGHT_DECAY: f64 = 1e-2;
/// Epochs without a better held-out loss that are waited for.
const DEFAULT_PATIENCE: u32 = 2;

/// How to fit adapters.
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// Fingerprint of the model whose embeddings are fitted.
    pub model: String,
    /// Templates of the class prompts, for the record; none with captions.
    pub prompts: Vec<String>,
    /// Names of the classes, in the order of [`super::PairSource::class_texts`]; none with captions. In closed form
    /// classes are told by them.
    pub class_names: Vec<String>,
    /// Threads of a fit in closed form.
    pub threads: usize,
    /// What the sums of a fit in closed form may take.
    pub memory_bytes: usize,
    /// Most epochs.
    pub epochs: u32,
    /// Epochs without a better held-out loss after which training stops.
    pub patience: u32,
    /// Learning rate of the weights.
    pub learning_rate: f64,
    /// Pull of the weights towards the identity.
    pub weight_decay: f64,
    /// Rows per step; with captions the negatives come from within it.
    pub batch_rows: usize,
    /// Seeds the order of rows; nothing else is random.
    pub seed: u64,
    /// Keeps the text side as it is: half the work, and training it too separates wrong labels no better.
    pub lock_text: bool,
}

impl FitOptions {
    /// The defaults, for embeddings of the model with this fingerprint.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            prompts: Vec::new(),
            class_names: Vec::new(),
            threads: 1,
            memory_bytes: usize::MAX,
            epochs: DEFAULT_EPOCHS,
            patience: DEFAULT_PATIENCE,
            learning_rate: DEFAULT_LEARNING_RATE,
            weight_decay: DEFAULT_WEIGHT_DECAY,
            batch_rows: DEFAULT_BATCH_ROWS,
            seed: 0,
            lock_text: true,
        }
    }

    /// A pass over the rows of a split in this order; epoch 0 only looks at them.
    pub(super) fn pass(&self, split: Split, epoch: u32) -> PairPass {
        PairPass {
            split,
            epoch,
            seed: self.seed,
            batch_rows: self.batch_rows,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let refused = |what: &'static str, value: String, hint: &str| {
            Err(Error::usage("fit adapters with these options")
                .with(what, value)
                .hint(hint))
        };
        if self.epochs == 0 {
            return refused("epochs", self.epochs.to_string(), "give at least 1");
        }
        if self.batch_rows < 2 {
            return refused("batch rows", self.batch_rows.to_string(), "give at least 2");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            let value = self.learning_rate.to_string();
            return refused("learning rate", value, "give a number over 0, as 1e-3");
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            let value = self.weight_decay.to_string();
            return refused("weight decay", value, "give 0 or more, as 1e-2");
        }
        Ok(())
    }
}
