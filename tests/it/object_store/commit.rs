//! How an output becomes visible in an object store.
//!
//! Parts are uploads that stay open until the output is finished. One file is one object, there when its upload is
//! completed. A directory is what its manifest names: parts have names of their own, so that they can lie beside those
//! of the output that they replace until the manifest is put, on the condition that nobody else has.

use std::{
    io::{self, Write},
    sync::Arc,
};

use clip_filter::{
    error::{Error, Result},
    sink::{
        Commit, Destination, Existing, Fate, OutputPath, Owner, Part, PartPlace, Pending,
        Placement, WrittenPart,
    },
};
use serde_json::{Value, json};

use super::store::{Condition, ObjectStore};

/// Written last.
pub(super) const MANIFEST: &str = "_manifest.json";
/// What is gathered for one piece of an upload; five million bytes in a real store.
const PIECE_BYTES: usize = 10_000;

#[derive(Debug)]
pub(super) struct ObjectCommit(pub(super) Arc<ObjectStore>);

impl ObjectCommit {
    /// The manifest of a directory: its bytes, its number, and the parts that it names.
    fn manifest(&self, name: &str) -> (Option<Vec<u8>>, u64, Vec<String>) {
        let Some(bytes) = self.0.get(&format!("{name}/{MANIFEST}")) else {
            return (None, 0, Vec::new());
        };
        let read: Value = serde_json::from_slice(&bytes).unwrap();
        let parts = read["parts"].as_array().unwrap().iter();
        let parts = parts.map(|part| part.as_str().unwrap().to_owned());
        (
            Some(bytes),
            read["number"].as_u64().unwrap(),
            parts.collect(),
        )
    }

    /// Objects of the directory that its manifest does not name.
    fn unnamed(&self, name: &str) -> Vec<String> {
        let (_, _, named) = self.manifest(name);
        let mut objects = self.0.list(&format!("{name}/part-"));
        objects.retain(|object| !named.contains(object));
        objects
    }

    fn put_manifest(&self, name: &str, pending: &Pending) -> io::Result<()> {
        let (bytes, number, named) = self.manifest(name);
        let parts = objects(pending);
        if named != parts {
            let manifest = json!({ "number": number + 1, "parts": parts }).to_string();
            let condition = match (bytes, pending.existing) {
                (Some(bytes), Existing::Replaced) => Condition::Is(bytes),
                _ => Condition::IsNew,
            };
            let name = format!("{name}/{MANIFEST}");
            self.0.put(&name, manifest.into_bytes(), &condition)?;
        }
        for object in self.unnamed(name) {
            self.0.delete(&object)?;
        }
        Ok(())
    }
}

/// The name of an output in the store.
fn name(destination: &Destination) -> &str {
    match destination.path() {
        OutputPath::Url(url) => url.strip_prefix("mem://").unwrap(),
        OutputPath::Local(path) => panic!("{path:?} is no object"),
    }
}

/// The objects of the parts.
fn objects(pending: &Pending) -> Vec<String> {
    let names = pending.parts.iter();
    names
        .map(|part| part.name.strip_prefix("mem://").unwrap().to_owned())
        .collect()
}

fn upload(part: &WrittenPart) -> u64 {
    part.seal.parse().unwrap()
}

fn failed(error: io::Error) -> Error {
    Error::output("write to the object store").source(error)
}

impl Commit for ObjectCommit {
    fn check(&self, placement: &Placement<'_>, _: &[OutputPath]) -> Result<()> {
        let name = name(placement.destination);
        let there = match placement.destination {
            Destination::File(_) => self.0.get(name).is_some(),
            Destination::Directory(_) => self.manifest(name).0.is_some(),
        };
        if there && placement.existing == Existing::Kept {
            return Err(Error::output("write the output: it exists").with("output", name));
        }
        Ok(())
    }

