//! Outputs in object stores: uploads that stay open until the output is finished.
//!
//! One file is one object, there when its upload is completed. A directory `out/` is what its manifest, `out.manifest.json`,
//! names: parts have names of their own, so that they can lie beside those of the output that they replace; the manifest
//! is put last, on the condition that nobody else has. Whoever lists the directory sees whole parts, and `_SUCCESS`.
//!
//! The manifest lies beside the directory and not in it: Polars (2.1) reads no folder that holds another file with bytes.
//!
//! An upload that a killed process has left cannot be listed by every store. Its id is noted in a file of the run, before
//! the first byte is sent, and whoever runs again takes it back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Commit, Destination, Existing, Fate, OutputPath, Owner, Part, PartPlace, Pending, Placement,
    SharedOutputs,
    uploads::{RemotePart, Token, complete, forget, is_there, notes_of, seal, take_back, token},
};
use crate::{
    error::{Error, Result},
    remote::{Object, ObjectStores, Put, UPLOAD_BYTES},
};

/// Behind the name of a directory: what makes its parts one output.
const MANIFEST: &str = ".manifest.json";
/// Behind that of a manifest: put there and removed to find out whether the store heeds conditions. Whoever tries next
/// removes what a killed run has left.
const PROBE: &str = ".probe";
/// Marker that a directory is complete, as on a disk; of no bytes.
const SUCCESS: &str = "_SUCCESS";
/// Letters of an identity that tell parts of one output from those of another.
const IDENTITY_LETTERS: usize = 8;

/// Completes uploads.
#[derive(Debug)]
pub struct RemoteCommit {
    pub(super) stores: Arc<ObjectStores>,
}

/// The manifest of a directory.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Counts the outputs that have been here.
    number: u64,
    /// Names of the parts, in row order.
    pub(super) parts: Vec<String>,
}

impl RemoteCommit {
    /// Outputs of these stores.
    pub fn new(stores: Arc<ObjectStores>) -> Self {
        Self { stores }
    }

    pub(super) fn object(&self, destination: &Destination) -> Result<Object> {
        match destination.path() {
            OutputPath::Url(url) => self.stores.object(url),
            OutputPath::Local(_) => Err(Error::internal("write a local path to an object store")),
        }
    }

    fn manifest_object(&self, directory: &Object) -> Result<Object> {
        self.stores
            .object(&format!("{}{MANIFEST}", directory.url()))
    }

    /// Refuses a directory where the store would let two runs put its manifest.
    fn check_conditions(&self, directory: &Object) -> Result<()> {
        let manifest = self.manifest_object(directory)?;
        let probe = self.stores.object(&format!("{}{PROBE}", manifest.url()))?;
        match probe.honours_conditions()? {
            true => Ok(()),
            false => Err(Error::output(
                "write the output directory: this object store ignores conditions (If-None-Match), so nothing would keep two runs from replacing each other's parts",
            )
            .with("output", crate::secrets::without_credentials(directory.url()))
            .hint("write one file (NAME.parquet), to a local directory, or to a store that heeds conditions, as S3, GCS and Azure do")),
        }
    }

    /// The manifest of a directory, and its version.
    pub(super) fn manifest(&self, directory: &Object) -> Result<(Option<String>, Manifest)> {
        let object = self.manifest_object(directory)?;
        let Some((bytes, version)) = object.read_all()? else {
            return Ok((None, Manifest::default()));
        };
        let manifest = serde_json::from_slice(&bytes).map_err(|error| {
            Error::output("read the manifest of an output that is there")
                .with("manifest", object.url())
                .source(error)
                .hint("write to another name")
        })?;
        Ok((Some(version.unwrap_or_default()), manifest))
    }

    /// Objects in a directory that its manifest does not name and that are parts by their name.
    pub(super) fn unnamed(directory: &Object, manifest: &Manifest) -> Result<Vec<Object>> {
        let names = directory.names_below()?.into_iter();
        names
            .filter(|name| is_part(name) && !manifest.parts.contains(name))
            .map(|name| directory.child(&name))
            .collect()
    }

    /// Whether the marker of a complete directory is there.
    pub(super) fn is_marked(&self, directory: &Object) -> Result<bool> {
        Ok(directory.child(SUCCESS)?.facts()?.is_some())
    }

