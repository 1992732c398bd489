//! What a process that was killed has left of an output that it alone was writing.

use std::{fs::File, path::Path};

use super::local::{parent, remove};

/// The name beside an output called `name` under which the process `id` writes it.
pub(super) fn token_of(name: &str, id: u32) -> String {
    format!(".{name}.clip-filter-{id}.tmp")
}

/// Says, as long as it is open, that whoever writes `temporary` lives.
pub(super) fn hold(temporary: &Path) -> Option<File> {
    // Elsewhere nothing may be written to what is locked.
    let file = File::open(temporary).ok().filter(|_| cfg!(unix))?;
    file.try_lock().ok().map(|()| file)
}

/// Removes what dead processes have left of the output at `path`, which is called `name`.
///
/// A process lives where it holds what it writes, or where there is one of its number on this machine.
pub(super) fn remove_abandoned(path: &Path, name: &str) {
    let directory = parent(path);
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let id = found.to_str().and_then(|found| {
            let id = found.strip_prefix(&format!(".{name}.clip-filter-"))?;
            id.strip_suffix(".tmp")?.parse::<u32>().ok()
        });
        let Some(id) = id.filter(|id| !Path::new(&format!("/proc/{id}")).exists()) else {
            continue;
        };
        let temporary = directory.join(token_of(name, id));
        if hold(&temporary).is_some() {
            remove(&temporary);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::parent_id;

    use super::*;

    /// No process has such a number.
    const DEAD: u32 = u32::MAX;

    #[test]
    fn only_what_dead_processes_left_of_this_output_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let names = [
            token_of("out.parquet", DEAD),
            token_of("out", DEAD),
            token_of("out.parquet", DEAD - 1),
            token_of("out.parquet", parent_id()),
            token_of("another.parquet", DEAD),
            ".out.parquet.clip-filter-mine.tmp".to_owned(),
            format!("{}.old", token_of("out.parquet", DEAD)),
        ];
        for name in &names {
            std::fs::write(at(name), "x").unwrap();
        }
        let held = hold(&at(&names[2])).unwrap();
        remove_abandoned(&at("out.parquet"), "out.parquet");
        let left = |names: &[String]| names.iter().all(|name| at(name).exists());
        assert!(!at(&names[0]).exists() && left(&names[1..]));

        drop(held);
        remove_abandoned(&at("out.parquet"), "out.parquet");
        assert!(!at(&names[2]).exists() && left(&names[3..]));

        std::fs::create_dir(at(&names[0])).unwrap();
        std::fs::write(at(&names[0]).join("part-00000.parquet"), "x").unwrap();
        remove_abandoned(&at("out.parquet"), "out.parquet");
        assert!(!at(&names[0]).exists());
    }
}
