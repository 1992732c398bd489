//! The hub's cache on disk, laid out as Python's `huggingface_hub` does, and our record of what is whole.
//!
//! ```text
//! <hub cache>/models--org--name/refs/main                 the commit
//!                              /blobs/<etag>              the contents
//!                              /snapshots/<commit>/<path> links to them
//! <cache>/hub/models--org--name/main.auto.json            our record
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    super::{Surroundings, fetch::sha256},
    HubFile, HubModel, HubSpec,
    choice::{Choice, choose},
    hub_error,
};
use crate::{config::model_files::NoTowers, error::Result, schema::Side};

/// One model's part of the cache.
pub(super) struct ModelCache<'a> {
    spec: &'a HubSpec,
    repo: PathBuf,
    record: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Record {
    revision: String,
    precision: String,
    files: Vec<HubFile>,
}

impl<'a> ModelCache<'a> {
    pub(super) fn new(surroundings: &Surroundings, spec: &'a HubSpec) -> Result<Self> {
        let folder = format!("models--{}", spec.repo.replace('/', "--"));
        let own = surroundings.cache.as_ref().ok_or_else(|| {
            hub_error("keep a model of the hub: there is no cache directory", spec)
                .hint("name one, or the directory of a model that is here")
        })?;
        let own = own.join("hub");
        let root = surroundings
            .hub_cache
            .clone()
            .unwrap_or_else(|| own.clone());
        // The hub client asserts that all of its paths are absolute.
        let root = std::path::absolute(&root).map_err(|error| {
            hub_error("find the hub's cache", spec)
                .with("path", root.display())
                .source(error)
        })?;
        let revision = spec.revision_name().replace('/', "--");
        let precision = spec.wanted_precision().unwrap_or("auto");
        let chosen = spec.folder.as_ref().map(|folder| folder.replace('/', "--"));
        let chosen = chosen.map_or(String::new(), |folder| format!(".{folder}"));
        let part = match spec.part {
            None => "",
            Some(Side::Image) => ".image",
            Some(Side::Text) => ".text",
        };
        let record = own
            .join(&folder)
            .join(format!("{revision}.{precision}{chosen}{part}.json"));
        Ok(Self {
            spec,
            repo: root.join(folder),
            record,
        })
    }

    /// The root of the hub's cache.
    #[cfg(feature = "hub")]
    pub(super) fn root(&self) -> &Path {
        self.repo.parent().unwrap_or(&self.repo)
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.join("snapshots").join(commit)
    }

