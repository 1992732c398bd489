//! What `clip-filter sql` is told.

use std::{path::PathBuf, str::FromStr};

use clap::Args as ClapArgs;

use super::format::Format;
use crate::{
    cli::{
        args::{ColumnNameArgs, ModelArgs, ResourceArgs},
        image_args::ImageArgs,
        input_args::InputArgs,
        tell_args::VerbosityArgs,
        tracing::TraceArgs,
    },
    pipeline::DEFAULT_TABLE,
};

const AFTER_HELP: &str = "\
A query that is not given is read from standard input: statements that end in a semicolon, or on a terminal a
shell. A script stops at the first error.

Examples:
  clip-filter sql --input in.parquet 'SELECT text, clip_score FROM pairs WHERE rank < 100 ORDER BY clip_score'
  clip-filter sql --scores scores/ 'SELECT status, count(*) FROM pairs GROUP BY status'
  clip-filter sql --scores scores/ --recipe laion-threshold --param threshold=0.3 -o kept.parquet
  clip-filter sql --input 'a=shards/*.parquet' --input b=other.parquet < report.sql

A table of pairs has the columns of its shards, then clip_score, status, reason, width, height, image_embedding,
text_embedding where they have none of that name, and the row reference __shard, __row. Scores come from --scores;
without it, a query encodes the rows that are left when it needs them. pairs_shards has the shards alone.";

#[derive(Debug, ClapArgs)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct SqlArgs {
    /// The statements to run; - reads them from standard input
    #[arg(value_name = "QUERY")]
    pub(in crate::cli) query: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) tables: TableArgs,
    #[command(flatten)]
    pub(in crate::cli) reads: InputArgs,
    #[command(flatten)]
    pub(in crate::cli) result: ResultArgs,
    #[command(flatten)]
    pub(in crate::cli) columns: ColumnNameArgs,
    #[command(flatten)]
    pub(in crate::cli) model: ModelArgs,
    #[command(flatten)]
    pub(in crate::cli) images: ImageArgs,
    #[command(flatten)]
    pub(in crate::cli) resources: ResourceArgs,
    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
    #[command(flatten)]
    pub(in crate::cli) verbosity: VerbosityArgs,
}

impl SqlArgs {
    /// Whether the rows go to an output.
    pub(in crate::cli) fn writes(&self) -> bool {
        self.result.output.is_some()
    }
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Tables")]
pub(in crate::cli) struct TableArgs {
    /// A table: Parquet files, a directory, a glob or a brace range; pairs if it has no NAME. One name given
    /// again adds files to the table. A path that begins with a hive directory is written ./year=2024
    #[arg(
        long = "input",
        value_name = "[NAME=]PATH",
        env = "CLIP_FILTER_INPUT",
        action = clap::ArgAction::Append
    )]
    pub(in crate::cli) inputs: Vec<NamedInput>,
    /// A directory of scores that an earlier run stored
    #[arg(long, value_name = "DIR", env = "CLIP_FILTER_SCORES")]
    pub(in crate::cli) scores: Option<PathBuf>,
    /// Run a query that comes with the program; list shows their names
    #[arg(
        long,
        value_name = "NAME",
        env = "CLIP_FILTER_RECIPE",
        conflicts_with = "query"
    )]
    pub(in crate::cli) recipe: Option<String>,
    /// A value for the recipe
    #[arg(
        long = "param",
        value_name = "NAME=VALUE",
        env = "CLIP_FILTER_PARAM",
        action = clap::ArgAction::Append
    )]
    pub(in crate::cli) params: Vec<Param>,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Result")]
pub(in crate::cli) struct ResultArgs {
    /// Write the result to this file, or to this directory as part-*.parquet
    #[arg(short, long, value_name = "FILE|DIR", env = "CLIP_FILTER_OUTPUT")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Replace an output, or a trace, that exists
    #[arg(long, env = "CLIP_FILTER_OVERWRITE")]
    pub(in crate::cli) overwrite: bool,
    /// Format of the result; else table, and for an output what its name ends in, or parquet
    #[arg(long, value_enum, value_name = "FORMAT", env = "CLIP_FILTER_FORMAT")]
    pub(in crate::cli) format: Option<Format>,
}

impl ResultArgs {
    /// `--format`, or what the output asks for.
    pub(super) fn format(&self) -> Format {
        let by_output = || self.output.as_deref().map_or(Format::Table, Format::of);
        self.format.unwrap_or_else(by_output)
    }
}

/// `[NAME=]PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct NamedInput {
    pub(in crate::cli) table: String,
    pub(in crate::cli) path: String,
}

impl FromStr for NamedInput {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (table, path) = match text.split_once('=') {
            Some((name, path)) if is_name(name) => (name, path),
            // A `=` further on belongs to the path: shards/year=2024.
            _ => (DEFAULT_TABLE, text),
        };
        if path.is_empty() {
            return Err("it names no path".to_owned());
        }
        Ok(Self {
            table: table.to_owned(),
            path: path.to_owned(),
        })
    }
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Param {
    pub(in crate::cli) name: String,
    pub(in crate::cli) value: String,
}

impl FromStr for Param {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if is_name(name) => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("it is not NAME=VALUE".to_owned()),
        }
    }
}

fn is_name(text: &str) -> bool {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(starts) && text.chars().all(|c| starts(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Args, Command};

    fn parsed(line: &[&str]) -> Result<SqlArgs, clap::Error> {
        let words = ["clip-filter", "sql"].iter().chain(line);
        match Args::try_parse_from(words)?.command {
            Some(Command::Sql(args)) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_input_may_have_a_name() {
        let cases = [
            ("a.parquet", Some(("pairs", "a.parquet"))),
            ("laion=a.parquet", Some(("laion", "a.parquet"))),
            ("laion=hive/year=2024", Some(("laion", "hive/year=2024"))),
            ("hive/year=2024", Some(("pairs", "hive/year=2024"))),
            ("./year=2024", Some(("pairs", "./year=2024"))),
            ("laion=", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let named = text.parse::<NamedInput>().ok();
            let named = named
                .as_ref()
                .map(|one| (one.table.as_str(), one.path.as_str()));
            assert_eq!(named, expected, "{text}");
        }
    }

    #[test]
    fn options_are_read() {
        let args = parsed(&[
            "SELECT 1",
            "--input",
            "a.parquet",
            "--input",
            "b=b.parquet",
            "-o",
            "x.csv",
            "-v",
        ])
        .unwrap();
        assert_eq!(args.query.as_deref(), Some("SELECT 1"));
        assert_eq!(args.tables.inputs.len(), 2);
        assert_eq!(args.result.format(), Format::Csv);
        assert_eq!(args.verbosity.verbose, 1);
        let args = parsed(&["--recipe", "best", "--param", "n=10", "--param", "q=a=b"]).unwrap();
        assert_eq!(args.tables.params[1].value, "a=b");
        assert_eq!(args.result.format(), Format::Table);
        let args = parsed(&["SELECT 1", "--format", "ndjson", "-o", "x.parquet"]).unwrap();
        assert_eq!(args.result.format(), Format::Ndjson);
    }

    #[test]
    fn a_recipe_takes_the_place_of_a_query() {
        assert!(parsed(&["SELECT 1", "--recipe", "best"]).is_err());
        assert!(parsed(&["--recipe", "best", "--param", "n"]).is_err());
        assert!(parsed(&["--format", "xml"]).is_err());
    }
}
