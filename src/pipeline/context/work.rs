//! What a run keeps until it has succeeded: the lock on its output, its own scores, and what tells it from others.
//!
//! ```text
//! .NAME.clip-filter/lock          no second run writes the same output
//! .NAME.clip-filter/scores/       the private score store, where no other was named
//! .NAME.clip-filter/output        a local output under its temporary name
//! .NAME.clip-filter/uploads-*     uploads to object stores that are not ended
//! .NAME.clip-filter/commit.json   what is to become visible, written when all of it is safe
//! ```
//!
//! A run that was killed leaves the directory; the next one goes on from its scores. One that was killed while its
//! outputs became visible has left the list of them, and the next one of the same identity finishes it.
//!
//! The directory lies beside a local output, so that the output can be renamed out of it. For any other output, or
//! where the caller names a directory, its name has a hash of where the output goes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    config::Share,
    digest::hex,
    error::{Error, Result},
    sink::{Fate, Ledger, OutputPath, OutputPlaces, ShareFacts, Staged, has_uploads},
    store::{DirLock, ScoreStore},
    summary::{ModelCard, RunSummary},
};

const COMMIT: &str = "commit.json";
/// Bytes of the hash that tells outputs of one name apart.
const HASH_BYTES: usize = 4;

/// The directory, locked.
#[derive(Debug)]
pub(in crate::pipeline) struct WorkDir {
    path: PathBuf,
    /// Its name, if it lies beside the output.
    beside: Option<String>,
    /// Tells this run from one of other options or other shards.
    identity: String,
    /// Nothing in it is needed any more.
    done: bool,
    _lock: DirLock,
}

/// The last step of a run: what it did, all of it safe, none or some of it visible.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::pipeline) struct LastStep {
    identity: String,
    pub(in crate::pipeline) summary: RunSummary,
}

impl LastStep {
    /// False if `model`, where it is known, is not the one that scored.
    pub(in crate::pipeline) fn may_be_of(&self, model: Option<&ModelCard>) -> bool {
        model.is_none_or(|model| model.fingerprint == self.summary.model.fingerprint)
    }
}