    fn put_manifest(&self, directory: &Object, pending: &Pending) -> Result<()> {
        let (version, before) = self.manifest(directory)?;
        let names = pending.parts.iter();
        let parts: Vec<String> = names
            .map(|part| directory.name_within(&part.name).to_owned())
            .collect();
        if before.parts != parts {
            let manifest = Manifest {
                number: before.number + 1,
                parts: parts.clone(),
            };
            let bytes = serde_json::to_vec(&manifest)
                .map_err(|error| Error::internal("write a manifest").source(error))?;
            let when = match (&version, pending.existing) {
                (Some(version), Existing::Replaced) => Put::Over(version),
                _ => Put::IfNew,
            };
            if !self.manifest_object(directory)?.put(bytes, when)? {
                return Err(Error::output(
                    "write the output: another run has written it meanwhile",
                )
                .with("output", directory.url())
                .hint("give each run an output of its own"));
            }
            for name in before.parts.iter().filter(|name| !parts.contains(name)) {
                directory.child(name)?.remove()?;
            }
        }
        directory
            .child(SUCCESS)?
            .put(Vec::new(), Put::Always)
            .map(drop)
    }
}

/// Whether a name is one that [`RemoteCommit`] gives to a part, in a folder of a value or in none:
/// `label=3/part-00000-1f2e3d4c-1.parquet`. Those of other programs, whose parts begin alike, are not touched.
fn is_part(name: &str) -> bool {
    let mut folders = name.rsplit('/');
    let file = folders
        .next()
        .and_then(|file| file.strip_suffix(".parquet").or(file.strip_suffix(".tar")));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_ours = |file: &str| match file.split('-').collect::<Vec<_>>()[..] {
        ["part", number, identity, output] => {
            let named = identity.bytes().all(|byte| byte.is_ascii_alphanumeric());
            number.len() >= 5 && is_number(number) && named && is_number(output)
        }
        _ => false,
    };
    file.is_some_and(is_ours) && folders.all(|folder| folder.contains('='))
}

impl Commit for RemoteCommit {
    fn check(&self, placement: &Placement<'_>, inputs: &[OutputPath]) -> Result<()> {
        let destination = placement.destination;
        let object = self.object(destination)?;
        object.check_writable()?;
        for input in inputs {
            if input.is_within(destination.path()) {
                return Err(Error::usage("write the output over an input")
                    .with("output", destination)
                    .with("input", input)
                    .hint("give the output another name"));
            }
        }
        let exists = || {
            Error::output("write the output: it exists")
                .with("output", destination)
                .hint("--overwrite, or another name")
        };
        let kept = placement.existing == Existing::Kept;
        if !destination.takes_parts() {
            return match kept && object.facts()?.is_some() {
                true => Err(exists()),
                false => Ok(()),
            };
        }
        let (version, _) = self.manifest(&object)?;
        match version {
            Some(_) if kept => return Err(exists()),
            Some(_) => {}
            // Parts without a manifest are what a killed run has left, of this or of another program.
            None => {
                let there = object.below()?;
                let other = there
                    .iter()
                    .find(|facts| !is_part(object.name_within(&facts.url)));
                if let Some(other) = other {
                    return Err(
                        Error::output("write the output directory: it holds other files")
                            .with("output", destination)
                            .with("file", &other.url)
                            .hint("name a new directory, or one that an earlier run wrote"),
                    );
                }
            }
        }
        self.check_conditions(&object)
    }

    fn stage(&self, placement: &Placement<'_>) -> Result<Pending> {
        let object = self.object(placement.destination)?;
        let takes_parts = placement.destination.takes_parts();
        let (version, manifest) = match takes_parts {
            true => self.manifest(&object)?,
            false => (None, Manifest::default()),
        };
        let (identity, notes) = match placement.owner {
            Owner::Run {
                identity, notes, ..
            } => {
                let identity: String = identity.chars().take(IDENTITY_LETTERS).collect();
                (identity, notes.map(|notes| notes_of(notes, &object)))
            }
            Owner::Share {
                identity,
                share,
                notes,
            } => {
                self.make_room(placement.destination, identity, share)?;
                let identity: String = identity.chars().take(IDENTITY_LETTERS).collect();
                (identity, notes.map(|notes| notes_of(notes, &object)))
            }
            Owner::Process => (format!("p{}", std::process::id()), None),
        };
        if let Some(notes) = &notes {
            take_back(&self.stores, notes)?;
            // What other workers have left is no leftover.
            let is_all = matches!(placement.owner, Owner::Run { .. });
            if is_all && takes_parts && (version.is_some() || placement.existing == Existing::Kept)
            {
                for left in Self::unnamed(&object, &manifest)? {
                    left.remove()?;
                }
            }
        }
        let token = Token {
            name: format!("{identity}-{}", manifest.number + 1),
            notes,
        };
        let token = token.noted()?;
        Ok(Pending {
            destination: placement.destination.clone(),
            existing: placement.existing,
            token,
            parts: Vec::new(),
        })
    }

