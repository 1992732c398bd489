//! Where ONNX Runtime is looked for, and how it is fetched.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    fetch::{Order, fetch_wheels},
    search::{look_in, search},
    version::{Os, Platform},
    wheels::{Wheel, pinned},
    *,
};

const LINUX: Platform = Platform {
    os: Os::Linux,
    name: "linux-x86_64",
};

fn touch(path: &Path) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, path.to_string_lossy().as_bytes()).unwrap();
    path.to_owned()
}

/// Nothing anywhere, and a Python that does not exist.
fn bare(root: &Path) -> Surroundings {
    Surroundings {
        cache: Some(root.join("cache")),
        offline: true,
        executable_dir: Some(root.join("bin")),
        python: Some(root.join("no-python").to_string_lossy().into_owned()),
        library_dirs: vec![root.join("usr/lib"), root.join("lib")],
        ..Surroundings::default()
    }
}

fn found(surroundings: &Surroundings, flavor: Flavor) -> Option<PathBuf> {
    search(surroundings, flavor, &LINUX)
        .ok()
        .map(|library| library.path)
}

#[test]
fn places_are_searched_in_order() {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    let surroundings = Surroundings {
        virtual_env: Some(at("venv")),
        conda_prefix: Some(at("conda")),
        ..bare(root.path())
    };
    assert_eq!(found(&surroundings, Flavor::Cpu), None);
    let later_to_earlier = [
        ("usr/lib/libonnxruntime.so.1.24.0", "system loader"),
        (
            "conda/lib/python3.13/site-packages/onnxruntime/capi/libonnxruntime.so.1.25.0",
            "Python environment",
        ),
        (
            "venv/lib/python3.12/site-packages/onnxruntime/capi/libonnxruntime.so.1.26.0",
            "Python environment",
        ),
        (
            "cache/onnxruntime/1.31.1-cuda-linux-x86_64/libonnxruntime.so.1.31.1",
            "user cache",
        ),
        (
            "cache/onnxruntime/1.27.0-cpu-linux-x86_64/libonnxruntime.so.1.27.0",
            "user cache",
        ),
        (
            "cache/onnxruntime/1.32.0-cpu-linux-x86_64/libonnxruntime.so.1.32.0",
            "user cache",
        ),
        ("bin/libonnxruntime.so", "beside the program"),
    ];
    // What never counts: another platform, a directory that is being filled, a provider alone.
    touch(&at(
        "cache/onnxruntime/1.99.0-cpu-linux-aarch64/libonnxruntime.so.1.99.0",
    ));
    touch(&at(
        "cache/onnxruntime/.fetch-abc/library/libonnxruntime.so.1.99.0",
    ));
    touch(&at("bin/libonnxruntime_providers_shared.so"));
    for (name, origin) in later_to_earlier {
        let path = touch(&at(name));
        let library = search(&surroundings, Flavor::Cpu, &LINUX).unwrap();
        assert_eq!((library.path, library.origin), (path, origin));
    }
}

#[test]
fn the_path_that_was_named_is_taken_or_refused() {
    let root = TempDir::new().unwrap();
    let path = touch(&root.path().join("build/lib/libonnxruntime.so.1.24.0"));
    touch(&root.path().join("bin/libonnxruntime.so.1.32.0"));
    let with = |name: &str| Surroundings {
        explicit: Some(root.path().join(name)),
        ..bare(root.path())
    };
    if Platform::current().os == Os::Linux {
        for name in ["build", "build/lib", "build/lib/libonnxruntime.so.1.24.0"] {
            assert_eq!(
                find_onnxruntime(&with(name), Flavor::Cpu).unwrap().path,
                path,
                "{name}"
            );
        }
    }
    let error =
        find_or_fetch_onnxruntime(&with("elsewhere"), Flavor::Cpu, &mut |_| {}).unwrap_err();
    assert!(
        error
            .report()
            .contains("reason: there is no such file or directory"),
        "{}",
        error.report()
    );
    let error = find_onnxruntime(&with("usr"), Flavor::Cpu).unwrap_err();
    assert!(
        error.report().contains("there is no such file"),
        "{}",
        error.report()
    );
    let error = find_onnxruntime(&with("bin"), Flavor::Cuda).unwrap_err();
    assert!(
        error
            .report()
            .contains("has no libonnxruntime_providers_cuda"),
        "{}",
        error.report()
    );
}

