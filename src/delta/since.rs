//! What is new in a version since one whose rows somebody has.
//!
//! Commits between the two say it, and no list of all files is read. Where one of them is gone from the log, or the earlier
//! version is not known whole, lists of files are compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use delta_kernel::{
    KernelResult, SnapshotRef,
    commit_range::{CommitRange, DeltaAction},
};

use super::{
    engine::LogEngine,
    files::{DataFile, acted_on},
    tables::all_files,
};
use crate::source::KnownVersion;

/// The files of a version that are wanted, and those that are known.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) files: Vec<DataFile>,
    pub(super) known: BTreeSet<String>,
    /// What is told of it, one line each.
    pub(super) notes: Vec<String>,
}

impl Wanted {
    /// Those of the version of `snapshot` that are not in `known`.
    pub(super) fn since(
        known: &KnownVersion,
        engine: &LogEngine,
        snapshot: &SnapshotRef,
    ) -> KernelResult<Self> {
        let (table, number) = (&engine.root().name, snapshot.version());
        let compared = |why: &str| {
            let before = known.number;
            format!(
                "{table}: version {before}, which was scored, {why}: the lists of files are compared"
            )
        };
        let changes = match (known.is_whole, known.number.cmp(&number)) {
            (false, _) => Err(compared("is not whole in the store any more")),
            (true, std::cmp::Ordering::Greater) => Err(compared("is a later one")),
            (true, std::cmp::Ordering::Equal) => Ok(Changes::default()),
            (true, std::cmp::Ordering::Less) => Changes::between(known.number, number, engine)?
                .ok_or_else(|| compared("is followed by commits that are gone from the log")),
        };
        let mut wanted = Self::default();
        let is_known = |file: &DataFile| known.files.contains(&file.key());
        match changes {
            Err(compared) => {
                wanted.notes.push(compared);
                let all = all_files(engine, snapshot)?.into_iter();
                let (old, new): (Vec<_>, Vec<_>) = all.partition(is_known);
                wanted.files = new;
                wanted.known = old.iter().map(DataFile::key).collect();
            }
            Ok(changes) => {
                wanted.notes.extend(changes.rewrites(table, &known.files));
                let left = known.files.difference(&changes.removed);
                wanted.known = left.cloned().collect();
                let added = changes.added.into_values();
                wanted.files = added.filter(|file| !is_known(file)).collect();
            }
        }
        wanted.notes.push(format!(
            "{table}: files of version {number} that are new since version {}: {}; scored before and not opened: {}",
            known.number,
            wanted.files.len(),
            wanted.known.len()
        ));
        Ok(wanted)
    }
}

/// What commits have done in all.
#[derive(Debug, Default)]
struct Changes {
    added: BTreeMap<String, DataFile>,
    removed: BTreeSet<String>,
    rewrites: Vec<Rewrite>,
}

/// A commit that has put rows into other files and changed none.
#[derive(Debug)]
struct Rewrite {
    version: u64,
    removed: usize,
    added: Vec<String>,
}

impl Changes {
    /// Those of the commits behind version `before` up to `last`; `None` if one of them is gone.
    fn between(before: u64, last: u64, engine: &LogEngine) -> KernelResult<Option<Self>> {
        let commits = CommitRange::builder_for(engine.root().url.as_str(), before + 1)
            .with_end_version(last)
            .build(engine);
        // Whatever it lacks, the list of files has it.
        let Ok(commits) = commits else {
            return Ok(None);
        };
        let actions = [DeltaAction::Add, DeltaAction::Remove];
        let mut changes = Self::default();
        for commit in commits.commits(Arc::new(engine.clone()), None, &actions)? {
            let commit = commit?;
            let (mut added, mut removed) = (Vec::new(), Vec::new());
            for batch in commit.get_actions(engine)? {
                let batch = batch?;
                added.extend(acted_on(batch.as_ref(), "add")?);
                removed.extend(acted_on(batch.as_ref(), "remove")?);
            }
            changes.add(commit.version(), added, removed);
        }
        Ok(Some(changes))
    }

    fn add(&mut self, version: u64, added: Vec<(DataFile, bool)>, removed: Vec<(DataFile, bool)>) {
        if !added.is_empty() && !added.iter().any(|(_, changes)| *changes) {
            self.rewrites.push(Rewrite {
                version,
                removed: removed.len(),
                added: added.iter().map(|(file, _)| file.key()).collect(),
            });
        }
        for (file, _) in removed {
            let key = file.key();
            self.added.remove(&key);
            self.removed.insert(key);
        }
        for (file, _) in added {
            let key = file.key();
            self.removed.remove(&key);
            self.added.insert(key, file);
        }
    }

    /// What is told of files that have the rows of others.
    fn rewrites(&self, table: &str, known: &BTreeSet<String>) -> Vec<String> {
        let rewrites = self.rewrites.iter().map(|rewrite| {
            let Rewrite { version, removed, added } = rewrite;
            let old = added.iter().filter(|key| known.contains(*key)).count();
            let is_new = |key: &&String| self.added.contains_key(*key) && !known.contains(*key);
            let new = added.iter().filter(is_new).count();
            format!(
                "{table}: version {version} rewrote {removed} files as {} without a change of rows: the rows of {new} are scored again, those of {old} are known",
                added.len()
            )
        });
        rewrites.collect()
    }
}
