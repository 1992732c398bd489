//! Decoding a JPEG of the usual kind allocates nothing once the buffers have grown.
//!
//! The library that counts is the allocator of this whole binary, which is why the test has one of its own.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[path = "pixels/archive.rs"]
#[expect(dead_code, reason = "of a case only the image is read here")]
mod archive;

use std::collections::BTreeMap;

use allocation_counter::{AllocationInfo, measure};
use clip_filter_pixels::{Alpha, Corner, FaultKind, Filter, Kernel, PixelSpec, Resize, probe};

fn kernel() -> Kernel {
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
    Kernel::new(spec, 1 << 24)
}

/// Allocations of one more run over each image, after two over all of them.
fn steady_state() -> BTreeMap<String, AllocationInfo> {
    let (mut kernel, mut out) = (kernel(), vec![0.0; 3 * 32 * 32]);
    let cases = archive::cases();
    for _ in 0..2 {
        for case in &cases {
            kernel.run(&case.image, &mut out).unwrap();
        }
    }
    let mut counts = BTreeMap::new();
    for case in &cases {
        let info = measure(|| {
            kernel.run(&case.image, &mut out).unwrap();
        });
        counts.insert(case.name.clone(), info);
    }
    counts
}

/// Files that declare more than they have, as a fuzzer found them.
const LYING: [(&str, &[u8]); 3] = [
    (
        "a TIFF of 64 bits with entries of no known kind",
        include_bytes!("found/tiff-big-kinds"),
    ),
    (
        "a TIFF whose width is two million numbers",
        include_bytes!("found/tiff-values"),
    ),
    (
        "a WebP with a partition of 16 MiB",
        include_bytes!("found/webp-partition"),
    ),
];

/// JPEG files that are decoded as a whole picture: of other colours, of rare sampling, or very narrow.
const GENERAL: [&str; 23] = [
    "jpeg-adobe-rgb",
    "jpeg-adobe-rgb-numbered",
    "jpeg-cmyk",
    "jpeg-cmyk-unmarked",
    "jpeg-one-by-one-1x2",
    "jpeg-one-by-one-1x4",
    "jpeg-one-by-one-3x1",
    "jpeg-one-by-one-4x1",
    "jpeg-one-by-one-4x2",
    "jpeg-one-by-one-chroma",
    "jpeg-one-pixel",
    "jpeg-progressive-1x1",
    "jpeg-progressive-2x5",
    "jpeg-progressive-7x9",
    "jpeg-progressive-cmyk",
    "jpeg-progressive-rgb",
    "jpeg-progressive-ycck",
    "jpeg-sequential-1x1",
    "jpeg-sequential-2x5",
    "jpeg-sequential-7x9",
    "jpeg-tall",
    "jpeg-unrefined-tiny",
    "jpeg-ycck",
];

/// Allocations per image that libraries make and cannot be told not to.
///
/// JPEG of a rare kind, ours: four vectors of rows per component. PNG: inflater of 32 KiB, rows, palette. GIF: dictionary
/// of 32 KiB. WebP: planes, Huffman trees, a bitmap per transform. TIFF: its directory, and a reader and a dictionary for
/// every strip. BMP: its palette, read here. AVIF: tables of items, planes, and a whole decoder for every tile.
fn most(name: &str) -> u64 {
    match name.split('-').next().unwrap() {
        "jpeg" if GENERAL.contains(&name) => 24,
        "jpeg" => 0,
        "bmp" => 1,
        "gif" => 8,
        "png" => 16,
        "tiff" => 200,
        "avif" => 1500,
        _ => 60,
    }
}

#[test]
fn a_plain_jpeg_allocates_nothing_and_others_what_their_library_needs() {
    let mut over = Vec::new();
    for (name, info) in steady_state() {
        if info.count_total > most(&name) {
            over.push(format!("{name}: {} allocations", info.count_total));
        }
    }
    assert!(over.is_empty(), "{}", over.join("\n"));
}

#[test]
fn a_header_is_read_without_room_for_a_pixel() {
    for case in archive::cases() {
        let info = measure(|| {
            probe(&case.image).unwrap();
        });
        // The directory of a TIFF and the items of an AVIF are read into memory; all else is looked up in the file.
        if case.name.starts_with("tiff") || case.name.starts_with("avif") {
            assert!(info.bytes_max < 16_384, "{}: {}", case.name, info.bytes_max);
        } else {
            assert_eq!(info.count_total, 0, "{}", case.name);
        }
    }
}

#[test]
fn no_decode_takes_more_memory_than_its_header_says() {
    let mut over = Vec::new();
    for case in archive::cases() {
        let bound = probe(&case.image).unwrap().working_bytes();
        let (mut kernel, mut out) = (kernel(), vec![0.0; 3 * 32 * 32]);
        let info = measure(|| {
            kernel.run(&case.image, &mut out).unwrap();
        });
        if info.bytes_max > bound {
            over.push(format!(
                "{}: {} of {bound} bytes",
                case.name, info.bytes_max
            ));
        }
    }
    assert!(over.is_empty(), "{}", over.join("\n"));
}

#[test]
fn what_a_file_declares_and_has_not_is_not_made_room_for() {
    for (name, file) in LYING {
        let (mut kernel, mut out) = (kernel(), vec![0.0; 3 * 32 * 32]);
        let mut answer = None;
        let info = measure(|| answer = Some(kernel.run(file, &mut out)));
        let bound = probe(file).map_or(1 << 16, |facts| facts.working_bytes());
        assert!(info.bytes_max <= bound, "{name}: {}", info.bytes_max);
        let fault = answer.unwrap().unwrap_err().kind;
        let known = [
            FaultKind::Corrupt,
            FaultKind::Truncated,
            FaultKind::Unsupported,
        ];
        assert!(known.contains(&fault), "{name}: {fault:?}");
    }
}