    fn stage(&self, placement: &Placement<'_>) -> Result<Pending> {
        let name = name(placement.destination);
        let identity = match placement.owner {
            Owner::Run { identity, .. } | Owner::Share { identity, .. } => &identity[..8],
            Owner::Process => "process",
        };
        // What a killed run has left: no two write one output at a time.
        for (id, object) in self.0.uploads() {
            if object == name || object.starts_with(&format!("{name}/")) {
                self.0.abort(id);
            }
        }
        for object in self.unnamed(name) {
            self.0.delete(&object).map_err(failed)?;
        }
        let (_, number, _) = self.manifest(name);
        Ok(Pending {
            destination: placement.destination.clone(),
            existing: placement.existing,
            token: format!("{identity}-{}", number + 1),
            parts: Vec::new(),
        })
    }

    fn part(&self, pending: &Pending, place: PartPlace<'_>) -> Result<Box<dyn Part>> {
        let number = place.number;
        let name = name(&pending.destination);
        let object = match pending.destination {
            Destination::File(_) => name.to_owned(),
            Destination::Directory(_) => {
                format!("{name}/part-{number:05}-{}.parquet", pending.token)
            }
        };
        Ok(Box::new(ObjectPart {
            upload: self.0.start(&object).map_err(failed)?,
            store: Arc::clone(&self.0),
            written: WrittenPart {
                number,
                name: format!("mem://{object}"),
                seal: String::new(),
            },
            piece: Vec::new(),
            is_closed: false,
        }))
    }

    fn finish(&self, pending: &Pending) -> Result<()> {
        let is_file = !pending.destination.takes_parts();
        let condition = match (is_file, pending.existing) {
            (true, Existing::Kept) => Condition::IsNew,
            _ => Condition::None,
        };
        let open = self.0.uploads();
        for (part, object) in pending.parts.iter().zip(objects(pending)) {
            let is_open = open.iter().any(|(id, _)| *id == upload(part));
            if !is_open && self.0.get(&object).is_some() {
                continue;
            }
            self.0.complete(upload(part), &condition).map_err(failed)?;
        }
        if !is_file {
            let name = name(&pending.destination);
            self.put_manifest(name, pending).map_err(failed)?;
        }
        Ok(())
    }

    fn fate(&self, pending: &Pending) -> Result<Fate> {
        let name = name(&pending.destination);
        let open = self.0.uploads();
        let mut parts = pending.parts.iter().zip(objects(pending));
        let is_open = |part: &WrittenPart| open.iter().any(|(id, _)| *id == upload(part));
        if pending.destination.takes_parts() {
            let (_, _, named) = self.manifest(name);
            let there = |(part, object): (&WrittenPart, String)| {
                is_open(part) || self.0.get(&object).is_some()
            };
            return Ok(match named == objects(pending) {
                // What the manifest before it named may be left to delete.
                true if self.unnamed(name).is_empty() => Fate::Visible,
                true => Fate::Staged,
                false if parts.all(there) => Fate::Staged,
                false => Fate::Lost,
            });
        }
        Ok(
            match (parts.any(|(part, _)| is_open(part)), self.0.get(name)) {
                (true, _) => Fate::Staged,
                (false, Some(_)) => Fate::Visible,
                (false, None) => Fate::Lost,
            },
        )
    }

    fn abort(&self, pending: &Pending) {
        for part in &pending.parts {
            self.0.abort(upload(part));
        }
        if pending.destination.takes_parts() {
            for object in self.unnamed(name(&pending.destination)) {
                let _ = self.0.delete(&object);
            }
        }
    }
}

/// An upload under way.
struct ObjectPart {
    store: Arc<ObjectStore>,
    upload: u64,
    written: WrittenPart,
    piece: Vec<u8>,
    is_closed: bool,
}

impl Write for ObjectPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            let piece = std::mem::take(&mut self.piece);
            self.store.append(self.upload, &piece)?;
        }
        Ok(bytes.len())
    }

    /// A piece that is not the last has a least size.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Part for ObjectPart {
    fn close(mut self: Box<Self>) -> Result<WrittenPart> {
        let piece = std::mem::take(&mut self.piece);
        self.store.append(self.upload, &piece).map_err(failed)?;
        self.is_closed = true;
        self.written.seal = self.upload.to_string();
        Ok(self.written.clone())
    }
}

impl Drop for ObjectPart {
    fn drop(&mut self) {
        if !self.is_closed {
            self.store.abort(self.upload);
        }
    }
}
