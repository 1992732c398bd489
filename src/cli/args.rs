//! What can be typed: the commands, the options of the main job, and groups of options that commands share.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

#[cfg(feature = "delta")]
use super::table_args::TableArgs;
use super::{
    adapt::AdaptArgs,
    completions::CompletionsArgs,
    image_args::ImageArgs,
    input_args::{FileListArgs, InputArgs, UidArgs},
    inspect::InspectArgs,
    label_args::LabelArgs,
    merge::MergeArgs,
    method_args::{ChangesArgs, ChooseArgs, MethodArgs},
    report::{ExplainArgs, ReportArgs},
    score_args::ScoreArgs,
    score_names::score_names,
    share_args::OutputShareArgs,
    sql::SqlArgs,
    tell_args::TellArgs,
};
use crate::{
    config::{ByteSize, Devices, OnError},
    machine, pipeline,
    schema::ScoreColumn,
    select::Keep,
    store::EmbeddingType,
};

const AFTER_HELP: &str = "\
Rows: kept + cut + bad = rows in, always. --where cuts first, then --min-score, then --keep or --keep-rows,
which count what is left. Bad rows (damaged images, empty captions, ...) are never kept by score; see --on-error.

Exit codes: 0 done, 1 failed, 2 usage, 3 done but more bad rows than --max-bad-rows, 130 interrupted.

Examples:
  clip-filter in.parquet out.parquet
  clip-filter 'shards/{00000..00127}.parquet' kept/ --keep 0.2 --model hf:Xenova/clip-vit-base-patch32
  clip-filter in.parquet out.parquet --where 'width >= 200 AND clip_score > 0.28' --add image_embedding
  clip-filter in.parquet --dry-run --json
  clip-filter in.parquet --dry-run --report report.html
  clip-filter photos.parquet kept.parquet --label-column label --adapt --keep 0.3
  clip-filter shards/ kept/ --scores scores/ --solver cover --dedup 0.05 --keep 0.3
  clip-filter shards/ - --online --keep 0.3 | python train.py";

/// Filter image-text Parquet by how well each caption fits its image.
///
/// Scores every pair of image and caption with a CLIP-style model, keeps the best, and writes the same Parquet
/// with a clip_score column. Works offline with the small bundled model; --model takes a real CLIP.
#[derive(Debug, Parser)]
#[command(
    name = "clip-filter",
    version,
    after_help = AFTER_HELP,
    after_long_help = format!("{}\n\n{AFTER_HELP}", score_names()),
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    max_term_width = 110
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
}

impl Args {
    /// Tells the commands that keep it which words they were given.
    pub(super) fn said(mut self, words: String) -> Self {
        let kept = match &mut self.command {
            Some(Command::Report(report)) => &mut report.case.command,
            Some(Command::Explain(explain)) => &mut explain.case.command,
            _ => &mut self.filter.command,
        };
        *kept = words;
        self
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fetch ONNX Runtime into the user cache now, rather than when it is first needed
    Setup(SetupArgs),
    /// Score shards and keep the scores, to select from them as often as you like
    Score(Box<ScoreArgs>),
    /// Put together what workers have scored or written with --part, and say what is missing
    Merge(MergeArgs),
    /// Fit adapters to the pairs of a score store, to be used with --adapters
    Adapt(Box<AdaptArgs>),
    /// Ask in SQL: one query, a script, or a shell
    Sql(Box<SqlArgs>),
    /// Say what shards, a score store or a model are, without running a model
    Inspect(InspectArgs),
    /// Show what a selection keeps and cuts, and why: a page with pictures, text, or JSON
    Report(Box<ReportArgs>),
    /// Say which rule decided about one row, with its scores, ranks and neighbours
    Explain(Box<ExplainArgs>),
    /// Print what makes a shell complete this command line
    Completions(CompletionsArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct SetupArgs {
    /// Fetch the build for NVIDIA GPUs, with the CUDA and cuDNN libraries it needs (about 2 GB)
    #[arg(long, env = "CLIP_FILTER_CUDA")]
    pub(super) cuda: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct FilterArgs {
    /// Parquet files or tars of samples, directories, globs or brace ranges, then where the result goes: a .parquet or
    /// .tar file, or a directory of part-*, or - with --online. A dry run needs no output
    #[arg(required_unless_present = "files", value_name = "IN... OUT")]
    pub(super) paths: Vec<String>,
    #[command(flatten)]
    pub(super) lists: FileListArgs,
    #[command(flatten)]
    pub(super) reads: InputArgs,
    #[command(flatten)]
    pub(super) uids: UidArgs,
    #[command(flatten)]
    pub(super) selects: SelectArgs,
    #[command(flatten)]
    pub(super) condition: ConditionArgs,
    #[command(flatten)]
    pub(super) passes: OnlineArgs,
    #[command(flatten)]
    pub(super) chooses: ChooseArgs,
    #[command(flatten)]
    pub(super) remembers: ChangesArgs,
    #[command(flatten)]
    pub(super) method: MethodArgs,
    #[command(flatten)]
    pub(super) columns: ColumnArgs,
    #[command(flatten)]
    pub(super) labels: LabelArgs,
    #[command(flatten)]
    pub(super) model: ModelArgs,
    /// Keep scores in this directory, and use those that are there; else they go with the run, once it has
    /// succeeded
    #[arg(
        long,
        value_name = "DIR",
        env = "CLIP_FILTER_SCORES",
        help_heading = "Score store"
    )]
    pub(super) scores: Option<PathBuf>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) bad_rows: BadRowArgs,
    #[command(flatten)]
    pub(super) resources: ResourceArgs,
    #[cfg(feature = "delta")]
    #[command(flatten)]
    pub(super) table: TableArgs,
    #[command(flatten)]
    pub(super) share: OutputShareArgs,
    #[command(flatten)]
    pub(super) tells: TellArgs,
    /// The words that were typed, with those of a configuration file; for the output's metadata.
    #[arg(skip)]
    pub(super) command: String,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Selection")]
pub(super) struct SelectArgs {
    /// Keep this fraction of the good rows left, the best first (--select), exactly (rounded half up; equal scores
    /// by row order). 0.3 if no selection is given
    #[arg(
        long,
        value_name = "FRACTION",
        env = "CLIP_FILTER_KEEP",
        conflicts_with = "keep_rows"
    )]
    pub(super) keep: Option<Keep>,
    /// Keep at most this many rows, the best first
    #[arg(long, value_name = "N", env = "CLIP_FILTER_KEEP_ROWS")]
    pub(super) keep_rows: Option<u64>,
    /// Keep rows with at least this clip_score
    #[arg(
        long,
        visible_alias = "threshold",
        value_name = "SCORE",
        env = "CLIP_FILTER_MIN_SCORE",
        allow_negative_numbers = true,
        value_parser = score
    )]
    pub(super) min_score: Option<f32>,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Selection")]
