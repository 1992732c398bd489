//! Shares of outputs on a local disk.
//!
//! ```text
//! .NAME.clip-filter-parts/RUN/3/            the files of share 3
//! .NAME.clip-filter-parts/RUN/00003.json    what is noted of it, once it is whole
//! .NAME.clip-filter-parts/RUN/merged/       the files of all shares, on their way to NAME
//! ```

use std::path::{Path, PathBuf};

use super::{
    Destination, Existing, LeftShare, LocalCommit, Pending, SharedOutputs,
    ledger::write_synced,
    local::{SUCCESS, local, parent, remove, sync_directory},
    shares::{record_name, run_name},
};
use crate::{
    config::Share,
    error::{Error, Result},
};

const MERGED: &str = "merged";

/// The name of the directory of all shares, beside the output.
fn directory_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.clip-filter-parts")
}

fn directory(path: &Path) -> PathBuf {
    parent(path).join(directory_name(path))
}

/// Makes room for a share of the output at `path`: its name beside that. What other runs have left is removed.
pub(super) fn make_room(path: &Path, identity: &str, share: Share) -> Result<String> {
    let (all, run) = (directory(path), run_name(identity, share));
    for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
        if entry.file_name() != run.as_str() {
            remove(&entry.path());
        }
    }
    std::fs::create_dir_all(all.join(&run)).map_err(|error| failed(&all, error))?;
    let record = all.join(&run).join(record_name(share));
    if record.exists() {
        remove(&record);
        sync_directory(&all.join(&run));
    }
    Ok(format!("{}/{run}/{}", directory_name(path), share.index()))
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::output("write a share beside the output")
        .with("directory", path.display())
        .source(error)
        .hint("make the directory, or choose one you may write to")
}

impl SharedOutputs for LocalCommit {
    fn leave(&self, share: &LeftShare) -> Result<()> {
        let run = directory(local(&share.pending.destination)?).join(share.facts.run());
        let text = serde_json::to_vec(share)
            .map_err(|error| Error::internal("note a share").source(error))?;
        sync_directory(&run.join(share.facts.share.index().to_string()));
        write_synced(&run.join(record_name(share.facts.share)), &text)
    }

    fn left(&self, destination: &Destination) -> Result<Vec<LeftShare>> {
        let mut left = Vec::new();
        let runs = std::fs::read_dir(directory(local(destination)?));
        for run in runs.into_iter().flatten().flatten() {
            let records = std::fs::read_dir(run.path());
            for record in records.into_iter().flatten().flatten() {
                let is_record = record.path().extension().is_some_and(|end| end == "json");
                let text = std::fs::read(record.path()).ok().filter(|_| is_record);
                left.extend(text.and_then(|text| serde_json::from_slice::<LeftShare>(&text).ok()));
            }
        }
        Ok(left)
    }

    fn gather(&self, destination: &Destination, shares: &[LeftShare]) -> Result<Pending> {
        let path = local(destination)?;
        let run = shares.first().map(|share| share.facts.run());
        let token = format!(
            "{}/{}/{MERGED}",
            directory_name(path),
            run.unwrap_or_default()
        );
        let merged = parent(path).join(&token);
        let mut pending = Pending {
            destination: destination.clone(),
            existing: Existing::when(replace(shares)),
            token,
            parts: Vec::new(),
        };
        let mut moved = Vec::new();
        for share in shares {
            for part in &share.pending.parts {
                let name = Path::new(&part.name).file_name().unwrap_or_default();
                let mut part = part.clone();
                part.name = path.join(name).display().to_string();
                pending.parts.push(part);
                moved.push((parent(path).join(&share.pending.token).join(name), name));
            }
        }
        pending.parts.sort_by_key(|part| part.number);
        let is_left = |(from, _): &(PathBuf, _)| from.exists();
        if !merged.exists() && !moved.iter().any(is_left) && path.join(SUCCESS).exists() {
            // Somebody has been here, and not forgotten the shares yet.
            return Ok(pending);
        }
        std::fs::create_dir_all(&merged).map_err(|error| failed(&merged, error))?;
        // What a merge that was killed has moved of parts that were written anew since.
        for entry in std::fs::read_dir(&merged).into_iter().flatten().flatten() {
            if !moved.iter().any(|(_, name)| *name == entry.file_name()) {
                remove(&entry.path());
            }
        }
        for (from, name) in moved {
            let to = merged.join(name);
            if from.exists() {
                std::fs::rename(&from, &to).map_err(|error| failed(&merged, error))?;
            } else if !to.exists() {
                return Err(
                    Error::output("put the output together: a file of a part is gone")
                        .with("file", from.display())
                        .hint("run that part again"),
                );
            }
        }
        Ok(pending)
    }

    fn clear(&self, destination: &Destination) -> Result<()> {
        let directory = directory(local(destination)?);
        remove(&directory);
        Ok(())
    }

    fn is_complete(&self, destination: &Destination) -> Result<bool> {
        Ok(local(destination)?.join(SUCCESS).exists())
    }
}

/// Whether the output may replace what is there: where all workers were told so.
pub(super) fn replace(shares: &[LeftShare]) -> bool {
    let replaces = |share: &LeftShare| share.pending.existing == Existing::Replaced;
    shares.iter().all(replaces)
}
