//! What a fit was like: its losses, and why its adapters are used or not.

use serde::{Deserialize, Serialize, Serializer};

use super::FitOptions;

/// What the images were matched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Softmax cross-entropy over class prompts.
    Labelled,
    /// Symmetric InfoNCE over the captions of a batch.
    Captioned,
}

/// How adapters are fitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// From sums over the pairs, in one pass.
    Closed,
    /// By gradient descent, as published.
    #[default]
    Infonce,
}

/// What a fit in closed form chose, on rows held out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClosedFit {
    /// Mean loss per row held out: log-loss of its class in nats, or log rank of its caption among 256.
    #[serde(serialize_with = "nine_decimals")]
    pub held_out_loss: f64,
    /// Standard error of the fall of that loss.
    #[serde(serialize_with = "nine_decimals")]
    pub gain_error: f64,
    /// Classes: the share of the mean variance in that of every direction.
    pub shrinkage: Option<f64>,
    /// Captions: what is added to the variance of every direction, in mean variances.
    pub ridge: Option<f64>,
    /// Captions: how much of what is predicted is added to an image.
    pub share: Option<f32>,
}

/// Whether adapters are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The held-out loss improved; the weights are those of the best epoch.
    Accepted,
    /// It did not; the weights are the identity.
    Rejected,
    /// Nothing was trained; the weights are the identity.
    Untrained,
}

/// What one epoch did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Mean loss per row, in nats, over the rows trained on, while their weights were still moving.
    #[serde(serialize_with = "nine_decimals")]
    pub training_loss: f64,
    /// Mean loss per row, in nats, over the rows held out, after the epoch.
    #[serde(serialize_with = "nine_decimals")]
    pub held_out_loss: f64,
    /// Standard error of the fall of that loss since the start, in nats.
    #[serde(serialize_with = "nine_decimals")]
    pub gain_error: f64,
    /// The learned scale of logits after the epoch.
    pub logit_scale: f32,
}

/// How adapters came to be; kept in their artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// How they were fitted; a file that does not say it is of gradient descent.
    #[serde(default)]
    pub method: Method,
    /// What the images were matched with.
    pub mode: Mode,
    /// Templates of the class prompts; none with captions.
    pub prompts: Vec<String>,
    /// Number of classes; none with captions.
    pub classes: Option<usize>,
    /// Rows that each epoch trained on; in closed form all.
    pub training_rows: u64,
    /// Rows held out; in closed form some of all, each judged by what the others say.
    pub held_out_rows: u64,
    /// Seed of the order of rows.
    pub seed: u64,
    /// Rows per step; this and what follows up to `lock_text` mean nothing in closed form.
    pub batch_rows: usize,
    /// Learning rate of the weights.
    pub learning_rate: f64,
    /// Pull towards the identity.
    pub weight_decay: f64,
    /// Whether the text side was kept as it is.
    pub lock_text: bool,
    /// Scale of logits at which the embeddings as they are have their least held-out loss.
    pub start_logit_scale: f32,
    /// That loss: mean per row, in nats; see [`ClosedFit::held_out_loss`].
    #[serde(serialize_with = "nine_decimals")]
    pub start_held_out_loss: f64,
    /// The epochs that were run, in order.
    pub epochs: Vec<EpochRecord>,
    /// The epoch whose weights these are; 0 is the identity.
    pub best_epoch: u32,
    /// Whether the adapters are used.
    pub outcome: Outcome,
    /// Why, in words.
    pub reason: String,
    /// What was chosen in closed form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<ClosedFit>,
    /// The version of this program.
    pub tool_version: String,
}

impl TrainingRecord {
    /// Of a fit that has not begun.
    pub(super) fn untrained(method: Method, mode: Mode, options: &FitOptions) -> Self {
        Self {
            method,
            mode,
            prompts: options.prompts.clone(),
            classes: None,
            training_rows: 0,
            held_out_rows: 0,
            seed: options.seed,
            batch_rows: options.batch_rows,
            learning_rate: options.learning_rate,
            weight_decay: options.weight_decay,
            lock_text: options.lock_text,
            start_logit_scale: 1.0,
            start_held_out_loss: 0.0,
            epochs: Vec::new(),
            best_epoch: 0,
            outcome: Outcome::Untrained,
            reason: String::new(),
            closed: None,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Whether the adapters are used.
    pub fn accepted(&self) -> bool {
        self.outcome == Outcome::Accepted
    }
}

/// Few enough digits that a number is read as the one that was written: readers of JSON may be off by the last bit of
/// more, and equal adapters must have equal bytes.
fn nine_decimals<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1e9).round() / 1e9)
}
