//! Where the outputs of a run go: whether they may, the lock on them, what a killed run has left, and the commit.

use super::{
    Prepared,
    work::{LastStep, WorkDir},
};
use crate::{
    error::{Error, Result},
    options::{RunOptions, ScoreOptions, identity},
    sink::{Destination, Existing, Fate, Ledger, OutputPath, Owner, Placement, Staged},
    source::input_that_reads,
    summary::RunSummary,
};

impl Prepared {
    /// Refuses places that nobody knows, names of other kinds of files, and what the next run would read as a shard.
    pub(super) fn check_places(options: &RunOptions) -> Result<()> {
        for (what, path) in outputs(options) {
            options.places.of(path)?;
            if what == What::Output {
                options.format.check(path)?;
            }
            let ending = path.other_ending();
            let is_list = ending.as_deref() == Some("npy");
            if what == What::Uids && !is_list {
                return Err(
                    Error::usage("write a list of uids to a name of another kind of file")
                        .with("uids", path)
                        .hint("name a file that ends in .npy"),
                );
            }
            let is_tar = what == What::Output && options.format.ending() == "tar";
            if let Some(ending) = ending.filter(|_| !is_tar && what != What::Uids) {
                return Err(Error::usage(format!(
                    "write Parquet to a name that ends in .{ending}"
                ))
                .with(what.as_str(), path)
                .hint(match what {
                    What::Output => {
                        "name a file that ends in .parquet, or a directory (end its name in /)"
                    }
                    What::Rejects | What::Changes | What::Uids => {
                        "name a file that ends in .parquet"
                    }
                }));
            }
            check_unread(what, path, options)?;
        }
        Ok(())
    }

    /// Locks the output, and finds out whether it may be put there or has been left unfinished.
    pub(super) fn take_place(&mut self, options: &RunOptions) -> Result<()> {
        let Some(output) = &options.output else {
            return Ok(());
        };
        let destination = options.format.destination(output.clone());
        let nobody = Placement {
            destination: &destination,
            existing: Existing::Replaced,
            owner: Owner::Process,
        };
        // A place that cannot be written to is named before a directory is made beside it.
        options.places.check(&nobody, &self.inputs())?;
        let identity = identity(options, &self.shards)?;
        let work = WorkDir::open(output, options.work.as_deref(), identity, options.share)?;
        self.unfinished = work.unfinished(&options.places)?;
        self.work = Some(work);
        if self.unfinished.is_none() {
            return self.start_over(options);
        }
        self.check_outputs(options)
    }

    /// Forgets what a killed run has staged.
    pub(in crate::pipeline) fn start_over(&mut self, options: &RunOptions) -> Result<()> {
        self.unfinished = None;
        if let Some(work) = &self.work {
            work.start_over(&options.places);
        }
        self.check_outputs(options)
    }

    /// Refuses outputs that may not be put where they go, but for those that a killed run has put there.
    fn check_outputs(&self, options: &RunOptions) -> Result<()> {
        let fates = match &self.unfinished {
            Some(ledger) => ledger.fates(&options.places)?,
            None => Vec::new(),
        };
        let is_there = |destination: &Destination| {
            fates.iter().any(|(pending, fate)| {
                *fate == Fate::Visible && pending.destination == *destination
            })
        };
        for (what, path) in outputs(options) {
            let destination = match what {
                What::Output => options.format.destination(path.clone()),
                What::Rejects | What::Changes | What::Uids => {
                    check_apart(what, path, options)?;
                    Destination::File(path.clone())
                }
            };
            if !is_there(&destination) {
                let existing = Existing::when(options.overwrite);
                let placement = self.placement(&destination, existing);
                options.places.check(&placement, &self.inputs())?;
            }
        }
        Ok(())
    }

    fn inputs(&self) -> Vec<OutputPath> {
        let shards = self.shards.set.shards.iter();
        shards.map(|shard| (&shard.location).into()).collect()
    }

