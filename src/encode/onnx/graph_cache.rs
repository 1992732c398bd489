//! Optimised graphs, kept for the next start and for the other encoders of this one.
//!
//! Optimising a graph and packing its weights for the kernels takes longer than all else of loading it, and every encoder
//! does it for itself. Kept are the graph and, in a file beside it, weights as the kernels take them: they are mapped, so that
//! encoders and processes share them and nothing of them is read before it is used. What comes out depends on the model, on
//! ONNX Runtime and on the processor, and nothing else, so all of these are part of the name under which it is kept. What is
//! not there or does not load costs what it would have saved.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use ort::session::{
    Session,
    builder::{GraphOptimizationLevel, SessionBuilder},
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{digest::hex, machine};

/// Towers of more weights are not kept: it is the user's disk.
pub(super) const MOST_WEIGHTS_BYTES: u64 = 4 << 30;
/// Bytes kept of all; what was used longest ago goes first.
const MOST_BYTES: u64 = 8 << 30;
/// The graph in its folder.
const GRAPH: &str = "graph.onnx";
/// Its weights as the kernels take them, and as they are in the model.
const PACKED: Weights = Weights {
    file: "graph.packed",
    are_packed: "1",
};
const PLAIN: Weights = Weights {
    file: "graph.weights",
    are_packed: "0",
};
/// Weights of so many bytes are in the file of weights.
const LEAST_WEIGHT_BYTES: &str = "1024";
/// How folders begin that are not complete yet, and when it is known that nobody will complete them.
const STAGED: &str = ".made-";
const STAGED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder of optimised graphs, and those that this process has made.
#[derive(Debug)]
pub(super) struct GraphCache {
    directory: PathBuf,
    /// Not yet safe on the disk: other processes do not see them before this one is done with them.
    made: Mutex<Vec<MadeGraph>>,
}

/// How weights are kept.
struct Weights {
    file: &'static str,
    are_packed: &'static str,
}

#[derive(Debug)]
struct MadeGraph {
    name: String,
    folder: TempDir,
}

impl GraphCache {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            made: Mutex::default(),
        }
    }

    /// A session of the graph that is kept for all of `parts`, or of the one that `commit` makes, which is kept; and
    /// whether its weights are mapped as the kernels take them.
    ///
    /// ONNX Runtime 1.32 does not read the packed weights of some kernels that it writes (QLinearConv over channels one by
    /// one): of these graphs the weights are kept as they are.
    pub(super) fn session<E>(
        &self,
        parts: &[&str],
        builder: &SessionBuilder,
        commit: impl Fn(SessionBuilder) -> Result<Session, E>,
    ) -> Result<(Session, bool), E> {
        let name = name(parts);
        if let Some(known) = self.load(&name, builder) {
            return Ok(known);
        }
        for weights in [PACKED, PLAIN] {
            let Some(folder) = self.stage() else { break };
            let saving = saving(builder, folder.path(), &weights);
            // A full disk is no reason to do without a session.
            let is_saved = saving.is_some_and(|saving| commit(saving).is_ok());
            if let Some(kept) = load(folder.path(), builder).filter(|_| is_saved) {
                self.made().push(MadeGraph { name, folder });
                return Ok(kept);
            }
        }
        Ok((commit(builder.clone())?, false))
    }

    fn load(&self, name: &str, builder: &SessionBuilder) -> Option<(Session, bool)> {
        let own = self.made();
        if let Some(made) = own.iter().find(|made| made.name == name) {
            return load(made.folder.path(), builder);
        }
        drop(own);
        let folder = self.directory.join(name);
        if !folder.is_dir() {
            return None;
        }
        let session = load(&folder, builder);
        match session {
            Some(_) => tell_used(&folder),
            // It was cut short, or another build of the runtime refuses it.
            None => drop(fs::remove_dir_all(&folder)),
        }
        session
    }

    fn stage(&self) -> Option<TempDir> {
        fs::create_dir_all(&self.directory).ok()?;
        let mut named = tempfile::Builder::new();
        named.prefix(STAGED).tempdir_in(&self.directory).ok()
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Vec<MadeGraph>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GraphCache {
    fn drop(&mut self) {
        let made = std::mem::take(&mut *self.made());
        if made.is_empty() {
            return;
        }
        for made in made {
            // What cannot be kept is made again.
            let _ = complete(&made, &self.directory);
        }
        forget_oldest(&self.directory, MOST_BYTES);
    }
}

/// A builder whose session leaves its graph and weights in `folder`.
fn saving(builder: &SessionBuilder, folder: &Path, weights: &Weights) -> Option<SessionBuilder> {
    let entries = [
        (
            "session.optimized_model_external_initializers_file_name",
            weights.file,
        ),
        (
            "session.optimized_model_external_initializers_min_size_in_bytes",
            LEAST_WEIGHT_BYTES,
        ),
        (
            "session.save_external_prepacked_constant_initializers",
            weights.are_packed,
        ),
    ];
    let mut saving = builder
        .clone()
        .with_optimized_model_path(folder.join(GRAPH))
        .ok()?;
    for (key, value) in entries {
        saving = saving.with_config_entry(key, value).ok()?;
    }
    Some(saving)
}

/// A session of what is in `folder`, and whether its weights are mapped as the kernels take them.
fn load(folder: &Path, builder: &SessionBuilder) -> Option<(Session, bool)> {
    let graph = folder.join(GRAPH);
    if !graph.is_file() {
        return None;
    }
    let builder = builder.clone();
    let mut builder = builder
        .with_optimization_level(GraphOptimizationLevel::Disable)
        .ok()?;
    let session = builder.commit_from_file(graph).ok()?;
    Some((session, folder.join(PACKED.file).is_file()))
}

/// Lets other processes see a graph, once nothing of it can get lost.
fn complete(made: &MadeGraph, directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(made.folder.path())? {
        File::open(entry?.path())?.sync_all()?;
    }
    // Another process may have been faster; its files are the same.
    fs::rename(made.folder.path(), directory.join(&made.name))
}

fn tell_used(folder: &Path) {
    let graph = File::options().append(true).open(folder.join(GRAPH));
    // An older date costs what it would have saved.
    let _ = graph.and_then(|graph| graph.set_modified(SystemTime::now()));
}

fn name(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts.iter().copied().chain([processor().as_str()]) {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize()[..16])
}

/// What optimised graphs and packed weights are laid out for.
fn processor() -> String {
    let told = machine::processor().unwrap_or_default();
    format!("{} {told}", std::env::consts::ARCH)
}

/// Removes what was used longest ago until `most` bytes are left, and what was never completed.
fn forget_oldest(directory: &Path, most: u64) {
    let entries = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut kept = Vec::new();
    for path in entries {
        let is_staged = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(STAGED));
        let Ok(used) = fs::metadata(path.join(GRAPH)).and_then(|file| file.modified()) else {
            let is_old = fs::metadata(&path)
                .and_then(|made| made.modified())
                .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > STAGED_FOR));
            if is_staged && is_old {
                let _ = fs::remove_dir_all(&path);
            } else if path.extension().is_some_and(|ending| ending == "onnx") {
                // Of a version of this program that kept weights in the graph.
                let _ = fs::remove_file(&path);
            }
            continue;
        };
        match is_staged {
            true if used.elapsed().is_ok_and(|age| age > STAGED_FOR) => {
                let _ = fs::remove_dir_all(&path);
            }
            true => {}
            false => kept.push((used, bytes_of(&path), path)),
        }
    }
    kept.sort();
    let mut left: u64 = kept.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in kept {
        if left <= most {
            break;
        }
        if fs::remove_dir_all(path).is_ok() {
            left -= bytes;
        }
    }
}