impl WorkDir {
    /// Makes or finds the directory that belongs to `output`, or to a share of it, in `within` if that is given.
    pub(in crate::pipeline) fn open(
        output: &OutputPath,
        within: Option<&Path>,
        identity: String,
        share: Option<Share>,
    ) -> Result<Self> {
        let (parent, name) = match (within, output.parent()) {
            (None, Some(parent)) => (parent, output.last_name()),
            (within, _) => (
                within.unwrap_or(Path::new(".")),
                format!("{}-{}", output.last_name(), hash(output)),
            ),
        };
        let worker = share.map_or_else(String::new, |share| {
            format!("-{}-of-{}", share.index(), share.of())
        });
        let name = format!(".{name}.clip-filter{worker}");
        let path = parent.join(&name);
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
            beside: (within.is_none() && output.local_path().is_some()).then_some(name),
            path,
            identity,
            done: false,
            _lock: lock,
        })
    }

    pub(in crate::pipeline) fn scores(&self) -> PathBuf {
        self.path.join("scores")
    }

    /// Where it is noted what a kill would leave elsewhere.
    pub(in crate::pipeline) fn notes(&self) -> &Path {
        &self.path
    }

    pub(in crate::pipeline) fn identity(&self) -> &str {
        &self.identity
    }

    /// The name of the directory, if it lies beside the output.
    pub(in crate::pipeline) fn beside_output(&self) -> Option<&str> {
        self.beside.as_deref()
    }

    /// The last step of an earlier run of this identity that did not get to its end, if all of it is there.
    pub(in crate::pipeline) fn unfinished(
        &self,
        places: &OutputPlaces,
    ) -> Result<Option<Ledger<LastStep>>> {
        let Some(ledger) = self.ledger().filter(|it| it.note.identity == self.identity) else {
            return Ok(None);
        };
        let fates = ledger.fates(places)?;
        let whole = fates.iter().all(|(_, fate)| *fate != Fate::Lost);
        drop(fates);
        Ok(whole.then_some(ledger))
    }

    /// Forgets the last step of an earlier run.
    pub(in crate::pipeline) fn start_over(&self, places: &OutputPlaces) {
        if let Some(ledger) = self.ledger() {
            ledger.abort(places);
        }
        // What cannot be removed is overwritten before it could be read again.
        let _ = std::fs::remove_file(self.path.join(COMMIT));
    }

    fn ledger(&self) -> Option<Ledger<LastStep>> {
        Ledger::read(&self.path.join(COMMIT))
    }

    /// True if a next run could go on from what is here.
    fn is_of_use(&self) -> bool {
        ScoreStore::has_scores(self.scores())
            || self.path.join(COMMIT).exists()
            || has_uploads(&self.path)
    }

    /// Leaves what was staged as a share of the output, unless that was done before, and removes the directory.
    pub(in crate::pipeline) fn leave(
        mut self,
        facts: ShareFacts,
        staged: Vec<Staged>,
    ) -> Result<()> {
        for share in staged {
            share.leave(facts.clone())?;
        }
        self.done = true;
        Ok(())
    }

    /// Makes everything visible that was staged, and removes the directory.
    pub(in crate::pipeline) fn commit(
        self,
        summary: RunSummary,
        staged: Vec<Staged>,
        places: &OutputPlaces,
    ) -> Result<()> {
        let step = LastStep {
            identity: self.identity.clone(),
            summary,
        };
        let ledger = Ledger::write(&self.path.join(COMMIT), step, staged)?;
        self.finish(&ledger, places)
    }

    /// Makes visible what of `ledger`, which the directory has, is not, and removes the directory.
    pub(in crate::pipeline) fn finish(
        mut self,
        ledger: &Ledger<LastStep>,
        places: &OutputPlaces,
    ) -> Result<()> {
        ledger.finish(places)?;
        self.done = true;
        Ok(())
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.done || !self.is_of_use() {
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

fn hash(output: &OutputPath) -> String {
    hex(&Sha256::digest(output.to_string())[..HASH_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Destination, Existing, Owner, Placement, stage_bytes};

    fn open(output: &Path) -> WorkDir {
        WorkDir::open(&output.into(), None, "this run".to_owned(), None).unwrap()
    }

    fn staged(path: PathBuf) -> Staged {
        let destination = Destination::file(path);
        let placement = Placement {
            destination: &destination,
            existing: Existing::Kept,
            owner: Owner::Run {
                identity: "this run",
                directory: None,
                notes: None,
            },
        };
        let bytes = destination.to_string().into_bytes();
        stage_bytes(&OutputPlaces::default(), &placement, &bytes).unwrap()
    }

    #[test]
    fn a_commit_that_was_cut_short_is_finished_from_the_list_it_left() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let places = OutputPlaces::default();
        let outputs = ["out.parquet", "bad.parquet"].map(|name| staged(at(name)));
        // What stands in the way of the second rename ends the first run, and the second.
        std::fs::create_dir_all(at("bad.parquet").join("x")).unwrap();
        let work = open(&at("out.parquet"));
        work.commit(RunSummary::default(), outputs.into(), &places)
            .unwrap_err();
        let list = at(".out.parquet.clip-filter").join(COMMIT);
        // Finishing needs no second list, and so never a moment without one.
        std::fs::hard_link(&list, at("first-list")).unwrap();
        let again = open(&at("out.parquet"));
        let unfinished = again.unfinished(&places).unwrap().unwrap();
        again.finish(&unfinished, &places).unwrap_err();
        assert_eq!(same_file(&list), same_file(&at("first-list")));
        std::fs::remove_dir_all(at("bad.parquet")).unwrap();
        let last = open(&at("out.parquet"));
        let unfinished = last.unfinished(&places).unwrap().unwrap();
        last.finish(&unfinished, &places).unwrap();
        for name in ["out.parquet", "bad.parquet"] {
            let text = std::fs::read_to_string(at(name)).unwrap();
            assert_eq!(text, at(name).display().to_string());
        }
        assert!(!at(".out.parquet.clip-filter").exists());
    }

    #[test]
    fn another_run_leaves_nothing_of_what_was_staged() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let places = OutputPlaces::default();
        std::fs::create_dir_all(at("out.parquet").join("x")).unwrap();
        let outputs = vec![staged(at("out.parquet"))];
        open(&at("out.parquet"))
            .commit(RunSummary::default(), outputs, &places)
            .unwrap_err();
        let another =
            WorkDir::open(&at("out.parquet").into(), None, "another".to_owned(), None).unwrap();
        assert!(another.unfinished(&places).unwrap().is_none());
        another.start_over(&places);
        drop(another);
        let left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["out.parquet"]);
    }

    #[test]
    fn a_directory_elsewhere_is_one_of_each_output() {
        let dir = tempfile::tempdir().unwrap();
        let open = |output: &str| {
            let work = WorkDir::open(&output.into(), Some(dir.path()), String::new(), None);
            work.inspect(|work| assert_eq!(work.beside_output(), None))
        };
        let first = open("mem://a/kept").unwrap();
        let second = open("mem://b/kept").unwrap();
        assert_ne!(first.path, second.path);
        assert!(open("mem://a/kept").is_err(), "it is locked");
        drop((first, second));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    fn same_file(path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).unwrap().ino()
    }
}
