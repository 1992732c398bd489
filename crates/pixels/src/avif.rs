//! AVIF: the container is read here, its AV1 stream by `re_rav1d`, a port of dav1d to Rust with a safe interface.
//!
//! Of a sequence the first frame is read. As in Pillow, clean aperture is not applied.

use re_rav1d::dav1d::{
    DecodeFrameType, Decoder, Error, PixelLayout, PlanarImageComponent, Settings,
};

use crate::av1_stream::{Chroma, Sequence, first_frame, sequence};
use crate::avif_color::{Planes, TilePlace, to_rgb};
use crate::avif_items::{Picture, pictures};
use crate::fault::Fault;
use crate::probe::{ImageFacts, ImageKind};
use crate::samples::{Buffers, cleared, flatten_rgba};
use crate::spec::Alpha;

/// Pixels of the largest picture, libavif's limit.
const MAX_PIXELS: u64 = 1 << 28;

pub(crate) fn probe(bytes: &[u8]) -> Result<ImageFacts, Fault> {
    let pictures = pictures(bytes)?;
    let color = &pictures.color;
    let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
    let size = (color.width, color.height);
    if pixels(size) > MAX_PIXELS {
        return ImageFacts::new(size.0, size.1, ImageKind::Avif, u64::MAX / 4);
    }
    // RGBA before it is RGB.
    let mut held = pixels(size) * 4;
    for picture in std::iter::once(color).chain(&pictures.alpha) {
        let whole = pixels((picture.width, picture.height));
        if whole > MAX_PIXELS || pixels(picture.tile) > 2 * MAX_PIXELS {
            return Err(Fault::unsupported("avif: a part of more than 2^28 pixels"));
        }
        held += whole * samples_per_pixel_twice(&described(picture)?) + decoder_bytes(picture)?;
    }
    // The pieces of a stream put together, twice; tables of items.
    let copy = u64::try_from(bytes.len()).unwrap_or(u64::MAX / 8);
    let held = held + copy * 4 + (1 << 20);
    let facts = ImageFacts::new(size.0, size.1, ImageKind::Avif, held)?;
    Ok(facts.to_turn(color.turn))
}

/// Samples of two pixels, which are bytes of one where a sample has two.
fn samples_per_pixel_twice(sequence: &Sequence) -> u64 {
    match sequence.chroma {
        Chroma::None => 2,
        Chroma::Quarter => 3,
        Chroma::Half => 4,
        Chroma::Full => 6,
    }
}

/// What the decoder of one tile holds: the frame in whole blocks, once more with grain, and what it notes of blocks.
fn decoder_bytes(picture: &Picture<'_>) -> Result<u64, Fault> {
    let sequence = described(picture)?;
    let padded = |length: u32| u64::from(length).next_multiple_of(128) + 128;
    let pixels = padded(picture.tile.0) * padded(picture.tile.1);
    let frames = if sequence.grain { 2 } else { 1 };
    let halves = if sequence.depth > 8 { 2 } else { 1 };
    let frame = pixels * samples_per_pixel_twice(&sequence) * halves / 2;
    Ok(frame * frames + pixels * 2 + (6 << 20))
}

fn described(picture: &Picture<'_>) -> Result<Sequence, Fault> {
    let stream = picture.tiles.first().map(|pieces| pieces.concat());
    sequence(&stream.unwrap_or_default())
}

