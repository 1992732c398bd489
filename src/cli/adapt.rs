//! `clip-filter adapt`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;

use super::{
    args::{ModelArgs, ResourceArgs},
    host::Host,
    input_args::InputArgs,
    label_args::LabelArgs,
    loading,
    method_args::AdaptArg,
    running::{Running, print_json},
    say, stores,
    tell_args::VerbosityArgs,
};
use crate::{
    adapt::{Method, Outcome, TrainingRecord},
    error::{Error, Result},
    pipeline::{self, AdaptOptions, ScoreOptions},
    score::MethodOptions,
    source::ColumnChoice,
    store::StoreAt,
};

#[derive(Debug, ClapArgs)]
pub(super) struct AdaptArgs {
    /// Parquet files, directories, globs or brace ranges; all shards of the store if none is named
    #[arg(value_name = "IN")]
    inputs: Vec<String>,
    /// The score store whose embeddings are fitted
    #[arg(long, value_name = "DIR", env = "CLIP_FILTER_SCORES", required = true)]
    scores: Option<PathBuf>,
    /// Where the adapters go: a safetensors file for --adapters
    #[arg(
        long,
        short,
        value_name = "FILE",
        env = "CLIP_FILTER_OUTPUT",
        required = true
    )]
    output: PathBuf,
    /// Replace a file that exists
    #[arg(long, env = "CLIP_FILTER_OVERWRITE")]
    overwrite: bool,
    /// How adapters are fitted
    #[arg(
        long,
        value_enum,
        value_name = "WAY",
        env = "CLIP_FILTER_FIT",
        default_value = "closed"
    )]
    fit: AdaptArg,
    /// Seed of the order of training, where there is one (--fit infonce)
    #[arg(long, value_name = "N", env = "CLIP_FILTER_SEED", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    reads: InputArgs,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    resources: ResourceArgs,
    /// Print the training record as one JSON object on stdout
    #[arg(long, env = "CLIP_FILTER_JSON", help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

pub(super) fn run(args: &AdaptArgs) -> Result<ExitCode> {
    let record = fitted(args, &Host::Terminal)?;
    if args.json {
        print_json(&record)?;
    }
    if !args.verbosity.quiet {
        say(&text(&record, args));
    }
    Ok(ExitCode::SUCCESS)
}

/// Fits adapters and writes them.
pub(super) fn fitted(args: &AdaptArgs, host: &Host) -> Result<TrainingRecord> {
    let columns = ColumnChoice {
        labels: args.labels.choice()?,
        ..ColumnChoice::default()
    };
    let mut scoring = ScoreOptions::new(args.inputs.iter().map(String::as_str))
        .with_places(args.reads.places())
        .with_on_bad_shard(args.reads.on_bad_shard())
        .with_columns(columns)
        .with_threads(args.resources.threads())
        .with_memory_limit(args.resources.memory_limit())
        .with_method(MethodOptions::new().with_seed(args.seed));
    scoring.scores = args.scores.as_deref().map(StoreAt::from);
    scoring.model_batch_rows = args.model.batch_size.map(|rows| rows as usize);
    let mut options = AdaptOptions::new(scoring, args.output.as_path());
    options.places = stores::output_places();
    options.overwrite = args.overwrite;
    options.method = args
        .fit
        .method()
        .ok_or_else(|| Error::usage("fit adapters in no way").hint("--fit closed"))?;
    let running = Running {
        model: loading::model(&args.model, &args.verbosity, host),
        verbosity: &args.verbosity,
        trace: None,
        host,
    };
    running.run(|context| async move { pipeline::adapt(&options, context) })
}

fn text(record: &TrainingRecord, args: &AdaptArgs) -> String {
    let outcome = match (record.outcome, record.method) {
        (Outcome::Accepted, Method::Closed) => format!("kept: {}", record.reason),
        (Outcome::Accepted, Method::Infonce) => format!(
            "epoch {} of {} kept",
            record.best_epoch,
            record.epochs.len()
        ),
        _ => format!(
            "nothing was learned, the file changes nothing: {}",
            record.reason
        ),
    };
    [
        String::new(),
        match record.method {
            Method::Closed => format!(
                "  rows       {}, {} of them judged by the others",
                record.training_rows, record.held_out_rows
            ),
            Method::Infonce => format!(
                "  rows       {} trained on, {} held out",
                record.training_rows, record.held_out_rows
            ),
        },
        format!("  adapters   {outcome}"),
        format!("  output     {}", args.output.display()),
        String::new(),
    ]
    .join("\n")
}
