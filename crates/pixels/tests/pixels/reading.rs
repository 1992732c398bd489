//! Pictures that are stored turned, cut or damaged against what Pillow makes of them.

use clip_filter_pixels::{
    Alpha, Corner, Filter, Kernel, Orientation, PixelSpec, Reading, Resize, Scaling, Truncated,
    probe,
};

use crate::archive::{inflated, line};

/// Written by `golden/reading.py`.
const GOLDEN: &[u8] = include_bytes!("../golden/reading.bin");

const EDGE: u32 = 32;

/// One picture, and what Pillow makes of it as it is, turned, and filled.
struct Case {
    name: String,
    image: Vec<u8>,
    outcomes: [Outcome; 3],
}

/// A picture without a size is refused; the others by the checksums of their bytes.
struct Outcome {
    size: (u32, u32),
    rgb: u32,
    resized: u32,
}

fn sum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

const READINGS: [Reading; 3] = [
    reading(Orientation::Ignore, Truncated::Drop),
    reading(Orientation::Apply, Truncated::Drop),
    reading(Orientation::Ignore, Truncated::Fill),
];

const fn reading(orientation: Orientation, truncated: Truncated) -> Reading {
    Reading {
        orientation,
        truncated,
    }
}

fn cases() -> Vec<Case> {
    let mut rest = GOLDEN;
    assert!(line(&mut rest).starts_with("Pillow 13."));
    let mut cases = Vec::new();
    while !rest.is_empty() {
        let (name, fields) = line(&mut rest).split_once(' ').unwrap();
        let fields: Vec<u32> = fields
            .split(' ')
            .map(|field| field.parse().unwrap())
            .collect();
        let (image, tail) = rest.split_at(fields[0] as usize);
        rest = tail;
        cases.push(Case {
            name: name.to_owned(),
            image: inflated(image),
            outcomes: std::array::from_fn(|number| {
                let fields = &fields[1 + 4 * number..][..4];
                Outcome {
                    size: (fields[0], fields[1]),
                    rgb: fields[2],
                    resized: fields[3],
                }
            }),
        });
    }
    cases
}

fn kernel(reading: Reading) -> Kernel {
    let spec = PixelSpec {
        alpha: Alpha::Drop,
        resize: Some(Resize::ShortestEdge(EDGE)),
        filter: Filter::Bicubic,
        crop: Some((EDGE, EDGE)),
        corner: Corner::Floor,
        rescale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    Kernel::new(spec, 1 << 24).with_reading(reading)
}

#[test]
fn every_picture_is_read_turned_filled_or_refused_as_pillow_does() {
    let cases = cases();
    assert!(cases.len() > 200);
    let mut wrong = Vec::new();
    for reading in READINGS {
        let mut kernel = kernel(reading);
        let number = READINGS.iter().position(|other| *other == reading).unwrap();
        for case in &cases {
            let expected = &case.outcomes[number];
            let mut resized = vec![0; (3 * EDGE * EDGE) as usize];
            let run = kernel.run_rgb(&case.image, &mut resized).is_ok();
            let found = kernel.decode_rgb(&case.image);
            let is_right = match &found {
                Ok((facts, rgb)) => {
                    let size = (facts.width, facts.height);
                    let turned = probe(&case.image).unwrap().oriented(reading.orientation);
                    assert_eq!((turned.width, turned.height), size, "{}", case.name);
                    run && size == expected.size
                        && sum(rgb) == expected.rgb
                        && sum(&resized) == expected.resized
                }
                Err(_) => !run && expected.size == (0, 0),
            };
            if !is_right {
                let found = found.map(|(facts, _)| facts);
                wrong.push(format!("{} {reading:?}: {found:?}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_picture_that_is_not_turned_says_so_and_one_that_is_filled() {
    let cases = cases();
    let case = |name: &str| cases.iter().find(|case| case.name == name).unwrap();
    let facts = |name: &str, reading| {
        let mut kernel = kernel(reading);
        kernel.decode_rgb(&case(name).image).unwrap().0
    };
    let [plain, turned, filled] = READINGS;
    for name in ["jpeg-6-big", "png-6", "webp-6", "avif-6"] {
        assert!(facts(name, plain).is_left_unturned(), "{name}");
        assert!(!facts(name, turned).is_left_unturned(), "{name}");
    }
    assert!(!facts("tiff-raw-6", plain).is_left_unturned());
    assert!(!facts("jpeg-1-big", plain).is_left_unturned());
    for name in [
        "jpeg-cut-5",
        "jpeg-progressive-cut-5",
        "png-cut-5",
        "gif-cut-5",
        "bmp-cut-5",
    ] {
        assert!(facts(name, filled).is_filled(), "{name}");
    }
    assert!(!facts("jpeg-6-big", filled).is_filled());
}

/// Turned and reduced, a picture is what it is when it is turned after it was reduced.
#[test]
fn a_reduced_decode_is_turned_too() {
    let (width, height) = (301, 203);
    let rgb: Vec<u8> = (0..width * height)
        .flat_map(|at| {
            let (x, y) = (at % width, at / width);
            [x * 255 / width, y * 255 / height, 128].map(|value| value as u8)
        })
        .collect();
    let mut stored = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut stored, 95);
    let size = (width as u16, height as u16);
    encoder
        .encode(&rgb, size.0, size.1, jpeg_encoder::ColorType::Rgb)
        .unwrap();
    let spec = PixelSpec {
        alpha: Alpha::Drop,
        resize: Some(Resize::Exact {
            height: 8,
            width: 8,
        }),
        filter: Filter::Bilinear,
        crop: None,
        corner: Corner::Floor,
        rescale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    let run = |image: &[u8], scaling| {
        let mut kernel = Kernel::new(spec.clone(), 1 << 24)
            .with_reading(reading(Orientation::Apply, Truncated::Drop))
            .with_scaling(scaling);
        let mut out = vec![0; 3 * 8 * 8];
        kernel.run_rgb(image, &mut out).unwrap();
        out
    };
    for number in 1..=8u8 {
        let mut image = stored[..2].to_vec();
        image.extend_from_slice(
            b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0",
        );
        image.extend_from_slice(&[number, 0, 0, 0, 0, 0, 0]);
        image.extend_from_slice(&stored[2..]);
        let (exact, reduced) = (run(&image, Scaling::Exact), run(&image, Scaling::Dct));
        let most = exact
            .iter()
            .zip(&reduced)
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(most <= Some(3), "{number}: {most:?}");
    }
}
