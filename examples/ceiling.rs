//! What the cores allow: decoding alone, and each tower alone, on all threads, with nothing between them.
//!
//!     cargo run --release --example ceiling -- --input PAIRS.parquet [--model DIR] [--threads N]
//!
//! Prints one JSON object. `pairs_per_sec` is the rate at which one shared set of cores could do all three in
//! turn: 1 / (1/decode + 1/image + 1/text). Encoders are tried as N with one thread each and as one with N
//! threads, with model batches of 8 and 16; the best rate counts. Texts are batched by length, as the program does.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use arrow::array::AsArray;
use clap::Parser;
use clip_filter::{
    config::Device,
    encode::{
        Encoder, EncoderFactory, ModelSource, ModelSpec, Normalise, OnnxFactory, OnnxOptions,
        TokenBatch,
    },
    error::{Error, Result},
    preprocess::{ImageKernel, Padding},
    source::{ColumnBinding, ColumnChoice, Location, ReadPlan, ShardReader, ShardSet},
};

/// Time spent on each measurement, after a first batch off the clock.
const MEASURE_FOR: Duration = Duration::from_secs(4);
/// Images decoded per turn.
const BATCH: usize = 16;
/// Rows of a model batch that are tried.
const MODEL_BATCHES: [usize; 2] = [8, 16];

#[derive(Parser)]
struct Args {
    /// Shard with an image and a caption column.
    #[arg(long)]
    input: PathBuf,
    /// A model directory; the bundled one if not given.
    #[arg(long)]
    model: Option<PathBuf>,
    #[arg(long, default_value = "auto")]
    precision: String,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// The ONNX Runtime library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: PathBuf,
}

fn main() -> std::process::ExitCode {
    match run(&Args::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.report());
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let source = args
        .model
        .clone()
        .map_or(ModelSource::Bundled, ModelSource::Directory);
    let Ok(precision) = args.precision.parse();
    let options = OnnxOptions {
        library: args.onnxruntime.clone(),
        reproducible: false,
        intra_threads: 1,
        cuda_libraries: Vec::new(),
        graph_cache: None,
        normalise: Normalise::Auto,
    };
    let factory = OnnxFactory::try_new(
        ModelSpec::open(&source, &precision)?,
        Device::Cpu.into(),
        options,
    )?;
    let (images, captions) = read_pairs(&args.input)?;
    let decode = decode_rate(&factory, &images, args.threads)?;
    let (mut image, mut text) = (0f64, 0f64);
    for (encoders, intra) in [(args.threads, 1), (1, args.threads)] {
        for rows in MODEL_BATCHES {
            let rates = encode_rates(&factory, (&images, &captions), (encoders, intra), rows)?;
            (image, text) = (image.max(rates.0), text.max(rates.1));
        }
    }
    let pairs = 1.0 / (1.0 / decode + 1.0 / image + 1.0 / text);
    let report = serde_json::json!({
        "decode_images_per_sec": decode,
        "image_encode_per_sec": image,
        "text_encode_per_sec": text,
        "pairs_per_sec": pairs,
    });
    use std::io::Write;
    // A closed pipe has no reader to tell.
    let _ = writeln!(std::io::stdout(), "{report}");
    Ok(())
}

/// All good-looking pairs of a shard.
fn read_pairs(path: &std::path::Path) -> Result<(Vec<Vec<u8>>, Vec<String>)> {
    let set = ShardSet::open(&[Location::local(path)])?;
    let binding = ColumnBinding::detect(&set.schema, &set.metadata, &ColumnChoice::default())?;
    let columns = (0..set.schema.fields().len()).collect();
    let plan = ReadPlan {
        columns,
        batch_rows: 64,
        batch_bytes: 32 << 20,
        ..ReadPlan::default()
    };
    let reader = ShardReader::open(&set.shards[0], plan)?;
    let missing = || Error::internal("find a bound column");
    let (mut images, mut captions) = (Vec::new(), Vec::new());
    for group in 0..set.shards[0].row_groups.len() {
        for batch in reader.row_group(group, None)? {
            let batch = batch?;
            let image = batch.column_by_name(&binding.image).ok_or_else(missing)?;
            let bytes = match image.as_struct_opt() {
                Some(parts) => parts.column_by_name("bytes").ok_or_else(missing)?,
                None => image,
            };
            let texts = batch
                .column_by_name(&binding.text)
                .ok_or_else(missing)?
                .as_string_view();
            for (bytes, text) in bytes.as_binary_view().iter().zip(texts) {
                if let (Some(bytes), Some(text)) = (bytes, text) {
                    images.push(bytes.to_vec());
                    captions.push(text.to_owned());
                }
            }
        }
    }
    Ok((images, captions))
}

