//! Options of `clip-filter score`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{
    args::{ColumnNameArgs, ModelArgs, ResourceArgs, StoreArgs},
    image_args::ImageArgs,
    input_args::{FileListArgs, InputArgs, UidArgs},
    label_args::LabelArgs,
    method_args::MethodArgs,
    score_names::score_names,
    share_args::ShareArgs,
    tell_args::VerbosityArgs,
    tracing::TraceArgs,
};
use crate::schema::ScoreColumn;

/// `clip-filter score`.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = score_names())]
pub(super) struct ScoreArgs {
    /// Parquet files, directories, globs or brace ranges
    #[arg(required_unless_present = "files", value_name = "IN")]
    pub(super) inputs: Vec<String>,
    #[command(flatten)]
    pub(super) lists: FileListArgs,
    #[command(flatten)]
    pub(super) reads: InputArgs,
    #[command(flatten)]
    pub(super) uids: UidArgs,
    /// Where the scores are kept: a directory, made if it is not there, or a URL as s3://bucket/scores
    #[arg(
        long,
        value_name = "DIR",
        env = "CLIP_FILTER_SCORES",
        help_heading = "Score store",
        required = true
    )]
    pub(super) scores: Option<PathBuf>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) share: ShareArgs,
    #[command(flatten)]
    pub(super) columns: ColumnNameArgs,
    #[command(flatten)]
    pub(super) labels: LabelArgs,
    /// Scores from embeddings to compute and keep (--help says what each is): cell, sas, sas_margin, sds, s_cliploss,
    /// dup_max_sim, proto_dist, moderate, normsim_inf, normsim_2, vas, selection_score
    #[arg(
        long,
        value_name = "NAMES",
        env = "CLIP_FILTER_ADD",
        value_delimiter = ',',
        value_parser = derived,
        help_heading = "Scores from embeddings"
    )]
    pub(super) add: Vec<ScoreColumn>,
    #[command(flatten)]
    pub(super) method: MethodArgs,
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    pub(super) images: ImageArgs,
    /// Exit with 3 if there are more bad rows than this
    #[arg(
        long,
        value_name = "N",
        env = "CLIP_FILTER_MAX_BAD_ROWS",
        help_heading = "Bad rows"
    )]
    pub(super) max_bad_rows: Option<u64>,
    #[command(flatten)]
    pub(super) resources: ResourceArgs,
    /// Print the summary as one JSON object on stdout
    #[arg(long, env = "CLIP_FILTER_JSON", help_heading = "Output")]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) trace: TraceArgs,
    /// Replace a trace that exists
    #[arg(long, env = "CLIP_FILTER_OVERWRITE", help_heading = "Output")]
    pub(super) overwrite: bool,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

fn derived(name: &str) -> Result<ScoreColumn, String> {
    ScoreColumn::derived_from_name(name).ok_or_else(|| {
        let names: Vec<_> = ScoreColumn::derived().map(ScoreColumn::name).collect();
        format!("it is not one of {}", names.join(", "))
    })
}
