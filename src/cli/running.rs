//! What the commands that encode have in common.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use super::{
    TOO_MANY_BAD_ROWS,
    args::{ColumnNameArgs, FilterArgs, ModelArgs, ResourceArgs, StoreArgs},
    host::Host,
    image_args::ImageArgs,
    input_args::{InputArgs, UidArgs},
    label_args::LabelArgs,
    method_args::MethodArgs,
    print,
    tell_args::VerbosityArgs,
    tracing::TraceFile,
};
use crate::{
    error::{Error, Result},
    model::Model,
    pipeline::{RunContext, ScoreOptions},
    schema::ScoreColumn,
    source::ColumnChoice,
    store::StoreAt,
    summary::RunSummary,
};

/// Arguments that say what is scored.
pub(super) struct Scoring<'a> {
    pub(super) inputs: Vec<String>,
    pub(super) reads: &'a InputArgs,
    pub(super) uids: &'a UidArgs,
    pub(super) scores: Option<PathBuf>,
    pub(super) store: &'a StoreArgs,
    pub(super) columns: &'a ColumnNameArgs,
    pub(super) labels: &'a LabelArgs,
    pub(super) method: &'a MethodArgs,
    pub(super) derived: Vec<ScoreColumn>,
    pub(super) model: &'a ModelArgs,
    pub(super) images: &'a ImageArgs,
    pub(super) resources: &'a ResourceArgs,
}

impl<'a> Scoring<'a> {
    /// What the arguments of the main job say of these inputs, with no scores kept.
    pub(super) fn without_store(args: &'a FilterArgs, inputs: Vec<String>) -> Self {
        Self {
            inputs,
            reads: &args.reads,
            uids: &args.uids,
            scores: None,
            store: &args.store,
            columns: &args.columns.names,
            labels: &args.labels,
            method: &args.method,
            derived: Vec::new(),
            model: &args.model,
            images: &args.bad_rows.images,
            resources: &args.resources,
        }
    }
}

pub(super) fn score_options(args: Scoring<'_>) -> Result<ScoreOptions> {
    let columns = ColumnChoice {
        image: args.columns.image_column.clone(),
        text: args.columns.text_column.clone(),
        labels: args.labels.choice()?,
    };
    let mut options = ScoreOptions::new(args.inputs)
        .with_places(args.reads.places())
        .with_on_bad_shard(args.reads.on_bad_shard())
        .with_columns(columns)
        .with_threads(args.resources.threads())
        .with_memory_limit(args.resources.memory_limit())
        .with_max_pixels(args.images.choice().max_pixels())
        .with_reading(args.images.choice().reading())
        .with_method(args.method.options())
        .with_derived(args.derived);
    let uids = args.uids.list(options.memory_limit)?;
    if let Some(uids) = uids {
        options = options.with_uids(uids);
    }
    options.scores = args.scores.map(StoreAt::from);
    options.only_new = args.store.only_new;
    options.embeddings = args.store.embeddings;
    options.model_batch_rows = args.model.batch_size.map(|rows| rows as usize);
    options.allow_external_paths = args.images.allow_external_paths;
    Ok(options)
}

/// A run with its progress shown, that its host stops.
pub(super) struct Running<'a> {
    pub(super) model: Model,
    pub(super) verbosity: &'a VerbosityArgs,
    pub(super) trace: Option<TraceFile>,
    pub(super) host: &'a Host,
}

impl Running<'_> {
    pub(super) fn run<T, F>(self, job: impl FnOnce(RunContext) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let counters = self.host.counters();
        if let Some(trace) = &self.trace {
            trace.watch(&counters);
        }
        let progress = self.host.progress(&counters, self.verbosity);
        // Encoders bring their own threads; these only move batches.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Error::resources("start the runtime").source(error))?;
        let cancel = self.host.cancel();
        let mut context = RunContext::new(Arc::new(self.model))
            .with_counters(counters)
            .with_cancel(cancel.clone());
        if let Some(tell) = self.host.tell(self.verbosity) {
            if self.verbosity.verbose > 1 {
                let tell = Arc::clone(&tell);
                context = context.with_explain(move |plan| tell(plan.trim_end()));
            }
            context = context.with_say(move |line| tell(line));
        }
        let result = runtime.block_on(async {
            let host = self.host.clone();
            let listener = tokio::spawn(async move {
                host.stopped().await;
                cancel.cancel();
            });
            let report = job(context).await;
            listener.abort();
            report
        });
        progress.stop();
        // Joins what still works, so that the trace has all of it.
        drop(runtime);
        if let Some(trace) = self.trace {
            trace.finish();
        }
        result
    }
}

/// What a reader should know of the model that scored.
pub(super) fn model_warnings(report: &RunSummary, args: &ModelArgs) -> Vec<String> {
    let mut warnings = Vec::new();
    if report.model.name == "bundled" {
        warnings.push(
            "scored with the small bundled model, not CLIP: for production pass --model".to_owned(),
        );
    }
    if report.model.batch_dependent && !args.reproducible {
        warnings.push(
            "this model quantises activations per batch, so a score depends on the rows beside it: --reproducible scores row by row"
                .to_owned(),
        );
    }
    warnings.extend(report.model.notes.iter().cloned());
    warnings
}

pub(super) fn print_json(report: &impl serde::Serialize) -> Result<()> {
    let json = serde_json::to_string(report)
        .map_err(|error| Error::internal("write the summary as JSON").source(error))?;
    print(&format!("{json}\n"));
    Ok(())
}

/// True if more rows are bad than `--max-bad-rows` allows.
pub(super) fn too_many_bad(report: &RunSummary, max_bad_rows: Option<u64>) -> bool {
    max_bad_rows.is_some_and(|most| report.rows_bad > most)
}

pub(super) fn exit_code(report: &RunSummary, max_bad_rows: Option<u64>) -> ExitCode {
    match too_many_bad(report, max_bad_rows) {
        true => ExitCode::from(TOO_MANY_BAD_ROWS),
        false => ExitCode::SUCCESS,
    }
}
