//! A store that speaks S3's language and ignores conditions: s3rver, of the test's own.

use std::{
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::program::{Place, ROOT, Ran, program};

/// The server, which ends with this.
struct S3rver {
    server: Child,
    port: u16,
    folder: PathBuf,
}

impl S3rver {
    /// `None` where there is no s3rver: `CLIP_FILTER_TEST_S3RVER` names it.
    fn start(place: &Place) -> Option<Self> {
        let Some(program) = std::env::var_os("CLIP_FILTER_TEST_S3RVER") else {
            eprintln!("skipped: no s3rver (set CLIP_FILTER_TEST_S3RVER to it)");
            return None;
        };
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = place.path("s3rver");
        std::fs::create_dir_all(&folder).unwrap();
        let server = Command::new(program)
            .arg("--directory")
            .arg(&folder)
            .args(["--address", "127.0.0.1", "--port", &port.to_string()])
            .args(["--silent", "--configure-bucket", "data"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let s3rver = Self {
            server,
            port,
            folder,
        };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let waited = began.elapsed();
            assert!(waited < Duration::from_secs(60), "s3rver does not answer");
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(s3rver)
    }

    fn run(&self, place: &Place, args: &str) -> Ran {
        let mut command = program();
        command
            .current_dir(place.dir())
            .env("CLIP_FILTER_MODEL", "mock")
            .env(
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", self.port),
            )
            .env("AWS_ACCESS_KEY_ID", "S3RVER")
            .env("AWS_SECRET_ACCESS_KEY", "S3RVER")
            .env("AWS_REGION", "us-east-1")
            .args(args.split_whitespace());
        command.output().unwrap().into()
    }

    /// Files of the bucket that hold objects.
    fn objects(&self) -> Vec<String> {
        let mut folders = vec![self.folder.join("data")];
        let mut objects = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(self.folder.join("data")).unwrap();
                let name = name.to_str().unwrap();
                match (path.is_dir(), name.strip_suffix("._S3rver_object")) {
                    (true, _) => folders.push(path),
                    (false, Some(object)) => objects.push(object.to_owned()),
                    (false, None) => {}
                }
            }
        }
        objects.sort();
        objects
    }
}

impl Drop for S3rver {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_store_that_ignores_conditions_takes_files_and_neither_claims_nor_directories() {
    let place = Place::new();
    let Some(s3rver) = S3rver::start(&place) else {
        return;
    };
    let sample = format!("{ROOT}/assets/sample.parquet");
    for args in [
        format!("score {sample} --scores s3://data/scores"),
        format!("{sample} out.parquet --scores s3://data/scores"),
    ] {
        s3rver.run(&place, &args).exits(1).says(&[
            "ignores conditions (If-None-Match)",
            "two processes",
            "keep the scores in a local directory",
        ]);
        assert_eq!(s3rver.objects(), [""; 0], "not even what it was tried with");
    }
    let written = |args: &str| {
        let ran = s3rver.run(&place, &format!("{args} --json"));
        ran.exits(0).json()["rows_kept"].as_u64().unwrap()
    };
    let kept = written(&format!("{sample} s3://data/out.parquet --keep 0.4"));
    assert!(kept > 50, "{kept}");
    for args in ["--keep 1", "--keep 1 --overwrite"] {
        let args = format!("s3://data/out.parquet s3://data/kept --prefix second_ {args}");
        s3rver.run(&place, &args).exits(1).says(&[
            "write the output directory: this object store ignores conditions (If-None-Match)",
            "two runs",
            "write one file",
        ]);
    }
    for mode in ["create", "append", "overwrite"] {
        let args = format!("{sample} s3://data/table --format delta --mode {mode} --keep 1");
        s3rver.run(&place, &args).exits(1).says(&[
            "write to a Delta table: this object store ignores conditions (If-None-Match)",
            "two writers",
            "a local path",
        ]);
    }
    assert_eq!(s3rver.objects(), ["out.parquet"]);
    written("s3://data/out.parquet again.parquet --keep 1 --prefix second_");
    let rows = crate::shards::read(&place.path("again.parquet")).num_rows();
    assert_eq!(rows as u64, kept);
}
