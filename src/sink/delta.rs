//! Outputs that are Delta tables: parts go into the table's folder, and one entry of its log makes them rows.
//!
//! A part is written within `_clip-filter-…/` of the table, which readers of tables pass over, and moved beside the
//! others when the run is over. The entry has the run's name: a run whose name is in the log already, because the process
//! that wrote the entry did not live to say so, or because somebody runs it again, adds nothing.

#[cfg(feature = "remote")]
mod remote;

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use sha2::{Digest, Sha256};

use super::{
    Commit, Destination, Fate, OutputPath, Owner, Part, PartPlace, Pending, Placement, WrittenPart,
    local::{check_inputs, part_name, remove, sync_directory},
    partitions::values_of_folder,
};
use crate::{
    delta::{FileStatistics, NewFile, PartitionValue, TablePlace, TableWrite, WriteMode},
    digest::hex,
    error::{Error, Result},
    source::read_footer,
};

#[cfg(feature = "remote")]
pub use remote::RemoteDeltaCommit;

/// How the folder begins in which parts are written.
const STAGING: &str = "_clip-filter-";
/// What names of parts have of the name of their run.
const NAME_LETTERS: usize = 16;
/// The metadata that a table keeps as a property.
const HUGGINGFACE: &str = "huggingface";

/// Commits outputs to tables.
#[derive(Debug, Clone)]
pub struct DeltaCommit {
    mode: WriteMode,
}

impl DeltaCommit {
    /// What becomes of the rows that a table has is `mode`.
    pub fn new(mode: WriteMode) -> Self {
        Self { mode }
    }

    /// The name of a run in files and in the log: what replaces rows is another run than what adds them.
    fn token(&self, identity: &str) -> String {
        let values = match &self.mode {
            WriteMode::Create | WriteMode::Append => return identity.to_owned(),
            WriteMode::Overwrite => &[][..],
            WriteMode::Replace(values) => values,
        };
        let mut hash = Sha256::new();
        hash.update(identity);
        hash.update("replaces");
        for PartitionValue { name, value } in values {
            for part in [Some(name), value.as_ref()] {
                hash.update([u8::from(part.is_some())]);
                hash.update(part.map_or("", String::as_str));
                hash.update([0]);
            }
        }
        hex(&hash.finalize())
    }

    /// Refuses to make the table that is at `place`, unless this run has made it.
    fn check_mode(&self, place: &TablePlace, owner: Owner<'_>) -> Result<()> {
        if self.mode != WriteMode::Create {
            return Ok(());
        }
        let was_this = match owner {
            Owner::Run { identity, .. } | Owner::Share { identity, .. } => {
                place.has_written(&app_id(&self.token(identity)))?
            }
            Owner::Process => true,
        };
        match was_this {
            true => Ok(()),
            false => Err(Error::output("make a Delta table: it is there")
                .with("table", place)
                .hint("--mode append, overwrite or replace-where")),
        }
    }

    /// Makes `parts` the table's, which lie in its folder; `facts` has the size of one and when it was written.
    fn commit(
        &self,
        place: &TablePlace,
        token: &str,
        parts: &[String],
        facts: impl Fn(&str) -> Result<FileFacts>,
    ) -> Result<()> {
        let Some(first) = parts.first() else {
            return Ok(());
        };
        let files = parts.iter().map(|part| new_file(place, part, facts(part)?));
        let files = files.collect::<Result<Vec<NewFile>>>()?;
        let (columns, properties) = columns_of(place, first)?;
        let partitions = files.first().map_or(&[][..], |file| &file.partition);
        let partitions: Vec<String> = partitions.iter().map(|it| it.name.clone()).collect();
        let write = TableWrite {
            place,
            columns,
            partitions: &partitions,
            properties,
            mode: &self.mode,
            app_id: &app_id(token),
            files: &files,
        };
        write.commit().map(drop)
    }
}

/// What a table says of a file besides what is in it.
struct FileFacts {
    size_bytes: u64,
    written_millis: i64,
}

