//! Runs the program as a user does.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// The repository.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The exit code must be this one.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Stderr must hold every one of `texts`.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "'{text}' is not in:\n{}",
                self.stderr
            );
        }
        self
    }

    /// The one JSON object on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", self.stdout, self.stderr))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program without the caller's settings, its streams no terminal.
pub(crate) fn program() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_clip-filter")))
}

/// `command` without any setting of the program in its environment.
pub(crate) fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CLIP_FILTER_") {
            command.env_remove(name);
        }
    }
    command.env("COLUMNS", "100").stdin(Stdio::null());
    command
}

/// A run in a directory of its own.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// The path of `name` in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A mock run in the directory; `args` are separated by white space.
    pub(crate) fn mock(&self, args: &str) -> Ran {
        self.mock_with(args, &[])
    }

    /// A mock run in the directory, `more` are arguments with white space.
    pub(crate) fn mock_with(&self, args: &str, more: &[&str]) -> Ran {
        let mut command = program();
        command
            .current_dir(self.dir())
            .env("CLIP_FILTER_MODEL", "mock")
            .env("CLIP_FILTER_THREADS", "2");
        command
            .args(args.split_whitespace())
            .args(more)
            .output()
            .unwrap()
            .into()
    }

    /// The one directory in `folder`.
    pub(crate) fn only_directory(&self, folder: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let directories: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
        assert_eq!(directories.len(), 1, "{directories:?}");
        directories[0].clone()
    }

    /// Names in the directory, hidden ones too, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// `text` with the directory's own path as `[DIR]`.
    pub(crate) fn without_path(&self, text: &str) -> String {
        text.replace(self.dir().to_str().unwrap(), "[DIR]")
    }
}

/// True where permissions do not bind this process.
pub(crate) fn is_root() -> bool {
    let uid = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&uid.stdout).trim() == "0"
}