fn bytes_of(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = files.filter_map(|file| Some(file.metadata().ok()?.len()));
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_decides_a_graph_is_in_its_name() {
        let one = name(&["model", "vision.onnx", "image_embeds", "1.32.0"]);
        assert_eq!(
            one,
            name(&["model", "vision.onnx", "image_embeds", "1.32.0"])
        );
        assert_ne!(
            one,
            name(&["model", "vision.onnx", "image_embeds", "1.32.1"])
        );
        assert_ne!(name(&["ab", "c"]), name(&["a", "bc"]));
    }

    fn keep(directory: &Path, name: &str, bytes: usize, age_s: u64) {
        let folder = directory.join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(PLAIN.file), vec![0; bytes]).unwrap();
        let graph = File::create(folder.join(GRAPH)).unwrap();
        let used = SystemTime::now() - Duration::from_secs(age_s);
        graph.set_modified(used).unwrap();
    }

    #[test]
    fn what_was_used_longest_ago_is_forgotten_and_what_nobody_will_complete() {
        let dir = tempfile::tempdir().unwrap();
        for (name, age_s) in [("a", 50), ("b", 400), ("c", 30), ("d", 20)] {
            keep(dir.path(), name, 100, age_s);
        }
        keep(dir.path(), ".made-now", 100, 60);
        keep(dir.path(), ".made-then", 100, 2 * 24 * 60 * 60);
        fs::write(dir.path().join("earlier.onnx"), b"x").unwrap();
        tell_used(&dir.path().join("a"));
        forget_oldest(dir.path(), 250);
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".made-now", "a", "d"]);
    }

    #[test]
    fn a_graph_is_seen_by_others_when_its_maker_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let cache = GraphCache::new(dir.path().join("graphs"));
        let folder = cache.stage().unwrap();
        fs::write(folder.path().join(GRAPH), b"graph").unwrap();
        let name = "0123".to_owned();
        cache.made().push(MadeGraph { name, folder });
        let complete = dir.path().join("graphs/0123").join(GRAPH);
        assert!(!complete.exists());
        drop(cache);
        assert_eq!(fs::read(complete).unwrap(), b"graph");
        assert_eq!(fs::read_dir(dir.path().join("graphs")).unwrap().count(), 1);
    }
}
