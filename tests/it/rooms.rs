//! The rules between rooms (see the crate documentation), checked on the text of the sources.

use std::path::{Path, PathBuf};

use crate::program::ROOT;

const CONTRACT: [&str; 10] = [
    "digest",
    "error",
    "schema",
    "config",
    "contention",
    "machine",
    "secrets",
    "summary",
    "trace",
    "selection",
];
/// The rooms in the order in which data flows: each may import those before it.
const FLOW: [&str; 17] = [
    "remote",
    "source",
    "delta",
    "preprocess",
    "encode",
    "model",
    "store",
    "adapt",
    "score",
    "select",
    "sink",
    "engine",
    "options",
    "inspect",
    "report",
    "pipeline",
    "cli",
];
/// Finds or fetches what comes from outside, for those who then load it.
const PROVISION: &str = "provision";
const PROVISIONED: [&str; 2] = ["model", "cli"];
/// Reads the environment, when a host asks for that.
const ENVIRONMENT: &str = "model/environment.rs";
/// Reads the settings of the hub, as the builders of object stores do theirs.
const HUB_SETTINGS: &str = "remote/hub/settings.rs";
/// Read the clock: a claim in an object store has a deadline, and what is kept for the next start has an age.
const CLOCKS: [&str; 3] = [
    "encode/model/fingerprints.rs",
    "encode/onnx/graph_cache.rs",
    "store/leases.rs",
];
/// Children of `pipeline`: what steps share, the steps, and what a host calls.
const CONTEXT: &str = "context";
const STEPS: [&str; 7] = [
    "scoring",
    "deriving",
    "selecting",
    "rejecting",
    "changes",
    "reporting",
    "emitting",
];
const ENTRIES: [&str; 7] = ["run", "score", "scorer", "adapt", "online", "sql", "report"];
/// Lines that `pipeline` may have: it is the order of steps.
const MOST_PIPELINE_LINES: usize = 6000;
/// ONNX Runtime, which a process loads once, if at all.
const ONE_PER_PROCESS: &str = "encode/onnx/runtime.rs";
const DECODERS: [&str; 10] = [
    "zune_jpeg",
    "png",
    "gif",
    "image_webp",
    "re_rav1d",
    "tiff",
    "turbojpeg",
    "jpeg_decoder",
    "fast_image_resize",
    "weezl",
];

/// One source file, its comments taken out.
struct Source {
    /// Below `src/`, with `/`.
    path: String,
    code: String,
}

impl Source {
    /// The first directory below `src/`, or the file beside it.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Names that stand directly after `crate::`, in trees too.
    fn crate_names(&self) -> Vec<String> {
        self.names_below("crate")
    }

    /// Names that stand directly after `path::`, in trees too; those of `crate::path` that stand in a tree of `crate`
    /// are found as well.
    fn names_below(&self, path: &str) -> Vec<String> {
        let mut names = Vec::new();
        if let Some(room) = path.strip_prefix("crate::") {
            // `use crate::{a, room::b}`: a branch begins a line of its own.
            let branch = format!("{room}::");
            for (start, _) in self.code.match_indices(&branch) {
                let line = self.code[..start].rsplit('\n').next().unwrap_or_default();
                if line.trim().is_empty() {
                    names.extend(tree_heads(&self.code[start + branch.len()..]));
                }
            }
        }
        let path = format!("{path}::");
        for (start, _) in self.code.match_indices(&path) {
            // `$crate::`, longer chains and names that end so are something else.
            let before = |c: char| c.is_alphanumeric() || ['_', '$', ':'].contains(&c);
            if self.code[..start].ends_with(before) {
                continue;
            }
            names.extend(tree_heads(&self.code[start + path.len()..]));
        }
        names
    }

    /// Whether `name::` or `use name` occurs as a path of its own.
    fn uses_crate(&self, name: &str) -> bool {
        self.code.match_indices(name).any(|(start, _)| {
            let before = self.code[..start].chars().next_back();
            let after = &self.code[start + name.len()..];
            let starts =
                before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '.');
            starts
                && (after.starts_with("::")
                    || self.code[..start].ends_with("use ") && after.starts_with(';'))
        })
    }
}

