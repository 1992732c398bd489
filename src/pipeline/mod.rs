//! Names every room once, in order: shards, scores, selection, output.

mod emit;
mod score_pass;
mod selecting;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use arrow::datatypes::Field;
use tokio::sync::watch;

use crate::{
    config::{ByteSize, OnError},
    encode::EncoderFactory,
    engine::{
        Added, AddedColumn, EncodeOptions, EncodeRuntime, MemoryNeeds, MemoryPlan, ShardTable,
        WidePlan,
    },
    error::{Error, ErrorKind, Result},
    preprocess::PathPolicy,
    report::{Counters, RunReport, Stage},
    schema::{CLIP_SCORE, HEIGHT, IMAGE_EMBEDDING, STATUS, TEXT_EMBEDDING, WIDTH},
    select::Keep,
    sink::{Destination, Provenance, Staged, WriterPolicy, output_metadata},
    source::{ColumnBinding, ColumnChoice, ShardSet, expand},
};

/// Everything that decides what a run does. No field is read from the environment.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Files, directories, globs, brace ranges.
    pub inputs: Vec<String>,
    /// Where the result goes; `None` only for a dry run.
    pub output: Option<PathBuf>,
    /// Decide and report, write nothing.
    pub dry_run: bool,
    /// Replace what is at `output`.
    pub overwrite: bool,
    /// Columns the caller named.
    pub columns: ColumnChoice,
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
    /// Most rows of a model batch.
    pub model_batch_rows: usize,
    /// Threads.
    pub threads: usize,
    /// Most encoders; 1 where a device is shared.
    pub max_encoders: usize,
    /// Memory that the run may use.
    pub memory_limit: ByteSize,
    /// Images of more pixels are bad rows.
    pub max_pixels: u64,
    /// Follow image paths out of the shard's directory.
    pub allow_external_paths: bool,
    /// The command line, for the output's metadata.
    pub command: String,
}

/// Tells a run to stop; the other end is held by whoever may want that.
pub type Cancel = watch::Receiver<bool>;

/// Opens the shards and finds out what can be refused before a model is loaded.
///
/// # Errors
/// When an input cannot be read, its columns cannot be told, or the output may not be put where it should go.
pub fn prepare(options: &RunOptions) -> Result<Prepared> {
    Prepared::check(options)
}

/// What a run works with besides its options.
pub struct RunContext<'a> {
    /// The model.
    pub factory: Arc<dyn EncoderFactory>,
    /// Progress, for whoever looks at it while the run goes on.
    pub counters: Arc<Counters>,
    /// Tells the run to stop.
    pub cancel: Cancel,
    /// Gets the physical plan of the scoring query.
    pub explain: &'a (dyn Fn(&str) + Sync),
}

/// Scores, selects and writes. Needs a runtime of tokio; dropping the future does not stop a write that has
/// begun, [`RunContext::cancel`] does.
///
/// # Errors
/// When an input, the model, or the output fails. What was at the output before is then still there.
pub async fn run(
    options: &RunOptions,
    prepared: Prepared,
    context: RunContext<'_>,
) -> Result<RunReport> {
    let start = Instant::now();
    let RunContext {
        factory,
        counters,
        cancel,
        explain,
    } = context;
    counters
        .rows_total
        .store(prepared.set.rows(), Ordering::Relaxed);
    let memory = memory_plan(options, factory.as_ref())?;
    let runtime = prepared.runtime(options, Arc::clone(&factory), &memory, &counters);
    let wide = prepared.wide_plan(options, runtime, &memory, &counters);
    let scored = score_pass::run(options, &prepared, wide, cancel.clone(), explain).await?;
    let chosen = selecting::select(&scored, &prepared.set, options)?;
    let provenance = Provenance {
        model: factory.card().clone(),
        command: options.command.clone(),
        selection: describe_selection(options),
    };
    let mut report = count_rows(&prepared.set, &scored, &chosen);
    if let Some(staged) = prepared.stage(options)? {
        let emit = emit::Emit {
            set: Arc::clone(&prepared.set),
            policy: prepared.writer_policy(options, &provenance, &memory),
            staged,
            memory: memory.clone(),
            counters: Arc::clone(&counters),
        };
        report.rows_written = chosen.written.rows();
        let (rows, selection) = (scored.rows, chosen.written);
        let written = tokio::task::spawn_blocking(move || emit.run(&rows, &selection, &cancel))
            .await
            .map_err(|error| Error::internal("write the output").source(error))??;
        let shown = written.iter().map(|path| path.display().to_string());
        report.outputs = shown.collect();
        if let Some(rejects) = scored.rejects {
            rejects.commit()?;
        }
    }
    let threads = |stage: Stage| match stage {
        Stage::Read | Stage::Write => 1,
        Stage::Decode => options.threads,
        Stage::Encode => memory.encoders,
    };
    let limiting_stage = counters.limiting_stage(threads).as_str();
    Ok(RunReport {
        limiting_stage,
        stage_busy_secs: RunReport::busy_by_stage(&counters),
        seconds: start.elapsed().as_secs_f64(),
        selection: provenance.selection,
        model: provenance.model,
        ..report
    })
}

