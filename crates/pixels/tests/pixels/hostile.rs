//! Damaged and lying files: always an answer, never a panic, never a picture that is not there.

use clip_filter_pixels::{Alpha, Corner, FaultKind, Filter, Kernel, PixelSpec, Resize, probe};

use crate::archive::cases;

fn images() -> Vec<(String, Vec<u8>)> {
    cases()
        .into_iter()
        .map(|case| (case.name, case.image))
        .collect()
}

fn kernel(max_pixels: u64) -> Kernel {
    let spec = PixelSpec {
        alpha: Alpha::OverWhite,
        resize: Some(Resize::ShortestEdge(32)),
        filter: Filter::Bicubic,
        crop: Some((32, 32)),
        corner: Corner::Floor,
        rescale: 1.0 / 255.0,
        mean: [0.5; 3],
        std: [0.5; 3],
    };
    Kernel::new(spec, max_pixels)
}

/// A generator that needs no crate: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn a_file_cut_anywhere_is_answered() {
    let mut kernel = kernel(1 << 22);
    let mut out = vec![0.0; 3072];
    for (_, image) in images() {
        for cut in (0..image.len()).step_by((image.len() / 150).max(1)) {
            let _ = kernel.run(&image[..cut], &mut out);
        }
    }
}

#[test]
fn a_jpeg_or_png_cut_short_is_never_a_picture() {
    let mut kernel = kernel(1 << 22);
    let mut out = vec![0.0; 3072];
    for (name, image) in images() {
        let whole = match name.as_str() {
            "jpeg-trailing" | "png-no-end" | "png-animated" => continue,
            _ if name.starts_with("jpeg") => image.len(),
            // The chunk that ends the file is not needed.
            _ if name.starts_with("png") => image.len() - 12,
            _ => continue,
        };
        for cut in (1..whole).rev().step_by((whole / 100).max(1)) {
            let fault = kernel
                .run(&image[..cut], &mut out)
                .expect_err(&format!("{name} cut at {cut}"));
            let known = [
                FaultKind::Truncated,
                FaultKind::Corrupt,
                FaultKind::Unsupported,
            ];
            assert!(known.contains(&fault.kind), "{name} cut at {cut}: {fault}");
        }
    }
}

#[test]
fn a_sequential_jpeg_cut_short_behind_an_end_marker_is_not_grey() {
    let mut kernel = kernel(1 << 22);
    for (name, image) in images() {
        if !matches!(
            name.as_str(),
            "jpeg-444" | "jpeg-420" | "jpeg-grey" | "jpeg-cmyk"
        ) {
            continue;
        }
        for share in [4, 5, 6, 7] {
            let mut cut = image[..image.len() * share / 8].to_vec();
            cut.extend_from_slice(&[0xff, 0xd9]);
            assert!(
                kernel.decode_rgb(&cut).is_err(),
                "{name} with {share}/8 of its bytes"
            );
        }
    }
}

#[test]
fn flipped_bytes_are_answered() {
    let seed = 20_261_122;
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let mut kernel = kernel(1 << 22);
    let mut out = vec![0.0; 3072];
    for (_, image) in images() {
        for round in 0..60 {
            let mut damaged = image.clone();
            for _ in 0..=round % 6 {
                let range = if round % 2 == 0 {
                    damaged.len()
                } else {
                    damaged.len().min(64)
                };
                let at = random.below(range);
                damaged[at] = u8::try_from(random.below(256)).unwrap();
            }
            let _ = kernel.run(&damaged, &mut out);
        }
    }
}

#[test]
fn noise_behind_every_signature_is_answered() {
    let mut random = Random(7);
    let mut kernel = kernel(1 << 22);
    let mut out = vec![0.0; 3072];
    for (_, image) in images() {
        let mut noise = image[..image.len().min(30)].to_vec();
        noise.extend((0..500).map(|_| u8::try_from(random.below(256)).unwrap()));
        let _ = kernel.run(&noise, &mut out);
    }
}

#[test]
fn a_declared_size_over_the_limit_is_refused_in_every_format() {
    for (name, image) in images() {
        let pixels = probe(&image).unwrap().pixels();
        let fault = kernel(pixels - 1)
            .decode_rgb(&image)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::TooManyPixels, "{name}");
        assert!(kernel(pixels).decode_rgb(&image).is_ok(), "{name}");
    }
}

#[test]
fn a_header_that_lies_about_its_size_is_refused_before_the_pixels() {
    let huge = 60_000u32;
    for (name, mut image) in images() {
        match name.as_str() {
            "png-rgb" => {
                image[16..20].copy_from_slice(&huge.to_be_bytes());
                image[20..24].copy_from_slice(&huge.to_be_bytes());
            }
            "gif-plain" => image[6..10].copy_from_slice(&[0x60, 0xea, 0x60, 0xea]),
            "bmp-rgb" => {
                image[18..22].copy_from_slice(&huge.to_le_bytes());
                image[22..26].copy_from_slice(&huge.to_le_bytes());
            }
            "jpeg-444" => {
                let frame = image
                    .windows(2)
                    .position(|pair| pair == [0xff, 0xc0])
                    .unwrap();
                image[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
            }
            "webp-lossy" => image[26..30].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]),
            "webp-lossless" => image[21..25].copy_from_slice(&[0xff, 0xff, 0xff, 0x0f]),
            "tiff-plain-strip" => {
                for tag in [[0, 1, 3, 0], [1, 1, 3, 0]] {
                    let at = image.windows(4).rposition(|window| window == tag).unwrap();
                    image[at + 8..at + 10].copy_from_slice(&[0x60, 0xea]);
                }
            }
            _ => continue,
        }
        let fault = kernel(100_000_000)
            .decode_rgb(&image)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::TooManyPixels, "{name}: {fault}");
    }
}

#[test]
fn what_is_no_image_says_so() {
    let kind = |bytes: &[u8]| probe(bytes).unwrap_err().kind;
    assert_eq!(kind(b""), FaultKind::Empty);
    for bytes in [
        &b"<html></html>"[..],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        &[0; 64],
        b"\xff",
        b"RIFF",
    ] {
        assert_eq!(kind(bytes), FaultKind::Unsupported);
    }
    assert_eq!(kind(b"\x89PNG\r\n\x1a\n"), FaultKind::Truncated);
    assert_eq!(kind(b"\xff\xd8\xff\xe0"), FaultKind::Truncated);
}

#[test]
fn an_output_of_another_length_is_refused() {
    let (_, image) = images().swap_remove(0);
    assert_eq!(
        kernel(1 << 22).run(&image, &mut [0.0; 5]).unwrap_err().kind,
        FaultKind::Unsupported
    );
}