/// Whether a name in the folder of a table that is none yet may be of an earlier run: those of one that was killed before
/// its commit go into the next.
fn is_own(name: &str) -> bool {
    name.starts_with(STAGING) || name.starts_with("part-") || name.contains('=')
}

fn holds_others(place: &TablePlace, file: String) -> Error {
    Error::output("make a Delta table in a folder that holds other files")
        .with("table", place)
        .with("file", file)
        .hint("name a new folder, or a table")
}

impl Commit for DeltaCommit {
    fn check(&self, placement: &Placement<'_>, inputs: &[OutputPath]) -> Result<()> {
        let folder = local(placement.destination)?;
        check_inputs(folder, inputs)?;
        let place = TablePlace::local(folder)?;
        let is_table = place.is_table()?;
        if is_table {
            self.check_mode(&place, placement.owner)?;
        }
        let others = || {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.find(|name| !is_own(name))
        };
        match others().filter(|_| !is_table) {
            None => Ok(()),
            Some(file) => Err(holds_others(&place, file)),
        }
    }

    fn stage(&self, placement: &Placement<'_>) -> Result<Pending> {
        let token = match placement.owner {
            Owner::Run { identity, .. } | Owner::Share { identity, .. } => self.token(identity),
            Owner::Process => format!("process-{}", std::process::id()),
        };
        let staging = staging(local(placement.destination)?, &token);
        remove(&staging);
        std::fs::create_dir_all(&staging).map_err(|error| failed(&staging, error))?;
        Ok(Pending {
            destination: placement.destination.clone(),
            existing: placement.existing,
            token,
            parts: Vec::new(),
        })
    }

    fn part(&self, pending: &Pending, place: PartPlace<'_>) -> Result<Box<dyn Part>> {
        let folder = local(&pending.destination)?;
        let within = name_in_table(&place, &pending.token);
        let path = staging(folder, &pending.token).join(&within);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
        }
        let file = File::create(&path).map_err(|error| failed(&path, error))?;
        Ok(Box::new(DeltaPart {
            file,
            path,
            written: WrittenPart {
                number: place.number,
                name: folder.join(&within).display().to_string(),
                seal: within,
            },
        }))
    }

    fn finish(&self, pending: &Pending) -> Result<()> {
        let folder = local(&pending.destination)?;
        let place = TablePlace::local(folder)?;
        let staging = staging(folder, &pending.token);
        if is_committed(&place, &pending.token)? {
            remove(&staging);
            return Ok(());
        }
        for part in &pending.parts {
            let (from, to) = (staging.join(&part.seal), folder.join(&part.seal));
            if !from.exists() && to.exists() {
                continue;
            }
            let parent = to.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
            std::fs::rename(&from, &to).map_err(|error| failed(&from, error))?;
            sync_directory(parent);
        }
        let parts: Vec<String> = pending.parts.iter().map(|part| part.seal.clone()).collect();
        self.commit(&place, &pending.token, &parts, |part| {
            local_facts(&folder.join(part))
        })?;
        remove(&staging);
        Ok(())
    }

    fn fate(&self, pending: &Pending) -> Result<Fate> {
        let folder = local(&pending.destination)?;
        // Its folder goes last: to finish what is written removes that alone.
        if staging(folder, &pending.token).exists() {
            return Ok(Fate::Staged);
        }
        Ok(
            match is_committed(&TablePlace::local(folder)?, &pending.token)? {
                true => Fate::Visible,
                false => Fate::Lost,
            },
        )
    }

    fn abort(&self, pending: &Pending) {
        let Ok(folder) = local(&pending.destination) else {
            return;
        };
        let place = TablePlace::local(folder);
        let is_committed = place.and_then(|place| is_committed(&place, &pending.token));
        if !is_committed.unwrap_or(true) {
            // Those that were moved before the log could be written.
            for part in &pending.parts {
                remove(&folder.join(&part.seal));
            }
        }
        remove(&staging(folder, &pending.token));
    }
}

