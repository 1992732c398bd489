//! `clip-filter merge`.

use std::{path::PathBuf, process::ExitCode};

use clap::{ArgGroup, Args as ClapArgs};
use serde::Serialize;

use super::{running::print_json, say, stores};
use crate::{
    error::{Error, Result},
    pipeline::{self, MergedOutput},
    sink::OutputPath,
    store::{Merged, StoreAt},
};

/// Shards that an error names.
const NAMED: usize = 5;

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("merged").args(["scores", "output"]).required(true))]
pub(super) struct MergeArgs {
    /// The score store that workers have filled: a directory, or a URL as s3://bucket/scores
    #[arg(long, value_name = "DIR", env = "CLIP_FILTER_SCORES")]
    scores: Option<PathBuf>,
    /// The output that workers have written in parts: a directory, or a URL as s3://bucket/kept. All of it becomes visible
    /// in one step, or none where a part is missing
    #[arg(
        long,
        value_name = "OUT",
        env = "CLIP_FILTER_OUTPUT",
        conflicts_with = "scores"
    )]
    output: Option<String>,
    /// Print what was put together as one JSON object on stdout
    #[arg(long, env = "CLIP_FILTER_JSON")]
    json: bool,
    /// Say nothing but errors
    #[arg(short, long, env = "CLIP_FILTER_QUIET")]
    pub(super) quiet: bool,
}

pub(super) fn run(args: &MergeArgs) -> Result<ExitCode> {
    let merged = merged(args)?;
    if args.json {
        print_json(&merged)?;
    }
    merged.check()?;
    if !args.quiet {
        say(&merged.said());
    }
    Ok(ExitCode::SUCCESS)
}

/// What was put together.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum PutTogether {
    Scores(Merged),
    Output(MergedOutput),
}

pub(super) fn merged(args: &MergeArgs) -> Result<PutTogether> {
    if let Some(output) = &args.output {
        let output = OutputPath::from(output.as_str());
        let merged = pipeline::merge_output(&output, &stores::output_places())?;
        return Ok(PutTogether::Output(merged));
    }
    let at = args.scores.clone().map(StoreAt::from);
    let at = at.ok_or_else(|| Error::usage("find the score store: none was given"))?;
    Merged::of(at.in_places(&stores::places())).map(PutTogether::Scores)
}

impl PutTogether {
    /// Refuses a store that lacks rows.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Scores(merged) if !merged.missing.is_empty() => Err(missing(merged)),
            _ => Ok(()),
        }
    }

    fn said(&self) -> String {
        match self {
            Self::Scores(merged) => {
                let (shards, rows) = (merged.shards, merged.rows);
                format!("merged     {shards} shards, {rows} rows")
            }
            Self::Output(merged) if merged.parts == 0 => {
                format!("merged     {} was whole already", merged.output)
            }
            Self::Output(merged) => {
                let (parts, rows, files) = (merged.parts, merged.rows, merged.outputs.len());
                format!("merged     {parts} parts, {rows} rows in {files} files")
            }
        }
    }
}

fn missing(merged: &Merged) -> Error {
    let named = merged.missing.iter().take(NAMED);
    let named: Vec<&str> = named.map(|shard| shard.shard.as_str()).collect();
    let more = merged.missing.len() - named.len();
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let error = Error::output("merge all scores: some are missing")
        .with(
            "shards",
            format!("{} of {}", merged.missing.len(), merged.shards),
        )
        .with(
            "rows",
            format!("{} of {}", merged.missing_rows(), merged.rows),
        )
        .with("missing", format!("{}{rest}", named.join(", ")));
    match merged.in_work {
        0 => error.hint("run again the shares that did not finish: what is scored stays"),
        in_work => error
            .with("being scored", in_work)
            .hint("wait for the workers, or run again the shares that did not finish"),
    }
}
