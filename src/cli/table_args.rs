//! `--format delta`: rows of a table.

use clap::{Args as ClapArgs, ValueEnum};

use crate::{
    delta::{PartitionValue, WriteMode},
    error::{Error, Result},
    pipeline::RunOptions,
    sink::Nanoseconds,
};

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Output")]
pub(super) struct TableArgs {
    /// What becomes of the rows that the table has; if not given, there is no table yet
    #[arg(long, value_enum, env = "CLIP_FILTER_MODE")]
    mode: Option<Mode>,
    /// The partition whose rows --mode replace-where replaces, as in label=3; several columns between commas
    #[arg(
        long,
        value_name = "COLUMN=VALUE",
        env = "CLIP_FILTER_REPLACE_WHERE",
        value_delimiter = ','
    )]
    replace_where: Vec<String>,
    /// Cut times in nanoseconds to microseconds, which Delta has; if not given, such a column is refused
    #[arg(long, env = "CLIP_FILTER_CUT_NANOSECONDS")]
    cut_nanoseconds: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// There must be no table
    Create,
    /// They stay
    Append,
    /// All go, in the same commit
    Overwrite,
    /// Those of one partition go
    ReplaceWhere,
}

impl TableArgs {
    /// `options`, as they write to a table if that is asked for.
    pub(super) fn applied(&self, options: RunOptions, is_delta: bool) -> Result<RunOptions> {
        let given = self.mode.is_some() || !self.replace_where.is_empty() || self.cut_nanoseconds;
        match is_delta {
            false if given => Err(Error::usage("take --mode: the output is no table")
                .hint("--format delta, with --mode, --replace-where and --cut-nanoseconds")),
            false => Ok(options),
            true => {
                Ok(options.with_delta(self.write_mode()?, Nanoseconds::when(self.cut_nanoseconds)))
            }
        }
    }

    fn write_mode(&self) -> Result<WriteMode> {
        let values = self.replace_where.iter().map(|text| {
            let (name, value) = text.split_once('=').ok_or_else(|| {
                Error::usage("read --replace-where")
                    .with("it is", text)
                    .hint("--replace-where label=3")
            })?;
            Ok(PartitionValue {
                name: name.trim().to_owned(),
                value: Some(value.trim().to_owned()).filter(|value| !value.is_empty()),
            })
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        match (self.mode.unwrap_or(Mode::Create), values.is_empty()) {
            (Mode::ReplaceWhere, false) => Ok(WriteMode::Replace(values)),
            (Mode::ReplaceWhere, true) => {
                Err(Error::usage("replace a partition that is not named")
                    .hint("--replace-where label=3"))
            }
            (_, false) => Err(Error::usage(
                "take --replace-where without --mode replace-where",
            )),
            (Mode::Create, true) => Ok(WriteMode::Create),
            (Mode::Append, true) => Ok(WriteMode::Append),
            (Mode::Overwrite, true) => Ok(WriteMode::Overwrite),
        }
    }
}
