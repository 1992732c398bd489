//! The program over a place that is no file system: shards in memory whose ranges are counted and come late.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use clip_filter::{
    config::ByteSize,
    error::{Error, Result},
    pipeline::{self, RunContext, RunOptions, ScoreOptions},
    select::{Keep, SelectOptions},
    source::{BoundShards, Listed, Listing, Place, Places, ShardFile},
    summary::RunSummary,
};
use parquet::file::properties::WriterProperties;

use crate::{
    shards::{self, Pair},
    world::Mock,
};

/// How long a range takes.
const DELAY: Duration = Duration::from_micros(200);
/// Bytes of an image; each on a page of its own.
const IMAGE_BYTES: usize = 60_000;
const ROWS: u32 = 60;

#[derive(Debug)]
struct Slow {
    bytes: Bytes,
    ranges: AtomicU64,
    bytes_read: AtomicU64,
}

impl ShardFile for Slow {
    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        std::thread::sleep(DELAY);
        self.ranges.fetch_add(1, Relaxed);
        self.bytes_read.fetch_add(range.end - range.start, Relaxed);
        let at = |position: u64| usize::try_from(position).map_err(io::Error::other);
        let (start, end) = (at(range.start)?, at(range.end)?);
        match end <= self.bytes.len() {
            true => Ok(self.bytes.slice(start..end)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Files by their whole URL.
#[derive(Debug, Default)]
struct Memory(BTreeMap<String, Arc<Slow>>);

impl Memory {
    fn found(&self, wanted: impl Fn(&str) -> bool, name: &str) -> Result<Listing> {
        let found: Vec<Listed> = self
            .0
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, file)| Listed {
                size_bytes: Some(file.size_bytes()),
                ..Listed::named(name)
            })
            .collect();
        match found.is_empty() {
            true => Err(Error::input("find an object").with("name", name)),
            false => Ok(found.into()),
        }
    }
}

impl Place for Memory {
    fn exists(&self, file: &Listed) -> bool {
        self.0.contains_key(&file.name)
    }

    fn below(&self, name: &str) -> Result<Listing> {
        self.found(|known| Path::new(known).starts_with(name), name)
    }

    fn matching(&self, pattern: &str) -> Result<Listing> {
        let (start, end) = pattern.split_once('*').unwrap();
        self.found(
            |known| known.starts_with(start) && known.ends_with(end),
            pattern,
        )
    }

