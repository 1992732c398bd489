//! An Azurite of the test's own: Azure's blobs on this machine.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::program::{Place, ROOT, Ran, program};

/// The server, which ends with this.
pub(super) struct Azure {
    server: Child,
    address: String,
}

impl Azure {
    /// `None` where there is no Azurite: `CLIP_FILTER_TEST_AZURITE` names `azurite-blob`.
    pub(super) fn start(place: &Place) -> Option<Self> {
        let Some(azurite) = std::env::var_os("CLIP_FILTER_TEST_AZURITE") else {
            eprintln!("skipped: no Azurite (set CLIP_FILTER_TEST_AZURITE to azurite-blob)");
            return None;
        };
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let server = Command::new(azurite)
            .args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"])
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
            .arg("--location")
            .arg(place.path("azurite"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let azure = Self {
            server,
            address: format!("http://127.0.0.1:{port}"),
        };
        let began = Instant::now();
        while !azure.has_container() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "Azurite does not answer"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(azure)
    }

    fn has_container(&self) -> bool {
        let python =
            std::env::var("CLIP_FILTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let made = Command::new(python)
            .arg(Path::new(ROOT).join("tests/interop/azure.py"))
            .arg(&self.address)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stderr(Stdio::null())
            .status();
        made.unwrap().success()
    }

    /// The program with the mock encoder, its credentials those of the server.
    pub(super) fn program(&self, place: &Place) -> Command {
        let mut command = program();
        command
            .current_dir(place.dir())
            .env("CLIP_FILTER_MODEL", "mock")
            .env("CLIP_FILTER_THREADS", "2")
            .env("AZURE_STORAGE_USE_EMULATOR", "true")
            .env("AZURITE_BLOB_STORAGE_URL", &self.address);
        command
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

impl Drop for Azure {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
