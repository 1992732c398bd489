//! Bytes to pixels on one core: JPEG and PNG of common sizes to a 224-pixel model input.
#![expect(clippy::expect_used, reason = "a benchmark")]

use std::time::Duration;

use clip_filter_pixels::{Alpha, Corner, Filter, Kernel, PixelSpec, Resize, probe};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn spec() -> PixelSpec {
    PixelSpec {
        alpha: Alpha::Drop,
        resize: Some(Resize::ShortestEdge(224)),
        filter: Filter::Bicubic,
        crop: Some((224, 224)),
        corner: Corner::Floor,
        rescale: 1.0 / 255.0,
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
    }
}

/// Waves, edges and noise, roughly as hard to code as a photograph.
fn picture(edge: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut rgb = Vec::with_capacity(edge * edge * 3);
    for y in 0..edge {
        for x in 0..edge {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let noise = (state >> 29) as usize;
            let wave = x * x / 900 + y * y / 700;
            rgb.extend(
                [
                    wave / 2 + noise,
                    ((x / 9) ^ (y / 7)) + noise,
                    200 - wave % 150 + noise,
                ]
                .map(|v| v.to_le_bytes()[0]),
            );
        }
    }
    rgb
}

fn jpeg(edge: u16) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut out, 85);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_2_0);
    encoder
        .encode(
            &picture(usize::from(edge)),
            edge,
            edge,
            jpeg_encoder::ColorType::Rgb,
        )
        .expect("jpeg");
    out
}

fn png(edge: u16) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, u32::from(edge), u32::from(edge));
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("png");
    writer
        .write_image_data(&picture(usize::from(edge)))
        .expect("png");
    writer.finish().expect("png");
    out
}

fn images(c: &mut Criterion) {
    let mut group = c.benchmark_group("pixels");
    group
        .throughput(Throughput::Elements(1))
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4));
    let mut kernel = Kernel::new(spec(), 1 << 24);
    let mut out = vec![0.0; 3 * 224 * 224];
    for (name, bytes) in [
        ("jpeg-512", jpeg(512)),
        ("jpeg-2048", jpeg(2048)),
        ("png-512", png(512)),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| kernel.run(&bytes, &mut out).expect("a good image"))
        });
    }
    let bytes = jpeg(512);
    group.bench_function("probe-jpeg-512", |b| {
        b.iter(|| probe(&bytes).expect("a good header"))
    });
    group.finish();
}

criterion_group!(benches, images);
criterion_main!(benches);
