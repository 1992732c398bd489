//! Which of the files that inputs name are read.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::stores;
use crate::{
    config::{ByteSize, OnBadShard},
    error::Result,
    source::{Places, Uids},
};

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Inputs")]
pub(super) struct InputArgs {
    /// What becomes of a shard that cannot be read: cut off, of no bytes, or damaged
    #[arg(
        long,
        value_enum,
        env = "CLIP_FILTER_ON_BAD_SHARD",
        default_value = "fail"
    )]
    on_bad_shard: OnBadShardArg,
    /// Read shards without the values in the names of their folders; if not given, label=3/ is a column 'label'
    #[arg(long, env = "CLIP_FILTER_NO_HIVE")]
    no_hive: bool,
    /// Read only rows whose uid is in this list, a NumPy file of u8,u8 as DataComp has it; the others are not counted
    #[arg(long, value_name = "FILE", env = "CLIP_FILTER_UIDS")]
    uids: Option<PathBuf>,
    #[command(flatten)]
    tables: LooseTableArgs,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Inputs")]
pub(super) struct LooseTableArgs {
    /// Read the files of a Delta, Iceberg or Hudi table as they lie, with rows that it has deleted; if not given, such a
    /// folder is refused
    #[arg(long, env = "CLIP_FILTER_NO_TABLE")]
    no_table: bool,
}

/// `--on-bad-shard`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnBadShardArg {
    /// Stop with an error that names it
    Fail,
    /// Leave it out with all its rows, and tell which
    Skip,
}

impl InputArgs {
    /// The list of uids, which may take a quarter of the memory limit.
    pub(super) fn uids(&self, limit: ByteSize) -> Result<Option<Uids>> {
        let read = |file| Uids::read(file, limit.0 / 4);
        self.uids.as_deref().map(read).transpose()
    }

    pub(super) fn on_bad_shard(&self) -> OnBadShard {
        match self.on_bad_shard {
            OnBadShardArg::Fail => OnBadShard::Fail,
            OnBadShardArg::Skip => OnBadShard::Skip,
        }
    }

    pub(super) fn places(&self) -> Places {
        match self.no_hive {
            true => self.tables.places().without_folders(),
            false => self.tables.places(),
        }
    }
}

impl LooseTableArgs {
    pub(super) fn places(&self) -> Places {
        match self.no_table {
            true => stores::places().with_loose_tables(),
            false => stores::places(),
        }
    }
}