#[cfg(unix)]
#[test]
fn an_old_library_is_passed_over_even_behind_a_link() {
    let root = TempDir::new().unwrap();
    touch(&root.path().join("usr/lib/libonnxruntime.so.1.21.0"));
    std::os::unix::fs::symlink(
        "libonnxruntime.so.1.21.0",
        root.path().join("usr/lib/libonnxruntime.so"),
    )
    .unwrap();
    let tried = search(&bare(root.path()), Flavor::Cpu, &LINUX).unwrap_err();
    let system = tried
        .iter()
        .find(|tried| tried.place == "system loader")
        .unwrap();
    assert!(
        system
            .reason
            .contains("is too old: 1.21.0, needed is 1.24.0 or later"),
        "{}",
        system.reason
    );

    let newer = touch(&root.path().join("lib/libonnxruntime.so.1.24.1"));
    assert_eq!(found(&bare(root.path()), Flavor::Cpu), Some(newer));
}

#[test]
fn without_a_library_every_place_is_named() {
    let root = TempDir::new().unwrap();
    let error =
        find_or_fetch_onnxruntime(&bare(root.path()), Flavor::Cpu, &mut |_| {}).unwrap_err();
    let report = error
        .report()
        .replace(&root.path().display().to_string(), "ROOT")
        .replace('\\', "/");
    let expected = "failed to find ONNX Runtime 1.24 or later
  beside the program: no such directory: ROOT/bin
  user cache: ROOT/cache/onnxruntime holds none
  Python environment: run Python (tried: ROOT/no-python)
  system loader: no ONNX Runtime in ROOT/usr/lib, ROOT/lib
  pip: not asked: --offline forbids it
  try: `clip-filter setup` (fetches it), or `pip install onnxruntime`, or `--onnxruntime PATH`";
    assert_eq!(report, expected);

    let online = Surroundings {
        offline: false,
        ..bare(root.path())
    };
    let report = find_or_fetch_onnxruntime(&online, Flavor::Cpu, &mut |_| {})
        .unwrap_err()
        .report();
    for place in [
        "run Python",
        "beside the program",
        "user cache",
        "Python environment",
        "system loader",
    ] {
        assert!(report.contains(place), "{place}: {report}");
    }
}

#[test]
fn names_of_other_systems_are_known() {
    let root = TempDir::new().unwrap();
    let mac = touch(&root.path().join("mac/libonnxruntime.1.32.0.dylib"));
    let windows = touch(&root.path().join("windows/onnxruntime.dll"));
    let look = |name: &str, os| {
        look_in(&root.path().join(name), Flavor::Cpu, os, "test").map(|library| library.path)
    };
    assert_eq!(look("mac", Os::Mac), Ok(mac));
    assert_eq!(look("windows", Os::Windows), Ok(windows));
    assert!(look("mac", Os::Linux).is_err());
}

#[test]
fn cuda_libraries_are_listed_dependencies_first() {
    let root = TempDir::new().unwrap();
    let site = root.path().join("venv/lib/python3.12/site-packages");
    let surroundings = Surroundings {
        virtual_env: Some(root.path().join("venv")),
        ..bare(root.path())
    };
    touch(&site.join("onnxruntime/capi/libonnxruntime.so.1.31.1"));
    let tried = search(&surroundings, Flavor::Cuda, &LINUX).unwrap_err();
    assert!(
        tried[2]
            .reason
            .contains("has no libonnxruntime_providers_cuda.so beside it"),
        "{tried:?}"
    );

    touch(&site.join("onnxruntime/capi/libonnxruntime_providers_cuda.so"));
    assert_eq!(
        search(&surroundings, Flavor::Cuda, &LINUX).unwrap().preload,
        Vec::<PathBuf>::new()
    );
    let files = [
        "cu13/lib/libcublas.so.13",
        "cu13/lib/libcublasLt.so.13",
        "cu13/lib/libcudart.so.13",
        "cu13/lib/libcurand.so.10",
        "cu13/lib/libnvrtc-builtins.so.13.0",
        "cu13/lib/libnvrtc.so.13",
        "cudnn/lib/libcudnn.so.9",
        "cudnn/lib/libcudnn_graph.so.9",
        // Of CUDA 12, installed beside it for something else.
        "cublas/lib/libcublas.so.12",
        "curand/lib/libcurand.so.10",
    ];
    files
        .iter()
        .for_each(|name| drop(touch(&site.join("nvidia").join(name))));
    let preload = search(&surroundings, Flavor::Cuda, &LINUX).unwrap().preload;
    let names: Vec<_> = preload
        .iter()
        .map(|path| path.strip_prefix(site.join("nvidia")).unwrap())
        .collect();
    let expected = [
        "cu13/lib/libcudart.so.13",
        "cu13/lib/libnvrtc-builtins.so.13.0",
        "cu13/lib/libnvrtc.so.13",
        "cu13/lib/libcublasLt.so.13",
        "cu13/lib/libcublas.so.13",
        "cu13/lib/libcurand.so.10",
        "cudnn/lib/libcudnn.so.9",
        "cudnn/lib/libcudnn_graph.so.9",
    ];
    assert_eq!(names, expected.map(Path::new));
    assert!(
        search(&surroundings, Flavor::Cpu, &LINUX)
            .unwrap()
            .preload
            .is_empty()
    );
}

