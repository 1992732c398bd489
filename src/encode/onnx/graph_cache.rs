//! Optimised graphs, kept for the next start.
//!
//! Optimising the bundled model takes longer than all else of loading it, and every encoder does it for itself. What
//! comes out depends on the model, on ONNX Runtime and on the processor, and nothing else, so all of these are part of
//! the name under which it is kept. A file that is not there or does not load costs what it would have saved.

use std::fs;
use std::path::{Path, PathBuf};

use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use sha2::{Digest, Sha256};

use crate::digest::hex;

/// Larger graphs are not kept: reading so much takes longer than optimising it, and it is the user's disk.
pub(super) const MOST_BYTES: u64 = 128 << 20;
/// Graphs kept; the oldest goes first.
const MOST_GRAPHS: usize = 16;

/// The place of one tower's optimised graph.
#[derive(Debug)]
pub(super) struct CachedGraph {
    directory: PathBuf,
    path: PathBuf,
}

impl CachedGraph {
    /// The place for what is made of all of `parts`.
    pub(super) fn new(directory: &Path, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts.iter().chain(&processor()) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let name = hex(&hash.finalize()[..16]);
        Self {
            directory: directory.to_owned(),
            path: directory.join(name + ".onnx"),
        }
    }

    /// A session of the kept graph; none if there is none that loads.
    pub(super) fn load(&self, builder: &SessionBuilder) -> Option<Session> {
        if !self.path.is_file() {
            return None;
        }
        let builder = builder.clone();
        let mut builder = builder
            .with_optimization_level(GraphOptimizationLevel::Disable)
            .ok()?;
        let session = builder.commit_from_file(&self.path).ok();
        if session.is_none() {
            // It was cut short, or another build of the runtime refuses it.
            let _ = fs::remove_file(&self.path);
        }
        session
    }

    /// The session that `commit` makes with a builder that also keeps its graph; where that cannot be, without.
    pub(super) fn keep<E>(
        &self,
        builder: &SessionBuilder,
        commit: impl Fn(SessionBuilder) -> Result<Session, E>,
    ) -> Result<Session, E> {
        let staged = fs::create_dir_all(&self.directory)
            .ok()
            .and_then(|()| tempfile::NamedTempFile::new_in(&self.directory).ok())
            .map(tempfile::NamedTempFile::into_temp_path);
        let keeping = staged.and_then(|staged| {
            let builder = builder.clone().with_optimized_model_path(&staged).ok()?;
            Some((builder, staged))
        });
        let Some((builder_that_keeps, staged)) = keeping else {
            return commit(builder.clone());
        };
        // A full disk is no reason to do without a session.
        let session = commit(builder_that_keeps).or_else(|_| commit(builder.clone()))?;
        if fs::metadata(&staged).is_ok_and(|file| file.len() > 0) {
            // Another process may have been faster; its file is the same.
            let _ = staged.persist(&self.path);
            forget_oldest(&self.directory);
        }
        Ok(session)
    }
}

/// What optimised graphs are laid out for.
fn processor() -> Vec<&'static str> {
    let mut found = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        let features = [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
            ("avxvnni", is_x86_feature_detected!("avxvnni")),
        ];
        found.extend(
            features
                .iter()
                .filter(|(_, has)| *has)
                .map(|(name, _)| name),
        );
    }
    found
}

fn forget_oldest(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let graphs = entries.flatten().map(|entry| entry.path());
    let graphs = graphs.filter(|path| path.extension().is_some_and(|name| name == "onnx"));
    let mut dated: Vec<_> = graphs
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    dated.sort();
    let surplus = dated.len().saturating_sub(MOST_GRAPHS);
    for (_, path) in dated.into_iter().take(surplus) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_decides_a_graph_is_in_its_name() {
        let place = |parts: &[&str]| CachedGraph::new(Path::new("cache"), parts).path;
        let one = place(&["model", "vision.onnx", "image_embeds", "1.32.0"]);
        assert_eq!(
            one,
            place(&["model", "vision.onnx", "image_embeds", "1.32.0"])
        );
        assert_ne!(
            one,
            place(&["model", "vision.onnx", "image_embeds", "1.32.1"])
        );
        assert_ne!(place(&["ab", "c"]), place(&["a", "bc"]));
    }

    #[test]
    fn the_oldest_graphs_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..MOST_GRAPHS + 3 {
            fs::write(dir.path().join(format!("{number:02}.onnx")), b"x").unwrap();
        }
        fs::write(dir.path().join("other"), b"x").unwrap();
        forget_oldest(dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), MOST_GRAPHS + 1);
    }
}