fn decode_rate(factory: &OnnxFactory, images: &[Vec<u8>], threads: usize) -> Result<f64> {
    let preprocessing = factory.preprocessing();
    let kernels = (0..threads)
        .map(|_| ImageKernel::new(preprocessing, u64::MAX))
        .collect();
    rate(kernels, |kernel, turn| {
        let mut rgb = vec![0; kernel.output_len()];
        for offset in 0..BATCH {
            // A bad image costs what it costs.
            let _ = kernel.run(&images[(turn * BATCH + offset) % images.len()], &mut rgb);
        }
        Ok(BATCH)
    })
}

fn encode_rates(
    factory: &OnnxFactory,
    (images, captions): (&[Vec<u8>], &[String]),
    (encoders, intra_threads): (usize, usize),
    rows: usize,
) -> Result<(f64, f64)> {
    let preprocessing = factory.preprocessing();
    let mut kernel = ImageKernel::new(preprocessing, u64::MAX);
    let mut rgb = vec![0; rows * kernel.output_len()];
    for (slot, image) in rgb
        .chunks_mut(kernel.output_len())
        .zip(images.iter().cycle())
    {
        let _ = kernel.run(image, slot);
    }
    let batches = text_batches(factory, captions, rows)?;
    let make = || {
        (0..encoders)
            .map(|_| factory.make(intra_threads))
            .collect::<Result<Vec<_>>>()
    };
    let image_rate = rate(make()?, |encoder, _| {
        encoder.encode_images(&rgb, rows).map(|_| rows)
    })?;
    let text_rate = rate(make()?, |encoder: &mut Box<dyn Encoder>, turn| {
        let batch = &batches[turn % batches.len()];
        encoder.encode_texts(batch).map(|_| batch.rows)
    })?;
    Ok((image_rate, text_rate))
}

/// Captions grouped by length within portions of 256 rows, as in the scoring pass.
fn text_batches(
    factory: &OnnxFactory,
    captions: &[String],
    rows: usize,
) -> Result<Vec<TokenBatch>> {
    let tokens = &factory.preprocessing().tokens;
    let mut batches = Vec::new();
    for portion in captions.chunks(256) {
        let texts: Vec<&str> = portion.iter().map(String::as_str).collect();
        let mut ids = tokens.encode(&texts)?;
        ids.sort_by_key(Vec::len);
        let together =
            |a: &Vec<i64>, b: &Vec<i64>| tokens.padding() != Padding::None || a.len() == b.len();
        let groups = ids.chunk_by(together);
        for chunk in groups.flat_map(|group| group.chunks(rows)) {
            batches.push(tokens.batch(&chunk.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        }
    }
    Ok(batches)
}

/// Items per second of one worker per thread; `work` gets a turn number that no other call has.
fn rate<W: Send>(
    workers: Vec<W>,
    work: impl Fn(&mut W, usize) -> Result<usize> + Sync,
) -> Result<f64> {
    let turn = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut worker| {
                let (turn, done, work) = (&turn, &done, &work);
                scope.spawn(move || -> Result<f64> {
                    work(&mut worker, turn.fetch_add(1, Ordering::Relaxed))?;
                    let warm = Instant::now();
                    while start.elapsed() < MEASURE_FOR {
                        let items = work(&mut worker, turn.fetch_add(1, Ordering::Relaxed))?;
                        done.fetch_add(items, Ordering::Relaxed);
                    }
                    Ok(warm.elapsed().as_secs_f64())
                })
            })
            .collect();
        let mut longest = 0f64;
        for thread in threads {
            longest = longest.max(
                thread
                    .join()
                    .map_err(|_| Error::internal("measure: a thread stopped"))??,
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        Ok(done.load(Ordering::Relaxed) as f64 / longest)
    })
}
