//! One of several workers writes a share of the output, and one process makes all of it visible.
//!
//! Each worker selects from the same store, which is quick and reads no image, and so decides the same; the hash of what it
//! has decided tells whoever merges that all have.

use serde::Serialize;

use super::{Prepared, work::WorkDir};
use crate::{
    config::Share,
    error::{Error, Result},
    options::RunOptions,
    selection::Selection,
    sink::{
        Destination, Existing, Fate, LeftShare, OutputFormat, OutputPath, OutputPlaces, Owner,
        Placement, ShareFacts, SharedOutputs, Staged,
    },
    store::shards_in,
};

/// Refuses what one of several workers cannot write: one file, or a list of all rows.
pub(super) fn check_share(options: &RunOptions) -> Result<()> {
    let (Some(_), Some(output)) = (options.share, &options.output) else {
        return Ok(());
    };
    let refused = |what: &str, hint: &str| {
        Err(Error::usage(format!("write a part of the output: {what}")).hint(hint.to_owned()))
    };
    if options.scoring.scores.is_none() {
        return refused(
            "each worker selects from the same scores",
            "--scores, a store that workers have filled",
        );
    }
    options
        .places
        .shares(&options.format.destination(output.clone()))?;
    if options.format != OutputFormat::Parquet || !options.partition_by.is_empty() {
        return refused(
            "parts are files of Parquet, one of each shard",
            "leave out --format and --partition-by, or write all of it in one run",
        );
    }
    let lists = [&options.rejects, &options.changes, &options.uids_out];
    if lists.into_iter().any(Option::is_some) {
        return refused(
            "lists of rows are written by one run over all shards",
            "leave out --rejects, --changes and --uids-out",
        );
    }
    Ok(())
}

/// A worker's share of what a run has selected.
pub(in crate::pipeline) struct OwnShare {
    /// For each shard whether its rows are in the share.
    pub(in crate::pipeline) shards: Vec<bool>,
    pub(in crate::pipeline) facts: ShareFacts,
    /// The same, where an earlier attempt has left it.
    pub(in crate::pipeline) left: Option<LeftShare>,
}

impl OwnShare {
    /// The share of `selected` that the options name, if they do.
    pub(in crate::pipeline) fn of(
        options: &RunOptions,
        prepared: &Prepared,
        selected: &Selection,
    ) -> Result<Option<Self>> {
        let (Some(share), Some(work), Some(output)) =
            (options.share, &prepared.work, &options.output)
        else {
            return Ok(None);
        };
        let shards = shards_in(share, &prepared.shards.identities);
        let facts = ShareFacts {
            identity: work.identity().to_owned(),
            share,
            selection: selected.digest(),
            rows_selected: selected.rows(),
            rows: selected.within(&shards).rows(),
        };
        let destination = options.format.destination(output.clone());
        let left = options.places.shares(&destination)?.left(&destination)?;
        let existing = Existing::when(options.overwrite);
        let same = |it: &LeftShare| it.facts == facts && it.pending.existing == existing;
        Ok(Some(Self {
            left: left.into_iter().find(same),
            shards,
            facts,
        }))
    }
}

impl Prepared {
    /// Leaves a share of the output to whoever merges.
    pub(in crate::pipeline) fn leave(self, facts: ShareFacts, staged: Vec<Staged>) -> Result<()> {
        match self.work {
            None => Ok(()),
            Some(work) => work.leave(facts, staged),
        }
    }
}

/// An output that was put together of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MergedOutput {
    /// Where it is.
    pub output: String,
    /// How many workers have written it; 0 if it was whole before.
    pub parts: u32,
    /// Its files, in row order; none are named if it was whole before.
    pub outputs: Vec<String>,
    /// Its rows.
    pub rows: u64,
}

