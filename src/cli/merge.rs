//! `clip-filter merge`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;

use super::{running::print_json, say, stores};
use crate::{
    error::{Error, Result},
    store::{Merged, StoreAt},
};

/// Shards that an error names.
const NAMED: usize = 5;

#[derive(Debug, ClapArgs)]
pub(super) struct MergeArgs {
    /// The score store that workers have filled: a directory, or a URL as s3://bucket/scores
    #[arg(long, value_name = "DIR", env = "CLIP_FILTER_SCORES", required = true)]
    scores: Option<PathBuf>,
    /// Print what the store holds as one JSON object on stdout
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
    check(&merged)?;
    if !args.quiet {
        say(&format!(
            "merged     {} shards, {} rows",
            merged.shards, merged.rows
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the store holds.
pub(super) fn merged(args: &MergeArgs) -> Result<Merged> {
    let at = args.scores.clone().map(StoreAt::from);
    let at = at.ok_or_else(|| Error::usage("find the score store: none was given"))?;
    Merged::of(at.in_places(&stores::places()))
}

/// Refuses a store that lacks rows.
pub(super) fn check(merged: &Merged) -> Result<()> {
    match merged.missing.is_empty() {
        true => Ok(()),
        false => Err(missing(merged)),
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
