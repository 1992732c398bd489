//! What a run is asked to do.

use std::path::PathBuf;

use crate::{
    config::{ByteSize, DEFAULT_MAX_PIXELS, OnError},
    engine::columns_named,
    error::Result,
    schema::{ScoreColumn, Values},
    score::MethodOptions,
    select::{Balance, Order, SelectOptions, Solver},
    source::{BoundShards, ColumnChoice},
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
    /// What derived columns are made with.
    pub method: MethodOptions,
    /// Derived columns to compute, besides those that a selection needs.
    pub derived: Vec<ScoreColumn>,
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
            method: MethodOptions::default(),
            derived: Vec::new(),
        }
    }

    /// Opens every shard that is named.
    ///
    /// # Errors
    /// When one cannot be read, or its columns cannot be told.
    pub(crate) fn open_shards(&self) -> Result<BoundShards> {
        BoundShards::open(&self.inputs, &self.columns)
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
    /// Which rows stay.
    pub select: SelectOptions,
    /// Rows that entered and left since the last selection from the store go to this Parquet file.
    pub changes: Option<PathBuf>,
    /// What becomes of bad rows.
    pub on_error: OnError,
    /// Bad rows go to this Parquet file too.
    pub rejects: Option<PathBuf>,
    /// Columns to add beside the score.
    pub add: Vec<ScoreColumn>,
    /// Derived columns that only a report of the run shows; they change nothing else.
    pub reported: Vec<ScoreColumn>,
    /// Put before the name of every added column.
    pub prefix: String,
    /// The command line, for the output's metadata.
    pub command: String,
}

impl RunOptions {
    /// What selects the rows, in one line.
    pub(crate) fn describe_selection(&self) -> String {
        self.select.describe(&self.prefix)
    }

    /// True if an output is written.
    pub(crate) fn writes(&self) -> bool {
        self.output.is_some() && !self.dry_run
    }

    /// Derived columns that the run needs, those that only a report shows among them.
    pub(crate) fn derived(&self) -> Vec<ScoreColumn> {
        let mut columns = self.used();
        columns.extend(&self.reported);
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Derived columns that conditions, the selection and the output need.
    pub(crate) fn used(&self) -> Vec<ScoreColumn> {
        let mut columns = self.scoring.derived.clone();
        columns.extend(self.add.iter().filter(|column| column.is_derived()));
        let named = self.select.condition.as_deref().map(columns_named);
        columns.extend(ScoreColumn::derived().filter(|column| {
            let name = format!("{}{}", self.prefix, column.name());
            named.as_ref().is_some_and(|named| named.contains(&name))
        }));
        match (self.select.order, self.select.solver) {
            (_, Solver::Cover) => columns.extend([ScoreColumn::CELL, ScoreColumn::SAS_MARGIN]),
            (Order::AlignDiverse, _) => columns.push(ScoreColumn::SELECTION_SCORE),
            (Order::ClipScore, _) => {}
        }
        let of_cells = |balance: &Balance| balance.column == ScoreColumn::CELL.name();
        if self.select.dedup.is_some() || self.select.balance.as_ref().is_some_and(of_cells) {
            columns.push(ScoreColumn::CELL);
        }
        columns
    }

    /// True if the run works on embeddings.
    pub(crate) fn needs_embeddings(&self) -> bool {
        !self.derived().is_empty() || self.select.dedup.is_some()
    }

    /// True if an embedding is among the columns to add.
    pub(crate) fn adds_embeddings(&self) -> bool {
        let mut added = self.add.iter();
        added.any(|column| column.values() == Values::Vector)
    }
}

/// The column that `--add` names.
pub fn addable(name: &str) -> Option<ScoreColumn> {
    addables().find(|column| column.name() == name)
}

/// Every name that [`addable`] knows.
pub fn addable_names() -> impl Iterator<Item = &'static str> {
    addables().map(ScoreColumn::name)
}

fn addables() -> impl Iterator<Item = ScoreColumn> {
    ADDABLE.into_iter().chain(ScoreColumn::derived())
}

/// Columns of the encode operator that an output gets where they are asked for.
const ADDABLE: [ScoreColumn; 5] = [
    ScoreColumn::IMAGE_EMBEDDING,
    ScoreColumn::TEXT_EMBEDDING,
    ScoreColumn::STATUS,
    ScoreColumn::WIDTH,
    ScoreColumn::HEIGHT,
];