pub(crate) fn decode(
    bytes: &[u8],
    facts: &ImageFacts,
    alpha: Alpha,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let pictures = pictures(bytes)?;
    if facts.pixels() > MAX_PIXELS {
        return Err(Fault::unsupported("avif: more than 2^28 pixels"));
    }
    let too_large = |_| Fault::unsupported("avif: larger than memory");
    let pixels = usize::try_from(facts.pixels()).map_err(too_large)?;
    let transparent = pictures.alpha.is_some();
    let color = planes(&pictures.color)?;
    let rgb = cleared(&mut buffers.rgb, pixels * 3);
    to_rgb(&color, transparent, rgb)?;
    let shifted = !color.is_plain() && !color.is_nearest();
    drop(color);
    let Some(picture) = &pictures.alpha else {
        return Ok(());
    };
    if alpha == Alpha::Drop && !pictures.premultiplied {
        return Ok(());
    }
    if (picture.width, picture.height) != (facts.width, facts.height) {
        return Err(Fault::unsupported("avif: alpha of another size"));
    }
    let opacity = planes(picture)?;
    let rgba = cleared(&mut buffers.raw, pixels * 4);
    for ((out, pixel), opacity) in rgba
        .chunks_exact_mut(4)
        .zip(rgb.chunks_exact(3))
        .zip(opacity.alpha(shifted))
    {
        out[..3].copy_from_slice(pixel);
        out[3] = opacity;
        if pictures.premultiplied {
            out[..3]
                .iter_mut()
                .for_each(|channel| *channel = divided(*channel, opacity));
        }
    }
    flatten_rgba(rgba, alpha, rgb);
    Ok(())
}

/// Colour as if it had never been multiplied by alpha.
///
/// # Source
///
/// libyuv's `ARGBUnattenuate`: the channel spread to 16 bits times a truncated reciprocal.
fn divided(channel: u8, alpha: u8) -> u8 {
    let inverse = match alpha {
        0 => 0,
        255 => 0x100,
        alpha => 0x1_0000 / u32::from(alpha),
    };
    u8::try_from((u32::from(channel) * 0x101 * inverse) >> 16).unwrap_or(255)
}

/// All tiles of a picture in one.
fn planes(picture: &Picture<'_>) -> Result<Planes, Fault> {
    let mut sequence = described(picture)?;
    if let Some(color) = picture.color {
        sequence.primaries = color.primaries;
        sequence.matrix = color.matrix;
        sequence.full_range = color.full_range;
    }
    let mut planes = Planes::new(picture.width, picture.height, sequence)?;
    for (index, pieces) in picture.tiles.iter().enumerate() {
        let place = TilePlace {
            column: index % picture.columns,
            row: index / picture.columns,
        };
        decode_tile(&pieces.concat(), picture.tile, place, &mut planes)?;
    }
    Ok(planes)
}

fn decode_tile(
    stream: &[u8],
    size: (u32, u32),
    place: TilePlace,
    planes: &mut Planes,
) -> Result<(), Fault> {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_all_layers(false);
    settings.set_decode_frame_type(DecodeFrameType::Key);
    settings.set_frame_size_limit(size.0.saturating_mul(size.1));
    let mut decoder = Decoder::with_settings(&settings).map_err(fault)?;
    match decoder.send_data(first_frame(stream)?, None, None, None) {
        Ok(()) | Err(Error::Again) => {}
        Err(error) => return Err(fault(error)),
    }
    let frame = decoder.get_picture().map_err(fault)?;
    if (frame.width(), frame.height()) != size {
        return Err(Fault::corrupt("avif: two different sizes"));
    }
    let chroma = match frame.pixel_layout() {
        PixelLayout::I400 => Chroma::None,
        PixelLayout::I420 => Chroma::Quarter,
        PixelLayout::I422 => Chroma::Half,
        PixelLayout::I444 => Chroma::Full,
    };
    if (chroma, frame.bit_depth()) != (planes.chroma(), usize::from(planes.depth())) {
        return Err(Fault::unsupported("avif: tiles of different formats"));
    }
    let components = [
        PlanarImageComponent::Y,
        PlanarImageComponent::U,
        PlanarImageComponent::V,
    ];
    for (index, component) in components.into_iter().enumerate().take(planes.count()) {
        let stride = usize::try_from(frame.stride(component)).unwrap_or(0);
        let plane = frame.plane(component);
        planes.store(index, size, place, &plane, stride);
    }
    Ok(())
}

fn fault(error: Error) -> Fault {
    match error {
        Error::Again => Fault::truncated("avif: no whole picture"),
        Error::UnsupportedBitstream => Fault::unsupported("avif: unknown kind of AV1"),
        _ => Fault::corrupt("avif: its AV1 picture is damaged"),
    }
}