pub(super) struct ConditionArgs {
    /// Keep rows that fulfil this SQL condition on input columns, clip_score, status, width, height and scores from
    /// embeddings. Conditions on input columns alone are decided before any image is decoded. Column names are
    /// case-sensitive
    #[arg(
        long = "where",
        value_name = "SQL",
        env = "CLIP_FILTER_WHERE",
        allow_hyphen_values = true
    )]
    pub(super) condition: Option<String>,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Selection")]
pub(super) struct OnlineArgs {
    /// Filter in one pass, while a data loader reads: OUT is - and standard output gets the rows kept, in row
    /// order, as an Arrow IPC stream whose last batch has no rows: one that breaks off lacks it. --keep then holds within 0.02 over any 10,000 rows, by a threshold that is
    /// learned on the way. Nothing is stored; the summary, with --json too, goes to standard error
    #[arg(long, env = "CLIP_FILTER_ONLINE")]
    pub(super) online: bool,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Columns")]
pub(super) struct ColumnArgs {
    #[command(flatten)]
    pub(super) names: ColumnNameArgs,
    /// Columns to add after clip_score: image_embedding, text_embedding, status, width, height; and scores from
    /// embeddings (--help says what each is): cell, sas, sas_margin, sds, s_cliploss, dup_max_sim, proto_dist,
    /// moderate, normsim_inf, normsim_2, vas, selection_score
    #[arg(long, value_name = "NAMES", env = "CLIP_FILTER_ADD", value_delimiter = ',', value_parser = addable)]
    pub(super) add: Vec<ScoreColumn>,
    /// Put this before the name of every added column
    #[arg(
        long,
        value_name = "TEXT",
        env = "CLIP_FILTER_PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) prefix: String,
}

/// Which columns hold a pair.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Columns")]
pub(super) struct ColumnNameArgs {
    /// The image column; else one of image, image_bytes, jpg, jpeg, png, webp
    #[arg(long, value_name = "NAME", env = "CLIP_FILTER_IMAGE_COLUMN")]
    pub(super) image_column: Option<String>,
    /// The caption column; else one of text, caption, TEXT, txt
    #[arg(long, value_name = "NAME", env = "CLIP_FILTER_TEXT_COLUMN")]
    pub(super) text_column: Option<String>,
}

/// Any number; "nan" parses as one, but nothing is above it.
fn score(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|score: &f32| !score.is_nan())
        .ok_or_else(|| "it is not a number".to_owned())
}

fn addable(name: &str) -> Result<ScoreColumn, String> {
    pipeline::addable(name).ok_or_else(|| {
        let names: Vec<&str> = pipeline::addable_names().collect();
        format!("it is not one of {}", names.join(", "))
    })
}

