//! TIFF through the `tiff` crate, samples untransformed, then Pillow's table of modes.

use std::panic::catch_unwind;

use tiff::decoder::ChunkType;
use tiff::tags::Tag;

use crate::exif::Metadata;
use crate::fault::Fault;
use crate::probe::{ImageFacts, ImageKind};
use crate::samples::{Buffers, Palette, Rows, Wanted, cleared, cmyk_to_rgb, flatten, low8};
use crate::spec::Truncated;
use crate::tiff_directory::{Orientation, orientation, xmp};
use crate::tiff_jpeg;
use crate::tiff_page::{Page, compression, fault};
use crate::tiff_raw::{self, Ending};
use crate::turn::Turn;

/// What an alpha sample is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opacity {
    None,
    Premultiplied,
    Straight,
}

/// What the samples of a pixel are.
#[derive(Clone, Copy)]
enum Meaning {
    /// Of eight bits and less.
    Indexed,
    IndexedAlpha(Opacity),
    /// One number of 16 or 32 bits, cut at 0 and 255.
    Wide,
    GreyAlpha(Opacity),
    Rgb(Opacity),
    Cmyk,
    YCbCr,
    /// Baseline or progressive JPEG in every strip or tile: grey, RGB or YCbCr.
    Jpeg,
}

fn meaning(page: &mut Page<'_>) -> Result<Meaning, Fault> {
    let alpha = match page.extra.first() {
        Some(0) => Opacity::None,
        Some(1) => Opacity::Premultiplied,
        _ => Opacity::Straight,
    };
    let kind = (page.photometric, page.format, page.samples, page.bits);
    let planar = page.samples > 1 && page.number(Tag::PlanarConfiguration, 1)? == 2;
    if planar && page.decoder.get_chunk_type() == ChunkType::Tile {
        // The crate reads those of the second plane and further ones at the wrong height.
        let message = "tiff: tiles with a plane for every sample";
        return Err(Fault::unsupported(message));
    }
    let meaning = match kind {
        (0 | 1, 1, 1, 8) | (2 | 6, 1, 3, 8) if page.compression == compression::JPEG && !planar => {
            Meaning::Jpeg
        }
        _ if !compression::SAMPLES.contains(&page.compression) => {
            let (name, kind) = (compression::name(page.compression), named(page));
            let message = format!("{kind} with {name} compression ({})", page.compression);
            return Err(Fault::unsupported(message));
        }
        (0 | 1, 1, 1, 16 | 32) | (1, 2, 1, 16 | 32) | (0 | 1, 3, 1, 32) => Meaning::Wide,
        (0 | 1 | 3, 1, 1, 1 | 2 | 4 | 8) | (1, 2, 1, 8) => Meaning::Indexed,
        (1, 1, 2, 8) if alpha != Opacity::Premultiplied => Meaning::GreyAlpha(alpha),
        (3, 1, 2, 8) if alpha != Opacity::Premultiplied => Meaning::IndexedAlpha(alpha),
        (2, 1, 3, 8 | 16) => Meaning::Rgb(Opacity::None),
        (2, 1, 4, 8 | 16) | (2, 1, 5 | 6, 8) => Meaning::Rgb(alpha),
        (5, 1, 4, 8 | 16) | (5, 1, 5 | 6, 8) => Meaning::Cmyk,
        (6, 1, 3, 8) if page.numbers::<u16>(Tag::ChromaSubsampling)?.eq(&[1, 1]) => Meaning::YCbCr,
        _ => return Err(Fault::unsupported(named(page))),
    };
    Ok(meaning)
}

/// A variant in words.
fn named(page: &Page<'_>) -> String {
    let (photometric, format) = (page.photometric, page.format);
    let (samples, bits) = (page.samples, page.bits);
    let color = match photometric {
        0 | 1 => "grey",
        2 => "RGB",
        3 => "palette",
        4 => "mask",
        5 => "CMYK",
        6 => "subsampled YCbCr",
        8..=10 => "LAB",
        32_803 => "raw sensor",
        32_844 | 32_845 => "LogLuv",
        _ => "unknown colour",
    };
    let format = match format {
        1 => "unsigned",
        2 => "signed",
        3 => "floating-point",
        _ => "undefined",
    };
    let number = format!("photometric {photometric}");
    format!("tiff: {color} ({number}), {samples} {format} samples of {bits} bits")
}

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    // The crate multiplies what the directory declares.
    let read = catch_unwind(|| facts(bytes));
    read.unwrap_or_else(|_| Err(Fault::corrupt("tiff: decoder gave up")))
}