/// The first name of a path, or those of a tree.
fn tree_heads(rest: &str) -> Vec<String> {
    let rest = rest.trim_start();
    match rest.strip_prefix('{') {
        Some(tree) => heads(tree),
        None => vec![identifier(rest)],
    }
}

/// First names of the branches of `{a::b, c::{d, e}, f}`, given what follows the brace.
fn heads(tree: &str) -> Vec<String> {
    let (mut depth, mut names, mut at_start) = (0, Vec::new(), true);
    for (position, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if at_start && !c.is_whitespace() => {
                names.push(identifier(&tree[position..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn sources_below(directory: &Path) -> Vec<Source> {
    fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(directory, &mut files);
    files.sort();
    assert!(!files.is_empty());
    let source = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text
            .lines()
            .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
            .collect();
        let path = path
            .strip_prefix(directory)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        Source {
            path,
            code: code.join("\n"),
        }
    };
    files.into_iter().map(source).collect()
}

fn sources() -> Vec<Source> {
    sources_below(&Path::new(ROOT).join("src"))
}

/// A room that neither runs the others nor speaks with a person.
fn is_room(source: &Source) -> bool {
    let room = source.room();
    room == PROVISION || FLOW.contains(&room) && !["engine", "pipeline", "cli"].contains(&room)
}

/// Paths of the sources that break a rule.
fn breaking(rule: impl Fn(&Source) -> bool) -> Vec<String> {
    sources()
        .into_iter()
        .filter(rule)
        .map(|source| source.path)
        .collect()
}

#[test]
fn every_directory_is_a_known_room() {
    let known = |room: &str| {
        CONTRACT.contains(&room)
            || FLOW.contains(&room)
            || [PROVISION, "lib", "bin", "fuzzing"].contains(&room)
    };
    assert_eq!(breaking(|source| !known(source.room())), [""; 0]);
}

#[test]
fn the_contract_imports_no_room() {
    let mut broken = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| CONTRACT.contains(&source.room()))
    {
        for name in source.crate_names() {
            if !CONTRACT.contains(&name.as_str()) {
                broken.push(format!("{}: crate::{name}", source.path));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn a_room_imports_the_contract_and_what_stands_before_it() {
    let mut broken = Vec::new();
    for source in &sources() {
        let room = source.room();
        let before = match FLOW.iter().position(|known| *known == room) {
            Some(place) => &FLOW[..place],
            None if room == PROVISION => &[],
            None => continue,
        };
        for name in source.crate_names() {
            let allowed = CONTRACT.contains(&name.as_str())
                || name == room
                || before.contains(&name.as_str())
                || name == PROVISION && PROVISIONED.contains(&room);
            if !allowed {
                broken.push(format!("{}: crate::{name}", source.path));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

/// The child of `pipeline` that a path below `pipeline/` belongs to.
fn child(path: &str) -> &str {
    let first = path.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

#[test]
fn steps_of_the_pipeline_import_its_context_and_neither_each_other_nor_their_parent() {
    let pipeline = sources_below(&Path::new(ROOT).join("src/pipeline"));
    let mut broken = Vec::new();
    for source in pipeline.iter().filter(|source| source.path != "mod.rs") {
        let ours = child(&source.path);
        let may = |name: &str| match ours {
            CONTEXT => false,
            ours if STEPS.contains(&ours) => name == CONTEXT,
            ours if ENTRIES.contains(&ours) => name == CONTEXT || STEPS.contains(&name),
            _ => false,
        };
        for name in source.names_below("crate::pipeline") {
            if name != ours && !may(&name) {
                broken.push(format!("{}: crate::pipeline::{name}", source.path));
            }
        }
        // A file of a directory reaches its siblings through one more step up.
        let is_nested = source.path.contains('/') && !source.path.ends_with("/mod.rs");
        let up = if is_nested { "super::super" } else { "super" };
        for name in source.names_below(up) {
            if name != ours && !may(&name) {
                broken.push(format!("{}: {up}::{name}", source.path));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
    let children: Vec<&str> = pipeline.iter().map(|source| child(&source.path)).collect();
    for name in STEPS.iter().chain(&ENTRIES).chain([&CONTEXT]) {
        assert!(
            children.contains(name),
            "{name} is no child of the pipeline"
        );
    }
}

#[test]
fn the_pipeline_is_the_order_of_steps_and_no_more() {
    let mut lines = 0;
    for source in sources() {
        if source.room() == "pipeline" {
            lines += source.code.lines().count();
        }
    }
    assert!(lines <= MOST_PIPELINE_LINES, "{lines} lines");
}

#[test]
fn every_file_says_in_its_first_line_what_is_in_it() {
    let mut silent = Vec::new();
    for directory in ["src", "crates", "tests", "benches", "examples", "python"] {
        let directory = Path::new(ROOT).join(directory);
        for source in sources_below(&directory) {
            let text = std::fs::read_to_string(directory.join(&source.path)).unwrap();
            if !text.starts_with("//! ") {
                silent.push(source.path);
            }
        }
    }
    assert_eq!(silent, [""; 0]);
}

#[test]
fn no_chain_of_super_leads_out_of_a_room() {
    let leaves = |source: &Source| {
        let nested = source
            .code
            .lines()
            .any(|line| line.trim_start().starts_with("mod ") && line.ends_with('{'));
        let depth = source.path.matches('/').count() + usize::from(nested);
        source.code.contains(&"super::".repeat(depth + 1))
    };
    assert_eq!(
        breaking(|source| is_room(source) && leaves(source)),
        [""; 0]
    );
}

#[test]
fn each_foreign_crate_appears_in_one_place() {
    let within = |source: &Source, places: &[&str]| {
        places.iter().any(|place| source.path.starts_with(place))
    };
    let rules: [(&str, &[&str]); 23] = [
        ("ort", &["encode/onnx.rs", "encode/onnx/"]),
        ("datafusion", &["engine/"]),
        ("clap", &["cli/"]),
        ("clap_complete", &["cli/completions.rs"]),
        ("toml", &["cli/config_file.rs"]),
        ("strsim", &["cli/option_value.rs"]),
        ("indicatif", &["cli/"]),
        ("rustyline", &["cli/"]),
        ("unicode_width", &["cli/"]),
        ("base64", &["cli/", "source/zones.rs"]),
        ("arrow_csv", &["cli/"]),
        ("arrow_json", &["cli/"]),
        ("minijinja", &["cli/report/"]),
        (
            "tokenizers",
            &[
                "preprocess/tokenize.rs",
                "preprocess/clean/repair.rs",
                "encode/mock.rs",
            ],
        ),
        ("hf_hub", &["provision/"]),
        ("ureq", &["provision/"]),
        ("zip", &["provision/"]),
        (
            "parquet",
            &[
                "source/",
                "store/",
                "sink/",
                "delta/",
                "engine/hoist/tests.rs",
            ],
        ),
        ("tokio", &["engine/", "cli/", "pipeline/", "remote/"]),
        ("object_store", &["remote/"]),
        ("delta_kernel", &["delta/"]),
        ("reqwest", &["remote/"]),
        ("safetensors", &["adapt/"]),
    ];
    for (name, places) in rules {
        let broken = breaking(|source| source.uses_crate(name) && !within(source, places));
        assert_eq!(broken, [""; 0], "{name} belongs in {places:?}");
    }
}

#[test]
fn image_decoders_appear_in_the_pixels_crate_only() {
    for name in DECODERS {
        assert_eq!(
            breaking(|source| source.uses_crate(name)),
            [""; 0],
            "{name}"
        );
    }
    let manifest = std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let dependencies = manifest
        .split("[dependencies]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    for name in DECODERS.into_iter().chain(["image"]) {
        let name = name.replace('_', "-");
        let declared = dependencies
            .lines()
            .any(|line| line.split([' ', '.']).next() == Some(&name));
        assert!(!declared, "{name} is a dependency of the program itself");
    }
    assert!(
        dependencies
            .lines()
            .any(|line| line == "parquet.workspace = true"),
        "the rule reads dependencies"
    );
    let pixels = sources_below(&Path::new(ROOT).join("crates/pixels/src"));
    assert!(
        pixels.iter().any(|source| source.uses_crate("gif")),
        "the rule looks for something"
    );
}

#[test]
fn nothing_prints_past_the_command_line() {
    let macros = [
        "println!",
        "print!",
        "eprint!",
        "eprintln!",
        "dbg!",
        "todo!",
        "unimplemented!",
    ];
    assert_eq!(
        breaking(|source| macros.iter().any(|name| source.code.contains(name))),
        [""; 0]
    );
    let streams = ["io::stdout", "io::stderr"];
    let writes = |source: &Source| {
        streams.iter().any(|name| source.code.contains(name)) && source.room() != "cli"
    };
    assert_eq!(breaking(writes), [""; 0]);
}

/// A host owns its process: its environment, its signals, its threads and what happens when it panics.
#[test]
fn the_library_sets_nothing_process_wide() {
    let setters = [
        "set_var",
        "remove_var",
        "set_current_dir",
        "ctrl_c",
        "tokio::signal",
        "signal_hook",
        "set_hook",
        "take_hook",
        "build_global",
        "process::exit",
        "process::abort",
        "setrlimit",
    ];
    let shared = ["static mut ", "Mutex<", "RwLock<", "Once", "Lazy", "Atomic"];
    // A static that can change is state that two hosts in one process would share.
    let changes = |line: &str| {
        let line = line.trim_start();
        let item =
            line.starts_with("static ") || line.starts_with("pub") && line.contains(" static ");
        item && shared.iter().any(|name| line.contains(name))
    };
    let sets = |source: &Source| {
        setters.iter().any(|name| source.code.contains(name)) || source.code.lines().any(changes)
    };
    let outside = |source: &Source| {
        !["cli", "bin"].contains(&source.room()) && !source.path.starts_with(ONE_PER_PROCESS)
    };
    assert_eq!(breaking(|source| outside(source) && sets(source)), [""; 0]);
    for kernels in ["crates/pixels/src", "crates/vectors/src"] {
        let mut kernels = sources_below(&Path::new(ROOT).join(kernels)).into_iter();
        assert_eq!(kernels.find(sets).map(|source| source.path), None);
    }
    assert!(
        !breaking(|source| !outside(source) && sets(source)).is_empty(),
        "the rule looks for something"
    );
}

#[test]
fn no_room_reads_the_environment_unless_a_host_asks_for_it() {
    let reads = |source: &Source| {
        [
            "env::var",
            "env::args",
            "env::current",
            "env::home",
            "env::temp",
            "SystemTime",
        ]
        .iter()
        .any(|name| source.code.contains(name))
    };
    let breaks =
        |source: &Source| (is_room(source) || CONTRACT.contains(&source.room())) && reads(source);
    let [fingerprints, graphs, leases] = CLOCKS;
    let known = [fingerprints, graphs, ENVIRONMENT, HUB_SETTINGS, leases];
    assert_eq!(breaking(breaks), known);
}

#[test]
fn the_network_is_reached_from_two_rooms_only() {
    let reaches = |source: &Source| {
        ["TcpStream", "UdpSocket", "TcpListener", "std::net"]
            .iter()
            .any(|name| source.code.contains(name))
    };
    assert_eq!(
        breaking(|source| reaches(source) && !["provision", "remote"].contains(&source.room())),
        [""; 0]
    );
}

#[test]
fn unsafe_has_a_named_reason() {
    let unnamed = |source: &Source| {
        let uses = source.code.contains("unsafe {")
            || source.code.contains("unsafe fn")
            || source.code.contains("unsafe impl");
        uses && !source.code.contains("reason =")
    };
    assert_eq!(breaking(unnamed), [""; 0]);
}

#[test]
fn trees_of_imports_are_understood() {
    let source = Source {
        path: "x.rs".into(),
        code: "use crate::{\n a::b, c::{d, e}, f,\n};\ncrate::g::h()".into(),
    };
    assert_eq!(source.crate_names(), ["a", "c", "f", "g"]);
    let source = Source {
        path: "pipeline/x.rs".into(),
        code: "use super::{context::A, run};\nuse crate::{\n error::B,\n pipeline::{\n emitting::C,\n },\n};".into(),
    };
    assert_eq!(source.names_below("super"), ["context", "run"]);
    assert_eq!(source.names_below("crate::pipeline"), ["emitting"]);
    let source = Source {
        path: "x.rs".into(),
        code: "sort::a; report::b; use ort::{c};".into(),
    };
    assert!(source.uses_crate("ort"));
    let source = Source {
        path: "x.rs".into(),
        code: "sort::a; crate::ort::b".into(),
    };
    assert!(!source.uses_crate("ort"));
}
