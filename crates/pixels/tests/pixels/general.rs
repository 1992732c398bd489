//! JPEG files of several scans against their sequential twins, and what becomes of damaged ones.

use clip_filter_pixels::{Alpha, Corner, FaultKind, Filter, Kernel, PixelSpec};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::archive::cases;

const SAMPLINGS: [SamplingFactor; 8] = [
    SamplingFactor::F_1_1,
    SamplingFactor::F_2_1,
    SamplingFactor::F_1_2,
    SamplingFactor::F_2_2,
    SamplingFactor::F_4_1,
    SamplingFactor::F_4_2,
    SamplingFactor::F_1_4,
    SamplingFactor::F_2_4,
];

fn encoded(
    (width, height): (u16, u16),
    colour: ColorType,
    sampling: SamplingFactor,
    (progressive, restart): (bool, u16),
) -> Vec<u8> {
    let channels = match colour {
        ColorType::Luma => 1,
        ColorType::Rgb => 3,
        _ => 4,
    };
    let mut state = u32::from(width) << 16 | u32::from(height) | 1;
    let samples: Vec<u8> = (0..usize::from(width) * usize::from(height) * channels)
        .map(|at| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (at / 7 + at / channels / usize::from(width) * 5 + (state >> 27) as usize) as u8
        })
        .collect();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 70 + (width % 30) as u8);
    encoder.set_sampling_factor(sampling);
    encoder.set_progressive(progressive);
    if restart > 0 {
        encoder.set_restart_interval(restart);
    }
    encoder.encode(&samples, width, height, colour).unwrap();
    file
}

/// Keeps so many rows and columns in the middle, without a resize.
fn kernel((height, width): (u32, u32)) -> Kernel {
    let spec = PixelSpec {
        alpha: Alpha::Drop,
        resize: None,
        filter: Filter::Bicubic,
        crop: Some((height, width)),
        corner: Corner::Floor,
        rescale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    Kernel::new(spec, 1 << 20)
}

#[test]
fn scans_add_up_to_the_sequential_picture() {
    for size in [(1, 1), (7, 9), (17, 33), (64, 40), (131, 50)] {
        for colour in [ColorType::Luma, ColorType::Rgb, ColorType::CmykAsYcck] {
            for sampling in SAMPLINGS {
                for restart in [0, 2] {
                    let name = format!("{size:?} {colour:?} {sampling:?} {restart}");
                    let mut kernel = kernel((u32::from(size.1), u32::from(size.0)));
                    let sequential = encoded(size, colour, sampling, (false, restart));
                    let expected = kernel.decode_rgb(&sequential).unwrap().1.to_vec();
                    let progressive = encoded(size, colour, sampling, (true, restart));
                    let rgb = kernel.decode_rgb(&progressive).unwrap().1;
                    assert!(rgb == expected, "{name}");
                    let mut rows = vec![0; expected.len()];
                    kernel.run_rgb(&progressive, &mut rows).unwrap();
                    assert!(rows == expected, "{name}, in rows");
                }
            }
        }
    }
}

#[test]
fn a_cropped_window_of_scans_is_that_part_of_the_picture() {
    for case in cases() {
        let scans = ["jpeg-unrefined", "jpeg-progressive", "jpeg-one-by-one"];
        let (width, height) = case.size;
        if width < 16 || !scans.iter().any(|scans| case.name.starts_with(scans)) {
            continue;
        }
        let edge = width.min(height) / 2;
        let mut out = vec![0; (3 * edge * edge) as usize];
        kernel((edge, edge)).run_rgb(&case.image, &mut out).unwrap();
        let (left, top) = ((width - edge) / 2, (height - edge) / 2);
        for (row, line) in out.chunks_exact(3 * edge as usize).enumerate() {
            let start = 3 * ((top as usize + row) * width as usize + left as usize);
            let expected = &case.rgb[start..][..line.len()];
            assert!(line == expected, "{}, row {row}", case.name);
        }
    }
}

#[test]
fn more_scans_than_any_encoder_makes_are_refused() {
    let file = encoded((16, 16), ColorType::Luma, SamplingFactor::F_1_1, (true, 0));
    let scan = file
        .windows(2)
        .position(|pair| pair == [0xff, 0xda])
        .unwrap();
    let end = scan
        + file[scan + 2..]
            .windows(2)
            .position(|pair| pair[0] == 0xff && pair[1] != 0)
            .unwrap()
        + 2;
    let mut many = file[..scan].to_vec();
    (0..501).for_each(|_| many.extend_from_slice(&file[scan..end]));
    many.extend_from_slice(&[0xff, 0xd9]);
    let fault = kernel((16, 16)).decode_rgb(&many).map(|_| ()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unsupported, "{fault}");
}
