//! Which share of the work a worker takes, and how that is typed.

use std::ffi::OsString;

use clap::Args as ClapArgs;

use crate::{
    config::Share,
    error::{Error, Result},
};

/// Variables in which what starts workers tells each its number, and where it does, how many there are.
const WORKERS: [(&str, Option<&str>); 3] = [
    ("SLURM_PROCID", Some("SLURM_NTASKS")),
    ("RANK", Some("WORLD_SIZE")),
    // An indexed job of Kubernetes says how many to nobody.
    ("JOB_COMPLETION_INDEX", None),
];

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Score store")]
pub(super) struct ShareArgs {
    /// Score one of N shares of the shards, I from 0 to N - 1, by a hash of their paths: one worker each, then
    /// clip-filter merge. auto takes I and N from SLURM_PROCID and SLURM_NTASKS or RANK and WORLD_SIZE, auto/N takes I
    /// from JOB_COMPLETION_INDEX too
    #[arg(long, value_name = "I/N", env = "CLIP_FILTER_PART")]
    part: Option<String>,
}

impl ShareArgs {
    /// What was typed, or what the environment says where `auto` was.
    pub(super) fn share(&self) -> Result<Option<Share>> {
        share(self.part.as_deref())
    }
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputShareArgs {
    /// Write one of N parts of the output, I from 0 to N - 1: a file of each shard of the part. All of it becomes visible
    /// with clip-filter merge --output OUT. Rows are selected over all shards, from scores that are in --scores already.
    /// auto and auto/N as for clip-filter score
    #[arg(
        long,
        value_name = "I/N",
        env = "CLIP_FILTER_PART",
        requires = "scores",
        conflicts_with_all = ["dry_run", "online", "report"]
    )]
    part: Option<String>,
}

impl OutputShareArgs {
    /// As [`ShareArgs::share`].
    pub(super) fn share(&self) -> Result<Option<Share>> {
        share(self.part.as_deref())
    }
}

/// The option without which two workers have typed the same.
const PART: &str = "--part";

/// The words of a command line but for the share, which is not that of the whole output.
pub(super) fn without_share(words: &[OsString]) -> Vec<OsString> {
    let mut kept = Vec::with_capacity(words.len());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        match text.strip_prefix(PART) {
            Some("") => drop(words.next()),
            Some(rest) if rest.starts_with('=') => {}
            _ => kept.push(word.clone()),
        }
    }
    kept
}

fn share(typed: Option<&str>) -> Result<Option<Share>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    typed.map(|typed| told(typed, variable)).transpose()
}

fn told(typed: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Share> {
    let wrong = |why: String| Error::usage(format!("take a share of the shards: {why}"));
    let of = match typed.strip_prefix("auto") {
        None => return typed.parse().map_err(wrong),
        Some("") => None,
        Some(rest) => match rest.strip_prefix('/') {
            Some(of) => Some(of.to_owned()),
            None => return Err(wrong(format!("'{typed}' is none of I/N, auto, auto/N"))),
        },
    };
    for (index, count) in WORKERS {
        let of = of.clone().or_else(|| count.and_then(&variable));
        if let (Some(index), Some(of)) = (variable(index), of) {
            return format!("{index}/{of}").parse().map_err(wrong);
        }
    }
    Err(wrong("nothing in the environment says which".to_owned())
        .hint("say it: --part 0/4 for the first of four, or auto/N where JOB_COMPLETION_INDEX is the number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(typed: &str, environment: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        told(typed, variable).ok().map(|share| share.to_string())
    }

    #[test]
    fn what_starts_workers_tells_each_its_share() {
        let slurm = [("SLURM_PROCID", "3"), ("SLURM_NTASKS", "8")];
        let job = [("JOB_COMPLETION_INDEX", "2")];
        let torch = [("RANK", "0"), ("WORLD_SIZE", "2")];
        assert_eq!(share("auto", &slurm).as_deref(), Some("3/8"));
        assert_eq!(share("auto", &torch).as_deref(), Some("0/2"));
        assert_eq!(share("auto/4", &job).as_deref(), Some("2/4"));
        assert_eq!(share("1/3", &slurm).as_deref(), Some("1/3"));
        for (typed, environment) in [
            ("auto", &job[..]),
            ("auto", &[]),
            ("auto4", &slurm),
            ("auto/2", &job),
        ] {
            assert_eq!(share(typed, environment), None, "{typed}");
        }
    }
}
