//! Which of the files that inputs name are read.

use std::path::PathBuf;

use arrow::compute::kernels::cast_utils::string_to_datetime;
use clap::{Args as ClapArgs, ValueEnum};

use super::stores;
use crate::{
    config::{ByteSize, OnBadShard},
    error::Result,
    source::{AsOf, FILE_LIST, Places, Uids},
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
    #[command(flatten)]
    tables: LooseTableArgs,
}

/// Which rows are read; commands that read all rows of a shard do not have it.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Inputs")]
pub(super) struct UidArgs {
    /// Read only rows whose uid is in this list, a NumPy file of u8,u8 as DataComp has it; the others are not counted
    #[arg(long, value_name = "FILE", env = "CLIP_FILTER_UIDS")]
    uids: Option<PathBuf>,
}

impl UidArgs {
    /// The list of uids, which may take a quarter of the memory limit.
    pub(super) fn list(&self, limit: ByteSize) -> Result<Option<Uids>> {
        let read = |file| Uids::read(file, limit.0 / 4);
        self.uids.as_deref().map(read).transpose()
    }

    pub(super) fn is_given(&self) -> bool {
        self.uids.is_some()
    }
}

/// Files that a list names.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Inputs")]
pub(super) struct FileListArgs {
    /// Read the files of this list too, JSON lines or Parquet: path, partition (columns of one value in the file) and
    /// left_out (positions of deleted rows). files:LIST as an input says the same, in other commands too
    #[arg(long, value_name = "LIST", env = "CLIP_FILTER_FILES")]
    files: Vec<String>,
}

impl FileListArgs {
    /// What stands for them among the inputs.
    pub(super) fn inputs(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(|list| format!("{FILE_LIST}{list}"))
    }
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Inputs")]
pub(super) struct LooseTableArgs {
    /// Read the files of a Delta, Iceberg or Hudi table as they lie, with rows that it has deleted; if not given, a Delta
    /// table is read as a table, and folders of the others are refused
    #[arg(long, env = "CLIP_FILTER_NO_TABLE")]
    no_table: bool,
    /// Read this version of a Delta table, the newest if not given; --version N does, too
    #[arg(
        long,
        value_name = "N",
        env = "CLIP_FILTER_TABLE_VERSION",
        conflicts_with_all = ["timestamp", "no_table"]
    )]
    table_version: Option<u64>,
    /// Read a Delta table as it was at this time, as in 2026-01-31 or 2026-01-31T12:00:00Z; of UTC where no zone is
    /// given
    #[arg(
        long,
        value_name = "TIME",
        env = "CLIP_FILTER_TIMESTAMP",
        value_parser = millis,
        conflicts_with = "no_table"
    )]
    timestamp: Option<i64>,
}

/// Milliseconds since 1970.
fn millis(text: &str) -> Result<i64, String> {
    let time = string_to_datetime(&chrono::Utc, text);
    time.map(|time| time.timestamp_millis())
        .map_err(|_| "it is no time such as 2026-01-31T12:00:00Z".to_owned())
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
        let places = stores::places();
        let as_of = match (self.table_version, self.timestamp) {
            (Some(version), _) => AsOf::Version(version),
            (None, Some(millis)) => AsOf::Time(millis),
            (None, None) => AsOf::Newest,
        };
        match self.no_table {
            true => places.with_loose_tables(),
            false => places.with_as_of(as_of),
        }
    }
}