#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Model")]
pub(super) struct ModelArgs {
    /// bundled, a directory with ONNX files, or hf:org/name[@revision]; else the one that the score store was
    /// made with, or bundled
    #[arg(long, env = "CLIP_FILTER_MODEL")]
    pub(super) model: Option<String>,
    /// Where the text tower is, if --model has the image tower alone: a directory or hf:org/name[@revision]
    #[arg(
        long,
        value_name = "MODEL",
        env = "CLIP_FILTER_TEXT_MODEL",
        requires = "model"
    )]
    pub(super) text_model: Option<String>,
    /// Variant of the weights: fp32, fp16, quantized, ...; auto takes fp32 if it is there, on a GPU that --device names
    /// fp16, and int8 variants only where there is no other
    #[arg(long, env = "CLIP_FILTER_PRECISION", default_value = "auto")]
    pub(super) precision: String,
    /// auto, cpu, cuda[:N] or tensorrt[:N]; cuda:0,1 spreads over two GPUs
    #[arg(long, env = "CLIP_FILTER_DEVICE", default_value = "auto")]
    pub(super) device: Devices,
    /// Pairs per model call; if not given, 8 on a CPU and the fastest on a GPU, halved where memory is too small
    #[arg(long, value_name = "N", env = "CLIP_FILTER_BATCH_SIZE", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) batch_size: Option<u32>,
    /// Decode JPEGs at a half, a quarter or an eighth of their size where they stay four times as large as the model's
    /// input: faster, but vectors differ (of the bundled model by a cosine of 0.998 in the mean, 0.996 at worst)
    #[arg(long, env = "CLIP_FILTER_FAST_DECODE")]
    pub(super) fast_decode: bool,
    /// Give each row the same vector whatever rows are beside it, even where that costs speed
    #[arg(long, env = "CLIP_FILTER_REPRODUCIBLE")]
    pub(super) reproducible: bool,
    /// The ONNX Runtime library to load, or its directory
    #[arg(long, value_name = "PATH", env = "CLIP_FILTER_ONNXRUNTIME")]
    pub(super) onnxruntime: Option<PathBuf>,
    /// Fetch nothing: use only what is on this machine
    #[arg(long, env = "CLIP_FILTER_OFFLINE")]
    pub(super) offline: bool,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Bad rows")]
pub(super) struct BadRowArgs {
    /// What becomes of rows that cannot be scored
    #[arg(long, value_enum, env = "CLIP_FILTER_ON_ERROR", default_value = "drop")]
    pub(super) on_error: OnErrorArg,
    /// Exit with 3 if there are more bad rows than this
    #[arg(long, value_name = "N", env = "CLIP_FILTER_MAX_BAD_ROWS")]
    pub(super) max_bad_rows: Option<u64>,
    /// Write bad rows to this Parquet file: key, shard, row, status, reason
    #[arg(long, value_name = "FILE", env = "CLIP_FILTER_REJECTS")]
    pub(super) rejects: Option<PathBuf>,
    #[command(flatten)]
    pub(super) images: ImageArgs,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Score store")]
pub(super) struct StoreArgs {
    /// Score again shards that have changed since they were scored, rather than refuse them; clusters of the
    /// earlier run, and adapters of --adapt=infonce, are used again. Of a Delta table, score opens only files that came
    /// since the version it scored last
    #[arg(long, env = "CLIP_FILTER_ONLY_NEW", requires = "scores")]
    pub(super) only_new: bool,
    /// How a new store keeps embeddings: f16, f32 or none; f16 if not given
    #[arg(
        long,
        value_name = "TYPE",
        env = "CLIP_FILTER_EMBEDDINGS",
        requires = "scores"
    )]
    pub(super) embeddings: Option<EmbeddingType>,
}

/// `--on-error`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum OnErrorArg {
    /// Write them with a null score
    Keep,
    /// Leave them out and count them
    Drop,
    /// Stop with an error that names the first
    Fail,
}

impl From<OnErrorArg> for OnError {
    fn from(arg: OnErrorArg) -> Self {
        match arg {
            OnErrorArg::Keep => OnError::Keep,
            OnErrorArg::Drop => OnError::Drop,
            OnErrorArg::Fail => OnError::Fail,
        }
    }
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Resources")]
pub(super) struct ResourceArgs {
    /// Threads; all cores if not given
    #[arg(long, visible_alias = "num-workers", value_name = "N", env = "CLIP_FILTER_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) threads: Option<u16>,
    /// Memory to use, as in 4GiB; a quarter of the machine if not given, but at least 1 GiB
    #[arg(long, value_name = "SIZE", env = "CLIP_FILTER_MEMORY_LIMIT")]
    pub(super) memory_limit: Option<ByteSize>,
}

impl ResourceArgs {
    /// What was given, or all cores.
    pub(super) fn threads(&self) -> usize {
        self.threads.map_or_else(machine::threads, usize::from)
    }

    /// What was given, or what suits the machine.
    pub(super) fn memory_limit(&self) -> ByteSize {
        let default = machine::default_memory_limit;
        self.memory_limit.unwrap_or_else(default)
    }
}