    /// Where an output of the run goes, beside others that it writes.
    pub(in crate::pipeline) fn placement<'a>(
        &'a self,
        destination: &'a Destination,
        existing: Existing,
    ) -> Placement<'a> {
        Placement {
            destination,
            existing,
            owner: Owner::Run {
                identity: self.work.as_ref().map_or("", WorkDir::identity),
                directory: None,
                notes: self.work.as_ref().map(WorkDir::notes),
            },
        }
    }

    /// True if the run may write its output.
    pub(in crate::pipeline) fn writes(&self) -> bool {
        self.work.is_some()
    }

    /// Begins the output.
    pub(in crate::pipeline) fn stage_output(&self, options: &RunOptions) -> Result<Staged> {
        let (Some(work), Some(output)) = (&self.work, &options.output) else {
            return Err(Error::internal("write an output that has no place"));
        };
        let destination = options.format.destination(output.clone());
        let (identity, notes) = (work.identity(), Some(work.notes()));
        let owner = match options.share {
            None => Owner::Run {
                identity,
                directory: work.beside_output(),
                notes,
            },
            Some(share) => Owner::Share {
                identity,
                share,
                notes,
            },
        };
        let placement = Placement {
            owner,
            ..self.placement(&destination, Existing::when(options.overwrite))
        };
        options.places.stage(&placement)
    }

    /// Begins a file of the run that lies beside its output.
    pub(in crate::pipeline) fn stage_file(
        &self,
        options: &RunOptions,
        path: &OutputPath,
    ) -> Result<Staged> {
        let destination = Destination::File(path.clone());
        let existing = Existing::when(options.overwrite);
        options
            .places
            .stage(&self.placement(&destination, existing))
    }

    pub(in crate::pipeline) fn take_unfinished(&mut self) -> Option<Ledger<LastStep>> {
        self.unfinished.take()
    }

    /// Makes visible what a killed run has left.
    pub(in crate::pipeline) fn finish(
        self,
        options: &RunOptions,
        unfinished: &Ledger<LastStep>,
    ) -> Result<()> {
        match self.work {
            None => Ok(()),
            Some(work) => work.finish(unfinished, &options.places),
        }
    }

    /// Makes everything visible that was staged, and forgets what was kept for a next run.
    pub(in crate::pipeline) fn commit(
        self,
        options: &RunOptions,
        summary: &RunSummary,
        staged: Vec<Staged>,
    ) -> Result<()> {
        match self.work {
            None => Ok(()),
            Some(work) => work.commit(summary.clone(), staged, &options.places),
        }
    }
}

/// What a run writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Output,
    Rejects,
    Changes,
    Uids,
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            What::Output => "output",
            What::Rejects => "rejects",
            What::Changes => "changes",
            What::Uids => "uids",
        }
    }
}

/// The outputs that the options name.
fn outputs(options: &RunOptions) -> impl Iterator<Item = (What, &OutputPath)> {
    let named = [
        (What::Output, &options.output),
        (What::Rejects, &options.rejects),
        (What::Changes, &options.changes),
        (What::Uids, &options.uids_out),
    ];
    let given = named.into_iter();
    given.filter_map(|(what, path)| Some((what, path.as_ref()?)))
}

/// Refuses a score store of which the next run would read the files as shards.
pub(in crate::pipeline) fn check_store(options: &ScoreOptions) -> Result<()> {
    let Some(scores) = &options.scores else {
        return Ok(());
    };
    match scores.read_by(&options.inputs) {
        Some(input) => Err(unread("scores", scores, input)),
        None => Ok(()),
    }
}

/// Refuses an output that the next run would read as a shard; one that holds an input is refused where it is placed.
fn check_unread(what: What, path: &OutputPath, options: &RunOptions) -> Result<()> {
    let inputs = &options.scoring.inputs;
    let destination = match what {
        What::Output => options.format.destination(path.clone()),
        What::Rejects | What::Changes | What::Uids => Destination::File(path.clone()),
    };
    let file = destination.first_file(options.format.ending());
    match file.and_then(|file| input_that_reads(inputs, &file)) {
        Some(input) if !OutputPath::from(input).is_within(path) => {
            Err(unread(what.as_str(), path, input))
        }
        _ => Ok(()),
    }
}

fn unread(what: &'static str, path: impl std::fmt::Display, input: &str) -> Error {
    Error::usage(format!(
        "write the {what} within an input: the next run would read it as a shard"
    ))
    .with("input", input)
    .with(what, path)
    .hint("name a place outside, or one within that begins with _, which is not read")
}

/// Refuses a list of rows that is the output, lies within it, or is a directory.
fn check_apart(what: What, path: &OutputPath, options: &RunOptions) -> Result<()> {
    let within = |output: &OutputPath| path.is_within(output);
    let is_directory = path.local_path().is_some_and(std::path::Path::is_dir);
    if !is_directory && !options.output.as_ref().is_some_and(within) {
        return Ok(());
    }
    let what = what.as_str();
    Err(Error::usage(format!(
        "write the {what} file: it is the output, within it, or a directory"
    ))
    .with("file", path)
    .hint(format!("give the {what} file a name of its own")))
}
