//! Outputs on a local disk: written under a temporary name on the same file system, synced, and renamed.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use super::{
    Commit, Destination, Existing, Fate, OutputPath, Owner, Part, PartPlace, Pending, Placement,
    SharedOutputs, WrittenPart,
    abandoned::{hold, remove_abandoned, token_of},
    local_shares::make_room,
    sync_ahead::SyncAhead,
};
use crate::error::{Error, Result};

/// Marker that a directory of parts is complete; written last.
pub(super) const SUCCESS: &str = "_SUCCESS";
/// After as many bytes the disk is asked to take what there is, while more is written.
const SYNC_BYTES: usize = 64 << 20;
/// The output in a directory of its run.
const OUTPUT: &str = "output";

/// Renames outputs to their final names.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalCommit;

impl Commit for LocalCommit {
    fn check(&self, placement: &Placement<'_>, inputs: &[OutputPath]) -> Result<()> {
        let destination = placement.destination;
        let path = local(destination)?;
        let file_with_slash =
            !destination.takes_parts() && path.as_os_str().to_string_lossy().ends_with('/');
        if path.file_name().is_none() || file_with_slash {
            return Err(
                Error::usage("write the output: its path ends without a name")
                    .with("output", path.display())
                    .hint("name a new directory, or a file that ends in .parquet"),
            );
        }
        check_inputs(path, inputs)?;
        if path.exists() && !is_empty_directory(path) {
            if placement.existing == Existing::Kept {
                return Err(Error::output("write the output: it exists")
                    .with("output", path.display())
                    .hint("--overwrite, or another name"));
            }
            if destination.takes_parts() {
                check_replaceable(path)?;
            }
        }
        Ok(())
    }

    fn stage(&self, placement: &Placement<'_>) -> Result<Pending> {
        let path = local(placement.destination)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let token = match placement.owner {
            Owner::Process => {
                remove_abandoned(path, &name);
                token_of(&name, std::process::id())
            }
            Owner::Run {
                directory: Some(directory),
                ..
            } => format!("{directory}/{OUTPUT}"),
            Owner::Run { .. } => format!(".{name}.clip-filter.tmp"),
            Owner::Share {
                identity, share, ..
            } => make_room(path, identity, share)?,
        };
        let temporary = parent(path).join(&token);
        remove(&temporary);
        let made = match placement.destination {
            Destination::File(_) => File::create_new(&temporary).map(drop),
            Destination::Directory(_) => std::fs::create_dir(&temporary),
        };
        made.map_err(|error| {
            Error::output("write beside the output")
                .with("directory", parent(path).display())
                .source(error)
                .hint("make the directory, or choose one you may write to")
        })?;
        Ok(Pending {
            destination: placement.destination.clone(),
            existing: placement.existing,
            token,
            parts: Vec::new(),
        })
    }

    fn hold(&self, pending: &Pending) -> Option<File> {
        let path = local(&pending.destination).ok()?;
        hold(&temporary(path, pending))
    }

    fn part(&self, pending: &Pending, place: PartPlace<'_>) -> Result<Box<dyn Part>> {
        let path = local(&pending.destination)?;
        let temporary = temporary(path, pending);
        let (temporary, name) = match &pending.destination {
            Destination::File(_) if place.number > 0 => {
                return Err(Error::internal("cut one file into parts"));
            }
            Destination::File(_) => (temporary, path.to_path_buf()),
            Destination::Directory(_) => {
                let part = part_name(place.in_folder, place.ending);
                let folder = temporary.join(place.folder);
                std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
                (folder.join(&part), path.join(place.folder).join(part))
            }
        };
        let file = File::create(&temporary).map_err(|error| failed(&temporary, error))?;
        Ok(Box::new(LocalPart {
            file,
            unasked: 0,
            ahead: None,
            temporary,
            written: WrittenPart {
                number: place.number,
                name: name.display().to_string(),
                seal: String::new(),
            },
        }))
    }

    fn shares(&self) -> Option<&dyn SharedOutputs> {
        Some(self)
    }

    fn finish(&self, pending: &Pending) -> Result<()> {
        let path = local(&pending.destination)?;
        let temporary = temporary(path, pending);
        if !temporary.exists() && path.exists() {
            return Ok(());
        }
        let failed = |error| {
            Error::output("rename the finished output")
                .with("output", path.display())
                .source(error)
        };
        match pending.destination {
            Destination::File(_) => std::fs::rename(&temporary, path).map_err(failed)?,
            Destination::Directory(_) => {
                File::create(temporary.join(SUCCESS))
                    .and_then(|file| file.sync_all())
                    .map_err(failed)?;
                sync_folders(&temporary, path, pending);
                replace_directory(&temporary, path).map_err(failed)?;
            }
        }
        sync_directory(parent(path));
        Ok(())
    }

