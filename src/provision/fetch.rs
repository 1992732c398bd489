//! Fetches the pinned wheels and unpacks the libraries in them.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::ZipArchive;

use super::{
    Flavor, Library, Surroundings,
    python::Interpreter,
    search::{cache_root, look_in},
    version::{Os, Platform},
    wheels::{Wheel, pinned},
};
use crate::{
    config::ByteSize,
    digest::hex,
    error::{Error, Result},
};

const ORIGIN: &str = "user cache";

/// The pinned library from the cache, fetched if it is not there.
pub(super) fn fetch(
    surroundings: &Surroundings,
    flavor: Flavor,
    platform: &Platform,
    say: &mut dyn FnMut(&str),
) -> Result<Library> {
    let Some(wheels) = pinned(flavor, platform) else {
        return Err(
            Error::runtime("fetch ONNX Runtime: no release is pinned for this platform")
                .with(
                    "platform",
                    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
                )
                .with("flavor", flavor)
                .hint(match flavor {
                    Flavor::Cpu => "install the library and name it: `--onnxruntime PATH`",
                    Flavor::Cuda => {
                        "`pip install 'onnxruntime-gpu[cuda,cudnn]'`, or `--onnxruntime PATH`"
                    }
                }),
        );
    };
    fetch_wheels(
        surroundings,
        &Order {
            flavor,
            platform: *platform,
            wheels,
        },
        say,
    )
}

/// What to fetch and for whom; tests put their own wheels here.
pub(super) struct Order<'a> {
    pub(super) flavor: Flavor,
    pub(super) platform: Platform,
    /// The one with ONNX Runtime first.
    pub(super) wheels: &'a [Wheel],
}

pub(super) fn fetch_wheels(
    surroundings: &Surroundings,
    order: &Order<'_>,
    say: &mut dyn FnMut(&str),
) -> Result<Library> {
    let Order {
        flavor,
        platform,
        wheels,
    } = order;
    let version = wheels.first().map_or("", |wheel| wheel.version);
    let cache = surroundings.cache.as_deref().ok_or_else(|| {
        Error::runtime("fetch ONNX Runtime: there is no cache directory to keep it in")
            .hint("name one, or a library that is here")
    })?;
    let root = cache_root(cache);
    let target = root.join(format!("{version}-{flavor}-{}", platform.name));
    let ready = || look_in(&target, *flavor, platform.os, ORIGIN);
    if let Ok(library) = ready() {
        return Ok(library);
    }
    if surroundings.offline {
        return Err(Error::runtime("fetch ONNX Runtime: --offline forbids it")
            .hint("run once with a network: `clip-filter setup`; or `--onnxruntime PATH`"));
    }
    let python = Interpreter::with_pip(surroundings)?;
    let total = ByteSize(wheels.iter().map(|wheel| wheel.bytes).sum());
    say(&format!(
        "fetching ONNX Runtime {version} for {flavor} ({total}) with pip into {}",
        target.display()
    ));

    let staging = stage(&root)?;
    let library = staging.path().join("library");
    download_all(&python, order, staging.path(), say)?;
    publish(&library, &target, &|| ready().is_ok())?;
    ready().map_err(|reason| Error::runtime("find the library in the wheel").with("reason", reason))
}

/// Downloads, verifies and unpacks one wheel after the other into `staging/library`.
fn download_all(
    python: &Interpreter,
    order: &Order<'_>,
    staging: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let library = staging.join("library");
    for (position, wheel) in order.wheels.iter().enumerate() {
        if order.wheels.len() > 1 {
            let (package, size) = (wheel.package, ByteSize(wheel.bytes));
            say(&format!(
                "  {} of {}: {package} {} ({size})",
                position + 1,
                order.wheels.len(),
                wheel.version
            ));
        }
        let file = python.download(wheel, staging)?;
        verify(&file, wheel)?;
        unpack(&file, &library, order.platform.os).map_err(|error| {
            Error::output("unpack the wheel")
                .with("wheel", file.display())
                .with("into", library.display())
                .source(error)
                .hint("free some space, or set CLIP_FILTER_CACHE to a larger disk")
        })?;
        // The next one may be as large: keep one on the disk at a time.
        fs::remove_file(&file).map_err(|error| cache_error(&file, error))?;
    }
    Ok(())
}

