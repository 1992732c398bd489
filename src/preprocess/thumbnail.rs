//! Small JPEGs of stored images, for a report.

use super::{
    RowFault,
    image::{of_pixels, row_fault},
    probe,
};
use crate::config::Reading;

/// A small JPEG of a stored image, encoded anew.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    /// The JPEG.
    pub jpeg: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// What an image may cost to be shown.
#[derive(Debug, Clone, Copy)]
pub struct ThumbnailLimits {
    /// The longer edge of a thumbnail, in pixels.
    pub edge_px: u32,
    /// Images that declare more pixels are refused.
    pub max_pixels: u64,
    /// How picture files are read.
    pub reading: Reading,
    /// Images that need more memory to be decoded are refused.
    pub max_bytes: u64,
}

impl Thumbnail {
    /// Decodes `bytes` and makes them small.
    ///
    /// # Errors
    /// When they are no image, a damaged one, or one over a limit.
    pub fn of(bytes: &[u8], limits: &ThumbnailLimits) -> Result<Self, RowFault> {
        let reading = of_pixels(limits.reading);
        let facts = probe(bytes, limits.max_pixels)?.oriented(reading.orientation);
        let needed = facts.working_bytes();
        if needed > limits.max_bytes {
            let reason = format!(
                "decoding it needs {needed} bytes, over the {} that are left for that",
                limits.max_bytes
            );
            return Err(RowFault::new(crate::schema::Status::TooManyPixels, reason));
        }
        let made = clip_filter_pixels::thumbnail(
            bytes,
            &clip_filter_pixels::ThumbnailSpec {
                edge: limits.edge_px,
                max_pixels: limits.max_pixels,
                reading,
            },
        );
        let made = made.map_err(row_fault)?;
        Ok(Self {
            jpeg: made.jpeg,
            width: made.width,
            height: made.height,
        })
    }
}