/// Whether the log has the run of this name.
fn is_committed(place: &TablePlace, token: &str) -> Result<bool> {
    Ok(place.is_table()? && place.has_written(&app_id(token))?)
}

/// The name of a part below the folder of a table, with that of its run.
fn name_in_table(place: &PartPlace<'_>, token: &str) -> String {
    let of_run = token.get(..NAME_LETTERS).unwrap_or(token);
    let name = part_name(place.in_folder, place.ending);
    let (stem, ending) = name.split_once('.').unwrap_or((&name, ""));
    format!("{}{stem}-{of_run}.{ending}", place.folder)
}

/// The name of a run in the log.
fn app_id(token: &str) -> String {
    format!("clip-filter/{token}")
}

fn staging(folder: &Path, token: &str) -> PathBuf {
    folder.join(format!("{STAGING}{token}"))
}

fn local(destination: &Destination) -> Result<&Path> {
    match (destination, destination.path().local_path()) {
        (Destination::Directory(_), Some(path)) => Ok(path),
        (Destination::File(_), _) => Err(no_folder(destination)),
        (_, None) => Err(Error::internal(
            "write a table of an object store to a disk",
        )),
    }
}

fn no_folder(destination: &Destination) -> Error {
    Error::usage("write a Delta table to a file")
        .with("output", destination)
        .hint("name a folder")
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::output("write into the folder of a table")
        .with("file", path.display())
        .source(error)
        .hint("free space there, or write elsewhere; the table is as it was")
}

fn local_facts(path: &Path) -> Result<FileFacts> {
    let facts = std::fs::metadata(path).map_err(|error| failed(path, error))?;
    let written = facts
        .modified()
        .ok()
        .and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    let millis = written.and_then(|it| i64::try_from(it.as_millis()).ok());
    Ok(FileFacts {
        size_bytes: facts.len(),
        written_millis: millis.unwrap_or(0),
    })
}

fn unreadable(
    place: &TablePlace,
    part: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::output("read what was written")
        .with("table", place)
        .with("file", part)
        .source(error)
}

fn new_file(place: &TablePlace, part: &str, facts: FileFacts) -> Result<NewFile> {
    let statistics = FileStatistics::of(&place.file(part)?.open()?)
        .map_err(|error| unreadable(place, part, error))?;
    let values = values_of_folder(part);
    Ok(NewFile {
        path: part.to_owned(),
        size_bytes: facts.size_bytes,
        written_millis: facts.written_millis,
        partition: values
            .into_iter()
            .map(|(name, value)| PartitionValue { name, value })
            .collect(),
        statistics,
    })
}

/// The columns of a part, and what a table keeps of its metadata.
fn columns_of(place: &TablePlace, part: &str) -> Result<(SchemaRef, Vec<(String, String)>)> {
    let footer = read_footer(&place.file(part)?.open()?, ArrowReaderOptions::new())
        .map_err(|error| unreadable(place, part, error))?;
    let pairs = footer.metadata().file_metadata().key_value_metadata();
    let pairs = pairs
        .into_iter()
        .flatten()
        .filter(|pair| pair.key == HUGGINGFACE);
    let pairs = pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)));
    let fields = footer.schema().fields().iter();
    // What the columns' metadata says is the files', not the table's.
    let plain = fields.map(|field| field.as_ref().clone().with_metadata(Default::default()));
    let schema = Schema::new(
        plain
            .map(|field| field.with_nullable(true))
            .collect::<Vec<_>>(),
    );
    Ok((std::sync::Arc::new(schema), pairs.collect()))
}

/// A part under way.
struct DeltaPart {
    file: File,
    path: PathBuf,
    written: WrittenPart,
}

impl Write for DeltaPart {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Part for DeltaPart {
    fn close(self: Box<Self>) -> Result<WrittenPart> {
        let synced = self.file.sync_all();
        synced.map_err(|error| failed(&self.path, error))?;
        Ok(self.written)
    }
}