fn facts(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let mut page = Page::open(bytes)?;
    let meaning = meaning(&mut page)?;
    page.check_tiles()?;
    let samples = page.stride().saturating_mul(u64::from(page.height));
    let held = match meaning {
        Meaning::Jpeg => tiff_jpeg::decoder_bytes(&page),
        _ => samples,
    };
    // The compressed bytes with their bits turned, lists of strips, windows of the decompressors.
    let copy = u64::try_from(bytes.len()).unwrap_or(u64::MAX / 8);
    let beside = page.directory_bytes.saturating_add(copy.saturating_mul(3));
    let held = held.saturating_add(beside.saturating_add(1 << 20));
    let facts = ImageFacts::new(page.width, page.height, ImageKind::Tiff, held)?;
    Ok(facts.to_turn(turn(bytes)))
}

/// How the picture is to be turned.
fn turn(bytes: &[u8]) -> Turn {
    match orientation(bytes) {
        Orientation::Number(number) => Turn::of(number),
        _ => Metadata {
            exif: None,
            xmp: xmp(bytes),
        }
        .turn(),
    }
}

pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    wanted: Wanted,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let alpha = wanted.alpha;
    let mut page = Page::open(bytes)?;
    let pixels = usize::try_from(facts.pixels())
        .map_err(|_| Fault::unsupported("tiff: larger than memory"))?;
    let meaning = meaning(&mut page)?;
    if let Meaning::Jpeg = meaning {
        return tiff_jpeg::decode(bytes, &mut page, cleared(&mut buffers.rgb, pixels * 3));
    }
    let palette = palette(&mut page)?;
    let plane_stride = read_samples(bytes, &mut page, wanted.truncated, buffers)?;
    let rgb = cleared(&mut buffers.rgb, pixels * 3);
    let samples = buffers.raw.as_slice();
    if let Meaning::Indexed = meaning {
        let length = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let rows = Rows {
            width: length(u64::from(page.width)),
            stride: length(page.stride()),
            bits: page.bits,
        };
        palette.expand(samples, rows, alpha, rgb);
        return Ok(());
    }
    let step = usize::from(page.bits / 8);
    let count = usize::from(page.samples);
    // Of 16 bits the high byte counts; samples have the machine's order.
    let high = if cfg!(target_endian = "little") {
        step - 1
    } else {
        0
    };
    let (across, between) = match plane_stride {
        Some(stride) => (step, stride),
        None => (step * count, step),
    };
    for (index, out) in rgb.chunks_exact_mut(3).enumerate() {
        let at = |sample: usize| samples[index * across + sample * between + high];
        let color = match meaning {
            Meaning::IndexedAlpha(opacity) => {
                let [r, g, b, _] = palette.0[usize::from(at(0))];
                straight([r, g, b, at(1)], opacity)
            }
            Meaning::Wide => {
                let grey = cut(&samples[index * step..][..step], page.format);
                [grey, grey, grey, 255]
            }
            Meaning::GreyAlpha(opacity) => straight([at(0), at(0), at(0), at(1)], opacity),
            Meaning::Rgb(Opacity::None) => [at(0), at(1), at(2), 255],
            Meaning::Rgb(opacity) => straight([at(0), at(1), at(2), at(3)], opacity),
            Meaning::Cmyk => {
                let [r, g, b] = cmyk_to_rgb([at(0), at(1), at(2), at(3)]);
                [r, g, b, 255]
            }
            Meaning::YCbCr => {
                let [r, g, b] = ycc_to_rgb([at(0), at(1), at(2)], page.compression);
                [r, g, b, 255]
            }
            Meaning::Indexed | Meaning::Jpeg => continue,
        };
        out.copy_from_slice(&flatten(color, alpha));
    }
    Ok(())
}

