//! What a run did: counts, times per stage, and the summary built from them.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// A stage whose busy time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Pages read and decompressed.
    Read,
    /// Images decoded and resized, captions tokenised.
    Decode,
    /// Both towers.
    Encode,
    /// The selected rows read again and written.
    Write,
}

impl Stage {
    const ALL: [Stage; 4] = [Stage::Read, Stage::Decode, Stage::Encode, Stage::Write];

    /// The name that summaries show.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Decode => "decode",
            Stage::Encode => "encode",
            Stage::Write => "write",
        }
    }
}

/// Counters that workers add to while a run goes on; all are totals over threads.
#[derive(Debug, Default)]
pub struct Counters {
    busy_nanos: [AtomicU64; 4],
    /// Rows of all shards.
    pub rows_total: AtomicU64,
    /// Rows that the scan left out by a condition on input columns.
    pub rows_skipped: AtomicU64,
    /// Rows that have left the encode operator.
    pub rows_done: AtomicU64,
    /// Bad rows among them.
    pub rows_bad: AtomicU64,
    /// Rows written.
    pub rows_written: AtomicU64,
    /// Images decoded.
    pub images_decoded: AtomicU64,
    /// Distinct captions encoded, summed over batches.
    pub captions_encoded: AtomicU64,
    /// Calls of a tower.
    pub model_batches: AtomicU64,
    /// Most rows of a model batch after memory was too small for more; 0 while it never was.
    model_batch_rows: AtomicU64,
    /// What is done where no pairs are counted.
    step: Mutex<String>,
}

impl Counters {
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

    /// Adds busy time of one thread to `stage`.
    pub fn add_busy(&self, stage: Stage, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.busy_nanos[stage as usize].fetch_add(nanos, Ordering::Relaxed);
    }

    /// Busy time of `stage`, summed over its threads.
    pub fn busy(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.busy_nanos[stage as usize].load(Ordering::Relaxed))
    }

    /// The stage with the largest busy time per thread; `threads` says how many each stage has.
    pub fn limiting_stage(&self, threads: impl Fn(Stage) -> usize) -> Stage {
        let share = |stage: Stage| self.busy(stage).as_secs_f64() / threads(stage).max(1) as f64;
        Stage::ALL
            .into_iter()
            .max_by(|a, b| share(*a).total_cmp(&share(*b)))
            .unwrap_or(Stage::Encode)
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
    /// How pixels are made, in one line.
    pub preprocessing: String,
    /// True when the graph quantises activations per batch, so that vectors depend on the batch.
    pub batch_dependent: bool,
    /// Where it runs: `cpu`, `cuda:0`, `tensorrt:0`, `mock`.
    pub device: String,
    /// Version of ONNX Runtime, empty for the mock.
    pub runtime: String,
}

/// Bad rows by status name.
pub type BadRows = BTreeMap<String, u64>;

/// The result of a run. `rows_kept + rows_cut + rows_bad == rows_in`, always.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunReport {
    /// Rows of all shards.
    pub rows_in: u64,
    /// Good rows that were selected.
    pub rows_kept: u64,
    /// Rows that a condition, a threshold or the budget left out.
    pub rows_cut: u64,
    /// Rows that could not be scored.
    pub rows_bad: u64,
    /// The bad rows by reason.
    pub bad: BadRows,
    /// Rows written: the kept ones, and the bad ones under `--on-error keep`.
    pub rows_written: u64,
    /// Rows that this run encoded; the others were in the score store, or a condition left them out before.
    pub rows_scored: u64,
    /// Rows encoded per second of the scoring pass.
    pub pairs_per_sec: f64,
    /// The stage that was busiest.
    pub limiting_stage: String,
    /// Busy seconds by stage, summed over threads.
    pub stage_busy_secs: BTreeMap<String, f64>,
    /// Largest resident set of the process, where the system tells it.
    pub peak_rss_bytes: Option<u64>,
    /// Wall seconds of the whole run.
    pub seconds: f64,
    /// What selected the rows, in one line.
    pub selection: String,
    /// Lowest `clip_score` among the kept rows.
    pub lowest_kept_score: Option<f32>,
    /// The model that scored.
    pub model: ModelCard,
    /// Files written, empty for a dry run.
    pub outputs: Vec<String>,
    /// What the reader should know, one line each.
    pub warnings: Vec<String>,
}

impl RunReport {
    /// What a run should say of how its encoders fared.
    pub fn encoder_warnings(counters: &Counters) -> Vec<String> {
        let lowered = counters.lowered_model_batch().map(|rows| {
            format!("memory was too small for the model batches begun with: they were halved to {rows} rows (--batch-size {rows} begins there)")
        });
        lowered.into_iter().collect()
    }

    /// Busy seconds by stage name.
    pub fn busy_by_stage(counters: &Counters) -> BTreeMap<String, f64> {
        Stage::ALL
            .into_iter()
            .map(|stage| {
                (
                    stage.as_str().to_owned(),
                    counters.busy(stage).as_secs_f64(),
                )
            })
            .collect()
    }
}
