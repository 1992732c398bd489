//! The whole program over a second kind of place for outputs: an object store in memory, which has no rename.

mod commit;
mod store;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clip_filter::{
    config::{ByteSize, OnError},
    encode::{EncoderFactory, EncoderSource, MockFactory},
    error::{ErrorKind, Result},
    pipeline::{self, Cancel, RunContext, RunOptions, ScoreOptions},
    schema::ScoreColumn,
    select::{Keep, SelectOptions},
    sink::{OutputPath, OutputPlaces},
    summary::{ModelCard, RunSummary},
};

use crate::{program::Place, shards};
use commit::{MANIFEST, ObjectCommit};
use store::{Fault, ObjectStore, Operation};

const SHARDS: u32 = 3;
const ROWS: u32 = 120;

struct Mock;

impl EncoderSource for Mock {
    fn identity(&self) -> Result<Option<ModelCard>> {
        Ok(Some(MockFactory::try_new()?.card().clone()))
    }

    fn load(&self, _: Option<&ModelCard>) -> Result<Arc<dyn EncoderFactory>> {
        Ok(Arc::new(MockFactory::try_new()?))
    }
}

/// A run that is asked for again and again.
struct Case {
    place: Place,
    store: Arc<ObjectStore>,
}

/// Where the outputs of a run go.
#[derive(Debug, Clone, Copy)]
struct Outputs<'a> {
    output: &'a str,
    rejects: &'a str,
    changes: &'a str,
}

const FILE: Outputs<'_> = Outputs {
    output: "out.parquet",
    rejects: "bad.parquet",
    changes: "changes.parquet",
};
const DIRECTORY: Outputs<'_> = Outputs {
    output: "kept",
    ..FILE
};

impl Case {
    fn new() -> Self {
        let place = Place::new();
        std::fs::create_dir(place.path("in")).unwrap();
        std::fs::create_dir(place.path("work")).unwrap();
        for shard in 0..SHARDS {
            let mut pairs = shards::mixed_pairs(ROWS);
            pairs.rotate_left(shard as usize);
            shards::write_pairs(&place.path(&format!("in/{shard}.parquet")), &pairs, 50);
        }
        Self {
            place,
            store: Arc::default(),
        }
    }

    /// The same over an empty store that has this fault at its operation of this number.
    fn with_fault(self, at: usize, fault: Fault) -> Self {
        Self {
            store: Arc::new(ObjectStore::with_fault(at, fault)),
            ..self
        }
    }

    /// Options of a run, the outputs named so.
    fn options(&self, name: impl Fn(&str) -> OutputPath, outputs: Outputs<'_>) -> RunOptions {
        let inputs = vec![self.place.path("in").display().to_string()];
        let scoring = ScoreOptions::new(inputs)
            .with_threads(2)
            .with_memory_limit(ByteSize(1 << 30));
        let commit = ObjectCommit(Arc::clone(&self.store));
        RunOptions::deciding(scoring)
            .with_output(name(outputs.output))
            .with_places(OutputPlaces::default().with_scheme("mem", Arc::new(commit)))
            .with_select(SelectOptions::new("0.5".parse().unwrap()))
            .with_on_error(OnError::Keep)
            .with_rejects(name(outputs.rejects))
            .with_added([ScoreColumn::IMAGE_EMBEDDING, ScoreColumn::STATUS])
            .with_command("the same")
    }

    fn local(&self, outputs: Outputs<'_>) -> RunOptions {
        self.options(|name| self.place.path(name).into(), outputs)
    }

    fn elsewhere(&self, outputs: Outputs<'_>) -> RunOptions {
        self.options(|name| format!("mem://{name}").into(), outputs)
            .with_work(self.place.path("work"))
    }

    /// The bytes of the outputs of a local run; of a directory, those of its parts.
    fn expected(&self, outputs: Outputs<'_>) -> Vec<Vec<u8>> {
        let report = run(&self.local(outputs)).unwrap();
        let rejects = self.place.path(outputs.rejects).display().to_string();
        let files = report.outputs.iter().chain([&rejects]);
        let bytes = files.map(|file| std::fs::read(file).unwrap()).collect();
        for name in [outputs.output, outputs.rejects] {
            remove(&self.place.path(name));
        }
        bytes
    }

