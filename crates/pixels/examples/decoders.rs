//! JPEG decoders on the same files: images per second on one core, and how far their pixels are from a reference.
//!
//!     cargo run --release -p clip-filter-pixels --example decoders -- FOLDER [EDGE]
//!
//! FOLDER holds `NAME.jpg` beside `NAME.rgb`, the reference's interleaved bytes. Prints a JSON object on one line per
//! contender; `benches/decode.py` makes the folder and the table. The last two do more than decode: they resize to
//! EDGE pixels and normalise, as a model wants it.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement may fail loudly, and prints what it finds"
)]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use clip_filter_pixels::{Alpha, Corner, Filter, Kernel, PixelSpec, Resize, Scaling};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

struct Photo {
    file: Vec<u8>,
    rgb: Vec<u8>,
}

/// Decodes into RGB; what is not needed for that is not measured.
type Decode = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

fn photos(folder: &Path) -> Vec<Photo> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "jpg"))
        .collect();
    names.sort();
    let read = |path: std::path::PathBuf| Photo {
        rgb: fs::read(path.with_extension("rgb")).unwrap(),
        file: fs::read(path).unwrap(),
    };
    names.into_iter().map(read).collect()
}

fn spec(edge: u32) -> PixelSpec {
    PixelSpec {
        alpha: Alpha::Drop,
        resize: Some(Resize::ShortestEdge(edge)),
        filter: Filter::Bicubic,
        crop: Some((edge, edge)),
        corner: Corner::Floor,
        rescale: 1.0 / 255.0,
        mean: [0.5; 3],
        std: [0.5; 3],
    }
}

fn zune(file: &[u8]) -> Vec<u8> {
    use zune_jpeg::zune_core::{
        bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions,
    };
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(file), options)
        .decode()
        .unwrap()
}

fn jpeg_decoder(file: &[u8]) -> Vec<u8> {
    let mut decoder = jpeg_decoder::Decoder::new(file);
    let samples = decoder.decode().unwrap();
    match decoder.info().unwrap().pixel_format {
        jpeg_decoder::PixelFormat::L8 => samples.iter().flat_map(|grey| [*grey; 3]).collect(),
        _ => samples,
    }
}

fn contenders(edge: u32) -> Vec<(&'static str, Decode)> {
    let kernel = |scaling| Kernel::new(spec(edge), 1 << 28).with_scaling(scaling);
    let (mut whole, mut exact, mut reduced) = (
        kernel(Scaling::Exact),
        kernel(Scaling::Exact),
        kernel(Scaling::Dct),
    );
    let area = (3 * edge * edge) as usize;
    let (mut first, mut second) = (vec![0.0; area], vec![0.0; area]);
    vec![
        (
            "general decoder",
            Box::new(move |file| whole.decode_rgb(file).unwrap().1.to_vec()),
        ),
        ("zune-jpeg", Box::new(zune)),
        ("jpeg-decoder", Box::new(jpeg_decoder)),
        (
            "kernel, exact",
            Box::new(move |file| {
                exact.run(file, &mut first).unwrap();
                Vec::new()
            }),
        ),
        (
            "kernel, Scaling::Dct",
            Box::new(move |file| {
                reduced.run(file, &mut second).unwrap();
                Vec::new()
            }),
        ),
    ]
}

/// Largest and mean difference; none for a contender that leaves no picture.
fn difference(photos: &[Photo], decode: &mut Decode) -> Option<(u8, f64)> {
    let (mut largest, mut sum, mut count) = (0, 0u64, 0u64);
    for photo in photos {
        let rgb = decode(&photo.file);
        if rgb.is_empty() {
            return None;
        }
        assert_eq!(rgb.len(), photo.rgb.len());
        for (a, b) in rgb.iter().zip(&photo.rgb) {
            largest = largest.max(a.abs_diff(*b));
            sum += u64::from(a.abs_diff(*b));
        }
        count += rgb.len() as u64;
    }
    Some((largest, sum as f64 / count as f64))
}

fn rate(photos: &[Photo], decode: &mut Decode) -> f64 {
    let (start, mut done) = (Instant::now(), 0u32);
    while start.elapsed() < ROUND {
        for photo in photos {
            std::hint::black_box(decode(&photo.file));
            done += 1;
        }
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}

fn main() {
    let mut words = std::env::args().skip(1);
    let folder = words.next().unwrap();
    let edge = words.next().map_or(224, |edge| edge.parse().unwrap());
    let photos = photos(Path::new(&folder));
    let mut contenders = contenders(edge);
    let mut rates = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((_, decode), rates) in contenders.iter_mut().zip(&mut rates) {
            rates.push(rate(&photos, decode));
        }
    }
    for ((name, decode), rates) in contenders.iter_mut().zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        let (median, low, high) = (rates[ROUNDS / 2], rates[0], rates[ROUNDS - 1]);
        let (max, mean) = difference(&photos, decode).map_or_else(
            || ("null".to_owned(), "null".to_owned()),
            |(max, mean)| (max.to_string(), format!("{mean:.4}")),
        );
        println!(
            r#"{{"name": "{name}", "rate": {median:.1}, "low": {low:.1}, "high": {high:.1}, "max": {max}, "mean": {mean}}}"#
        );
    }
}
