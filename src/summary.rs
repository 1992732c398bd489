//! What a run did: counts, times per stage, and the summary built from them.

mod span;
mod stages;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{error::Error, trace::Trace};

use span::nanos;
pub use span::{PassSpan, Span};
pub use stages::{Pass, Stage, Wait, WaitSecs};

/// Counters that workers add to while a run goes on; all are totals over threads.
#[derive(Debug, Default)]
pub struct Counters {
    busy_nanos: [AtomicU64; 4],
    /// By stage, then by [`Wait`].
    wait_nanos: [[AtomicU64; 2]; 4],
    pass_nanos: [AtomicU64; 5],
    /// Rows of all shards.
    pub rows_total: AtomicU64,
    /// Rows that the scan left out by a condition on input columns.
    pub rows_skipped: AtomicU64,
    /// Rows of which a column that the condition names is NaN, where rows are read once.
    pub rows_nan: AtomicU64,
    /// Rows that have left the encode operator.
    pub rows_done: AtomicU64,
    /// Bad rows among them.
    pub rows_bad: AtomicU64,
    /// Rows written.
    pub rows_written: AtomicU64,
    /// Images decoded.
    pub images_decoded: AtomicU64,
    /// Those whose metadata say that they have to be turned, and that were not.
    pub images_unturned: AtomicU64,
    /// Those whose file ends early, and that were filled.
    pub images_filled: AtomicU64,
    /// Distinct captions encoded, summed over batches.
    pub captions_encoded: AtomicU64,
    /// Calls of a tower.
    pub model_batches: AtomicU64,
    /// Most rows of a model batch after memory was too small for more; 0 while it never was.
    model_batch_rows: AtomicU64,
    /// What is done where no pairs are counted.
    step: Mutex<String>,
    trace: OnceLock<Arc<Trace>>,
}

impl Counters {
    /// Draws what is counted from now on into `trace`; the first one stays.
    pub fn draw_into(&self, trace: Arc<Trace>) {
        // A second trace would have half of the events.
        let _ = self.trace.set(trace);
    }

    fn trace(&self) -> Option<&Trace> {
        self.trace.get().map(Arc::as_ref)
    }

    /// Says what is done where no pairs are counted; nothing if it is empty.
    pub fn set_step(&self, step: impl Into<String>) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step.into();
    }

    /// What [`Counters::set_step`] said last.
    pub fn step(&self) -> String {
        self.step
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says that memory was too small for more than `rows` rows of a model batch.
    pub fn lower_model_batch(&self, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        let lower = |known| (known == 0 || rows < known).then_some(rows);
        // It fails where another encoder was there before with less.
        let _ = self
            .model_batch_rows
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower);
    }

    /// The least that [`Counters::lower_model_batch`] was told, none if it never was.
    pub fn lowered_model_batch(&self) -> Option<u64> {
        Some(self.model_batch_rows.load(Ordering::Relaxed)).filter(|&rows| rows > 0)
    }

    /// Adds busy time of one thread to `stage`; [`Counters::span`] measures it.
    pub fn add_busy(&self, stage: Stage, time: Duration) {
        self.busy_nanos[stage as usize].fetch_add(nanos(time), Ordering::Relaxed);
    }

    /// Busy time of `stage`, summed over its threads.
    pub fn busy(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.busy_nanos[stage as usize].load(Ordering::Relaxed))
    }

    /// Adds waiting time of one thread to `stage`; [`Counters::wait`] measures it.
    pub fn add_wait(&self, stage: Stage, wait: Wait, time: Duration) {
        let waits = &self.wait_nanos[stage as usize];
        waits[wait as usize].fetch_add(nanos(time), Ordering::Relaxed);
    }

    /// Waiting time of `stage`, summed over its threads.
    pub fn waited(&self, stage: Stage, wait: Wait) -> Duration {
        let waits = &self.wait_nanos[stage as usize];
        Duration::from_nanos(waits[wait as usize].load(Ordering::Relaxed))
    }

    /// Adds to the time of `pass`; [`Counters::pass`] measures it.
    pub fn add_pass(&self, pass: Pass, time: Duration) {
        self.pass_nanos[pass as usize].fetch_add(nanos(time), Ordering::Relaxed);
    }

    /// Wall time of `pass`.
    pub fn passed(&self, pass: Pass) -> Duration {
        Duration::from_nanos(self.pass_nanos[pass as usize].load(Ordering::Relaxed))
    }
}

/// What is worth telling about a loaded model, in summaries and file metadata.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// `bundled`, `mock`, a path or `hf:org/name@revision`.
    pub name: String,
    /// SHA-256 over every file that decides a score, hex.
    pub fingerprint: String,
    /// The variant that was loaded: `fp32`, `fp16`, `quantized`, …
    pub precision: String,
    /// Length of an embedding.
    pub dim: usize,
    /// How pixels are made, in one line, and what is done to captions beyond `tokenizer.json`.
    pub preprocessing: String,
    /// True when the graph quantises activations per batch, so that vectors depend on the batch.
    pub batch_dependent: bool,
    /// Where it runs: `cpu`, `cuda:0`, `tensorrt:0`, `mock`.
    pub device: String,
    /// Version of ONNX Runtime, empty for the mock.
    pub runtime: String,
    /// Whose preprocessing is followed, and what resizes there; empty for the mock.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// What is not known of the model and may move its scores, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Bad rows by status name.
