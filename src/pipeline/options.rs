use std::path::PathBuf;

use crate::{
    config::{ByteSize, DEFAULT_MAX_PIXELS, OnError},
    engine::Added,
    schema::{CLIP_SCORE, HEIGHT, IMAGE_EMBEDDING, STATUS, TEXT_EMBEDDING, WIDTH},
    select::Keep,
    source::ColumnChoice,
    store::EmbeddingType,
};

/// What is scored, how, and where the scores are kept. No field is read from the environment.
#[derive(Debug, Clone)]
pub struct ScoreOptions {
    /// Files, directories, globs, brace ranges.
    pub inputs: Vec<String>,
    /// Columns the caller named.
    pub columns: ColumnChoice,
    /// Where scores are kept; `None` for a private store that goes with the run.
    pub scores: Option<PathBuf>,
    /// Shards that have changed since they were scored are scored again.
    pub only_new: bool,
    /// How a new store keeps embeddings; an existing one goes on as it was made.
    pub embeddings: Option<EmbeddingType>,
    /// Most rows of a model batch; as suits the device if `None`.
    pub model_batch_rows: Option<usize>,
    /// Threads.
    pub threads: usize,
    /// Memory that the run may use.
    pub memory_limit: ByteSize,
    /// Images of more pixels are bad rows.
    pub max_pixels: u64,
    /// Follow image paths out of the shard's directory.
    pub allow_external_paths: bool,
}

impl ScoreOptions {
    /// Scores `inputs`, found columns, no store, the usual limit on pixels.
    pub fn new(inputs: Vec<String>, threads: usize, memory_limit: ByteSize) -> Self {
        Self {
            inputs,
            columns: ColumnChoice::default(),
            scores: None,
            only_new: false,
            embeddings: None,
            model_batch_rows: None,
            threads,
            memory_limit,
            max_pixels: DEFAULT_MAX_PIXELS,
            allow_external_paths: false,
        }
    }
}

/// Everything that decides what a run does.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What is scored.
    pub scoring: ScoreOptions,
    /// Where the result goes; `None` only for a dry run.
    pub output: Option<PathBuf>,
    /// Decide and report, write nothing.
    pub dry_run: bool,
    /// Replace what is at `output`.
    pub overwrite: bool,
    /// How many of the candidates stay.
    pub keep: Keep,
    /// Candidates have at least this `clip_score`.
    pub min_score: Option<f32>,
    /// Candidates fulfil this SQL condition.
    pub condition: Option<String>,
    /// What becomes of bad rows.
    pub on_error: OnError,
    /// Bad rows go to this Parquet file too.
    pub rejects: Option<PathBuf>,
    /// Columns to add beside the score.
    pub add: Vec<Added>,
    /// Put before the name of every added column.
    pub prefix: String,
    /// The command line, for the output's metadata.
    pub command: String,
}

impl RunOptions {
    /// What selects the rows, in one line.
    pub(super) fn describe_selection(&self) -> String {
        let mut steps = Vec::new();
        if let Some(condition) = &self.condition {
            steps.push(format!("where {condition}"));
        }
        if let Some(score) = self.min_score {
            steps.push(format!("{}{CLIP_SCORE} >= {score}", self.prefix));
        }
        if self.keep != Keep::All {
            steps.push(format!("keep {}", self.keep));
        }
        if steps.is_empty() {
            "all good rows".to_owned()
        } else {
            steps.join(", then ")
        }
    }

    /// True if an output is written.
    pub(super) fn writes(&self) -> bool {
        self.output.is_some() && !self.dry_run
    }

    /// True if an embedding is among the columns to add.
    pub(super) fn adds_embeddings(&self) -> bool {
        let embedding =
            |added: &Added| matches!(added, Added::ImageEmbedding | Added::TextEmbedding);
        self.add.iter().any(embedding)
    }
}

/// Columns that `--add` names.
pub const ADDABLE: [(&str, Added); 5] = [
    (IMAGE_EMBEDDING, Added::ImageEmbedding),
    (TEXT_EMBEDDING, Added::TextEmbedding),
    (STATUS, Added::Status),
    (WIDTH, Added::Width),
    (HEIGHT, Added::Height),
];
