//! WebP through the `image-webp` crate: lossy, lossless, with alpha; the first frame of an animation.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use crate::exif::Metadata;
use crate::fault::Fault;
use crate::probe::{Fields, ImageFacts, ImageKind};
use crate::samples::{Buffers, cleared, flatten_rgba};
use crate::spec::Alpha;
use crate::turn::Turn;
use crate::webp_chunks::{self, Chunk};
use crate::webp_partitions;

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let fields = Fields {
        format: "webp",
        bytes,
    };
    let (width, height) = match &fields.array::<4>(12)? {
        b"VP8X" => {
            let [a, b, c, d, e, f] = fields.array::<6>(24)?;
            (
                u32::from_le_bytes([a, b, c, 0]) + 1,
                u32::from_le_bytes([d, e, f, 0]) + 1,
            )
        }
        b"VP8L" => {
            let packed = fields.u32_le(21)?;
            ((packed & 0x3fff) + 1, ((packed >> 14) & 0x3fff) + 1)
        }
        b"VP8 " => (
            u32::from(fields.u16_le(26)? & 0x3fff),
            u32::from(fields.u16_le(28)? & 0x3fff),
        ),
        _ => return Err(Fault::corrupt("webp: no picture chunk")),
    };
    // RGBA here; in the decoder RGBA of a frame and of the canvas, or planes and predictions of a lossy picture.
    let pixels = u64::from(width).saturating_mul(u64::from(height));
    // The partitions of a lossy picture, in a buffer that grows and once more in whole words.
    let copies = u64::try_from(bytes.len()).unwrap_or(u64::MAX / 8) * 4;
    let held = pixels.saturating_mul(16).saturating_add(copies);
    let held = held.saturating_add(1 << 20);
    let facts = ImageFacts::new(width, height, ImageKind::WebP, held)?;
    Ok(facts.to_turn(turn(bytes)))
}

/// How the picture is to be turned: only a header of its own may announce metadata.
fn turn(bytes: &[u8]) -> Turn {
    const EXIF: u8 = 1 << 3;
    const XMP: u8 = 1 << 2;
    let Some((b"VP8X", &flags)) = bytes.get(12..16).zip(bytes.get(20)) else {
        return Turn::NONE;
    };
    let chunk = |wanted: &[u8; 4]| Chunks::new(bytes).find(|(kind, _)| kind == wanted);
    let exif = (flags & EXIF != 0).then(|| chunk(b"EXIF")).flatten();
    let xmp = (flags & XMP != 0).then(|| chunk(b"XMP ")).flatten();
    Metadata {
        exif: exif.map(|(_, body)| body),
        xmp: xmp.map(|(_, body)| body),
    }
    .turn()
}

/// Chunks of a file, those that are whole.
struct Chunks<'a>(&'a [u8]);

impl<'a> Chunks<'a> {
    fn new(file: &'a [u8]) -> Self {
        Self(file.get(12..).unwrap_or_default())
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = Chunk::first(self.0).ok()?;
        self.0 = chunk.rest;
        Some((chunk.kind, chunk.body))
    }
}

pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    alpha: Alpha,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let bytes = webp_chunks::check(bytes)?;
    webp_partitions::check(bytes)?;
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(fault)?;
    if decoder.dimensions() != (facts.width, facts.height) {
        return Err(Fault::corrupt("webp: two different sizes"));
    }
    let too_large = || Fault::unsupported("webp: larger than memory");
    let pixels = usize::try_from(facts.pixels()).map_err(|_| too_large())?;
    let size = decoder.output_buffer_size().ok_or_else(too_large)?;
    let rgb = cleared(&mut buffers.rgb, pixels * 3);
    if !decoder.has_alpha() {
        return decoder.read_image(rgb).map_err(fault);
    }
    let rgba = cleared(&mut buffers.raw, size);
    decoder.read_image(rgba).map_err(fault)?;
    flatten_rgba(rgba, alpha, rgb);
    Ok(())
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::IoError(error) => Fault::from_io("webp", &error),
        _ => Fault::corrupt("webp: its picture is damaged"),
    }
}
