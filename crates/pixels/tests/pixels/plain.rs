//! JPEG files that go straight from blocks to the resize, against the general decoder.

use clip_filter_pixels::{Alpha, Corner, Filter, Kernel, PixelSpec, Resize};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// Edges, slopes and noise, so that every coefficient occurs.
fn picture(width: u16, height: u16, channels: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut samples = Vec::new();
    for y in 0..usize::from(height) {
        for x in 0..usize::from(width) {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let noise = (state >> 27) as usize;
            let colour = [x * 3 + noise, ((x / 5) ^ (y / 3)) * 9, y * 2 + noise];
            samples.extend(colour[..channels].iter().map(|value| *value as u8));
        }
    }
    samples
}

fn jpeg(size: (u16, u16), channels: usize, sampling: SamplingFactor, restart: u16) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 60 + (size.0 % 40) as u8);
    encoder.set_sampling_factor(sampling);
    if restart > 0 {
        encoder.set_restart_interval(restart);
    }
    let colour = [
        ColorType::Luma,
        ColorType::Luma,
        ColorType::Luma,
        ColorType::Rgb,
    ][channels];
    let samples = picture(size.0, size.1, channels);
    encoder.encode(&samples, size.0, size.1, colour).unwrap();
    file
}

fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for size in [(16, 1), (17, 33), (40, 40), (63, 18), (97, 130), (300, 31)] {
        for restart in [0, 1, 3] {
            let name = format!("{size:?} {restart}");
            let grey = jpeg(size, 1, SamplingFactor::R_4_4_4, restart);
            files.push((format!("{name} grey"), grey));
            for sampling in [
                SamplingFactor::R_4_4_4,
                SamplingFactor::R_4_2_2,
                SamplingFactor::R_4_2_0,
            ] {
                let file = jpeg(size, 3, sampling, restart);
                files.push((format!("{name} {sampling:?}"), file));
            }
        }
    }
    files
}

fn spec(resize: Option<Resize>, crop: (u32, u32)) -> PixelSpec {
    PixelSpec {
        alpha: Alpha::Drop,
        resize,
        filter: Filter::Bicubic,
        crop: Some(crop),
        corner: Corner::Floor,
        rescale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    }
}

#[test]
fn a_crop_of_the_whole_picture_is_the_picture() {
    for (name, file) in files() {
        let facts = clip_filter_pixels::probe(&file).unwrap();
        let (width, height) = (facts.width, facts.height);
        let mut kernel = Kernel::new(spec(None, (height, width)), 1 << 20);
        let whole = kernel.decode_rgb(&file).unwrap().1.to_vec();
        let mut out = vec![0; whole.len()];
        kernel.run_rgb(&file, &mut out).unwrap();
        assert!(out == whole, "{name}");
    }
}

#[test]
fn every_crop_is_that_part_of_the_picture() {
    for (name, file) in files() {
        let facts = clip_filter_pixels::probe(&file).unwrap();
        let (width, height) = (facts.width as usize, facts.height as usize);
        for size in [1usize, 2, 7, 8, 9, 15] {
            let edge = size.min(height);
            let spec = spec(None, (edge as u32, edge as u32));
            let mut kernel = Kernel::new(spec, 1 << 20);
            let whole = kernel.decode_rgb(&file).unwrap().1.to_vec();
            let mut out = vec![0; 3 * edge * edge];
            kernel.run_rgb(&file, &mut out).unwrap();
            let (left, top) = ((width - edge) / 2, (height - edge) / 2);
            for (row, line) in out.chunks_exact(3 * edge).enumerate() {
                let expected = &whole[3 * ((top + row) * width + left)..][..3 * edge];
                assert!(line == expected, "{name}, {edge}");
            }
        }
    }
}

#[test]
fn a_restart_marker_that_is_not_there_is_damage_or_the_general_decoders_picture() {
    for (name, mut file) in files() {
        let Some(at) = file
            .windows(2)
            .rposition(|pair| pair[0] == 0xff && (0xd0..0xd8).contains(&pair[1]))
        else {
            continue;
        };
        file[at + 1] = 0;
        let facts = clip_filter_pixels::probe(&file).unwrap();
        let crop = (facts.height, facts.width);
        let mut kernel = Kernel::new(spec(None, crop), 1 << 20);
        let general = kernel.decode_rgb(&file).map(|(_, rgb)| rgb.to_vec());
        let mut out = vec![0; (3 * crop.0 * crop.1) as usize];
        match (kernel.run_rgb(&file, &mut out), general) {
            (Ok(_), Ok(whole)) => assert!(out == whole, "{name}"),
            (Err(here), Err(there)) => assert_eq!(here, there, "{name}"),
            (here, _) => panic!("{name}: {here:?}"),
        }
    }
}
