//! Windows bitmaps, read here with Pillow's rules about palettes, masks and compressions.
//!
//! The `image` crate (0.25) differs from Pillow where it rounds five and six bits to eight (golden images `bmp-bits-16`,
//! `bmp-bits-565`), where run-length pictures skip pixels, black instead of colour 0 (`bmp-run-length-delta`), and reads
//! no headers of 64 bytes. With it, the header, palettes, run lengths and 16 bits would still be read here.

use crate::bmp_rle;
use crate::fault::Fault;
use crate::probe::{Fields, ImageFacts, ImageKind};
use crate::samples::{Buffers, Palette, Rows, Wanted, cleared, flatten, low8};
use crate::spec::{Alpha, Truncated};

/// How a pixel of 16 bits and more is read.
#[derive(Clone, Copy)]
enum Color {
    /// Five bits a channel.
    Bits555,
    /// Six bits of green.
    Bits565,
    /// Bytes of a pixel, and where in them red, green, blue and alpha lie.
    Bytes {
        step: usize,
        order: [usize; 3],
        alpha: Option<usize>,
    },
}

enum Layout {
    Indexed,
    RunLength,
    Color(Color),
}

struct Header {
    width: u32,
    height: u32,
    top_down: bool,
    bits: u8,
    layout: Layout,
    /// Entries of the palette and bytes of one, zero without a palette.
    palette: (usize, usize),
    palette_at: usize,
    data_at: usize,
    /// Four bits a pixel instead of eight in a run-length picture.
    nibbles: bool,
}

fn header(bytes: &[u8]) -> Result<Header, Fault> {
    let fields = Fields {
        format: "bmp",
        bytes,
    };
    let size = fields.u32_le(14)?;
    let core = size == 12;
    if !matches!(size, 12 | 40 | 52 | 56 | 64 | 108 | 124) {
        return Err(Fault::unsupported(format!("bmp: header of {size} bytes")));
    }
    let header_end = 14 + usize::try_from(size).unwrap_or(0);
    fields.array::<1>(header_end - 1)?;
    let (width, rows, bits, compression, colors) = if core {
        let number = |at| fields.u16_le(at).map(u32::from);
        (number(18)?, number(20)?, fields.u16_le(24)?, 0, 0)
    } else {
        (
            fields.u32_le(18)?,
            fields.u32_le(22)?,
            fields.u16_le(28)?,
            fields.u32_le(30)?,
            fields.u32_le(46)?,
        )
    };
    let top_down = !core && rows >> 24 == 0xff;
    let bits = u8::try_from(bits).unwrap_or(0);
    let layout = layout(fields, size, compression, bits)?;
    let colors = if colors == 0 && bits <= 8 {
        1 << bits
    } else {
        colors
    };
    if bits <= 8 && colors > 65_536 {
        return Err(Fault::corrupt(format!("bmp: palette of {colors} colors")));
    }
    let entries = if bits <= 8 {
        usize::try_from(colors).unwrap_or(0)
    } else {
        0
    };
    let palette = (entries, if core { 3 } else { 4 });
    let masks_bytes = if compression == 3 && size == 40 {
        12
    } else {
        0
    };
    let declared = usize::try_from(fields.u32_le(10)?).unwrap_or(usize::MAX);
    let data_at = match declared {
        0 => header_end + masks_bytes + palette.0 * palette.1,
        // Some writers forget the palette.
        at if at == header_end && bits <= 8 => at + palette.0 * palette.1,
        at => at,
    };
    let height = if top_down { rows.wrapping_neg() } else { rows };
    let (palette_at, nibbles) = (header_end, compression == 2);
    Ok(Header {
        width,
        height,
        top_down,
        bits,
        layout,
        palette,
        palette_at,
        data_at,
        nibbles,
    })
}

fn layout(fields: Fields<'_>, size: u32, compression: u32, bits: u8) -> Result<Layout, Fault> {
    let bytes = |step| {
        Layout::Color(Color::Bytes {
            step,
            order: [2, 1, 0],
            alpha: None,
        })
    };
    match (compression, bits) {
        (0, 1 | 4 | 8) => Ok(Layout::Indexed),
        (1 | 2, 1 | 4 | 8) => Ok(Layout::RunLength),
        (0, 16) => Ok(Layout::Color(Color::Bits555)),
        (0, 24) => Ok(bytes(3)),
        (0, 32) => Ok(bytes(4)),
        (3, 16 | 24 | 32) => masked(bits, masks(fields, size)?).map(Layout::Color),
        _ => Err(Fault::unsupported(format!(
            "bmp: compression {compression} of {bits} bits"
        ))),
    }
}