    /// The same in the object store.
    fn stored(&self, outputs: Outputs<'_>) -> Vec<Vec<u8>> {
        let parts: Vec<String> = match self.store.get(&format!("{}/{MANIFEST}", outputs.output)) {
            None => vec![outputs.output.to_owned()],
            Some(manifest) => {
                let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
                serde_json::from_value(manifest["parts"].clone()).unwrap()
            }
        };
        let objects = parts.into_iter().chain([outputs.rejects.to_owned()]);
        objects
            .map(|object| self.store.get(&object).unwrap())
            .collect()
    }

    /// Whether a reader of the store finds the output.
    fn is_visible(&self, outputs: Outputs<'_>) -> bool {
        let manifest = format!("{}/{MANIFEST}", outputs.output);
        self.store.get(outputs.output).is_some() || self.store.get(&manifest).is_some()
    }

    fn left_in_work(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.place.path("work")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        assert_eq!(self.store.uploads(), []);
        assert_eq!(self.left_in_work(), Vec::<PathBuf>::new());
    }
}

fn remove(path: &Path) {
    if path.is_dir() {
        std::fs::remove_dir_all(path).unwrap();
    } else {
        std::fs::remove_file(path).unwrap();
    }
}

fn run(options: &RunOptions) -> Result<RunSummary> {
    run_until(options, Cancel::default())
}

fn run_until(options: &RunOptions, cancel: Cancel) -> Result<RunSummary> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let prepared = pipeline::prepare(options)?;
    let context = RunContext::new(Arc::new(Mock)).with_cancel(cancel);
    runtime.block_on(pipeline::run(options, prepared, context))
}

#[test]
fn an_object_store_gets_the_bytes_that_a_disk_gets() {
    for outputs in [FILE, DIRECTORY] {
        let case = Case::new();
        let expected = case.expected(outputs);
        let report = run(&case.elsewhere(outputs)).unwrap();
        assert!(case.stored(outputs) == expected, "{outputs:?}");
        let named = report.outputs.iter().all(|name| {
            let object = name.strip_prefix("mem://").unwrap();
            case.store.get(object).is_some()
        });
        assert!(named, "{:?}", report.outputs);
        case.assert_nothing_left();
    }
}

#[test]
fn changes_are_told_in_an_object_store_too() {
    let case = Case::new();
    let options = |base: RunOptions, keep: &str, changes: OutputPath, store: &str| {
        let mut options = base;
        options.select.keep = keep.parse().unwrap();
        options.overwrite = true;
        options.scoring.scores = Some(case.place.path(store).into());
        options.changes = Some(changes);
        options
    };
    for keep in ["0.5", "0.3"] {
        let changes = case.place.path(FILE.changes).into();
        run(&options(case.local(FILE), keep, changes, "local")).unwrap();
        let changes = format!("mem://{}", FILE.changes).into();
        run(&options(case.elsewhere(FILE), keep, changes, "remote")).unwrap();
        let expected = std::fs::read(case.place.path(FILE.changes)).unwrap();
        assert!(case.store.get(FILE.changes) == Some(expected), "{keep}");
    }
    let left = shards::read(&case.place.path(FILE.changes)).num_rows();
    assert!(left > 0, "the second selection differs from the first");
    case.assert_nothing_left();
}

/// Operations of a run that succeeds, and how many of them come before anything is finished.
fn whole_run(outputs: Outputs<'_>) -> (Vec<Operation>, usize) {
    let case = Case::new();
    run(&case.elsewhere(outputs)).unwrap();
    let operations = case.store.operations();
    let finishing = operations
        .iter()
        .position(|operation| *operation == Operation::Complete);
    (operations.clone(), finishing.unwrap())
}

#[test]
fn a_failure_while_it_writes_leaves_nothing() {
    for outputs in [FILE, DIRECTORY] {
        let (operations, finishing) = whole_run(outputs);
        assert!(finishing > 4, "{operations:?}");
        let mut case = Case::new();
        for at in 0..finishing {
            case = case.with_fault(at, Fault::Fails);
            let error = run(&case.elsewhere(outputs)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Output, "{at}: {}", error.report());
            assert_eq!(case.store.list(""), [""; 0], "{at}");
            assert_eq!(case.store.uploads(), [], "{at}");
        }
    }
}

