//! What encoders promise beyond agreement with a reference: one vector per caption whatever is beside it, the same bits
//! wherever bytes become pixels, less memory than a batch needs, graphs kept from an earlier start.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
};

use arrow::array::{BinaryViewArray, StringViewArray};
use clip_filter::{
    config::Device,
    encode::{
        Bond, EncodePool, EncodedBatch, Encoder, EncoderFactory, EncoderSizes, MockFactory,
        ModelCard, ModelSource, ModelSpec, Normalise, OnnxFactory, OnnxOptions, PairBatch,
        PoolOptions, Precision, TokenBatch,
    },
    error::{Error, ErrorKind, Result},
    preprocess::{PathPolicy, Preprocessing, Scaling},
    summary::{Counters, RunSummary},
};

use crate::{
    golden, pictures,
    program::{Place, ROOT, Ran, program},
    runtime,
};

fn options() -> OnnxOptions {
    OnnxOptions {
        library: runtime::library().to_owned(),
        reproducible: false,
        intra_threads: 1,
        cuda_libraries: Vec::new(),
        graph_cache: None,
        normalise: Normalise::Auto,
    }
}

fn factory(spec: &ModelSpec, options: OnnxOptions) -> OnnxFactory {
    OnnxFactory::try_new(spec.clone(), Device::Cpu.into(), options).unwrap()
}

fn bundled() -> ModelSpec {
    ModelSpec::open(&ModelSource::Bundled, &Precision::Auto).unwrap()
}

fn pool(factory: &dyn EncoderFactory, batch_rows: usize) -> (EncodePool, Arc<Counters>) {
    let options = PoolOptions {
        decode_threads: 2,
        encoders: 2,
        intra_threads: 1,
        batch_rows,
        max_pixels: 1 << 20,
        reading: Default::default(),
        decode_bytes: 64 << 20,
        paths: PathPolicy {
            directories: Vec::new(),
            allow_external: false,
            max_bytes: 0,
        },
    };
    let counters = Arc::new(Counters::default());
    let pool = EncodePool::start(factory, &options, &counters).unwrap();
    (pool, counters)
}

fn encode(pool: &EncodePool, images: Option<&[Vec<u8>]>, captions: &[&str]) -> EncodedBatch {
    let batch = PairBatch {
        images: images.map(BinaryViewArray::from_iter_values),
        paths: None,
        captions: Some(StringViewArray::from_iter_values(captions)),
        shards: None,
        bond: Bond::Apart,
    };
    futures::executor::block_on(pool.encode(batch)).unwrap()
}

/// Captions of many lengths, several of each.
fn captions() -> Vec<String> {
    let subjects = ["a dog", "an old red bicycle", "two people", "the moon"];
    let places = [
        "",
        " in the snow",
        " on a table beside a cup of tea",
        " under a grey sky",
    ];
    subjects
        .iter()
        .flat_map(|subject| places.map(|place| format!("{subject}{place}")))
        .collect()
}

#[test]
fn the_vector_of_a_caption_does_not_depend_on_those_beside_it_to_the_last_bit() {
    let (_place, clip) = golden::clip_pair();
    for spec in [bundled(), clip] {
        let factory = factory(&spec, options());
        assert!(factory.captions_alone(), "{}", spec.name);
        let captions = captions();
        let all: Vec<&str> = captions.iter().map(String::as_str).collect();
        let (together, _) = pool(&factory, 8);
        let dim = factory.card().dim;
        let beside = encode(&together, None, &all).texts;
        let (apart, counters) = pool(&factory, 3);
        for (row, caption) in all.iter().enumerate() {
            let alone = encode(&apart, None, &[caption]).texts;
            assert_eq!(alone, beside[row * dim..(row + 1) * dim], "{caption}");
        }
        // Encoded once, remembered ever after.
        let encoded = counters.captions_encoded.load(Ordering::Relaxed);
        assert_eq!(encode(&apart, None, &all).texts, beside);
        assert_eq!(counters.captions_encoded.load(Ordering::Relaxed), encoded);
    }
}

#[test]
fn bytes_normalised_where_the_model_runs_give_the_same_bits() {
    let images: Vec<Vec<u8>> = (0..9).map(pictures::bmp).collect();
    let (_place, clip) = golden::clip_pair();
    let (_half_place, half) = golden::clip_half();
    for spec in [bundled(), clip, half] {
        let [host, device] = [Normalise::Auto, Normalise::OnDevice].map(|normalise| {
            let options = OnnxOptions {
                normalise,
                ..options()
            };
            let (pool, _) = pool(&factory(&spec, options), 4);
            encode(&pool, Some(&images), &["a"; 9]).images
        });
        assert_eq!(host, device, "{} {}", spec.name, spec.precision);
    }
}

