//! What is said of a run, and where.

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs};

use super::{format_args::FormatArgs, summary::Detail, tracing::TraceArgs};

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Output")]
pub(super) struct TellArgs {
    /// Decide and report, write nothing
    #[arg(long, env = "CLIP_FILTER_DRY_RUN")]
    pub(super) dry_run: bool,
    /// Replace an output, or a trace, that exists
    #[arg(long, env = "CLIP_FILTER_OVERWRITE")]
    pub(super) overwrite: bool,
    /// Cut a directory by the values of these columns: label=3/part-00000.parquet; the files in it do not have them
    #[arg(
        long,
        value_name = "COLUMNS",
        env = "CLIP_FILTER_PARTITION_BY",
        value_delimiter = ','
    )]
    pub(super) partition_by: Vec<String>,
    /// Write the columns of --partition-by into the files, too: tables that files are added to want them there, as those
    /// of Iceberg do
    #[arg(
        long,
        env = "CLIP_FILTER_PARTITION_IN_FILES",
        requires = "partition_by"
    )]
    pub(super) partition_in_files: bool,
    #[command(flatten)]
    pub(super) format: FormatArgs,
    /// Write what was kept and cut, and why, to this HTML file: one page that needs no network. A run that keeps
    /// no scores computes sas, sds and dup_max_sim for it
    #[arg(long, value_name = "FILE", env = "CLIP_FILTER_REPORT")]
    pub(super) report: Option<PathBuf>,
    /// Print the summary as one JSON object on stdout (with --online as the last line on stderr)
    #[arg(long, env = "CLIP_FILTER_JSON")]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) trace: TraceArgs,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

/// How much is said on stderr.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Output")]
pub(super) struct VerbosityArgs {
    /// Say nothing but errors
    #[arg(short, long, env = "CLIP_FILTER_QUIET", conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more: how long threads waited and passes took; twice for the plan of the query
    #[arg(short, long, env = "CLIP_FILTER_VERBOSE", action = ArgAction::Count)]
    pub(super) verbose: u8,
}

impl VerbosityArgs {
    /// How much a summary tells.
    pub(super) fn detail(&self) -> Detail {
        match self.verbose {
            0 => Detail::Short,
            _ => Detail::Long,
        }
    }
}