#[test]
fn every_pinned_wheel_has_a_hash_and_a_size() {
    for name in [
        "linux-x86_64",
        "linux-aarch64",
        "macos-aarch64",
        "windows-x86_64",
    ] {
        for flavor in [Flavor::Cpu, Flavor::Cuda] {
            for wheel in pinned(
                flavor,
                &Platform {
                    os: Os::Linux,
                    name,
                },
            )
            .unwrap_or_default()
            {
                assert!(
                    wheel.sha256.len() == 64
                        && wheel.sha256.bytes().all(|byte| byte.is_ascii_hexdigit())
                );
                assert!(
                    wheel.bytes > 1_000_000 && !wheel.platform.is_empty(),
                    "{wheel:?}"
                );
            }
        }
    }
    assert!(
        pinned(
            Flavor::Cpu,
            &Platform {
                os: Os::Linux,
                name: "other"
            }
        )
        .is_none()
    );
}

/// A `python` that hands out a prepared wheel, and the order for it.
#[cfg(unix)]
mod fetching {
    use super::*;
    const MEMBERS: &[&str] = &[
        "onnxruntime/LICENSE",
        "onnxruntime/ThirdPartyNotices.txt",
        "onnxruntime/__init__.py",
        "onnxruntime/capi/libonnxruntime.so.1.32.0",
        "onnxruntime/capi/libonnxruntime_providers_shared.so",
        "onnxruntime/capi/onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so",
        "nvidia/cu13/lib/libcublas.so.13",
        "nvidia/cu13/lib/libnvblas.so.13",
        "nvidia/cu13/include/cublas.h",
        "nvidia_cublas-13.1.dist-info/licenses/License.txt",
    ];

    fn wheel(root: &Path) -> Wheel {
        let path = root.join("prepared.whl");
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        for name in MEMBERS
            .iter()
            .chain(&["../escaped.so", "onnxruntime/capi/../../escaped.so"])
        {
            zip.start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            zip.write_all(name.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        let sha256 = super::super::fetch::sha256(&path).unwrap().leak();
        let bytes = fs::metadata(&path).unwrap().len();
        Wheel {
            package: "onnxruntime",
            version: "1.32.0",
            platform: "manylinux_2_28_x86_64",
            sha256,
            bytes,
        }
    }

    /// A `python` that answers `-c` and runs `script` for pip, with the last argument in `$last`.
    fn python(root: &Path, script: &str) -> Surroundings {
        python_with(root, "exit 0", script)
    }

    fn python_with(root: &Path, answer: &str, script: &str) -> Surroundings {
        let path = root.join("python");
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = -c ]; then {answer}; fi\nfor last; do :; done\n{script}\n"
        );
        // A shell writes it: were it open for writing here while another test forks, it could not be run.
        let write = "printf %s \"$1\" >\"$0\" && chmod +x \"$0\"";
        let status = std::process::Command::new("sh")
            .args(["-c", write])
            .arg(&path)
            .arg(text)
            .status();
        assert!(status.unwrap().success());
        let named = Some(path.to_string_lossy().into_owned());
        Surroundings {
            offline: false,
            python: named,
            ..bare(root)
        }
    }

    fn fetch(surroundings: &Surroundings, wheel: Wheel) -> (Result<Library>, Vec<String>) {
        let mut said = Vec::new();
        let order = Order {
            flavor: Flavor::Cpu,
            platform: LINUX,
            wheels: &[wheel],
        };
        let answer = fetch_wheels(surroundings, &order, &mut |line| said.push(line.to_owned()));
        (answer, said)
    }

