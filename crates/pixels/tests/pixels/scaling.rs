//! Large JPEG files decoded at a part of their size, and what must not change by that.

use clip_filter_pixels::{Alpha, Corner, Filter, Kernel, PixelSpec, Resize, Scaling};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

const EDGE: u32 = 24;

fn spec(resize: Option<Resize>) -> PixelSpec {
    PixelSpec {
        alpha: Alpha::Drop,
        resize,
        filter: Filter::Bicubic,
        crop: Some((EDGE, EDGE)),
        corner: Corner::Floor,
        rescale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    }
}

/// A photograph of slopes: red grows to the right, green downwards, blue along the diagonal.
fn slopes(width: u16, height: u16, sampling: SamplingFactor) -> Vec<u8> {
    let mut rgb = Vec::new();
    for y in 0..u32::from(height) {
        for x in 0..u32::from(width) {
            let (red, green) = (x * 255 / u32::from(width), y * 255 / u32::from(height));
            rgb.extend([red as u8, green as u8, ((red + green) / 2) as u8]);
        }
    }
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 95);
    encoder.set_sampling_factor(sampling);
    encoder.encode(&rgb, width, height, ColorType::Rgb).unwrap();
    file
}

fn pixels(spec: &PixelSpec, scaling: Scaling, file: &[u8]) -> Vec<u8> {
    let mut out = vec![0; (3 * EDGE * EDGE) as usize];
    let mut kernel = Kernel::new(spec.clone(), 1 << 24).with_scaling(scaling);
    let facts = kernel.run_rgb(file, &mut out).unwrap();
    let stored = clip_filter_pixels::probe(file).unwrap();
    assert_eq!(facts, stored, "the facts are those of the stored picture");
    out
}

#[test]
fn a_reduction_leaves_the_margin_in_both_dimensions() {
    let square = spec(Some(Resize::ShortestEdge(100)));
    let by = |width, height| Scaling::Dct.reduction(&square, width, height);
    assert_eq!([by(799, 900), by(800, 900)], [1, 2]);
    assert_eq!([by(1599, 1599), by(9000, 1600)], [2, 4]);
    assert_eq!([by(3200, 3200), by(60_000, 60_000)], [8, 8]);
    let flat = spec(Some(Resize::Exact {
        height: 100,
        width: 400,
    }));
    assert_eq!(Scaling::Dct.reduction(&flat, 3199, 3200), 1);
    assert_eq!(Scaling::Dct.reduction(&flat, 3200, 800), 2);
    assert_eq!(Scaling::Exact.reduction(&square, 60_000, 60_000), 1);
    assert_eq!(Scaling::Dct.reduction(&spec(None), 60_000, 60_000), 1);
}

#[test]
fn a_reduced_picture_lies_where_the_exact_one_does() {
    let spec = spec(Some(Resize::ShortestEdge(EDGE)));
    // Sizes that no reduction divides, so that the last pixel stands for fewer.
    for (width, height) in [(203, 271), (397, 555), (1001, 777)] {
        for sampling in [
            SamplingFactor::R_4_4_4,
            SamplingFactor::R_4_2_2,
            SamplingFactor::R_4_2_0,
        ] {
            let file = slopes(width, height, sampling);
            let (exact, reduced) = (
                pixels(&spec, Scaling::Exact, &file),
                pixels(&spec, Scaling::Dct, &file),
            );
            for channel in 0..3 {
                let difference: i32 = exact
                    .iter()
                    .zip(&reduced)
                    .skip(channel)
                    .step_by(3)
                    .map(|(a, b)| i32::from(*a) - i32::from(*b))
                    .sum();
                // 1001 columns at an eighth are 126; taken for as many whole ones, they would be off by 0.9 in the middle.
                let mean = f64::from(difference) / f64::from(EDGE * EDGE);
                assert!(mean.abs() < 0.3, "{width} x {height}, {channel}: {mean}");
            }
        }
    }
}

#[test]
fn below_the_margin_nothing_changes() {
    let spec = spec(Some(Resize::ShortestEdge(EDGE)));
    let file = slopes(191, 250, SamplingFactor::R_4_2_0);
    assert_eq!(
        pixels(&spec, Scaling::Dct, &file),
        pixels(&spec, Scaling::Exact, &file)
    );
}
