//! What a run is asked to do.

use std::{path::PathBuf, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::ScoreOptions;
use crate::{
    config::{OnError, Share},
    engine::columns_named,
    schema::{REPEATS, ScoreColumn, Values},
    select::{Balance, Order, SelectOptions, Solver},
    sink::{OutputFormat, OutputPath, OutputPlaces, PartitionColumns},
    store::{EmbeddingType, ScoreStore},
};
#[cfg(feature = "delta")]
use crate::{
    delta::WriteMode,
    sink::{Commit, DeltaCommit, Nanoseconds},
};

#[cfg(all(feature = "delta", feature = "remote"))]
use crate::sink::RemoteDeltaCommit;

/// Everything that decides what a run does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunOptions {
    /// What is scored.
    pub scoring: ScoreOptions,
    /// Where the result goes; `None` only for a dry run.
    pub output: Option<OutputPath>,
    /// What is known of the places that outputs go to; it decides nothing.
    pub places: OutputPlaces,
    /// A directory for what a killed run leaves to the next; beside a local output if `None`, and for another the
    /// one that the process works in.
    pub work: Option<PathBuf>,
    /// Decide and report, write nothing.
    pub dry_run: bool,
    /// Replace what is at `output`.
    pub overwrite: bool,
    /// Write this share of the output only, in a file of each of its shards; it becomes visible when
    /// [`merge_output`](crate::pipeline::merge_output) puts all shares together.
    pub share: Option<Share>,
    /// Columns by whose values a directory is cut into folders (`label=3/`).
    pub partition_by: Vec<String>,
    /// Whether the files in those have them, too.
    pub partition_columns: PartitionColumns,
    /// The output is rows of a Delta table, of the types that such have; [`Self::with_delta`] says the rest.
    #[cfg(feature = "delta")]
    pub delta: Option<Nanoseconds>,
    /// What the output is made of.
    pub format: OutputFormat,
    /// Which rows stay.
    pub select: SelectOptions,
    /// Rows that entered and left since the last selection from the store go to this Parquet file.
    pub changes: Option<OutputPath>,
    /// The uids of the rows that stay go to this NumPy file, ascending.
    pub uids_out: Option<OutputPath>,
    /// What becomes of bad rows.
    pub on_error: OnError,
    /// Bad rows go to this Parquet file too.
    pub rejects: Option<OutputPath>,
    /// Columns to add beside the score.
    pub add: Vec<ScoreColumn>,
    /// Derived columns that only a report of the run shows; they change nothing else.
    pub reported: Vec<ScoreColumn>,
    /// Put before the name of every added column.
    pub prefix: String,
    /// The command line, for the output's metadata.
    pub command: String,
    /// Columns of the shards, once those are known: a condition means these before any score.
    pub(crate) shards: SchemaRef,
}

impl RunOptions {
    /// Filters `inputs` into `output`, a `.parquet` file or a directory of parts: every good row stays, under its own
    /// columns and `clip_score`.
    pub fn new(
        inputs: impl IntoIterator<Item = impl Into<String>>,
        output: impl Into<OutputPath>,
    ) -> Self {
        Self::deciding(ScoreOptions::new(inputs)).with_output(output)
    }

    /// Decides over what is scored, and writes nothing.
    pub fn deciding(scoring: ScoreOptions) -> Self {
        Self {
            scoring,
            output: None,
            places: OutputPlaces::default(),
            work: None,
            dry_run: true,
            overwrite: false,
            share: None,
            partition_by: Vec::new(),
            partition_columns: PartitionColumns::default(),
            #[cfg(feature = "delta")]
            delta: None,
            format: OutputFormat::Parquet,
            select: SelectOptions::default(),
            changes: None,
            uids_out: None,
            on_error: OnError::Drop,
            rejects: None,
            add: Vec::new(),
            reported: Vec::new(),
            prefix: String::new(),
            command: String::new(),
            shards: Arc::new(Schema::empty()),
        }
    }

    /// The same over shards of these columns.
    pub(crate) fn over(&self, shards: &SchemaRef) -> Self {
        Self {
            shards: Arc::clone(shards),
            ..self.clone()
        }
    }

    /// Writes the rows that stay to this `.parquet` file, or to this directory as parts.
    #[must_use]
    pub fn with_output(mut self, output: impl Into<OutputPath>) -> Self {
        self.output = Some(output.into());
        self.dry_run = false;
        self
    }

    /// Knows these places that outputs go to.
    #[must_use]
    pub fn with_places(mut self, places: OutputPlaces) -> Self {
        self.places = places;
        self
    }

    /// Keeps what a killed run leaves to the next in this directory.
    #[must_use]
    pub fn with_work(mut self, directory: impl Into<PathBuf>) -> Self {
        self.work = Some(directory.into());
        self
    }

