//! Datasets of a hub: a server of the test's own that lists and sends on as the Hugging Face hub does.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write,
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde_json::{Value, json};

use super::web::{Web, header, heads};
use crate::program::{Place, ROOT, Ran, program};

const REPO: &str = "people/pictures";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NEXT_COMMIT: &str = "fedcba9876543210fedcba9876543210fedcba98";
const TOKEN: &str = "hf_TOKENofMINE0123456789";
/// Entries of a page of a listing.
const PAGE: usize = 2;

/// What the hub has, and how it behaves.
#[derive(Default)]
struct Ways {
    /// Files of each commit, by their paths.
    commits: Mutex<BTreeMap<String, BTreeMap<String, Vec<u8>>>>,
    /// Commits by the names of revisions.
    revisions: Mutex<BTreeMap<String, String>>,
    /// The commit that `main` is once it was asked for.
    moves: Mutex<Option<String>>,
    /// What who asks without the token is told: status, code and message.
    refuses: Mutex<Option<[&'static str; 3]>>,
    /// Answers by 429 before others are answered well.
    busy: AtomicU64,
    /// Files that lie in the repository itself: they are given here, and as a whole.
    small: Mutex<Vec<String>>,
    heads: Mutex<Vec<String>>,
}

/// A hub, and the host that has the bytes of its files.
struct Hub {
    ways: Arc<Ways>,
    address: String,
    elsewhere: Web,
}

impl Hub {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (ways, elsewhere) = (Arc::<Ways>::default(), Web::start());
        let (served, files) = (Arc::clone(&ways), elsewhere.address.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (ways, files) = (Arc::clone(&served), files.clone());
                std::thread::spawn(move || {
                    heads(&stream, |head| {
                        ways.heads.lock().unwrap().push(head.to_owned());
                        ways.answer(&stream, head, &files)
                    });
                });
            }
        });
        let hub = Self {
            ways,
            address,
            elsewhere,
        };
        for (name, commit) in [("main", COMMIT), ("refs/pr/1", COMMIT), (COMMIT, COMMIT)] {
            let mut revisions = hub.ways.revisions.lock().unwrap();
            revisions.insert(name.to_owned(), commit.to_owned());
        }
        hub
    }

    /// Puts a file into a commit.
    fn put(&self, commit: &str, path: &str, bytes: &[u8]) {
        let mut commits = self.ways.commits.lock().unwrap();
        let files = commits.entry(commit.to_owned()).or_default();
        files.insert(path.to_owned(), bytes.to_vec());
        self.elsewhere
            .put(&format!("/{}", hash(bytes)), bytes.to_vec());
    }

    fn program(&self, place: &Place, args: &str) -> Command {
        let mut command = program();
        for name in ["HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"] {
            command.env_remove(name);
        }
        command
            .current_dir(place.dir())
            .env("CLIP_FILTER_MODEL", "mock")
            .env("HF_ENDPOINT", &self.address)
            .env("HF_HOME", place.path("hf"))
            .env("HF_TOKEN", TOKEN)
            .args(args.split_whitespace());
        command
    }

    fn run(&self, place: &Place, args: &str) -> Ran {
        self.program(place, args).output().unwrap().into()
    }

    fn asked(&self, what: &str) -> Vec<String> {
        let heads = self.ways.heads.lock().unwrap();
        let asked = heads.iter().filter(|head| head.contains(what));
        asked.cloned().collect()
    }
}