    #[cfg(feature = "hub")]
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.repo.join("blobs").join(etag)
    }

    /// What was fetched before, if every file of it still has its size.
    pub(super) fn recorded(&self) -> Option<HubModel> {
        let record: Record = serde_json::from_slice(&fs::read(&self.record).ok()?).ok()?;
        let directory = self.snapshot(&record.revision);
        let whole = record.files.iter().all(|file| {
            let size = fs::metadata(directory.join(&file.name)).map(|metadata| metadata.len());
            size.is_ok_and(|size| size == file.bytes)
        });
        let Record {
            revision,
            precision,
            files,
        } = record;
        whole.then_some(HubModel {
            directory,
            revision,
            precision,
            files,
        })
    }

    /// What Python (or an earlier run with other wishes) has left here, without asking the hub.
    ///
    /// What the repository holds beyond it cannot be known, so a graph whose weights lie in a second file
    /// that was not downloaded shows only when it is loaded.
    pub(super) fn offline(&self) -> Result<HubModel> {
        let missing = |what: String| {
            let name = self.spec;
            hub_error(
                "find the model in the cache, and --offline forbids to fetch it",
                name,
            )
            .with("cache", self.repo.display())
            .with("missing", what)
            .hint(format!(
                "run once with a network: `clip-filter --model {name} …` without --offline"
            ))
        };
        let commit = self
            .commit()
            .ok_or_else(|| missing(format!("revision {}", self.spec.revision_name())))?;
        let directory = self.snapshot(&commit);
        let mut paths = Vec::new();
        list(&directory, "", &mut paths)
            .map_err(|error| missing(format!("the snapshot of commit {commit} ({error})")))?;
        let choice = choose(&paths, self.spec).map_err(|none| missing(describe(&none)))?;
        let has = |name: &str| {
            let mut files = choice.files.iter();
            files.any(|path| path.rsplit('/').next() == Some(name))
        };
        if self.spec.part != Some(Side::Image) && !has("tokenizer.json") && !has("vocab.json") {
            return Err(missing("tokenizer.json".to_owned()));
        }
        if !has("config.json") && !has("open_clip_config.json") {
            return Err(missing("config.json".to_owned()));
        }
        // Not recorded: it may be less than the repository has.
        self.hashed(commit, choice)
    }

    /// The commit that the cache knows for the wanted revision.
    fn commit(&self) -> Option<String> {
        let revision = self.spec.revision_name();
        let named = fs::read_to_string(self.repo.join("refs").join(revision)).ok();
        let commit = named
            .unwrap_or_else(|| revision.to_owned())
            .trim()
            .to_owned();
        is_commit(&commit).then_some(commit)
    }

    /// Writes the record of a model that is here in full.
    #[cfg(feature = "hub")]
    pub(super) fn record(&self, commit: String, choice: Choice) -> Result<HubModel> {
        let model = self.hashed(commit, choice)?;
        let record = Record {
            revision: model.revision.clone(),
            precision: model.precision.clone(),
            files: model.files.clone(),
        };
        self.write(&record).map_err(|error| {
            crate::error::Error::output("write into the cache")
                .with("path", self.record.display())
                .source(error)
        })?;
        Ok(model)
    }

    fn hashed(&self, revision: String, choice: Choice) -> Result<HubModel> {
        let directory = self.snapshot(&revision);
        let mut files = Vec::with_capacity(choice.files.len());
        for name in choice.files {
            let path = directory.join(&name);
            let file =
                fs::metadata(&path).and_then(|metadata| Ok((metadata.len(), sha256(&path)?)));
            let (bytes, sha256) = file.map_err(|error| {
                hub_error("read a file of the model", self.spec)
                    .with("path", path.display())
                    .source(error)
            })?;
            files.push(HubFile {
                name,
                bytes,
                sha256,
            });
        }
        Ok(HubModel {
            directory,
            revision,
            precision: choice.precision,
            files,
        })
    }

    #[cfg(feature = "hub")]
    fn write(&self, record: &Record) -> io::Result<()> {
        let parent = self.record.parent().unwrap_or(&self.record);
        fs::create_dir_all(parent)?;
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        io::Write::write_all(&mut file, &serde_json::to_vec_pretty(record)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.record)?;
        Ok(())
    }

    /// Says which commit a branch or a tag is, so that an offline run and Python find it.
    #[cfg(feature = "hub")]
    pub(super) fn name_commit(&self, commit: &str) -> Result<()> {
        let path = self.repo.join("refs").join(self.spec.revision_name());
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, commit))
            .map_err(|error| {
                crate::error::Error::output("write into the cache")
                    .with("path", path.display())
                    .source(error)
            })
    }
}

/// A full commit: 40 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// In words, for an error.
pub(super) fn describe(none: &NoTowers) -> String {
    match none {
        NoTowers::NoGraphs => {
            "ONNX graphs (onnx/vision_model.onnx and onnx/text_model.onnx)".to_owned()
        }
        NoTowers::Only(Side::Image) => "the text tower: it has the image tower alone".to_owned(),
        NoTowers::Only(Side::Text) => "the image tower: it has the text tower alone".to_owned(),
        NoTowers::OtherPrecisions(there) => {
            format!("this precision; there is {}", there.join(", "))
        }
        NoTowers::Several(folders) => {
            let folders: Vec<&str> = folders.iter().map(|f| f.trim_end_matches('/')).collect();
            format!("which of its models is meant: {}", folders.join(", "))
        }
    }
}

/// The files below a directory, as paths of the repository.
fn list(directory: &Path, prefix: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // Follows links, so that one whose content is gone counts as missing.
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_dir() => list(&entry.path(), &format!("{name}/"), paths)?,
            Ok(_) => paths.push(name),
            Err(_) => {}
        }
    }
    paths.sort();
    Ok(())
}
