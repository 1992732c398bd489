//! Small images of every format and mode against what Pillow makes of them.

use clip_filter_pixels::{Alpha, Corner, Filter, Kernel, PixelSpec, Resize, probe};

use crate::archive::cases;

const EDGE: u32 = 32;

fn spec(alpha: Alpha) -> PixelSpec {
    PixelSpec {
        alpha,
        resize: Some(Resize::ShortestEdge(EDGE)),
        filter: Filter::Bicubic,
        crop: Some((EDGE, EDGE)),
        corner: Corner::Floor,
        rescale: 1.0 / 255.0,
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
    }
}

#[test]
fn every_image_decodes_to_pillows_rgb() {
    let mut wrong = Vec::new();
    for (alpha, white) in [(Alpha::Drop, false), (Alpha::OverWhite, true)] {
        let mut kernel = Kernel::new(spec(alpha), 1 << 24);
        for case in cases() {
            let expected = if white { &case.white } else { &case.rgb };
            match kernel.decode_rgb(&case.image) {
                Err(fault) => wrong.push(format!("{} {alpha:?}: {fault}", case.name)),
                Ok((facts, rgb)) => {
                    assert_eq!((facts.width, facts.height), case.size, "{}", case.name);
                    if rgb != expected {
                        wrong.push(format!("{} {alpha:?}", case.name));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_image_resizes_and_crops_to_pillows_bytes() {
    let mut kernel = Kernel::new(spec(Alpha::Drop), 1 << 24);
    let mut resized = vec![0; (3 * EDGE * EDGE) as usize];
    for case in cases() {
        kernel.run_rgb(&case.image, &mut resized).unwrap();
        assert_eq!(resized, case.resized, "{}", case.name);
    }
}

#[test]
fn pixels_are_the_normalised_bytes_in_planes() {
    let spec = spec(Alpha::Drop);
    let mut kernel = Kernel::new(spec.clone(), 1 << 24);
    let area = (EDGE * EDGE) as usize;
    let (mut bytes, mut pixels) = (vec![0; 3 * area], vec![f32::NAN; 3 * area]);
    for case in cases().iter().take(20) {
        kernel.run_rgb(&case.image, &mut bytes).unwrap();
        kernel.run(&case.image, &mut pixels).unwrap();
        for (at, pixel) in bytes.chunks_exact(3).enumerate() {
            for channel in 0..3 {
                let expected = (f32::from(pixel[channel]) * spec.rescale - spec.mean[channel])
                    / spec.std[channel];
                assert!(
                    (pixels[channel * area + at] - expected).abs() < 1e-6,
                    "{}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn a_kernel_forgets_the_image_before() {
    let mut used = Kernel::new(spec(Alpha::OverWhite), 1 << 24);
    let (mut first, mut second) = (vec![0.0; 3072], vec![0.0; 3072]);
    for case in cases() {
        used.run(&case.image, &mut first).unwrap();
        Kernel::new(spec(Alpha::OverWhite), 1 << 24)
            .run(&case.image, &mut second)
            .unwrap();
        assert_eq!(first, second, "{}", case.name);
    }
}

#[test]
fn a_probe_tells_size_and_format_of_every_image() {
    for case in cases() {
        let facts = probe(&case.image).unwrap();
        assert_eq!((facts.width, facts.height), case.size, "{}", case.name);
        assert!(
            case.name.starts_with(facts.format.as_str()),
            "{}",
            case.name
        );
        assert!(facts.working_bytes() >= facts.pixels() * 3);
    }
}