/// Makes an output visible that workers have written in shares: all of it in one step. A second time changes nothing.
///
/// # Errors
/// When shares are missing, were not selected alike, or something is there that they may not replace.
pub fn merge_output(output: &OutputPath, places: &OutputPlaces) -> Result<MergedOutput> {
    let destination = &Destination::Directory(output.clone());
    let shares = places.shares(destination)?;
    let left = shares.left(destination)?;
    if left.is_empty() {
        return match shares.is_complete(destination)? {
            true => Ok(MergedOutput {
                output: destination.to_string(),
                parts: 0,
                outputs: Vec::new(),
                rows: 0,
            }),
            false => Err(
                Error::output("put the output together: no part of it is there")
                    .with("output", destination)
                    .hint("clip-filter IN OUT --scores DIR --part I/N writes one of N"),
            ),
        };
    }
    let left = all_of_one_run(destination, left)?;
    // Nobody else merges or writes there meanwhile.
    let identity = left[0].facts.identity.clone();
    let work = WorkDir::open(output, None, identity, None)?;
    let merged = visible(destination, shares, places, &work, &left);
    drop(work);
    merged
}

fn visible(
    destination: &Destination,
    shares: &dyn SharedOutputs,
    places: &OutputPlaces,
    work: &WorkDir,
    left: &[LeftShare],
) -> Result<MergedOutput> {
    let commit = places.of(destination.path())?;
    let pending = shares.gather(destination, left)?;
    if commit.fate(&pending)? != Fate::Visible {
        let placement = Placement {
            destination,
            existing: pending.existing,
            owner: Owner::Run {
                identity: work.identity(),
                directory: None,
                notes: None,
            },
        };
        commit.check(&placement, &[])?;
        commit.finish(&pending)?;
    }
    shares.clear(destination)?;
    Ok(MergedOutput {
        output: destination.to_string(),
        parts: left[0].facts.share.of(),
        outputs: pending.parts.into_iter().map(|part| part.name).collect(),
        rows: left[0].facts.rows_selected,
    })
}

/// The shares by their numbers; refuses them where some are missing, or not all are of one selection.
fn all_of_one_run(destination: &Destination, mut left: Vec<LeftShare>) -> Result<Vec<LeftShare>> {
    let failed = |why: &str| {
        Error::output(format!("put the output together: {why}")).with("output", destination)
    };
    left.sort_by_key(|share| share.facts.share.index());
    let first = left[0].facts.clone();
    let is_same_run = |share: &LeftShare| {
        let facts = &share.facts;
        (&facts.identity, facts.share.of()) == (&first.identity, first.share.of())
    };
    if !left.iter().all(is_same_run) {
        let parts = left.iter().map(|share| share.facts.share.to_string());
        return Err(failed("parts of several runs are there")
            .with("parts", parts.collect::<Vec<_>>().join(", "))
            .hint("run all parts again, with the same inputs and options"));
    }
    let of = first.share.of();
    let is_there = |share: &Share| left.iter().any(|left| left.facts.share == *share);
    let all = (0..of).filter_map(|index| Share::new(index, of));
    let missing: Vec<_> = all.filter(|share| !is_there(share)).collect();
    if !missing.is_empty() {
        let named = missing.iter().map(Share::to_string);
        return Err(failed("parts are missing")
            .with("parts", format!("{} of {of}", missing.len()))
            .with("missing", named.collect::<Vec<_>>().join(", "))
            .hint("run those again, with the same inputs and options: the others stay"));
    }
    let rows: u64 = left.iter().map(|share| share.facts.rows).sum();
    let is_alike = |share: &LeftShare| share.facts.selection == first.selection;
    let other = left.iter().find(|share| !is_alike(share));
    if other.is_some() || rows != first.rows_selected {
        let parts = other.map_or(first.share, |share| share.facts.share);
        return Err(failed(
            "not all parts are of one selection: the scores were changed between them",
        )
        .with("parts", format!("{}, {parts}", first.share))
        .hint("run all parts again: those that would be the same are left as they are"));
    }
    Ok(left)
}
