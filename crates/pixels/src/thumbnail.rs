//! A small JPEG of a picture, for a page that shows it.

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

use crate::fault::Fault;
use crate::kernel::Kernel;
use crate::probe::{ImageFacts, probe};
use crate::spec::{Alpha, Corner, Filter, PixelSpec, Reading, Resize};

/// JPEG quality: a picture of 128 pixels takes 3 to 6 kB.
const QUALITY: u8 = 75;

/// A picture made small and encoded anew: nothing of the bytes it came from is in it.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    /// A baseline JPEG without metadata.
    pub jpeg: Vec<u8>,
    /// Its columns.
    pub width: u32,
    /// Its rows.
    pub height: u32,
    /// What the picture itself declares.
    pub facts: ImageFacts,
}

/// What a thumbnail is made of, and how large.
#[derive(Debug, Clone, Copy)]
pub struct ThumbnailSpec {
    /// Edge of the square that it has to fit, in pixels.
    pub edge: u32,
    /// Pictures that declare more are refused.
    pub max_pixels: u64,
    /// How the picture is read.
    pub reading: Reading,
}

/// Decodes a picture and makes it fit a square; smaller ones keep their size.
///
/// # Errors
///
/// As [`Kernel::run`].
pub fn thumbnail(bytes: &[u8], wanted: &ThumbnailSpec) -> Result<Thumbnail, Fault> {
    let facts = probe(bytes)?.oriented(wanted.reading.orientation);
    let (width, height) = fitted(facts.width, facts.height, wanted.edge);
    let spec = PixelSpec {
        alpha: Alpha::OverWhite,
        resize: Some(Resize::Exact { height, width }),
        filter: Filter::Bilinear,
        crop: None,
        corner: Corner::Floor,
        rescale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    let (columns, rows) = (width as usize, height as usize);
    let mut rgb = vec![0; 3 * columns * rows];
    let mut kernel = Kernel::new(spec, wanted.max_pixels).with_reading(wanted.reading);
    let facts = kernel.run_rgb(bytes, &mut rgb)?;
    let jpeg = encoded(&rgb, (width, height), QUALITY)
        .map_err(|error| Fault::unsupported(format!("thumbnail: {error}")))?;
    Ok(Thumbnail {
        jpeg,
        width,
        height,
        facts,
    })
}

/// A baseline JPEG of RGB rows, chroma at half the width and height.
fn encoded(rgb: &[u8], size: (u32, u32), quality: u8) -> Result<Vec<u8>, EncodingError> {
    let [width, height] = [size.0, size.1].map(|edge| u16::try_from(edge).unwrap_or(u16::MAX));
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(rgb, width, height, ColorType::Rgb)?;
    Ok(jpeg)
}

/// The largest size of this shape within the square, not above the size itself; no edge is 0.
fn fitted(width: u32, height: u32, edge: u32) -> (u32, u32) {
    let longer = width.max(height).max(1);
    if longer <= edge {
        return (width.max(1), height.max(1));
    }
    let scaled = |length: u32| {
        let scaled = u64::from(length) * u64::from(edge) / u64::from(longer);
        u32::try_from(scaled).unwrap_or(edge).max(1)
    };
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_kept_and_small_pictures_are_not_blown_up() {
        let cases = [
            ((640, 480), (128, 96)),
            ((480, 640), (96, 128)),
            ((32, 32), (32, 32)),
            ((1, 60_000), (1, 128)),
            ((128, 128), (128, 128)),
        ];
        for ((width, height), expected) in cases {
            assert_eq!(fitted(width, height, 128), expected);
        }
    }

    #[test]
    fn a_thumbnail_is_a_jpeg_of_the_picture() {
        let rgb: Vec<u8> = (0..300 * 200).flat_map(|_| [200, 30, 30]).collect();
        let picture = encoded(&rgb, (300, 200), 90).unwrap();
        let wanted = ThumbnailSpec {
            edge: 128,
            max_pixels: 1 << 20,
            reading: Reading::default(),
        };
        let small = thumbnail(&picture, &wanted).unwrap();
        assert_eq!((small.width, small.height), (128, 85));
        let facts = probe(&small.jpeg).unwrap();
        assert_eq!((facts.width, facts.height), (128, 85));
        assert_eq!((small.facts.width, small.facts.height), (300, 200));
        let fewer = ThumbnailSpec {
            max_pixels: 100,
            ..wanted
        };
        assert!(thumbnail(&picture, &fewer).is_err());
        assert!(thumbnail(b"<html>", &wanted).is_err());
    }
}