fn masks(fields: Fields<'_>, size: u32) -> Result<[u32; 4], Fault> {
    let alpha = if size >= 56 { fields.u32_le(66)? } else { 0 };
    Ok([
        fields.u32_le(54)?,
        fields.u32_le(58)?,
        fields.u32_le(62)?,
        alpha,
    ])
}

/// The masks that Pillow knows.
fn masked(bits: u8, masks: [u32; 4]) -> Result<Color, Fault> {
    let bytes = |step, order, alpha| Ok(Color::Bytes { step, order, alpha });
    match (bits, masks) {
        (16, [0xf800, 0x7e0, 0x1f, _]) => Ok(Color::Bits565),
        (16, [0x7c00, 0x3e0, 0x1f, _]) => Ok(Color::Bits555),
        (24, [0xff_0000, 0xff00, 0xff, _]) => bytes(3, [2, 1, 0], None),
        (32, [0xff_0000, 0xff00, 0xff, 0]) => bytes(4, [2, 1, 0], None),
        (32, [0xff00_0000, 0xff_0000, 0xff00, 0]) => bytes(4, [3, 2, 1], None),
        (32, [0xff00_0000, 0xff00, 0xff, 0]) => bytes(4, [3, 1, 0], None),
        (32, [0xff00_0000, 0xff_0000, 0xff00, 0xff]) => bytes(4, [3, 2, 1], Some(0)),
        (32, [0xff, 0xff00, 0xff_0000, 0xff00_0000]) => bytes(4, [0, 1, 2], Some(3)),
        (32, [0xff_0000, 0xff00, 0xff, 0xff00_0000] | [0, 0, 0, 0]) => bytes(4, [2, 1, 0], Some(3)),
        (32, [0xff00_0000, 0xff00, 0xff, 0xff_0000]) => bytes(4, [3, 1, 0], Some(2)),
        _ => Err(Fault::unsupported("bmp: unusual color masks")),
    }
}

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let header = header(bytes)?;
    // Indices of a run-length picture; all others are read where they lie.
    let pixels = u64::from(header.width).saturating_mul(u64::from(header.height));
    ImageFacts::new(header.width, header.height, ImageKind::Bmp, pixels)
}

pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    wanted: Wanted,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let alpha = wanted.alpha;
    let header = header(bytes)?;
    let too_large = |_| Fault::unsupported("bmp: larger than memory");
    let width = usize::try_from(facts.width).map_err(too_large)?;
    let height = usize::try_from(facts.height).map_err(too_large)?;
    let data = bytes.get(header.data_at..).unwrap_or_default();
    let palette = palette(bytes, &header)?;
    if let Layout::RunLength = header.layout {
        let indices = cleared(&mut buffers.raw, width * height);
        bmp_rle::decode(data, header.data_at, header.nibbles, width, indices)?;
        let (stride, bits) = (width, 8);
        let rgb = cleared(&mut buffers.rgb, width * height * 3);
        palette.expand(
            indices,
            Rows {
                width,
                stride,
                bits,
            },
            alpha,
            rgb,
        );
    } else {
        uncompressed(data, &header, &palette, wanted, buffers)?;
    }
    if !header.top_down {
        flip(&mut buffers.rgb, width * 3);
    }
    Ok(())
}

