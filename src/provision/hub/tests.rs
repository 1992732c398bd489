//! Models from a hub, against a server on loopback.

#![cfg(feature = "hub")]
//! Against a hub on the loopback interface that serves one tiny repository.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{download::Patience, *};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NEXT_COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";
/// How long another process holds a lock; beyond 5 s the client itself gives up and is called again.
const HELD_MS: u64 = 300;
/// No test needs as many.
const MAX_REQUESTS: usize = 100;

/// What the hub does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Truncate,
    Alter,
    Stall,
    Status(u16),
    NoGraphs,
    NotAHub,
}

/// `(path, content, large)`; large files are redirected to another address, as the real hub does.
const FILES: &[(&str, &str, bool)] = &[
    ("README.md", "# tiny", false),
    ("config.json", "{}", false),
    ("onnx/model.onnx", "combined", true),
    ("onnx/text_model.onnx", "text tower", true),
    ("onnx/text_model_fp16.onnx", "text tower in half", true),
    ("onnx/vision_model.onnx", "vision tower", true),
    (
        "onnx/vision_model.onnx_data",
        "weights of the vision tower",
        true,
    ),
    ("onnx/vision_model_fp16.onnx", "vision tower in half", true),
    ("preprocessor_config.json", "{\"size\": 8}", false),
    ("tokenizer.json", "{\"model\": {}}", false),
];

struct FakeHub {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    fault: Mutex<Fault>,
    commit: Mutex<&'static str>,
    requests: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl FakeHub {
    fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            fault: Mutex::new(fault),
            commit: Mutex::new(COMMIT),
            requests: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().take(MAX_REQUESTS) {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                // A client that went away is none of the server's business.
                let _ = stream.and_then(|stream| shared.answer(stream, address));
            }
        });
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }

    fn set(&self, fault: Fault) {
        *self.state.fault.lock().unwrap() = fault;
    }

    fn spec(&self, text: &str) -> HubSpec {
        HubSpec {
            endpoint: Some(format!("http://{}", self.address)),
            ..text.parse().unwrap()
        }
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn hex_sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl State {
    fn answer(&self, stream: TcpStream, address: SocketAddr) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while reader.read_line(&mut head)? > 2 {}
        let target = head.split(' ').nth(1).unwrap_or("").to_owned();
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
                .next()
        };
        let login = header("authorization")
            .map(|value| format!(" [{value}]"))
            .unwrap_or_default();
        self.requests
            .lock()
            .unwrap()
            .push(format!("{target}{login}"));
        let start = header("range").and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .split('-')
                .next()?
                .parse()
                .ok()
        });
        let whole = header("range").is_none_or(|range| range.ends_with('-'));
        let (fault, commit) = (*self.fault.lock().unwrap(), *self.commit.lock().unwrap());
        let mut stream = reader.into_inner();
        if let Fault::Status(status) = fault {
            return reply(&mut stream, &format!("{status} No"), "", b"");
        }
        if target.starts_with("/api/models/org/tiny/revision/") {
            let body = if fault == Fault::NotAHub {
                "<html>".to_owned()
            } else {
                listing(fault, commit)
            };
            return reply(
                &mut stream,
                "200 OK",
                "Content-Type: application/json\r\n",
                body.as_bytes(),
            );
        }
        let file = FILES
            .iter()
            .find(|(path, ..)| target.ends_with(&format!("/{path}")));
        let Some((path, content, large)) = file else {
            return reply(&mut stream, "404 Not Found", "", b"");
        };
        let etag = if *large {
            hex_sha256(content)
        } else {
            hex_sha256(content)[..40].to_owned()
        };
        let known = format!("ETag: \"{etag}\"\r\nX-Repo-Commit: {commit}\r\n");
        if *large && target.starts_with("/org/tiny/resolve/") {
            let more =
                format!("X-Linked-Etag: \"{etag}\"\r\nLocation: http://{address}/store/{path}\r\n");
            return reply(&mut stream, "302 Found", &format!("{known}{more}"), b"");
        }
        if *path == "config.json" && target.starts_with("/org/tiny/resolve/") {
            let more = "Location: /moved/config.json\r\n";
            return reply(
                &mut stream,
                "307 Temporary Redirect",
                &format!("{known}{more}"),
                b"",
            );
        }
        let content = if fault == Fault::Alter {
            content.replace('t', "T")
        } else {
            (*content).to_owned()
        };
        let start: usize = start.unwrap_or(0).min(content.len());
        let body = if whole {
            &content.as_bytes()[start..]
        } else {
            &content.as_bytes()[..1]
        };
        let range = format!(
            "Content-Range: bytes {start}-{}/{}\r\n",
            content.len() - 1,
            content.len()
        );
        if whole && *large && matches!(fault, Fault::Truncate | Fault::Stall) {
            let length = format!(
                "HTTP/1.1 206 Partial Content\r\n{range}Content-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(length.as_bytes())?;
            stream.write_all(&body[..body.len().min(3)])?;
            stream.flush()?;
            if fault == Fault::Stall {
                thread::sleep(Duration::from_millis(900));
            }
            return Ok(());
        }
        reply(
            &mut stream,
            "206 Partial Content",
            &format!("{known}{range}"),
            body,
        )
    }
}