pub type BadRows = BTreeMap<String, u64>;

/// A shard that was left out because it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadShard {
    /// Its name.
    pub shard: String,
    /// What is wrong with it, in one line.
    pub reason: String,
    /// Its rows, where its footer could be read; they count nowhere.
    pub rows: Option<u64>,
}

impl BadShard {
    /// The shard that `error` says is damaged.
    pub fn of(shard: &str, error: &Error, rows: Option<u64>) -> Self {
        Self {
            shard: shard.to_owned(),
            reason: error.in_one_line(),
            rows,
        }
    }
}

/// The result of a run. `rows_kept + rows_cut + rows_bad == rows_in`, always.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunSummary {
    /// Rows of all shards that could be read.
    pub rows_in: u64,
    /// Shards that were left out because they cannot be read.
    #[serde(default)]
    pub bad_shards: Vec<BadShard>,
    /// Good rows that were selected.
    pub rows_kept: u64,
    /// The sum of `repeats` over them, where rows are to be seen more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_repeated: Option<u64>,
    /// Rows that a condition, a threshold or the budget left out.
    pub rows_cut: u64,
    /// Rows of which a column that the condition names is NaN: no comparison with that holds. Bad rows are among them.
    /// Of a stream, among the rows that were read.
    #[serde(default)]
    pub rows_nan: u64,
    /// Rows that could not be scored.
    pub rows_bad: u64,
    /// The bad rows by reason.
    pub bad: BadRows,
    /// Rows written: the kept ones, and the bad ones under `--on-error keep`.
    pub rows_written: u64,
    /// Rows that this run encoded; the others were in the score store, or a condition left them out before.
    pub rows_scored: u64,
    /// Images that this run decoded as they are stored, though their metadata say that they have to be turned.
    #[serde(default)]
    pub images_unturned: u64,
    /// Images that this run decoded whose file ends early, and whose rest was filled.
    #[serde(default)]
    pub images_filled: u64,
    /// Rows encoded per second of the scoring pass.
    pub pairs_per_sec: f64,
    /// The stage that was busiest, see [`RunSummary::with_stages`].
    pub limiting_stage: String,
    /// Busy seconds by stage, summed over threads.
    pub stage_busy_secs: BTreeMap<String, f64>,
    /// Part of the time of scoring and writing that the threads of a stage were busy on average, in [0, 1].
    #[serde(default)]
    pub stage_busy: BTreeMap<String, f64>,
    /// Waiting seconds by stage, summed over threads.
    #[serde(default)]
    pub stage_wait_secs: BTreeMap<String, WaitSecs>,
    /// Wall seconds by pass.
    #[serde(default)]
    pub pass_secs: BTreeMap<String, f64>,
    /// Largest resident set of the process, where the system tells it.
    pub peak_rss_bytes: Option<u64>,
    /// Wall seconds of the whole run.
    pub seconds: f64,
    /// What selected the rows, in one line.
    pub selection: String,
    /// Lowest `clip_score` among the kept rows.
    pub lowest_kept_score: Option<f32>,
    /// The column whose best rows a budget keeps; `None` without one.
    #[serde(default)]
    pub ordered_by: Option<String>,
    /// Lowest value of that column among the kept rows, where it is another than `clip_score`.
    #[serde(default)]
    pub lowest_kept_order: Option<f32>,
    /// The model that scored.
    pub model: ModelCard,
    /// Files written, empty for a dry run.
    pub outputs: Vec<String>,
    /// What the reader should know, one line each.
    pub warnings: Vec<String>,
}

/// Of 100 images that are decoded so many have to be stored turned for a run to say that they were not turned.
const UNTURNED_PERCENT: u64 = 1;

/// What is said of rows of which a column that a condition names is NaN; nothing where there are none.
pub fn told_of_nan(rows: u64) -> Option<String> {
    let rows = match rows {
        0 => return None,
        1 => "1 row has".to_owned(),
        rows => format!("{rows} rows have"),
    };
    Some(format!(
        "{rows} NaN in a column of --where: no comparison with it holds"
    ))
}

impl RunSummary {
    /// What a run should say of how its encoders fared, and of the pictures they got.
    pub fn encoder_warnings(counters: &Counters) -> Vec<String> {
        let lowered = counters.lowered_model_batch().map(|rows| {
            format!("memory was too small for the model batches begun with: they were halved to {rows} rows (--batch-size {rows} begins there)")
        });
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let decoded = of(&counters.images_decoded);
        let (unturned, filled) = (of(&counters.images_unturned), of(&counters.images_filled));
        let is_much = unturned > 0 && unturned * 100 >= decoded * UNTURNED_PERCENT;
        let unturned = is_much.then(|| {
            format!(
                "{unturned} of {decoded} images say that they have to be turned to be upright, and were not: open_clip trains on them \
                 so, Hugging Face datasets turns them, as --orientation apply does"
            )
        });
        let filled = (filled > 0).then(|| {
            format!("{filled} of {decoded} images end early and were filled (--truncated fill)")
        });
        [lowered, unturned, filled].into_iter().flatten().collect()
    }
}