    /// Replaces what is at the output.
    #[must_use]
    pub fn with_overwrite(mut self) -> Self {
        self.overwrite = true;
        self
    }

    /// Writes this share of the output only.
    #[must_use]
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    /// Cuts a directory by the values of these columns.
    #[must_use]
    pub fn with_partition_by(
        mut self,
        columns: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.partition_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Writes rows of the Delta table that is or will be at the output.
    #[cfg(feature = "delta")]
    #[must_use]
    pub fn with_delta(mut self, mode: WriteMode, nanoseconds: Nanoseconds) -> Self {
        if let Some(output) = &self.output {
            let commit = self.delta_commit(output, mode);
            self.places = self.places.with_table(output.clone(), commit);
        }
        // Types of the columns are read from the files.
        self.partition_columns = PartitionColumns::InFiles;
        self.delta = Some(nanoseconds);
        self
    }

    #[cfg(feature = "delta")]
    fn delta_commit(&self, output: &OutputPath, mode: WriteMode) -> Arc<dyn Commit> {
        #[cfg(feature = "remote")]
        if let (OutputPath::Url(_), Some(stores)) = (output, self.scoring.places.object_stores()) {
            return Arc::new(RemoteDeltaCommit::new(mode, Arc::clone(stores)));
        }
        Arc::new(DeltaCommit::new(mode))
    }

    /// Makes the output of this.
    #[must_use]
    pub fn with_format(mut self, format: OutputFormat) -> Self {
        self.format = format;
        self
    }

    /// Selects rows this way.
    #[must_use]
    pub fn with_select(mut self, select: SelectOptions) -> Self {
        self.select = select;
        self
    }

    /// Writes rows that entered and left since the last selection to this Parquet file.
    #[must_use]
    pub fn with_changes(mut self, file: impl Into<OutputPath>) -> Self {
        self.changes = Some(file.into());
        self
    }

    /// Writes the uids of the rows that stay to this NumPy file.
    #[must_use]
    pub fn with_uids_out(mut self, file: impl Into<OutputPath>) -> Self {
        self.uids_out = Some(file.into());
        self
    }

    /// Treats bad rows this way.
    #[must_use]
    pub fn with_on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Writes bad rows to this Parquet file too.
    #[must_use]
    pub fn with_rejects(mut self, file: impl Into<OutputPath>) -> Self {
        self.rejects = Some(file.into());
        self
    }

    /// Adds these columns beside the score; [`addable`] knows them by name.
    #[must_use]
    pub fn with_added(mut self, columns: impl IntoIterator<Item = ScoreColumn>) -> Self {
        self.add = columns.into_iter().collect();
        self
    }

    /// Puts this before the name of every added column.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Writes into the output's metadata that this command made it.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = command.into();
        self
    }

    /// What selects the rows, in one line.
    pub(crate) fn describe_selection(&self) -> String {
        self.select.describe(&self.prefix)
    }

    /// The same with an order that `store` can give: captions are compared by embeddings that it keeps.
    pub(crate) fn settled(&self, store: &ScoreStore) -> Self {
        let spec = store.spec();
        let compares = spec.embeddings != EmbeddingType::None && spec.class_captions.is_none();
        self.with_settled_order(compares)
    }

    /// The same with an order that compares captions, or not, where none was asked for.
    pub(crate) fn with_settled_order(&self, compares_captions: bool) -> Self {
        Self {
            select: self.select.clone().settled(compares_captions),
            ..self.clone()
        }
    }

    /// True if captions are compared for the order of rows alone, which nobody asked for.
    pub(crate) fn compares_unasked(&self) -> bool {
        let by_order = self.select.ordered_by() == Some(ScoreColumn::S_CLIPLOSS);
        let mut computed = self.derived();
        computed.retain(|column| *column != ScoreColumn::S_CLIPLOSS);
        by_order && self.select.order == Order::Default && computed.is_empty()
    }

    /// The column that says how often a row is to be seen; `None` where each is once.
    pub(crate) fn repeats_field(&self) -> Option<Field> {
        let name = format!("{}{REPEATS}", self.prefix);
        let repeats = Field::new(name, DataType::UInt32, true);
        self.select.weights.map(|_| repeats)
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
        let condition = self.select.condition.as_deref();
        let named = condition.map(|text| columns_named(text, &self.shards));
        columns.extend(ScoreColumn::derived().filter(|column| {
            let name = format!("{}{}", self.prefix, column.name());
            let is_named = named.as_ref().is_some_and(|named| named.contains(&name));
            is_named && self.shards.index_of(&name).is_err()
        }));
        if self.select.solver == Solver::Cover {
            columns.extend([ScoreColumn::CELL, ScoreColumn::SAS_MARGIN]);
        }
        columns.extend(self.select.ordered_by());
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