    fn files(directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut left = vec![directory.to_owned()];
        while let Some(next) = left.pop() {
            for entry in fs::read_dir(next).unwrap().flatten() {
                match entry.path() {
                    path if path.is_dir() => left.push(path),
                    path => found.push(
                        path.strip_prefix(directory)
                            .unwrap()
                            .to_string_lossy()
                            .into_owned(),
                    ),
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn the_library_and_its_licences_are_kept() {
        let root = TempDir::new().unwrap();
        let wheel = wheel(root.path());
        let copy = format!(
            "echo \"$@\" >>{0}/calls; cp {0}/prepared.whl \"$last\"/",
            root.path().display()
        );
        let surroundings = python(root.path(), &copy);
        let (library, said) = fetch(&surroundings, wheel);
        let library = library.unwrap();
        let directory = root
            .path()
            .join("cache/onnxruntime/1.32.0-cpu-linux-x86_64");
        assert_eq!(library.path, directory.join("libonnxruntime.so.1.32.0"));
        let expected = [
            "LICENSE",
            "ThirdPartyNotices.txt",
            "libonnxruntime.so.1.32.0",
            "libonnxruntime_providers_shared.so",
            "licenses/nvidia_cublas-13.1.txt",
            "nvidia/cu13/lib/libcublas.so.13",
        ];
        assert_eq!(files(&directory), expected);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("fetching ONNX Runtime 1.32.0 for cpu ("),
            "{said:?}"
        );
        let entries = fs::read_dir(root.path().join("cache/onnxruntime"))
            .unwrap()
            .count();
        assert_eq!(entries, 1, "the staging directory is gone");

        let (again, said) = fetch(&surroundings, wheel);
        assert_eq!((again.unwrap(), said.len()), (library, 0));
        let calls = fs::read_to_string(root.path().join("calls")).unwrap();
        let calls: Vec<&str> = calls
            .lines()
            .filter(|call| call.contains("download"))
            .collect();
        let [calls] = calls[..] else {
            panic!("{calls:?}")
        };
        for word in [
            "pip download",
            "--no-deps",
            "--require-hashes",
            "--platform manylinux_2_28_x86_64",
        ] {
            assert!(calls.contains(word), "{word}: {calls}");
        }
    }

    #[test]
    fn a_damaged_directory_is_replaced() {
        let root = TempDir::new().unwrap();
        let wheel = wheel(root.path());
        touch(
            &root
                .path()
                .join("cache/onnxruntime/1.32.0-cpu-linux-x86_64/LICENSE"),
        );
        let surroundings = python(
            root.path(),
            &format!("cp {}/prepared.whl \"$last\"/", root.path().display()),
        );
        assert!(fetch(&surroundings, wheel).0.unwrap().path.is_file());
    }

    #[test]
    fn two_at_once_both_end_with_a_whole_library() {
        let root = TempDir::new().unwrap();
        let wheel = wheel(root.path());
        let script = format!(
            "sleep 0.2; cp {}/prepared.whl \"$last\"/",
            root.path().display()
        );
        let surroundings = python(root.path(), &script);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| fetch(&surroundings, wheel).0))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for answer in answers {
            assert!(answer.unwrap().path.is_file());
        }
        assert_eq!(files(&root.path().join("cache/onnxruntime")).len(), 6);
    }

    #[test]
    fn another_file_than_the_pinned_one_is_refused() {
        let root = TempDir::new().unwrap();
        let wheel = Wheel {
            sha256: "0000",
            ..wheel(root.path())
        };
        let surroundings = python(
            root.path(),
            &format!("cp {}/prepared.whl \"$last\"/", root.path().display()),
        );
        let report = fetch(&surroundings, wheel).0.unwrap_err().report();
        assert!(
            report.contains("its hash is not the pinned one") && report.contains("expected: 0000"),
            "{report}"
        );
        assert_eq!(files(&root.path().join("cache")), Vec::<String>::new());
    }

    #[test]
    fn what_pip_says_becomes_a_remedy() {
        let cases = [
            ("python: No module named pip", "ensurepip"),
            (
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES",
                "another file than the pinned one",
            ),
            (
                "NewConnectionError: failed\nERROR: No matching distribution found",
                "check the network",
            ),
            (
                "(from versions: none)\nERROR: No matching distribution found",
                "check the network",
            ),
            (
                "ERROR: No matching distribution found for onnxruntime",
                "lacks this release",
            ),
            (
                "OSError: [Errno 28] No space left on device",
                "free some space",
            ),
        ];
        for (answer, remedy) in cases {
            let root = TempDir::new().unwrap();
            let surroundings = python(
                root.path(),
                &format!("printf '%s\\n' '{answer}' >&2; exit 1"),
            );
            let report = fetch(&surroundings, wheel(root.path()))
                .0
                .unwrap_err()
                .report();
            assert!(
                report.contains(remedy) && report.contains("pip says: "),
                "{answer}: {report}"
            );
        }
    }

    #[test]
    fn python_is_asked_where_the_package_lies() {
        let root = TempDir::new().unwrap();
        let library = touch(
            &root
                .path()
                .join("user/site/onnxruntime/capi/libonnxruntime.so.1.30.0"),
        );
        let package = root.path().join("user/site/onnxruntime");
        let answer = format!("[ \"$2\" = pass ] || echo {}; exit 0", package.display());
        let surroundings = python_with(root.path(), &answer, "exit 1");
        assert_eq!(found(&surroundings, Flavor::Cpu), Some(library));
    }

    #[test]
    fn offline_nothing_is_fetched() {
        let root = TempDir::new().unwrap();
        let surroundings = Surroundings {
            offline: true,
            ..python(root.path(), "exit 1")
        };
        let (answer, said) = fetch(&surroundings, wheel(root.path()));
        assert!(
            answer
                .unwrap_err()
                .report()
                .contains("--offline forbids it")
        );
        assert!(said.is_empty() && !root.path().join("cache").exists());
    }
}