fn reply(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}

fn listing(fault: Fault, commit: &str) -> String {
    let files = FILES
        .iter()
        .filter(|(path, ..)| fault != Fault::NoGraphs || !path.ends_with(".onnx"));
    let siblings: Vec<_> = files
        .map(|(path, content, large)| {
            let id = &hex_sha256(content)[..40];
            let mut file = serde_json::json!({"rfilename": path, "size": content.len(), "blobId": id});
            if *large {
                file["lfs"] = serde_json::json!({"sha256": hex_sha256(content), "size": content.len(), "pointerSize": 1});
            }
            file
        })
        .collect();
    serde_json::json!({"id": "org/tiny", "sha": commit, "siblings": siblings}).to_string()
}

fn surroundings(root: &Path) -> Surroundings {
    Surroundings {
        cache: Some(root.join("own")),
        hub_cache: Some(root.join("hub")),
        ..Surroundings::default()
    }
}

fn names(model: &HubModel) -> Vec<&str> {
    model.files.iter().map(|file| file.name.as_str()).collect()
}

const CHOSEN: [&str; 6] = [
    "config.json",
    "onnx/text_model.onnx",
    "onnx/vision_model.onnx",
    "onnx/vision_model.onnx_data",
    "preprocessor_config.json",
    "tokenizer.json",
];

#[test]
fn a_model_is_fetched_once() {
    let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(Fault::None));
    let (surroundings, spec) = (surroundings(root.path()), hub.spec("hf:org/tiny"));
    let mut said = Vec::new();
    let model = fetch_model(&surroundings, &spec, &mut |line| said.push(line.to_owned())).unwrap();
    assert_eq!(
        said,
        ["fetching hf:org/tiny at commit 0123456 (fp32): 6 files, 75 B"]
    );
    assert_eq!(
        (model.revision.as_str(), model.precision.as_str()),
        (COMMIT, "fp32")
    );
    assert_eq!(names(&model), CHOSEN);
    for file in &model.files {
        let (_, content, _) = FILES.iter().find(|(path, ..)| *path == file.name).unwrap();
        assert_eq!(
            fs::read_to_string(model.directory.join(&file.name)).unwrap(),
            *content
        );
        assert_eq!(
            (file.bytes, &file.sha256),
            (content.len() as u64, &hex_sha256(content))
        );
    }
    assert!(
        model
            .directory
            .ends_with(format!("models--org--tiny/snapshots/{COMMIT}"))
    );
    assert!(!hub.requests().is_empty());

    let mut quiet = |line: &str| panic!("said {line}");
    assert_eq!(
        fetch_model(&surroundings, &spec, &mut quiet).unwrap(),
        model
    );
    let offline = Surroundings {
        offline: true,
        ..surroundings.clone()
    };
    assert_eq!(fetch_model(&offline, &spec, &mut quiet).unwrap(), model);
    let other = HubSpec {
        precision: Some("fp32".to_owned()),
        ..spec.clone()
    };
    assert_eq!(fetch_model(&offline, &other, &mut quiet).unwrap(), model);
    assert_eq!(hub.requests(), Vec::<String>::new());

    fs::remove_file(model.directory.join("tokenizer.json")).unwrap();
    assert_eq!(
        fetch_model(&surroundings, &spec, &mut |_| {}).unwrap(),
        model
    );
    assert_eq!(
        hub.requests(),
        ["/api/models/org/tiny/revision/main?blobs=true"],
        "the content was still there"
    );
}

