//! Where ONNX Runtime may lie already.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Flavor, Library, Surroundings, cuda,
    python::Interpreter,
    version::{Os, Platform, Version},
};
use crate::error::{Error, Result};

/// A place that held no usable library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) place: &'static str,
    pub(super) reason: String,
}

pub(super) const BESIDE: &str = "beside the program";
pub(super) const CACHE: &str = "user cache";
pub(super) const PYTHON: &str = "Python environment";
pub(super) const SYSTEM: &str = "system loader";

/// The directories a system loader searches without being told.
pub fn standard_library_dirs() -> Vec<PathBuf> {
    let names: &[&str] = match Platform::current().os {
        Os::Linux => &[
            "/usr/local/lib",
            "/usr/local/lib64",
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
            "/usr/lib",
            "/lib64",
            "/lib",
        ],
        Os::Mac => &["/opt/homebrew/lib", "/usr/local/lib", "/usr/lib"],
        // Windows ships an old onnxruntime.dll of its own in System32: it must not be taken.
        Os::Windows => &[],
    };
    names.iter().map(PathBuf::from).collect()
}

/// The library that the user named; no other place is tried.
pub(super) fn explicit(path: &Path, flavor: Flavor, os: Os) -> Result<Library> {
    let fail = |reason: String| {
        Error::runtime("use the ONNX Runtime that was named")
            .with("path", path.display())
            .with("reason", reason)
            .hint(format!(
                "name the library ({}) or a directory that holds it",
                os.library_name()
            ))
    };
    let origin = "the path that was named";
    if path.is_dir() {
        let inside = ["", "lib", "capi", "onnxruntime/capi"].map(|name| path.join(name));
        return look_in_all(&inside, flavor, os, origin).map_err(|reasons| fail(summary(&reasons)));
    }
    if !path.exists() {
        return Err(fail("there is no such file or directory".to_owned()));
    }
    accept(path.to_owned(), real_version(path, os), flavor, os, origin).map_err(fail)
}

/// The first place that holds a usable library, else all of them with the reason.
pub(super) fn search(
    surroundings: &Surroundings,
    flavor: Flavor,
    platform: &Platform,
) -> Result<Library, Vec<Tried>> {
    let os = platform.os;
    let mut tried = Vec::new();
    let mut miss = |place, reasons: Vec<String>| {
        tried.push(Tried {
            place,
            reason: summary(&reasons),
        })
    };

    let beside: Vec<PathBuf> = surroundings.executable_dir.iter().cloned().collect();
    match look_in_all(&beside, flavor, os, BESIDE) {
        Ok(library) => return Ok(library),
        Err(reasons) => miss(BESIDE, reasons),
    }
    match &surroundings.cache {
        None => miss(CACHE, vec!["none was named".to_owned()]),
        Some(cache) => match look_in_all(&cached(cache, flavor, platform), flavor, os, CACHE) {
            Ok(library) => return Ok(library),
            Err(reasons) if reasons.is_empty() => {
                let root = cache_root(cache);
                miss(CACHE, vec![format!("{} holds none", root.display())]);
            }
            Err(reasons) => miss(CACHE, reasons),
        },
    }
    match in_python(surroundings, flavor, os) {
        Ok(library) => return Ok(library),
        Err(reasons) => miss(PYTHON, reasons),
    }
    match look_in_all(&surroundings.library_dirs, flavor, os, SYSTEM) {
        Ok(library) => return Ok(library),
        // One line for the dozen directories that simply hold nothing.
        Err(mut reasons) => {
            reasons.retain(|reason| !reason.contains(NOTHING_IN) && !reason.contains(NO_DIRECTORY));
            if reasons.is_empty() {
                let places = surroundings
                    .library_dirs
                    .iter()
                    .map(|dir| dir.display().to_string());
                reasons.push(format!("{NOTHING_IN} {}", list(places.collect())));
            }
            miss(SYSTEM, reasons);
        }
    }
    Err(tried)
}

/// Where fetched libraries go.
pub(super) fn cache_root(cache: &Path) -> PathBuf {
    cache.join("onnxruntime")
}

/// The fetched libraries of this platform, the wanted flavour first and the newest of it first.
fn cached(cache: &Path, flavor: Flavor, platform: &Platform) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(cache_root(cache)) else {
        return Vec::new();
    };
    let mut found: Vec<(bool, Option<Version>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (version, flavor_name) = name
                .strip_suffix(platform.name)?
                .strip_suffix('-')?
                .split_once('-')?;
            // A directory that is being filled starts with a dot, so it has no version.
            let version = Version::parse(version)?;
            Some((
                flavor_name == flavor.to_string(),
                Some(version),
                entry.path(),
            ))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, _, path)| path).collect()
}

