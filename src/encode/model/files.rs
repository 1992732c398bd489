//! The files of a model, on disk or within the program, and the fingerprint over them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::fingerprints::{KeptFingerprints, Unhashed};
use crate::config::model_files::{self, IMAGE_ROOT, TEXT_ROOT};
use crate::digest::hex;
use crate::encode::{bundled, graph::Graph};
use crate::error::{Error, Result};

/// Largest configuration or tokenizer file that is read whole; the largest known has 35 MB.
const MAX_CONFIG_BYTES: u64 = 256 << 20;
/// Folders within folders that are looked into, as in `onnx/s2/`.
const MAX_DEPTH: usize = 2;
/// Folders that are looked into.
const MAX_FOLDERS: usize = 256;
/// Bytes hashed at a time.
const HASH_BUFFER_BYTES: usize = 1 << 18;

/// Where the files of a model are; names are relative and use `/`.
#[derive(Debug, Clone)]
pub(crate) enum Files {
    /// Files of a directory.
    Directory(PathBuf),
    /// Files of two directories, one for each tower, under [`IMAGE_ROOT`] and [`TEXT_ROOT`].
    Apart {
        /// The directory with the image tower.
        image: PathBuf,
        /// The directory with the text tower.
        text: PathBuf,
    },
    /// Files that are part of the program: names and contents.
    #[cfg_attr(
        not(feature = "bundled-model"),
        expect(dead_code, reason = "only the bundled model is embedded")
    )]
    Embedded(&'static [(&'static str, &'static [u8])]),
}

impl Files {
    /// The files of the model in `directory`, and the folder in which its graphs are looked for, empty or with a
    /// trailing `/`.
    ///
    /// One of several models in a repository may lie in a folder of its own, and share what describes it with others:
    /// then the files are those of the repository.
    pub(super) fn of_directory(directory: &Path) -> (Self, String) {
        let own = || (Self::Directory(directory.to_owned()), String::new());
        let described = |root: &Path| {
            let has = |names: &[&str]| names.iter().any(|name| root.join(name).is_file());
            has(&["tokenizer.json", "vocab.json"]) && has(&["config.json", "open_clip_config.json"])
        };
        let Ok(path) = std::path::absolute(directory) else {
            return own();
        };
        let mut names = BTreeSet::new();
        walk(&path, "", &mut names);
        let tokenizer =
            |name: &String| name.ends_with("tokenizer.json") || name.ends_with("vocab.json");
        if names.iter().any(tokenizer) || !names.iter().any(|name| name.ends_with(".onnx")) {
            return own();
        }
        let roots = path.ancestors().skip(1).take(MAX_DEPTH);
        let root = roots.into_iter().find(|root| described(root));
        let folder = root.and_then(|root| path.strip_prefix(root).ok()?.to_str());
        match (root, folder) {
            (Some(root), Some(folder)) => {
                let folder = folder.replace(std::path::MAIN_SEPARATOR, "/");
                (Self::Directory(root.to_owned()), folder + "/")
            }
            _ => own(),
        }
    }

    /// Names of the graphs of the model and of what describes them.
    pub(super) fn names(&self) -> Result<BTreeSet<String>> {
        let roots = match self {
            Files::Embedded(files) => {
                return Ok(files.iter().map(|(name, _)| (*name).to_owned()).collect());
            }
            Files::Directory(directory) => vec![(directory, "")],
            Files::Apart { image, text } => vec![(image, IMAGE_ROOT), (text, TEXT_ROOT)],
        };
        let mut names = BTreeSet::new();
        for (directory, prefix) in roots {
            if !directory.is_dir() {
                return Err(Error::model("find the model directory")
                    .with("path", directory.display())
                    .hint("--model takes 'bundled', a directory or hf:org/name"));
            }
            walk(directory, prefix, &mut names);
        }
        Ok(names)
    }

    /// Where the file `name` is on disk; none if it is part of the program.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        match self {
            Files::Embedded(_) => None,
            Files::Directory(directory) => Some(directory.join(name)),
            Files::Apart { image, text } => Some(match name.strip_prefix(IMAGE_ROOT) {
                Some(rest) => image.join(rest),
                None => text.join(name.strip_prefix(TEXT_ROOT).unwrap_or(name)),
            }),
        }
    }

    /// The content of a small file, none if it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(path) = self.path(name) else {
            return Ok(self.embedded(name).map(<[u8]>::to_vec));
        };
        let mut bytes = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(MAX_CONFIG_BYTES).read_to_end(&mut bytes));
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
            Files::Directory(_) | Files::Apart { .. } => {
                Graph::read(BufReader::new(self.open(name)?))
            }
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
            Files::Directory(_) | Files::Apart { .. } => {
                Graph::prune(BufReader::new(self.open(name)?), &[output])
            }
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
            Files::Directory(_) | Files::Apart { .. } => None,
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
        match self.path(name) {
            Some(path) => fs::metadata(path)
                .map(|data| data.len())
                .map_err(|error| self.failed(name, error)),
            None => Ok(self.embedded(name).map_or(0, |bytes| bytes.len() as u64)),
        }
    }

    /// Bytes of all the files `names`.
    pub(super) fn total_size(&self, names: &BTreeSet<String>) -> Result<u64> {
        names.iter().map(|name| self.size(name)).sum()
    }

    /// SHA-256, in hex, over names, lengths and contents of the files `names`, read in pieces. That of files which are
    /// part of the program is known, and so is what was kept in `cache`.
    pub(super) fn fingerprint(
        &self,
        names: &BTreeSet<String>,
        cache: Option<&Path>,
    ) -> Result<String> {
        if let Files::Embedded(_) = self {
            return Ok(bundled::FINGERPRINT.to_owned());
        }
        let Some(kept) = cache.map(KeptFingerprints::new) else {
            return self.hashed(names);
        };
        let paths = || {
            names
                .iter()
                .filter_map(|name| Some((name.as_str(), self.path(name)?)))
        };
        let before = kept.of(paths());
        if let Some(known) = before.as_ref().and_then(Unhashed::known) {
            return Ok(known);
        }
        let fingerprint = self.hashed(names)?;
        if let Some(before) = before
            && kept.of(paths()).as_ref() == Some(&before)
        {
            kept.keep(&before, &fingerprint);
        }
        Ok(fingerprint)
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
        Ok(hex(&hash.finalize()))
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
        let path = self.path(name).ok_or_else(|| {
            Error::internal("open a file that is part of the program").with("file", name)
        })?;
        File::open(path).map_err(|error| self.failed(name, error))
    }

    fn failed(&self, name: &str, error: io::Error) -> Error {
        let error = Error::model("read a file of the model")
            .with("file", name)
            .source(error);
        match self.path(name) {
            Some(path) => error.with("path", path.display()),
            None => error,
        }
    }
}

/// Adds the names of a model's files below `directory`, hidden folders left out.
fn walk(directory: &Path, prefix: &str, names: &mut BTreeSet<String>) {
    let mut folders = vec![(directory.to_owned(), prefix.to_owned(), 0)];
    let mut seen = 0;
    while let Some((folder, prefix, depth)) = folders.pop() {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let name = format!("{prefix}{name}");
            if path.is_file() {
                names.extend(model_files::is_of_a_model(&name).then_some(name));
            } else if depth < MAX_DEPTH && seen < MAX_FOLDERS && path.is_dir() {
                seen += 1;
                folders.push((path, name + "/", depth + 1));
            }
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
            files.fingerprint(&names, None).unwrap(),
            files.hashed(&names).unwrap()
        );
    }
}
