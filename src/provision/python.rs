//! The user's Python: asked where a package lies, and for its pip.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::{
    Surroundings,
    wheels::{PYTHON_ABI, PYTHON_VERSION, Wheel},
};
use crate::error::{Error, Result};

/// Prints the package's directories, one a line, without importing it. The first entry of the path is
/// dropped: with `-c` it is the current directory, which may hold anything.
const FIND_PACKAGE: &str = "\
import importlib.util, sys
sys.path = [p for p in sys.path if p]
spec = importlib.util.find_spec(sys.argv[1])
for place in (spec.submodule_search_locations or []) if spec else []:
    print(place)
";

/// What pip writes, and what helps; the first that fits. (A network that fails also ends in "No matching".)
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &["DO NOT MATCH", "hashes"],
        "the index offers another file than the pinned one: use another index, or `--onnxruntime PATH`",
    ),
    (
        &[
            "NewConnectionError",
            "ConnectTimeout",
            "Read timed out",
            "ProxyError",
            "Max retries",
            "SSLError",
            // The index names no file at all: most often it was not reached.
            "(from versions: none)",
        ],
        "check the network, or set PIP_INDEX_URL or PIP_PROXY; without a network, `--onnxruntime PATH`",
    ),
    (
        &["No matching distribution"],
        "the package index lacks this release: check PIP_INDEX_URL, upgrade pip, or use `--onnxruntime PATH`",
    ),
    (
        &["No space left"],
        "free some space, or set CLIP_FILTER_CACHE and TMPDIR to a larger disk",
    ),
];

/// A Python interpreter that answers.
#[derive(Debug)]
pub(super) struct Interpreter(OsString);

impl Interpreter {
    /// The one that was named, else that of the environment, else the first on the `PATH`.
    pub(super) fn find(surroundings: &Surroundings) -> Result<Self> {
        let candidates = candidates(surroundings);
        // Windows puts a stub named python there that only opens a shop: it fails.
        if let Some(works) = candidates
            .iter()
            .find(|name| answers(name, &["-c", "pass"]))
        {
            return Ok(Self(works.clone()));
        }
        let names: Vec<_> = candidates
            .iter()
            .map(|name| name.to_string_lossy())
            .collect();
        Err(Error::runtime("run Python")
            .with("tried", names.join(", "))
            .hint("install Python 3 with pip, or name it: CLIP_FILTER_PYTHON=/path/to/python"))
    }

    /// The first that has pip (environments made by uv have none), else the first that answers.
    pub(super) fn with_pip(surroundings: &Surroundings) -> Result<Self> {
        let mut candidates = candidates(surroundings).into_iter();
        match candidates.find(|name| answers(name, &["-m", "pip", "--version"])) {
            Some(python) => Ok(Self(python)),
            None => Self::find(surroundings),
        }
    }

    /// The directories of an installed package; empty if it is not installed.
    pub(super) fn package_dirs(&self, package: &str) -> Result<Vec<PathBuf>> {
        let output = self.run(["-c", FIND_PACKAGE, package].map(OsString::from).to_vec())?;
        if !output.status.success() {
            return Err(Error::runtime("ask Python for a package")
                .with("python", self.0.to_string_lossy())
                .with("package", package)
                .with("answer", last_lines(&output)));
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(PathBuf::from)
            .collect())
    }

    /// Runs a script that answers by files.
    pub(super) fn script(&self, script: &str, arguments: &[&str]) -> Result<()> {
        let all = ["-c", script].into_iter().chain(arguments.iter().copied());
        let arguments = all.map(OsString::from);
        let output = self.run(arguments.collect())?;
        if output.status.success() {
            return Ok(());
        }
        let python = self.0.to_string_lossy();
        let error = Error::runtime("prepare pairs by the model's own Python stack")
            .with("python", &python)
            .with("answer", last_lines(&output));
        let answer = String::from_utf8_lossy(&output.stderr);
        Err(match answer.contains("No module named") || answer.contains("requires the") {
            true => error.hint(format!(
                "`{python} -m pip install transformers pillow numpy` (open_clip_torch for models of open_clip), or name a Python that has them: CLIP_FILTER_PYTHON"
            )),
            false => error,
        })
    }