    fn open(&self, file: &Listed) -> Result<Arc<dyn ShardFile>> {
        match self.0.get(&file.name) {
            Some(file) => Ok(Arc::clone(file) as Arc<dyn ShardFile>),
            None => Err(Error::input("open the shard").with("shard", &file.name)),
        }
    }
}

/// The same shards as local files and in memory.
struct Both {
    dir: tempfile::TempDir,
    names: [&'static str; 2],
    memory: Arc<Memory>,
}

impl Both {
    fn new(pairs: &[Pair]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let names = ["a.parquet", "b.parquet"];
        let properties = || {
            WriterProperties::builder()
                .set_max_row_group_row_count(Some(16))
                .set_data_page_row_count_limit(1)
                .set_write_batch_size(1)
                .set_dictionary_enabled(false)
                .build()
        };
        let (first, second) = pairs.split_at(pairs.len() / 2);
        let mut memory = Memory::default();
        for (name, pairs) in names.iter().zip([first, second]) {
            let path = dir.path().join(name);
            shards::write_with(&path, &shards::hf_batch(pairs), properties());
            let file = Slow {
                bytes: std::fs::read(&path).unwrap().into(),
                ranges: AtomicU64::new(0),
                bytes_read: AtomicU64::new(0),
            };
            memory
                .0
                .insert(format!("mem://data/{name}"), Arc::new(file));
        }
        Self {
            dir,
            names,
            memory: Arc::new(memory),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn local(&self) -> ScoreOptions {
        let inputs = self
            .names
            .map(|name| self.path(name).to_str().unwrap().to_owned());
        scoring(inputs.to_vec())
    }

    fn remote(&self) -> ScoreOptions {
        let places = Places::default();
        let memory: Arc<Memory> = Arc::clone(&self.memory);
        scoring(vec!["mem://data/{a,b}.parquet".to_owned()])
            .with_places(places.with_place("mem", memory))
    }

    fn run(&self, scoring: ScoreOptions, keep: Keep, output: &str) -> RunSummary {
        let select = SelectOptions::new(keep);
        let rejects = self.path(&format!("{output}.rejects.parquet"));
        let options = RunOptions::deciding(scoring)
            .with_output(self.path(output))
            .with_select(select)
            .with_rejects(rejects)
            .with_command("test");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let context = RunContext::new(Arc::new(Mock::default()));
        let prepared = pipeline::prepare(&options).unwrap_or_else(|e| panic!("{}", e.report()));
        let ran = runtime.block_on(pipeline::run(&options, prepared, context));
        ran.unwrap_or_else(|error| panic!("{}", error.report()))
    }

    /// Bytes that were read of all shards since this was last asked.
    fn bytes_read(&self) -> u64 {
        let files = self.memory.0.values();
        files.map(|file| file.bytes_read.swap(0, Relaxed)).sum()
    }

    fn size_bytes(&self) -> u64 {
        self.memory.0.values().map(|file| file.size_bytes()).sum()
    }
}

fn scoring(inputs: Vec<String>) -> ScoreOptions {
    ScoreOptions::new(inputs)
        .with_threads(2)
        .with_memory_limit(ByteSize(1 << 30))
}

/// Sound and faulty pairs, with what makes the images large behind the picture.
fn large_pairs() -> Vec<Pair> {
    let mut pairs = shards::mixed_pairs(ROWS);
    for (row, pair) in pairs.iter_mut().enumerate() {
        let Some(bytes) = pair.bytes.as_mut().filter(|bytes| !bytes.is_empty()) else {
            continue;
        };
        // No codec makes anything of it.
        let mut state = row as u64 + 1;
        bytes.resize_with(bytes.len() + IMAGE_BYTES, || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        });
    }
    pairs
}

#[test]
fn shards_in_memory_give_the_output_of_local_files() {
    let both = Both::new(&large_pairs());
    for keep in [Keep::All, Keep::Rows(17)] {
        let (near, far) = (
            format!("near-{keep}.parquet"),
            format!("far-{keep}.parquet"),
        );
        let local = both.run(both.local(), keep, &near);
        let remote = both.run(both.remote(), keep, &far);
        assert_eq!(remote.rows_kept, local.rows_kept);
        assert_eq!(remote.bad, local.bad);
        assert!(local.rows_bad > 0 && local.rows_kept > 0);
        let bytes = |name: &str| std::fs::read(both.path(name)).unwrap();
        assert!(bytes(&near) == bytes(&far), "keep {keep}");
        let rejects = |name: &str| shards::read(&both.path(&format!("{name}.rejects.parquet")));
        let (near, far) = (rejects(&near), rejects(&far));
        assert_eq!(near.num_rows(), far.num_rows());
        for column in ["key", "status", "reason"] {
            assert_eq!(near.column_by_name(column), far.column_by_name(column));
        }
    }
}

/// What is written of a few rows is what is read: not their row groups.
#[test]
fn pages_without_a_row_that_is_kept_are_not_fetched() {
    let both = Both::new(&shards_of_sound_pairs());
    let stored = || both.remote().with_scores(both.path("scores"));
    both.run(stored(), Keep::All, "all.parquet");
    let everything = both.bytes_read();
    assert!(everything > 2 * both.size_bytes(), "{everything}");
    // Scores are there: of the shards only what is written is read.
    let few = both.run(stored(), Keep::Rows(3), "few.parquet");
    assert_eq!(few.rows_kept, 3);
    let read = both.bytes_read();
    let of_planning = planning_bytes(&both);
    let of_rows = read - of_planning;
    let most = 3 * (IMAGE_BYTES as u64 + 8_192) + footers(&both);
    assert!(
        of_rows <= most,
        "{of_rows} bytes are read for 3 rows, at most {most} are theirs"
    );
}

fn shards_of_sound_pairs() -> Vec<Pair> {
    let mut pairs = large_pairs();
    pairs.retain(|pair| {
        let starts = pair
            .bytes
            .as_ref()
            .is_some_and(|bytes| bytes.starts_with(b"BM"));
        starts
            && pair
                .text
                .as_ref()
                .is_some_and(|text| !text.trim().is_empty())
    });
    pairs
}

/// Bytes of footers and page indexes: once for each shard that is written from.
fn footers(both: &Both) -> u64 {
    let footer = |name: &&str| {
        let metadata = shards::footer(&both.path(name));
        let group = metadata.row_groups().iter();
        let pages = group.flat_map(|group| group.columns());
        let end = pages
            .map(|chunk| chunk.byte_range())
            .map(|(start, len)| start + len);
        std::fs::metadata(both.path(name)).unwrap().len() - end.max().unwrap()
    };
    both.names.iter().map(footer).sum()
}

/// What is read before the first row.
fn planning_bytes(both: &Both) -> u64 {
    both.bytes_read();
    let options = both.remote();
    let files = options.places.expand(&options.inputs).unwrap();
    BoundShards::open(&files, &options.columns).unwrap();
    both.bytes_read()
}
