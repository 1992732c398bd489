//! The files of a model, on disk or within the program, and the fingerprint over them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::layout::FOLDERS;
use crate::encode::{bundled, graph::Graph};
use crate::error::{Error, Result};

/// Largest configuration or tokenizer file that is read whole; the largest known has 35 MB.
const MAX_CONFIG_BYTES: u64 = 256 << 20;
/// Bytes hashed at a time.
const HASH_BUFFER_BYTES: usize = 1 << 18;

/// Where the files of a model are; names are relative and use `/`.
#[derive(Debug, Clone)]
pub(crate) enum Files {
    /// Files of a directory.
    Directory(PathBuf),
    /// Files that are part of the program: names and contents.
    #[cfg_attr(
        not(feature = "bundled-model"),
        expect(dead_code, reason = "only the bundled model is embedded")
    )]
    Embedded(&'static [(&'static str, &'static [u8])]),
}

impl Files {
    /// Names of the files in the model's folders.
    pub(super) fn names(&self) -> Result<BTreeSet<String>> {
        let directory = match self {
            Files::Embedded(files) => {
                return Ok(files.iter().map(|(name, _)| (*name).to_owned()).collect());
            }
            Files::Directory(directory) => directory,
        };
        if !directory.is_dir() {
            return Err(Error::model("find the model directory")
                .with("path", directory.display())
                .hint("--model takes 'bundled', a directory or hf:org/name"));
        }
        let mut names = BTreeSet::new();
        for folder in FOLDERS {
            let Ok(entries) = fs::read_dir(directory.join(folder)) else {
                continue;
            };
            let files = entries.flatten().filter(|entry| entry.path().is_file());
            names.extend(
                files.filter_map(|entry| Some(format!("{folder}{}", entry.file_name().to_str()?))),
            );
        }
        Ok(names)
    }

    /// The content of a small file, none if it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let directory = match self {
            Files::Embedded(_) => return Ok(self.embedded(name).map(<[u8]>::to_vec)),
            Files::Directory(directory) => directory,
        };
        let mut bytes = Vec::new();
        let read = File::open(directory.join(name))
            .and_then(|file| file.take(MAX_CONFIG_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) if bytes.len() as u64 == MAX_CONFIG_BYTES => {
                Err(self.failed(name, io::Error::from(io::ErrorKind::FileTooLarge)))
            }
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(name, error)),
        }
    }

    /// What the ONNX file `name` holds.
    pub(super) fn graph(&self, name: &str) -> Result<Graph> {
        match self {
            Files::Directory(_) => Graph::read(BufReader::new(self.open(name)?)),
            Files::Embedded(_) => Graph::read(Cursor::new(self.embedded(name).unwrap_or_default())),
        }
        .map_err(|error| error.with("file", name))
    }

    /// The ONNX file `name`, cut down to what `output` needs.
    #[cfg_attr(
        not(feature = "onnx"),
        expect(dead_code, reason = "only a runtime loads graphs")
    )]
    pub(crate) fn pruned(&self, name: &str, output: &str) -> Result<Vec<u8>> {
        match self {
            Files::Directory(_) => Graph::prune(BufReader::new(self.open(name)?), &[output]),
            Files::Embedded(_) => Graph::prune(
                Cursor::new(self.embedded(name).unwrap_or_default()),
                &[output],
            ),
        }
        .map_err(|error| error.with("file", name))
    }

    /// The content of a file that is part of the program.
    pub(crate) fn embedded(&self, name: &str) -> Option<&'static [u8]> {
        match self {
            Files::Embedded(files) => files
                .iter()
                .find(|(found, _)| *found == name)
                .map(|(_, bytes)| *bytes),
            Files::Directory(_) => None,
        }
    }

    /// Names of the files in which `graph`, read from `name`, keeps weights.
    ///
    /// # Errors
    /// When a location leads out of the folder of the graph: no honest export does that.
    pub(super) fn external(name: &str, graph: &Graph) -> Result<BTreeSet<String>> {
        let folder = name.rfind('/').map_or("", |slash| &name[..=slash]);
        let mut names = BTreeSet::new();
        for location in &graph.external {
            let inside = Path::new(location)
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            if !inside || location.is_empty() {
                return Err(Error::model(
                    "follow external weights that lie outside of the model's folder",
                )
                .with("file", name)
                .with("location", location));
            }
            names.insert(format!("{folder}{location}"));
        }
        Ok(names)
    }

    /// Bytes of the file `name`.
    pub(crate) fn size(&self, name: &str) -> Result<u64> {
        match self {
            Files::Directory(directory) => fs::metadata(directory.join(name))
                .map(|data| data.len())
                .map_err(|error| self.failed(name, error)),
            Files::Embedded(_) => Ok(self.embedded(name).map_or(0, |bytes| bytes.len() as u64)),
        }
    }

    /// Bytes of all the files `names`.
    pub(super) fn total_size(&self, names: &BTreeSet<String>) -> Result<u64> {
        names.iter().map(|name| self.size(name)).sum()
    }

    /// SHA-256, in hex, over names, lengths and contents of the files `names`, read in pieces. That of files which are
    /// part of the program is known.
    pub(super) fn fingerprint(&self, names: &BTreeSet<String>) -> Result<String> {
        match self {
            Files::Embedded(_) => Ok(bundled::FINGERPRINT.to_owned()),
            Files::Directory(_) => self.hashed(names),
        }
    }

    fn hashed(&self, names: &BTreeSet<String>) -> Result<String> {
        let mut hash = Sha256::new();
        for name in names {
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(self.size(name)?.to_le_bytes());
            match self.embedded(name) {
                Some(bytes) => hash.update(bytes),
                None => self.hash_file(name, &mut hash)?,
            }
        }
        let mut hex = String::with_capacity(64);
        for byte in hash.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Ok(hex)
    }

    fn hash_file(&self, name: &str, hash: &mut Sha256) -> Result<()> {
        let mut file = self.open(name)?;
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => hash.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(name, error)),
            }
        }
    }

    fn open(&self, name: &str) -> Result<File> {
        let path = match self {
            Files::Directory(directory) => directory.join(name),
            Files::Embedded(_) => {
                return Err(
                    Error::internal("open a file that is part of the program").with("file", name)
                );
            }
        };
        File::open(path).map_err(|error| self.failed(name, error))
    }

    fn failed(&self, name: &str, error: io::Error) -> Error {
        let error = Error::model("read a file of the model")
            .with("file", name)
            .source(error);
        match self {
            Files::Directory(directory) => error.with("directory", directory.display()),
            Files::Embedded(_) => error,
        }
    }
}

#[cfg(all(test, feature = "bundled-model"))]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_of_the_bundled_model_is_that_of_its_files() {
        let files = bundled::files().unwrap();
        let names = files.names().unwrap();
        assert_eq!(
            files.fingerprint(&names).unwrap(),
            files.hashed(&names).unwrap()
        );
    }
}