#[test]
fn what_python_has_downloaded_is_used() {
    let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(Fault::None));
    let spec = hub.spec("hf:org/tiny");
    fetch_model(&surroundings(root.path()), &spec, &mut |_| {}).unwrap();
    hub.requests();
    // As Python leaves it: no record of ours, and the branch has moved without changing these files.
    let other = Surroundings {
        cache: Some(root.path().join("another")),
        ..surroundings(root.path())
    };
    *hub.state.commit.lock().unwrap() = NEXT_COMMIT;
    let mut quiet = |line: &str| panic!("said {line}");
    let offline = fetch_model(
        &Surroundings {
            offline: true,
            ..other.clone()
        },
        &spec,
        &mut quiet,
    )
    .unwrap();
    assert_eq!(
        (offline.revision.as_str(), hub.requests().len()),
        (COMMIT, 0)
    );
    // It may be less than the repository has, so a run with a network looks again.
    assert!(!other.cache.as_ref().unwrap().exists());
    let named = hub.spec(&format!("hf:org/tiny@{COMMIT}"));
    assert_eq!(
        fetch_model(
            &Surroundings {
                offline: true,
                ..other.clone()
            },
            &named,
            &mut quiet
        )
        .unwrap(),
        offline
    );

    let newer = HubSpec {
        precision: Some("fp32".to_owned()),
        ..spec
    };
    if cfg!(unix) {
        let model = fetch_model(&other, &newer, &mut quiet).unwrap();
        assert_eq!(
            (model.revision.as_str(), model.files),
            (NEXT_COMMIT, offline.files)
        );
        assert_eq!(hub.requests().len(), 1);
    }
}

#[test]
fn offline_says_what_is_missing() {
    let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(Fault::None));
    let offline = Surroundings {
        offline: true,
        ..surroundings(root.path())
    };
    let spec = hub.spec("hf:org/tiny");
    let report = fetch_model(&offline, &spec, &mut |_| {})
        .unwrap_err()
        .report();
    assert!(
        report.contains("missing: revision main") && report.contains("run once with a network"),
        "{report}"
    );

    fetch_model(&surroundings(root.path()), &spec, &mut |_| {}).unwrap();
    hub.requests();
    let half = HubSpec {
        precision: Some("fp16".to_owned()),
        ..spec
    };
    let report = fetch_model(&offline, &half, &mut |_| {})
        .unwrap_err()
        .report();
    assert!(
        report.contains("missing: this precision; there is fp32"),
        "{report}"
    );
    assert_eq!(hub.requests(), Vec::<String>::new());
}

#[test]
fn a_download_that_broke_off_is_resumed() {
    let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(Fault::Truncate));
    let (surroundings, spec) = (surroundings(root.path()), hub.spec("hf:org/tiny"));
    let report = fetch_model(&surroundings, &spec, &mut |_| {})
        .unwrap_err()
        .report();
    assert!(
        report.contains("reach the hub") && report.contains("what was received is kept"),
        "{report}"
    );
    hub.set(Fault::None);
    assert_eq!(
        names(&fetch_model(&surroundings, &spec, &mut |_| {}).unwrap()),
        CHOSEN
    );
}

#[test]
fn an_altered_file_is_refused_and_forgotten() {
    let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(Fault::Alter));
    let (surroundings, spec) = (surroundings(root.path()), hub.spec("hf:org/tiny"));
    let report = fetch_model(&surroundings, &spec, &mut |_| {})
        .unwrap_err()
        .report();
    assert!(report.contains("not what the hub announced"), "{report}");
    assert!(report.contains(&hex_sha256("text tower")), "{report}");
    hub.set(Fault::None);
    let model = fetch_model(&surroundings, &spec, &mut |_| {}).unwrap();
    assert_eq!(
        fs::read_to_string(model.directory.join("onnx/text_model.onnx")).unwrap(),
        "text tower"
    );
}

