//! An S3 server of the test's own.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
};

use serde_json::Value;

use crate::program::{Place, ROOT, Ran, program};

/// The server, which ends with this.
pub(super) struct S3 {
    server: Child,
    talk: Mutex<Talk>,
    address: String,
}

struct Talk {
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl S3 {
    /// `None` where no Python has moto.
    pub(super) fn start() -> Option<Self> {
        let python =
            std::env::var("CLIP_FILTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let server = Command::new(python)
            .arg(Path::new(ROOT).join("tests/interop/s3.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut started = server.ok()?;
        let mut answers = BufReader::new(started.stdout.take().unwrap());
        let ask = started.stdin.take().unwrap();
        let mut address = String::new();
        answers.read_line(&mut address).unwrap();
        if address.is_empty() {
            let _ = started.wait();
            eprintln!(
                "skipped: no Python with moto[server] and boto3 (set CLIP_FILTER_TEST_PYTHON to one)"
            );
            return None;
        }
        Some(Self {
            server: started,
            talk: Mutex::new(Talk { ask, answers }),
            address: address.trim().to_owned(),
        })
    }

    fn ask(&self, words: &[&str]) -> Value {
        let mut talk = self.talk.lock().unwrap();
        writeln!(talk.ask, "{}", words.join("\t")).unwrap();
        let mut answer = String::new();
        talk.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn keys(&self, command: &str) -> Vec<String> {
        serde_json::from_value(self.ask(&[command])).unwrap()
    }

    /// Puts a file at a key of the bucket `data`.
    pub(super) fn put(&self, key: &str, file: &Path) {
        self.ask(&["put", key, file.to_str().unwrap()]);
    }

    /// Writes an object to a file.
    pub(super) fn get(&self, key: &str, file: &Path) {
        self.ask(&["get", key, file.to_str().unwrap()]);
    }

    pub(super) fn remove(&self, key: &str) {
        self.ask(&["remove", key]);
    }

    /// Keys of all objects, sorted.
    pub(super) fn list(&self) -> Vec<String> {
        self.keys("list")
    }

    /// Keys of uploads that nobody has ended.
    pub(super) fn uploads(&self) -> Vec<String> {
        self.keys("uploads")
    }

    /// The program with the mock encoder, its credentials those of the server.
    pub(super) fn program(&self, place: &Place) -> Command {
        let mut command = program();
        command
            .current_dir(place.dir())
            .env("CLIP_FILTER_MODEL", "mock")
            .env("CLIP_FILTER_THREADS", "2")
            .envs(self.environment());
        command
    }

    /// Where the server is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.address.clone()),
            ("AWS_ACCESS_KEY_ID", "k".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "s".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// Runs it; `args` are separated by white space.
    pub(super) fn run(&self, place: &Place, args: &str) -> Ran {
        let mut command = self.program(place);
        command
            .args(args.split_whitespace())
            .output()
            .unwrap()
            .into()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