#[test]
fn a_graph_that_was_kept_gives_the_same_bits_and_a_damaged_one_is_made_anew() {
    let cache = tempfile::tempdir().unwrap();
    let kept = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(cache.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let vectors = |graph_cache: Option<&Path>| {
        let options = OnnxOptions {
            graph_cache: graph_cache.map(Path::to_owned),
            ..options()
        };
        let images = [pictures::bmp(1), pictures::bmp(2)];
        let (pool, _) = pool(&factory(&bundled(), options), 2);
        let batch = encode(&pool, Some(&images), &["a dog", "a cat on a mat"]);
        (batch.images, batch.texts)
    };
    let without = vectors(None);
    assert_eq!(vectors(Some(cache.path())), without);
    assert_eq!(kept().len(), 2, "one graph per tower");
    assert_eq!(vectors(Some(cache.path())), without);
    for file in ["graph.onnx", "graph.packed", "graph.weights"] {
        let files = || {
            let files = kept().into_iter().map(|folder| folder.join(file));
            files.filter(|file| file.exists()).collect::<Vec<_>>()
        };
        let sizes = || {
            files()
                .iter()
                .map(|file| file.metadata().unwrap().len())
                .sum::<u64>()
        };
        let whole = sizes();
        assert!(whole > 1000, "{file}");
        for path in files() {
            std::fs::write(path, b"cut short").unwrap();
        }
        assert_eq!(vectors(Some(cache.path())), without);
        assert_eq!(sizes(), whole, "{file}");
    }
    // A place that cannot be written to costs nothing but the time.
    assert_eq!(vectors(Some(Path::new("/dev/null/graphs"))), without);
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_says_what_to_install() {
    for device in ["cuda:0", "cuda:0,1", "tensorrt:0"] {
        let devices = device.parse().unwrap();
        let Err(error) = OnnxFactory::try_new(bundled(), devices, options()) else {
            panic!("a machine of tests has no GPU that works");
        };
        assert_eq!(error.kind(), ErrorKind::Runtime);
        let report = error.report();
        assert!(report.contains("setup --cuda"), "{report}");
    }
}

/// The mock with memory for so many rows of a model batch.
struct Narrow {
    mock: MockFactory,
    most_rows: usize,
    calls: Arc<Mutex<Vec<usize>>>,
}

struct NarrowEncoder {
    mock: Box<dyn Encoder>,
    most_rows: usize,
    calls: Arc<Mutex<Vec<usize>>>,
}

impl Narrow {
    fn new(most_rows: usize) -> Self {
        Self {
            mock: MockFactory::try_new().unwrap(),
            most_rows,
            calls: Arc::default(),
        }
    }
}

impl EncoderFactory for Narrow {
    fn card(&self) -> &ModelCard {
        self.mock.card()
    }

    fn preprocessing(&self) -> &Arc<Preprocessing> {
        self.mock.preprocessing()
    }

    fn encoder_bytes(&self) -> u64 {
        self.mock.encoder_bytes()
    }

    fn sizes(&self) -> EncoderSizes {
        self.mock.sizes()
    }

    fn captions_alone(&self) -> bool {
        true
    }

    fn make(&self, intra_threads: usize) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(NarrowEncoder {
            mock: self.mock.make(intra_threads)?,
            most_rows: self.most_rows,
            calls: Arc::clone(&self.calls),
        }))
    }
}

impl NarrowEncoder {
    fn take(&mut self, rows: usize) -> Result<()> {
        self.calls.lock().unwrap().push(rows);
        if rows > self.most_rows {
            return Err(Error::resources("run the model"));
        }
        Ok(())
    }
}

impl Encoder for NarrowEncoder {
    fn encode_images(&mut self, rgb: &[u8], rows: usize) -> Result<Vec<f32>> {
        self.take(rows)?;
        self.mock.encode_images(rgb, rows)
    }

    fn encode_texts(&mut self, tokens: &TokenBatch) -> Result<Vec<f32>> {
        self.take(tokens.rows)?;
        self.mock.encode_texts(tokens)
    }
}

#[test]
fn a_model_batch_is_halved_until_it_fits_and_no_row_is_lost() {
    let images: Vec<Vec<u8>> = (0..50).map(pictures::bmp).collect();
    let captions: Vec<String> = (0..50).map(|row| format!("caption {row:02}")).collect();
    let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
    let (wide, _) = pool(&MockFactory::try_new().unwrap(), 32);
    let narrow = Narrow::new(5);
    let (halving, counters) = pool(&narrow, 32);
    let expected = encode(&wide, Some(&images), &captions);
    assert_eq!(encode(&halving, Some(&images), &captions), expected);
    // 32, 16, 8, 4: what fits is known from then on.
    assert_eq!(counters.lowered_model_batch(), Some(4));
    let warnings = RunSummary::encoder_warnings(&counters);
    assert!(warnings[0].contains("--batch-size 4"), "{warnings:?}");
    narrow.calls.lock().unwrap().clear();
    assert_eq!(encode(&halving, Some(&images), &captions), expected);
    let again = narrow.calls.lock().unwrap();
    let refused = again.iter().filter(|&&rows| rows > 5).count();
    // Each of two encoders finds its own limit, once; the first batch may have met only one of them.
    assert!(refused <= 3, "{again:?}");
}

#[test]
fn memory_too_small_for_one_row_is_an_error_and_no_bad_row() {
    let (pool, _) = pool(&Narrow::new(0), 8);
    let batch = PairBatch {
        images: None,
        paths: None,
        captions: Some(StringViewArray::from_iter_values(["a", "b"])),
        shards: None,
        bond: Bond::Pair,
    };
    let error = futures::executor::block_on(pool.encode(batch)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resources);
}

#[test]
fn scores_of_reduced_pictures_are_never_mixed_with_exact_ones() {
    let exact = bundled().card();
    let reduced = bundled().with_scaling(Scaling::Dct).card();
    assert_eq!(exact.fingerprint, reduced.fingerprint, "the same model");
    assert!(reduced.preprocessing.contains("large JPEGs reduced"));
    assert_ne!(exact.preprocessing, reduced.preprocessing);
    let place = Place::new();
    let score = |more: &[&str]| {
        let mut command = program();
        command.args(["score", "assets/sample.parquet", "--scores"]);
        command.arg(place.path("scores")).args(["--device", "cpu"]);
        command.arg("--onnxruntime").arg(runtime::library());
        command.args(more).current_dir(ROOT);
        Ran::from(command.output().unwrap())
    };
    score(&["--fast-decode"]).exits(0);
    let refused = score(&["--model", "bundled"]).exits(1);
    assert!(
        refused.stderr.contains("large JPEGs reduced"),
        "{}",
        refused.stderr
    );
}
