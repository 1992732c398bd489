//! Options of `report` and `explain`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::cli::{
    args::{ColumnNameArgs, ConditionArgs, ModelArgs, ResourceArgs, SelectArgs, StoreArgs},
    image_args::ImageArgs,
    input_args::{InputArgs, UidArgs},
    label_args::LabelArgs,
    method_args::{ChooseArgs, MethodArgs},
    tell_args::VerbosityArgs,
};

const AFTER_REPORT: &str = "\
PATH is a score store; or shards, with --scores; or an output of clip-filter, of which every row is kept. Options and
default of the selection are those of a run. Nothing is written but the report, and scores that the store lacks: no
model is run on rows that it has. Diversity and near-duplicates are shown where the store has sas, sds and
dup_max_sim: clip-filter score IN... --scores DIR --add sas,sds,dup_max_sim.

Examples:
  clip-filter report scores/ -o report.html
  clip-filter report shards/ --scores scores/ --keep 0.2 --dedup 0.05 -o report.html
  clip-filter report kept.parquet --text
  clip-filter report scores/ --min-score 0.28 --json";

const AFTER_EXPLAIN: &str = "\
SHARD:ROW is what reports show: the path of a shard or its end, and a row counted from 0.

Examples:
  clip-filter explain shards/a.parquet:17 --scores scores/ --keep 0.2
  clip-filter explain --where \"key = '000000017'\" shards/ --scores scores/ --json";

/// What is looked at, and the selection that is made over it.
#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct CaseArgs {
    #[command(flatten)]
    pub(super) reads: InputArgs,
    #[command(flatten)]
    pub(super) uids: UidArgs,
    #[command(flatten)]
    pub(super) selects: SelectArgs,
    #[command(flatten)]
    pub(super) chooses: ChooseArgs,
    #[command(flatten)]
    pub(super) method: MethodArgs,
    #[command(flatten)]
    pub(super) columns: ColumnNameArgs,
    #[command(flatten)]
    pub(super) labels: LabelArgs,
    #[command(flatten)]
    pub(super) model: ModelArgs,
    /// The score store of the shards
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
    pub(super) images: ImageArgs,
    #[command(flatten)]
    pub(super) resources: ResourceArgs,
    /// Print the facts as one JSON object on stdout
    #[arg(long, env = "CLIP_FILTER_JSON", help_heading = "Output")]
    pub(super) json: bool,
    #[command(flatten)]
    pub(in crate::cli) verbosity: VerbosityArgs,
    /// The words that were typed, with those of a configuration file.
    #[arg(skip)]
    pub(in crate::cli) command: String,
}

/// `clip-filter report`.
#[derive(Debug, ClapArgs)]
#[command(after_help = AFTER_REPORT)]
pub(in crate::cli) struct ReportArgs {
    /// A score store; or Parquet files, directories, globs or brace ranges with --scores; or an output. The store of
    /// --scores if not given
    #[arg(required_unless_present = "scores", value_name = "PATH")]
    pub(super) paths: Vec<String>,
    /// Where the page goes: one HTML file that needs no network
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "CLIP_FILTER_REPORT",
        help_heading = "Output"
    )]
    pub(super) output: Option<PathBuf>,
    /// Print plots and tables on stdout
    #[arg(
        long,
        env = "CLIP_FILTER_TEXT",
        help_heading = "Output",
        conflicts_with = "json"
    )]
    pub(super) text: bool,
    /// Replace a page that exists
    #[arg(long, env = "CLIP_FILTER_OVERWRITE", help_heading = "Output")]
    pub(super) overwrite: bool,
    #[command(flatten)]
    pub(super) condition: ConditionArgs,
    #[command(flatten)]
    pub(in crate::cli) case: CaseArgs,
}

/// `clip-filter explain`.
#[derive(Debug, ClapArgs)]
#[command(after_help = AFTER_EXPLAIN)]
pub(in crate::cli) struct ExplainArgs {
    /// The row, SHARD:ROW, unless --where names it; then what it is in, as for a report: shards, a score store or an
    /// output. The shards of --scores if not given
    #[arg(value_name = "SHARD:ROW|PATH")]
    pub(super) paths: Vec<String>,
    /// The row is the only one that fulfils this SQL condition, on input columns, clip_score, status, width, height
    #[arg(
        long = "where",
        value_name = "SQL",
        env = "CLIP_FILTER_EXPLAIN_WHERE",
        allow_hyphen_values = true
    )]
    pub(super) row: Option<String>,
    /// The --where of the selection
    #[arg(
        long,
        value_name = "SQL",
        env = "CLIP_FILTER_WHERE",
        allow_hyphen_values = true,
        help_heading = "Selection"
    )]
    pub(super) condition: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) case: CaseArgs,
}