#[test]
fn an_interrupt_while_it_writes_leaves_nothing() {
    let (operations, finishing) = whole_run(FILE);
    // The first piece of the output itself: the rejects are written before.
    let mut starts = operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| **operation == Operation::Start);
    let (at, _) = starts.next_back().unwrap();
    assert!(at + 1 < finishing);
    let case = Case::new().with_fault(at, Fault::Tells);
    let cancel = Cancel::default();
    let told = cancel.clone();
    case.store.tell(move || told.cancel());
    let error = run_until(&case.elsewhere(FILE), cancel).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{}", error.report());
    assert_eq!(case.store.list(""), [""; 0]);
    assert_eq!(case.store.uploads(), []);
    case.store.mend();
    let expected = case.expected(FILE);
    let report = run(&case.elsewhere(FILE)).unwrap();
    assert_eq!(report.rows_scored, 0, "the scores were kept");
    assert!(case.stored(FILE) == expected);
    case.assert_nothing_left();
}

#[test]
fn a_run_that_was_killed_at_any_operation_is_finished_or_done_again() {
    for outputs in [FILE, DIRECTORY] {
        let (operations, finishing) = whole_run(outputs);
        let mut case = Case::new();
        let expected = case.expected(outputs);
        for at in 0..operations.len() {
            case = case.with_fault(at, Fault::Kills);
            run(&case.elsewhere(outputs)).unwrap_err();
            let visible = case.is_visible(outputs);
            assert!(!visible || at > finishing, "{outputs:?}, {at}");
            case.store.mend();
            let report = run(&case.elsewhere(outputs)).unwrap();
            assert!(case.stored(outputs) == expected, "{outputs:?}, {at}");
            case.assert_nothing_left();
            let started = case.store.operations().contains(&Operation::Start);
            assert_eq!(
                started,
                at < finishing,
                "{outputs:?}, {at}: what was staged is finished"
            );
            assert_eq!(
                report.rows_kept + report.rows_cut + report.rows_bad,
                report.rows_in
            );
        }
    }
}

#[test]
fn what_another_run_has_staged_is_aborted() {
    let (operations, finishing) = whole_run(DIRECTORY);
    for at in [finishing, operations.len() - 1] {
        let case = Case::new().with_fault(at, Fault::Kills);
        run(&case.elsewhere(DIRECTORY)).unwrap_err();
        case.store.mend();
        let mut another = case.elsewhere(DIRECTORY);
        another.select.keep = Keep::Rows(7);
        another.overwrite = true;
        let report = run(&another).unwrap();
        assert_eq!(report.rows_kept, 7);
        case.assert_nothing_left();
        let parts = case.store.list("kept/part-");
        assert_eq!(parts.len(), 1, "{parts:?}");
    }
}

#[test]
fn an_output_is_replaced_in_one_step_and_only_when_asked() {
    for outputs in [FILE, DIRECTORY] {
        let case = Case::new();
        run(&case.elsewhere(outputs)).unwrap();
        let first = case.stored(outputs);
        let mut again = case.elsewhere(outputs);
        again.select.keep = "0.2".parse().unwrap();
        let error = run(&again).unwrap_err();
        assert!(error.report().contains("it exists"), "{}", error.report());
        assert!(case.stored(outputs) == first);
        again.overwrite = true;
        let report = run(&again).unwrap();
        let second = case.stored(outputs);
        assert!(second != first);
        assert_eq!(report.outputs.len(), 1);
        assert_eq!(
            case.store.list(outputs.output).len(),
            if outputs.output == "kept" { 2 } else { 1 }
        );
        case.assert_nothing_left();
    }
}

#[test]
fn a_place_that_nobody_knows_is_refused_before_any_work() {
    let case = Case::new();
    let mut options = case.elsewhere(FILE);
    options.rejects = Some("gs://bucket/bad.parquet".into());
    let error = run(&options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.report().contains("gs://bucket/bad.parquet"));
    assert_eq!(case.store.operations(), []);
    case.assert_nothing_left();
}