#[test]
fn a_hub_that_stalls_is_given_up() {
    let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(Fault::Stall));
    let (surroundings, spec) = (surroundings(root.path()), hub.spec("hf:org/tiny"));
    let short = Duration::from_millis(100);
    let patience = Patience {
        reply: Duration::from_secs(5),
        stall: short * 3,
        report: short,
    };
    let (cache, started) = (
        ModelCache::new(&surroundings, &spec).unwrap(),
        Instant::now(),
    );
    let mut lines = 0;
    let report = remote::fetch(&cache, &spec, &patience, &mut |_| lines += 1)
        .unwrap_err()
        .report();
    assert!(
        report.contains("no byte for") && report.contains("file: onnx/text_model.onnx"),
        "{report}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(5) && lines >= 2,
        "{lines} lines"
    );
}

#[test]
fn refusals_say_what_to_do() {
    let cases = [
        (Fault::Status(401), "set HF_TOKEN"),
        (Fault::Status(403), "set HF_TOKEN"),
        (Fault::Status(404), "check the name"),
        (Fault::Status(429), "wait a few minutes"),
        (Fault::Status(503), "try again later"),
        (
            Fault::NoGraphs,
            "optimum-cli export onnx --model org/tiny DIR",
        ),
        (Fault::NotAHub, "check HF_ENDPOINT"),
    ];
    for (fault, remedy) in cases {
        let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(fault));
        let error = fetch_model(
            &surroundings(root.path()),
            &hub.spec("hf:org/tiny"),
            &mut |_| {},
        )
        .unwrap_err();
        assert!(
            error.report().contains(remedy),
            "{fault:?}: {}",
            error.report()
        );
    }
    let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(Fault::None));
    let spec = HubSpec {
        precision: Some("q4".to_owned()),
        ..hub.spec("hf:org/tiny")
    };
    let report = fetch_model(&surroundings(root.path()), &spec, &mut |_| {})
        .unwrap_err()
        .report();
    assert!(
        report.contains("there is fp16, fp32") && report.contains("--precision"),
        "{report}"
    );
    let spec = hub.spec("hf:org/tiny");
    drop(hub);
    let report = fetch_model(&surroundings(root.path()), &spec, &mut |_| {})
        .unwrap_err()
        .report();
    assert!(
        report.contains("reach the hub") && report.contains("check the network"),
        "{report}"
    );
}

#[test]
fn a_file_that_another_process_fetches_is_waited_for() {
    let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(Fault::None));
    let blobs = root.path().join("hub/models--org--tiny/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let lock = fs::File::create(blobs.join(format!("{}.lock", hex_sha256("text tower")))).unwrap();
    lock.lock().unwrap();
    let held = Duration::from_millis(HELD_MS);
    let holder = thread::spawn(move || {
        thread::sleep(held);
        drop(lock);
    });
    let started = Instant::now();
    let model = fetch_model(
        &surroundings(root.path()),
        &hub.spec("hf:org/tiny"),
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(names(&model), CHOSEN);
    assert!(started.elapsed() >= held);
    holder.join().unwrap();
}

#[test]
fn two_at_once_both_end_with_a_whole_model() {
    let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(Fault::None));
    let (surroundings, spec) = (surroundings(root.path()), hub.spec("hf:org/tiny"));
    let models: Vec<_> = thread::scope(|scope| {
        let fetch = || fetch_model(&surroundings, &spec, &mut |_| {}).unwrap();
        let threads = [scope.spawn(fetch), scope.spawn(fetch)];
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(models[0], models[1]);
    assert_eq!(names(&models[0]), CHOSEN);
}

#[test]
fn the_token_goes_to_the_hub() {
    let (root, hub) = (TempDir::new().unwrap(), FakeHub::start(Fault::None));
    let spec = HubSpec {
        token: Some("hf_secret\n".to_owned()),
        ..hub.spec("hf:org/tiny")
    };
    fetch_model(&surroundings(root.path()), &spec, &mut |_| {}).unwrap();
    let requests = hub.requests();
    assert!(requests[0].ends_with("[Bearer hf_secret]"), "{requests:?}");
}