    fn fate(&self, pending: &Pending) -> Result<Fate> {
        let path = local(&pending.destination)?;
        let there = (temporary(path, pending).exists(), path.exists());
        Ok(match there {
            (true, _) => Fate::Staged,
            (false, true) => Fate::Visible,
            (false, false) => Fate::Lost,
        })
    }

    fn abort(&self, pending: &Pending) {
        if let Ok(path) = local(&pending.destination) {
            remove(&temporary(path, pending));
        }
    }
}

/// A file under its temporary name, which goes with that of the whole output.
struct LocalPart {
    file: File,
    /// Bytes since the disk was last asked to take what there is.
    unasked: usize,
    ahead: Option<SyncAhead>,
    temporary: PathBuf,
    written: WrittenPart,
}

impl LocalPart {
    /// Lets the disk begin with what there is, so that little is left to wait for at the end.
    fn sync_ahead(&mut self, written: usize) -> std::io::Result<()> {
        self.unasked += written;
        if self.unasked >= SYNC_BYTES {
            self.unasked = 0;
            match &self.ahead {
                Some(ahead) => ahead.ask(),
                None => self.ahead = Some(SyncAhead::begin(self.file.try_clone()?)?),
            }
        }
        Ok(())
    }
}

impl Write for LocalPart {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sync_ahead(written)?;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Part for LocalPart {
    fn close(mut self: Box<Self>) -> Result<WrittenPart> {
        // What the disk refused before, it need not say again.
        let ahead = self.ahead.take().map_or(Ok(()), SyncAhead::end);
        let synced = ahead.and_then(|()| self.file.sync_all());
        synced.map_err(|error| failed(&self.temporary, error))?;
        Ok(self.written)
    }
}

/// Syncs the directory and the folders in it that parts lie in.
fn sync_folders(temporary: &Path, path: &Path, pending: &Pending) {
    let mut folders = BTreeSet::from([temporary.to_path_buf()]);
    for part in &pending.parts {
        let within = Path::new(&part.name)
            .strip_prefix(path)
            .map(Path::ancestors);
        let above = within.into_iter().flatten().skip(1);
        folders.extend(above.map(|folder| temporary.join(folder)));
    }
    folders
        .iter()
        .rev()
        .for_each(|folder| sync_directory(folder));
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::output("write the output")
        .with("file", path.display())
        .source(error)
        .hint("free space there, or write elsewhere; the input is untouched")
}

pub(super) fn local(destination: &Destination) -> Result<&Path> {
    destination.path().local_path().ok_or_else(|| {
        Error::internal("write a local output: its name is a URL").with("output", destination)
    })
}

/// Beside the destination, so that renaming is one step.
fn temporary(path: &Path, pending: &Pending) -> PathBuf {
    parent(path).join(&pending.token)
}

pub(super) fn part_name(number: usize, ending: &str) -> String {
    format!("part-{number:05}.{ending}")
}

/// The directory that a path lies in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Refuses to write over an input, or over a directory that holds one.
pub(super) fn check_inputs(path: &Path, inputs: &[OutputPath]) -> Result<()> {
    let Ok(place) = path.canonicalize() else {
        return Ok(());
    };
    for input in inputs.iter().filter_map(OutputPath::local_path) {
        if input
            .canonicalize()
            .is_ok_and(|input| input.starts_with(&place))
        {
            return Err(Error::usage("write the output over an input")
                .with("output", path.display())
                .with("input", input.display())
                .hint("give the output another name"));
        }
    }
    Ok(())
}

fn is_empty_directory(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Refuses to replace a directory that holds anything but a result.
fn check_replaceable(directory: &Path) -> Result<()> {
    let entries = std::fs::read_dir(directory).map_err(|error| {
        Error::output("list the output directory")
            .with("output", directory.display())
            .source(error)
    })?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains('=') && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            check_replaceable(&entry.path())?;
        } else if name != SUCCESS
            && !(name.starts_with("part-")
                && [".parquet", ".tar"].iter().any(|end| name.ends_with(end)))
        {
            return Err(
                Error::output("replace the output directory: it holds other files")
                    .with("output", directory.display())
                    .with("file", name)
                    .hint("name a new directory, or one that an earlier run wrote"),
            );
        }
    }
    Ok(())
}

/// Renames `temporary` to `path`; an old directory there is moved aside first and removed last.
fn replace_directory(temporary: &Path, path: &Path) -> std::io::Result<()> {
    if !path.exists() {
        return std::fs::rename(temporary, path);
    }
    let mut old = temporary.as_os_str().to_owned();
    old.push(".old");
    std::fs::rename(path, &old)?;
    if let Err(error) = std::fs::rename(temporary, path) {
        std::fs::rename(&old, path)?;
        return Err(error);
    }
    remove(Path::new(&old));
    Ok(())
}

pub(super) fn remove(path: &Path) {
    // Nothing can be done about a leftover that cannot be removed, and nothing depends on it.
    let _ = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
}

pub(super) fn sync_directory(directory: &Path) {
    // Not every file system can; the files themselves are synced before.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}

#[cfg(test)]
mod tests;