    fn part(&self, pending: &Pending, place: PartPlace<'_>) -> Result<Box<dyn Part>> {
        let output = self.object(&pending.destination)?;
        let token = token(pending)?;
        let object = match pending.destination {
            Destination::File(_) if place.number > 0 => {
                return Err(Error::internal("cut one file into parts"));
            }
            Destination::File(_) => output,
            Destination::Directory(_) => {
                let (folder, number, ending) = (place.folder, place.in_folder, place.ending);
                output.child(&format!("{folder}part-{number:05}-{}.{ending}", token.name))?
            }
        };
        let notes = token.notes.as_deref();
        Ok(Box::new(RemotePart::begin(&object, place.number, notes)?))
    }

    fn part_bytes(&self) -> u64 {
        UPLOAD_BYTES
    }

    fn shares(&self) -> Option<&dyn SharedOutputs> {
        Some(self)
    }

    fn finish(&self, pending: &Pending) -> Result<()> {
        let output = self.object(&pending.destination)?;
        let takes_parts = pending.destination.takes_parts();
        for part in &pending.parts {
            let (object, seal) = (self.stores.object(&part.name)?, seal(part)?);
            if !takes_parts && pending.existing == Existing::Kept && object.facts()?.is_some() {
                // Completed before, by this run or by the one that it goes on from.
                if is_there(&object, &seal)? {
                    continue;
                }
                return Err(Error::output("write the output: it exists by now")
                    .with("output", &part.name)
                    .hint("--overwrite, or another name"));
            }
            complete(&object, &seal)?;
        }
        if takes_parts {
            self.put_manifest(&output, pending)?;
        }
        forget(pending);
        Ok(())
    }

    fn fate(&self, pending: &Pending) -> Result<Fate> {
        let output = self.object(&pending.destination)?;
        let mut all_there = true;
        for part in &pending.parts {
            all_there &= is_there(&self.stores.object(&part.name)?, &seal(part)?)?;
        }
        if !pending.destination.takes_parts() {
            // Where one is replaced, what is there may be the one before, of the same size; to complete it again is no error.
            let may_tell = pending.existing == Existing::Kept && !pending.parts.is_empty();
            return Ok(match all_there && may_tell {
                true => Fate::Visible,
                false => Fate::Staged,
            });
        }
        let (_, manifest) = self.manifest(&output)?;
        all_there &= self.is_marked(&output)?;
        let parts = pending
            .parts
            .iter()
            .map(|part| output.name_within(&part.name).to_owned());
        Ok(
            match all_there && parts.eq(manifest.parts.iter().cloned()) {
                true => Fate::Visible,
                false => Fate::Staged,
            },
        )
    }

    fn abort(&self, pending: &Pending) {
        for part in &pending.parts {
            if let (Ok(object), Ok(seal)) = (self.stores.object(&part.name), seal(part)) {
                seal.upload.abort(&object);
                if pending.destination.takes_parts() {
                    let _ = object.remove();
                }
            }
        }
        forget(pending);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_other_programs_are_not_ours() {
        for name in [
            "part-00000-1f2e3d4c-1.parquet",
            "part-123456-p77-12.parquet",
            "part-00000-1f2e3d4c-1.tar",
        ] {
            assert!(is_part(name), "{name}");
        }
        for name in [
            "part-00000.parquet",
            "part-00000-0a1b2c3d-4e5f-6789-abcd-ef0123456789-c000.snappy.parquet",
            "part-00000-0a1b2c3d-c000.parquet",
            "a/part-00000-1f2e3d4c-1.parquet",
            "part-00000-1f2e3d4c-1.parquet.tmp",
            "_SUCCESS",
        ] {
            assert!(!is_part(name), "{name}");
        }
    }
}
