//! What a run keeps beside its output until it has succeeded.
//!
//! ```text
//! .NAME.clip-filter/lock          no second run writes the same output
//! .NAME.clip-filter/scores/       the private score store, where no other was named
//! .NAME.clip-filter/output        the output under its temporary name
//! .NAME.clip-filter/commit.json   the renames that make all of it visible, written when all of it is synced
//! ```
//!
//! A run that was killed leaves the directory; the next one goes on from its scores. One that was killed
//! between its renames finds the list of them and finishes it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    sink::{Destination, Staged},
    store::DirLock,
    summary::RunSummary,
};

const COMMIT: &str = "commit.json";

/// The directory, locked.
#[derive(Debug)]
pub(in crate::pipeline) struct WorkDir {
    path: PathBuf,
    /// Nothing in it is needed any more.
    done: bool,
    _lock: DirLock,
}

/// The last step of a run: what it did, and the renames that are left.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::pipeline) struct Commit {
    /// Tells this run from one of other options or other shards.
    pub(in crate::pipeline) identity: String,
    pub(in crate::pipeline) summary: RunSummary,
    pub(in crate::pipeline) moves: Vec<(PathBuf, Destination)>,
}

impl WorkDir {
    /// Makes or finds the directory that belongs to `output`.
    pub(in crate::pipeline) fn beside(output: &Path) -> Result<Self> {
        let parent = match output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        let path = parent.join(format!(".{name}.clip-filter"));
        if let Err(error) = std::fs::create_dir(&path)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(Error::output("write beside the output")
                .with("directory", parent.display())
                .source(error)
                .hint("make the directory, or choose one you may write to"));
        }
        let lock = DirLock::exclusive(&path)?;
        let _ = std::fs::remove_dir_all(gone(&path));
        Ok(Self {
            path,
            done: false,
            _lock: lock,
        })
    }

    pub(in crate::pipeline) fn scores(&self) -> PathBuf {
        self.path.join("scores")
    }

    pub(in crate::pipeline) fn output(&self) -> PathBuf {
        self.path.join("output")
    }

    /// The last step of an earlier run of this identity that did not get to its end.
    pub(in crate::pipeline) fn unfinished(&self, identity: &str) -> Option<Commit> {
        let text = std::fs::read(self.path.join(COMMIT)).ok()?;
        let commit: Commit = serde_json::from_slice(&text).ok()?;
        let ours = commit.identity == identity;
        let there = |(from, to): &(PathBuf, Destination)| from.exists() || to.path().exists();
        (ours && commit.moves.iter().all(there)).then_some(commit)
    }

    /// Forgets the last step of an earlier run.
    pub(in crate::pipeline) fn start_over(&self) {
        // What cannot be removed is overwritten before it could be read again.
        let _ = std::fs::remove_file(self.path.join(COMMIT));
    }

    /// True if an earlier or this run has committed scores.
    fn has_scores(&self) -> bool {
        let entries = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut parts =
            entries(self.scores().join("parts")).flat_map(|shard| entries(shard.path()));
        parts.next().is_some() || entries(self.scores().join("shards")).next().is_some()
    }

    /// Makes everything visible that was staged and synced, and removes the directory.
    pub(in crate::pipeline) fn commit(self, commit: &Commit) -> Result<()> {
        let text = serde_json::to_vec(commit)
            .map_err(|error| Error::internal("write the list of renames").source(error))?;
        crate::sink::write_synced(&self.path.join(COMMIT), &text)?;
        self.finish(commit)
    }

    /// Makes the renames of `commit`, which the directory has, that are left, and removes the directory.
    pub(in crate::pipeline) fn finish(mut self, commit: &Commit) -> Result<()> {
        for (from, to) in &commit.moves {
            if from.exists() {
                Staged::at(to.clone(), from.clone()).commit()?;
            }
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.done || !self.has_scores() {
            // In one step: half a directory would tell the next run less than a whole one or none.
            let gone = gone(&self.path);
            // A leftover is found and used, or removed, by the next run.
            let _ = std::fs::rename(&self.path, &gone);
            let _ = std::fs::remove_dir_all(&gone);
        }
    }
}

/// The name of a directory that is no longer needed.
fn gone(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".done");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_was_cut_short_is_finished_from_the_list_it_left() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let moves = ["out.parquet", "bad.parquet"].map(|name| {
            std::fs::write(at(&format!("staged-{name}")), name).unwrap();
            (at(&format!("staged-{name}")), Destination::File(at(name)))
        });
        let commit = Commit {
            identity: "this run".to_owned(),
            summary: RunSummary::default(),
            moves: moves.to_vec(),
        };
        // What stands in the way of the second rename ends the first run, and the second.
        std::fs::create_dir_all(at("bad.parquet").join("x")).unwrap();
        std::fs::create_dir_all(at(".out.parquet.clip-filter").join("scores/parts/a/b")).unwrap();
        let work = || WorkDir::beside(&at("out.parquet")).unwrap();
        work().commit(&commit).unwrap_err();
        let list = at(".out.parquet.clip-filter").join(COMMIT);
        // Finishing needs no second list, and so never a moment without one.
        std::fs::hard_link(&list, at("first-list")).unwrap();
        let again = work();
        let unfinished = again.unfinished("this run").unwrap();
        assert!(again.unfinished("another run").is_none());
        std::fs::write(&moves[1].0, "bad.parquet").unwrap();
        again.finish(&unfinished).unwrap_err();
        assert_eq!(same_file(&list), same_file(&at("first-list")));
        std::fs::remove_dir_all(at("bad.parquet")).unwrap();
        std::fs::write(&moves[1].0, "bad.parquet").unwrap();
        let last = work();
        let unfinished = last.unfinished("this run").unwrap();
        last.finish(&unfinished).unwrap();
        assert_eq!(std::fs::read(at("out.parquet")).unwrap(), b"out.parquet");
        assert_eq!(std::fs::read(at("bad.parquet")).unwrap(), b"bad.parquet");
        assert!(!at(".out.parquet.clip-filter").exists());
    }

    fn same_file(path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).unwrap().ino()
    }
}