/// A directory beside the final one, so that a rename moves it there whole.
fn stage(root: &Path) -> Result<TempDir> {
    fs::create_dir_all(root)
        .and_then(|()| tempfile::Builder::new().prefix(".fetch-").tempdir_in(root))
        .map_err(|error| {
            cache_error(root, error)
                .hint("set CLIP_FILTER_CACHE to a directory that can be written")
        })
}

/// pip has checked the hash already; this does not rely on its version or its settings.
fn verify(file: &Path, wheel: &Wheel) -> Result<()> {
    let found = sha256(file).map_err(|error| cache_error(file, error))?;
    if found == wheel.sha256 {
        return Ok(());
    }
    Err(Error::runtime("verify the wheel: its hash is not the pinned one")
        .with("package", format!("{}=={}", wheel.package, wheel.version))
        .with("expected", wheel.sha256)
        .with("found", found)
        .hint("try again; if it stays, the package index offers another file: use `--onnxruntime PATH`"))
}

/// The SHA-256 of a file in lower-case hexadecimal.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hex(&hash.finalize()))
}

fn unpack(wheel: &Path, library: &Path, os: Os) -> io::Result<()> {
    let mut archive =
        ZipArchive::new(io::BufReader::new(File::open(wheel)?)).map_err(io::Error::other)?;
    for position in 0..archive.len() {
        let mut member = archive.by_index(position).map_err(io::Error::other)?;
        let Some(place) = member.enclosed_name().and_then(|name| place(&name, os)) else {
            continue;
        };
        let path = library.join(place);
        let parent = path.parent().unwrap_or(library);
        fs::create_dir_all(parent)?;
        let mut file = File::create(&path)?;
        io::copy(&mut member, &mut file)?;
        file.sync_all()?;
        sync_dir(parent)?;
    }
    sync_dir(library)
}

/// Where a member of a wheel goes, or `None` if it is not needed.
fn place(member: &Path, os: Os) -> Option<PathBuf> {
    let parts: Vec<&str> = member
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect::<Option<_>>()?;
    match parts.as_slice() {
        ["onnxruntime", name @ ("LICENSE" | "ThirdPartyNotices.txt")] => Some(PathBuf::from(name)),
        ["onnxruntime", "capi", name] => {
            let wanted =
                os.library_version(name).is_some() || name.contains("onnxruntime_providers_");
            wanted.then(|| PathBuf::from(name))
        }
        // cuBLAS as a drop-in BLAS and an alternative compiler: nobody here opens them.
        ["nvidia", _, "lib", name] if name.contains(".alt.") || name.starts_with("libnvblas") => {
            None
        }
        ["nvidia", _, "lib", name] => name.contains(".so").then(|| member.to_owned()),
        [information, .., "License.txt" | "LICENSE.txt"] => {
            let package = information.strip_suffix(".dist-info")?;
            Some(PathBuf::from("licenses").join(format!("{package}.txt")))
        }
        _ => None,
    }
}

/// Renames the finished directory into its place; another process may have been faster.
fn publish(library: &Path, target: &Path, is_ready: &dyn Fn() -> bool) -> Result<()> {
    let Err(first) = fs::rename(library, target) else {
        return sync_parent(target);
    };
    if is_ready() {
        return Ok(());
    }
    // What lies there is damaged (a file was deleted by hand): move it aside, into our own staging directory.
    let aside = library.with_file_name("damaged");
    fs::rename(target, aside)
        .and_then(|()| fs::rename(library, target))
        .map_err(|_| cache_error(target, first))
        .or_else(|error| if is_ready() { Ok(()) } else { Err(error) })?;
    sync_parent(target)
}

fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    sync_dir(parent).map_err(|error| cache_error(parent, error))
}

/// Makes new names in a directory survive a power cut, where the system can.
pub(super) fn sync_dir(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()
    } else {
        Ok(())
    }
}

fn cache_error(path: &Path, error: io::Error) -> Error {
    Error::output("write into the cache")
        .with("path", path.display())
        .source(error)
}