/// The part of the report that counts rows.
fn count_rows(
    set: &ShardSet,
    scored: &score_pass::Scored,
    chosen: &selecting::Chosen,
) -> RunReport {
    #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
    let pairs_per_sec = scored.rows_scored as f64 / scored.seconds.max(1e-9);
    RunReport {
        rows_in: set.rows(),
        rows_kept: chosen.kept,
        rows_cut: set.rows() - chosen.kept - scored.rows_bad(),
        rows_bad: scored.rows_bad(),
        bad: scored.bad.clone(),
        pairs_per_sec,
        lowest_kept_score: chosen.lowest_score,
        ..RunReport::default()
    }
}

/// Shards, columns and destination of a run that nothing was found wrong with; see [`prepare`].
pub struct Prepared {
    set: Arc<ShardSet>,
    binding: ColumnBinding,
    destination: Option<Destination>,
    /// What the encode operator adds, and under which internal or final name.
    added: Vec<AddedColumn>,
}

impl Prepared {
    fn check(options: &RunOptions) -> Result<Self> {
        let set = ShardSet::open(&expand(&options.inputs)?)?;
        let binding = ColumnBinding::detect(&set.schema, &options.columns)?;
        let destination = options.output.as_deref().map(Destination::of);
        if let (Some(destination), false) = (&destination, options.dry_run) {
            destination.check(options.overwrite, &set.paths())?;
        }
        if let (Some(rejects), false) = (&options.rejects, options.dry_run) {
            check_rejects(rejects, options, &set)?;
        }
        let added = added_columns(options, &set)?;
        Ok(Self {
            set: Arc::new(set),
            binding,
            destination,
            added,
        })
    }

    fn runtime(
        &self,
        options: &RunOptions,
        factory: Arc<dyn EncoderFactory>,
        memory: &MemoryPlan,
        counters: &Arc<Counters>,
    ) -> Arc<EncodeRuntime> {
        let encode = EncodeOptions {
            threads: options.threads,
            model_batch_rows: options.model_batch_rows,
            max_pixels: options.max_pixels,
            paths: PathPolicy {
                directories: self
                    .set
                    .shards
                    .iter()
                    .map(|shard| shard.directory().to_path_buf())
                    .collect(),
                allow_external: options.allow_external_paths,
                max_bytes: memory.decode_bytes,
            },
        };
        Arc::new(EncodeRuntime::new(
            factory,
            encode,
            memory.clone(),
            Arc::clone(counters),
        ))
    }

    fn wide_plan(
        &self,
        options: &RunOptions,
        runtime: Arc<EncodeRuntime>,
        memory: &MemoryPlan,
        counters: &Arc<Counters>,
    ) -> WidePlan {
        let batch = (memory.batch_rows, memory.batch_bytes);
        WidePlan {
            table: ShardTable::new(
                Arc::clone(&self.set),
                &self.binding.image,
                batch,
                Arc::clone(counters),
            ),
            binding: self.binding.clone(),
            carried: self.binding.key.iter().cloned().collect(),
            added: self.added.clone(),
            condition: options.condition.clone(),
            runtime,
            memory_limit: options.memory_limit,
        }
    }

    fn stage(&self, options: &RunOptions) -> Result<Option<Staged>> {
        match &self.destination {
            Some(destination) if !options.dry_run => destination.stage().map(Some),
            _ => Ok(None),
        }
    }