fn uncompressed(
    data: &[u8],
    header: &Header,
    palette: &Palette,
    wanted: Wanted,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let too_large = |_| Fault::unsupported("bmp: larger than memory");
    let width = usize::try_from(header.width).map_err(too_large)?;
    let height = usize::try_from(header.height).map_err(too_large)?;
    let (stride, bits) = (
        (width * usize::from(header.bits)).div_ceil(32) * 4,
        header.bits,
    );
    // Pillow wants whole rows, but of the last one no padding.
    let row_bytes = (width * usize::from(header.bits)).div_ceil(8);
    let rows_found = (data.len() + stride - row_bytes.min(stride)) / stride.max(1);
    let rows_found = rows_found.min(height);
    if rows_found < height && wanted.truncated == Truncated::Drop {
        let message = format!("bmp: the file ends after {rows_found} of {height} rows");
        return Err(Fault::truncated(message));
    }
    buffers.is_filled = rows_found < height;
    let rgb = cleared(&mut buffers.rgb, width * height * 3);
    let (found, missing) = rgb.split_at_mut(rows_found * width * 3);
    match header.layout {
        Layout::Color(color) => {
            let lines = found.chunks_exact_mut(width * 3).zip(data.chunks(stride));
            lines.for_each(|(out, row)| color_row(row, color, wanted.alpha, out));
            let nothing = match color {
                Color::Bytes { alpha: Some(_), .. } => flatten([0; 4], wanted.alpha),
                _ => [0; 3],
            };
            missing.as_chunks_mut::<3>().0.fill(nothing);
        }
        _ => {
            let rows = Rows {
                width,
                stride,
                bits,
            };
            palette.expand(data, rows, wanted.alpha, found);
            missing
                .as_chunks_mut::<3>()
                .0
                .fill(flatten(palette.0[0], wanted.alpha));
        }
    }
    Ok(())
}

/// Colors of a palette; of one that is grey Pillow looks at none, so that it may have more.
const MOST_COLORS: usize = 256;

/// Whether each color is the grey of its own number.
fn is_grey(table: &[u8], header: &Header) -> bool {
    let (entries, entry_bytes) = header.palette;
    let mut colors = table.chunks_exact(entry_bytes).enumerate();
    table.len() == entries * entry_bytes
        && colors.all(|(number, color)| {
            let number = number.to_le_bytes()[0];
            color[..3] == [number; 3]
        })
}

/// Blue, green, red and, but for the oldest headers, a byte of padding.
fn palette(bytes: &[u8], header: &Header) -> Result<Palette, Fault> {
    let (entries, entry_bytes) = header.palette;
    let end = header.palette_at + entries * entry_bytes;
    // Pixels may lie before the end of a palette that is longer than the file.
    let table = bytes
        .get(header.palette_at..end.min(bytes.len()))
        .ok_or_else(|| Fault::truncated("bmp: the file ends before the palette"))?;
    let colors = table.len() / entry_bytes;
    if colors > MOST_COLORS && !is_grey(table, header) {
        return Err(Fault::corrupt(format!("bmp: palette of {colors} colors")));
    }
    let triples: Vec<u8> = table
        .chunks_exact(entry_bytes)
        .flat_map(|entry| [entry[2], entry[1], entry[0]])
        .collect();
    Ok(Palette::from_rgb(&triples))
}

fn color_row(row: &[u8], color: Color, alpha: Alpha, out: &mut [u8]) {
    let wide = |value: u16, bits: u32| low8(u32::from(value) * 255 / ((1 << bits) - 1));
    match color {
        Color::Bits555 => {
            for (pixel, packed) in out.chunks_exact_mut(3).zip(row.chunks_exact(2)) {
                let packed = u16::from_le_bytes([packed[0], packed[1]]);
                let [r, g, b] =
                    [packed >> 10, packed >> 5, packed].map(|value| wide(value & 31, 5));
                pixel.copy_from_slice(&[r, g, b]);
            }
        }
        Color::Bits565 => {
            for (pixel, packed) in out.chunks_exact_mut(3).zip(row.chunks_exact(2)) {
                let packed = u16::from_le_bytes([packed[0], packed[1]]);
                let green = wide((packed >> 5) & 63, 6);
                pixel.copy_from_slice(&[wide(packed >> 11, 5), green, wide(packed & 31, 5)]);
            }
        }
        Color::Bytes {
            step,
            order: [r, g, b],
            alpha: at,
        } => {
            for (pixel, bytes) in out.chunks_exact_mut(3).zip(row.chunks_exact(step)) {
                let opacity = at.map_or(255, |at| bytes[at]);
                pixel.copy_from_slice(&flatten([bytes[r], bytes[g], bytes[b], opacity], alpha));
            }
        }
    }
}

fn flip(rgb: &mut [u8], stride: usize) {
    let half = rgb.len() / stride / 2 * stride;
    let middle = rgb.len() - half;
    let (top, bottom) = rgb.split_at_mut(middle);
    for (upper, lower) in top
        .chunks_exact_mut(stride)
        .zip(bottom.chunks_exact_mut(stride).rev())
    {
        upper.swap_with_slice(lower);
    }
}
