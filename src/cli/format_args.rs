//! What the output is made of.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use crate::{
    error::{Error, Result},
    sink::{OutputFormat, TarOptions},
};

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Output")]
pub(super) struct FormatArgs {
    /// What the output is made of; if not given, tars if its name ends in .tar, else Parquet
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        env = "CLIP_FILTER_OUTPUT_FORMAT"
    )]
    format: Option<FormatArg>,
    /// Samples of each tar of a webdataset: 10000 if not given
    #[arg(
        long,
        value_name = "N",
        env = "CLIP_FILTER_SHARD_ROWS",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    shard_rows: Option<u64>,
    /// Write the samples of a webdataset in an order drawn from this seed, across shards, through a buffer of a quarter of
    /// the memory limit and at most 100 MB; if not given, in row order
    #[arg(long, value_name = "SEED", env = "CLIP_FILTER_SHUFFLE")]
    shuffle: Option<u64>,
    /// Write the uids of the rows kept to this file too, as DataComp has them: a NumPy file of u8,u8, ascending
    #[arg(long, value_name = "FILE.npy", env = "CLIP_FILTER_UIDS_OUT")]
    pub(super) uids_out: Option<PathBuf>,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// The same Parquet, with scores
    Parquet,
    /// Tars of samples, with scores in their .json
    Webdataset,
    /// Rows of a Delta table, in one commit: the output is its folder
    #[cfg(feature = "delta")]
    Delta,
}

impl FormatArgs {
    /// Whether any of it was said.
    pub(super) fn is_given(&self) -> bool {
        self.format.is_some()
            || self.shard_rows.is_some()
            || self.shuffle.is_some()
            || self.uids_out.is_some()
    }

    /// Whether it is rows of a Delta table.
    #[cfg(feature = "delta")]
    pub(super) fn is_delta(&self) -> bool {
        self.format == Some(FormatArg::Delta)
    }

    /// What an output of this name is made of.
    pub(super) fn of(&self, output: Option<&str>) -> Result<OutputFormat> {
        let is_tar = output.is_some_and(|output| output.ends_with(".tar"));
        let webdataset = match self.format {
            Some(format) => format == FormatArg::Webdataset,
            None => is_tar,
        };
        if webdataset && is_tar && self.shard_rows.is_some() {
            return Err(Error::usage("cut one tar into several")
                .hint("name a directory, or leave --shard-rows out"));
        }
        if webdataset {
            let usual = TarOptions::default();
            return Ok(OutputFormat::Webdataset(TarOptions {
                shard_rows: self.shard_rows.unwrap_or(usual.shard_rows),
                shuffle: self.shuffle,
            }));
        }
        match self.shard_rows.is_some() || self.shuffle.is_some() {
            true => Err(Error::usage("shuffle Parquet, or cut it by rows")
                .hint("--format webdataset has --shard-rows and --shuffle")),
            false => Ok(OutputFormat::Parquet),
        }
    }
}
