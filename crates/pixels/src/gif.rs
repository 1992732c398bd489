//! GIF through the `gif` crate: the first frame on its logical screen.

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use crate::fault::Fault;
use crate::probe::{Fields, ImageFacts, ImageKind};
use crate::samples::{Buffers, Palette, Rows, cleared};
use crate::spec::Alpha;

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let fields = Fields {
        format: "gif",
        bytes,
    };
    let frame = first_frame(fields)?;
    // A frame that reaches over the screen enlarges it, as in Pillow.
    let width = u32::from(fields.u16_le(6)?).max(u32::from(frame.left) + u32::from(frame.width));
    let height = u32::from(fields.u16_le(8)?).max(u32::from(frame.top) + u32::from(frame.height));
    // Indices of the frame and of the screen.
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
    Ok(Descriptor {
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
    alpha: Alpha,
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
    let (left, top) = (usize::from(size.left), usize::from(size.top));
    let (frame_width, frame_height) = (usize::from(size.width), usize::from(size.height));
    let transparent = size.transparent;
    let declared = (u64::from(size.width), u64::from(size.height));
    if declared.0 * declared.1 > facts.pixels() {
        return Err(Fault::corrupt("gif: first frame is not the one declared"));
    }

    buffers.stream.clear();
    buffers.stream.resize(frame_width * frame_height, 0);
    decoder
        .read_into_buffer(&mut buffers.stream)
        .map_err(fault)?;
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
    if frame_width > 0 {
        let rows = screen.chunks_exact_mut(width).skip(top);
        for (row, line) in rows.zip(buffers.stream.chunks_exact(frame_width)) {
            if let Some(part) = row.get_mut(left..left + frame_width) {
                part.copy_from_slice(line);
            }
        }
    }
    let rows = Rows {
        width,
        stride: width,
        bits: 8,
    };
    palette.expand(screen, rows, alpha, cleared(&mut buffers.rgb, pixels * 3));
    Ok(())
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::Io(error) => Fault::from_io("gif", &error),
        error => Fault::corrupt(format!("gif: {error}")),
    }
}