impl Ways {
    fn answer(&self, mut stream: &TcpStream, head: &str, elsewhere: &str) -> Option<()> {
        let mut say = |status: &str, more: &str, body: &[u8]| {
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}\r\n");
            stream.write_all(head.as_bytes()).ok()?;
            match head_only(status, more) {
                true => Some(()),
                false => stream.write_all(body).ok(),
            }
        };
        let refuse = |[status, code, message]: [&str; 3]| {
            let said = format!("X-Error-Code: {code}\r\nX-Error-Message: {message}\r\n");
            (status.to_owned(), said)
        };
        let taken = |count: &AtomicU64| {
            let less = |left: u64| left.checked_sub(1);
            count.fetch_update(Relaxed, Relaxed, less).is_ok()
        };
        if taken(&self.busy) {
            return say(
                "429 Too Many Requests",
                "RateLimit: \"api\";r=0;t=0\r\n",
                b"",
            );
        }
        if let Some(refusal) = *self.refuses.lock().unwrap()
            && header(head, "Authorization") != Some(format!("Bearer {TOKEN}"))
        {
            let (status, said) = refuse(refusal);
            return say(&status, &said, b"");
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let missing = |code| refuse(["404 Not Found", code, "it is not there"]);
        let api = format!("/api/datasets/{REPO}/");
        let resolve = format!("/datasets/{REPO}/resolve/");
        if let Some(revision) = path.strip_prefix(&format!("{api}revision/")) {
            let mut revisions = self.revisions.lock().unwrap();
            let Some(commit) = revisions.get(&revision.replace("%2F", "/")).cloned() else {
                let (status, said) = missing("RevisionNotFound");
                return say(&status, &said, b"");
            };
            if let Some(next) = self.moves.lock().unwrap().take() {
                revisions.insert("main".to_owned(), next);
            }
            let body = json!({"id": REPO, "sha": commit}).to_string();
            return say("200 OK", "", body.as_bytes());
        }
        if let Some(rest) = path.strip_prefix(&format!("{api}tree/")) {
            let (commit, folder) = rest.split_once('/').unwrap_or((rest, ""));
            let files = self.files_of(commit);
            let Some(page) = self.page(&files, folder, query) else {
                let (status, said) = missing("EntryNotFound");
                return say(&status, &said, b"");
            };
            let mut more = String::new();
            if let Some(next) = page.next {
                let host = header(head, "Host")?;
                let _ = write!(
                    more,
                    "Link: <http://{host}{path}?recursive=true&cursor={next}>; rel=\"next\"\r\n"
                );
            }
            return say("200 OK", &more, page.entries.to_string().as_bytes());
        }
        if let Some(rest) = path.strip_prefix(&resolve) {
            let (commit, name) = rest.split_once('/')?;
            let files = self.files_of(commit);
            let Some(bytes) = files.get(name) else {
                let (status, said) = missing("EntryNotFound");
                return say(&status, &said, b"");
            };
            let etag = hash(bytes);
            if self.small.lock().unwrap().contains(&name.to_owned()) {
                let about = format!("ETag: \"{etag}\"\r\nX-Repo-Commit: {commit}\r\n");
                if method == "HEAD" {
                    let length = bytes.len();
                    let head =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{about}\r\n");
                    return stream.write_all(head.as_bytes()).ok();
                }
                return say("200 OK", &about, bytes);
            }
            let about = format!(
                "X-Repo-Commit: {commit}\r\nX-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {}\r\nLocation: {elsewhere}/{etag}?sig=SIGNED\r\n",
                bytes.len()
            );
            return say("302 Found", &about, b"");
        }
        let (status, said) = missing("RepoNotFound");
        say(&status, &said, b"")
    }

    fn files_of(&self, commit: &str) -> BTreeMap<String, Vec<u8>> {
        let commits = self.commits.lock().unwrap();
        commits.get(commit).cloned().unwrap_or_default()
    }

    fn page(&self, files: &BTreeMap<String, Vec<u8>>, folder: &str, query: &str) -> Option<Page> {
        let is_below = |path: &str| match folder {
            "" => true,
            folder => path.starts_with(&format!("{folder}/")),
        };
        let mut entries: Vec<Value> = Vec::new();
        let mut folders = Vec::new();
        for (path, bytes) in files.iter().filter(|(path, _)| is_below(path)) {
            let above = path.rsplit_once('/').map(|(above, _)| above.to_owned());
            if let Some(above) = above.filter(|above| above != folder && !folders.contains(above)) {
                entries.push(json!({"type": "directory", "oid": "f", "size": 0, "path": above}));
                folders.push(above);
            }
            let mut entry = json!({
                "type": "file", "oid": hash(bytes), "size": bytes.len(), "path": path,
            });
            if !self.small.lock().unwrap().contains(path) {
                entry["oid"] = json!("of-a-pointer");
                entry["lfs"] = json!({"oid": hash(bytes), "size": bytes.len(), "pointerSize": 100});
            }
            entries.push(entry);
        }
        if entries.is_empty() {
            return None;
        }
        let cursor = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("cursor="));
        let start: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let next = (start + PAGE < entries.len()).then_some(start + PAGE);
        let page = entries.into_iter().skip(start).take(PAGE);
        Some(Page {
            entries: page.collect(),
            next,
        })
    }
}

