//! What targets have in common: whose panics count, how an input holds several files, and the folder in which they lie.

use std::path::{Path, PathBuf};
use std::{fs, panic};

/// A library that panics at its input is answered with an error; our own code never panics.
///
/// A panic that is answered nowhere is found all the same.
pub fn tolerate_others() {
    let stop = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or("", |place| place.file());
        if !place.contains("/registry/") {
            stop(panic);
        }
    }));
}

/// The parts of an input: each but the last begins with its length, two bytes, little-endian. What is not there is empty.
pub fn sections<const N: usize>(mut bytes: &[u8]) -> [&[u8]; N] {
    std::array::from_fn(|index| {
        if index + 1 == N {
            return bytes;
        }
        let (length, rest) = bytes.split_at(bytes.len().min(2));
        let length = length
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        let (section, rest) = rest.split_at(length.min(rest.len()));
        bytes = rest;
        section
    })
}

/// A folder in memory that is as good as new for every input.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// One for this process.
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        Self(parent.join(format!("clip-filter-fuzz-{}", std::process::id())))
    }

    /// Its path, with these files in it and no others; empty ones are left out.
    pub fn with(&self, files: &[(&str, &[u8])]) -> &Path {
        let _ = fs::remove_dir_all(&self.0);
        fs::create_dir_all(&self.0).expect("a folder for files");
        for (name, content) in files.iter().filter(|(_, content)| !content.is_empty()) {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for a file");
            fs::write(path, content).expect("room for a file");
        }
        &self.0
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files of a score store with one shard: manifest, record, where shards are, a byte, and a file of scores; an even
/// byte makes that the shard's, an odd one a part of it.
pub fn store(bytes: &[u8]) -> Vec<(&'static str, &[u8])> {
    let [manifest, record, shards, rest] = sections(bytes);
    let (kind, scores) = rest.split_first().unwrap_or((&0, &[]));
    let place = match kind % 2 {
        0 => "scores/ffffffffffffffffffffffffffffffff-m.parquet",
        _ => "parts/ffffffffffffffffffffffffffffffff-m/000000000000-000000000003.parquet",
    };
    vec![
        ("manifest.json", manifest),
        ("records/ffffffffffffffffffffffffffffffff-m.json", record),
        ("state/shards.json", shards),
        (place, scores),
    ]
}