fn in_python(surroundings: &Surroundings, flavor: Flavor, os: Os) -> Result<Library, Vec<String>> {
    let environments = [&surroundings.virtual_env, &surroundings.conda_prefix];
    let mut directories: Vec<PathBuf> = environments
        .into_iter()
        .flatten()
        .flat_map(|root| site_packages(root))
        .map(|site| site.join("onnxruntime").join("capi"))
        .filter(|capi| capi.is_dir())
        .collect();
    let mut reasons = match look_in_all(&directories, flavor, os, PYTHON) {
        Ok(library) => return Ok(library),
        Err(reasons) => reasons,
    };
    let asked =
        Interpreter::find(surroundings).and_then(|python| python.package_dirs("onnxruntime"));
    let packages = match asked {
        Ok(packages) => packages,
        Err(error) => {
            reasons.push(error.to_string());
            return Err(reasons);
        }
    };
    let before = std::mem::take(&mut directories);
    let capi = packages.iter().map(|package| package.join("capi"));
    directories.extend(capi.filter(|capi| !before.contains(capi)));
    match look_in_all(&directories, flavor, os, PYTHON) {
        Ok(library) => return Ok(library),
        Err(more) => reasons.extend(more),
    }
    if reasons.is_empty() {
        reasons.push("Python has no package onnxruntime".to_owned());
    }
    Err(reasons)
}

/// The `site-packages` directories under an environment's root.
fn site_packages(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.join("Lib").join("site-packages")];
    for lib in ["lib", "lib64"] {
        let Ok(entries) = fs::read_dir(root.join(lib)) else {
            continue;
        };
        let mut versions: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("python"))
            .map(|entry| entry.path().join("site-packages"))
            .collect();
        versions.sort();
        found.extend(versions);
    }
    found
}

fn look_in_all(
    directories: &[PathBuf],
    flavor: Flavor,
    os: Os,
    origin: &'static str,
) -> Result<Library, Vec<String>> {
    let mut reasons = Vec::new();
    for directory in directories {
        match look_in(directory, flavor, os, origin) {
            Ok(library) => return Ok(library),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons)
}

const NO_DIRECTORY: &str = "no such directory:";
const NOTHING_IN: &str = "no ONNX Runtime in";

/// The newest usable library of one directory, or why there is none.
pub(super) fn look_in(
    directory: &Path,
    flavor: Flavor,
    os: Os,
    origin: &'static str,
) -> Result<Library, String> {
    let entries = fs::read_dir(directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{NO_DIRECTORY} {}", directory.display()),
        _ => format!("{} cannot be read: {error}", directory.display()),
    })?;
    let newest = entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| os.library_version(name).is_some())
        })
        // A dangling link is no library.
        .filter(|entry| entry.path().is_file())
        .map(|entry| (real_version(&entry.path(), os), entry.path()))
        .max();
    let Some((version, path)) = newest else {
        return Err(format!("{NOTHING_IN} {}", directory.display()));
    };
    accept(path, version, flavor, os, origin)
}

fn accept(
    path: PathBuf,
    version: Option<Version>,
    flavor: Flavor,
    os: Os,
    origin: &'static str,
) -> Result<Library, String> {
    if let Some(found) = version.filter(|version| *version < Version::OLDEST) {
        let needed = Version::OLDEST;
        return Err(format!(
            "{} is too old: {found}, needed is {needed} or later",
            path.display()
        ));
    }
    let preload = match flavor {
        Flavor::Cpu => Vec::new(),
        Flavor::Cuda => {
            let provider = path.with_file_name(os.cuda_provider());
            if !provider.is_file() {
                return Err(format!(
                    "{} has no {} beside it",
                    path.display(),
                    os.cuda_provider()
                ));
            }
            cuda::preload(&path, version)
        }
    };
    Ok(Library {
        path,
        version,
        origin,
        preload,
    })
}

/// The version in the name of the file, or of the file that a link ends at.
fn real_version(path: &Path, os: Os) -> Option<Version> {
    let named = |path: &Path| os.library_version(path.file_name()?.to_str()?).flatten();
    named(path).or_else(|| named(&fs::canonicalize(path).ok()?))
}

fn summary(reasons: &[String]) -> String {
    match reasons {
        [] => "nowhere to look".to_owned(),
        reasons => reasons.join("; "),
    }
}

fn list(mut names: Vec<String>) -> String {
    const SHOWN: usize = 6;
    if names.is_empty() {
        return "the usual directories (none is known on this system)".to_owned();
    }
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let shown = names.join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}
