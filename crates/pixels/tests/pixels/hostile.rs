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

/// How many of `count` tries an image gets: AV1 is decoded without assembly, and many images are alike.
fn tries(name: &str, count: usize) -> usize {
    if name.starts_with("avif") {
        count / 10
    } else {
        count
    }
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
    for (name, image) in images() {
        let cuts = tries(&name, 150);
        for cut in (0..image.len()).step_by((image.len() / cuts).max(1)) {
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
            // Cut within a marker that is not the end, Pillow has all rows.
            "jpeg-extra-before-end" => continue,
            _ if name.starts_with("jpeg") => image.len(),
            // Checksums behind the last row and the chunk that ends the file are not needed.
            _ if name.starts_with("png") => image.len() - 24,
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
fn flipped_bytes_are_answered() {
    let seed = 20_261_122;
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let mut kernel = kernel(1 << 22);
    let mut out = vec![0.0; 3072];
    for (name, image) in images() {
        for round in 0..tries(&name, 60) {
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
                // Width, height, and one strip for all rows.
                for tag in [[0, 1, 3, 0], [1, 1, 3, 0], [22, 1, 3, 0]] {
                    let at = image.windows(4).rposition(|window| window == tag).unwrap();
                    image[at + 8..at + 10].copy_from_slice(&[0x60, 0xea]);
                }
            }
            "avif-420-full" => {
                let at = image.windows(4).position(|kind| kind == b"ispe").unwrap();
                image[at + 8..at + 12].copy_from_slice(&huge.to_be_bytes());
                image[at + 12..at + 16].copy_from_slice(&huge.to_be_bytes());
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
fn an_avif_cut_short_is_never_a_picture() {
    let mut kernel = kernel(1 << 22);
    for (name, image) in images() {
        // Behind the picture of a sequence lie others.
        if !name.starts_with("avif") || name.contains("sequence") {
            continue;
        }
        for lost in [1, 2, 5, 40] {
            let cut = &image[..image.len() - lost];
            let fault = kernel.decode_rgb(cut).map(|_| ()).unwrap_err();
            assert_eq!(
                fault.kind,
                FaultKind::Truncated,
                "{name} without {lost}: {fault}"
            );
        }
    }
}

#[test]
fn an_avif_of_another_size_than_its_frame_is_damaged() {
    let images = images();
    let (_, image) = images
        .iter()
        .find(|(name, _)| name == "avif-420-full")
        .unwrap();
    let at = image.windows(4).position(|kind| kind == b"ispe").unwrap();
    for (width, height) in [(30u32, 23u32), (28, 23), (29, 24), (64, 64), (1, 1)] {
        let mut changed = image.clone();
        changed[at + 8..at + 12].copy_from_slice(&width.to_be_bytes());
        changed[at + 12..at + 16].copy_from_slice(&height.to_be_bytes());
        let fault = kernel(1 << 22)
            .decode_rgb(&changed)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(
            fault.kind,
            FaultKind::Corrupt,
            "{width} x {height}: {fault}"
        );
    }
}

#[test]
fn what_is_not_read_is_named() {
    let files: [(&[u8], &str); 17] = [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heix", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "brand isom"),
        (b"\xff\x0a\xfa\x7f\x01", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a --><svg/>",
            "SVG",
        ),
        (
            b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
            "XML",
        ),
        (b"%PDF-1.7\n", "PDF"),
        (b"<!DOCTYPE html><html><svg/></html>", "HTML"),
        (b"\n  <HTML lang=en>", "HTML"),
        (b"{\"error\": \"not found\"}", "JSON"),
        (b" [ {\"a\": 1} ]", "JSON"),
        (b"{}", "JSON"),
        (
            b"Not found",
            "not a JPEG, PNG, GIF, WebP, BMP, TIFF or AVIF",
        ),
    ];
    for (bytes, name) in files {
        let fault = probe(bytes).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unsupported, "{name}");
        assert!(fault.message.contains(name), "{name}: {fault}");
    }
}

#[test]
fn a_tiff_that_is_not_read_says_which_kind_it_is() {
    let images = images();
    let image = |wanted: &str| {
        let mut images = images.iter();
        images.find(|(name, _)| name == wanted).unwrap().1.clone()
    };
    // Little-endian entries of one short number: compression, meaning of samples.
    let changed = |name: &str, tag: u16, value: u16| {
        let mut file = image(name);
        let mut entry = tag.to_le_bytes().to_vec();
        entry.extend_from_slice(&[3, 0, 1, 0, 0, 0]);
        let at = file.windows(8).rposition(|bytes| bytes == entry).unwrap();
        file[at + 8..at + 10].copy_from_slice(&value.to_le_bytes());
        probe(&file).unwrap_err()
    };
    for (fault, name) in [
        (changed("tiff-rgb-tiff_lzw", 259, 50_000), "Zstandard"),
        (changed("tiff-rgb-tiff_lzw", 259, 34_925), "LZMA"),
        (changed("tiff-one-bit", 259, 3), "CCITT group 3"),
        (changed("tiff-rgb-tiff_lzw", 259, 6), "old-style JPEG"),
        (changed("tiff-plain-strip", 262, 8), "LAB"),
        (changed("tiff-plain-strip", 262, 6), "subsampled YCbCr"),
        (changed("tiff-plain-strip", 262, 32_803), "raw sensor"),
    ] {
        assert_eq!(fault.kind, FaultKind::Unsupported, "{name}: {fault}");
        assert!(fault.message.contains(name), "{name}: {fault}");
    }
}

#[test]
fn an_output_of_another_length_is_refused() {
    let (_, image) = images().swap_remove(0);
    assert_eq!(
        kernel(1 << 22).run(&image, &mut [0.0; 5]).unwrap_err().kind,
        FaultKind::Unsupported
    );
}

#[test]
fn an_avif_whose_boxes_are_not_as_they_must_be_is_refused() {
    let image = image("avif-420-full");
    assert!(kernel(1 << 22).decode_rgb(&image).is_ok());
    let changes: [(&[u8], &[u8]); 7] = [
        (b"ftypavif", b"ftypheif"),
        (b"pict", b"soun"),
        (b"hdlr\0", b"hdlr\x01"),
        (b"ispe\0", b"ispe\x01"),
        (b"pixi\0\0\0\0\x03", b"pixi\0\0\0\0\x09"),
        (b"av1C\x81", b"av1C\x80"),
        (b"\x01\0\0\0\x1ainfe", b"\x02\0\0\0\x1ainfe"),
    ];
    for (found, put) in changes {
        let mut changed = image.clone();
        let at = changed
            .windows(found.len())
            .position(|window| window == found)
            .unwrap();
        changed[at..at + put.len()].copy_from_slice(put);
        let result = kernel(1 << 22).decode_rgb(&changed).map(|_| ());
        assert!(result.is_err(), "{}", put.escape_ascii());
    }
}

#[test]
fn reasons_say_what_is_wrong_with_the_picture() {
    let half = |name: &str| {
        let image = image(name);
        image[..image.len() / 2].to_vec()
    };
    let changed = |name: &str, at: usize| {
        let mut image = image(name);
        image[at] ^= 0x40;
        image
    };
    let cases = [
        (
            half("gif-plain"),
            FaultKind::Truncated,
            "gif: the file ends within the picture",
        ),
        (
            half("png-rgb"),
            FaultKind::Truncated,
            "png: the file ends within the picture",
        ),
        (
            half("jpeg-444"),
            FaultKind::Truncated,
            "jpeg: the file ends within the picture",
        ),
        (
            half("bmp-rgb"),
            FaultKind::Truncated,
            "bmp: the file ends after ",
        ),
        (
            half("avif-420-full"),
            FaultKind::Truncated,
            "avif: its picture is not in the file",
        ),
        (
            changed("png-rgb", 29),
            FaultKind::Corrupt,
            "png: the checksum of its IHDR chunk is wrong",
        ),
        (
            b"II*\0\x08\0\0\0".to_vec(),
            FaultKind::Truncated,
            "tiff: the file ends before its directory",
        ),
        (
            b"II*\0\x08\0\0\0\x09\0\0\x01\x03\0\x01\0\0\0\x05\0\0\0".to_vec(),
            FaultKind::Truncated,
            "tiff: the file ends within its directory",
        ),
        (
            b"\0\0\0\x20ftyp".to_vec(),
            FaultKind::Truncated,
            "the file ends before it says what it is",
        ),
    ];
    for (image, kind, message) in cases {
        let fault = kernel(1 << 22).decode_rgb(&image).map(|_| ()).unwrap_err();
        assert!(
            fault.kind == kind && fault.message.starts_with(message),
            "{fault} for {message}"
        );
    }
}

#[test]
fn a_damaged_av1_picture_is_told_as_that() {
    let avif = image("avif-420-full");
    let start = avif
        .windows(4)
        .position(|window| window == b"mdat")
        .unwrap()
        + 4;
    let faults = (start..start + 40).filter_map(|at| {
        let mut changed = avif.clone();
        changed[at] ^= 0x40;
        kernel(1 << 22).decode_rgb(&changed).map(|_| ()).err()
    });
    let messages: Vec<String> = faults.map(|fault| fault.message).collect();
    assert!(messages.contains(&"avif: its AV1 picture is damaged".to_owned()));
    assert!(!messages.iter().any(|message| message.contains("argument")));
}

fn image(name: &str) -> Vec<u8> {
    let mut images = images().into_iter();
    images.find(|(other, _)| other == name).unwrap().1
}

/// A BMP of 4 x 4 pixels of eight bits that declares `colors` and has `entries` of them.
fn indexed_bmp(colors: u32, entries: u32, color: fn(u8) -> [u8; 3]) -> Vec<u8> {
    let data_at = 54 + entries * 4;
    let fields = [
        data_at + 16,
        0,
        data_at,
        40,
        4,
        4,
        1 | 8 << 16,
        0,
        0,
        0,
        0,
        colors,
        0,
    ];
    let mut bytes = b"BM".to_vec();
    bytes.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
    for entry in 0..entries {
        bytes.extend(color(entry.to_le_bytes()[0]));
        bytes.push(0);
    }
    bytes.extend(0..16);
    bytes
}

/// What Pillow 13 opens, and what it refuses as "invalid palette size".
#[test]
fn a_palette_has_256_colors_unless_it_is_grey() {
    let mut kernel = kernel(1 << 22);
    let mut out = vec![0.0; 3072];
    let (grey, mixed) = (|of| [of; 3], |of: u8| [of, of.wrapping_mul(7), 1]);
    for (colors, entries, color, is_good) in [
        (256, 256, mixed as fn(u8) -> [u8; 3], true),
        (257, 257, mixed, false),
        (65_536, 65_536, mixed, false),
        (257, 257, grey, true),
        (300, 300, grey, true),
        // What is there of it counts, and so do pixels behind it.
        (300, 200, mixed, true),
        (300, 253, mixed, false),
        (70_000, 10, mixed, false),
    ] {
        let bytes = indexed_bmp(colors, entries, color);
        match kernel.run(&bytes, &mut out) {
            Ok(_) => assert!(is_good, "{colors}, {entries}"),
            Err(fault) => {
                assert!(!is_good, "{colors}, {entries}: {}", fault.message);
                assert!(
                    fault.message.starts_with("bmp: palette of "),
                    "{}",
                    fault.message
                );
            }
        }
    }
}
