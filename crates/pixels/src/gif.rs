//! GIF through the `gif` crate: the first frame on its logical screen.

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use crate::fault::Fault;
use crate::gif_lzw::{self, Place};
use crate::probe::{Fields, ImageFacts, ImageKind};
use crate::samples::{Buffers, Palette, Rows, Wanted, cleared};
use crate::spec::Truncated;

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let fields = Fields {
        format: "gif",
        bytes,
    };
    let frame = first_frame(fields)?;
    // A frame that reaches over the screen enlarges it, as in Pillow.
    let width = u32::from(fields.u16_le(6)?).max(u32::from(frame.left) + u32::from(frame.width));
    let height = u32::from(fields.u16_le(8)?).max(u32::from(frame.top) + u32::from(frame.height));
    // Indices of the screen, and a string of them.
    ImageFacts::new(
        width,
        height,
        ImageKind::Gif,
        u64::from(width) * u64::from(height) * 2,
    )
}

struct Descriptor {
    left: u16,
    top: u16,
    width: u16,
    height: u16,
    is_interlaced: bool,
    /// Offset of what its codes begin with.
    data_at: usize,
}

/// Walks the blocks to the first image descriptor.
fn first_frame(fields: Fields<'_>) -> Result<Descriptor, Fault> {
    let [flags] = fields.array::<1>(10)?;
    let mut at = 13 + color_table_bytes(flags);
    loop {
        match fields.array::<1>(at)? {
            [0x2c] => break,
            [0x21] => {
                at += 2;
                loop {
                    let [length] = fields.array::<1>(at)?;
                    at += 1 + usize::from(length);
                    if length == 0 {
                        break;
                    }
                }
            }
            [0x3b] => return Err(Fault::corrupt("gif: no frame")),
            _ => at += 1,
        }
    }
    let number = |offset| fields.u16_le(at + offset);
    let [flags] = fields.array::<1>(at + 9)?;
    Ok(Descriptor {
        is_interlaced: flags & 0x40 != 0,
        data_at: at + 10 + color_table_bytes(flags),
        left: number(1)?,
        top: number(3)?,
        width: number(5)?,
        height: number(7)?,
    })
}

fn color_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    wanted: Wanted,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // The frame lies within the declared size, which the caller has checked.
    options.set_memory_limit(MemoryLimit::Unlimited);
    options.allow_unknown_blocks(true);
    let mut decoder = options.read_info(bytes).map_err(fault)?;
    let size = decoder
        .next_frame_info()
        .map_err(fault)?
        .ok_or_else(|| Fault::corrupt("gif: no frame"))?;
    let transparent = size.transparent;
    let declared = (u64::from(size.width), u64::from(size.height));
    if declared.0 * declared.1 > facts.pixels() {
        return Err(Fault::corrupt("gif: first frame is not the one declared"));
    }
    let mut palette = match decoder.palette() {
        Ok(colors) => Palette::from_rgb(colors),
        Err(_) => Palette::ramp(),
    };
    if let Some(index) = transparent {
        palette.0[usize::from(index)][3] = 0;
    }

    let too_large = |_| Fault::unsupported("gif: larger than memory");
    let pixels = usize::try_from(facts.pixels()).map_err(too_large)?;
    let width = usize::try_from(facts.width).map_err(too_large)?;
    let screen = cleared(&mut buffers.raw, pixels);
    screen.fill(transparent.unwrap_or(0));
    let frame = first_frame(Fields {
        format: "gif",
        bytes,
    })?;
    let place = Place {
        left: usize::from(frame.left),
        top: usize::from(frame.top),
        width: usize::from(frame.width),
        height: usize::from(frame.height),
        screen_width: width,
        is_interlaced: frame.is_interlaced,
    };
    let data = bytes.get(frame.data_at..).unwrap_or_default();
    match gif_lzw::decode(data, place, screen) {
        Err(_) if wanted.truncated == Truncated::Fill && !data.is_empty() => {
            buffers.is_filled = true;
        }
        result => result?,
    }
    let rows = Rows {
        width,
        stride: width,
        bits: 8,
    };
    palette.expand(
        screen,
        rows,
        wanted.alpha,
        cleared(&mut buffers.rgb, pixels * 3),
    );
    Ok(())
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::Io(error) => Fault::from_io("gif", &error),
        DecodingError::UnexpectedEof => Fault::truncated("gif: the file ends within its header"),
        error => Fault::corrupt(format!("gif: {error}")),
    }
}