    /// Downloads one wheel into `directory` with pip, which checks its hash; returns the file.
    pub(super) fn download(&self, wheel: &Wheel, directory: &Path) -> Result<PathBuf> {
        let into = directory.join("wheel");
        let requirements = directory.join("requirements.txt");
        let line = format!(
            "{}=={} --hash=sha256:{}\n",
            wheel.package, wheel.version, wheel.sha256
        );
        fs::create_dir_all(&into)
            .and_then(|()| fs::write(&requirements, line))
            .map_err(|error| {
                Error::output("write into the cache")
                    .with("path", into.display())
                    .source(error)
            })?;

        let mut arguments: Vec<OsString> = ["-m", "pip", "download", "--quiet", "--no-input"]
            .into_iter()
            .chain([
                "--disable-pip-version-check",
                "--no-deps",
                "--only-binary=:all:",
            ])
            .chain([
                "--python-version",
                PYTHON_VERSION,
                "--implementation",
                "cp",
                "--abi",
                PYTHON_ABI,
            ])
            .chain([
                "--platform",
                wheel.platform,
                "--require-hashes",
                "--requirement",
            ])
            .map(OsString::from)
            .collect();
        arguments.extend([
            requirements.into_os_string(),
            "--dest".into(),
            into.clone().into_os_string(),
        ]);
        let output = self.run(arguments)?;
        if !output.status.success() {
            return Err(self.pip_failed(wheel, &output));
        }
        only_wheel(&into).ok_or_else(|| {
            Error::runtime("find the wheel that pip downloaded")
                .with("package", format!("{}=={}", wheel.package, wheel.version))
                .with("directory", into.display())
        })
    }

    fn run(&self, arguments: Vec<OsString>) -> Result<Output> {
        Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| {
                Error::runtime("run Python")
                    .with("python", self.0.to_string_lossy())
                    .source(error)
            })
    }

    fn pip_failed(&self, wheel: &Wheel, output: &Output) -> Error {
        let python = self.0.to_string_lossy();
        let package = format!("{}=={}", wheel.package, wheel.version);
        let answer = String::from_utf8_lossy(&output.stderr);
        let says = |words: &[&str]| words.iter().any(|word| answer.contains(word));
        let hint = if says(&["No module named pip"]) {
            format!(
                "give this Python its pip: `{python} -m ensurepip --upgrade`, or install python3-pip"
            )
        } else {
            let known = REMEDIES.iter().find(|(words, _)| says(words));
            known
                .map_or(
                    "`pip install onnxruntime`, or `--onnxruntime PATH`",
                    |(_, hint)| hint,
                )
                .to_owned()
        };
        Error::runtime("download ONNX Runtime with pip")
            .with("python", python)
            .with("package", package)
            .with("pip says", last_lines(output))
            .hint(hint)
    }
}

fn candidates(surroundings: &Surroundings) -> Vec<OsString> {
    if let Some(python) = &surroundings.python {
        return vec![python.into()];
    }
    let mut found: Vec<OsString> = [&surroundings.virtual_env, &surroundings.conda_prefix]
        .into_iter()
        .flatten()
        .flat_map(|root| {
            ["bin/python", "Scripts/python.exe", "python.exe"].map(|name| root.join(name))
        })
        .filter(|path| path.is_file())
        .map(PathBuf::into_os_string)
        .collect();
    found.extend(["python3", "python"].map(OsString::from));
    // Hidden behind an environment that is on the `PATH`.
    if cfg!(unix) {
        found.push("/usr/bin/python3".into());
    }
    found
}

fn answers(python: &OsString, arguments: &[&str]) -> bool {
    Command::new(python)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn only_wheel(directory: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(directory)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

/// The end of what a child wrote, where the reason is.
fn last_lines(output: &Output) -> String {
    const LINES: usize = 4;
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    match lines.as_slice() {
        [] => format!("nothing ({})", output.status),
        lines => lines[lines.len().saturating_sub(LINES)..].join(" | "),
    }
}