    fn writer_policy(
        &self,
        options: &RunOptions,
        provenance: &Provenance,
        memory: &MemoryPlan,
    ) -> WriterPolicy {
        let added: Vec<Field> = self
            .written(options)
            .map(|column| {
                Field::new(&column.name, column.added.data_type(), true)
                    .with_metadata(provenance.of_column())
            })
            .collect();
        let added_schema = arrow::datatypes::Schema::new(added.clone());
        WriterPolicy {
            input: Arc::clone(&self.set.schema),
            added,
            image: self.binding.image.clone(),
            compression: self.set.compression,
            row_group_bytes: memory.row_group_bytes,
            metadata: output_metadata(&self.set.metadata, &added_schema, provenance),
        }
    }

    /// The added columns that the output gets, in their order there.
    fn written(&self, options: &RunOptions) -> impl Iterator<Item = &AddedColumn> {
        let wanted: Vec<Added> = std::iter::once(Added::Score)
            .chain(options.add.iter().copied())
            .collect();
        self.added
            .iter()
            .filter(move |column| wanted.contains(&column.added))
    }

    /// The name of an added column within the wide pass.
    fn name_of(&self, added: Added) -> Result<&str> {
        let found = self.added.iter().find(|column| column.added == added);
        found
            .map(|column| column.name.as_str())
            .ok_or_else(|| Error::internal("name an added column"))
    }
}

/// Refuses a rejects file that is an input, is the output or lies within it, or exists already.
fn check_rejects(rejects: &Path, options: &RunOptions, set: &ShardSet) -> Result<()> {
    let place = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let within = |output: &PathBuf| place(rejects).starts_with(place(output));
    if options.output.as_ref().is_some_and(within) || rejects.is_dir() {
        return Err(Error::usage(
            "write the rejects file: it is the output, within it, or a directory",
        )
        .with("rejects", rejects.display())
        .hint("give the rejects file a name of its own"));
    }
    Destination::File(rejects.to_path_buf()).check(options.overwrite, &set.paths())
}

/// The score, the facts every run needs, and the embeddings that were asked for.
fn added_columns(options: &RunOptions, set: &ShardSet) -> Result<Vec<AddedColumn>> {
    let written = |added: Added| added == Added::Score || options.add.contains(&added);
    let mut columns = Vec::new();
    for added in [
        Added::Score,
        Added::Status,
        Added::Reason,
        Added::Width,
        Added::Height,
    ] {
        columns.push(added);
    }
    columns.extend(
        options
            .add
            .iter()
            .filter(|added| matches!(added, Added::ImageEmbedding | Added::TextEmbedding)),
    );
    columns.sort_unstable();
    columns.dedup();
    columns
        .into_iter()
        .map(|added| {
            let name = format!("{}{}", options.prefix, added.name());
            let taken = set.schema.index_of(&name).is_ok();
            match (taken, written(added)) {
                (false, _) => Ok(AddedColumn { added, name }),
                // The input's own column keeps its name; this one is only used within the run.
                (true, false) => Ok(AddedColumn {
                    added,
                    name: format!("__{name}"),
                }),
                (true, true) => Err(Error::usage(format!(
                    "add the column '{name}': the input has one of that name"
                ))
                .hint("--prefix new_")),
            }
        })
        .collect()
}

fn memory_plan(options: &RunOptions, factory: &dyn EncoderFactory) -> Result<MemoryPlan> {
    let (height, width) = factory.preprocessing().pixels.output_size();
    MemoryPlan::divide(&MemoryNeeds {
        limit: options.memory_limit,
        threads: options.threads,
        max_encoders: options.max_encoders,
        encoder_bytes: factory.encoder_bytes(),
        model_batch_rows: options.model_batch_rows,
        pixel_bytes: 3 * 4 * u64::from(height) * u64::from(width),
    })
}

fn describe_selection(options: &RunOptions) -> String {
    let mut steps = Vec::new();
    if let Some(condition) = &options.condition {
        steps.push(format!("where {condition}"));
    }
    if let Some(score) = options.min_score {
        steps.push(format!("{}{CLIP_SCORE} >= {score}", options.prefix));
    }
    if options.keep != Keep::All {
        steps.push(format!("keep {}", options.keep));
    }
    if steps.is_empty() {
        "all good rows".to_owned()
    } else {
        steps.join(", then ")
    }
}

/// The error of a run that was told to stop.
fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "finish: it was interrupted")
        .hint("the input is untouched; run it again")
}

/// Columns that `--add` names.
pub const ADDABLE: [(&str, Added); 5] = [
    (IMAGE_EMBEDDING, Added::ImageEmbedding),
    (TEXT_EMBEDDING, Added::TextEmbedding),
    (STATUS, Added::Status),
    (WIDTH, Added::Width),
    (HEIGHT, Added::Height),
];