/// Fills `buffers.raw`; where every sample has a plane of its own, tells the bytes of one.
fn read_samples(
    bytes: &[u8],
    page: &mut Page<'_>,
    truncated: Truncated,
    buffers: &mut Buffers,
) -> Result<Option<usize>, Fault> {
    let layout = page.decoder.image_buffer_layout().map_err(fault)?;
    let samples = cleared(&mut buffers.raw, layout.complete_len);
    if tiff_raw::is_raw(page)? {
        let ending = tiff_raw::read(bytes, page, truncated, samples)?;
        buffers.is_filled = ending == Ending::Cut;
        return Ok(None);
    }
    if page.number(Tag::FillOrder, 1)? == 2 {
        // The crate reads the bits of a byte in one order only.
        let stream = &mut buffers.stream;
        stream.clear();
        stream.extend_from_slice(bytes);
        for (from, length) in page.strips(bytes)? {
            let rest = stream.get_mut(from..).unwrap_or_default();
            let part = rest.iter_mut().take(length);
            part.for_each(|byte| *byte = byte.reverse_bits());
        }
        let mut turned = Page::open(stream)?;
        turned.decoder.read_image_bytes(samples).map_err(fault)?;
    } else {
        page.decoder.read_image_bytes(samples).map_err(fault)?;
    }
    let planar = layout.planes > 1;
    Ok(layout
        .plane_stride
        .filter(|_| planar)
        .map(|stride| stride.get()))
}

/// Colour of every sample of at most eight bits.
fn palette(page: &mut Page<'_>) -> Result<Palette, Fault> {
    let mut palette = match page.photometric {
        3 => {
            let colors: Vec<u16> = page.numbers(Tag::ColorMap)?;
            let size = colors.len() / 3;
            let high = |index: usize| colors.get(index).map_or(0, |value| value.to_be_bytes()[0]);
            let triples: Vec<u8> = (0..size.min(256))
                .flat_map(|i| [high(i), high(i + size), high(i + 2 * size)])
                .collect();
            Palette::from_rgb(&triples)
        }
        _ => Palette::grey(page.bits),
    };
    if page.photometric == 0 {
        for entry in &mut palette.0 {
            entry[..3]
                .iter_mut()
                .for_each(|channel| *channel = !*channel);
        }
    }
    Ok(palette)
}

/// One wide sample as Pillow shows it.
fn cut(sample: &[u8], format: u16) -> u8 {
    let whole = match (sample, format) {
        (&[a, b], 1) => i32::from(u16::from_ne_bytes([a, b])),
        (&[a, b], _) => i32::from(i16::from_ne_bytes([a, b])),
        (&[a, b, c, d], 3) => {
            let value = f32::from_ne_bytes([a, b, c, d]);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates as Pillow does; not a number is black"
            )]
            return value as u8;
        }
        (&[a, b, c, d], _) => i32::from_ne_bytes([a, b, c, d]),
        _ => 0,
    };
    u8::try_from(whole.clamp(0, 255)).unwrap_or(0)
}

/// One pixel of luma and differences: uncompressed ones are turned to RGB by Pillow, the others by libtiff.
fn ycc_to_rgb([y, cb, cr]: [u8; 3], compression: u16) -> [u8; 3] {
    let (blue, red) = (i32::from(cb) - 128, i32::from(cr) - 128);
    let differences = if compression == compression::NONE {
        // Six bits of fraction; every product is rounded on its own and towards zero.
        let scaled = |factor: i32, value: i32| (factor * value * 64 + 50_000) / 100_000;
        [
            scaled(140_200, red) >> 6,
            (scaled(-34_414, blue) + scaled(-71_414, red)) >> 6,
            scaled(177_200, blue) >> 6,
        ]
    } else {
        [91_881 * red, -22_553 * blue - 46_802 * red, 116_130 * blue]
            .map(|sum| (sum + 32_768) >> 16)
    };
    differences.map(|value| u8::try_from((i32::from(y) + value).clamp(0, 255)).unwrap_or(0))
}

/// Colour as if it had never been multiplied by alpha, with Pillow's truncating division.
fn straight([r, g, b, a]: [u8; 4], opacity: Opacity) -> [u8; 4] {
    match (opacity, a) {
        (Opacity::None, _) => [r, g, b, 255],
        (Opacity::Straight, _) | (Opacity::Premultiplied, 255) => [r, g, b, a],
        (Opacity::Premultiplied, 0) => [0; 4],
        (Opacity::Premultiplied, _) => {
            let [r, g, b] =
                [r, g, b].map(|channel| low8((u32::from(channel) * 255 / u32::from(a)).min(255)));
            [r, g, b, a]
        }
    }
}