struct Page {
    entries: Value,
    next: Option<usize>,
}

/// A redirect has no body to speak of.
fn head_only(status: &str, _: &str) -> bool {
    status.starts_with("302")
}

fn hash(bytes: &[u8]) -> String {
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    format!("{sum:032x}{:032x}", bytes.len())
}

/// The sample, in four shards of the commit and below `in/` of the place.
fn filled(place: &Place) -> Hub {
    let hub = Hub::start();
    for (number, folder) in ["a", "a", "b", "b"].into_iter().enumerate() {
        let name = format!("in/{folder}/{number}.parquet");
        let file = cut(place, &name, number * 58);
        hub.put(COMMIT, &format!("data/{folder}/{number}.parquet"), &file);
    }
    hub.put(COMMIT, "README.md", b"pictures");
    hub.ways.small.lock().unwrap().push("README.md".to_owned());
    hub
}

/// 58 rows of the sample.
fn cut(place: &Place, name: &str, from: usize) -> Vec<u8> {
    let file = place.path(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let sample = Path::new(ROOT).join("assets/sample.parquet");
    let query =
        format!("SELECT uid, image, text, caption_ok, source FROM t LIMIT 58 OFFSET {from}");
    let ran: Ran = program()
        .args(["sql", &query, "--input"])
        .arg(format!("t={}", sample.display()))
        .args(["--output", file.to_str().unwrap()])
        .output()
        .unwrap()
        .into();
    ran.exits(0);
    std::fs::read(file).unwrap()
}

/// Keys and scores of an output.
fn rows(place: &Place, path: &str) -> String {
    let mut command = program();
    command.current_dir(place.dir()).args([
        "sql",
        "SELECT uid, clip_score FROM t ORDER BY uid",
        "--format",
        "csv",
        "--input",
    ]);
    let ran: Ran = command.arg(format!("t={path}")).output().unwrap().into();
    ran.exits(0).stdout
}

#[test]
fn a_dataset_is_found_as_a_folder_is_and_its_rows_are_the_same() {
    let place = Place::new();
    let hub = filled(&place);
    place.mock("in here.parquet --keep 0.4").exits(0);
    let here = rows(&place, "here.parquet");
    let base = format!("hf://datasets/{REPO}");
    for (number, input) in [
        base.clone(),
        format!("{base}/data/"),
        format!("{base}@main/data/*/*.parquet"),
        format!("{base}@refs%2Fpr%2F1/**/*.parquet"),
        format!("{base}@refs/pr/1/data/{{a,b}}"),
        format!("{base}@{COMMIT}/data/a/{{0..1}}.parquet {base}/data/b/2.parquet {base}/data/b/3.parquet"),
    ]
    .into_iter()
    .enumerate()
    {
        let output = format!("there-{number}.parquet");
        let ran = hub.run(&place, &format!("{input} {output} --keep 0.4 --json"));
        assert_eq!(ran.exits(0).json()["rows_in"], 232, "{input}");
        assert_eq!(rows(&place, &output), here, "{input}");
    }
    // The hub knows who asks, and nobody else does.
    let heads = hub.ways.heads.lock().unwrap().clone();
    assert!(heads.iter().all(|head| head.contains(TOKEN)));
    let elsewhere = hub.elsewhere.ways.heads.lock().unwrap().join("");
    assert!(elsewhere.contains("sig=SIGNED"));
    for told in [TOKEN, "uthorization", "eferer"] {
        assert!(!elsewhere.contains(told), "{elsewhere}");
    }
    // All that is read of a file afterwards is asked for with the etag that it had first.
    assert!(elsewhere.to_lowercase().contains("if-match"), "{elsewhere}");
}

/// The server is one that others read as they read the hub.
#[test]
fn the_server_is_a_hub_to_who_knows_it() {
    let place = Place::new();
    let hub = filled(&place);
    let script = "
import sys
try:
    from huggingface_hub import HfApi, hf_hub_url, get_hf_file_metadata
except ImportError:
    sys.exit(7)
api, repo = HfApi(), sys.argv[1]
print(api.dataset_info(repo, expand=['sha'], revision='main').sha)
for file in api.list_repo_tree(repo, recursive=True, repo_type='dataset', revision='main'):
    if hasattr(file, 'size'):
        url = hf_hub_url(repo, file.path, repo_type='dataset', revision=sys.argv[2])
        facts = get_hf_file_metadata(url)
        same = facts.etag == (file.lfs.sha256 if file.lfs else file.blob_id)
        print(file.path, file.size, facts.size, same)
";
    let python = std::env::var("CLIP_FILTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let main = hub.ways.commits.lock().unwrap()[COMMIT].clone();
    let mut commits = hub.ways.commits.lock().unwrap();
    commits.insert("main".to_owned(), main.clone());
    drop(commits);
    let ran = Command::new(python)
        .args(["-c", script, REPO, COMMIT])
        .env("HF_ENDPOINT", &hub.address)
        .env("HF_TOKEN", TOKEN)
        .env("HF_HOME", place.path("hf"))
        .env_remove("HF_HUB_OFFLINE")
        .output();
    let Some(ran) = ran.ok().filter(|ran| ran.status.code() != Some(7)) else {
        eprintln!("skipped: no Python with huggingface_hub (set CLIP_FILTER_TEST_PYTHON to one)");
        return;
    };
    let mut lines = vec![COMMIT.to_owned()];
    for (path, bytes) in &main {
        lines.push(format!("{path} {0} {0} True", bytes.len()));
    }
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        lines,
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

#[test]
fn a_revision_is_one_commit_for_a_whole_run() {
    let place = Place::new();
    let hub = filled(&place);
    hub.put(NEXT_COMMIT, "data/a/0.parquet", b"another");
    *hub.ways.moves.lock().unwrap() = Some(NEXT_COMMIT.to_owned());
    place.mock("in here.parquet --keep 0.4").exits(0);
    let run = format!("hf://datasets/{REPO}/data out.parquet --keep 0.4");
    hub.run(&place, &run).exits(0);
    assert_eq!(rows(&place, "out.parquet"), rows(&place, "here.parquet"));
    assert_eq!(hub.asked("/revision/main").len(), 1);
    assert_eq!(hub.asked(NEXT_COMMIT).len(), 0);
    // The next run is of the commit that the branch is by now.
    hub.run(&place, &format!("{run} --overwrite"))
        .exits(1)
        .says(&["data/a/0.parquet"]);
    assert!(hub.asked(NEXT_COMMIT).len() > 1);
}

#[test]
fn a_hub_that_is_busy_and_addresses_that_end_are_asked_again() {
    let place = Place::new();
    let hub = filled(&place);
    let run = format!("hf://datasets/{REPO}/data out.parquet --keep 0.4 --overwrite");
    let elsewhere = &hub.elsewhere.ways;
    let counted = || hub.asked("/resolve/").len();
    hub.run(&place, &run).exits(0);
    let usual = counted();
    for (busy, cut, expired, again) in [(3, 0, 0, true), (0, 2, 0, true), (0, 0, 1, false)] {
        hub.ways.busy.store(busy, Relaxed);
        elsewhere.busy.store(busy, Relaxed);
        elsewhere.cut.store(cut, Relaxed);
        hub.run(&place, &run).exits(0);
        hub.ways.heads.lock().unwrap().clear();
        elsewhere.expired.store(expired, Relaxed);
        let ran = hub.run(&place, &run);
        if again {
            ran.exits(0);
            assert_eq!(counted(), usual);
        } else {
            // An address that is new and does not hold is no matter of time.
            ran.exits(1).says(&["data/"]);
        }
    }
}

#[test]
fn a_file_that_changes_under_a_run_is_told() {
    let place = Place::new();
    let hub = Hub::start();
    let file = place.path("in.parquet");
    super::paged(&file);
    let bytes = std::fs::read(&file).unwrap();
    let run = format!("hf://datasets/{REPO}/in.parquet out.parquet");
    hub.put(COMMIT, "in.parquet", &bytes);
    let mut other = bytes.clone();
    other[100] ^= 1;
    *hub.elsewhere.ways.replace_after.lock().unwrap() = Some((3, other.clone()));
    hub.run(&place, &run)
        .exits(1)
        .says(&["was replaced while it was read", "in.parquet"]);
    assert!(!place.path("out.parquet").exists());
}

#[test]
fn a_small_file_that_the_hub_gives_as_a_whole_is_read() {
    let place = Place::new();
    let hub = filled(&place);
    for (number, folder) in ["a", "a", "b", "b"].into_iter().enumerate() {
        let mut small = hub.ways.small.lock().unwrap();
        small.push(format!("data/{folder}/{number}.parquet"));
    }
    place.mock("in here.parquet --keep 0.4").exits(0);
    hub.run(
        &place,
        &format!("hf://datasets/{REPO} out.parquet --keep 0.4"),
    )
    .exits(0);
    assert_eq!(rows(&place, "out.parquet"), rows(&place, "here.parquet"));
    assert!(hub.elsewhere.ways.heads.lock().unwrap().is_empty());
}

#[test]
fn what_the_hub_refuses_is_told_with_what_to_do() {
    let place = Place::new();
    let hub = filled(&place);
    let input = format!("hf://datasets/{REPO}/data");
    let anonymous = |hub: &Hub| -> Ran {
        let mut command = hub.program(&place, &format!("{input} out.parquet"));
        command.env_remove("HF_TOKEN").output().unwrap().into()
    };
    let refuses = |answer| *hub.ways.refuses.lock().unwrap() = Some(answer);
    refuses(["401 Unauthorized", "RepoNotFound", "Repository not found"]);
    anonymous(&hub)
        .exits(1)
        .says(&[REPO, "private", "export HF_TOKEN"]);
    refuses(["401 Unauthorized", "GatedRepo", "Access is restricted"]);
    anonymous(&hub)
        .exits(1)
        .says(&["gated", "accept its conditions at", REPO]);
    // A login leaves its token in a file.
    std::fs::create_dir_all(place.path("hf")).unwrap();
    std::fs::write(place.path("hf/token"), format!("{TOKEN}\n")).unwrap();
    anonymous(&hub).exits(0);
    let with = |name: &str, value: &str| -> Ran {
        let mut command = hub.program(&place, &format!("{input} other.parquet"));
        command.env(name, value).output().unwrap().into()
    };
    refuses([
        "401 Unauthorized",
        "",
        "Invalid credentials in Authorization header",
    ]);
    let ran = with("HF_TOKEN", "hf_WRONG0123456789abcdef").exits(1);
    assert!(!ran.stderr.contains("hf_WRONG0123456789abcdef"));
    ran.says(&["does not take the token", "HF_TOKEN"]);
    *hub.ways.refuses.lock().unwrap() = None;
    with("HF_HUB_OFFLINE", "1")
        .exits(2)
        .says(&["HF_HUB_OFFLINE"]);
    with("HF_ENDPOINT", "http://example.invalid")
        .exits(2)
        .says(&["HF_ENDPOINT", "plain http"]);
    for (input, code, says) in [
        (
            "hf://datasets/nobody/nothing",
            1,
            "no dataset nobody/nothing",
        ),
        (
            "hf://datasets/people/pictures@v9/data",
            1,
            "no such revision",
        ),
        (
            "hf://datasets/people/pictures/nothing",
            1,
            "nothing is there",
        ),
        (
            "hf://datasets/people/pictures/*/x.parquet",
            1,
            "find a file that matches",
        ),
        ("hf://datasets/people/pictures/README.md", 1, "README.md"),
        ("hf://people/pictures/data", 2, "only datasets"),
        ("hf://datasets/pictures", 2, "hf://datasets/USER/NAME"),
    ] {
        hub.run(&place, &format!("{input} other.parquet"))
            .exits(code)
            .says(&[says]);
    }
    assert!(!place.path("other.parquet").exists());
    for args in [
        "in hf://datasets/people/pictures/out",
        "in other.parquet --rejects hf://datasets/people/pictures/bad.parquet",
        "in other.parquet --report hf://datasets/people/pictures/r.html",
        "in other.parquet --scores hf://datasets/people/pictures/scores",
        "score in --scores hf://datasets/people/pictures/scores",
    ] {
        hub.run(&place, args)
            .exits(2)
            .says(&["files come to the Hugging Face hub by commits", "try:"]);
    }
}
